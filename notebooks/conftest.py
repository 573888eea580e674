"""How `pytest --nbval notebooks/…` runs: the kernel of this environment, a limit for each cell, and `--target`.

Without `--target` a notebook runs as it stands. With `--target=work`, or another folder, the cells tagged `stage`
become imports from that folder and its server.py is the one that is started, so that the experiments and the
assertions run on the learner's own code; with `--nbval-lax` outputs are compared where a cell is tagged
`nbval-check-output`, and nowhere else.
"""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest

from stages.harness import course, target

SECONDS_PER_CELL = 60.0


def pytest_configure(config: pytest.Config) -> None:
    """Choose the kernel and the limit."""
    config.option.nbval_current_env = True
    config.option.nbval_cell_timeout = SECONDS_PER_CELL


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Turn the cells of the stage into imports from the target."""
    for item in items:
        cell = getattr(item, "cell", None)
        folder = target_folder(item)
        if cell is not None and folder and "stage" in cell.metadata.get("tags", []):
            cell.source = as_imports(cell.source, folder, course.stage_folder(stage_of(item)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tell the kernel, before it is started, whose code its experiments are for (see `code_folder` in pictures.py)."""
    os.environ["NOTEBOOK_TARGET"] = str(target_folder(item) or "reference")
    os.environ["NOTEBOOK_STAGE"] = str(stage_of(item))


def stage_of(item: pytest.Item) -> int:
    """Tell which stage a cell's notebook is about; 0 where it is about none."""
    number = re.match(r"\d\d", item.path.name)
    return int(number[0]) if number else 0


def target_folder(item: pytest.Item) -> Path | None:
    """Find the folder that --target means; None: the notebook as it stands, also where there is a work/."""
    wanted, stage = item.config.getoption("target", None), stage_of(item)
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

    A name stands in the module that the stage has it in, unless the target has it elsewhere. Constants that the
    target does not have are left out: whoever needed them has others.
    """
    here, there = names_in(folder), names_in(reference)
    lines = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            lines.append(ast.unparse(node))
        for name in defined(node):
            if name in here or not isinstance(node, ast.Assign | ast.AnnAssign):
                module = here.get(name) or there[name]
                lines.append(f"from {module} import {name}")
    return "\n".join(dict.fromkeys(lines))


def names_in(folder: Path) -> dict[str, str]:
    """Map what a folder's modules define to the module's name."""
    return {
        name: path.stem
        for path in sorted(folder.glob("*.py"))
        if not re.match("test_", path.name)
        for node in ast.parse(path.read_text()).body
        for name in defined(node)
    }


def defined(node: ast.stmt) -> list[str]:
    """List the names that a statement defines; imports are not definitions."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Assign():
            return [target.id for target in node.targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []
