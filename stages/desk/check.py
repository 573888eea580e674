"""Run a stage's checkpoint on work/; when it has passed, the earlier ones too."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

from stages.desk.manifest import Function, below_docstring, functions, sources
from stages.desk.manifest import read as rows
from stages.desk.progress import Progress, recall, remember
from stages.desk.shared import WORK, Complaint, begun, reached, stage_number
from stages.harness.course import ROOT, TASKS, stage_folder
from stages.harness.steps import steps

# No checkpoint uses these plugins: nbval takes two seconds to load, the others half a second.
UNUSED = ["-pno:nbval", "-pno:hypothesispytest", "-pno:anyio"]
PYTEST = [sys.executable, "-m", "pytest", *UNUSED, "--target=work"]
LONG = 5  # seconds
BRIEF = ["-q", "--no-header", "--no-summary", "--brief"]


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the stage, and arguments for pytest."""
    parser.add_argument("stage", nargs="?", type=stage_number, help="the stage (default: the last one begun)")
    parser.add_argument("--watch", action="store_true", help="run it again whenever a file in work/ is saved")
    parser.add_argument(
        "pytest",
        nargs=argparse.REMAINDER,
        metavar="...",
        help="the number of a step, to run its checks only; arguments for pytest, such as -x or -k NAME",
    )


def run(options: argparse.Namespace) -> int:
    """Run the checkpoint, and store the outcome; with --watch again and again."""
    stage: int = options.stage or reached()
    if not begun(stage):
        raise Complaint(f"work/ has no stage {stage:02} yet: type `python3 -m stages start {stage:02}`")
    if importlib.util.find_spec("pytest") is None:
        raise Complaint("pytest is not installed: type `python3 -m pip install -r requirements.txt`")
    args = [arg for arg in options.pytest if arg != "--watch"]  # argparse gives all after the stage to pytest
    watched = options.watch or len(args) < len(options.pytest)
    args = with_step(stage, args)
    if not watched:
        return check(stage, args)
    while True:  # until Ctrl-C
        before = saved()
        check(stage, args)
        print("Waiting until a file in work/ is saved; Ctrl-C ends this.", flush=True)
        while saved() == before:
            time.sleep(0.2)


def with_step(stage: int, args: list[str]) -> list[str]:
    """Return the arguments for pytest; the number of a step, which may be the first of them, becomes an option."""
    if not args or args[0].startswith("-"):
        return args
    numbers = [str(step.number) for step in steps(stage_folder(stage))]
    if (number := args[0].lstrip("0")) not in numbers:
        where = f"stage {stage:02} has the steps {numbers[0]} to {numbers[-1]}" if numbers else "there are no steps"
        raise Complaint(f"{args[0]} is no step: {where}; arguments for pytest begin with -")
    return [f"--step={number}", *args[1:]]


def check(stage: int, args: list[str]) -> int:
    """Run the checkpoint once, then the earlier ones; return pytest's status.

    Store the outcome if all tests ran, else only what failed, for `hint`.
    """
    stopped = any(arg.startswith(("-x", "--exitfirst", "--maxfail")) for arg in args)
    chosen = any(arg.startswith(("-k", "-m", "--lf", "--last-failed", "--deselect", "--step")) for arg in args)
    how = [] if any(arg.startswith(("--tb", "-v")) for arg in args) else BRIEF
    began = time.monotonic()
    done, cases = pytest(str(stage_folder(stage)), *how, *args)
    if (stopped and done.returncode) or chosen:
        remember(stage, in_part(cases or [], recall(stage)))
        print("".join(f"{line}\n" for line in still(stage, cases or [], as_before(stage))), end="")
        hint = "; `hint` speaks of what failed here" if done.returncode else ""
        print(f"This was not the whole checkpoint: your steps stay as they were{hint}.")
    elif cases:
        remember(stage, outcome(cases, recall(stage)))
        print("\n".join(told(stage, cases, as_before(stage))))
        if done.returncode and time.monotonic() - began > LONG:
            print(f"To stop at the first failure, in less time: python3 -m stages check {stage:02} -x")
    earlier = [each for each in TASKS if each < stage]
    return check_earlier(earlier) if earlier and done.returncode == 0 and not chosen else done.returncode


def check_earlier(stages: list[int]) -> int:
    """Run the checkpoints of earlier stages, as far as they still hold; say what has broken; return pytest's status."""
    names = f"{stages[0]:02}" if len(stages) == 1 else f"{stages[0]:02} to {stages[-1]:02}"
    print(f"Passed. Now the checkpoints of stage {names}, on the same code …", flush=True)
    done, cases = pytest(*map(str, map(stage_folder, stages)), *BRIEF, quiet=True)
    if done.returncode == 0:
        print(f"Stage {names}: what is asked there still holds ({outcome(cases or [], Progress()).passed} checks).")
    else:
        print(f"Stage {names}: this worked, and has broken again.\n{done.stdout}{done.stderr}", end="")
    return done.returncode


def pytest(*args: str, quiet: bool = False) -> tuple[subprocess.CompletedProcess[str], list[Case] | None]:
    """Run pytest on work/; return how it ended, and its tests, if it has run any. With `quiet` it prints nothing."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "results.xml")
        done = subprocess.run([*PYTEST, *args, f"--junitxml={results}"], cwd=ROOT, capture_output=quiet, text=True)
        return done, read(results) if results.exists() else None


def saved() -> dict[str, int]:
    """Return the time at which each file in work/ was saved last."""
    return {path.name: path.stat().st_mtime_ns for path in WORK.glob("*.py")}


@dataclass
class Case:
    """One test that ran: its step (0: none), its points, and how it failed (`kind` is empty when it passed).

    `hinted` is whether its report has its first hint.
    """

    name: str
    step: int
    points: float
    kind: str
    hinted: bool = False


def read(results: Path) -> list[Case]:
    """Read the tests in a JUnit file that were not skipped. One that fails in its body and its teardown is one case."""
    cases: dict[str, Case] = {}
    for node in ElementTree.parse(results).iter("testcase"):
        if node.find("skipped") is None:
            said = {each.get("name"): each.get("value", "") for each in node.iter("property")}
            failed = node.find("failure") is not None or node.find("error") is not None
            case = Case(
                node.get("name", ""), int(said.get("step", 0)), float(said.get("points", 0)), "", "hint" in said
            )
            cases.setdefault(case.name, case).kind += said.get("kind", "failed") if failed else ""
    return list(cases.values())


def outcome(cases: list[Case], before: Progress) -> Progress:
    """Return the progress that the cases show."""
    failed = [case.name for case in cases if case.kind]
    open_steps = {case.step for case in cases if case.kind and case.points}
    passed = sorted({case.step for case in cases} - open_steps - {0})
    return Progress(len(cases) - len(failed), len(cases), failed, passed, hints(cases, before))


def in_part(cases: list[Case], before: Progress) -> Progress:
    """Return the progress before, with what has failed now first, and without what has passed now."""
    ran = [case.name for case in cases]
    failed = [case.name for case in cases if case.kind] + [name for name in before.failed if name not in ran]
    return replace(before, failed=failed, hints=hints(cases, before))


def hints(cases: list[Case], before: Progress) -> dict[str, int]:
    """Return how many hints were shown of each test: a brief report shows the first one of what failed first."""
    first = next((case for case in cases if case.kind), None)
    name = first.name.split("[")[0] if first and first.hinted else ""
    return before.hints | ({name: max(1, before.hints.get(name, 0))} if name else {})


def as_before(stage: int) -> set[str]:
    """Return which functions that a learner writes in a stage are in work/ as they were in the stage before."""
    found, before = set(), sources(stage_folder(stage - 1)) if stage > 1 else {}
    for row in (each for each in rows(stage_folder(stage)) if (WORK / each.file).exists()):
        with suppress(SyntaxError):  # pytest has said so
            mine = dict(functions((WORK / row.file).read_text()))
            for name in (each for each in row.write if each in mine):
                file, old = row.origin(name)
                there = dict(functions(before.get(file, ""))).get(old)
                found |= {name} if there and normal(there) == normal(mine[name]) else set()
    return found


def normal(node: Function) -> list[str]:
    """Return a function's decorators, arguments and statements in a normal form, without its docstring."""
    return [ast.unparse(each) for each in (*node.decorator_list, node.args, *below_docstring(node))]


def told(stage: int, cases: list[Case], old: Collection[str] = ()) -> Iterator[str]:
    """Yield a line for each step, and the sum. The functions `old` have the body of the stage before."""
    found, progress = steps(stage_folder(stage)), outcome(cases, Progress())
    following = False  # a step before has failed
    for step in found:
        own = [case for case in cases if case.step == step.number and (case.points or not case.kind)]
        failed = [case for case in own if case.kind]
        unwritten = all(case.kind.startswith("NotImplementedError") for case in failed)
        if own and not failed:
            state = f"✓ {len(own)} check{'s' * (len(own) > 1)}"
        elif not own or (following and (unwritten or failed == own or step.again or {*step.write} <= {*old})):
            state = "not yet"
        else:
            state = "failed"
        following = following or bool(failed)
        yield f"step {step.number:>2}  {state:<11}  {step.text}"
        if state == "failed":
            yield f"{'first':>20}  {failed[0].name}"
            yield from still(stage, failed, old)
    if older := [case.name for case in cases if case.kind and not case.step]:
        yield f"earlier  {'not yet' if following else 'failed':<11}  what earlier stages ask\n{'first':>20}  {older[0]}"
    if not following:
        yield from (f"no points failed       {case.name}" for case in cases if case.kind and case.step)
    points = int(sum(case.points for case in cases if not case.kind) + 0.001)  # shares of a step are no whole numbers
    bare = sum(case.kind != "" and not case.points for case in cases)
    but = f"; but {bare} check{'s' * (bare > 1)} without points failed" if bare and not following else ""
    yield f"Stage {stage:02}: {len(progress.steps)} of {len(found)} steps, {points} of 100 points{but}"


def still(stage: int, cases: list[Case], old: Collection[str]) -> Iterator[str]:
    """Yield which of the functions `old`, with the body of the stage before, belong to steps that have failed."""
    failed = {case.step for case in cases if case.kind}
    for step in steps(stage_folder(stage)):
        if names := [name for name in step.write if name in old and step.number in failed]:
            yield f"{'still':>20}  the body of stage {stage - 1:02}: {', '.join(names)}"
