"""The rooms of final/: every import goes down in one order of rooms, and there is no cycle.

Imports for types only count too: to read a file, one has to know the files that it names.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.harness.course import ROOT
from tests.tools.structure import between_rooms, cycles, imports_of, room_of

FINAL = ROOT / "final"
ORDER = [  # from the bottom up: a file imports its own room and those before it
    "server_log.py",
    "protocol/",
    "data/",
    "config/",
    "latency.py",
    "lua/",
    "log/",
    "replication/",
    "engine/",
    "commands/",
    "restore.py",
    "net/",
    "check_aof.py",
    "__main__.py",
]
ENTRY = (Path("engine/engine.py"), Path("commands/__init__.py"))  # the import by which commands enter the table
GRAPH = imports_of(FINAL)
DOWN = {file: needs - {ENTRY[1]} if file == ENTRY[0] else needs for file, needs in GRAPH.items()}


def test_every_room_is_in_the_order() -> None:
    assert {room_of(file) for file in GRAPH} - {"__init__.py"} <= set(ORDER)


@pytest.mark.parametrize("file", DOWN, ids=str)
def test_every_import_goes_down_in_the_order_of_rooms(file: Path) -> None:
    below = ORDER[: ORDER.index(room_of(file)) + 1] if file != Path("__init__.py") else []
    assert [str(each) for each in sorted(DOWN[file]) if room_of(each) not in below] == []


def test_the_only_import_that_goes_up_is_the_one_by_which_commands_enter_the_table() -> None:
    assert ENTRY[1] in GRAPH[ENTRY[0]], "the exception is not needed any more: remove ENTRY"


def test_no_files_import_each_other_in_a_cycle() -> None:
    assert cycles(DOWN) == []


def test_no_rooms_import_each_other_in_a_cycle() -> None:
    assert cycles(between_rooms(DOWN)) == []
