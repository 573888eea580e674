"""Grade a folder of submissions or, with --one, a single one, as Gradescope does."""

from __future__ import annotations

import argparse
import csv
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from stages.desk.shared import Complaint, stage_number
from stages.teacher import results
from stages.teacher.assess import Grade, Limits, assess


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the submissions, the limits, and where to write."""
    parser.add_argument("submissions", nargs="?", type=Path, help="a folder of folders and zip files")
    parser.add_argument("--one", type=Path, metavar="DIR", help="grade this submission only, a folder or a zip file")
    parser.add_argument("--stage", type=stage_number, required=True, help="the stage that was the task")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the folder for grades.csv, feedback and JUnit files")
    parser.add_argument("--results", type=Path, metavar="FILE", help="with --one: Gradescope's results.json")
    parser.add_argument("--extra", type=Path, metavar="DIR", help="tests of your own, run after the checkpoint's")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="how many submissions at a time"
    )
    parser.add_argument("--timeout", type=float, default=Limits.seconds, metavar="S", help="seconds for one submission")
    parser.add_argument("--memory", type=int, default=Limits.memory, metavar="MB", help="memory for one submission")
    parser.add_argument(
        "--processes", type=int, default=Limits.processes, metavar="N", help="processes for one submission"
    )
    parser.add_argument(
        "--patience", type=float, default=Limits.patience, metavar="S", help="seconds to wait for a reply"
    )


def run(options: argparse.Namespace) -> int:
    """Grade one submission or all."""
    if find_spec("pytest") is None:
        raise Complaint("pytest is not installed: type `python3 -m pip install -r requirements.txt`")
    limits = Limits(options.timeout, options.memory, options.processes, options.patience)
    if options.extra and not options.extra.is_dir():
        raise Complaint(f"--extra {options.extra} is not a folder")
    if options.one and options.results and not options.submissions:
        return grade_one(options.one, options.stage, limits, options.extra, options.results)
    if options.submissions and options.out and not options.one:
        if not options.submissions.is_dir():
            raise Complaint(f"{options.submissions} is not a folder")
        return grade_all(options.submissions, options.stage, limits, options.extra, options.out, options.jobs)
    raise Complaint(
        "type `python3 -m stages grade SUBMISSIONS --stage NN --out DIR`,\n"
        "or `python3 -m stages grade --one DIR --stage NN --results FILE`"
    )


def grade_one(source: Path, stage: int, limits: Limits, extra: Path | None, file: Path) -> int:
    """Grade one submission; the results are written after every test, so that a run that is stopped has some."""
    grade = assess(source, stage, limits, extra, lambda grade: results.write(file, results.gradescope(grade)))
    print(results.row(grade))
    return 0


def grade_all(folder: Path, stage: int, limits: Limits, extra: Path | None, out: Path, jobs: int) -> int:
    """Grade every submission in a folder, `jobs` at a time, and write the grades into `out`."""
    sources = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    out.mkdir(parents=True, exist_ok=True)
    grades: list[Grade] = []

    def one(source: Path) -> None:
        grade = graded(source, stage, limits, extra)
        results.write(out / f"{source.name}.txt", results.feedback(grade))
        results.write(out / f"{source.name}.xml", results.junit(grade))
        grades.append(grade)
        print(f"[{len(grades)}/{len(sources)}] {results.row(grade)}", flush=True)

    with ThreadPoolExecutor(max(1, jobs)) as pool:
        list(pool.map(one, sources))
    with (out / "grades.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(results.columns(stage))
        table.writerows(results.cells(grade) for grade in sorted(grades, key=lambda grade: grade.submission))
    print(f"{out / 'grades.csv'} has the grades")
    return 0


def graded(source: Path, stage: int, limits: Limits, extra: Path | None) -> Grade:
    """Grade one of many submissions: an error here does not stop the others."""
    try:
        return assess(source, stage, limits, extra)
    except Exception as error:
        print(f"{source.name}: {error}", file=sys.stderr)
        return Grade(source.name, stage, status="stopped", said=f"It could not be graded: {error}")
