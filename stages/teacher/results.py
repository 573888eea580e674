"""Writes a grade down: a row of CSV, a page of feedback, JUnit's XML, Gradescope's JSON."""

from __future__ import annotations

import json
import os
import re
import textwrap
from pathlib import Path
from xml.etree import ElementTree

from stages.teacher.assess import Check, Grade

COLUMNS = ("submission", "score", "out_of", "status", "seconds")
SIGNS = {"passed": "+", "failed": "-", "skipped": "s", "not run": "."}


def write(file: Path, text: str) -> None:
    """Write a file in one step, so that nobody sees half of it."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(text)
    os.replace(new, file)


def cells(grade: Grade) -> tuple[str, str, str, str, str]:
    """Return the row of grades.csv."""
    return grade.submission, f"{grade.score:g}", f"{grade.out_of:g}", grade.status, f"{grade.seconds:.1f}"


def row(grade: Grade) -> str:
    """Return the line that is printed while grading."""
    return f"{grade.submission}: {grade.score:g} of {grade.out_of:g}, {grade.status}, {grade.seconds:.1f} s"


def feedback(grade: Grade) -> str:
    """Return the page for the student: the outcome of each check, then the report of each failure."""
    parts = [f"Stage {grade.stage:02}: {grade.score:g} of {grade.out_of:g} points ({grade.status})"]
    parts += [grade.said] if grade.said else []
    checks = grade.checks.values()
    parts.append("\n".join(f"{SIGNS[each.outcome]} {each.points:g}  {each.name}: {each.outcome}" for each in checks))
    parts += [f"{check.name}\n\n{textwrap.indent(check.said, '    ')}" for check in checks if check.said]
    return f"\n\n{'-' * 80}\n\n".join(parts) + "\n"


def gradescope(grade: Grade) -> str:
    """Return results.json, as in https://gradescope-autograders.readthedocs.io/en/latest/specs/."""
    return json.dumps(
        {
            "score": grade.score,
            "execution_time": round(grade.seconds),
            "output": grade.said or f"{grade.score:g} of {grade.out_of:g} points ({grade.status})",
            "stdout_visibility": "hidden",
            "tests": [gradescope_test(check) for check in grade.checks.values()],
        },
        indent=1,
    )


def gradescope_test(check: Check) -> dict[str, object]:
    """Return one test of results.json; one that was not run is failed, and its output says so."""
    return {
        "name": check.name,
        "score": check.score,
        "max_score": check.points,
        "status": "passed" if check.outcome == "passed" else "failed",
        "output": check.said or check.outcome,
        "output_format": "text",
    }


def junit(grade: Grade) -> str:
    """Return JUnit's XML."""
    suite = ElementTree.Element("testsuite", name=grade.submission, tests=str(len(grade.checks)))
    for check in grade.checks.values():
        case = ElementTree.SubElement(suite, "testcase", name=check.name, time=f"{check.seconds:.3f}")
        if check.outcome in ("failed", "not run"):
            ElementTree.SubElement(case, "failure", message=check.outcome).text = printable(check.said or grade.said)
        elif check.outcome == "skipped":
            ElementTree.SubElement(case, "skipped")
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def printable(text: str) -> str:
    """Replace the characters that XML does not allow by question marks."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)
