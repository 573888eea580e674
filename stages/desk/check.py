"""Run a stage's checkpoint on work/; when it has passed, the earlier ones too."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

from stages.desk.progress import Progress, recall, remember
from stages.desk.shared import WORK, Complaint, begun, reached, stage_number
from stages.harness.course import ROOT, TASKS, stage_folder

# nbval is only for notebooks, and takes two seconds to load.
PYTEST = [sys.executable, "-m", "pytest", "-p", "no:nbval", "--target=work"]
BRIEF = ["-q", "--no-header", "--no-summary", "--brief"]


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the stage, and arguments for pytest."""
    parser.add_argument("stage", nargs="?", type=stage_number, help="the stage (default: the last one begun)")
    parser.add_argument("--watch", action="store_true", help="run it again whenever a file in work/ is saved")
    parser.add_argument("pytest", nargs=argparse.REMAINDER, help="arguments for pytest, such as -x or -k NAME")


def run(options: argparse.Namespace) -> int:
    """Run the checkpoint, and store the outcome; with --watch again and again."""
    stage: int = options.stage or reached()
    if not begun(stage):
        raise Complaint(f"work/ has no stage {stage:02} yet: type `python3 -m stages start {stage:02}`")
    if importlib.util.find_spec("pytest") is None:
        raise Complaint("pytest is not installed: type `python3 -m pip install -r requirements.txt`")
    args = [arg for arg in options.pytest if arg != "--watch"]  # argparse gives all after the stage to pytest
    if not options.watch and len(args) == len(options.pytest):
        return check(stage, args)
    while True:  # until Ctrl-C
        before = saved()
        check(stage, args)
        print("Waiting until a file in work/ is saved; Ctrl-C ends this.", flush=True)
        while saved() == before:
            time.sleep(0.2)


def check(stage: int, args: list[str]) -> int:
    """Run the checkpoint once, then the earlier ones; return pytest's exit status.

    The outcome is stored if all tests ran.
    """
    stopped = any(arg.startswith(("-x", "--exitfirst", "--maxfail")) for arg in args)
    chosen = any(arg.startswith(("-k", "-m", "--lf", "--last-failed", "--deselect")) for arg in args)
    how = [] if any(arg.startswith(("--tb", "-v")) for arg in args) else BRIEF
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "results.xml")
        command = [str(stage_folder(stage)), f"--junitxml={results}", *how, *args]
        status = subprocess.run([*PYTEST, *command], cwd=ROOT).returncode
        if (stopped and status) or chosen:
            print("This was not the whole checkpoint, so its outcome is not stored.")
        elif results.exists():
            remember(stage, outcome(results, recall(stage)))
    earlier = [each for each in TASKS if each < stage]
    return check_earlier(earlier) if earlier and status == 0 and not chosen else status


def check_earlier(stages: list[int]) -> int:
    """Run the checkpoints of earlier stages, as far as they still hold; say what has broken; return pytest's status."""
    names = f"{stages[0]:02}" if len(stages) == 1 else f"{stages[0]:02} to {stages[-1]:02}"
    print(f"Passed. Now the checkpoints of stage {names}, on the same code …", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "results.xml")
        command = [*map(str, map(stage_folder, stages)), f"--junitxml={results}", *BRIEF]
        run = subprocess.run([*PYTEST, *command], cwd=ROOT, capture_output=True, text=True)
        found = outcome(results, Progress()) if results.exists() else Progress()
    if run.returncode == 0:
        print(f"Stage {names}: what is asked there still holds ({found.passed} checks).")
    else:
        print(f"Stage {names}: this worked, and has broken again.\n{run.stdout}{run.stderr}", end="")
    return run.returncode


def saved() -> dict[str, int]:
    """Return the time at which each file in work/ was saved last."""
    return {path.name: path.stat().st_mtime_ns for path in WORK.glob("*.py")}


def outcome(results: Path, before: Progress) -> Progress:
    """Count the tests that passed in a JUnit file. One that fails in its body and in its teardown counts once."""
    cases: dict[str, bool] = {}
    for case in ElementTree.parse(results).iter("testcase"):
        if case.find("skipped") is None:
            failed = case.find("failure") is not None or case.find("error") is not None
            name = case.get("name", "")
            cases[name] = cases.get(name, True) and not failed
    failed_ones = [name for name, passed in cases.items() if not passed]
    return Progress(len(cases) - len(failed_ones), len(cases), failed_ones, before.hints)
