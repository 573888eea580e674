"""The examples in the docstrings of each stage, and of the programs around the stages, are true."""

import ast
import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stages.desk.manifest import sources
from stages.harness.course import ROOT, STAGES, stage_folder


@pytest.mark.parametrize("stage", STAGES)
def test_the_examples_in_docstrings_are_true(stage: int) -> None:
    folder = stage_folder(stage)
    args = [sys.executable, "-B", "-m", "doctest", *sources(folder)]
    done = subprocess.run(args, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


MACHINERY = sorted(
    f"stages.{package}.{path.stem}"
    for package in ("desk", "harness", "teacher", "upkeep")
    for path in (ROOT / "stages" / package).glob("[a-z]*.py")
)


@pytest.mark.parametrize("name", MACHINERY)
def test_the_examples_in_the_machinerys_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def imported(path: Path) -> set[str]:
    """List the modules of stages/ that a file imports, imports for types only included."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    found = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return {name for name in found if name.startswith("stages.")}


@pytest.mark.parametrize("name", MACHINERY)
def test_a_package_imports_only_what_its_map_says(name: str) -> None:
    _, package, module = name.split(".")
    known = {"harness": {"harness"}, "desk": {"harness", "desk"}}.get(package, {"harness", "desk", package})
    assert {each.split(".")[1] for each in imported(ROOT / "stages" / package / f"{module}.py")} <= known


def test_the_machinery_has_no_cycle_of_imports() -> None:
    needs = {name: imported(ROOT / f"{name.replace('.', '/')}.py") for name in MACHINERY}
    for name, of in needs.items():
        needs[name] = {each for each in MACHINERY if any(f"{one}.".startswith(f"{each}.") for one in of)}
    while free := [name for name, of in needs.items() if not of & needs.keys()]:
        for name in free:
            del needs[name]
    assert not needs


@pytest.mark.parametrize("package", ["desk", "harness", "teacher", "upkeep"])
def test_the_map_of_a_package_lists_every_file(package: str) -> None:
    folder = ROOT / "stages" / package
    text = (folder / "__init__.py").read_text()
    listed = set(re.findall(r"^    (\S+)  ", text, re.M))
    assert listed == {
        f"{path.name}/" if path.is_dir() else path.name for path in folder.glob("[a-z]*") if path.name != "__pycache__"
    }


def test_a_file_of_the_harness_imports_only_files_above_it_on_the_map() -> None:
    order = re.findall(r"^    (\w+)\.py  ", (ROOT / "stages" / "harness" / "__init__.py").read_text(), re.M)
    for place, name in enumerate(order):
        names = {each.split(".")[2] for each in imported(ROOT / "stages" / "harness" / f"{name}.py")}
        assert names & set(order) <= set(order[:place]), name
