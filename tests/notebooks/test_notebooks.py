"""The notebooks show the stages' code, and have all their parts; see test_running.py for whether they run."""

from __future__ import annotations

import ast
import doctest
import importlib
import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import final.commands  # noqa: F401  (fills the table)
from final.engine.command import COMMANDS
from stages.desk import manifest
from stages.harness.course import stage_folder
from stages.harness.steps import steps
from tests.support.definitions import MODULE, definitions
from tests.support.narrow import COLUMNS, narrow
from tests.support.notebook import COMPANIONS, NOTEBOOKS, ROOT, TOUR, Cell, cells, code, stage_of

PARTS = (
    "Where we are on the road",
    "What it is for",
    "The question",
    "The checkpoint",
    "What real Redis does differently",
    "Going further",
    "Five questions",
    "What you can do now",
)
CONTINUED = re.compile(r"class (\w+)\(\1\):")  # a class shown in parts


def prose(path: Path) -> str:
    """Read a notebook's text."""
    return "\n\n".join(cell.source for cell in cells(path) if cell.kind == "markdown")


def without_fences(text: str) -> str:
    """Return a Markdown text without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def headings(text: str) -> list[str]:
    """List the headings of a Markdown text."""
    return re.findall(r"^#+ (.+?) *$", without_fences(text), flags=re.M)


notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
companion = pytest.mark.parametrize("path", COMPANIONS, ids=lambda path: path.stem)


@notebook
def test_a_notebook_is_committed_as_run_from_top_to_bottom(path: Path) -> None:
    metadata = json.loads(path.read_text())["metadata"]
    assert metadata["kernelspec"]["name"] == "python3"
    assert metadata["language_info"]["name"] == "python" and metadata["language_info"]["file_extension"] == ".py"
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


@notebook
def test_no_line_of_code_is_wider_than_a_cell(path: Path) -> None:
    wide = [(cell.number, line) for cell in code(path) for line in cell.text.splitlines() if len(line) > COLUMNS]
    assert wide == []


def test_a_comment_is_wrapped_as_a_paragraph_and_an_example_is_not() -> None:
    words = "word " * 18
    text = f"def f():\n    # {words}one {words[:-1]}\n    # two\n    pass\n"
    assert narrow(text) == f"def f():\n    # {words}one\n    # {words}two\n    pass"
    example = f'def f():\n    """Do.\n\n    >>> f({"1, " * 40}1)\n    """'
    assert narrow(example) == example


def test_a_line_of_an_item_begins_below_the_first_also_when_the_list_is_wrapped() -> None:
    words = "word " * 18
    text = f'def f():\n    """Return\n\n    - {words}one {words[:-1]}\n      two\n    - None.\n    """'
    items = f"    - {words}one\n      {words}two\n    - None."
    assert narrow(text) == f'def f():\n    """Return\n\n{items}\n    """'


# Their code is the stage's code


def shown(path: Path) -> Iterator[tuple[Cell, str, str]]:
    """Yield the definitions in the cells of the stage: (cell, qualified name, text, as narrow as a cell)."""
    for cell in code(path):
        if "stage" in cell.tags:
            for name, text in definitions(narrow(cell.source)).items():
                if not CONTINUED.fullmatch(text):
                    yield cell, name, text


def of_stage(stage: int) -> dict[str, set[str]]:
    """Map each qualified name of a stage to its text, as narrow as a cell (texts, if two files have the name)."""
    texts: dict[str, set[str]] = {}
    for source in manifest.sources(stage_folder(stage)).values():
        for name, text in definitions(narrow(source)).items():
            texts.setdefault(name, set()).add(text)
    return texts


@companion
def test_a_definition_in_a_cell_of_the_stage_is_that_of_the_stage(path: Path) -> None:
    known = of_stage(stage_of(path))
    module_lines = {line for text in known[MODULE] for line in text.splitlines()}
    for cell, name, text in shown(path):
        if name == MODULE:
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
    wanted = {name for row in table for name in row.named} - {MODULE}
    assert wanted - {name for _, name, _ in shown(path)} == set()


@companion
def test_only_what_a_learner_writes_is_shown_in_solutions(path: Path) -> None:
    write = {name for row in rows(stage_of(path)) for name in row.write}
    for cell, name, _ in shown(path):
        if name != MODULE:
            assert cell.is_solution == (name in write), f"cell {cell.number}: {name}"


# Exercises: a specification, a collapsed solution, assertions


@companion
def test_solutions_are_cells_of_the_stage_and_folded(path: Path) -> None:
    solutions = [cell for cell in code(path) if cell.is_solution]
    assert solutions
    for cell in solutions:
        assert "stage" in cell.tags, cell.source
        assert cell.metadata.get("jupyter", {}).get("source_hidden") is True, cell.source


@companion
def test_an_exercise_is_the_solution_without_the_bodies(path: Path) -> None:
    """Signatures and docstrings are those of the stage; the bodies say that they are to be written."""
    everything = code(path)
    for cell, following in itertools.pairwise(everything):
        if "exercise" in cell.tags:
            assert heads(cell.source) == heads(following.source), f"cell {cell.number}"
            for name, function in manifest.functions(cell.source):
                rest = [ast.unparse(each) for each in function.body[1:]]
                assert rest == ["raise NotImplementedError"], f"cell {cell.number}: {name}"


def heads(source: str) -> dict[str, str]:
    """Map each function of a cell to its text up to the end of its docstring."""
    lines = narrow(source).splitlines()
    return {
        name: "\n".join(lines[manifest.first_line(function) - 1 : function.body[0].end_lineno])
        for name, function in manifest.functions(narrow(source))
    }


@companion
def test_a_check_says_whose_code_it_runs_and_gives_hints(path: Path) -> None:
    for cell in code(path):
        if "check" in cell.tags:
            assert re.search(r"\b(yours|use_yours|put_yours_into)\(", cell.source), f"cell {cell.number}"
            assert re.search(r"^\s*(check\(|say\(|assert )", cell.source, flags=re.M), f"cell {cell.number}"


@companion
def test_the_exercises_are_the_steps_of_the_stage_in_their_order(path: Path) -> None:
    """Below the heading `Step N: …` are the exercises for what the README's row N has the learner write."""
    written: dict[int, list[str]] = {}
    number = 0
    for cell in cells(path):
        for title in headings(cell.source) if cell.kind == "markdown" else ():
            step = re.match(r"Step (\d+): ", title)
            number = int(step[1]) if step else 0
        if cell.is_solution:
            written.setdefault(number, []).extend(name for name, _ in manifest.functions(cell.source))
    assert {step: sorted(names) for step, names in written.items()} == steps_of(stage_folder(stage_of(path)))


def steps_of(folder: Path) -> dict[int, list[str]]:
    """Return what each step of a stage has the learner write, sorted; not the steps in which a function only grows."""
    found = {step.number: sorted(set(step.write) - step.again) for step in steps(folder)}
    return {step: names for step, names in found.items() if names}


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
    following = next(cell for cell in everything[begin:] if cell.kind == "code" and "guess" not in cell.tags)
    assert following.outputs


@notebook
def test_going_further_has_three_tasks(path: Path) -> None:
    tasks = prose(path).split("## Going further", 1)[1]
    assert re.findall(r"^(\d)\. \*\*", tasks, flags=re.M) == ["1", "2", "3"]


@notebook
def test_one_guesses_before_each_experiment_that_answers(path: Path) -> None:
    """There are three or more guesses, each announced by the text before, with room to write and nothing to see."""
    everything = cells(path)
    guesses = [cell for cell in everything if "guess" in cell.tags]
    assert len(guesses) >= 3
    for cell in guesses:
        before, after = everything[cell.number - 1], everything[cell.number + 1]
        assert "**Guess first.**" in before.source, f"cell {cell.number}"
        assert re.match(r"\w+ = (\"\"|None)( |\n|$)", cell.source) and cell.outputs == [], f"cell {cell.number}"
        assert after.kind == "code" and after.outputs, f"cell {cell.number}: no experiment follows"


@notebook
def test_five_questions_have_folded_answers(path: Path) -> None:
    section = prose(path).partition("## Five questions\n")[2].partition("\n## ")[0]
    folded = re.findall(r"<details><summary>(\d)\. .+?\?</summary>\n\n(?:.|\n)+?\n\n</details>", section)
    assert folded == ["1", "2", "3", "4", "5"]
    assert not re.findall(r"<summary>.*[`*].*</summary>", section), "a summary is HTML: <code> and <i>"


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
        assert not re.fullmatch("`[^`]*`", text), f"{text} does not look like a link in every program"
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
