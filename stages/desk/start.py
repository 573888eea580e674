"""Put the starter of a stage into work/; your own files stay as they are."""

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
    """Declare the stage and the options."""
    parser.add_argument("stage", type=stage_number, help="the stage to begin")
    parser.add_argument(
        "--from-reference", action="store_true", help="use the reference's earlier files instead of yours"
    )
    parser.add_argument("--force", action="store_true", help="overwrite files in work/; a copy of work/ is made first")


def run(options: argparse.Namespace) -> int:
    """Write the files that are new; print what the learner has to change in the others."""
    stage: int = options.stage
    rows = read(stage_folder(stage))
    files = starter(stage)
    if not rows:
        raise Complaint(
            f"{stage_folder(stage).name} has no README.md with a table of its files: get a complete copy of the stages"
        )
    if not options.from_reference:
        if stage > 1 and not begun(stage - 1) and stage - 1 not in STAGES:
            raise Complaint(
                f"work/ has no stage {stage - 1:02} to build on: copy your own work/ of that stage here,\n"
                f"or type `python3 -m stages start {stage:02} --from-reference`: you then write its functions again"
            )
        if stage > 1 and not begun(stage - 1):
            raise Complaint(
                f"work/ has no stage {stage - 1:02} to build on: type `python3 -m stages start {stage - 1:02}`,\n"
                f"or `python3 -m stages start {stage:02} --from-reference` to begin here"
            )
        files = {row.file: files[row.file] for row in rows if row.status == "new"}
    put(files, stage, options.force)
    for line in to_do(rows, stage, options.from_reference):
        print(line)
    return 0


def put(files: Sources, stage: int, force: bool) -> None:
    """Write the files into work/.

    Raise Complaint when one of them exists; with `force` make a copy of work/ and overwrite it.
    """
    there = [file for file in files if (WORK / file).exists()]
    if there and not force:
        raise Complaint(
            f"work/ has {', '.join(there)} already, and nothing was written.\n"
            f"Add --force to overwrite them; a copy of work/ is made first. "
            f"To go on with them: `python3 -m stages check {stage:02}`"
        )
    if there:
        print(f"A copy of your files is in {kept_copy().name}/.")
    write(files, WORK)
    print(f"work/ has now: {', '.join(files)}")


def kept_copy() -> Path:
    """Copy work/ to a folder next to it, with the time in its name; return that folder."""
    copy = ROOT / f"work-{datetime.now():%Y-%m-%d-%H%M%S}"
    return Path(shutil.copytree(WORK, copy))


def to_do(rows: list[Row], stage: int, from_reference: bool) -> Iterator[str]:
    """List what the learner has to write and, in files of their own from the stage before, what to change."""
    for row in rows:
        if row.write:
            yield f"You write in {row.file}: {', '.join(row.write)}"
        if row.status == "grown" and row.given and not from_reference:
            yield f"Copy into {row.file} from stage {stage:02}: {', '.join(row.given)}"
    if stage - 1 in STAGES and not from_reference:
        yield f"What changes, as a diff: python3 -m stages diff {stage - 1:02} {stage:02}"
    yield f"Read stages/{stage_folder(stage).name}/README.md; then: python3 -m stages check {stage:02}"
