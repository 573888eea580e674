"""The structure of final/: its map, its imports, the sizes, names and docstrings of its files; and the examples run."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import final
import final.commands  # fills the table
from final.config.options import Options
from final.engine.command import COMMANDS, Command
from stages.harness.course import ROOT
from tests.tools.structure import files_of

FOLDER = ROOT / "final"
FILES = sorted(path.relative_to(FOLDER) for path in FOLDER.rglob("*.py"))
README = (FOLDER / "README.md").read_text()


def mapped() -> Iterator[str]:
    """Yield the files that the map in `final/__init__.py` names, with `commands/` for all files in that room."""
    folder = ""
    for indent, names in re.findall(r"^(    |        )(\S+(?:, \S+)*)  ", final.__doc__ or "", re.MULTILINE):
        folder = folder if indent == 8 * " " else ""
        for name in names.split(", "):
            yield folder + name
            folder = name if name.endswith("/") else folder


MAP = [name for name in mapped() if name.endswith((".py", ".lua", "commands/"))]
ANY_ARGS = {"quit", "command", "debug"}  # they take any arguments, and check them themselves
OPTIONAL = {
    "lua/limits.py": {"lupa"},
    "__main__.py": {"uvloop"},
    "protocol/hiredis_reader.py": {"hiredis"},
}  # imported if they are installed


def room(file: Path) -> str:
    """Return the entry of the map for a file."""
    return "commands/" if file.parts[0] == "commands" else str(file)


def tree_of(file: Path) -> ast.Module:
    """Parse a file."""
    return ast.parse((FOLDER / file).read_text())


def imported(file: Path) -> Iterator[str]:
    """Yield the names of the modules that a file imports from outside final/."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def test_the_map_lists_every_file_and_nothing_else() -> None:
    files = {room(file) for file in FILES if file.name != "__init__.py" and file.parts[:2] != ("log", "rdb")}
    assert sorted(MAP) == sorted(files | {"lua/prelude.lua", "lua/libraries.lua", "lua/functions.lua"})


def test_the_reading_order_in_the_readme_names_every_file() -> None:
    order = README.partition("## An order to read in")[2].partition("\n## ")[0]
    assert {name for name in MAP if f"`{name}`" not in order} == set()


def test_the_readme_lists_every_option_with_its_default() -> None:
    rows = [line for line in README.splitlines() if line.startswith("| `--")]
    for option in fields(Options):
        (row,) = [row for row in rows if f"`--{option.name.replace('_', '-')}`" in row]
        assert option.metadata["settable"] == ("* |" in row), row
        assert f"`{option.default}`" in row or str(option.default) == "" or option.default == 512 << 20, row


def test_only_the_standard_library_is_imported() -> None:
    found = {str(file): {module.split(".")[0] for module in imported(file)} for file in FILES}
    foreign = {file: names - sys.stdlib_module_names for file, names in found.items()}
    assert {file: names for file, names in foreign.items() if names} == OPTIONAL


def test_only_net_and_the_command_line_import_asyncio_socket_and_signal() -> None:
    know = {str(file) for file in FILES for module in imported(file) if module in ("asyncio", "socket", "signal")}
    outside = (
        *("before_sleep", "connection", "endpoints", "listener", "outgoing", "sending", "server", "stopping"),
        *("systemd", "tls"),
    )
    assert know == {"__main__.py", *(f"net/{name}.py" for name in outside)}


def test_no_file_is_longer_than_300_lines() -> None:
    assert [str(file) for file in FILES if len((FOLDER / file).read_text().splitlines()) > 300] == []


@pytest.mark.parametrize("folder", ["final", "stages"])
def test_no_file_has_the_name_of_a_module_of_the_standard_library(folder: str) -> None:
    files = files_of(ROOT / folder)
    assert files
    assert [str(file) for file in files if file.stem in sys.stdlib_module_names] == []


def test_every_public_name_has_a_docstring() -> None:
    names = [(str(file), name, node) for file in FILES for name, node in public(tree_of(file))]
    assert [(file, name) for file, name, node in names if not ast.get_docstring(node)] == []


Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public(tree: ast.Module) -> Iterator[tuple[str, Documented]]:
    """Yield the module, and its public classes, methods and functions."""
    yield "the module", tree
    for node in tree.body:
        if isinstance(node, Documented) and not node.name.startswith("_"):
            yield node.name, node
        if isinstance(node, ast.ClassDef):
            methods = [part for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]
            yield from ((f"{node.name}.{each.name}", each) for each in methods if not each.name.startswith("_"))


# Commands


def all_commands() -> Iterator[Command]:
    """Yield all commands and subcommands."""
    for entry in COMMANDS.values():
        yield entry
        yield from entry.subcommands.values()


@pytest.mark.parametrize("entry", list(all_commands()), ids=lambda entry: entry.name)
def test_a_command_is_documented_with_the_syntax_that_its_signature_has(entry: Command) -> None:
    """`HSET key field value [field value ...]: what it does` means at least four arguments, and so does `def hset`."""
    syntax, colon, summary = (inspect.getdoc(entry.function) or "").split("\n")[0].partition(": ")
    name = entry.name.upper().replace("|", " ")
    assert colon and summary and syntax.split()[: len(name.split())] == name.split()
    needed = syntax.removeprefix(name)
    while (without := re.sub(r"\[[^\[\]]*\]", "", needed)) != needed:
        needed = without
    while (without := re.sub(r"<([^<>]*)>", fewest_words, needed)) != needed:
        needed = without
    needed = re.sub(r" \| \S+", "", needed)  # alternatives are one argument
    if entry.name not in ANY_ARGS:
        assert len(name.split()) + len(needed.split()) == entry.fewest
        assert ("[" in syntax) == (entry.most > entry.fewest), "brackets mean optional arguments"


def fewest_words(alternatives: re.Match[str]) -> str:
    """Return the shortest alternative of `<FROMMEMBER member | FROMLONLAT longitude latitude>`."""
    needed = [each for each in alternatives[1].split(" |") if each.strip(" .")]  # not of `<ip:port | <[ID id] ...>>`
    return min(needed, key=lambda each: len(each.split()), default="")


# Examples


class Checker(doctest.OutputChecker):
    """Accepts final.protocol.reader.X for the exception reader.X, as the stages call it."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        """Compare the expected output of an example with its output."""
        return super().check_output(want, got.removeprefix("final.protocol."), optionflags)


@pytest.mark.parametrize("file", [file for file in FILES if file.name != "__main__.py"], ids=str)
def test_the_examples_in_docstrings_are_true(file: Path) -> None:
    for package in OPTIONAL.get(str(file), ()):
        pytest.importorskip(package)
    name = ".".join(["final", *file.with_suffix("").parts]).removesuffix(".__init__")
    runner = doctest.DocTestRunner(Checker())
    failures: list[str] = []
    for test in doctest.DocTestFinder().find(importlib.import_module(name)):
        runner.run(test, out=failures.append)
    assert not failures, "".join(failures)
