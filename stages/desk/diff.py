"""Show what differs between two stages: the lesson."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterator

from stages.desk.manifest import sources
from stages.desk.shared import stage_number
from stages.harness.course import stage_folder

COLOURS = {"+": "\033[32m", "-": "\033[31m", "@": "\033[36m"}
PLAIN = "\033[0m"


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the two stages, and a file."""
    parser.add_argument("old", type=stage_number, help="the earlier stage")
    parser.add_argument("new", type=stage_number, help="the later stage")
    parser.add_argument("file", nargs="?", help="show only this file")


def run(options: argparse.Namespace) -> int:
    """Print the diff, in colour on a terminal."""
    for line in difference(options.old, options.new, options.file):
        print(coloured(line) if sys.stdout.isatty() else line)
    return 0


def difference(old: int, new: int, only: str | None = None) -> Iterator[str]:
    """Yield the lines of a unified diff, file by file; `only` is the name of one file."""
    before, now = (sources(stage_folder(stage)) for stage in (old, new))
    for file in sorted({*before, *now}):
        if only in (None, file):
            yield from difflib.unified_diff(
                before.get(file, "").splitlines(),
                now.get(file, "").splitlines(),
                f"{stage_folder(old).name}/{file}",
                f"{stage_folder(new).name}/{file}",
                lineterm="",
            )


def coloured(line: str) -> str:
    """Return a line of a diff in the colour of its first character."""
    colour = COLOURS.get(line[:1])
    return f"{colour}{line}{PLAIN}" if colour else line
