"""Planted mistakes: each makes a wrong server, and the check that is meant for it must fail first.

A mistake is a patch on a stage's reference, `mistakes/NN-…/NAME.patch`. Its first line describes the mistake as a
learner would, and names the check that must fail first; the second line is a text that the report must contain. A third
line may name checks that are left out, as they fail before that one by chance: with some random data, or if the machine
is busy.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from stages.desk.manifest import sources
from stages.desk.starter import write
from stages.harness.course import COURSE, STAGES, stage_folder
from tests.support import checkpoints
from tests.support.planted import MISTAKES, read


def make(patch: Path, folder: Path) -> Path:
    """Make the wrong server: apply the patch to the stage's reference."""
    write(sources(stage_folder(int(patch.parent.name[:2]))), folder)
    apart = os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}  # git apply does nothing inside a repository
    done = subprocess.run(["git", "apply", str(patch)], cwd=folder, env=apart, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


QUICK = 1
"""So many mistakes of each stage of the course belong to `make test`; the others are slow tests: each takes seconds."""
SLOW = [pytest.mark.slow]

PATCHES = [
    pytest.param(patch, id=f"{stage:02}-{patch.stem}", marks=[] if place < QUICK and stage <= COURSE else SLOW)
    for stage in STAGES
    for place, patch in enumerate(sorted((MISTAKES / stage_folder(stage).name).glob("*.patch")))
]


@pytest.mark.parametrize("patch", PATCHES)
def test_a_mistake_fails_first_in_the_check_that_is_meant_for_it(patch: Path, tmp_path: Path) -> None:
    mistake = read(patch)
    left_out = ["-k", f"not ({' or '.join(mistake.sooner)})"] if mistake.sooner else []
    run = checkpoints.run(mistake.stage, make(patch, tmp_path / "server"), tmp_path, "-x", "--patience=2", *left_out)
    assert run.failed, f"no check fails: {mistake.what}"
    first = run.failed[0]
    assert mistake.check in (first.name, first.name.split("[")[0]), f"{first.name} fails first:\n{first.message}"
    assert mistake.report in first.message, first.message
    for part in ("Hint:", "Read:", "Run it again:"):
        assert f"\n{part}\n" in first.message, f"{part} is missing:\n{first.message}"


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_has_eight_mistakes(stage: int) -> None:
    assert len(list((MISTAKES / stage_folder(stage).name).glob("*.patch"))) >= 8
