"""The steps of a stage: the table, the checkpoint and the starter agree, and each step can be written and checked.

The starter is filled step by step with the bodies of the reference.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from stages.desk.manifest import read, sources
from stages.desk.starter import made, write
from stages.harness.course import COURSE, STAGES, stage_folder
from stages.harness.steps import steps
from tests.support import checkpoints
from tests.support.road import COURSE_FIRST

QUICK = 1
"""After so many written steps, the check of a stage of the course belongs to `make test`: each takes some seconds."""
SLOW = [pytest.mark.slow]

STEPS = {stage: steps(stage_folder(stage)) for stage in STAGES}
FILLED = [
    pytest.param(*(stage, count), id=f"{stage:02}-{count}", marks=[] if count == QUICK and stage <= COURSE else SLOW)
    for stage in STAGES
    for count in range(len(STEPS[stage]))
]
each_stage = pytest.mark.parametrize("stage", STAGES)


def checks_of(stage: int) -> dict[str, int]:
    """Map each test of a checkpoint to its step, in the order of the file; 0 if it belongs to none."""
    marks = checkpoints.marked(stage, "step")
    names = [node.name for node in checkpoints.tests_of(stage) if node.name.startswith("test_")]
    return {name: int(str(marks.get(name, 0))) for name in names}


@each_stage
def test_the_steps_are_numbered_and_take_5_to_20_minutes_and_their_points_add_up_to_100(stage: int) -> None:
    assert [step.number for step in STEPS[stage]] == list(range(1, len(STEPS[stage]) + 1))
    assert [step for step in STEPS[stage] if not 5 <= step.minutes <= 20] == []
    assert STEPS[stage][0].minutes <= 10
    assert sum(step.points for step in STEPS[stage]) == 100


@each_stage
def test_each_function_that_a_learner_writes_stands_in_a_row_once(stage: int) -> None:
    table = Counter(name for row in read(stage_folder(stage)) for name in row.write)
    rows = Counter(name for step in STEPS[stage] for name in step.write if name not in step.again)
    assert rows == table
    for step in STEPS[stage]:
        assert step.again <= {name for each in STEPS[stage][: step.number - 1] for name in each.write}


@pytest.mark.parametrize("stage", COURSE_FIRST)
def test_every_test_has_a_step_and_the_tests_are_in_the_order_of_the_steps(stage: int) -> None:
    found = {name: step for name, step in checks_of(stage).items() if step}
    assert set(checks_of(stage)) - set(found) == set(checkpoints.marked(stage, "carried"))
    assert list(found.values()) == sorted(found.values())
    with_points = {step for name, step in found.items() if name not in checkpoints.marked(stage, "needs")}
    assert with_points == {step.number for step in STEPS[stage]}


@pytest.mark.parametrize(("stage", "count"), FILLED)
def test_a_step_passes_when_it_is_written_and_the_next_one_does_not(stage: int, count: int, tmp_path: Path) -> None:
    following = STEPS[stage][count]
    names = {name for step in STEPS[stage][:count] for name in step.write}
    fill(stage, names, tmp_path / "written")
    checks = {name: step for name, step in checks_of(stage).items() if step}
    last, later = ([name for name, step in checks.items() if step == number] for number in (count, count + 1))
    if following.again:  # the bodies of the reference have what is written later: test it without them
        fill(stage, names - following.again, tmp_path / "less")
        passed = checkpoints.run(stage, tmp_path / "written", tmp_path, "-x", tests=last)
        failed = checkpoints.run(stage, tmp_path / "less", tmp_path, "-x", tests=later)
        assert not passed.failed, f"step {count} is written, and does not pass:\n{passed.summary()}"
    else:
        failed = checkpoints.run(stage, tmp_path / "written", tmp_path, "-x", tests=last + later)
    assert failed.failed, f"step {count + 1} passes before it is written"
    name = failed.failed[0].name.split("[")[0]
    assert name in later, f"step {count} is written, and does not pass:\n{failed.summary()}"


def fill(stage: int, names: set[str], folder: Path) -> None:
    """Write the starter with the reference's bodies of some functions."""
    rows = [
        replace(row, write=tuple(name for name in row.write if name not in names)) for row in read(stage_folder(stage))
    ]
    before = sources(stage_folder(stage - 1)) if stage > 1 else {}
    write(made(rows, sources(stage_folder(stage)), before), folder)
