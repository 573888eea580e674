"""The mistakes and commands in stages/TEACHING.md exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from stages.__main__ import parser
from stages.desk.manifest import sources
from stages.desk.starter import write
from stages.harness.course import ROOT, STAGES, stage_folder
from stages.harness.steps import steps
from tests.support.planted import MISTAKES, read
from tests.support.stages_copy import StagesCopy

TEXT = (ROOT / "stages" / "TEACHING.md").read_text()


def test_the_table_of_mistakes_lists_planted_mistakes() -> None:
    planted = {(mistake.what, mistake.check, mistake.report) for mistake in map(read, MISTAKES.rglob("*.patch"))}
    told = re.findall(r"^\| \d\d \| (.*) \| `(.*?)` \| `(.*)` \|$", TEXT, flags=re.M)
    assert len(told) > 20
    assert set(told) - planted == set()


@pytest.mark.parametrize("stage", STAGES)
def test_the_table_of_tasks_has_the_steps_and_minutes_of_each_stage(stage: int) -> None:
    found = re.search(rf"^\| {stage:02} [^|]*\|[^|]*\| (\d+) \| (\d+) \|", TEXT, flags=re.M)
    rows = steps(stage_folder(stage))
    assert found and (int(found[1]), int(found[2])) == (len(rows), sum(row.minutes for row in rows))


COMMANDS = re.findall(r"python3 -m stages ([a-z]+ [^`\n]+)", re.sub(r" \\\n +", " ", TEXT))


@pytest.mark.parametrize("line", sorted(set(COMMANDS)))
def test_its_commands_can_be_run(line: str) -> None:
    args = shlex.split(re.split(r" {2,}", line)[0].split(" (")[0].replace("[", "").replace("]", ""))
    parser().parse_args(args)


@pytest.mark.slow
def test_its_hidden_test_tells_who_has_this_years_command(stages_copy: StagesCopy, tmp_path: Path) -> None:
    stages_copy.shorten(4, "test_type_names_the_kind_of_value")
    found = re.search(r"```python\n(.*?)```", TEXT, flags=re.S)
    assert found
    write({"test_getdel.py": found[1]}, tmp_path / "extra")
    files = sources(stage_folder(4))
    write(files, tmp_path / "in" / "last-year")
    getdel = """

@command
def getdel(db: Store, key: bytes) -> Value:
    value = db.get(key, STRING)
    if db.delete(key):
        db.changed(key)
    return value
"""
    write(files | {"strings.py": files["strings.py"] + getdel}, tmp_path / "in" / "this-year")
    args = ("--stage", "04", "--out", tmp_path / "out", "--extra", tmp_path / "extra")
    assert stages_copy.desk("grade", tmp_path / "in", *args)[0] == 0
    pages = {name: (tmp_path / "out" / f"{name}.txt").read_text() for name in ("last-year", "this-year")}
    assert "Other checks: 0 of 20 points\n  2 hidden" in pages["last-year"]
    assert "Other checks: 20 of 20 points\n  2 hidden" in pages["this-year"]
    assert "getdel" not in pages["last-year"].lower()
