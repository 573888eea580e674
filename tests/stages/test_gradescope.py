"""The zip file for Gradescope works in Gradescope's folders and within its memory limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.teacher import leaks
from tests.support import hostile
from tests.support.stages_copy import desk

KILOBYTES = 768 << 10


@pytest.fixture
def autograder(tmp_path: Path) -> Path:
    """Make the zip file and unpack it as Gradescope does, with the modes of the files."""
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "test_own.py").write_text(
        "def test_own(client):\n    '''Our own.'''\n    client.check(b'own', b'own')\n"
    )
    done = desk("gradescope", "01", "--out", tmp_path / "stage-01.zip", "--extra", tmp_path / "extra", "--timeout", 90)
    assert done.returncode == 0, done.stderr
    autograder = tmp_path / "autograder"
    for name in ("source", "submission", "results"):
        (autograder / name).mkdir(parents=True)
    command = [sys.executable, "-m", "zipfile", "-e", str(tmp_path / "stage-01.zip"), str(autograder / "source")]
    subprocess.run(command, check=True)
    return autograder


def grade(autograder: Path) -> dict[str, object]:
    """Run it as Gradescope does, within its memory limit; return the results."""
    program = autograder / "source" / "run_autograder"
    environment = {"AUTOGRADER": str(autograder), "PYTHON": sys.executable, "PATH": os.environ["PATH"]}
    limited = ["bash", "-c", f'ulimit -v {KILOBYTES} && exec bash "$0"', str(program)]
    subprocess.run(limited, cwd=autograder, env=environment, check=True, timeout=290, capture_output=True)
    found: dict[str, object] = json.loads((autograder / "results" / "results.json").read_text())
    return found


def test_it_grades_in_gradescopes_folders_and_memory(autograder: Path) -> None:
    (autograder / "submission" / "server.py").write_text(hostile.REFERENCE)
    found = grade(autograder)
    assert found["score"] == 101
    tests = found["tests"]
    assert isinstance(tests, list) and all(test["score"] == test["max_score"] for test in tests)


def test_an_empty_submission_has_its_results_too(autograder: Path) -> None:
    found = grade(autograder)
    assert found["score"] == 0
    assert "There is no server.py in submission" in str(found["output"])


def test_it_contains_no_solution_and_its_scripts_are_valid(autograder: Path) -> None:
    assert leaks.leaks(autograder, leaks.bodies(1)) == []
    for name in ("setup.sh", "run_autograder"):
        text = (autograder / "source" / name).read_text()
        assert text.startswith("#!/usr/bin/env bash\n") and "{" not in text.replace("${", "")
        subprocess.run(["bash", "-n", str(autograder / "source" / name)], check=True)
    assert "'pytest>=9.0' 'redis>=8.1'" in (autograder / "source" / "setup.sh").read_text()
