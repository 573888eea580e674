"""The inverse check: what a checkpoint calls new is not there in the starter, nor in the stage before.

A test that passes there shows nothing. It should also fail by what it asserts: a failure to start or to import,
or any other exception, says only that something is missing, so these are counted apart, and each test function
needs a better one somewhere.
"""

from pathlib import Path

import pytest

from stages.desk.starter import starter, write
from stages.harness.course import STAGES, stage_folder
from tests.support import checkpoints
from tests.support.house import Note

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * checkpoints.SECONDS)]

BEFORE = Path(__file__).with_name("before")
OWN = {"assertion", "unwritten"}


def before(stage: int) -> Path:
    """Give what stands before a stage; where the stage before cannot be started as this one is, a stand-in."""
    return {1: BEFORE / "silent", 5: BEFORE / "forgetful"}.get(stage) or stage_folder(stage - 1)


@pytest.mark.parametrize("stage", STAGES)
def test_a_checkpoint_fails_on_its_starter_and_on_the_stage_before(stage: int, tmp_path: Path, note: Note) -> None:
    write(starter(stage), tmp_path / "starter")
    seen: dict[str, set[str]] = {}
    wrong = []
    for where, target in (("the starter", tmp_path / "starter"), ("the stage before", before(stage))):
        cases = own_cases(stage, checkpoints.run(stage, target, tmp_path))
        for case in cases:
            seen.setdefault(case.name.split("[")[0], set()).add(outcome(case))
        wrong += [f"{case.name} {case.outcome} on {where}" for case in cases if case.outcome in ("passed", "skipped")]
        kinds = [outcome(case) for case in cases]
        told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
        note(f"checkpoint {stage:02} fails on {where}: {told}")
    wrong += [f"{name} never fails by its own assertion: {kinds}" for name, kinds in seen.items() if not kinds & OWN]
    assert seen
    if wrong:
        pytest.fail(f"checkpoint {stage:02} does not show what is new:\n" + "\n".join(wrong), pytrace=False)


def own_cases(stage: int, run: checkpoints.Run) -> list[checkpoints.Case]:
    """Leave out the tests that an earlier checkpoint has too."""
    carried = checkpoints.marked(stage, "carried")
    return [case for case in run.cases if case.name.split("[")[0] not in carried]


def outcome(case: checkpoints.Case) -> str:
    """Sort out of the errors those of a function that the learner has still to write."""
    return "unwritten" if case.outcome == "error" and "NotImplementedError" in case.said else case.outcome
