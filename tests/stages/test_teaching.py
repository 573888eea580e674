"""The mistakes and commands in stages/TEACHING.md exist."""

from __future__ import annotations

import re

import pytest

from stages.__main__ import parser
from stages.harness.course import ROOT, STAGES, stage_folder
from stages.harness.steps import steps
from tests.support.planted import MISTAKES, read

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


@pytest.mark.parametrize("line", sorted(set(re.findall(r"python3 -m stages ([a-z]+ [^`\n]+)", TEXT))))
def test_its_commands_can_be_run(line: str) -> None:
    args = re.split(r" {2,}", line)[0].split(" (")[0].replace("[", "").replace("]", "").split()
    parser().parse_args(args)
