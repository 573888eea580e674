"""The steps of a stage: the rows of the table 'An order to write in' in its README.

    | step | minutes | points | write | what to know |
    |---|--:|--:|---|---|
    | 1 | 5 | 10 | `Reader.feed` | One line. |
    | 2 | 10 | 20 | `parse_integer`, `Reader.next` | Strict: … |
    | 3 | 10 | 20 | `Reader.next` (inline) | … |

A function that grows in a later step stands there again, followed by what it then does, in brackets. A test of the
checkpoint belongs to the step that its mark `step(N)` names.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

ORDER = "## An order to write in"


@dataclass(frozen=True)
class Step:
    """One step: what its points are, and which functions are written in it."""

    number: int
    minutes: int
    points: int
    text: str  # what the table says is written
    write: tuple[str, ...]  # the names in it
    again: frozenset[str]  # those of them that an earlier step has too


@functools.cache
def steps(folder: Path) -> list[Step]:
    """Return the steps of the stage in a folder, in their order; an empty list when its README has none."""
    found = []
    for row in table(folder, ORDER):
        number, minutes, points = (int(row[title]) for title in ("step", "minutes", "points"))
        write, again = row["write"], frozenset(re.findall(r"`([^`]+)` \(", row["write"]))
        found.append(Step(number, minutes, points, write.replace("`", ""), quoted(write), again))
    return found


def section(folder: Path, heading: str) -> str:
    """Return the text between a heading and the next one in a folder's README.md; empty if there is none."""
    readme = folder / "README.md"
    text = readme.read_text() if readme.exists() else ""
    return text.partition(f"\n{heading}\n")[2].split("\n## ")[0]


def table(folder: Path, heading: str) -> list[dict[str, str]]:
    """Return the rows of the table below a heading in a folder's README.md: the title of a column -> text."""
    lines = [line for line in section(folder, heading).splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|\n ").split("|")] for line in lines]
    return [dict(zip(rows[0], cells, strict=False)) for cells in rows[2:]]


def quoted(text: str) -> tuple[str, ...]:
    """Return the names in backticks."""
    return tuple(re.findall(r"`([^`]+)`", text))
