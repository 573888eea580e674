"""Show one more hint each time, for a check that fails. What `check` has shown of it counts as the first time."""

from __future__ import annotations

import argparse
import ast
import textwrap

from stages.desk.progress import recall, remember
from stages.desk.shared import Complaint, reached, stage_number
from stages.harness.course import stage_folder


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the stage and the test."""
    parser.add_argument("stage", nargs="?", type=stage_number, help="the stage (default: the last one begun)")
    parser.add_argument("name", nargs="?", help="the test, or part of its name (default: the first that failed)")


def run(options: argparse.Namespace) -> int:
    """Print what the test checks, the hints shown before, and the next one."""
    stage: int = options.stage or reached()
    tests = docstrings(stage)
    name = chosen(options.name, stage, list(tests))
    checked, *hints = tests[name]
    progress = recall(stage)
    seen = progress.hints.get(name, 0)  # `check` counts, too
    shown = min(seen + 1, len(hints))
    progress.hints[name] = shown
    remember(stage, progress)
    print(f"{name}: {checked}\n")
    for number, hint in enumerate(hints[:shown], 1):
        again = " (shown before)" if number <= seen else ""
        print(f"Hint {number} of {len(hints)}{again}:\n{textwrap.indent(hint, '    ')}\n")
    if shown == len(hints):
        print(f"There are no more hints. Read on in notebooks/{stage_folder(stage).name}.ipynb")
    return 0


def docstrings(stage: int) -> dict[str, list[str]]:
    """Map the name of each test of a checkpoint to the paragraphs of its docstring."""
    tree = ast.parse((stage_folder(stage) / "test_checkpoint.py").read_text())
    return {
        node.name: (ast.get_docstring(node) or "").split("\n\n")
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def chosen(wanted: str | None, stage: int, names: list[str]) -> str:
    """Return the one test whose name contains `wanted`; without it the first that failed in the last check."""
    if wanted is None:
        failed = [name.split("[")[0] for name in recall(stage).failed]
        wanted = next((name for name in failed if name in names), None)
    if wanted is None:
        if recall(stage).done:
            raise Complaint(f"all checks of stage {stage:02} passed when they ran last: there is nothing to hint at")
        raise Complaint(
            f"no failed test of stage {stage:02} is known (pytest alone does not store any): "
            f"type `python3 -m stages check {stage:02}`"
        )
    found = [name for name in names if wanted in (name, name.removeprefix("test_"))]
    found = found or [name for name in names if wanted in name]
    if len(found) != 1:
        listed = "\n".join(f"    {name}" for name in found or names)
        raise Complaint(f"which of these tests do you mean?\n{listed}\nType `python3 -m stages hint {stage:02} NAME`")
    return found[0]
