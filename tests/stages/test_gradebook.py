"""The grades get into the files that Canvas and Moodle import, each student's into their own row."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import pytest

from stages.__main__ import main

CANVAS = """\
Student,ID,SIS User ID,SIS Login ID,Section,Essay (71),Stage 03 (72),Current Score
,,,,,,Manual Posting,
    Points Possible,,,,,10,100,(read only)
"Adams, Ann",501,s1,ann@x.org,A,9,,90
"Brown, Bob",502,s2,bob@x.org,A,8,,80
"Student, Test",503,,deadbeef,A,,,
"""
MOODLE = """\
Identifier,Full name,Email address,Status,Grade,Maximum Grade,Grade can be changed,Last modified (submission),\
Last modified (grade),Feedback comments
Participant 11,Ann Adams,ann@x.org,Submitted for grading,,100.00,Yes,"Friday, 20 November 2026, 5:59 PM",-,
Participant 12,Bob Brown,bob@x.org,Submitted for grading,,100.00,Yes,"Saturday, November 21, 2026, 6:30 PM",-,
Participant 13,Cy Clark,cy@x.org,No submission,,100.00,Yes,-,-,
"""


def written(folder: Path, roster: str, grades: Mapping[str, float], *options: str) -> list[dict[str, str]]:
    """Run the command on a roster and on grades (submission -> score of 100); return the rows that it writes."""
    (folder / "roster.csv").write_text(roster, encoding="utf-8-sig")
    lines = [f"{name},{score},100,3,graded,1.0\n" for name, score in grades.items()]
    (folder / "grades.csv").write_text("".join(["submission,score,out_of,steps,status,seconds\n", *lines]))
    files = (str(folder / "grades.csv"), "--roster", str(folder / "roster.csv"), "--out", str(folder / "out.csv"))
    assert main(["gradebook", *files, *options]) == 0
    with (folder / "out.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_canvas_gets_its_own_columns_of_the_student_and_this_one_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grades = {"adamsann_501_9001_work.zip": 85, "brownbob_LATE_502_501_work-1.zip": 40.5}
    found = written(tmp_path, CANVAS, grades, "--column", "Stage 03")
    assert not capsys.readouterr().err
    assert list(found[0]) == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Stage 03 (72)"]
    assert [row["Stage 03 (72)"] for row in found] == ["Manual Posting", "100", "85", "40.5", ""]
    assert [row["Student"] for row in found][1:4] == ["    Points Possible", "Adams, Ann", "Brown, Bob"]


def test_an_id_counts_before_the_login_of_somebody_else(tmp_path: Path) -> None:
    roster = CANVAS.replace("s1,ann@x.org", "502,ann@x.org").replace("s2,bob@x.org", "s2,501")
    grades = {"adamsann_501_9001_work.zip": 85, "brownbob_502_9002_work.zip": 40}
    found = written(tmp_path, roster, grades, "--column", "Stage 03")
    assert [row["Stage 03 (72)"] for row in found[2:]] == ["85", "40", ""]


def test_a_column_that_canvas_does_not_have_is_added_with_its_points(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = written(tmp_path, CANVAS.replace(",", ";").replace("s; ", "s, "), {"s2": 7}, "--column", "Stage 04")
    assert [row["Stage 04"] for row in found] == ["", "100", "", "7", ""]
    said = "Stage 04 is a new column; to fill another, name it with --column: Essay (71), Stage 03 (72)\n"
    assert capsys.readouterr().err == said


def test_moodle_gets_its_worksheet_back(tmp_path: Path) -> None:
    grades = {"Ann Adams_11_assignsubmission_file_": 85, "Bob Brown_12_assignsubmission_file_": 50}
    found = written(tmp_path, MOODLE, grades)
    assert ",".join(found[0]) == MOODLE.splitlines()[0]
    assert [row["Grade"] for row in found] == ["85", "50", ""]
    assert found[0]["Feedback comments"] == "85 of 100 points"


@pytest.mark.parametrize(("percent", "points"), [("10", ["85", "30", ""]), ("70", ["85", "0", ""])])
def test_each_day_that_has_begun_after_the_deadline_costs(percent: str, points: list[str], tmp_path: Path) -> None:
    grades = {"Ann Adams_11_assignsubmission_file_": 85, "Bob Brown_12_assignsubmission_file_": 50}
    found = written(tmp_path, MOODLE, grades, "--late", percent, "--due", "2026-11-20T18:00")
    assert [row["Grade"] for row in found] == points
    assert "20 less because it was late" in found[1]["Feedback comments"] or percent == "70"


def test_an_own_roster_has_times_and_extensions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    roster = "student,submitted,due\nann,2026-11-22T10:00,2026-11-23T18:00\nbob,2026-11-22T10:00,\ncy,,\n"
    grades = {"ann": 85, "bob.zip": 85, "cy": 85, "bob": 90, "=eve": 3}
    found = written(tmp_path, roster, grades, "--late", "10", "--due", "2026-11-20T18:00")
    assert [row["Grade"] for row in found] == ["85", "70", "85"]
    assert capsys.readouterr().err == ("bob.zip: its student has a better one, bob\n=eve: no student of the roster\n")


@pytest.mark.parametrize(
    ("roster", "options", "said"),
    [
        (CANVAS, ("--late", "10", "--due", "2026-11-20"), "a column submitted or Last modified (submission)"),
        (MOODLE.replace("Friday, 20 November", "yesterday"), ("--late", "10", "--due", "2026-11-20"), "yesterday"),
        ("", (), "is empty"),
    ],
)
def test_what_cannot_be_done_is_said(
    roster: str, options: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AssertionError):
        written(tmp_path, roster, {"Ann Adams_11_assignsubmission_file_": 85}, *options)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()
