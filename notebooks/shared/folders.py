"""Where the stages' code is, which code an experiment runs on, and temporary folders for experiments."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from . import keeper

ROOT = Path(__file__).resolve().parents[2]

IS_HANDOUT = not (ROOT / "stages" / "desk" / "solution.py").exists()  # its last stage has no solutions

# conftest.py sets these. When a person runs the notebook, TARGET is empty; in a handout it is work/.
TARGET = os.environ.get("NOTEBOOK_TARGET", str(ROOT / "work") if IS_HANDOUT else "")  # a folder, or `reference`
STAGE = int(os.environ.get("NOTEBOOK_STAGE", "0"))  # the notebook's stage
IMPORTS = os.environ.get("NOTEBOOK_IMPORTS") == "1"  # whether the stage's cells are imports from TARGET
STATIC = os.environ.get("NOTEBOOK_STATIC") == "1"  # whether nobody can move a slider

if IS_HANDOUT and not STAGE:
    STAGE = max(int(folder.name[:2]) for folder in (ROOT / "stages").glob("[0-9][0-9]-*"))

HAS_TARGET = TARGET not in ("", "reference")
WORK = Path(TARGET).resolve() if HAS_TARGET else ROOT / "work"  # the learner's files


def stage_folder(stage: int) -> Path:
    """Return the folder of a stage's reference code."""
    return next((ROOT / "stages").glob(f"{stage:02}-*"))


def code_folder(stage: int) -> Path:
    """Return the folder of the code that an experiment runs on: TARGET for the notebook's stage, else the reference."""
    return WORK if HAS_TARGET and stage == STAGE else stage_folder(stage)


def is_complete(stage: int) -> bool:
    """Whether a stage's folder has all its code: with `--chain` a handout has no solution of an earlier stage."""
    return not any("raise NotImplementedError" in path.read_text() for path in stage_folder(stage).glob("*.py"))


def temporary_folder() -> Path:
    """Make an empty folder. It is removed when the kernel ends, in whatever way."""
    folder = Path(tempfile.mkdtemp(prefix="notebook-")).resolve()
    keeper.keep("folder", folder)
    return folder


# Without this the notebook imports the code of the stage before, and defines the rest itself.
if HAS_TARGET and (IMPORTS or (STAGE > 1 and not is_complete(STAGE - 1))):
    sys.path.insert(0, str(WORK))
