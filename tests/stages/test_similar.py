"""Copies are found, in most disguises, and independent solutions are not taken for copies."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from stages.__main__ import main
from stages.desk.starter import starter, write
from stages.teacher import similar
from tests.tools.alike import COPIED, COPIES, STAGE, submissions


def given() -> set[str]:
    """Return the bodies that the starter has."""
    return {body for text in starter(STAGE).values() for body in similar.bodies(text)}


def test_what_is_given_is_left_out(tmp_path: Path) -> None:
    similar.lay_out(starter(STAGE), given(), tmp_path / "starter.py")
    assert not (tmp_path / "starter.py").exists()
    similar.lay_out(submissions()[COPIED], given(), tmp_path / "one.py")
    written = (tmp_path / "one.py").read_text()
    assert "index = self._buffer.index(b'\\n')" in written
    assert "split_inline" not in written and "Take a line" not in written and "def " not in written


def test_no_submission_takes_the_place_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their names differ in one byte, which is not UTF-8; and in a character that HTML would not show as it is."""
    for name in ("M_ller", os.fsdecode(b"M\xfcller"), "a<b"):
        write(submissions()[COPIED], tmp_path / "in" / name)
    found: list[str] = []

    def compare(folder: Path, *_: object) -> list[tuple[str, str, float]]:
        found.extend(os.listdir(folder))
        return []

    monkeypatch.setattr(similar, "find_spec", lambda name: True)
    monkeypatch.setattr(similar, "compare", compare)
    assert main(["similar", str(tmp_path / "in"), "--stage", "02", "--out", str(tmp_path / "out.html")]) == 0
    assert sorted(found) == ["M_ller.py", "Müller.py", "a_b.py"]


def test_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(similar, "find_spec", lambda name: None)
    assert main(["similar", str(tmp_path), "--stage", "02", "--out", str(tmp_path / "out.html")]) == 2
    assert "pip install 'copydetect" in capsys.readouterr().err


def test_copies_are_found_among_ten_independent_solutions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("copydetect")
    for name, files in submissions().items():
        write(files, tmp_path / "in" / name)
    write(starter(STAGE), tmp_path / "in" / "nothing-written")
    write({"server.py": "", "reader.py": "def ("}, tmp_path / "in" / "no-python")
    (tmp_path / "earlier").mkdir()
    (tmp_path / "in" / "01").rename(tmp_path / "earlier" / "01")
    write(submissions()["01"], tmp_path / "in" / "<b>01")
    args = ("--stage", "02", "--out", str(tmp_path / "out.html"), "--earlier", str(tmp_path / "earlier"))
    assert main(["similar", str(tmp_path / "in"), *args]) == 0
    printed, errors = capsys.readouterr()
    shares = {frozenset(re.split("  +", line.strip())[1:]): int(line[:3]) for line in printed.splitlines()[:-1]}
    assert shares.pop(frozenset({"_b_01", "01 (earlier)"})) == 100
    with_the_reference = {pair for pair in shares if "stage 02 (reference)" in pair}
    assert max(shares.pop(pair) for pair in with_the_reference) < 60  # who follows the docstrings comes close to it
    assert shares.pop(frozenset({"03", "copy-half"})) > 40  # from which the other half is
    assert all(pair <= {COPIED, *(f"copy-{name}" for name in COPIES)} for pair in shares)
    found = {name for name in COPIES if shares.get(frozenset({COPIED, f"copy-{name}"}), 0) > 40}
    assert found == set(COPIES) - {"padded", "everything"}
    assert "'no-python' is left out" in errors and "nothing-written" not in printed
    assert "<b>" not in printed and (tmp_path / "out.html").read_text().count("copy-renamed") > 1
