"""Lay the starter of a stage into work/; your own files stay as they are."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from stages.desk.manifest import Row, Sources, read
from stages.desk.shared import WORK, Complaint, begun, stage_number
from stages.desk.starter import starter, write
from stages.harness.course import ROOT, STAGES, stage_folder


def declare(parser: argparse.ArgumentParser) -> None:
    """Take a stage."""
    parser.add_argument("stage", type=stage_number, help="the stage to begin")
    parser.add_argument(
        "--from-reference", action="store_true", help="begin on the reference's earlier files, not on yours"
    )
    parser.add_argument("--force", action="store_true", help="write over files of work/, after a copy of it was made")


def run(options: argparse.Namespace) -> int:
    """Write what is new; say in words what has to grow."""
    stage: int = options.stage
    rows = read(stage_folder(stage))
    files = starter(stage)
    if not rows:
        raise Complaint(f"{stage_folder(stage).name} has no README.md with a table: get a whole copy of the stages")
    if not options.from_reference:
        if stage > 1 and not begun(stage - 1) and stage - 1 not in STAGES:
            raise Complaint(
                f"work/ has no stage {stage - 1:02} to build on: put your own work/ here, as it was then,\n"
                f"or type `python3 -m stages start {stage:02} --from-reference`: what you wrote then is empty again"
            )
        if stage > 1 and not begun(stage - 1):
            raise Complaint(
                f"work/ has no stage {stage - 1:02} to build on: type `python3 -m stages start {stage - 1:02}`,\n"
                f"or `python3 -m stages start {stage:02} --from-reference` to jump in here"
            )
        files = {row.file: files[row.file] for row in rows if row.status == "new"}
    lay(files, stage, options.force)
    for line in told(rows, stage, options.from_reference):
        print(line)
    return 0


def lay(files: Sources, stage: int, force: bool) -> None:
    """Write the files into work/, over none that is there unless a copy was wanted first."""
    there = [file for file in files if (WORK / file).exists()]
    if there and not force:
        raise Complaint(
            f"work/ has {', '.join(there)} already, and nothing was written.\n"
            f"Add --force to write over them; a copy of work/ is kept then. "
            f"To go on instead: `python3 -m stages check {stage:02}`"
        )
    if there:
        print(f"Your files are kept in {kept_copy().name}/.")
    write(files, WORK)
    print(f"work/ has now: {', '.join(files)}")


def kept_copy() -> Path:
    """Copy work/ to a folder beside it with the time in its name."""
    copy = ROOT / f"work-{datetime.now():%Y-%m-%d-%H%M%S}"
    return Path(shutil.copytree(WORK, copy))


def told(rows: list[Row], stage: int, laid: bool) -> Iterator[str]:
    """Say what is to be written, and what has to grow in files that were there."""
    for row in rows:
        if row.write:
            yield f"You write in {row.file}: {', '.join(row.write)}"
        if row.status == "grown" and row.given and not laid:
            yield f"Take into {row.file} from stage {stage:02}: {', '.join(row.given)}"
    if stage - 1 in STAGES and not laid:
        yield f"What grows, as a diff: python3 -m stages diff {stage - 1:02} {stage:02}"
    yield f"Read stages/{stage_folder(stage).name}/README.md; then: python3 -m stages check {stage:02}"
