"""Grades a submission that starts a real Redis instead of a server of its own, and prints its points for each stage.

It can do so only where submissions are not kept apart: in namespaces a submission sees no other program.
`stages/TEACHING.md` has these figures. It takes some minutes: `python3 -m tests.tools.proxy [STAGE ...]`
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from stages.desk.manifest import sources
from stages.desk.starter import write
from stages.harness.course import STAGES, stage_folder
from stages.teacher import results
from stages.teacher.assess import Limits, assess
from stages.teacher.isolation import MODES
from tests.support.hostile import PROXY


def write_proxy(stage: int, folder: Path) -> Path:
    """Write a submission of a stage: all its files are empty but server.py, which becomes a redis-server."""
    write({file: "" for file in sources(stage_folder(stage))} | {"server.py": PROXY}, folder)
    return folder


def main(stages: list[int]) -> None:
    """Print a line for each stage."""
    for stage in stages:
        with tempfile.TemporaryDirectory() as folder:
            grade = assess(write_proxy(stage, Path(folder, "proxy")), stage, Limits(patience=1), MODES[-1])
        print(f"{stage:02} {results.row(grade)}", flush=True)


if __name__ == "__main__":
    main([int(stage) for stage in sys.argv[1:]] or STAGES)
