"""The rooms of final/: every import goes down in the order of the map, `final/__init__.py`, and there is no cycle.

A room is a folder, or a file beside the folders.

Imports for types only count too: to read a file, one has to know the files that it names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

import final
from stages.harness.course import ROOT
from tests.tools.structure import between_rooms, cycles, imports_of, room_of

FINAL = ROOT / "final"
MAP = re.findall(r"^    (\S+)  ", final.__doc__ or "", re.MULTILINE)  # from the outside in
ORDER = MAP[::-1]  # from the bottom up: a file imports its own folder and what stands before it
ENTRY = (Path("engine/engine.py"), Path("commands/__init__.py"))  # the import by which commands enter the table
Files = Mapping[Path, set[Path]]


@pytest.fixture(scope="module")
def graph() -> Files:
    """Each file of final/, and the files that it imports."""
    return imports_of(FINAL)


@pytest.fixture(scope="module")
def down(graph: Files) -> Files:
    """The same without the import of ENTRY."""
    return {file: needs - {ENTRY[1]} if file == ENTRY[0] else needs for file, needs in graph.items()}


def test_every_room_is_in_the_order(graph: Files) -> None:
    assert {room_of(file) for file in graph} - {"__init__.py"} <= set(ORDER)


def test_every_import_goes_down_in_the_order_of_rooms(down: Files) -> None:
    def above(file: Path, needs: set[Path]) -> list[str]:
        below = ORDER[: ORDER.index(room_of(file)) + 1] if file != Path("__init__.py") else []
        return [str(each) for each in sorted(needs) if room_of(each) not in below]

    assert {str(file): up for file, needs in down.items() if (up := above(file, needs))} == {}


def test_the_only_import_that_goes_up_is_the_one_by_which_commands_enter_the_table(graph: Files) -> None:
    assert ENTRY[1] in graph[ENTRY[0]], "the exception is not needed any more: remove ENTRY"


def test_no_files_import_each_other_in_a_cycle(down: Files) -> None:
    assert cycles(down) == []


def test_no_rooms_import_each_other_in_a_cycle(down: Files) -> None:
    assert cycles(between_rooms(down)) == []
