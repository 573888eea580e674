"""Each attack on the grading ends soon, with the grade that its code deserves, and costs nobody else anything.

All of them run in namespaces of their own (tests/support/apart.py).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from stages.desk.manifest import sources
from stages.desk.starter import write
from stages.harness.course import stage_folder
from stages.harness.outcome_pipe import AGAIN
from tests.stages.test_grade import OUT_OF, SHORT, rows, works_as
from tests.support import hostile
from tests.support.apart import apart
from tests.support.stages_copy import StagesCopy, desk


@pytest.fixture
def short(stages_copy: StagesCopy) -> StagesCopy:
    """A copy of the stages, in which the checkpoint of 01 has only some tests."""
    stages_copy.shorten(1, *SHORT)
    return stages_copy


def submit(folder: Path, code: str, name: str = "server.py") -> None:
    """Write a submission of one file."""
    folder.mkdir(parents=True)
    (folder / name).write_text(code)


def grade(stages: StagesCopy, folder: Path, *options: object) -> str:
    """Grade the submissions in `folder/in` in namespaces of their own; return what was printed."""
    args = ("grade", folder / "in", "--stage", "01", "--out", folder / "out", *options)
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        Path(temporary).chmod(0o711)  # other users may go through
        status, printed = stages.desk(*args, apart=apart(), TMPDIR=temporary)
        assert status == 0, printed
        assert not os.listdir(temporary)
    return printed


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["namespaces", "user"])
def test_an_attack_costs_nobody_anything(mode: str, short: StagesCopy, tmp_path: Path) -> None:
    """Without namespaces, only with another user, those attacks are left out that TEACHING.md says are not held."""
    if not works_as(mode):
        pytest.skip(f"this machine has no {mode} for submissions")
    victim = tmp_path / "in" / "victim" / "server.py"
    submit(victim.parent, hostile.REFERENCE)
    submit(tmp_path / "extra", "def test_own(client):\n    client.check(b'own', b'own')\n", "test_own.py")
    outside = tmp_path / "outside"
    outside.mkdir()
    if mode == "namespaces":
        outside.chmod(0o777)
    wanted = [victim, short.folder / "stages" / stage_folder(1).name / "server.py", tmp_path / "extra" / "test_own.py"]
    attacks = hostile.attacks(wanted, outside)
    if mode == "user":
        attacks = {
            name: attacks[name] for name in ("overwrites-others", "kills-all", "nests-folders", "fills-what-all-share")
        }
    for name, code in attacks.items():
        submit(tmp_path / "in" / name, code)
    options = ("--extra", tmp_path / "extra", "--jobs", 3, "--patience", 10, "--timeout", 100, "--isolation", mode)
    printed = grade(short, tmp_path, *options)
    assert ("but not in namespaces" in printed) is (mode == "user")
    found = rows(tmp_path / "out")
    for name in ("victim", *attacks):
        said = (tmp_path / "out" / f"{name}.txt").read_text()
        assert "LEAK" not in said, said
        assert found[name].seconds < 100
        if mode == "user" and name == "kills-all":  # and pytest with it
            assert (found[name].score, found[name].status) == (0, "stopped")
        elif name != "binds-thousands-of-ports":  # its own, too
            assert (found[name].score, found[name].status) == (OUT_OF + 1, "graded"), said
    assert victim.read_text() == hostile.REFERENCE
    assert not list(outside.iterdir())
    left = [name for folder in ("/dev/shm", "/tmp", "/var/tmp") for name in os.listdir(folder) if hostile.MARK in name]
    assert not left


@pytest.mark.slow
def test_no_name_stops_the_grading_and_a_run_can_be_resumed(short: StagesCopy, tmp_path: Path) -> None:
    """All submissions are empty, so that each takes a moment; what counts is what becomes of their names."""
    names = ["Müller", os.fsdecode("Müller".encode("latin-1")), "n" * 248, "=1+1", "a\nb\x1b[2J", "gone"]
    for name in names:
        (tmp_path / "in" / name).mkdir(parents=True)
    printed = grade(short, tmp_path)
    assert "\x1b" not in printed
    found = rows(tmp_path / "out")
    assert [row.out_of for row in found.values()] == [OUT_OF] * len(names)
    assert {"Müller", "'=1+1", r"a\nb\x1b[2J"} < found.keys()
    for file in (tmp_path / "out").glob("*.xml"):
        ElementTree.parse(file)
    (tmp_path / "in" / "gone").rmdir()
    submit(tmp_path / "in" / "late", hostile.REFERENCE)
    assert "[1/1] late" in grade(short, tmp_path, "--resume")
    again = rows(tmp_path / "out")
    assert again.keys() - found.keys() == {"late"} and found.keys() - again.keys() == {"gone"}
    assert not (tmp_path / "out" / "gone.txt").exists() and (tmp_path / "out" / "late.txt").exists()
    shutil.rmtree(tmp_path / "in" / "Müller")
    submit(tmp_path / "in" / "Müller", hostile.REFERENCE)
    assert "[1/1] Müller" in grade(short, tmp_path, "--only", "Müller")
    assert {name for name, row in rows(tmp_path / "out").items() if row.score == OUT_OF} == {"late", "Müller"}
    assert len(rows(tmp_path / "out")) == len(again)


@pytest.mark.slow
def test_a_mistake_in_the_teachers_own_tests_is_told_to_the_teacher_and_nobody_is_graded(
    short: StagesCopy, tmp_path: Path
) -> None:
    submit(tmp_path / "in" / "one", hostile.REFERENCE)
    submit(tmp_path / "extra", "def test_own(:\n", "test_own.py")
    args = ("grade", tmp_path / "in", "--stage", "01", "--out", tmp_path / "out", "--extra", tmp_path / "extra")
    status, printed = short.desk(*args)
    assert status == 2 and "mistakes in the tests" in printed and "test_own.py" in printed and "SyntaxError" in printed
    assert not (tmp_path / "out" / "grades.csv").exists()


@pytest.mark.slow
def test_an_answer_that_is_no_text_is_shown(stages_copy: StagesCopy, tmp_path: Path) -> None:
    stages_copy.shorten(3, "test_ping_is_answered_with_pong")
    code = sources(stage_folder(3))
    odd = code["server.py"].replace("transport.write(output)", r'transport.write(b"+\xed\xa0\x80\x1b[2J\r\n")')
    write(code | {"server.py": odd}, tmp_path / "in" / "one")
    args = ("grade", tmp_path / "in", "--stage", "03", "--out", tmp_path / "out", "--patience", 1)
    status, printed = stages_copy.desk(*args)
    assert status == 0 and rows(tmp_path / "out")["one"].status == "graded", printed
    said = (tmp_path / "out" / "one.txt").read_text()
    assert r"\xed\xa0\x80" in said and "\x1b" not in said + printed
    ElementTree.parse(tmp_path / "out" / "one.xml")


@pytest.mark.slow
@pytest.mark.parametrize("failures", [1, AGAIN, AGAIN + 1])
def test_what_depends_on_timing_is_called_racy(failures: int, short: StagesCopy, tmp_path: Path) -> None:
    """A byte is wrong the first times: without namespaces a submission can remember how often that was.

    A mistake that shows half of the time is missed only when it shows each time, once in 2 ** (1 + AGAIN) runs.
    """
    assert 1 / 2 ** (1 + AGAIN) < 0.01
    wrong = f"""
import os
seen = os.path.join(os.environ["TMPDIR"], "seen")
with open(seen, "ab") as file:
    file.write(data * (data == bytes(1)))
right = data != bytes(1) or os.path.getsize(seen) > {failures}
self.transport.write(data if right else b"wrong")"""
    submit(tmp_path / "in" / "one", hostile.handling(wrong))
    args = ("grade", tmp_path / "in", "--stage", "01", "--out", tmp_path / "out", "--patience", 1)
    printed = short.desk(*args, "--isolation", "none")[1]
    row = rows(tmp_path / "out")["one"]
    said = (tmp_path / "out" / "one.txt").read_text()
    assert row.status == ("racy" if failures <= AGAIN else "graded"), printed
    assert (row.score == OUT_OF, "RACY" in said, "a-zero-byte]: passed, but not the first time" in said) == (
        (failures <= AGAIN,) * 3
    )


@pytest.mark.slow
def test_what_is_run_again_has_another_hash_seed(short: StagesCopy, tmp_path: Path) -> None:
    """So a mistake in a module that depends on the order of a set does not fail each time, or never."""
    own = """
import os

def test_own(modules):
    with open(os.path.join(os.environ["TMPDIR"], "seeds"), "a+") as file:
        print(modules.run("result = hash('key')"), file=file)
        file.seek(0)
        assert len(set(file)) > 1
"""
    submit(tmp_path / "extra", own, "test_own.py")
    submit(tmp_path / "one", hostile.REFERENCE)
    args = ("--one", tmp_path / "one", "--stage", "01", "--results", tmp_path / "results.json")
    printed = short.desk("grade", *args, "--extra", tmp_path / "extra")[1]
    assert "racy" in printed, printed


@pytest.mark.slow
def test_the_weakest_mode_says_what_it_does_not_hold(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    weak = desk("grade", tmp_path / "in", "--stage", "01", "--out", tmp_path / "out", "--isolation", "none")
    assert "NOTHING KEEPS THE SUBMISSIONS APART" in weak.stderr


@pytest.mark.slow
def test_a_link_in_the_place_of_a_log_leads_a_checkpoint_nowhere(stages_copy: StagesCopy, tmp_path: Path) -> None:
    """Its report would show the file to which the link leads: one of the teacher's own tests."""
    if not works_as("namespaces"):
        pytest.skip("programs cannot have namespaces of their own here")
    stages_copy.shorten(5, "test_the_log_holds_the_requests_as_clients_send_them")
    code = sources(stage_folder(5))
    code["server.py"] = hostile.LINK.format(name=f"stages/{stage_folder(5).name}/extra/test_own.py") + code["server.py"]
    write(code, tmp_path / "in" / "one")
    submit(tmp_path / "extra", "# SECRET\ndef test_own(client):\n    client.connect\n", "test_own.py")
    args = ("grade", tmp_path / "in", "--stage", "05", "--out", tmp_path / "out", "--extra", tmp_path / "extra")
    status, printed = stages_copy.desk(*args, "--isolation", "namespaces")
    assert status == 0 and rows(tmp_path / "out")["one"].score == 0, printed
    said = (tmp_path / "out" / "one.txt").read_text()
    refused = ("there is a log, appendonly.aof" in said, "Too many levels of symbolic links" in said)
    assert "SECRET" not in said and any(refused), said  # the link was there before the check looked, or soon after
