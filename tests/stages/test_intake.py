"""What students hand in is taken, whatever its shape; and what they write is shown so that it can do no harm."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from stages.desk.shared import Complaint
from stages.teacher import results
from stages.teacher.assess import Check, Grade
from stages.teacher.submission import MOST_FILES, Refused, take
from stages.teacher.text import labels, printable

CODE = "class Echo: pass\n"
ODD = "\x1b[2J\x9b1m\ud800\r\x00\u202e"  # clears a terminal, is no text, turns the direction around


def fill(folder: Path, *files: str) -> Path:
    """Write files with CODE into a folder."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(CODE)
    return folder


@pytest.mark.parametrize(
    "files, found",
    [
        (["server.py"], "."),
        (["work/server.py", "server-notes.txt"], "work"),
        (["alice/work/server.py"], "alice/work"),
        (["task/server.py", ".vscode/settings.json", ".idea/server.py", "__pycache__/server.py", "README"], "task"),
        (["task/work/server.py", "pictures/a.png"], "task/work"),
        (["work/server.py", "before/server.py"], "work"),
        (["server.py", "old/server.py"], "."),
    ],
)
def test_the_code_is_found(files: list[str], found: str, tmp_path: Path) -> None:
    fill(tmp_path / "one", *files)
    assert take(tmp_path / "one", tmp_path / "copy", 1) == tmp_path / "copy" / found


def test_two_programs_of_one_student_are_refused_and_named(tmp_path: Path) -> None:
    fill(tmp_path / "one", "a/server.py", "b/server.py")
    with pytest.raises(Refused, match=r"more than one server\.py in one: in a and in b"):
        take(tmp_path / "one", tmp_path / "copy", 1)


def test_what_tools_write_beside_the_code_does_not_count(tmp_path: Path) -> None:
    for folder in (".mypy_cache/3.12", "own/lib/site-packages"):
        fill(tmp_path / "one", "server.py", *(f"{folder}/{n}.json" for n in range(MOST_FILES)))
    assert os.listdir(take(tmp_path / "one", tmp_path / "copy", 1)) == ["server.py"]


def test_a_zip_file_in_a_folder_is_unpacked(tmp_path: Path) -> None:
    """Moodle makes a folder for each student, with what was handed in."""
    folder = fill(tmp_path / "Ada_12_assignsubmission_file", "note.txt")
    with zipfile.ZipFile(folder / "work.zip", "w") as archive:
        archive.writestr("work/server.py", CODE)
    assert take(folder, tmp_path / "copy", 1) == tmp_path / "copy" / "work"
    fill(folder, "server.py")
    assert take(folder, tmp_path / "again", 1) == tmp_path / "again"


@pytest.mark.parametrize("name", ["upper.ZIP", "server.py", "alice_17_server.py"])
def test_a_zip_file_in_capitals_and_a_single_file_are_taken(name: str, tmp_path: Path) -> None:
    if name.endswith("ZIP"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("server.py", CODE)
    else:
        (tmp_path / name).write_text(CODE)
    assert (take(tmp_path / name, tmp_path / "copy", 1) / "server.py").read_text() == CODE


def test_folders_far_down_are_left_out(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "deep.zip", "w") as archive:
        archive.writestr("server.py", CODE)
        archive.writestr("d/" * 3000 + "server.py", CODE)
    assert take(tmp_path / "deep.zip", tmp_path / "copy", 1) == tmp_path / "copy"
    fill(tmp_path / "one", "server.py", "d/" * 300 + "server.py")
    assert take(tmp_path / "one", tmp_path / "again", 1) == tmp_path / "again"
    assert not (tmp_path / "again" / ("d/" * 21)).exists()


def test_a_damaged_zip_file_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "one.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("server.py", CODE * 100)
    data = bytearray((tmp_path / "one.zip").read_bytes())
    data[45:60] = b"\xff" * 15
    (tmp_path / "one.zip").write_bytes(data)
    with pytest.raises(Refused, match="cannot be read"):
        take(tmp_path / "one.zip", tmp_path / "copy", 1)


def test_a_label_can_be_printed_and_is_the_name_of_a_file(tmp_path: Path) -> None:
    latin = os.fsdecode("Müller".encode("latin-1"))
    names = ["Ada", "ada", "Müller", latin, "n" * 248, "n" * 247 + "m", "a\nb\x1b[2J", "=1+1"]
    found = labels(tmp_path / name for name in names)
    assert [path.name for path in found.values()] == names
    assert [label.split("~")[0] for label in found][:4] == ["Ada", "ada", "Müller", "Müller"]
    assert len({label.casefold() for label in found}) == len(names)
    for label in found:
        assert label == printable(label) and "\n" not in label and len(os.fsencode(label)) < 200
        results.write(tmp_path / f"{label}.txt", label)


def test_what_a_submission_writes_does_no_harm(tmp_path: Path) -> None:
    grade = Grade("=1+1", 1)
    grade.update({"tests": [["test_a", 1, 10]]})
    grade.update({"test": "test_a", "outcome": "failed", "seconds": 1, "said": ODD})
    assert results.cells(grade)[0] == "'=1+1"
    results.write(tmp_path / "a.txt", results.feedback(grade))
    assert r"\x1b[2J\x9b1m\ud800\r\x00\u202e" in (tmp_path / "a.txt").read_text()
    failure = ElementTree.fromstring(results.junit(grade)).find("testcase/failure")
    assert failure is not None and r"\x1b[2J" in str(failure.text)
    assert "\x1b" not in json.loads(results.gradescope(grade))["tests"][0]["output"]
    results.write(tmp_path / "grades.csv", results.table(1, [results.cells(grade)]))
    assert list(results.rows(tmp_path / "grades.csv", 1)) == ["=1+1"]
    with pytest.raises(Complaint, match="is not what `grade` writes for stage 02"):
        results.rows(tmp_path / "grades.csv", 2)


def test_a_check_that_passes_when_it_is_run_again_is_racy() -> None:
    grade = Grade("Ada", 1, {name: Check(name, 1, 10) for name in "abc"}, status="graded")
    for name, outcome in (("a", "failed"), ("b", "passed"), ("c", "passed")):
        grade.update({"test": name, "outcome": outcome, "seconds": 1, "said": ""})
    assert grade.score == 20
    grade.update({"test": "a", "outcome": "passed", "seconds": 1, "said": ""})
    grade.update({"test": "a", "outcome": "failed", "seconds": 1, "said": ""})
    assert grade.score == 30 and grade.checks["a"].racy and "not the first time" in results.feedback(grade)
