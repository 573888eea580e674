"""Grades one submission: runs the original checkpoint on it, in a new folder, under limits.

pytest runs under a supervisor (harness/sandbox.py). When we are root, it runs as another user, who has no other
process and owns no file. pytest and its descendants share one limit of processes and one of memory, and are killed
together. The outcome of each test comes through a pipe that the submission cannot open (harness/outcome_pipe.py);
nothing else that a submission could have written is read.
"""

from __future__ import annotations

import functools
import json
import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.harness.course import stage_folder
from stages.harness.sandbox import Program
from stages.teacher.handout import lay_out
from stages.teacher.submission import Refused, take

PYTEST_MEMORY = 256  # MB
LARGEST_FILE = 256 << 20  # bytes


@dataclass(frozen=True)
class Limits:
    """What a submission may use: seconds and MB in all, processes (threads included) at a time.

    `patience` is how many seconds a check waits for a reply.
    """

    seconds: float = 300
    memory: int = 512
    processes: int = 100
    patience: float = 5


@dataclass
class Check:
    """One test: its step (0: none), its points, when students see it ('': always), and its outcome."""

    name: str
    step: int
    points: float
    hidden: str = ""
    outcome: str = "not run"  # or passed, failed, skipped
    seconds: float = 0
    said: str = ""

    @property
    def score(self) -> float:
        """The points earned."""
        return self.points if self.outcome == "passed" else 0


@dataclass
class Grade:
    """The grade of a submission."""

    submission: str
    stage: int
    checks: dict[str, Check] = field(default_factory=dict)
    status: str = "running"  # then graded, timeout, stopped or refused
    seconds: float = 0
    said: str = ""

    @property
    def score(self) -> float:
        """The points earned. They are rounded, because a step's points are shared by its tests."""
        return round(sum(check.score for check in self.checks.values()), 2)

    @property
    def out_of(self) -> float:
        """The points that can be earned."""
        return round(sum(check.points for check in self.checks.values()), 2)

    @property
    def steps(self) -> dict[int, list[Check]]:
        """The tests of each step in order; those of no step have the number 0, and come last."""
        numbers = sorted({check.step for check in self.checks.values()}, key=lambda number: (not number, number))
        return {number: [check for check in self.checks.values() if check.step == number] for number in numbers}

    def update(self, line: dict[str, Any]) -> None:
        """Take in a line from the pipe; of several lines about one test the first counts."""
        for name, *rest in line.get("tests", ()) if not self.checks else ():
            self.checks[name] = Check(name.rpartition("/")[2].removeprefix("test_checkpoint.py::"), *rest)
        check = self.checks.get(line.get("test", ""))
        if check and check.outcome == "not run":
            check.outcome, check.seconds, check.said = line["outcome"], line["seconds"], line["said"]


def assess(
    source: Path, stage: int, limits: Limits, extra: Path | None = None, changed: Callable[[Grade], None] | None = None
) -> Grade:
    """Grade one submission; `changed` is called with the grade whenever it has changed."""
    grade = Grade(source.name, stage)
    begin = time.monotonic()
    tell = changed or (lambda grade: None)
    with tempfile.TemporaryDirectory(prefix="grade-", ignore_cleanup_errors=True) as name:
        base = Path(name)
        base.chmod(0o711)
        prepare(base / "task", stage, extra)
        tell(grade)
        try:
            code = take(source, base / "submission", stage)
        except Refused as refused:
            run(grade, base, base, limits, tell, ["--collect-only"])
            grade.status, grade.said = "refused", str(refused)
        else:
            run(grade, base, code, limits, tell)
        grade.seconds = time.monotonic() - begin
    tell(grade)
    return grade


def prepare(task: Path, stage: int, extra: Path | None) -> None:
    """Write the checkpoint and all that it needs into `task`, without any solution that the submission could find."""
    lay_out(stage, task, chain=True)
    if extra:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(extra, task / "stages" / stage_folder(stage).name / "extra", ignore=ignore)


def run(
    grade: Grade,
    base: Path,
    code: Path,
    limits: Limits,
    tell: Callable[[Grade], None],
    options: list[str] | None = None,
) -> None:
    """Run pytest until it ends, its time is over, or the supervisor stops it; update the grade."""
    user = unprivileged()
    scratch = Path(tempfile.mkdtemp(dir=base))
    os.chown(scratch, user or -1, user or -1)
    read, write = os.pipe()
    args = [
        *(sys.executable, "-B", "-m", "pytest", f"stages/{stage_folder(grade.stage).name}"),
        *(f"--target={code}", f"--target-stage={grade.stage}"),
        *("-p", "stages.harness.outcome_pipe", f"--outcome-pipe={write}", f"--patience={limits.patience}"),
        *("-q", "-p", "no:cacheprovider", f"--basetemp={scratch / 'pytest'}", *(options or ())),
    ]
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "LC_ALL": "C.UTF-8",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "CHECKPOINT_MEMORY": str(limits.memory << 20),
    }
    program = Program(
        ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in environment.items()), *args],
        base / "task",
        memory=limits.memory + PYTEST_MEMORY << 20,
        file_size=LARGEST_FILE,
        descriptors=[write],
        processes=limits.processes,
        user=user,
    )
    os.close(write)
    deadline = time.monotonic() + limits.seconds
    with os.fdopen(read, "rb", buffering=0) as pipe:
        for line in lines(pipe.fileno(), deadline):
            grade.update(json.loads(line))
            tell(grade)
    status = program.wait(max(0, min(1, deadline - time.monotonic())))
    program.close()
    said = program.errors.since(0).decode(errors="replace").strip()
    if not grade.checks:
        raise RuntimeError(f"pytest found no tests:\n{program.output.since(0).decode(errors='replace')}\n{said}")
    if status is None:
        grade.status, grade.said = "timeout", f"It took more than {limits.seconds:g} seconds, and was stopped."
    elif status not in (0, 1) or any(check.outcome == "not run" for check in grade.checks.values()):
        grade.status, grade.said = "stopped", said.splitlines()[-1] if said else f"pytest ended with status {status}"
    else:
        grade.status = "graded"


def lines(descriptor: int, deadline: float) -> Iterator[bytes]:
    """Yield complete lines until all writers have closed the pipe, or until the deadline."""
    rest = b""
    while select.select([descriptor], [], [], max(0, deadline - time.monotonic()))[0]:
        data = os.read(descriptor, 1 << 16)
        *whole, rest = (rest + data).split(b"\n")
        yield from whole
        if not data:
            return


def unprivileged() -> int:
    """Return the number of a new user for one submission; 0 when we are not root or others cannot run our Python."""
    return random.SystemRandom().randrange(50_000, 60_000) if other_users_can_run_pytest() else 0


@functools.cache
def other_users_can_run_pytest() -> bool:
    """Whether we are root, and another user can start pytest with this interpreter."""
    if os.getuid() != 0:
        return False
    command = [sys.executable, "-B", "-c", "import pytest"]
    try:
        done = subprocess.run(command, cwd="/", user=50_000, group=50_000, extra_groups=[], stderr=subprocess.DEVNULL)
        return done.returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False
