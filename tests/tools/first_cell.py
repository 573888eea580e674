"""Puts the first cell into each notebook, or replaces it: `python3 -m tests.tools.first_cell`.

With it a notebook also runs in a folder where nothing else is, for example on Colab: it clones the repository there.
The repository's address is in pyproject.toml, and nowhere else.
"""

from __future__ import annotations

import copy
import json
import tomllib
from pathlib import Path
from typing import Any

from stages.harness.course import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TAG = "setup"
TEXT = """\
# On Colab, or in an empty folder, this gets the rest of the repository. Elsewhere it does nothing.
# If `address` has OWNER in it, write there the address from which you have this notebook.
import os

if not os.path.exists("shared"):
    address = "{address}"
    !test -d build-redis || git clone --quiet --depth=1 {{address}} build-redis
    os.chdir("build-redis/notebooks")
    %pip install --quiet --constraint ../requirements.txt redis pytest pytest-timeout matplotlib"""


def address() -> str:
    """Return the address of the repository."""
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    return found


def text(address: str) -> str:
    """Return the source of the cell."""
    return TEXT.format(address=address)


def with_first_cell(book: dict[str, Any], address: str) -> dict[str, Any]:
    """Return a notebook with the cell, which is folded, and with the counts of a run from top to bottom."""
    cell = {
        "cell_type": "code",
        "execution_count": 1,
        "id": "first-cell",
        "metadata": {"jupyter": {"source_hidden": True}, "tags": [TAG]},
        "outputs": [],
        "source": text(address).splitlines(keepends=True),
    }
    others = [each for each in book["cells"] if TAG not in each["metadata"].get("tags", ())]
    return book | {"cells": numbered([cell, *others])}


def numbered(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the cells, the code cells and their results with the counts 1, 2, 3 …"""
    cells = copy.deepcopy(cells)
    for count, cell in enumerate((each for each in cells if each["cell_type"] == "code"), 1):
        for counted in (cell, *cell["outputs"]):
            if "execution_count" in counted:
                counted["execution_count"] = count
    return cells


def main() -> None:
    """Write the cell into all notebooks."""
    for path in NOTEBOOKS:
        write(path, with_first_cell(json.loads(path.read_text()), address()))


def write(path: Path, book: dict[str, Any]) -> None:
    """Write a notebook as Jupyter does."""
    path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
