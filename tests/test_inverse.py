"""The inverse check: what a checkpoint calls new is not there in the starter, nor in the stage before.

A test that passes there shows nothing. It should also fail by what it asserts: a failure to start or to import
says only that something is missing, so these are counted apart, and each test needs a better one somewhere.
A starter's server always starts and its modules can always be imported.
"""

from pathlib import Path

import pytest

from stages.desk import STAGES
from stages.starter import starter, write
from stages.target import stage_folder
from tests import checkpoints
from tests.conftest import Note

BEFORE = Path(__file__).with_name("before")
OWN = ("assertion", "unwritten")


def before(stage: int) -> Path:
    """Give what stands before a stage; where the stage before cannot be started as this one is, a stand-in."""
    return {1: BEFORE / "silent", 5: BEFORE / "forgetful"}.get(stage) or stage_folder(stage - 1)


@pytest.mark.parametrize("stage", STAGES)
def test_a_checkpoint_fails_on_its_starter_and_on_the_stage_before(stage: int, tmp_path: Path, note: Note) -> None:
    write(starter(stage), tmp_path / "starter")
    outcomes: dict[str, list[str]] = {}
    for name, target in (("the starter", tmp_path / "starter"), ("the stage before", before(stage))):
        cases = own_cases(stage, checkpoints.run(stage, target, tmp_path))
        for case in cases:
            outcomes.setdefault(case.name, []).append(outcome(case))
        kinds = [outcome(case) for case in cases]
        told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
        note(f"checkpoint {stage:02} fails on {name}: {told}")
    wrong = [f"{name}: {' and '.join(kinds)}" for name, kinds in outcomes.items() if not shown(kinds)]
    assert outcomes
    assert not wrong, f"checkpoint {stage:02} on its starter, and on the stage before:\n" + "\n".join(wrong)


def own_cases(stage: int, run: checkpoints.Run) -> list[checkpoints.Case]:
    """Leave out the tests that an earlier checkpoint has too."""
    carried = checkpoints.marked(stage, "carried")
    return [case for case in run.cases if case.name.split("[")[0] not in carried]


def outcome(case: checkpoints.Case) -> str:
    """Sort out of the errors those of a function that the learner has still to write."""
    return "unwritten" if case.outcome == "error" and "NotImplementedError" in case.said else case.outcome


def shown(kinds: list[str]) -> bool:
    """Whether a test with these outcomes shows anything: it fails everywhere, and once by its own assertion."""
    return not {"passed", "skipped", "error"} & set(kinds) and any(kind in OWN for kind in kinds)
