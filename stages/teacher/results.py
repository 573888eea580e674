"""Writes a grade down: a row of CSV, a page of feedback, JUnit's XML, Gradescope's JSON."""

from __future__ import annotations

import csv
import io
import json
import os
import textwrap
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from stages.desk.shared import Complaint
from stages.harness.course import stage_folder
from stages.harness.steps import steps
from stages.teacher.assess import Check, Grade
from stages.teacher.text import cell

COLUMNS = ("submission", "score", "out_of", "steps", "status", "seconds")
SIGNS = {"passed": "+", "failed": "-", "skipped": "s", "not run": "."}


def write(file: Path, text: str) -> None:
    """Write a file in one step, so that nobody sees half of it."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(text, encoding="utf-8", errors="backslashreplace")
    os.replace(new, file)


def columns(stage: int) -> list[str]:
    """Return the titles of grades.csv: COLUMNS, one for each step, with its points, one for the checks of no step."""
    return [*COLUMNS, *(f"step {each.number} ({each.points})" for each in steps(stage_folder(stage))), "other"]


def table(stage: int, rows: Iterable[tuple[str, ...]]) -> str:
    """Return the text of grades.csv, the rows sorted by submission."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns(stage), *sorted(rows)])
    return text.getvalue()


def rows(file: Path, stage: int) -> dict[str, tuple[str, ...]]:
    """Return the rows of grades.csv by submission; none if there is no file. Raise Complaint if not the stage's."""
    if not file.exists():
        return {}
    with file.open(newline="", encoding="utf-8", errors="replace") as lines:
        titles, *found = [row for row in csv.reader(lines) if row] or [[]]
    if titles != columns(stage):
        raise Complaint(f"{file} is not what `grade` writes for stage {stage:02}: choose a new folder with --out")
    return {row[0].removeprefix("'"): tuple(row) for row in found}


def cells(grade: Grade) -> tuple[str, ...]:
    """Return the row of grades.csv."""
    score, out_of, seconds = f"{grade.score:g}", f"{grade.out_of:g}", f"{grade.seconds:.1f}"
    numbers = [*(each.number for each in steps(stage_folder(grade.stage))), 0]
    points = [f"{total(grade.steps.get(number, []))[0]:g}" for number in numbers]
    return cell(grade.submission), score, out_of, str(len(passed(grade))), grade.status, seconds, *points


def total(checks: list[Check]) -> tuple[float, float]:
    """Return the points that the checks have earned, and those that can be earned."""
    return round(sum(check.score for check in checks), 2), round(sum(check.points for check in checks), 2)


def passed(grade: Grade) -> list[int]:
    """Return the steps that earned all their points."""
    return [number for number, checks in grade.steps.items() if number and all(c.score == c.points for c in checks)]


def row(grade: Grade) -> str:
    """Return the line that is printed while grading."""
    steps = f"{len(passed(grade))} of {len(grade.steps.keys() - {0})} steps"
    points = f"{grade.score:g} of {grade.out_of:g} points"
    return f"{grade.submission}: {points}, {steps}, {grade.status}, {grade.seconds:.1f} s"


def feedback(grade: Grade) -> str:
    """Return the page for the student: the points of each step, the outcome of each check, and reports of failures."""
    parts = [f"Stage {grade.stage:02}: {grade.score:g} of {grade.out_of:g} points ({grade.status})"]
    parts += [grade.said] if grade.said else []
    parts.append("\n\n".join(step(number, checks) for number, checks in grade.steps.items()))
    shown = [(check.name, textwrap.indent(report(grade, check), "    ")) for check in grade.checks.values()]
    parts += [f"{name}\n\n{said}" for name, said in shown if said]
    parts += [f"To see what went wrong, type: python3 -m stages check {grade.stage:02}"] if private(grade) else []
    return f"\n\n{'-' * 80}\n\n".join(parts) + "\n"


def step(number: int, checks: list[Check]) -> str:
    """Return the lines about one step: its points, and the outcome of each check."""
    score, points = total(checks)
    title = f"Step {number}" if number else "Other checks"
    shown = [check for check in checks if not check.hidden]
    lines = [f"{SIGNS[c.outcome]} {c.name}: {c.outcome}{', but not the first time' * c.racy}" for c in shown]
    hidden = [f"  {len(checks) - len(shown)} hidden"] if len(shown) < len(checks) else []
    return "\n".join([f"{title}: {score:g} of {points:g} points", *lines, *hidden])


def private(grade: Grade) -> bool:
    """Whether there are checks that students do not see."""
    return any(check.hidden for check in grade.checks.values())


def report(grade: Grade, check: Check) -> str:
    """Return a check's report for the student; '' when there are hidden checks.

    A report shows what the program has printed and answered: that can be what it has found out about hidden checks.
    """
    return "" if private(grade) else check.said


def gradescope(grade: Grade) -> str:
    """Return results.json, as in https://gradescope-autograders.readthedocs.io/en/latest/specs/."""
    return json.dumps(
        {
            "score": grade.score,
            "execution_time": round(grade.seconds),
            "output": grade.said or grade.status,
            "stdout_visibility": "hidden",
            "tests": [gradescope_test(grade, check) for check in grade.checks.values()],
        },
        indent=1,
    )


def gradescope_test(grade: Grade, check: Check) -> dict[str, object]:
    """Return one test of results.json; one that was not run is failed, and its output says so."""
    return {
        "name": f"Step {check.step}: {check.name}" if check.step else check.name,
        "score": round(check.score, 2),
        "max_score": round(check.points, 2),
        "status": "passed" if check.outcome == "passed" else "failed",
        "output": (check.said if check.hidden else report(grade, check)) or check.outcome,
        "output_format": "text",
        "visibility": check.hidden or "visible",
    }


def junit(grade: Grade) -> str:
    """Return JUnit's XML."""
    suite = ElementTree.Element("testsuite", name=grade.submission, tests=str(len(grade.checks)))
    for check in grade.checks.values():
        case = ElementTree.SubElement(suite, "testcase", name=check.name, time=f"{check.seconds:.3f}")
        if check.outcome in ("failed", "not run"):
            ElementTree.SubElement(case, "failure", message=check.outcome).text = check.said or grade.said
        elif check.outcome == "skipped":
            ElementTree.SubElement(case, "skipped")
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
