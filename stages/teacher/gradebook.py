"""Write the grades into a roster as Canvas or Moodle exports it, or your own: the file that they import."""

from __future__ import annotations

import argparse
import csv
import io
import math
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path

from stages.desk.shared import Complaint

Row = dict[str, str]  # title of a column -> cell
IDS = ("ID", "SIS User ID", "SIS Login ID")  # Canvas's
CANVAS = ("Student", "LastName", "FirstName", *IDS, "Integration ID", "Root Account", "Section")
SUBMITTED = ("submitted", "Last modified (submission)")  # your own, Moodle's
DUE = ("due", "Due date")
TIMES = ("%A, %d %B %Y, %I:%M %p", "%A, %B %d, %Y, %I:%M %p")  # Moodle's


def moment(text: str) -> datetime:
    """Parse a time as ISO (2026-11-20T18:00) or Moodle writes it; return it as local time without a zone."""
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
    parser.add_argument("--column", default="Grade", metavar="TITLE", help="where the points go (default: Grade)")
    parser.add_argument("--due", type=moment, metavar="TIME", help="when it was due, for example 2026-11-20T18:00")
    parser.add_argument("--late", type=float, metavar="PERCENT", help="of all points: what each day begun costs")


def run(options: argparse.Namespace) -> int:
    """Write the roster with the points in it; say whose submission is doubtful."""
    titles, students = read(options.roster, "")
    _, grades = read(options.grades, "submission")
    if options.late and not (options.due and any(title in titles for title in SUBMITTED)):
        raise Complaint(f"--late needs --due TIME, and in {options.roster} a column {' or '.join(SUBMITTED)}")
    found = matched(students, grades)
    title = next((each for each in titles if re.sub(r" \(\d+\)$", "", each) == options.column), options.column)
    if title not in titles:  # Canvas offers to make an assignment of it
        if others := [each for each in titles if re.search(r" \(\d+\)$", each)]:
            print(
                f"{title} is a new column; to fill another, name it with --column: {', '.join(others)}", file=sys.stderr
            )
        titles.append(title)
    for place, student in enumerate(students):
        if "Points Possible" in student[titles[0]] and grades:
            student[title] = student.get(title) or grades[0]["out_of"]
        if place in found:
            try:
                fill(student, found[place], title, options.due, options.late)
            except ValueError as error:
                raise Complaint(f"{options.roster}: {error}") from None
    kept = [each for each in titles if each in (*CANVAS, title)] if titles[0] in CANVAS else titles
    with options.out.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, kept, extrasaction="ignore", restval="")
        table.writeheader()
        table.writerows(students)
    print(f"{options.out} has the grades of {len(found)} students")
    return 0


def read(file: Path, title: str) -> tuple[list[str], list[Row]]:
    """Return the titles and rows of a CSV file with commas or semicolons; raise Complaint when it has no such title."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Complaint(f"{file} cannot be read: {error}") from None
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
    titles = list(table.fieldnames or ())
    if not titles or title not in (*titles, ""):
        raise Complaint(f"{file} has no column {title}" if title else f"{file} is empty")
    return titles, list(table)


def matched(students: list[Row], grades: list[Row]) -> dict[int, Row]:
    """Return the best grade of each student, by the student's place in the roster; print what is doubtful.

    A submission is called like the student in the first column, or like one of Canvas's ids. Canvas calls it
    name_ID_…, Moodle name_N_assignsubmission_…, for the Participant N.
    """
    places: dict[str, int] = {}
    for title in (next(iter(students[0]), ""), *IDS) if students else ():  # one's ID may be the login of another
        for index, student in enumerate(students):
            places.setdefault(student.get(title, "").removeprefix("Participant ").casefold(), index)
    places.pop("", None)
    found: dict[int, Row] = {}
    for grade in sorted(grades, key=lambda grade: -float(grade["score"])):
        name = grade["submission"].removeprefix("'").removesuffix(".zip")
        number = re.search(r"_(\d+)_", name)
        place = places.get(number[1] if number else "", places.get(name.removeprefix("Participant ").casefold()))
        if place is None:
            print(f"{grade['submission']}: no student of the roster", file=sys.stderr)
        elif (best := found.setdefault(place, grade)) is not grade:
            print(f"{grade['submission']}: its student has a better one, {best['submission']}", file=sys.stderr)
    return found


def fill(student: Row, grade: Row, title: str, due: datetime | None, percent: float | None) -> None:
    """Write the points into a row, less what lateness costs; and why, where Moodle has a column for it."""
    points, out_of = float(grade["score"]), float(grade["out_of"])
    why = f"{points:g} of {out_of:g} points"
    submitted, own = (next((student[each] for each in names if each in student), "-") for names in (SUBMITTED, DUE))
    if due and percent and submitted not in ("", "-"):
        late = moment(submitted) - (due if own in ("", "-") else moment(own))
        lost = out_of * percent / 100 * max(0, math.ceil(late / timedelta(days=1)))
        points = max(0, points - lost)
        why += f", {lost:g} less because it was late" if lost else ""
    student[title] = f"{round(points, 2):g}"
    if "Feedback comments" in student:
        student["Feedback comments"] = why
