"""Runs a checkpoint in a pytest of its own, as a learner would, and reads the outcome of each test."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

from stages.harness.course import ROOT, stage_folder
from tests.support.stages_copy import environment

SECONDS = 600


@dataclass(frozen=True)
class Case:
    """A test that ran: its outcome is passed, skipped or how it failed (`report.trouble`); `message` is its message."""

    name: str
    outcome: str
    message: str


@dataclass(frozen=True)
class Run:
    """A run of a checkpoint."""

    command: str
    output: str
    status: int
    cases: list[Case]

    def named(self, *outcomes: str) -> list[str]:
        """List the tests with one of these outcomes."""
        return [case.name for case in self.cases if case.outcome in outcomes]

    @property
    def failed(self) -> list[Case]:
        """List the tests that neither passed nor were skipped."""
        return [case for case in self.cases if case.outcome not in ("passed", "skipped")]

    def summary(self) -> str:
        """Return the names of the failed tests, the first one's message, and the command that shows the others."""
        names = "\n".join(f"    {case.name}: {case.outcome}" for case in self.failed)
        first = self.failed[0].message if self.failed else self.output
        return f"{names}\n\nThe first:\n\n{first}\n\nAll of it: {self.command}"


def run(stage: int, target: str | Path, folder: Path, *options: str, tests: Collection[str] = ()) -> Run:
    """Run the checkpoint of a stage, or some of its tests, on a target; pytest writes its results into `folder`."""
    results = folder / "results.xml"
    name = f"stages/{stage_folder(stage).name}"
    args = [
        *([f"{name}/test_checkpoint.py::{test}" for test in tests] or [name]),
        f"--target={target}",
        f"--junitxml={results}",
        "-p",
        "no:cacheprovider",
        *options,
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *args],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    output = done.stdout + done.stderr
    assert results.exists(), output
    command = f"pytest {args[0]} --target={target}"
    return Run(command, output, done.returncode, [read(case) for case in ElementTree.parse(results).iter("testcase")])


def read(case: ElementTree.Element) -> Case:
    """Read a test's outcome from its element in the JUnit file."""
    bad = [each for each in case if each.tag in ("failure", "error")]
    message = "\n".join(each.text or "" for each in bad)
    if case.find("skipped") is not None:
        return Case(case.get("name", ""), "skipped", "")
    if not bad:
        return Case(case.get("name", ""), "passed", "")
    troubles = [each.get("value", "") for each in case.iter("property") if each.get("name") == "trouble"]
    return Case(case.get("name", ""), troubles[0] if troubles else "error", message)


@cache
def tests_of(stage: int) -> list[ast.FunctionDef]:
    """Return the functions of a checkpoint, parsed."""
    tree = ast.parse((stage_folder(stage) / "test_checkpoint.py").read_text())
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]


def marked(stage: int, mark: str) -> dict[str, object]:
    """Map each test of a checkpoint that has a mark to the mark's argument, None if it has no argument."""
    found: dict[str, object] = {}
    for test in tests_of(stage):
        for decorator in test.decorator_list:
            args = decorator.args if isinstance(decorator, ast.Call) else []
            name = ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)
            if name in (f"pytest.mark.{mark}", mark):
                found[test.name] = ast.literal_eval(args[0]) if args else None
    return found


def need_redis() -> None:
    """Skip the test if there is no real Redis; in continuous integration let it fail."""
    if not shutil.which("redis-server") and not os.environ.get("CI"):
        pytest.skip("there is no redis-server on this machine")
