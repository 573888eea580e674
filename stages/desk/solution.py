"""Show a diff from your code to the reference, after you have passed the stage or when you give up."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterator

from stages.desk.diff import coloured
from stages.desk.manifest import sources
from stages.desk.progress import recall
from stages.desk.shared import WORK, Complaint, begun, stage_number
from stages.harness.course import stage_folder


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the stage."""
    parser.add_argument("stage", type=stage_number, help="the stage that you have passed")
    parser.add_argument("--give-up", action="store_true", help="show it although not every check has passed")


def run(options: argparse.Namespace) -> int:
    """Print the diff, in colour on a terminal; raise Complaint when the stage is not passed."""
    stage: int = options.stage
    if not begun(stage):
        raise Complaint(f"work/ has no stage {stage:02} yet: type `python3 -m stages start {stage:02}`")
    if not recall(stage).done and not options.give_up:
        raise Complaint(
            f"not every check of stage {stage:02} has passed yet: type `python3 -m stages hint {stage:02}`,\n"
            f"or `python3 -m stages solution {stage:02} --give-up` to see it now"
        )
    for line in difference(stage):
        print(coloured(line) if sys.stdout.isatty() else line)
    return 0


def difference(stage: int) -> Iterator[str]:
    """Yield the lines of a unified diff from work/ to the reference, file by file."""
    own = sources(WORK)
    for file, text in sources(stage_folder(stage)).items():
        names = (f"work/{file}", f"{stage_folder(stage).name}/{file}")
        yield from difflib.unified_diff(own.get(file, "").splitlines(), text.splitlines(), *names, lineterm="")
