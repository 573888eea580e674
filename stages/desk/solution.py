"""Show a diff from your code to the reference, once you have passed the stage; with --out, write the reference."""

from __future__ import annotations

import argparse
from pathlib import Path

from stages.desk.diff import show
from stages.desk.manifest import sources
from stages.desk.progress import recall
from stages.desk.shared import WORK, Complaint, begun, check_new, stage_number
from stages.desk.starter import write
from stages.harness.course import stage_folder, title


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the stage and the options."""
    parser.add_argument("stage", type=stage_number, help="the stage that you have passed")
    parser.add_argument("--give-up", action="store_true", help="show it although not every check has passed")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write the reference into a new folder, for a class")


def run(options: argparse.Namespace) -> int:
    """Print the diff, in colour on a terminal, or write the reference; raise Complaint when the stage is not passed."""
    stage: int = options.stage
    if options.out:
        check_new(options.out)
        write(sources(stage_folder(stage)), options.out)
        print(f"{options.out} has the reference of stage {title(stage)}")
        return 0
    if not begun(stage):
        raise Complaint(f"work/ has no stage {stage:02} yet: type `python3 -m stages start {stage:02}`")
    if not recall(stage).done and not options.give_up:
        raise Complaint(
            f"not every check of stage {stage:02} has passed yet: type `python3 -m stages hint {stage:02}`,\n"
            f"or `python3 -m stages solution {stage:02} --give-up` to see it now"
        )
    reference = sources(stage_folder(stage))
    show(sources(WORK), reference, ("work", stage_folder(stage).name), reference)
    return 0
