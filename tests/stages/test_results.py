"""How a grade is written down: points by step, and nothing that students could learn of hidden tests."""

from __future__ import annotations

import json

import pytest

from stages.teacher import results
from stages.teacher.assess import Check, Grade


@pytest.fixture
def grade() -> Grade:
    """A grade of stage 03: a step and a half passed, and one test that fails."""
    grade = Grade("ann", 3, status="graded")
    grade.update({"tests": [("a", 1, 10, ""), ("b", 2, 5, ""), ("c", 2, 10, ""), ("own", 0, 4, "")]})
    for name, outcome, said in (
        ("a", "passed", ""),
        ("b", "passed", ""),
        ("c", "failed", "It printed X"),
        ("own", "passed", ""),
    ):
        grade.update({"test": name, "outcome": outcome, "seconds": 0, "said": said})
    return grade


def test_a_row_has_the_points_of_each_step(grade: Grade) -> None:
    row = dict(zip(results.columns(3), results.cells(grade), strict=True))
    assert row["submission"] == "ann" and row["score"] == "19" and row["out_of"] == "29" and row["steps"] == "1"
    assert [row[title] for title in ("step 1 (10)", "step 2 (15)", "step 3 (10)", "other")] == ["10", "5", "0", "4"]


def test_a_submission_that_could_not_be_graded_has_a_row_of_the_same_length() -> None:
    grade = Grade("bob", 3, status="stopped")
    assert len(results.cells(grade)) == len(results.columns(3))


def test_feedback_has_the_points_of_each_step_and_the_reports(grade: Grade) -> None:
    page = results.feedback(grade)
    assert "Step 1: 10 of 10 points\n+ a: passed" in page and "Step 2: 5 of 15 points" in page
    assert "It printed X" in page


def test_with_a_hidden_test_feedback_has_neither_its_name_nor_any_output_of_the_program(grade: Grade) -> None:
    grade.checks["own"].hidden = "after_published"
    page = results.feedback(grade)
    assert "own" not in page and "It printed X" not in page
    assert "Other checks: 4 of 4 points\n  1 hidden" in page and "- c: failed" in page
    assert "python3 -m stages check 03" in page
    assert "It printed X" in results.junit(grade)  # which is the teacher's


def test_gradescope_hides_a_hidden_test_and_shows_no_output_of_the_program(grade: Grade) -> None:
    grade.checks["own"] = Check("own", 0, 4, "hidden", "failed", said="It printed Y")
    tests = {test["name"]: test for test in json.loads(results.gradescope(grade))["tests"]}
    assert json.loads(results.gradescope(grade))["output"] == "graded"  # the points would tell those of hidden tests
    assert (tests["own"]["visibility"], tests["own"]["output"]) == ("hidden", "It printed Y")
    assert (tests["Step 2: c"]["visibility"], tests["Step 2: c"]["output"]) == ("visible", "failed")
