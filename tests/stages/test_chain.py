"""Each checkpoint also passes on the later stages, on final/, and on a real Redis."""

from pathlib import Path

import pytest

from stages.harness.course import COURSE, LAST, STAGES, stage_folder
from tests.support import checkpoints
from tests.support.stages_copy import Note

pytestmark = pytest.mark.timeout(2 * checkpoints.SECONDS)

TARGETS = {**{stage: f"stages/{stage_folder(stage).name}" for stage in STAGES}, LAST: "final"}
LINKS = [(stage, later) for stage in STAGES for later in TARGETS if later > stage]
ON_FINAL = (4, LAST)  # this checkpoint runs on final/ in `make test`; that of stage 05 starts forty servers
ON_REDIS = 4  # that checkpoint runs on a real Redis in `make test`
PAIRS = [
    pytest.param(
        *(stage, later),
        id=f"{stage:02}-on-{TARGETS[later]}",
        marks=[] if (stage < COURSE and later == stage + 1) or (stage, later) == ON_FINAL else pytest.mark.slow,
    )
    for stage, later in LINKS
]


@pytest.mark.parametrize(("stage", "later"), PAIRS)
def test_a_checkpoint_passes_on_later_stages_and_final(stage: int, later: int, tmp_path: Path, note: Note) -> None:
    passes(stage, later, TARGETS[later], tmp_path, note)


@pytest.mark.parametrize(
    "stage", [pytest.param(stage, marks=[] if stage == ON_REDIS else pytest.mark.slow) for stage in STAGES]
)
def test_a_checkpoint_passes_on_redis(stage: int, tmp_path: Path, note: Note) -> None:
    checkpoints.need_redis()
    passes(stage, LAST, "redis", tmp_path, note)


def passes(stage: int, later: int, target: str, folder: Path, note: Note) -> None:
    """Run a checkpoint on a later target: all its tests pass, except those that a mark `until` leaves out."""
    run = checkpoints.run(stage, target, folder)
    left = run.named("passed")
    if not left and not run.failed:
        pytest.fail(f"no test of checkpoint {stage:02} runs on {target}", pytrace=False)
    if run.status:
        pytest.fail(f"checkpoint {stage:02} fails on {target}:\n{run.summary()}", pytrace=False)
    replaced = {name for name, until in checkpoints.marked(stage, "until").items() if int(str(until)) <= later}
    assert not replaced & {case.name.split("[")[0] for case in run.cases}, "a replaced test has run"
    note(
        f"checkpoint {stage:02} on {target}: {len(left)} passed, {len(run.named('skipped'))} skipped, "
        f"{len(replaced)} replaced"
    )


@pytest.mark.parametrize("stage", STAGES)
def test_a_mark_until_names_a_later_stage(stage: int, note: Note) -> None:
    for name, until in checkpoints.marked(stage, "until").items():
        later = int(str(until))
        assert (stage, later) in LINKS, f"{name}: until={until}"
        note(f"checkpoint {stage:02} until {TARGETS[later].removeprefix('stages/')}: {name}")
