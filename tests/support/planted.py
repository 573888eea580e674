"""Reads the planted mistakes: `tests/stages/mistakes/NN-…/NAME.patch`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stages.harness.course import ROOT

MISTAKES = ROOT / "tests" / "stages" / "mistakes"


@dataclass(frozen=True)
class Mistake:
    """The stage of a patch, and the first lines of the patch: the mistake, the check that finds it, and its message."""

    stage: int
    what: str
    check: str
    report: str
    sooner: tuple[str, ...] = ()  # checks before it that find the mistake by chance


def read(patch: Path) -> Mistake:
    """Read the lines at the head of a patch: two, or three."""
    first, second, third, *_ = patch.read_text().splitlines()
    what, _, check = first.removeprefix("# ").rpartition(" ")
    _, _, sooner = third.partition("# sooner by chance: ")
    return Mistake(int(patch.parent.name[:2]), what, check, second.removeprefix("# told: "), tuple(sooner.split()))
