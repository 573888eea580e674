"""Show what differs between two stages: the lesson, without the bodies that are still yours to write."""

from __future__ import annotations

import argparse
import difflib
import signal
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from stages.desk.manifest import Row, Sources, functions, read, sources
from stages.desk.progress import recall
from stages.desk.shared import stage_number
from stages.desk.starter import old_body, taken_out
from stages.harness.course import STAGES, stage_folder
from stages.harness.steps import steps

COLOURS = {"+": "\033[32m", "-": "\033[31m", "@": "\033[36m"}
PLAIN = "\033[0m"


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the two stages, and a file."""
    parser.add_argument("old", type=stage_number, help="the earlier stage")
    parser.add_argument("new", type=stage_number, help="the later stage")
    parser.add_argument("file", nargs="?", help="show only this file")
    parser.add_argument("--solution", action="store_true", help="show also the bodies that are still yours to write")


def run(options: argparse.Namespace) -> int:
    """Print the diff, in colour on a terminal."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| less` may be left before the end
    hide = {} if options.solution else {stage: names for stage in STAGES if (names := unpassed(stage))}
    before, now = (shown(stage, hide) for stage in (options.old, options.new))
    files = [file for file in sorted({*before, *now}) if options.file in (None, file)]
    show(before, now, (stage_folder(options.old).name, stage_folder(options.new).name), files)
    unseen = [f"{stage:02}" for stage in hide if stage in (options.old, options.new)]
    if unseen:
        print(f"\nWhat you write in stage {' and '.join(unseen)} is not shown before its step has passed.")
        print("To see it now, add --solution.")
    return 0


def unpassed(stage: int) -> set[str]:
    """Return the functions of a stage that are written in steps which have not passed yet."""
    progress = recall(stage)
    return {
        name
        for step in steps(stage_folder(stage))
        if not progress.done and step.number not in progress.steps
        for name in step.write
    }


def shown(stage: int, hide: Mapping[int, Collection[str]]) -> Sources:
    """Return the files of a stage without the bodies of the functions `hide`: stage -> names.

    A function that the stage before has too keeps the body that it has there, as in the starter.
    """
    now = sources(stage_folder(stage))
    before = shown(stage - 1, hide) if stage - 1 in STAGES else {}
    whole = sources(stage_folder(stage - 1)) if stage - 1 in STAGES else {}
    files = {}
    for row in read(stage_folder(stage)):
        if row.file in now:
            hidden = replace(row, write=tuple(name for name in row.write if name in hide.get(stage, ())))
            files[row.file] = taken_out(hidden, now[row.file], before)
            files[row.file] = with_bodies(files[row.file], row, before, whole)
    return now | files


def with_bodies(source: str, row: Row, before: Sources, whole: Sources) -> str:
    """Take the bodies that a stage has not changed from the files of the stage before, where they may be hidden.

    `whole` has the files of the stage before with all bodies. In a handout, what grows in the last stage has the body
    from there, too.
    """
    bodies = {name: old_body(name, source) for name, _ in functions(source)}
    origins = {name: row.origin(name) for name in bodies}
    unchanged = tuple(
        name
        for name, (file, old) in origins.items()
        if name not in row.named or bodies[name] == old_body(old, whole.get(file, ""))
    )
    return taken_out(replace(row, write=unchanged), source, before, missing=False)


def show(before: Sources, now: Sources, folders: tuple[str, str], files: Iterable[str]) -> None:
    """Print a unified diff, file by file, in colour on a terminal; `folders` are the titles of the two sides."""
    for file in files:
        titles = (f"{folders[0]}/{file}", f"{folders[1]}/{file}")
        old, new = (side.get(file, "").splitlines() for side in (before, now))
        for line in difflib.unified_diff(old, new, *titles, lineterm=""):
            colour = COLOURS.get(line[:1]) if sys.stdout.isatty() else ""
            print(f"{colour}{line}{PLAIN}" if colour else line)
