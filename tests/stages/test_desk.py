"""The commands `python3 -m stages …`, as a learner uses them."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stages.desk import check
from stages.desk.check import Case, still, told
from stages.desk.hint import docstrings
from stages.desk.manifest import functions, read, sources
from stages.desk.progress import Progress
from stages.desk.starter import starter, write
from stages.harness.course import ROOT, STAGES, stage_folder
from tests.support.road import COURSE_FIRST
from tests.support.stages_copy import StagesCopy

CHECKPOINT = '''
from stages.harness.checkpoint import step


@step(1)
def test_it_has_a_server(modules):
    """There is a server.

    First hint.

    Last hint,
    in two lines.
    """
    modules.check("import server; result = 1", 1)


@step(2)
def test_it_is_blue(modules):
    """The server is blue.

    Paint it.
    """
    modules.check("import server; result = server.colour", "blue")
'''


def test_the_road_shows_every_stage_and_the_next_command(stages_copy: StagesCopy) -> None:
    status, said = stages_copy.desk()
    assert status == 0
    assert said.count("not begun") == len(STAGES)
    assert said.endswith("Next, type: python3 -m stages start 01\n")


def test_start_writes_the_starter_and_the_road_shows_it(stages_copy: StagesCopy) -> None:
    status, said = stages_copy.desk("start", "01")
    assert status == 0
    assert (stages_copy.work / "server.py").read_text() == starter(1)["server.py"]
    assert "You write in server.py: " in said and "python3 -m stages check 01" in said
    assert "begun, not checked" in stages_copy.desk()[1]


def test_start_overwrites_no_file(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    (stages_copy.work / "server.py").write_text("my own")
    status, said = stages_copy.desk("start", "1")
    assert status == 2
    assert "work/ has stage 01 already" in said and "With --force, server.py would be overwritten" in said
    assert (stages_copy.work / "server.py").read_text() == "my own"


def test_start_with_force_keeps_a_copy_of_what_it_overwrites(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    (stages_copy.work / "server.py").write_text("my own")
    assert stages_copy.desk("start", "01", "--force")[0] == 0
    assert (stages_copy.work / "server.py").read_text() == starter(1)["server.py"]
    assert [copy.read_text() for copy in stages_copy.folder.glob("work-*/server.py")] == ["my own"]


def test_a_later_start_merges_and_says_what_has_to_grow(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    own = (stages_copy.work / "server.py").read_text().replace("raise NotImplementedError", "self.mine()")
    (stages_copy.work / "server.py").write_text(own)
    status, said = stages_copy.desk("start", "02")
    assert status == 0
    assert (stages_copy.work / "reader.py").read_text() == starter(2)["reader.py"]
    merged = (stages_copy.work / "server.py").read_text()
    assert merged.count("self.mine()") == own.count("self.mine()") and "NotImplementedError" not in merged
    assert "from reader import ProtocolError, Reader" in merged and "self.reader = Reader()" in merged
    assert "Grows in server.py, as you wrote it so far: Connection.data_received\n    A chunk of bytes" in said
    assert "python3 -m stages diff 01 02" in said
    assert [copy.read_text() for copy in stages_copy.folder.glob("work-*/server.py")] == [own]


def test_a_file_that_is_no_python_is_not_merged(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    (stages_copy.work / "server.py").write_text("my own")
    status, said = stages_copy.desk("start", "02")
    assert status == 2 and "work/server.py has a syntax error in line 1, so nothing was written" in said
    assert [path.name for path in stages_copy.work.iterdir()] == ["server.py"]


def test_a_start_without_the_stage_before_says_what_to_type(stages_copy: StagesCopy) -> None:
    status, said = stages_copy.desk("start", "03")
    assert status == 2
    assert "python3 -m stages start 02" in said and "python3 -m stages start 03 --from-reference" in said
    assert not stages_copy.work.exists()


def test_a_start_says_which_stage_is_there_and_what_would_be_overwritten(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "02", "--from-reference")
    status, said = stages_copy.desk("start", "04", "--from-reference")
    assert status == 2 and "work/ has stage 02 already, and nothing was written" in said
    assert "To go on: `python3 -m stages start 03`" in said
    told = re.search(r"With --force, (.*) would be overwritten", said)
    assert told and told[1].split(", ") == ["server.py", "inline.py", "reader.py"]
    before = sources(stages_copy.work)
    stages_copy.desk("start", "04", "--from-reference", "--force")
    changed = [file for file, text in before.items() if sources(stages_copy.work)[file] != text]
    assert set(changed) <= set(told[1].split(", "))
    assert "To go on: `python3 -m stages check 04`" in stages_copy.desk("start", "01")[1]


def test_a_learner_can_start_at_any_stage(stages_copy: StagesCopy) -> None:
    assert stages_copy.desk("start", "03", "--from-reference")[0] == 0
    assert {path.name: path.read_text() for path in stages_copy.work.iterdir()} == starter(3)
    assert stages_copy.desk()[1].endswith("Next, type: python3 -m stages check 03\n")


def test_road_and_hint_use_the_outcome_of_check(stages_copy: StagesCopy) -> None:
    (stages_copy.folder / "stages/01-echo-server/test_checkpoint.py").write_text(CHECKPOINT)
    stages_copy.desk("start", "01")
    status, said = stages_copy.desk("check")
    assert status == 1 and "1 failed, 1 passed" in said and "this was your code in work/" in said
    assert "step  1  ✓ 1 check    Connection.connection_made, Connection.data_received\n" in said
    assert "step  2  failed       Connection.connection_lost\n               first  test_it_is_blue\n" in said
    assert "step  3  not yet      Server.stop\n" in said and "Stage 01: 1 of 5 steps, 40 of 100 points\n" in said
    assert "1 of 5 steps" in stages_copy.desk()[1]
    assert (
        "test_it_is_blue: The server is blue.\n\nHint 1 of 1 (shown before):\n    Paint it."
        in stages_copy.desk("hint", "01")[1]
    )
    with (stages_copy.work / "server.py").open("a") as file:
        file.write('\ncolour = "blue"\n')
    assert stages_copy.desk("check", "01")[0] == 0
    assert "passed" in stages_copy.desk()[1]
    assert "all checks of stage 01 passed" in stages_copy.desk("hint", "01")[1]


def test_a_check_that_belongs_to_no_step_is_named_when_it_fails(stages_copy: StagesCopy) -> None:
    carried = CHECKPOINT.replace("@step(2)", "import pytest\n@pytest.mark.carried")
    (stages_copy.folder / "stages/01-echo-server/test_checkpoint.py").write_text(carried)
    stages_copy.desk("start", "01")
    said = stages_copy.desk("check", "01")[1]
    assert "earlier  failed       what earlier stages ask\n               first  test_it_is_blue\n" in said


def test_what_may_wait_for_an_earlier_step_is_not_yet() -> None:
    """Step 9 of stage 04 only extends `set_`, so some of its checks may pass before, and others fail in any way."""
    failed = "another reply than expected"
    cases = [Case("counts", 5, 1, failed), Case("sets", 9, 1, ""), Case("nx", 9, 1, failed), Case("old", 0, 0, failed)]
    states = {line[:7]: line[9:16].strip() for line in told(4, cases)}
    assert (states["step  5"], states["step  9"], states["earlier"]) == ("failed", "not yet", "not yet")
    states = {line[:7]: line[9:16].strip() for line in told(4, cases[3:])}
    assert (states["step  9"], states["earlier"]) == ("not yet", "failed")
    assert [line for line in told(4, cases[1:]) if line.startswith("step  9  failed")]


def test_a_check_that_is_worth_no_points_does_not_fail_its_step() -> None:
    """It needs a program that is not on every machine. It is named once all steps have passed."""
    cases = [Case("sets", 9, 9, ""), Case("with-redis-cli", 9, 0, "error")]
    said = list(told(4, cases))
    assert any(line.startswith("step  9  ✓ 1 check ") for line in said)
    assert "no points failed       with-redis-cli" in said
    assert said[-1].endswith("points; but 1 check without points failed")
    assert (check.outcome(cases, Progress()).steps, check.outcome(cases, Progress()).done) == ([9], False)
    said = list(told(4, [Case("counts", 5, 1, "error"), *cases]))
    assert any(line.startswith("step  5  failed") for line in said) and not any("no points" in line for line in said)


def test_a_step_that_still_has_the_body_of_the_stage_before_is_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In stage 06 `set_` only grows, so the first check of step 6 fails before somebody has written in it."""
    monkeypatch.setattr(check, "WORK", tmp_path)
    write(starter(6), tmp_path)
    old = check.as_before(6)
    assert {"Engine.execute", "Engine.replay", "set_"} <= old and not old & {"Engine.settle", "moment"}
    cases = [Case("clock", 2, 1, "AttributeError"), Case("ex", 6, 1, ""), Case("px", 6, 1, "another reply")]
    said = "\n".join(told(6, cases, old))
    assert re.search("step  2  failed .*\n +first  clock\n +still  the body of stage 05: Engine.execute, ", said), said
    assert "step  6  not yet" in said and "step  6  failed" in "\n".join(told(6, cases))
    assert "".join(still(6, cases[:1], old)).startswith(" " * 15 + "still  the body of stage 05: Engine.execute, ")
    write(sources(stage_folder(6)), tmp_path)
    assert check.as_before(6) == set()
    (tmp_path / "engine.py").write_text("def")
    assert check.as_before(6) == set()


def test_each_call_of_hint_shows_one_hint_more(stages_copy: StagesCopy) -> None:
    (stages_copy.folder / "stages/01-echo-server/test_checkpoint.py").write_text(CHECKPOINT)
    first, second, third = (stages_copy.desk("hint", "01", "it_has_a_server")[1] for _ in range(3))
    assert "Hint 1 of 2:\n    First hint." in first and "Last hint" not in first
    assert "First hint." in second and "Hint 2 of 2:\n    Last hint,\n    in two lines." in second
    assert "Hint 1 of 2 (shown before):\n    First hint." in second
    assert third == second.replace("2 of 2:", "2 of 2 (shown before):") and "no more hints" in third


def test_the_first_hint_after_a_check_is_one_that_the_check_has_not_shown(stages_copy: StagesCopy) -> None:
    checkpoint = CHECKPOINT.replace("import server; result = 1", "import server; result = 2")
    (stages_copy.folder / "stages/01-echo-server/test_checkpoint.py").write_text(checkpoint)
    stages_copy.desk("start", "01")
    said = stages_copy.desk("check", "01")[1]
    assert "First hint." in said and "Last hint" not in said
    said = stages_copy.desk("hint", "01")[1]
    assert "Hint 1 of 2 (shown before):" in said and "Hint 2 of 2:\n    Last hint,\n    in two lines." in said


@pytest.mark.parametrize("part", [["-x"], ["-k", "has_a_server"], ["1"]])
def test_hint_speaks_of_what_failed_last_also_in_a_part_of_the_checkpoint(
    part: list[str], stages_copy: StagesCopy
) -> None:
    checkpoint = CHECKPOINT.replace("import server; result = 1", "import server; result = server.size")
    (stages_copy.folder / "stages/01-echo-server/test_checkpoint.py").write_text(checkpoint)
    stages_copy.desk("start", "01")
    server = stages_copy.work / "server.py"
    server.write_text("size = 1\n")
    assert "first  test_it_is_blue" in stages_copy.desk("check", "01")[1]
    server.write_text("size = 2\n")
    said = stages_copy.desk("check", "01", *part)[1]
    assert "`hint` speaks of what failed here" in said and "step  1" not in said
    assert "test_it_has_a_server: There is a server.\n\nHint 1 of 2 (shown" in stages_copy.desk("hint", "01")[1]
    assert "1 of 5 steps" in stages_copy.desk()[1]
    server.write_text("size = 1\n")
    said = stages_copy.desk("check", "01", "-k", "has_a_server")[1]
    assert "your steps stay as they were.\n" in said
    assert "test_it_is_blue: " in stages_copy.desk("hint", "01")[1]


def test_a_number_after_the_stage_is_a_step_and_nothing_else_is(stages_copy: StagesCopy) -> None:
    (stages_copy.folder / "stages/01-echo-server/test_checkpoint.py").write_text(CHECKPOINT)
    stages_copy.desk("start", "01")
    stages_copy.desk("check", "01")
    hint = stages_copy.desk("hint", "01")[1]
    for argument in ("9", "step1"):
        status, said = stages_copy.desk("check", "01", argument)
        assert status == 2
        assert f"{argument} is no step: stage 01 has the steps 1 to 5" in said
    status, said = stages_copy.desk("check", "01", "--no-such-option")
    assert status and "points" not in said, "nothing ran"
    assert stages_copy.desk("hint", "01")[1].splitlines()[0] == hint.splitlines()[0], "what failed is still known"


def test_a_long_check_that_fails_says_how_to_stop_at_the_first_failure(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    for long, named in ((0, True), (100, False)):
        path = stages_copy.folder / "stages/desk/check.py"
        path.write_text(re.sub(r"^LONG = \d+", f"LONG = {long}", path.read_text(), flags=re.M))
        (stages_copy.folder / "stages/01-echo-server/test_checkpoint.py").write_text(CHECKPOINT)
        assert stages_copy.desk("check", "01")[1].endswith("python3 -m stages check 01 -x\n") == named


def test_hint_for_an_unknown_check_lists_the_checks(stages_copy: StagesCopy) -> None:
    (stages_copy.folder / "stages/01-echo-server/test_checkpoint.py").write_text(CHECKPOINT)
    status, said = stages_copy.desk("hint", "01", "red")
    assert status == 2
    assert "test_it_has_a_server" in said and "test_it_is_blue" in said


def test_diff_shows_what_a_stage_adds(stages_copy: StagesCopy) -> None:
    status, said = stages_copy.desk("diff", "01", "02", "server.py")
    assert status == 0
    assert said.startswith("--- 01-echo-server/server.py\n+++ 02-resp-reader/server.py\n@@")
    assert "+from reader import ProtocolError, Reader" in said


def test_whoever_reads_a_diff_may_leave_before_its_end() -> None:
    command = f"{sys.executable} -m stages diff 03 04 | head -1"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("--- 03-writer/command.py\n", "")


def test_whoever_reads_the_road_may_leave_before_it_begins() -> None:
    command = f"{sys.executable} -B -m stages road | true"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_diff_hides_a_body_until_its_step_has_passed_or_it_is_asked_for(stages_copy: StagesCopy) -> None:
    body = "+        self._buffer += data"
    status, said = stages_copy.desk("diff", "01", "02")
    assert status == 0
    assert body not in said and "+        raise NotImplementedError" in said and "+def split_inline" in said
    assert "is not shown before" in said and "--solution" in said
    assert "transport.write" not in said.replace("transport.write(data)` never waits", "")
    assert body in stages_copy.desk("diff", "01", "02", "--solution")[1]
    (stages_copy.folder / ".progress.json").write_text(json.dumps({"02": {"passed": 1, "checks": 9, "steps": [2]}}))
    said = stages_copy.desk("diff", "01", "02")[1]
    assert body in said and "+        raise NotImplementedError" in said
    (stages_copy.folder / ".progress.json").write_text(json.dumps({"02": {"passed": 2, "checks": 2}}))
    said = stages_copy.desk("diff", "01", "02")[1]
    assert body in said and "NotImplementedError" in said  # what is written in stage 01 is still hidden


@pytest.mark.parametrize("stage", COURSE_FIRST[1:])
def test_no_body_that_is_to_be_written_is_in_a_diff(stage: int, stages_copy: StagesCopy) -> None:
    said = stages_copy.desk("diff", f"{stage - 1:02}", f"{stage:02}")[1]
    now, old = sources(stage_folder(stage)), sources(stage_folder(stage - 1))
    written = {(row.file, name) for row in read(stage_folder(stage)) for name in row.write}
    given = {  # a line that a given function has, too, tells nothing
        line.strip()
        for file, text in now.items()
        for name, node in functions(text)
        if (file, name) not in written
        for line in ast.unparse(node).splitlines()
    }
    for row in read(stage_folder(stage)):
        nodes, before = (dict(functions(each.get(row.file, ""))) for each in (now, old))
        for name in row.write:
            last = ast.unparse(nodes[name].body[-1])
            if name not in before or ast.unparse(before[name].body[-1]) != last:
                shown = [line[1:].strip() for line in said.splitlines() if line.startswith("+")]
                assert not (len(last) > 25 and last in shown and last not in given), f"{row.file}: {name}"


def test_a_stage_that_does_not_exist_is_named(stages_copy: StagesCopy) -> None:
    none = f"{STAGES[-1] + 1:02}"
    status, said = stages_copy.desk("start", none)
    assert status == 2
    assert f"there is no stage {none}; they are 01 to {STAGES[-1]:02}" in said


def test_only_the_outcome_of_a_whole_checkpoint_is_stored(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    (stages_copy.work / "server.py").write_text("colour = 'red'\n")
    (stages_copy.folder / "stages" / "01-echo-server" / "test_checkpoint.py").write_text(CHECKPOINT)
    assert "This was not the whole checkpoint" in stages_copy.desk("check", "01", "-x")[1]
    assert "begun, not checked" in stages_copy.desk()[1]
    assert "not the whole" not in stages_copy.desk("check", "01", "-q")[1]
    assert "1 of 5 steps" in stages_copy.desk()[1]


def test_a_watched_checkpoint_is_run_again_at_every_save(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    (stages_copy.folder / "stages" / "01-echo-server" / "test_checkpoint.py").write_text(CHECKPOINT)
    (stages_copy.work / "server.py").write_text("colour = 'red'\n")
    with stages_copy.begin("check", "01", "--watch") as watching:
        assert "1 failed, 1 passed" in watching.until("Waiting until a file")
        (stages_copy.work / "server.py").write_text("colour = 'blue'\n")
        assert "2 passed" in watching.until("Waiting until a file")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("stage", "most"), [(1, 4), *(pytest.param(stage, 1000, marks=pytest.mark.slow) for stage in STAGES)]
)
def test_a_check_of_a_starter_shows_one_failure_and_counts_the_others(
    stage: int, most: int, stages_copy: StagesCopy
) -> None:
    stages_copy.shorten(stage, *list(docstrings(stage))[:most])
    stages_copy.desk("start", f"{stage:02}", "--from-reference")
    status, said = stages_copy.desk("check", f"{stage:02}", "--patience=2")
    assert status == 1
    failure, _, others = said.partition("Others that failed:")
    assert len(failure.splitlines()) < 50 and others.count("first in") < 12, said
    assert said.count("Run it again:") == 1
    assert re.search(r"^    NotImplementedError: \w+(\.\w+)? ×\d+, first in test_", said, re.M), said  # noqa: RUF001


@pytest.mark.parametrize("stage", [1, 5])
def test_a_check_of_a_server_that_does_not_start_shows_its_traceback_once(stage: int, stages_copy: StagesCopy) -> None:
    checkpoint = (stage_folder(stage) / "test_checkpoint.py").read_text()
    starting = re.findall(r"^def (test_\w+)\(.*?\b(?:start|client|connect)\b", checkpoint, re.M)
    stages_copy.shorten(stage, *starting[:3])  # tests that start a server
    stages_copy.desk("start", f"{stage:02}", "--from-reference")
    path = stages_copy.work / "server.py"
    path.write_text(path.read_text().replace("class Server:", 'raise RuntimeError("early")\n\n\nclass Server:', 1))
    said = stages_copy.desk("check", f"{stage:02}", "--patience=5")[1]
    assert "Your server did not start" in said and said.count("RuntimeError: early") == 1
    assert "RuntimeError: line " in said and len(said.splitlines()) < 60


def test_a_check_of_a_program_that_is_stuck_says_where_and_ends(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    (stages_copy.work / "server.py").write_text("def main():\n    while True: pass\n\nmain()\n")
    said = stages_copy.desk("check", "01", "--patience=0.2")[1]
    assert "the program was here:\n    server.py, line 2, in main\n    server.py, line 4\n" in said
    assert "stuck in main again: the checks after this one were not run" in said and said.startswith("EE\n")
    assert "step  1  failed" in said and "step  2  not yet" in said


def test_a_check_that_passes_runs_the_earlier_checkpoints_too(stages_copy: StagesCopy) -> None:
    first = stages_copy.folder / "stages/01-echo-server/test_checkpoint.py"
    second = stages_copy.folder / "stages/02-resp-reader/test_checkpoint.py"
    first.write_text(CHECKPOINT)
    second.write_text(
        'def test_read(modules):\n    """It is there."""\n    modules.check("import reader; result = 1", 1)\n'
    )
    stages_copy.desk("start", "02", "--from-reference")
    status, said = stages_copy.desk("check", "02")
    assert status == 1
    assert "Stage 01: this worked, and has broken again." in said and "test_it_is_blue" in said
    assert "02 resp reader     passed" in stages_copy.desk()[1]
    with (stages_copy.work / "server.py").open("a") as file:
        file.write('\ncolour = "blue"\n')
    status, said = stages_copy.desk("check", "02")
    assert status == 0
    assert said.endswith("Stage 01: what is asked there still holds (2 checks).\n")
    until = '@pytest.mark.until("02")\ndef test_it_is'
    first.write_text("import pytest\n" + CHECKPOINT.replace("def test_it_is", until).replace('"blue"', '"red"'))
    assert "still holds (1 checks)" in stages_copy.desk("check", "02")[1]


def test_only_a_file_with_the_stages_own_name_in_it_begins_a_stage(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    (stages_copy.work / "writer.py").write_text("class Pen:\n    pass\n")
    assert stages_copy.desk()[1].count("not begun") == len(STAGES) - 1
