"""Run a stage's checkpoint on work/."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

from stages.desk import WORK, Complaint, begun, reached, stage_number
from stages.progress import Progress, recall, remember
from stages.target import ROOT, stage_folder

# nbval is only for notebooks, and takes two seconds to load.
PYTEST = [sys.executable, "-m", "pytest", "-p", "no:nbval"]


def declare(parser: argparse.ArgumentParser) -> None:
    """Take a stage, and whatever else pytest should be told."""
    parser.add_argument("stage", nargs="?", type=stage_number, help="the stage (default: the last one begun)")
    parser.add_argument("--watch", action="store_true", help="again whenever a file in work/ is saved")
    parser.add_argument("pytest", nargs=argparse.REMAINDER, help="words for pytest, such as -x or -k NAME")


def run(options: argparse.Namespace) -> int:
    """Run it, and remember what came of it."""
    stage: int = options.stage or reached()
    if not begun(stage):
        raise Complaint(f"work/ has no stage {stage:02} yet: type `python3 -m stages start {stage:02}`")
    if importlib.util.find_spec("pytest") is None:
        raise Complaint("pytest is not installed: type `python3 -m pip install -r requirements.txt`")
    words = [word for word in options.pytest if word != "--watch"]  # argparse leaves all behind the stage to pytest
    if not options.watch and len(words) == len(options.pytest):
        return check(stage, words)
    while True:  # until Ctrl-C
        seen = saved()
        check(stage, words)
        print("Waiting for a file in work/ to be saved; Ctrl-C ends this.", flush=True)
        while saved() == seen:
            time.sleep(0.2)


def check(stage: int, words: list[str]) -> int:
    """Run the checkpoint once. Part of one, such as -x leaves, says nothing about the stage: it is not remembered."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "results.xml")
        command = [str(stage_folder(stage)), "--target=work", f"--junitxml={results}", *words]
        status = subprocess.run([*PYTEST, *command], cwd=ROOT).returncode
        stopped = status != 0 and any(word.startswith(("-x", "--exitfirst", "--maxfail")) for word in words)
        chosen = any(word.startswith(("-k", "-m", "--lf", "--last-failed", "--deselect")) for word in words)
        if stopped or chosen:
            print("This was not the whole checkpoint, so it is not remembered.")
        elif results.exists():
            remember(stage, came_out(results, recall(stage)))
    return status


def saved() -> dict[str, int]:
    """When each of the learner's files was saved last."""
    return {path.name: path.stat().st_mtime_ns for path in WORK.glob("*.py")}


def came_out(results: Path, before: Progress) -> Progress:
    """Count what passed in a JUnit file. A test that fails twice, itself and in its end, is one test."""
    cases: dict[str, bool] = {}
    for case in ElementTree.parse(results).iter("testcase"):
        if case.find("skipped") is None:
            failed = case.find("failure") is not None or case.find("error") is not None
            name = case.get("name", "")
            cases[name] = cases.get(name, True) and not failed
    failed_ones = [name for name, passed in cases.items() if not passed]
    return Progress(len(cases) - len(failed_ones), len(cases), failed_ones, before.hints)
