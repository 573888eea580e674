"""The notebooks run as committed, twice, after a kernel was killed, and with right and wrong code in exercises."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from stages.desk import starter
from stages.desk.manifest import sources
from stages.harness.course import COURSE, NEW_FILE, STAGES, stage_folder
from stages.teacher import handout
from tests.support.machine import within
from tests.support.notebook import (
    COMPANIONS,
    NOTEBOOKS,
    ROOT,
    TOUR,
    Cell,
    Kernel,
    Output,
    code,
    kernel,
    kernel_in,
    merged,
    stage_of,
)

notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
OF_THE_COURSE_FIRST = [  # those of the later stages take some seconds each: slow
    pytest.param(path, marks=[pytest.mark.slow] if path.stem[:2] > f"{COURSE:02}" and path.stem[0].isdigit() else [])
    for path in NOTEBOOKS
]
companion = pytest.mark.parametrize("path", COMPANIONS, ids=lambda path: path.stem)


def compared(outputs: list[Output]) -> list[Any]:
    """Return what is compared of outputs; a picture only has to be there."""
    found = []
    for output in merged(outputs):
        data = {kind: "".join(value) for kind, value in output.get("data", {}).items() if kind != "image/png"}
        found.append((output["output_type"], output.get("name"), "".join(output.get("text", "")), data))
    return found


def run(running: Kernel, cell: Cell) -> list[Any]:
    """Run a cell, which must raise no error; return what is compared of its outputs, [] if nothing is."""
    ran = running.run(cell.text)
    assert not ran.error or "raises-exception" in cell.tags, f"cell {cell.number}:\n{cell.text}\n\n{ran.text}"
    return [] if "nbval-ignore-output" in cell.tags else compared(ran.outputs)


def committed(cell: Cell) -> list[Any]:
    """Return what `run` has to return."""
    return [] if "nbval-ignore-output" in cell.tags else compared(cell.outputs)


def children(process: int) -> list[psutil.Process]:
    """List the processes that a process has started, and those that they have started."""
    return list(psutil.Process(process).children(recursive=True))


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait until `condition()` is true; fail, saying `what`, if it is not within some seconds."""
    deadline = time.monotonic() + within(10)
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def check_nothing_is_left(processes: list[psutil.Process], folder: Path) -> None:
    """Fail unless the processes end, and the kernel's folder for temporary files becomes empty."""
    wait_until(lambda: not any(alive(each) for each in processes), f"still running: {processes}")
    wait_until(lambda: not os.listdir(folder), f"still in the folder: {os.listdir(folder)}")


def alive(process: psutil.Process) -> bool:
    """Whether a process runs."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("path", OF_THE_COURSE_FIRST, ids=lambda path: path.stem)
def test_a_notebook_runs_with_the_outputs_that_are_committed(path: Path, tmp_path: Path) -> None:
    """From a new kernel, top to bottom. Cells that are tagged `slow` run in the test after this one."""
    with kernel(stage_of(path), TMPDIR=str(tmp_path)) as running:
        for cell in code(path):
            if "slow" not in cell.tags:
                assert run(running, cell) == committed(cell), f"cell {cell.number}: another output"
        started = children(running.pid)
    check_nothing_is_left(started, tmp_path)


@pytest.mark.slow
@notebook
def test_every_cell_can_be_run_twice_also_after_the_kernel_was_killed(path: Path, tmp_path: Path) -> None:
    everything = code(path)
    with kernel(stage_of(path), TMPDIR=str(tmp_path)) as running:
        for cell in everything[: len(everything) // 2]:
            run(running, cell)
        started = children(running.pid)
        os.kill(running.pid, 9)
        check_nothing_is_left(started, tmp_path)
    with kernel(stage_of(path), TMPDIR=str(tmp_path)) as running:
        for cell in everything:
            first = run(running, cell)
            assert first == committed(cell), f"cell {cell.number}: another output"
            second = first if "slow" in cell.tags else run(running, cell)
            if cell.tags & {"check", "stage", "exercise", "guess"}:
                assert second == first, f"cell {cell.number}: another output the second time"


@dataclass(frozen=True)
class Exercise:
    """The three cells of an exercise."""

    empty: Cell
    solution: Cell
    check: Cell

    @property
    def functions(self) -> list[str]:
        """The names of the functions that the learner writes."""
        return [node.name for node in ast.walk(ast.parse(self.solution.source)) if isinstance(node, ast.FunctionDef)]

    def with_wrong(self, name: str) -> str:
        """Return the solution, but the function `name` does nothing."""
        tree = ast.parse(self.solution.source)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                node.body = [*node.body[: ast.get_docstring(node) is not None], ast.Return()]
        return ast.unparse(tree)


def exercises(path: Path) -> dict[int, Exercise]:
    """Return the exercises of a notebook: number of the cell with the check -> exercise."""
    everything = code(path)
    found = {}
    for place, cell in enumerate(everything):
        if "exercise" in cell.tags:
            following = everything[place + 1 : place + 3]
            tags = [each.tags & {"solution", "check"} for each in following]
            assert tags == [{"solution"}, {"check"}], f"cell {cell.number}: no solution and check after the exercise"
            found[following[1].number] = Exercise(cell, *following)
    return found


@companion
def test_every_solution_belongs_to_an_exercise_with_a_check(path: Path) -> None:
    assert [each.solution for each in exercises(path).values()] == [each for each in code(path) if each.is_solution]


@pytest.mark.slow
@companion
def test_an_exercise_fails_while_it_is_empty_or_wrong_and_passes_with_the_right_code(path: Path) -> None:
    """The answers are typed into the cell of the exercise. The rest of the notebook then runs on them."""
    waiting = exercises(path)
    with kernel(stage_of(path), NOTEBOOK_PATIENCE=str(within(1))) as running:
        for cell in code(path):
            if cell.number in waiting:
                try_out(running, waiting[cell.number])
            elif not cell.tags & {"slow", "exercise", "solution"}:
                run(running, cell)


def try_out(running: Kernel, exercise: Exercise) -> None:
    """Run an exercise empty, with each function wrong, with its solution, and with the right code, in this order."""
    place = f"cell {exercise.check.number}"
    run(running, exercise.empty)
    answer = running.run(exercise.check.text)
    assert "not written yet" in answer.error, f"{place}: the exercise is empty\n{answer.text}"
    for name in exercise.functions:
        assert not running.run(exercise.with_wrong(name)).error
        answer = running.run(exercise.check.text)
        assert answer.error, f"{place} passes, though {name} does nothing"
        assert "your cell" in answer.text, f"{place}: {name} was typed into the exercise\n{answer.text}"
    assert not running.run(exercise.solution.source).error
    assert running.run(exercise.solution.text).text.startswith("stays as you wrote it")
    answer = running.run(exercise.check.text)
    assert not answer.error and "your cell" in answer.text, f"{place}: the right code\n{answer.text}"


@pytest.mark.slow
@pytest.mark.parametrize("path", [COMPANIONS[0], TOUR], ids=lambda path: path.stem)
def test_pytest_runs_a_notebook_with_every_output_compared(path: Path) -> None:
    """By nbval; the first test compares the same for all notebooks, in less time."""
    run_pytest(path, "--nbval", "--target=reference")


VARIABLES = {"NOTEBOOK_TARGET": "../work", "NOTEBOOK_STAGE": "6"}


@pytest.mark.parametrize(
    ("stage", "variables"),
    [
        (4, {}),
        pytest.param(6, VARIABLES, marks=pytest.mark.slow),
        *(pytest.param(stage, {}, marks=pytest.mark.slow) for stage in (5, 9, 10)),
    ],
)
def test_the_notebook_of_a_handout_runs_on_a_complete_work(
    stage: int, variables: dict[str, str], tmp_path: Path
) -> None:
    """It has no solutions: the exercises are written in work/, and all the rest uses that."""
    path = handed_out_with(sources(stage_folder(stage)), stage, tmp_path)
    with kernel_in(tmp_path, **variables) as running:
        for cell in code(path):
            if "slow" not in cell.tags:
                run(running, cell)
                assert "check" not in cell.tags or "checking work/" in running.run(cell.text).text, cell.text


@pytest.mark.parametrize("stage", [4, *(pytest.param(stage, marks=pytest.mark.slow) for stage in STAGES if stage != 4)])
def test_pytest_runs_the_notebook_of_a_handout_on_its_work(stage: int, tmp_path: Path) -> None:
    """The exercises, which have no solutions there, are replaced by what is in work/; no `--target` is needed."""
    path = handed_out_with(sources(stage_folder(stage)), stage, tmp_path)
    run_pytest(path, "--nbval-lax", "-m", "not slow", root=tmp_path)
    missing = tmp_path / "work" / NEW_FILE[stage]
    missing.rename(missing.with_suffix(".txt"))
    done = pytest_on(path, "--nbval-lax", "--target=reference", root=tmp_path)
    assert done.returncode and "work/ has no stage" in done.stderr, "the starter is no reference"


@pytest.mark.parametrize("stage", [4, 6, 7])
def test_a_first_look_in_a_handout_says_that_work_is_unfinished(stage: int, tmp_path: Path) -> None:
    path = handed_out_with(starter.starter(stage), stage, tmp_path)
    first = next(cell for cell in code(path) if "first_look" in cell.text)
    with kernel_in(tmp_path) as running:
        assert "Come back when you have written the steps." in running.run(first.text).text


def handed_out_with(work: dict[str, str], stage: int, folder: Path) -> Path:
    """Write the handout of a stage, with these files in its work/; return its notebook."""
    handout.lay_out(stage, folder, chain=False)
    starter.write(work, folder / "work")
    return folder / "notebooks" / f"{stage_folder(stage).name}.ipynb"


@pytest.mark.slow
@companion
def test_pytest_runs_a_notebook_on_code_in_another_folder(path: Path, tmp_path: Path) -> None:
    """As a learner does it on work/, but without the cells tagged `slow`."""
    for file in (ROOT / "stages" / path.stem).glob("*.py"):
        (tmp_path / file.name).write_text(file.read_text())
    run_pytest(path, "--nbval-lax", f"--target={tmp_path}", "-m", "not slow")


@pytest.mark.slow
@pytest.mark.parametrize("path", COMPANIONS[:3], ids=lambda path: path.stem)
def test_without_its_solutions_a_notebook_runs_on_a_complete_work(path: Path, tmp_path: Path) -> None:
    """As in a handout: the exercises in the cells stay empty."""
    starter.write(sources(path.parents[1] / "stages" / path.stem), tmp_path)
    with kernel(stage_of(path), str(tmp_path)) as running:
        for cell in code(path):
            if not cell.tags & {"slow", "solution", "setup"}:
                run(running, cell)


@pytest.mark.parametrize("path", COMPANIONS[1:3], ids=lambda path: path.stem)
def test_the_first_experiment_on_a_starter_says_that_it_is_not_finished(path: Path, tmp_path: Path) -> None:
    starter.write(starter.starter(stage_of(path)), tmp_path)
    with kernel(stage_of(path), str(tmp_path), NOTEBOOK_PATIENCE=str(within(1))) as running:
        ran = running.run(next(cell.text for cell in code(path) if "setup" not in cell.tags))
    assert not ran.error and "Come back" in ran.text, ran.text


def run_pytest(path: Path, *options: str, root: Path = ROOT) -> None:
    """Run pytest on a notebook. All its cells must pass."""
    done = pytest_on(path, *options, root=root)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def pytest_on(path: Path, *options: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run pytest on a notebook, without a network, in the repository or in a handout; return how it ended."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", str(path), *options, "-q", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support" / "offline")},
        capture_output=True,
        text=True,
    )
