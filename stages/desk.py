"""What the desk's parts share: the stages by number, the learner's folder, and how to complain."""

from __future__ import annotations

import argparse

from stages.target import NEW_FILE, ROOT, stage_folder

STAGES = [stage for stage in sorted(NEW_FILE) if stage_folder(stage).is_dir()]  # a handout has not all
TASKS = [stage for stage in STAGES if (stage_folder(stage) / "test_checkpoint.py").exists()]
WORK = ROOT / "work"


class Complaint(Exception):
    """Something cannot be done; the message says what to type instead."""


def stage_number(text: str) -> int:
    """Read a stage as one types it: `3`, `03` or `03-writer`."""
    head = text.split("-")[0]
    if not head.isdecimal() or int(head) not in STAGES:
        raise argparse.ArgumentTypeError(f"there is no stage {text}; they are {STAGES[0]:02} to {STAGES[-1]:02}")
    return int(head)


def title(stage: int) -> str:
    """Name a stage by its folder: `03 writer`."""
    return stage_folder(stage).name.replace("-", " ")


def begun(stage: int) -> bool:
    """Tell whether the learner has begun a stage: its new file is in work/."""
    return (WORK / NEW_FILE[stage]).is_file()


def reached() -> int:
    """Tell the last stage that the learner has begun; complain where there is none."""
    stages = [stage for stage in STAGES if begun(stage)]
    if not stages:
        raise Complaint("work/ holds no stage yet: type `python3 -m stages start 01`")
    return stages[-1]
