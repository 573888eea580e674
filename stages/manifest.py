"""The manifest: the table in a stage's README, and whether the sources bear it out. It runs no stage's code.

    | file | status | you write | given | moved from |
    |---|---|---|---|---|
    | `reader.py` | new | `Reader.feed` | `<module>`, `Reader` | |
    | `server.py` | grown | `Connection.data_received` | `<module>`, ~~`Server.old`~~ | `main` from `start.py` |
    | `writer.py` | carried | | | |

Names are qualified. `Reader` alone stands for the class's own lines, the methods' left out, and `<module>` for
all lines outside functions and classes. So every line of a file belongs to exactly one name, and no change
goes unnoticed. What each status claims is said in `problems`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HEADING = "## The files"
MODULE = "<module>"

Function = ast.FunctionDef | ast.AsyncFunctionDef
Sources = dict[str, str]  # a file's path in its folder -> its text


@dataclass(frozen=True)
class Row:
    """What the table says about one file."""

    file: str
    status: str
    write: tuple[str, ...]  # new or changed; a learner writes these
    given: tuple[str, ...]  # new or changed; the starter has these
    removed: tuple[str, ...]
    moved: dict[str, str]  # name -> the file it stood in before
    reason: str

    @property
    def named(self) -> set[str]:
        """What the table calls new or changed."""
        return {*self.write, *self.given}


def read(folder: Path) -> list[Row]:
    """Read the table in a folder's README.md; an empty list when it has none."""
    readme = folder / "README.md"
    text = readme.read_text() if readme.exists() else ""
    _, _, section = text.partition(f"\n{HEADING}\n")
    lines = [line for line in section.split("\n## ")[0].splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in line.strip("|\n ").split("|")] for line in lines]
    return [row(dict(zip(table[0], cells, strict=False))) for cells in table[2:]]


def row(cells: dict[str, str]) -> Row:
    """Read one line of the table, its cells by the heads of their columns."""
    given = cells.get("given", "")
    struck = tuple(re.findall(r"~~`([^`]+)`~~", given))
    return Row(
        file=cells["file"].strip("`"),
        status=cells["status"],
        write=quoted(cells.get("you write", "")),
        given=tuple(name for name in quoted(given) if name not in struck),
        removed=struck,
        moved={
            name: file
            for names, file in re.findall(r"((?:`[^`]+`[, ]*)+) from `([^`]+)`", cells.get("moved from", ""))
            for name in quoted(names)
        },
        reason=cells.get("why", ""),
    )


def quoted(text: str) -> tuple[str, ...]:
    """List the words in backticks."""
    return tuple(re.findall(r"`([^`]+)`", text))


def sources(folder: Path) -> Sources:
    """Read a folder's Python files, checkpoints left out."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*.py"))
        if path.name != "test_checkpoint.py"
    }


def functions(source: str) -> Iterator[tuple[str, Function]]:
    """List a file's functions and methods with their qualified names; what is inside them belongs to them."""
    for node in ast.parse(source).body:
        if isinstance(node, Function):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{part.name}", part) for part in node.body if isinstance(part, Function))


def first_line(node: Function | ast.ClassDef) -> int:
    """Tell the line on which a definition begins, decorators included."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def definitions(source: str) -> dict[str, str]:
    """Cut a file into its definitions: qualified name -> text.

    >>> definitions("import os\\n\\nclass A:\\n    x = 1\\n\\n    def f(self):\\n        pass\\n")
    {'<module>': 'import os', 'A': 'class A:\\n    x = 1', 'A.f': '    def f(self):\\n        pass'}
    """
    lines = source.splitlines()
    owner = [MODULE] * len(lines)
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    written = dict(functions(source))
    for name, node in [*((each.name, each) for each in classes), *functions(source)]:
        for number in range(first_line(node) - 1, node.end_lineno or 0):
            owner[number] = name
    texts: dict[str, list[str]] = {}
    for name, line in zip(owner, lines, strict=True):
        if line.strip() or name in written:  # blank lines between definitions belong to nobody
            texts.setdefault(name, []).append(line)
    return {name: "\n".join(text) for name, text in texts.items()}


def problems(rows: list[Row], now: Sources, before: Sources, additions: bool = True) -> list[str]:
    """Compare the table with the sources of a stage and of the one before; an empty list where it is true.

    carried: the texts are the same. new: the file was not there, and the table names everything in it that did
    not move there unchanged. grown: the table names exactly what differs, what is gone is struck through.
    removed: the file is gone, what did not move elsewhere is struck through. Nothing that is the same is named,
    and every file has its row. Without `additions`, as for final/, what was not there before, definition or file,
    need not be told.
    """
    listed = [row.file for row in rows]
    wanted = {*before, *(now if additions else ())}
    found = [f"{file}: is not in the table" for file in sorted(wanted - set(listed))]
    found += [f"{file}: stands in the table twice" for file in sorted(set(listed)) if listed.count(file) > 1]
    moved_away = {(file, name) for row in rows for name, file in row.moved.items()}
    for row in rows:
        found += [f"{row.file}: {what}" for what in wrong(row, now, before, moved_away, additions)]
    return found


def wrong(row: Row, now: Sources, before: Sources, moved_away: set[tuple[str, str]], additions: bool) -> Iterator[str]:
    """List what is not true of one row."""
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
    """List the names that a row should have and has not, and the other way round."""
    old = definitions(before.get(row.file, ""))
    kept = {**old, **origin(row, before)}
    changed = {name for name, text in now.items() if kept.get(name) != text}
    missing = {name for name in changed - row.named if additions or name in kept}
    gone = {name for name in old if name not in now and (row.file, name) not in moved_away} - {MODULE}
    told = set(row.removed)
    for names, what in (
        (missing, "is new or has changed, and is not named"),
        (row.named - set(now), "is named, but there is no such definition"),
        ((row.named & set(now)) - changed, "is named, but has not changed"),
        (gone - told, "was removed, and is not named struck through"),
        (told - gone, "is struck through, but was not removed from this file"),
        (set(row.write) & set(row.given), "is both to be written and given"),
        (set(row.moved) - set(now), "is said to have moved here, but is not here"),
        ({name for name in row.moved if name not in kept or name in old}, "did not stand where it is said to"),
    ):
        yield from (f"`{name}` {what}" for name in sorted(names))


def origin(row: Row, before: Sources) -> dict[str, str]:
    """Find the definitions that moved into a file, as they were."""
    files = {file: definitions(before.get(file, "")) for file in row.moved.values()}
    return {name: files[file][name] for name, file in row.moved.items() if name in files[file]}


def unwritable(rows: list[Row], now: Sources) -> list[str]:
    """Find what no learner can write: *you write* names functions that say in a docstring what they should do."""
    found = []
    for row in rows:
        nodes = dict(functions(now.get(row.file, "")))
        for name in row.write:
            if name not in nodes:
                found.append(f"{row.file}: `{name}` is to be written, but is no function")
            elif not ast.get_docstring(nodes[name]):
                found.append(f"{row.file}: `{name}` is to be written, and has no docstring that says how")
    return found


def without_dots(source: str) -> str:
    """Write a package's relative imports as the stages do: `from .reader import Reader` without its dot."""
    bare = re.sub(r"^(\s*)from \.+ import (?=\w)", r"\1import ", source, flags=re.M)
    return re.sub(r"^(\s*from )\.+(?=\w)", r"\1", bare, flags=re.M)
