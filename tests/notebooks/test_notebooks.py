"""The notebooks run with the outputs that are committed, show the stages' code, and have all their parts."""

from __future__ import annotations

import ast
import doctest
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import final.commands  # noqa: F401  (fills the table)
from final.engine.command import COMMANDS
from stages.desk import manifest
from stages.harness.course import stage_folder

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
COMPANIONS = [path for path in NOTEBOOKS if re.match(r"\d\d-", path.name)]
TOUR = ROOT / "notebooks" / "final-tour.ipynb"
PARTS = (
    "Where we are on the road",
    "The question",
    "The checkpoint",
    "What real Redis does differently",
    "Going further",
)
CONTINUED = re.compile(r"class (\w+)\(\1\):")  # a class shown in parts


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook's file."""

    number: int
    kind: str
    source: str
    tags: frozenset[str] = frozenset()
    outputs: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    count: int | None = None

    @property
    def is_solution(self) -> bool:
        """Whether it shows what a learner writes."""
        return "solution" in self.tags


def cells(path: Path) -> list[Cell]:
    """Read a notebook."""
    return [
        Cell(
            number,
            cell["cell_type"],
            "".join(cell["source"]),
            frozenset(cell["metadata"].get("tags", ())),
            cell.get("outputs", []),
            cell["metadata"],
            cell.get("execution_count"),
        )
        for number, cell in enumerate(json.loads(path.read_text())["cells"])
    ]


def code(path: Path) -> list[Cell]:
    """Read a notebook's code cells."""
    return [cell for cell in cells(path) if cell.kind == "code"]


def prose(path: Path) -> str:
    """Read a notebook's text."""
    return "\n\n".join(cell.source for cell in cells(path) if cell.kind == "markdown")


def without_fences(text: str) -> str:
    """Return a Markdown text without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def headings(text: str) -> list[str]:
    """List the headings of a Markdown text."""
    return re.findall(r"^#+ (.+?) *$", without_fences(text), flags=re.M)


def stage_of(path: Path) -> int:
    """Return the stage that a notebook is about."""
    return int(path.name[:2])


notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
companion = pytest.mark.parametrize("path", COMPANIONS, ids=lambda path: path.stem)


# They run


@notebook
def test_a_notebook_runs_with_the_outputs_that_are_committed(path: Path) -> None:
    """On a new kernel, without a network, with every output compared (see notebooks/conftest.py)."""
    options = ["--nbval", "--target=reference", "-q", "--color=no", "-p", "no:cacheprovider", "-p", "no:xdist"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", str(path), *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support" / "offline")},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]


@notebook
def test_a_notebook_is_committed_as_run_from_top_to_bottom(path: Path) -> None:
    assert json.loads(path.read_text())["metadata"]["kernelspec"]["name"] == "python3"
    assert [cell.count for cell in code(path)] == list(range(1, len(code(path)) + 1))


@notebook
def test_outputs_have_no_warnings_and_no_paths_of_a_machine(path: Path) -> None:
    for cell in code(path):
        for output in cell.outputs:
            assert output["output_type"] != "error" or "raises-exception" in cell.tags, cell.source
            assert output.get("name") != "stderr", cell.source
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {}), cell.source
            text = json.dumps({**output, "data": {**output.get("data", {}), "image/png": ""}})
            for folder in (str(ROOT), sys.prefix, str(Path.home()), "/tmp/"):
                assert folder not in text, cell.source


@notebook
def test_the_last_cell_closes_everything(path: Path) -> None:
    assert "close_all()" in code(path)[-1].source


# Their code is the stage's code


def shown(path: Path) -> Iterator[tuple[Cell, str, str]]:
    """Yield the definitions in the cells of the stage: (cell, qualified name, text)."""
    for cell in code(path):
        if "stage" in cell.tags:
            for name, text in manifest.definitions(cell.source).items():
                if not CONTINUED.fullmatch(text):
                    yield cell, name, text


def of_stage(stage: int) -> dict[str, set[str]]:
    """Map each qualified name of a stage to its text (texts, where two files have the name)."""
    texts: dict[str, set[str]] = {}
    for source in manifest.sources(stage_folder(stage)).values():
        for name, text in manifest.definitions(source).items():
            texts.setdefault(name, set()).add(text)
    return texts


@companion
def test_a_definition_in_a_cell_of_the_stage_is_that_of_the_stage(path: Path) -> None:
    known = of_stage(stage_of(path))
    module_lines = {line for text in known[manifest.MODULE] for line in text.splitlines()}
    for cell, name, text in shown(path):
        if name == manifest.MODULE:
            strange = set(text.splitlines()) - module_lines
            assert not strange, f"cell {cell.number}: not in the stage: {strange}"
        else:
            assert text in known.get(name, ()), f"cell {cell.number}: {name} differs from the stage's"


def rows(stage: int) -> list[manifest.Row]:
    """Read the table in a stage's README."""
    return manifest.read(stage_folder(stage))


@companion
def test_every_function_that_the_stage_adds_or_changes_is_shown(path: Path) -> None:
    table = rows(stage_of(path))
    assert table, "the stage's README has no table of its files"
    wanted = {name for row in table for name in row.named} - {manifest.MODULE}
    assert wanted - {name for _, name, _ in shown(path)} == set()


@companion
def test_only_what_a_learner_writes_is_shown_in_solutions(path: Path) -> None:
    write = {name for row in rows(stage_of(path)) for name in row.write}
    for cell, name, _ in shown(path):
        if name != manifest.MODULE:
            assert cell.is_solution == (name in write), f"cell {cell.number}: {name}"


# Exercises: a specification, a collapsed solution, assertions


@companion
def test_solutions_are_cells_of_the_stage_and_collapsed(path: Path) -> None:
    solutions = [cell for cell in code(path) if cell.is_solution]
    assert solutions
    for cell in solutions:
        assert "stage" in cell.tags, cell.source
        assert cell.metadata.get("jupyter", {}).get("source_hidden") is True, cell.source
        assert cell.metadata.get("collapsed") is True, cell.source


@companion
def test_a_solution_comes_after_its_specification(path: Path) -> None:
    """Signature and docstring are in the text before it, or in a cell tagged `exercise`, as in the stage."""
    text = ""
    for cell in cells(path):
        if cell.kind == "markdown" or "exercise" in cell.tags:
            text += cell.source
        elif cell.is_solution:
            for name, function in manifest.functions(cell.source):
                assert specification(cell.source, function) in unindented(text), f"cell {cell.number}: {name}"
        else:
            text = ""


def specification(source: str, function: manifest.Function) -> str:
    """Return a function up to the end of its docstring."""
    lines = source.splitlines()[manifest.first_line(function) - 1 : function.body[0].end_lineno]
    assert ast.get_docstring(function)
    return unindented("\n".join(lines))


def unindented(text: str) -> str:
    """Remove the indent of all lines, so that a method is found in or outside its class."""
    return "\n".join(line.strip() for line in text.splitlines())


@companion
def test_a_solution_is_followed_by_assertions(path: Path) -> None:
    waiting: Cell | None = None
    for cell in code(path):
        if cell.is_solution:
            assert waiting is None, f"cell {waiting and waiting.number}: no assertions before the next solution"
            waiting = cell
        elif waiting and "stage" not in cell.tags:
            checks = re.search(r"^\s*assert ", cell.source, flags=re.M)
            assert checks, f"cell {cell.number} should check what cell {waiting.number} defines"
            waiting = None
    assert waiting is None


# They have all their parts


@notebook
def test_a_notebook_has_its_parts_in_their_order(path: Path) -> None:
    titles = headings(prose(path))
    assert [title for title in titles if title in PARTS] == list(PARTS)


@notebook
def test_the_first_code_cell_starts_the_server_and_the_question_is_asked_by_an_experiment(path: Path) -> None:
    assert "start(" in next(cell for cell in code(path) if "setup" not in cell.tags).source
    everything = cells(path)
    begin = next(cell.number for cell in everything if "## The question" in cell.source)
    following = next(cell for cell in everything[begin:] if cell.kind == "code")
    assert following.outputs


@notebook
def test_going_further_has_three_tasks(path: Path) -> None:
    tasks = prose(path).split("## Going further", 1)[1]
    assert re.findall(r"^(\d)\. \*\*", tasks, flags=re.M) == ["1", "2", "3"]


@companion
def test_the_checkpoint_is_run_from_the_notebook(path: Path) -> None:
    assert any(f"stages/{stage_of(path):02}" in cell.source and "pytest" in cell.source for cell in code(path))


def test_the_tour_runs_a_checkpoint_on_final_and_uses_commands_of_each_family() -> None:
    text = "\n".join(cell.source for cell in code(TOUR))
    assert re.search(r"-m pytest stages/\d\d --target=final", text)
    families: dict[str, list[str]] = {}
    for entry in COMMANDS.values():
        families.setdefault(entry.group.name, []).append(entry.name)
    called = set(re.findall(r"\.(\w+)\(", text)) | {arg.lower() for arg in re.findall(r"\b[A-Z]+\b", text)}
    assert [family for family, names in families.items() if not called & set(names)] == []


def test_every_notebook_is_linked_to_from_the_next_and_from_the_tour() -> None:
    for path, following in zip(COMPANIONS, [*COMPANIONS[1:], TOUR], strict=True):
        assert f"({path.name})" in prose(following)
        assert f"({path.name})" in prose(TOUR)


@companion
def test_sections_that_the_checkpoint_refers_to_exist(path: Path) -> None:
    checkpoint = (stage_folder(stage_of(path)) / "test_checkpoint.py").read_text()
    wanted = {ast.literal_eval(text) for text in re.findall(r"mark\.read\(\s*(\".*?\"|'.*?')\s*\)", checkpoint)}
    assert wanted - set(headings(prose(path))) == set()


@notebook
def test_links_lead_to_files_and_sections_that_exist(path: Path) -> None:
    for text, link in re.findall(r"\[([^\]]+)\]\(([^)\s]+)\)", without_fences(prose(path))):
        if re.match(r"https?:", link):
            continue
        file, _, section = link.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), f"[{text}]({link})"
        if section:
            source = prose(there) if there.suffix == ".ipynb" else there.read_text()
            assert section in {anchor(title) for title in headings(source)}, f"[{text}]({link})"


def anchor(title: str) -> str:
    """Return the anchor by which JupyterLab links to a heading: spaces become hyphens."""
    return title.replace(" ", "-")


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks" / "shared").glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_the_examples_of_what_the_notebooks_share_are_true(path: Path) -> None:
    assert doctest.testmod(importlib.import_module(f"notebooks.shared.{path.stem}")).failed == 0


def test_a_changed_cell_of_the_stage_is_noticed(tmp_path: Path) -> None:
    copy = tmp_path / COMPANIONS[0].name
    book = json.loads(COMPANIONS[0].read_text())
    tagged = [cell for cell in book["cells"] if "solution" in cell["metadata"].get("tags", ())]
    tagged[0]["source"][-1] += "  # another comment"
    copy.write_text(json.dumps(book))
    with pytest.raises(AssertionError, match="differs from the stage's"):
        test_a_definition_in_a_cell_of_the_stage_is_that_of_the_stage(copy)
