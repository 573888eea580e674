"""Show the road: every stage, how far you are, and what to type next."""

from __future__ import annotations

import argparse

from stages.desk.progress import recall
from stages.desk.shared import begun
from stages.harness.course import COURSE, ROOT, TASKS, stage_folder, title
from stages.harness.steps import steps


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare no arguments."""


def run(options: argparse.Namespace) -> int:
    """Print a line for each stage, and the next command to type."""
    for stage in TASKS:
        if stage == COURSE + 1:
            print("The road goes on:")
        print(f"  {title(stage):<18} {state(stage)}")
    print(f"\nNext, type: {next_step()}")
    return 0


def state(stage: int) -> str:
    """Return how far the learner is with a stage."""
    progress = recall(stage)
    if not begun(stage):
        return "not begun"
    if not progress.checks:
        return "begun, not checked"
    if progress.done:
        return "passed"
    return f"{len(progress.steps)} of {len(steps(stage_folder(stage)))} steps"


def next_step() -> str:
    """Return the command to type next."""
    last = max((stage for stage in TASKS if begun(stage)), default=0)  # its check runs the earlier ones, too
    if last and not recall(last).done:
        return f"python3 -m stages check {last:02}"
    if left := [stage for stage in TASKS if stage > last]:
        return f"python3 -m stages start {left[0]:02}"
    if not (ROOT / "final").exists():
        return "python3 -m zipfile -c work.zip work/   (this is what you hand in)"
    return "python3 -m final --help   (the complete server; its map is final/__init__.py)"
