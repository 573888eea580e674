"""The first cell of a notebook gets the rest of the repository where only the notebook is."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stages.harness.course import ROOT
from tests.tools.first_cell import NOTEBOOKS, TEXT, address, with_first_cell, write

NOT_CLONED = shutil.ignore_patterns(".git", ".venv*", ".*_cache", "__pycache__", "work*", "appendonlydir")
COMES_WITH = {"shared", "final", "IPython", "ipywidgets"}  # with the repository, and with Jupyter


def read(path: Path) -> dict[str, Any]:
    """Read a notebook."""
    book: dict[str, Any] = json.loads(path.read_text())
    return book


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_notebook_has_the_cell(path: Path) -> None:
    assert read(path) == with_first_cell(read(path), address()), "write it: python3 -m tests.tools.first_cell"


def test_the_cell_is_put_in_once_and_replaced() -> None:
    book = read(NOTEBOOKS[0])
    given = copy.deepcopy(book)
    once = with_first_cell(book, "https://one.invalid/")
    again = with_first_cell(once, "https://two.invalid/")
    assert book == given
    assert "https://one.invalid/" in "".join(once["cells"][0]["source"])
    assert json.dumps(again) == json.dumps(once).replace("one.invalid", "two.invalid")
    counts = [cell["execution_count"] for cell in again["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.slow
def test_a_notebook_runs_in_an_empty_folder_also_after_a_restart_of_the_kernel(tmp_path: Path) -> None:
    import nbformat  # here, since it takes 2 s, and each worker of pytest imports this module
    from nbclient import NotebookClient

    repository, empty = tmp_path / "repository", tmp_path / "empty"
    shutil.copytree(ROOT, repository, ignore=NOT_CLONED)
    for command in ("init --quiet", "add --all", "-c user.name=x -c user.email=x@x commit --quiet --message=x"):
        subprocess.run(["git", *command.split()], cwd=repository, check=True)
    empty.mkdir()
    for _ in range(2):
        book = with_first_cell(read(NOTEBOOKS[0]), f"file://{repository}")
        codes = [number for number, cell in enumerate(book["cells"]) if cell["cell_type"] == "code"]
        run = nbformat.reads(json.dumps(book | {"cells": book["cells"][: codes[1] + 1]}), as_version=4)  # type: ignore[no-untyped-call]
        committed = copy.deepcopy(run.cells[-1].outputs)
        NotebookClient(run, resources={"metadata": {"path": str(empty)}}, kernel_name="python3").execute()
        assert [path.name for path in empty.iterdir()] == ["build-redis"]
        assert run.cells[-1].outputs == committed


def test_it_installs_what_the_notebooks_import_in_the_releases_that_requirements_txt_names() -> None:
    installed = set(re.findall(r"requirements\.txt (.*)", TEXT)[0].split())
    listed = set(re.findall(r"^[\w-]+", (ROOT / "requirements.txt").read_text(), flags=re.M))
    assert installed <= listed
    assert imported() - sys.stdlib_module_names - COMES_WITH - modules_of_stages() - installed == set()


def imported() -> set[str]:
    """Return the modules that the notebooks, and what they share, import."""
    codes = [cell for path in NOTEBOOKS for cell in read(path)["cells"] if cell["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in codes]
    sources += [path.read_text() for path in (ROOT / "notebooks" / "shared").glob("*.py")]
    found = re.findall(r"^ *(?:from (\w+)[\w.]* import|import (\w+))", "\n".join(sources), flags=re.M)
    return {one or other for one, other in found}


def modules_of_stages() -> set[str]:
    """Return the names of the modules in the stages' folders."""
    return {path.stem for path in (ROOT / "stages").glob("[0-9]*/*.py")}


def test_writing_a_notebook_changes_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "book.ipynb", read(NOTEBOOKS[0]))
    assert (tmp_path / "book.ipynb").read_text() == NOTEBOOKS[0].read_text()
