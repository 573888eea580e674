"""The starter: what a learner begins a stage with, made from its reference and its table; no marks in the code.

What is given is there. A function that the learner writes keeps its signature and its docstring, which says what
it should do. Below them a new one raises NotImplementedError; one that has grown does what it did before.
"""

from __future__ import annotations

import ast
from pathlib import Path

from stages.desk.manifest import Function, Row, Sources, functions, read, sources
from stages.harness.course import stage_folder


def starter(stage: int) -> Sources:
    """Make the starter of a stage: file -> text, a whole program."""
    before = sources(stage_folder(stage - 1)) if stage > 1 else {}
    return made(read(stage_folder(stage)), sources(stage_folder(stage)), before)


def made(rows: list[Row], now: Sources, before: Sources) -> Sources:
    """Take out of each file what the table gives the learner to write."""
    return {row.file: taken_out(row, now[row.file], before) for row in rows if row.file in now}


def taken_out(row: Row, source: str, before: Sources) -> str:
    """Take out of one file what is to be written, from its end on so that line numbers hold."""
    lines = source.splitlines()
    to_write = [(node, name) for name, node in functions(source) if name in row.write]
    for node, name in sorted(to_write, key=lambda pair: pair[0].lineno, reverse=True):
        old = before.get(row.moved.get(name, row.file), "")
        lines[body_start(node) : node.end_lineno] = old_body(name, old) or [
            " " * (node.col_offset + 4) + "raise NotImplementedError"
        ]
    return "\n".join(lines) + "\n"


def old_body(name: str, source: str) -> list[str]:
    """Give the lines that a function had below its docstring; none where it was not there."""
    node = dict(functions(source)).get(name)
    return source.splitlines()[body_start(node) : node.end_lineno] if node else []


def body_start(node: Function) -> int:
    """Tell how many lines of the file there are up to the end of a function's docstring."""
    first = node.body[0]
    return first.end_lineno or 0 if ast.get_docstring(node) is not None else first.lineno - 1


def write(files: Sources, folder: Path) -> None:
    """Write a stage's files into a folder."""
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
