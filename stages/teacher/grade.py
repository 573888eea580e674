"""Grade a folder of submissions or, with --one, a single one, as Gradescope does."""

from __future__ import annotations

import argparse
import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.util import find_spec
from pathlib import Path

from stages.desk.shared import Complaint, stage_number
from stages.teacher import results
from stages.teacher.assess import Grade, Limits, assess
from stages.teacher.isolation import MODES, Mode, choose
from stages.teacher.text import labels, printable

STATUS = results.COLUMNS.index("status")


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the submissions, the limits, and where to write."""
    parser.add_argument("submissions", nargs="?", type=Path, help="a folder of folders and zip files")
    parser.add_argument("--one", type=Path, metavar="DIR", help="grade this submission only, a folder or a zip file")
    parser.add_argument("--stage", type=stage_number, required=True, help="the stage that was the task")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the folder for grades.csv, feedback and JUnit files")
    parser.add_argument("--results", type=Path, metavar="FILE", help="with --one: Gradescope's results.json")
    parser.add_argument("--extra", type=Path, metavar="DIR", help="tests of your own, run after the checkpoint's")
    parser.add_argument("--resume", action="store_true", help="go on: do not grade again what --out has a grade of")
    parser.add_argument("--force", action="store_true", help="grade all again, and overwrite what is in --out")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="grade this submission again")
    parser.add_argument("--isolation", choices=sorted({mode.name for mode in MODES}), help="default: the best here")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="how many at a time")
    parser.add_argument("--timeout", type=float, default=Limits.seconds, metavar="S", help="seconds for one submission")
    parser.add_argument("--memory", type=int, default=Limits.memory, metavar="MB", help="memory for one submission")
    parser.add_argument("--patience", type=float, default=Limits.patience, metavar="S", help="seconds for a reply")
    parser.add_argument("--seed", type=int, default=Limits.seed, metavar="N", help="the seed of keys and values")


def run(options: argparse.Namespace) -> int:
    """Grade one submission or all."""
    if find_spec("pytest") is None:
        raise Complaint("pytest is not installed: type `python3 -m pip install -r requirements.txt`")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    limits = Limits(options.timeout, options.memory, options.patience, options.seed)
    if options.extra and not options.extra.is_dir():
        raise Complaint(f"--extra {options.extra} is not a folder")
    single = options.one and options.results and not options.submissions
    if not single and (options.one or not options.submissions or not options.out):
        raise Complaint(
            "type `python3 -m stages grade SUBMISSIONS --stage NN --out DIR`,\n"
            "or `python3 -m stages grade --one DIR --stage NN --results FILE`"
        )
    if not single and not options.submissions.is_dir():
        raise Complaint(f"{options.submissions} is not a folder")
    if not single and (options.out / "grades.csv").exists() and not (options.resume or options.only or options.force):
        raise Complaint(
            f"{options.out} has grades already: add --resume to go on, --only NAME, or --force to grade again"
        )
    mode = choose(options.isolation)
    print(mode.said, file=sys.stderr)
    if single:
        return grade_one(options.one, options.stage, limits, mode, options.extra, options.results)
    return grade_all(options, limits, mode)


def grade_one(source: Path, stage: int, limits: Limits, mode: Mode, extra: Path | None, file: Path) -> int:
    """Grade one submission; the results are written after every test, so that a run that is stopped has some."""

    def write(grade: Grade) -> None:
        results.write(file, results.gradescope(grade))

    print(results.row(assess(source, stage, limits, mode, extra, changed=write)))
    return 0


def grade_all(options: argparse.Namespace, limits: Limits, mode: Mode) -> int:
    """Grade the submissions in a folder, `jobs` at a time; write each grade as soon as it is there."""
    out: Path = options.out
    before = results.rows(out / "grades.csv", options.stage)
    sources = labels(sorted(path for path in options.submissions.iterdir() if not path.name.startswith(".")))
    if unknown := set(options.only) - sources.keys():
        raise Complaint(f"there is no submission {', '.join(sorted(unknown))}")
    out.mkdir(parents=True, exist_ok=True)
    again = set(options.only) or {
        name for name in sources if not (options.resume and name in before and before[name][STATUS] != "error")
    }
    rows = {name: row for name, row in before.items() if name in sources and name not in again}
    for name in before.keys() - sources.keys():
        for suffix in (".txt", ".xml"):
            (out / f"{name}{suffix}").unlink(missing_ok=True)
    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        try:
            args = (options.stage, limits, mode, options.extra)
            running = [pool.submit(graded, sources[name], *args, name) for name in sorted(again)]
            for number, done in enumerate(as_completed(running), 1):
                grade = done.result()
                rows[grade.submission] = results.cells(grade)
                write(out / f"{grade.submission}.txt", results.feedback(grade))
                write(out / f"{grade.submission}.xml", results.junit(grade))
                write(out / "grades.csv", results.table(options.stage, rows.values()))
                print(f"[{number}/{len(again)}] {results.row(grade)}", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    results.write(out / "grades.csv", results.table(options.stage, rows.values()))
    print(f"{out / 'grades.csv'} has the grades")
    return 0


def write(file: Path, text: str) -> None:
    """Write a file; one that cannot be written stops nothing."""
    try:
        results.write(file, text)
    except OSError as error:
        print(f"{file} cannot be written: {error}", file=sys.stderr)


def graded(source: Path, stage: int, limits: Limits, mode: Mode, extra: Path | None, name: str) -> Grade:
    """Grade one of many submissions: an error here does not stop the others."""
    try:
        return assess(source, stage, limits, mode, extra, name)
    except Complaint:
        raise
    except Exception as error:
        print(printable(f"{name}: {error}"), file=sys.stderr)
        return Grade(name, stage, status="error", said=printable(f"It could not be graded: {error}"))
