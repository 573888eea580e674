"""Makes the starter of a stage, what a learner begins with, from the stage's reference and the table in its README.

What the table gives is there as it is in the reference. A function that the learner writes keeps its signature and its
docstring, which says what it should do. The body of a new one raises NotImplementedError; a function that exists in
the stage before has its body from there.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

from stages.desk.manifest import Function, Row, Sources, below_docstring, functions, read, sources
from stages.harness.course import STAGES, stage_folder

UNWRITTEN = "raise NotImplementedError"


def starter(stage: int) -> Sources:
    """Return the files of a stage's starter: name -> text. They are a complete program."""
    before = sources(stage_folder(stage - 1)) if stage > 1 else {}
    return made(read(stage_folder(stage)), sources(stage_folder(stage)), before)


def made(rows: list[Row], now: Sources, before: Sources) -> Sources:
    """Return the files of a stage, `now`, without the bodies that the learner writes; `before` is the stage before."""
    return {row.file: taken_out(row, now[row.file], before) for row in rows if row.file in now}


def taken_out(row: Row, source: str, before: Sources, missing: bool = True) -> str:
    """Return one file without the bodies that the learner writes: they have the body from the stage before.

    Those that the stage before does not have are not implemented; with `missing=False` they stay.
    """
    lines = source.splitlines()
    to_write = [(node, name) for name, node in functions(source) if name in row.write]
    for node, name in sorted(to_write, key=lambda pair: pair[0].lineno, reverse=True):  # keeps line numbers
        file, old = row.origin(name)
        body = old_body(old, before.get(file, ""))
        if body or missing:
            lines[body_start(node) : node.end_lineno] = body or [" " * (node.col_offset + 4) + UNWRITTEN]
    return "\n".join(lines) + "\n"


def written(stage: int) -> set[tuple[str, str]]:
    """Return the (file, name) of all functions that the tables up to a stage have the learner write, as named there."""
    found: set[tuple[str, str]] = set()
    for each in (each for each in STAGES if each <= stage):
        for row in read(stage_folder(each)):
            come = {row.origin(name): (row.file, name) for name in row.moved if row.origin(name) in found}
            found = found - set(come) | set(come.values()) | {(row.file, name) for name in row.write}
    for file, text in sources(stage_folder(stage)).items():  # a handout has no solutions, and not all tables
        found |= {
            (file, name)
            for name, node in functions(text)
            if list(map(ast.unparse, below_docstring(node))) == [UNWRITTEN]
        }
    return found


def hidden(stage: int, given: bool = True) -> Sources:
    """Return the files of a stage without any body that the learner writes, in this stage or in one before.

    A body that the stage gives is in them, although it was to be written before, unless `given` is False.
    """
    texts = sources(stage_folder(stage))
    rows = {row.file: row for row in read(stage_folder(stage))}
    empty = Row("", "", (), (), (), {}, {}, "")
    found, to_write = {}, written(stage)
    for file, text in texts.items():
        shown = rows.get(file, empty).given if given else ()
        names = tuple(name for where, name in to_write if where == file and name not in shown)
        found[file] = taken_out(replace(empty, file=file, write=names), text, {})
    return found


def old_body(name: str, source: str) -> list[str]:
    """Return the lines below the docstring of the function `name`; an empty list when `source` has no such function."""
    node = dict(functions(source)).get(name)
    return source.splitlines()[body_start(node) : node.end_lineno] if node else []


def body_start(node: Function) -> int:
    """Return the number of lines from the top of the file to the end of a function's docstring."""
    first = node.body[0]
    return first.end_lineno or 0 if ast.get_docstring(node) is not None else first.lineno - 1


def write(files: Sources, folder: Path) -> None:
    """Write files, name -> text, into a folder."""
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
