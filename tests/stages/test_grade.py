"""Grading ends soon, and with the right grade, also for hostile submissions."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from stages.desk.manifest import sources
from stages.desk.starter import write
from stages.harness.course import STAGES, stage_folder
from stages.teacher.isolation import MODES, works
from tests.support import hostile
from tests.support.apart import apart
from tests.support.checkpoints import need_redis
from tests.support.machine import within
from tests.support.stages_copy import StagesCopy, desk
from tests.tools.proxy import write_proxy

QUICK = 4  # the stage whose reference is graded in `make test`
ALL = "test_what_a_client_sends_comes_back"
BYTES = "test_bytes_are_not_changed_on_the_way"
SHORT = (ALL, BYTES, "test_megabytes_come_back_in_order", "test_a_signal_stops_the_server_cleanly")
ADD = "add --resume to go on, --only NAME, or --force to grade again"
OUT_OF = 60  # the points of their steps, 1 and 3


@pytest.fixture
def short(stages_copy: StagesCopy) -> StagesCopy:
    """A copy of the stages, in which the checkpoint of 01 has only some tests, so that it takes a second or two."""
    stages_copy.shorten(1, *SHORT)
    return stages_copy


@dataclass(frozen=True)
class Row:
    """A line of grades.csv."""

    score: float
    out_of: float
    status: str
    seconds: float


def rows(out: Path) -> dict[str, Row]:
    """Read grades.csv."""
    with (out / "grades.csv").open(newline="") as file:
        table = csv.DictReader(file)
        fields = table.fieldnames or []
        assert fields[:6] == ["submission", "score", "out_of", "steps", "status", "seconds"]
        return {
            line["submission"]: Row(float(line["score"]), float(line["out_of"]), line["status"], float(line["seconds"]))
            for line in table
        }


def works_as(mode: str) -> bool:
    """Whether submissions can run in a mode on this machine."""
    return any(works(each) for each in MODES if each.name == mode)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["best", "user", "none"])
def test_a_hostile_submission_gets_no_points_and_ends_soon(mode: str, short: StagesCopy, tmp_path: Path) -> None:
    if mode == "user" and not works_as(mode):
        pytest.skip("other users cannot read the Python that runs here")
    hostile.write_hostile(tmp_path / "in")
    limits = ("--timeout", 20, "--patience", 0.3, "--memory", 256, "--jobs", 5)
    args = ["grade", tmp_path / "in", "--stage", "01", "--out", tmp_path / "out", *limits]
    status, printed = short.desk(*args) if mode == "best" else short.desk(*args, "--isolation", mode, apart=apart())
    assert status == 0, printed
    found = rows(tmp_path / "out")
    assert sorted(found) == sorted(path.name for path in (tmp_path / "in").iterdir())
    for name, row in found.items():
        assert row.seconds < within(30), name
        assert (row.score, row.out_of) == (0, OUT_OF), name
        said = (tmp_path / "out" / f"{name}.txt").read_text()
        assert f"{ALL}: passed" not in said, name
        ElementTree.parse(tmp_path / "out" / f"{name}.xml")
    refused = {"empty": "no server.py", "no-zip.zip": "cannot be read", "notes.txt": "neither a folder nor a zip"}
    for name, why in (refused | {"climbs-out.zip": "a name that leads out of it: ../climbed-out.py"}).items():
        assert found[name].status == "refused"
        assert why in (tmp_path / "out" / f"{name}.txt").read_text()
    assert not list(tmp_path.rglob("climbed-out.py"))
    assert found["kills-pytest"].status == ("graded" if "in namespaces of its own" in printed else "stopped")
    assert "SyntaxError" in (tmp_path / "out" / "syntax-error.txt").read_text()


def test_a_submission_that_takes_too_long_is_stopped(short: StagesCopy, tmp_path: Path) -> None:
    (tmp_path / "in/one").mkdir(parents=True)
    (tmp_path / "in/one/server.py").write_text(hostile.beginning("import time\ntime.sleep(1000)\n"))
    limits = ("--timeout", within(3), "--patience", 100)
    short.desk("grade", tmp_path / "in", "--stage", "01", "--out", tmp_path / "out", *limits)
    assert rows(tmp_path / "out")["one"].status == "timeout"
    assert "and was stopped" in (tmp_path / "out/one.txt").read_text()


def test_a_harmless_submission_gets_all_points_and_its_child_processes_are_killed(
    short: StagesCopy, tmp_path: Path
) -> None:
    hostile.write_harmless(tmp_path / "in")
    printed = short.desk("grade", tmp_path / "in", "--stage", "01", "--out", tmp_path / "out", "--jobs", 2)[1]
    assert {name: (row.score, row.status) for name, row in rows(tmp_path / "out").items()} == {
        "zipped.zip": (OUT_OF, "graded"),
        "leaves-a-child": (OUT_OF, "graded"),
    }, printed
    assert "[2/2]" in printed
    again = ("grade", tmp_path / "in", "--stage", "01", "--out", tmp_path / "out")
    assert short.desk(*again) == (2, f"{tmp_path / 'out'} has grades already: {ADD}\n")
    assert "has the grades" in short.desk(*again, "--resume")[1]
    assert "[2/2]" in short.desk(*again, "--force")[1]
    assert not [line for line in command_lines() if hostile.MARK in line]


def command_lines() -> list[str]:
    """List the command lines of all running processes."""
    listed = subprocess.run(["ps", "-A", "-o", "args"], capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


def test_an_endless_loop_in_one_test_costs_only_the_points_of_that_test(short: StagesCopy, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    trap = 'if b"\\xff\\xfe" in data and len(data) < 100:\n    while True:\n        pass\nself.transport.write(data)'
    (tmp_path / "one" / "server.py").write_text(hostile.handling(trap))
    file = tmp_path / "results.json"
    short.desk("grade", "--one", tmp_path / "one", "--stage", "01", "--results", file, "--patience", 4)
    found = json.loads(file.read_text())
    failed = {test["name"]: test["output"] for test in found["tests"] if test["status"] == "failed"}
    said = next(iter(failed.values()))
    assert re.search(r"the program was here:\n +server.py, line \d+, in \w+.data_received\n", said), said
    assert said.endswith("--seed=1 --target=work")  # as the student can type it
    assert list(failed) == ["Step 1: test_bytes_are_not_changed_on_the_way[not-utf-8]"]
    step = [test for test in found["tests"] if test["name"].startswith("Step 1: ")]
    assert found["score"] == round(OUT_OF - 40 / len(step), 2)


@pytest.mark.parametrize(
    "stage", [pytest.param(stage, marks=[pytest.mark.slow] if stage != QUICK else []) for stage in STAGES]
)
def test_a_full_score_needs_no_redis(stage: int, tmp_path: Path) -> None:
    write(sources(stage_folder(stage)), tmp_path / "one")
    file = tmp_path / "results.json"
    one = ("--one", tmp_path / "one", "--stage", f"{stage:02}", "--results", file)
    (tmp_path / "empty").mkdir()
    done = desk("grade", *one, PATH=str(tmp_path / "empty"))
    found = json.loads(file.read_text())
    lost = [test for test in found["tests"] if test["score"] < test["max_score"]]
    assert found["score"] == 100 and not lost, lost or done.stderr


def test_a_proxy_to_a_real_redis_does_not_get_the_points_of_the_modules(
    stages_copy: StagesCopy, tmp_path: Path
) -> None:
    need_redis()
    stages_copy.shorten(3, "test_ping_is_answered_with_pong", "test_an_integer_a_bulk_string_and_null_are_written")
    if not shutil.which("redis-server"):
        pytest.skip("there is no redis-server on this machine")
    one = write_proxy(3, tmp_path / "one")
    file = tmp_path / "results.json"
    printed = stages_copy.desk("grade", "--one", one, "--stage", "03", "--results", file, "--patience", 1)[1]
    tests = json.loads(file.read_text())["tests"]
    on_modules = [test for test in tests if "are_written" in test["name"]]
    assert on_modules and all(test["status"] == "failed" for test in on_modules)
    assert any(test["status"] == "passed" for test in tests) is ("in namespaces of its own" not in printed)


def test_a_real_redis_reads_what_a_submission_has_written(stages_copy: StagesCopy, tmp_path: Path) -> None:
    need_redis()
    if not shutil.which("redis-server"):
        pytest.skip("there is no redis-server on this machine")
    stages_copy.shorten(5, "test_a_real_redis_takes_over")
    write(sources(stage_folder(5)), tmp_path / "one")
    file = tmp_path / "results.json"
    stages_copy.desk("grade", "--one", tmp_path / "one", "--stage", "05", "--results", file)
    (test,) = json.loads(file.read_text())["tests"]
    assert test["status"] == "passed", test["output"]


def test_results_are_written_after_every_test(short: StagesCopy, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    joins = "        self.server.connections.add(self)\n"
    assert joins in hostile.REFERENCE
    slowed = hostile.REFERENCE.replace(
        joins, joins + "        __import__('time').sleep(0.15)  # else a test is too short\n"
    )
    (tmp_path / "one" / "server.py").write_text(slowed)
    file = tmp_path / "results.json"
    args = [sys.executable, "-B", "-m", "stages", "grade", "--one", str(tmp_path / "one"), "--stage", "01"]
    running = subprocess.Popen([*args, "--results", str(file)], cwd=short.folder, stdout=subprocess.DEVNULL)
    seen: list[float] = []
    deadline = time.monotonic() + 60
    while running.poll() is None and time.monotonic() < deadline:
        if file.exists():
            found = json.loads(file.read_text())
            assert round(sum(test["max_score"] for test in found["tests"])) in (0, OUT_OF)
            seen += [found["score"]] if found["score"] not in seen else []
        time.sleep(0.01)
    assert running.wait(60) == 0
    assert seen == sorted(seen) and len(seen) > 5
    assert json.loads(file.read_text())["score"] == OUT_OF


def test_a_teachers_own_tests_count_with_the_points_of_their_marks(short: StagesCopy, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "server.py").write_text(hostile.REFERENCE)
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "test_own.py").write_text(
        "import pytest\n\n"
        "@pytest.mark.points(5)\n"
        "def test_own(client):\n    '''Our own.'''\n    client.check(b'own', b'own')\n\n"
        "@pytest.mark.hidden\n"
        "def test_secret(client):\n    '''Our secret.'''\n    client.check(b'a', b'a')\n\n"
        "def test_wrong(client):\n    '''Never right.'''\n    client.check(b'a', b'b')\n"
    )
    file = tmp_path / "results.json"
    args = ("--stage", "01", "--results", file, "--patience", 2, "--extra", tmp_path / "extra")
    short.desk("grade", "--one", tmp_path / "one", *args)
    found = json.loads(file.read_text())
    assert found["score"] == OUT_OF + 6
    assert round(sum(test["max_score"] for test in found["tests"])) == OUT_OF + 7
    said = {test["name"]: test["output"] for test in found["tests"]}
    assert said["test_own.py::test_own"] == "passed" and said["test_own.py::test_wrong"] == "failed"
    hidden = {test["name"]: test["visibility"] for test in found["tests"] if test["visibility"] != "visible"}
    assert hidden == {"test_own.py::test_secret": "after_published"}


def test_a_submission_finds_no_solution(short: StagesCopy, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    look = """
import glob, os
base = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
found = glob.glob(base + "/task/stages/[0-9]*/server.py")
assert all("NotImplementedError" in open(file).read() for file in found if os.access(file, os.R_OK)), found
"""
    (tmp_path / "one" / "server.py").write_text(hostile.beginning(look))
    file = tmp_path / "results.json"
    short.desk("grade", "--one", tmp_path / "one", "--stage", "01", "--results", file)
    assert json.loads(file.read_text())["score"] == OUT_OF, file.read_text()


def test_a_wrong_command_line_is_answered_with_the_right_one(tmp_path: Path) -> None:
    assert "grade --one DIR --stage NN --results FILE" in desk("grade", tmp_path, "--stage", "01").stderr
    done = desk("grade", tmp_path / "none", "--stage", "01", "--out", tmp_path / "out")
    assert done.returncode == 2 and "is not a folder" in done.stderr
