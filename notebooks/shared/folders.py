"""Where the stages' code is, which code an experiment runs on, and temporary folders for experiments."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from . import keeper

ROOT = Path(__file__).resolve().parents[2]

# conftest.py sets these. When a person runs the notebook, TARGET is empty.
TARGET = os.environ.get("NOTEBOOK_TARGET", "")  # a folder, or `reference`
STAGE = int(os.environ.get("NOTEBOOK_STAGE", "0"))  # the notebook's stage
STATIC = os.environ.get("NOTEBOOK_STATIC") == "1"  # whether nobody can move a slider

HAS_TARGET = TARGET not in ("", "reference")
WORK = Path(TARGET).resolve() if HAS_TARGET else ROOT / "work"  # the learner's files

if HAS_TARGET:
    sys.path.insert(0, str(WORK))  # conftest.py has replaced the stage's cells by imports from there


def stage_folder(stage: int) -> Path:
    """Return the folder of a stage's reference code."""
    return next((ROOT / "stages").glob(f"{stage:02}-*"))


def code_folder(stage: int) -> Path:
    """Return the folder of the code that an experiment runs on: TARGET for the notebook's stage, else the reference."""
    return WORK if HAS_TARGET and stage == STAGE else stage_folder(stage)


def temporary_folder() -> Path:
    """Make an empty folder. It is removed when the kernel ends, in whatever way."""
    folder = Path(tempfile.mkdtemp(prefix="notebook-")).resolve()
    keeper.keep("folder", folder)
    return folder
