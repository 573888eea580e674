"""Parses the table in a stage's README, and finds the functions in Python files; runs no code of a stage.

    | file | status | you write | given | moved from |
    |---|---|---|---|---|
    | `reader.py` | new | `Reader.feed` | `<module>`, `Reader` | |
    | `server.py` | grown | `Connection.data_received` | `<module>`, ~~`Server.old`~~ | `main` from `start.py` |
    | `engine.py` | new | `Engine.run` | | `Engine.run` was `Server.execute` from `server.py` |

    Carried over unchanged: `client.py`, `writer.py`.

Names are qualified; `tests/support/definitions.py` says which lines belong to which name, and `tests/support/table.py`
what each status claims.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stages.harness.steps import quoted, section, table

HEADING = "## The files"

Function = ast.FunctionDef | ast.AsyncFunctionDef
Sources = dict[str, str]  # a file's path in its folder -> its text


@dataclass(frozen=True)
class Row:
    """One row of the table: what it says about a file."""

    file: str
    status: str
    write: tuple[str, ...]  # new or changed; a learner writes these
    given: tuple[str, ...]  # new or changed; the starter has these
    removed: tuple[str, ...]
    moved: dict[str, str]  # name -> the file it was in before
    was: dict[str, str]  # name -> the name that it had there, where that was another one
    reason: str

    def origin(self, name: str) -> tuple[str, str]:
        """Return the file and the name that a definition had in the stage before."""
        return self.moved.get(name, self.file), self.was.get(name, name)

    @property
    def named(self) -> set[str]:
        """The names that the table calls new or changed."""
        return {*self.write, *self.given}


def read(folder: Path) -> list[Row]:
    """Return the rows of the table in a folder's README.md, and one for each file that is named as carried below it."""
    carried = re.search(r"^Carried over unchanged: (?:.+\n?)+", section(folder, HEADING), re.M)
    files = quoted(carried[0]) if carried else ()
    return [row(cells) for cells in (*table(folder, HEADING), *({"file": file, "status": "carried"} for file in files))]


def row(cells: dict[str, str]) -> Row:
    """Make a row from its cells: heading of the column -> text."""
    given = cells.get("given", "")
    struck = tuple(re.findall(r"~~`([^`]+)`~~", given))
    moves = re.findall(r"((?:`[^`]+`[, ]*)+)(?:was `([^`]+)` )?from `([^`]+)`", cells.get("moved from", ""))
    return Row(
        file=cells["file"].strip("`"),
        status=cells["status"],
        write=quoted(cells.get("you write", "")),
        given=tuple(name for name in quoted(given) if name not in struck),
        removed=struck,
        moved={name: file for names, _, file in moves for name in quoted(names)},
        was={name: old for names, old, _ in moves for name in quoted(names) if old},
        reason=cells.get("why", ""),
    )


def sources(folder: Path) -> Sources:
    """Return the Python files of a folder and its subfolders, without test_checkpoint.py."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*.py"))
        if path.name != "test_checkpoint.py"
    }


def functions(source: str) -> Iterator[tuple[str, Function]]:
    """Yield each function and method of a file with its qualified name; not the functions inside them."""
    for node in ast.parse(source).body:
        if isinstance(node, Function):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{part.name}", part) for part in node.body if isinstance(part, Function))


def first_line(node: ast.stmt) -> int:
    """Return the number of a statement's first line, decorators included."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def below_docstring(node: Function) -> list[ast.stmt]:
    """Return a function's statements without its docstring."""
    return node.body[ast.get_docstring(node) is not None :]
