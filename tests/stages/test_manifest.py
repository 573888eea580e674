"""The tables in the READMEs agree with the sources; and every kind of error in a table is found."""

import doctest
import textwrap
from pathlib import Path

import pytest

from stages.desk.manifest import Row, Sources, read, sources
from stages.desk.starter import write
from stages.harness.course import ROOT, STAGES, stage_folder
from stages.harness.rooms import in_package, in_rooms
from tests.support import definitions, table
from tests.support.table import code_of, flattened, problems, unwritable, without_dots
from tests.tools import final_table

OTHERS = {"other.py": "y = 2\n", "third.py": "z = 3\n"}
BEFORE = {
    **OTHERS,
    "same.py": "x = 1\n",
    "server.py": textwrap.dedent('''
        import os

        class Server:
            """Serves."""

            def run(self):
                return 1

            def stop(self):
                return os

        def gone():
            pass

        def moved():
            return 2
        '''),
}
NOW = {
    "same.py": "x = 1\n",
    **OTHERS,
    "server.py": textwrap.dedent('''
        import os

        class Server:
            """Serves."""

            def run(self):
                """Answer with two."""
                return 2

            def stop(self):
                return os
        '''),
    "new.py": textwrap.dedent('''
        """New."""

        def fresh():
            """Do it."""
            return 3

        def moved():
            return 2
        '''),
}
TABLE = """# A stage

## The files

Some words.

| file | status | you write | given | moved from |
|---|---|---|---|---|
| `new.py` | new | `fresh` | `<module>` | `moved` from `server.py` |
| `server.py` | grown | `Server.run` | ~~`gone`~~ | |
| `same.py` | carried | | | |

Carried over unchanged: `other.py`,
`third.py`.

Of `fourth.py` nothing is said.

## What else

| `nothing.py` | carried | | | |
"""


def found(folder: Path, table: str = TABLE, now: Sources | None = None, additions: bool = True) -> list[str]:
    """Write a table and compare it with the sources."""
    (folder / "README.md").write_text(table)
    rows, changed = read(folder), NOW | (now or {})
    return problems(rows, changed, BEFORE, additions) + unwritable(rows, changed)


@pytest.mark.parametrize("stage", STAGES)
def test_the_table_of_a_stage_is_true(stage: int) -> None:
    folder = stage_folder(stage)
    rows = read(folder)
    assert rows, f"{folder.name}/README.md has no table under '## The files'"
    now = sources(folder)
    before = sources(stage_folder(stage - 1)) if stage > 1 else {}
    wrong = problems(rows, now, before) + unwritable(rows, now)
    assert not wrong, f"the table in stages/{folder.name}/README.md:\n" + "\n".join(wrong)


def test_the_table_of_final_is_true_and_has_a_reason_for_what_grew() -> None:
    rows = read(ROOT / "final")
    assert rows, "final/README.md has no table under '## The files'"
    before = code_of(sources(stage_folder(STAGES[-1])))
    flat, now = flattened(rows, code_of(sources(ROOT / "final")), before)
    wrong = problems(flat, now, before, additions=False)
    wrong += [
        f"{row.file}: has grown, and the table does not say why"
        for row in rows
        if row.status == "grown" and not row.reason
    ]
    assert not wrong, "the table in final/README.md:\n" + "\n".join(wrong)


def test_a_relative_import_counts_as_the_stages_import_of_the_same_module() -> None:
    package = """import re
from os import path

from . import commands  # noqa: F401  (why)
from ..data.store import Store
from ..protocol.errors import (
    ReplyError,
    wrong_type,
)
from .aof import Log

def later():
    from ..lua import interpreter
    from .reader import Reader
"""
    assert (
        without_dots(package)
        == """import re
from os import path

import commands  # noqa: F401  (why)
from aof import Log
from errors import ReplyError, wrong_type
from store import Store

def later():
    from lua import interpreter
    from reader import Reader
"""
    )


# The rooms of final/

STAGE = {
    "aof.py": '"""The log."""\n\nfrom errors import ReplyError\nfrom reader import Reader\n\n\ndef load():\n    pass\n',
    "client.py": '"""A client."""\n\n\nclass Client:\n    """The client of a command."""\n',
    "errors.py": "class ReplyError(Exception):\n    pass\n",
    "reader.py": "import re\n\n\nclass Reader:\n    pass\n",
}
ROOMS = {
    "commands/client.py": '"""The commands of the family CLIENT."""\n',
    "engine/client.py": STAGE["client.py"],
    "engine/engine.py": "from ..log.aof import load\n",
    "log/aof.py": STAGE["aof.py"]
    .replace("from errors", "from ..protocol.errors")
    .replace("from reader", "from ..protocol.reader"),
    "protocol/errors.py": STAGE["errors.py"],
    "protocol/reader.py": STAGE["reader.py"],
}


def lay_rooms(folder: Path, extra: Sources | None = None) -> list[Row]:
    """Write a package with rooms and the table that `final_table` makes of it; return the table's rows."""
    write(ROOMS | (extra or {}), folder)
    for _ in range(2):  # the second time the table exists already
        lines = final_table.table(sources(folder), STAGE, read(folder))
        (folder / "README.md").write_text("\n".join(["# Rooms\n\n## The files\n", *lines]) + "\n")
    return read(folder)


def test_a_file_that_is_only_moved_into_a_room_is_carried(tmp_path: Path) -> None:
    rows = lay_rooms(tmp_path)
    assert {row.file: row.status for row in rows} == {
        "log/aof.py": "carried",
        "engine/client.py": "carried",
        "protocol/errors.py": "carried",
        "protocol/reader.py": "carried",
    }
    assert problems(*flattened(rows, sources(tmp_path), STAGE), STAGE, additions=False) == []


def test_the_table_lists_what_a_room_adds_and_nothing_else(tmp_path: Path) -> None:
    rows = lay_rooms(tmp_path, {"log/aof.py": ROOMS["log/aof.py"].replace("pass", "return 1")})
    assert [(row.file, row.given) for row in rows if row.status != "carried"] == [("log/aof.py", ("load",))]
    assert problems(*flattened(rows, sources(tmp_path), STAGE), STAGE, additions=False) == []


def test_if_two_rooms_have_a_file_of_a_name_the_table_chooses_one(tmp_path: Path) -> None:
    rows = lay_rooms(tmp_path)
    assert in_rooms(tmp_path)["client.py"] == "engine/client.py"
    readme = (tmp_path / "README.md").read_text()
    (tmp_path / "README.md").write_text(readme.replace("`engine/client.py` | carried", "`engine/client.py` | new"))
    assert "client.py" not in in_rooms(tmp_path)
    rows, now = flattened(read(tmp_path), sources(tmp_path), STAGE)
    assert "client.py: is not in the table" in problems(rows, now, STAGE, additions=False)


def test_no_file_of_final_that_is_only_moved_is_listed_as_removed_or_new() -> None:
    names = {path.name for path in (ROOT / "final").rglob("*.py")}
    before = sources(stage_folder(STAGES[-1]))
    for row in read(ROOT / "final"):
        name = Path(row.file).name
        assert row.status != "removed" or name not in names, row.file
        assert row.status != "new" or name not in before or in_rooms(ROOT / "final")[name] != row.file, row.file


def test_the_modules_of_a_stage_are_imported_from_their_rooms() -> None:
    source = "import aof\nfrom reader import Reader\nfrom os import path\n"
    homes = {"aof.py": "log/aof.py", "reader.py": "protocol/reader.py"}
    assert in_package(source, "final", homes) == (
        "from final.log import aof\nfrom final.protocol.reader import Reader\nfrom os import path\n"
    )


# Errors in a table


def test_the_examples_of_the_table_are_true() -> None:
    assert doctest.testmod(table).failed == doctest.testmod(definitions).failed == 0


def test_a_true_table_has_no_problems(tmp_path: Path) -> None:
    assert found(tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("`Server.run`", "", "server.py: `Server.run` is new or has changed, and is not named"),
        ("| `fresh` |", "| |", "new.py: `fresh` is new or has changed, and is not named"),
        ("`<module>`", "", "new.py: `<module>` is new or has changed, and is not named"),
        ("| `fresh` |", "| `fresh`, `moved` |", "new.py: `moved` is named, but has not changed"),
        ("`Server.run`", "`Server.run`, `Server`", "server.py: `Server` is named, but has not changed"),
        ("`Server.run`", "`Server.run`, `Server.go`", "server.py: `Server.go` is named, but there is no such"),
        ("~~`gone`~~", "", "server.py: `gone` was removed, and is not named"),
        ("~~`gone`~~", "~~`gone`~~, ~~`Server.stop`~~", "server.py: `Server.stop` is struck through, but was not"),
        ("`moved` from `server.py`", "", "new.py: `moved` is new or has changed"),
        ("`moved` from `server.py`", "", "server.py: `moved` was removed, and is not named"),
        ("`moved` from `server.py`", "`moved` from `same.py`", "new.py: `moved` was not in the file that"),
        ("| `same.py` | carried | | | |\n", "", "same.py: is not in the table"),
        ("`other.py`,\n", "", "other.py: is not in the table"),
        ("`third.py`", "`same.py`", "same.py: stands in the table twice"),
        ("`third.py`", "`new.py`", "new.py: is called carried, but is not in the stage before"),
        ("| carried | | | |", "| carried | | `<module>` | |", "same.py: is called carried, and yet names are listed"),
        ("| `same.py` | carried |", "| `same.py` | new |", "same.py: is called new, but is in the stage before"),
        ("| `same.py` | carried |", "| `same.py` | old |", "same.py: there is no status 'old'"),
        ("| `new.py` | new |", "| `new.py` | grown |", "new.py: is called grown, but is not in the stage before"),
        ("| `fresh` |", "| `fresh`, `<module>` |", "new.py: `<module>` is both to be written and given"),
        ("| `fresh` | `<module>` |", "| `fresh`, `<module>` | |", "new.py: `<module>` is to be written, but is no"),
    ],
)
def test_an_error_in_a_table_is_found(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert TABLE.count(old) >= 1
    assert any(line.startswith(problem) for line in found(tmp_path, TABLE.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("same.py", "x = 1", "x =  1", "same.py: is called carried, but its text has changed"),
        ("server.py", "return os", "return os  # why", "server.py: `Server.stop` is new or has changed"),
        ("server.py", "import os", "import os\nimport sys", "server.py: `<module>` is new or has changed"),
        ("server.py", '"""Serves."""', '"""Serves all."""', "server.py: `Server` is new or has changed"),
        ("new.py", "def moved", "def other", "new.py: `moved` is said to have moved here, but is not here"),
        ("new.py", "return 2", "return 4", "new.py: `moved` is new or has changed"),
        ("new.py", '    """Do it."""\n', "", "new.py: `fresh` is to be written, and has no docstring"),
    ],
)
def test_a_change_that_is_not_in_the_table_is_found(
    tmp_path: Path, file: str, old: str, new: str, problem: str
) -> None:
    changed = {file: NOW[file].replace(old, new)}
    assert any(line.startswith(problem) for line in found(tmp_path, now=changed))


def test_the_table_of_final_needs_no_row_for_a_new_file(tmp_path: Path) -> None:
    silent = TABLE.replace("| `fresh` | `<module>` |", "| | |").replace("`Server.run`", "")
    more = {"more.py": "x = 1"}
    assert found(tmp_path, silent, more, additions=False) == [
        "server.py: `Server.run` is new or has changed, and is not named"
    ]


def test_a_removed_file_is_listed_with_all_its_functions(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(TABLE.replace("| grown | `Server.run` |", "| removed | |"))
    now = {file: text for file, text in NOW.items() if file != "server.py"}
    assert problems(read(tmp_path), now, BEFORE) == [
        f"server.py: `{name}` was removed, and is not named struck through"
        for name in ("Server", "Server.run", "Server.stop")
    ]
