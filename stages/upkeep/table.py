"""Checks that the table in a stage's README is true of the sources."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from stages.desk.manifest import MODULE, Row, Sources, definitions, functions


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
