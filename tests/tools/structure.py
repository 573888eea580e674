"""Prints the structure of a package: its rooms, layers, imports and cycles, and the sizes of functions and files.

    python3 -m tests.tools.structure [FOLDER]      (default: final)

A room is a folder directly in FOLDER, or a file there. An import for types only counts like any other.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import TypeVar

from stages.harness.course import ROOT

Node = TypeVar("Node", bound=Hashable)
Graph = Mapping[Node, set[Node]]  # each node, and the nodes it imports
LONG = 300  # lines of a file


def files_of(folder: Path) -> list[Path]:
    """List the Python files in a folder, relative to it."""
    return sorted(path.relative_to(folder) for path in folder.rglob("*.py"))


def room_of(file: Path) -> str:
    """Name the room of a file: `engine/` for a file in that folder, the file's own name at the top."""
    return f"{file.parts[0]}/" if len(file.parts) > 1 else file.name


def imports_of(folder: Path) -> dict[Path, set[Path]]:
    """Map each file of a folder to the files of the folder that it imports, at its top or in a function."""
    files = set(files_of(folder))
    return {file: set(imported(folder, file, files)) - {file} for file in sorted(files)}


def imported(folder: Path, file: Path, files: set[Path]) -> Iterator[Path]:
    """Yield the files that the imports of one file name, relative ones, `folder.module` and `module` alike."""
    for node in ast.walk(ast.parse((folder / file).read_text())):
        if isinstance(node, ast.Import):
            found = [file_of(without(folder.name, alias.name.split(".")), files) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module.split(".") if node.module else []
            if node.level:
                module = ["", *file.parts[: len(file.parts) - node.level], *module]
            module = without(folder.name, module)
            # `from .engine import client` names a module of that package, or else something in its __init__.py
            found = [file_of([*module, alias.name], files) or file_of(module, files) for alias in node.names]
        else:
            continue
        yield from (path for path in found if path)


def without(package: str, parts: list[str]) -> list[str]:
    """Return a module's name relative to its package: both `package.a.b` and `.a.b` are "", "a", "b"."""
    return ["", *parts[1:]] if parts[0] == package else parts


def file_of(parts: list[str], files: set[Path]) -> Path | None:
    """Return the file of a module, given as the parts of its dotted name, or None if it is not one of `files`."""
    path = Path(*parts)
    candidates = [path.with_suffix(".py")] if path.name else []
    return next((each for each in [*candidates, path / "__init__.py"] if parts and each in files), None)


def between_rooms(graph: Graph[Path]) -> dict[str, set[str]]:
    """Map each room to the other rooms that its files import."""
    rooms: dict[str, set[str]] = {room_of(file): set() for file in graph}
    for file, needs in graph.items():
        rooms[room_of(file)] |= {room_of(each) for each in needs} - {room_of(file)}
    return rooms


def reachable(graph: Graph[Node]) -> dict[Node, set[Node]]:
    """Map each node to all that it imports, directly and through others. A node in a cycle imports itself."""
    found: dict[Node, set[Node]] = {}
    for start in graph:
        seen: set[Node] = set()
        open_ = list(graph[start])
        while open_:
            node = open_.pop()
            if node not in seen:
                seen.add(node)
                open_.extend(graph[node])
        found[start] = seen
    return found


def cycles(graph: Graph[Node]) -> list[list[Node]]:
    """List the groups of nodes that all import each other, directly or through others, the largest first."""
    reach = reachable(graph)
    groups = {frozenset(each for each in reach[node] if node in reach[each]) for node in graph if node in reach[node]}
    return sorted((sorted(group, key=str) for group in groups), key=len, reverse=True)


def layers(graph: Graph[Node]) -> list[list[Node]]:
    """Sort the nodes into layers, each as low as its imports allow: a node imports lower layers and its own cycle."""
    reach = reachable(graph)
    left = set(graph)
    found: list[list[Node]] = []
    while left:
        lowest = [node for node in left if all(node in reach[need] for need in reach[node] & left)]
        found.append(sorted(lowest, key=str))
        left -= set(lowest)
    return found


def function_lengths(folder: Path) -> list[int]:
    """List the length of each function in lines, from `def` to its end, without its docstring."""
    functions = [
        node
        for file in files_of(folder)
        for node in ast.walk(ast.parse((folder / file).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [lines_of(node) - (lines_of(node.body[0]) if ast.get_docstring(node) else 0) for node in functions]


def lines_of(node: ast.stmt) -> int:
    """Count the lines that a statement takes."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def report(folder: Path) -> Iterator[str]:
    """Yield the lines of the report."""
    graph = imports_of(folder)
    rooms = between_rooms(graph)
    lengths = function_lengths(folder)
    sizes = {file: len((folder / file).read_text().splitlines()) for file in graph}
    yield f"{len(graph)} files, {sum(sizes.values())} lines; {len(rooms)} rooms"
    yield f"imports: {sum(map(len, graph.values()))} between files, {sum(map(len, rooms.values()))} between rooms"
    yield from cycle_lines("files", graph)
    yield from cycle_lines("rooms", rooms)
    yield f"layers of files: {len(layers(graph))}"
    yield f"layers of rooms: {len(layers(rooms))}"
    for number, layer in enumerate(layers(rooms), start=1):
        yield f"    {number}: {', '.join(layer)}"
    middle = median(lengths) if lengths else 0
    yield f"functions: {len(lengths)}, median length {middle:g} lines, longest {max(lengths, default=0)}"
    long = {file: size for file, size in sizes.items() if size > LONG}
    yield f"files over {LONG} lines: {len(long)}"
    yield from (f"    {size}: {file}" for file, size in sorted(long.items(), key=lambda item: -item[1]))


def cycle_lines(what: str, graph: Graph[Node]) -> Iterator[str]:
    """Yield the lines of the report about the cycles of files or of rooms."""
    loops = cycles(graph)
    yield f"cycles of {what}: {len(loops)}"
    yield from (f"    {len(loop)}: {', '.join(map(str, loop))}" for loop in loops)


def main() -> None:
    """Print the report on a folder."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.tools.structure", description="How a package is built.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "final")
    print(*report(parser.parse_args().folder), sep="\n")


if __name__ == "__main__":
    main()
