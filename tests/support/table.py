"""Checks that the table in a stage's README is true of the sources. `desk/manifest.py` shows what a table looks like.

For `final/`, the last stage is the stage before. Its file `aof.py` is `log/aof.py` there, in whatever room that is,
and relative imports count as the stages' flat ones (`flattened`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace

from stages.desk.manifest import Row, Sources, functions
from stages.harness.rooms import homes
from tests.support.definitions import MODULE, definitions

LINE_LENGTH = 120
RELATIVE = r"from \.[^\n]*? import (?:\([^)]*\)|[^\n(]*)(?: *#[^\n]*)?\n"


def problems(rows: list[Row], now: Sources, before: Sources, additions: bool = True) -> list[str]:
    """Compare the rows of a table with the stage's sources, `now`, and those of the stage before; list what is wrong.

    What each status claims:
    carried: the file's text is the same as before.
    new: there was no such file. The table names each definition in it, except those that moved there unchanged.
    grown: the table names exactly the definitions that differ; those that are gone are struck through.
    removed: the file is gone. The definitions that did not move to another file are struck through.

    A definition that has not changed must not be named, and every file has one row. With `additions=False`, as for
    `final/`, definitions and files that did not exist before need not be in the table.
    """
    listed = [row.file for row in rows]
    wanted = {*before, *(now if additions else ())}
    found = [f"{file}: is not in the table" for file in sorted(wanted - set(listed))]
    found += [f"{file}: stands in the table twice" for file in sorted(set(listed)) if listed.count(file) > 1]
    moved_away = {row.origin(name) for row in rows for name in row.moved}
    for row in rows:
        found += [f"{row.file}: {what}" for what in wrong(row, now, before, moved_away, additions)]
    return found


def wrong(row: Row, now: Sources, before: Sources, moved_away: set[tuple[str, str]], additions: bool) -> Iterator[str]:
    """List what is wrong in one row. `moved_away` has (file before, name) of all definitions that any row has moved."""
    if row.status not in ("new", "grown", "carried", "removed"):
        yield f"there is no status '{row.status}': new, grown, carried or removed"
        return
    for there, when, statuses in (
        (row.file in now, "in this stage", ("new", "grown", "carried")),
        (row.file in before, "in the stage before", ("grown", "carried", "removed")),
    ):
        if there != (row.status in statuses):
            yield f"is called {row.status}, but is {'' if there else 'not '}{when}"
            return
    if row.status == "carried":
        if now[row.file] != before[row.file]:
            yield "is called carried, but its text has changed"
        if row.named or row.removed or row.moved:
            yield "is called carried, and yet names are listed"
        return
    yield from wrong_names(row, definitions(now.get(row.file, "")), before, moved_away, additions)


def wrong_names(
    row: Row, now: dict[str, str], before: Sources, moved_away: set[tuple[str, str]], additions: bool
) -> Iterator[str]:
    """List the names that a row should have and does not have, and those that it should not have.

    `now` has the file's definitions in this stage: qualified name -> text.
    """
    old = definitions(before.get(row.file, ""))
    kept = {**old, **origin(row, before)}
    changed = {name for name, text in now.items() if kept.get(name) != text}
    missing = {name for name in changed - row.named if additions or name in kept}
    gone = {name for name in old if name not in now and (row.file, name) not in moved_away} - {MODULE}
    struck = set(row.removed)
    for names, what in (
        (missing, "is new or has changed, and is not named"),
        (row.named - set(now), "is named, but there is no such definition"),
        ((row.named & set(now)) - changed, "is named, but has not changed"),
        (gone - struck, "was removed, and is not named struck through"),
        (struck - gone, "is struck through, but was not removed from this file"),
        (set(row.write) & set(row.given), "is both to be written and given"),
        (set(row.moved) - set(now), "is said to have moved here, but is not here"),
        ({name for name in row.moved if name not in kept or name in old}, "was not in the file that it moved from"),
    ):
        yield from (f"`{name}` {what}" for name in sorted(names))


def origin(row: Row, before: Sources) -> dict[str, str]:
    """Return the text in the stage before of each definition that moved into the row's file: name -> text."""
    files = {file: definitions(before.get(file, "")) for file in row.moved.values()}
    homes_before = {name: row.origin(name) for name in row.moved}
    return {name: files[file][old] for name, (file, old) in homes_before.items() if old in files[file]}


def unwritable(rows: list[Row], now: Sources) -> list[str]:
    """List what a learner cannot write: each name under *you write* must be a function with a docstring."""
    found = []
    for row in rows:
        nodes = dict(functions(now.get(row.file, "")))
        for name in row.write:
            if name not in nodes:
                found.append(f"{row.file}: `{name}` is to be written, but is no function")
            elif not ast.get_docstring(nodes[name]):
                found.append(f"{row.file}: `{name}` is to be written, and has no docstring that says how")
    return found


# A package with rooms, compared with a flat stage


def flattened(rows: list[Row], now: Sources, before: Sources) -> tuple[list[Row], Sources]:
    """Name the files of a package with rooms as the stage `before` does, in the table and in the sources.

    `log/aof.py` becomes `aof.py` when the stage before has an `aof.py`. Where two rooms have a file of that name, the
    row that is called grown or carried says which of them is meant.
    """
    names = flat_names(now, before, {row.file for row in rows if row.status in ("grown", "carried")})
    flat_rows = [replace(row, file=names.get(row.file, row.file)) for row in rows]
    return flat_rows, {names.get(path, path): without_dots(text) for path, text in now.items()}


def flat_names(now: Sources, before: Sources, told: set[str]) -> dict[str, str]:
    """Map the path of each file that grew out of a file of the stage before to the name of that file."""
    return {path: name for name, path in homes(now, told).items() if name in before}


def code_of(files: Sources) -> Sources:
    """Return the files without their docstrings: a package's prose is its own, and no change that a table tells of."""
    return {path: without_docstrings(text) for path, text in files.items()}


def without_docstrings(source: str) -> str:
    """Replace the docstrings of a file, of its classes and of its functions by three dots.

    >>> print(without_docstrings("def one():\\n    'Return 1.'\\n    return 1\\n"), end="")
    def one():
        ...
        return 1
    """
    lines = source.splitlines(keepends=True)
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node):
            text = node.body[0]
            for number in range(text.lineno - 1, text.end_lineno or text.lineno):
                lines[number] = " " * text.col_offset + "...\n" if number == text.lineno - 1 else ""
    return "".join(lines)


def without_dots(source: str) -> str:
    r"""Write a package's relative imports as the stages do, in the order in which the stages have them.

    >>> without_dots("from ..protocol.reader import Reader\nfrom .aof import Log\nfrom . import keys\n")
    'import keys\nfrom aof import Log\nfrom reader import Reader\n'
    """
    flat = re.sub(rf"^(?:{RELATIVE})+", lambda block: flat_imports(block[0]), source, flags=re.M)
    return re.sub(rf"^([ \t]+)({RELATIVE})", lambda found: found[1] + flat_imports(found[2]), flat, flags=re.M)


def flat_imports(block: str) -> str:
    """Rewrite the lines of a block of relative imports, and sort them as ruff sorts them."""
    lines = [line for statement in re.findall(RELATIVE, block) for line in flat_import(statement)]
    return "".join(sorted(lines, key=lambda line: (line.startswith("from"), line.split()[1])))


def flat_import(statement: str) -> list[str]:
    """Rewrite one relative import; what ruff would join into one line is joined."""
    joined = statement
    if "import (" in statement:
        joined = " ".join(statement.replace("import (", "import ").replace(",\n)", "").split()) + "\n"
    if modules := re.match(r"from \.+ import (\w+(?:, \w+)*)(.*\n)", joined):
        return [f"import {module}{modules[2]}" for module in modules[1].split(", ")]
    statement = joined if len(joined) <= LINE_LENGTH + len("\n") else statement
    return [re.sub(r"^from \.(?:\.|\w+\.)*(?=\w+ import)", "from ", statement)]
