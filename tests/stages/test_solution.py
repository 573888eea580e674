"""`python3 -m stages solution` shows the reference after the stage is passed, or with --give-up."""

import json
from pathlib import Path

from stages.desk.manifest import sources
from stages.harness.course import stage_folder
from tests.support.stages_copy import StagesCopy


def test_it_is_shown_after_a_pass_and_not_before(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    status, said = stages_copy.desk("solution", "01")
    assert status == 2
    assert "stages hint 01" in said and "solution 01 --give-up" in said and "self.transport.write" not in said
    (stages_copy.folder / ".progress.json").write_text(json.dumps({"01": {"passed": 2, "checks": 2}}))
    status, said = stages_copy.desk("solution", "01")
    assert status == 0
    assert said.startswith("--- work/server.py\n+++ 01-echo-server/server.py\n@@")
    assert "-        raise NotImplementedError" in said and "+        self.transport.write(data)" in said


def test_it_is_shown_to_a_learner_who_gives_up(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    assert "+        self.transport.write(data)" in stages_copy.desk("solution", "01", "--give-up")[1]


def test_nothing_is_shown_if_nothing_differs(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    (stages_copy.work / "server.py").write_text(sources(stage_folder(1))["server.py"])
    assert stages_copy.desk("solution", "01", "--give-up") == (0, "")


def test_a_stage_that_is_not_started_has_no_solution_yet(stages_copy: StagesCopy) -> None:
    status, said = stages_copy.desk("solution", "02")
    assert status == 2 and "stages start 02" in said


def test_a_teacher_writes_it_into_a_new_folder_to_release_it(stages_copy: StagesCopy, tmp_path: Path) -> None:
    status, said = stages_copy.desk("solution", "02", "--out", tmp_path / "solution")
    assert status == 0 and "02 resp reader" in said
    assert sources(tmp_path / "solution") == sources(stage_folder(2))
    status, said = stages_copy.desk("solution", "01", "--out", tmp_path / "solution")
    assert status == 2 and "is not empty" in said and "ProtocolError" in (tmp_path / "solution/server.py").read_text()
