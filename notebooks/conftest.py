"""Settings for `pytest --nbval notebooks/…`: the kernel of this environment, a time limit for each cell, `--target`.

Without `--target` a notebook runs as it is. With `--target=work`, or another folder, each cell tagged `stage` is
replaced by imports from that folder, and the folder's server.py is the one that is started. So the experiments and
the assertions run on the learner's own code. Write `--nbval-lax` in place of `--nbval`: then only the outputs of cells
that are tagged `nbval-check-output` are compared.

A handout has no solutions. So there the target is always a folder, work/ without `--target`, and the cells tagged
`exercise` are replaced too: what is in work/ has to be complete, and what is in a cell does not count.
"""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest

from stages.harness import course, target

SECONDS_PER_CELL = 60.0
IS_HANDOUT = not (course.ROOT / "stages" / "desk" / "solution.py").exists()
REPLACED = {"stage", "exercise"} if IS_HANDOUT else {"stage"}  # tags of cells


def pytest_configure(config: pytest.Config) -> None:
    """Choose the kernel, and the time limit of a cell."""
    config.option.nbval_current_env = True
    config.option.nbval_cell_timeout = SECONDS_PER_CELL


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each cell tagged `slow`, and replace the cells of REPLACED by imports from the target."""
    for item in items:
        cell = getattr(item, "cell", None)
        tags = cell.metadata.get("tags", []) if cell is not None else []
        if "slow" in tags:
            item.add_marker(pytest.mark.slow)
        folder = target_folder(item)
        if cell is not None and folder and REPLACED.intersection(tags):
            cell.source = as_imports(cell.source, folder, course.stage_folder(stage_of(item)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Set the environment of the kernel that is about to start: shared/folders.py reads the target from there."""
    os.environ["NOTEBOOK_TARGET"] = str(target_folder(item) or "reference")
    os.environ["NOTEBOOK_STAGE"] = str(stage_of(item))
    os.environ["NOTEBOOK_IMPORTS"] = "1"
    os.environ["NOTEBOOK_STATIC"] = "1"


def stage_of(item: pytest.Item) -> int:
    """Return the stage that a cell's notebook is about; 0 for the tour of final/."""
    number = re.match(r"\d\d", item.path.name)
    return int(number[0]) if number else 0


def target_folder(item: pytest.Item) -> Path | None:
    """Return the folder that --target names; None without --target, unless this is a handout: then work/."""
    wanted, stage = item.config.getoption("target", None), stage_of(item)
    if IS_HANDOUT and wanted in (None, "reference"):  # its last stage is the starter
        wanted = "work"
    if wanted in (None, "reference") or not stage:
        return None
    try:
        found = target.find(wanted, stage, item.config.invocation_params.dir)
    except target.Unavailable as error:
        raise pytest.UsageError(str(error)) from None
    if found.folder is None or found.is_final:
        raise pytest.UsageError(f"--target={wanted}: a notebook needs a folder with the modules of a stage")
    return found.folder


def as_imports(source: str, folder: Path, reference: Path) -> str:
    """Replace a cell's definitions by imports of the same names from the folder.

    A name is imported from the module of `folder` that defines it, else from the module that has it in `reference`,
    so that the import fails and names it. A constant that `folder` does not define is left out: only the reference
    uses it.
    """
    here, there = names_in(folder), names_in(reference)
    lines = []
    for node in ast.parse(re.sub(r"^%%solution.*", "", source)).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            lines.append(ast.unparse(node))
        for name in defined(node):
            if name in here or not isinstance(node, ast.Assign | ast.AnnAssign):
                module = here.get(name) or there[name]
                lines.append(f"from {module} import {name}")
    return "\n".join(dict.fromkeys(lines))


def names_in(folder: Path) -> dict[str, str]:
    """Map each name that a module in the folder defines to the name of the module."""
    return {
        name: path.stem
        for path in sorted(folder.glob("*.py"))
        if not re.match("test_", path.name)
        for node in ast.parse(path.read_text()).body
        for name in defined(node)
    }


def defined(node: ast.stmt) -> list[str]:
    """Return the names that a statement defines; an import defines none."""
    match node:
        case ast.ClassDef(bases=[ast.Name(id="Protocol")]):  # what a module needs of another one's class
            return []
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Assign():
            return [each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []
