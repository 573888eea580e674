"""What all commands share: the folder work/, how a stage is typed, and the error that says what to type instead."""

from __future__ import annotations

import argparse
from pathlib import Path

from stages.harness.course import ROOT, STAGES, has_stage

WORK = ROOT / "work"


class Complaint(Exception):
    """The command cannot do what it was asked; the message says what to type instead."""


def stage_number(text: str) -> int:
    """Parse a stage given as `3`, `03` or `03-writer`; raise ArgumentTypeError when there is no such stage."""
    head = text.split("-")[0]
    if not head.isdecimal() or int(head) not in STAGES:
        raise argparse.ArgumentTypeError(f"there is no stage {text}; they are {STAGES[0]:02} to {STAGES[-1]:02}")
    return int(head)


def check_new(folder: Path) -> None:
    """Raise Complaint when there is something in a folder that a command is to write."""
    if folder.exists() and any(folder.iterdir()):
        raise Complaint(f"{folder} is not empty, so nothing was written: choose a new folder with --out")


def begun(stage: int) -> bool:
    """Whether the learner has begun a stage: the file that the stage adds is in work/."""
    return has_stage(WORK, stage)


def reached() -> int:
    """Return the last stage that the learner has begun; raise Complaint when there is none."""
    stages = [stage for stage in STAGES if begun(stage)]
    if not stages:
        raise Complaint("work/ holds no stage yet: type `python3 -m stages start 01`")
    return stages[-1]
