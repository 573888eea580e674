"""Each test of a checkpoint fails on the starter of its stage, and on the stage before.

A test that passes there checks nothing new. On at least one of the two it must fail by its own assertion or by the
`NotImplementedError` of the starter: any other exception only shows that something is missing.
"""

from pathlib import Path

import pytest

from stages.desk.starter import starter, write
from stages.harness.course import STAGES, stage_folder
from tests.support import checkpoints
from tests.support.stages_copy import Note

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * checkpoints.SECONDS)]

BEFORE = Path(__file__).with_name("before")
OWN = {"assertion", "unwritten"}


def before(stage: int) -> Path:
    """Return the stage before; for a stage whose predecessor cannot be started in the same way, a stand-in."""
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
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
        note(f"checkpoint {stage:02} fails on {where}: {counts}")
    wrong += [f"{name} never fails by its own assertion: {kinds}" for name, kinds in seen.items() if not kinds & OWN]
    assert seen
    if wrong:
        pytest.fail(f"checkpoint {stage:02} has tests that check nothing new:\n" + "\n".join(wrong), pytrace=False)


def own_cases(stage: int, run: checkpoints.Run) -> list[checkpoints.Case]:
    """Leave out the tests that an earlier checkpoint has too."""
    carried = checkpoints.marked(stage, "carried")
    return [case for case in run.cases if case.name.split("[")[0] not in carried]


def outcome(case: checkpoints.Case) -> str:
    """Return the outcome; "unwritten" for the error of a function that the learner has to write."""
    return "unwritten" if case.outcome == "error" and "NotImplementedError" in case.message else case.outcome
