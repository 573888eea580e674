"""Write the grades into a roster as Canvas or Moodle exports it, or your own: the file that they import."""

from __future__ import annotations

import argparse
import csv
import io
import math
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from stages.desk.shared import Complaint

Row = dict[str, str]  # title of a column -> cell

IDS = ("ID", "SIS User ID", "SIS Login ID")
CANVAS = ("Student", "LastName", "FirstName", *IDS, "Integration ID", "Root Account", "Section")
SUBMITTED = ("submitted", "Last modified (submission)")  # the second is Moodle's
DUE = ("due", "Due date")
TIMES = ("%A, %d %B %Y, %I:%M %p", "%A, %B %d, %Y, %I:%M %p")  # Moodle's; everything else is ISO's
RULE = re.compile(r"(\d+(?:\.\d+)?)%/(day|hour)(?:,(\d+))?")


@dataclass(frozen=True)
class Late:
    """The rule for late submissions: each `unit` that has begun costs `percent` of all points; after `most`, all."""

    percent: float
    unit: timedelta
    most: float

    def lost(self, late: timedelta) -> float:
        """Return the share of all points that is lost, 0 to 1."""
        begun = max(0, math.ceil(late / self.unit))
        return 1 if begun > self.most else min(1, begun * self.percent / 100)


def rule(text: str) -> Late:
    """Parse a rule: `10%/day`, or `10%/day,3` when nothing is accepted after three days."""
    found = RULE.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text} is no rule such as 10%/day, 5%/hour or 10%/day,3")
    percent, unit, most = found.groups()
    return Late(float(percent), timedelta(**{f"{unit}s": 1}), float(most or "inf"))


def moment(text: str) -> datetime:
    """Parse a time, as ISO writes it (2026-11-20T18:00) or Moodle; return it as local time without a zone."""
    for form in TIMES:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    return datetime.fromisoformat(text).astimezone().replace(tzinfo=None)


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the files, the column, and the rule for late submissions."""
    parser.add_argument("grades", type=Path, help="grades.csv, as `grade` has written it")
    parser.add_argument("--roster", type=Path, required=True, metavar="FILE", help="the students: a CSV file")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write")
    parser.add_argument(
        "--column", default="Grade", metavar="TITLE", help="the points' column (default: Moodle's Grade)"
    )
    parser.add_argument(
        "--late", type=rule, metavar="RULE", help="10%%/day: what each day costs; 10%%/day,3: at most 3"
    )
    parser.add_argument("--due", type=moment, metavar="TIME", help="when it was due, for example 2026-11-20T18:00")


def run(options: argparse.Namespace) -> int:
    """Write the roster with the points in it; say who is in one of the files only."""
    titles, students = read(options.roster)
    fields, grades = read(options.grades)
    if "submission" not in fields:
        raise Complaint(f"{options.grades} is not what `grade` writes: it has no column `submission`")
    if options.late and not (options.due and column(titles, SUBMITTED)):
        raise Complaint(f"--late needs --due TIME, and in {options.roster} a column {' or '.join(SUBMITTED)}")
    title = next((each for each in titles if re.fullmatch(re.escape(options.column) + r"(?: \(\d+\))?", each)), "")
    if not title:  # Canvas offers to make an assignment of it
        title = options.column
        titles.append(title)
    found = matched(students, grades)
    for place, student in enumerate(students):
        if "Points Possible" in student[titles[0]] and grades:
            student[title] = student.get(title) or grades[0]["out_of"]
        try:
            for grade in found.get(place, ())[-1:]:
                fill(student, grade, title, options.late, options.due)
        except ValueError as error:
            raise Complaint(f"{options.roster}: {error}") from None
    kept = [each for each in titles if each in (*CANVAS, title)] if titles[0] in CANVAS else titles
    with options.out.open("w", newline="") as file:
        table = csv.DictWriter(file, kept, extrasaction="ignore", restval="")
        table.writeheader()
        table.writerows(students)
    for line in doubts(grades, found):
        print(line, file=sys.stderr)
    print(f"{options.out} has the grades of {len(found)} students")
    return 0


def read(file: Path) -> tuple[list[str], list[Row]]:
    """Return the titles and the rows of a CSV file, separated by commas or semicolons."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Complaint(f"{file} cannot be read: {error}") from None
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
    if not table.fieldnames:
        raise Complaint(f"{file} is empty")
    return list(table.fieldnames), list(table)


def column(titles: Iterable[str], names: tuple[str, ...]) -> str:
    """Return the first of the names that is a title; '' when none is."""
    return next((name for name in names if name in titles), "")


def matched(students: list[Row], grades: list[Row]) -> dict[int, list[Row]]:
    """Return the grades of each student, by the student's place in the roster; the best grade is last.

    A submission is called like the student in the first column, or like one of Canvas's ids. Canvas calls it
    name_ID_…, Moodle name_N_assignsubmission_…, for the Participant N.
    """
    places: dict[str, int] = {}
    for index, student in enumerate(students):
        first = next(iter(student.values()))
        for name in (first, first.removeprefix("Participant "), *(student.get(title, "") for title in IDS)):
            places.setdefault(name.casefold(), index)
    places.pop("", None)
    found: dict[int, list[Row]] = {}
    for grade in sorted(grades, key=lambda grade: float(grade["score"])):
        name = grade["submission"].lstrip("'").removesuffix(".zip")
        number = re.search(r"_(\d+)_", name)
        place = places.get(number[1] if number else "", places.get(name.casefold()))
        if place is not None:
            found.setdefault(place, []).append(grade)
    return found


def fill(student: Row, grade: Row, title: str, late: Late | None, due: datetime | None) -> None:
    """Write the points into a row, less what is lost by lateness; and why, where Moodle has a column for it."""
    points, out_of = float(grade["score"]), float(grade["out_of"])
    why = f"{points:g} of {out_of:g} points"
    submitted = student.get(column(student, SUBMITTED), "")
    if late and submitted not in ("", "-"):
        own = student.get(column(student, DUE), "")
        limit = moment(own) if own not in ("", "-") else due
        lost = late.lost(moment(submitted) - limit) * out_of if limit else 0
        points = max(0, points - lost)
        why += f", {lost:g} less because it was late" if lost else ""
    student[title] = f"{round(points, 2):g}"
    if "Feedback comments" in student:
        student["Feedback comments"] = why


def doubts(grades: list[Row], found: dict[int, list[Row]]) -> Iterator[str]:
    """Yield a line for each submission that belongs to nobody, and for each student with several."""
    known = [grade for each in found.values() for grade in each]
    yield from (f"{grade['submission']}: no student of the roster" for grade in grades if grade not in known)
    for each in (each for each in found.values() if len(each) > 1):
        yield f"{', '.join(grade['submission'] for grade in each)}: of one student; the best counts"
