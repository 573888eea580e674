"""Where the stages' code is, and which code an experiment runs on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# conftest.py sets these two. When a person runs the notebook, TARGET is empty.
TARGET = os.environ.get("NOTEBOOK_TARGET", "")  # a folder, or `reference`
STAGE = int(os.environ.get("NOTEBOOK_STAGE", "0"))  # the notebook's stage

if TARGET not in ("", "reference"):
    sys.path.insert(0, TARGET)  # conftest.py has replaced the stage's cells by imports from there


def stage_folder(stage: int) -> Path:
    """Return the folder of a stage's reference code."""
    return next((ROOT / "stages").glob(f"{stage:02}-*"))


def code_folder(stage: int) -> Path:
    """Return the folder of the code that an experiment runs on: TARGET for the notebook's stage, else the reference."""
    return stage_folder(stage) if TARGET in ("", "reference") or stage != STAGE else Path(TARGET)
