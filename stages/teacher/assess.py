"""Grades one submission: runs the original checkpoint on it, in a new folder, under limits.

pytest and its descendants share one limit of processes and one of memory, and are killed together. The outcome of each
test comes through a pipe that the submission cannot open (harness/outcome_pipe.py); nothing else that a submission
could have written is read.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.desk.shared import Complaint
from stages.harness.course import stage_folder
from stages.teacher.handout import lay_out
from stages.teacher.isolation import Mode, Place, place
from stages.teacher.submission import Refused, take
from stages.teacher.text import printable

PYTEST_MEMORY = 256  # MB
RACY = "RACY: something failed, and passed when it was run again with the same input. Something depends on timing."


@dataclass(frozen=True)
class Limits:
    """What a submission may use: seconds and MB in all. A check waits `patience` seconds; `seed` makes its values."""

    seconds: float = 300
    memory: int = 512
    patience: float = 5
    seed: int = 1


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
    racy: bool = False  # passed, but not the first time

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
    status: str = "running"  # then graded, racy, timeout, stopped or refused; error when the grader has failed
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
        """Take in a line from the pipe. A test that has failed may pass later: then it is racy."""
        for name, *rest in line.get("tests", ()) if not self.checks else ():
            self.checks[name] = Check(name.rpartition("/")[2].removeprefix("test_checkpoint.py::"), *rest)
        check = self.checks.get(line.get("test", ""))
        if check and check.outcome == "not run":
            check.outcome, check.seconds, check.said = line["outcome"], line["seconds"], printable(line["said"])
        elif check and check.outcome == "failed" and line["outcome"] == "passed":
            check.outcome, check.racy, check.said = "passed", True, f"{RACY}\n\n{check.said}"


def assess(
    source: Path,
    stage: int,
    limits: Limits,
    mode: Mode,
    extra: Path | None = None,
    label: str = "",
    changed: Callable[[Grade], None] | None = None,
) -> Grade:
    """Grade one submission, called `label`; `changed` is called with the grade whenever it has changed."""
    grade = Grade(label or printable(source.name), stage)
    begin = time.monotonic()
    tell = changed or (lambda grade: None)
    with place(mode) as here:
        lay_out(stage, here.task, chain=True)  # without any solution that the submission could find
        if extra:
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(extra, here.task / "stages" / stage_folder(stage).name / "extra", ignore=ignore)
        try:
            code, refused = take(source, here.code, stage), ""
        except Refused as refusal:
            code, refused = here.code, str(refusal)
        here.hand_over()
        with suppress(FileExistsError):  # each of its programs need not compile all modules again
            (code / "__pycache__").symlink_to(here.scratch)
        everything = [f"stages/{stage_folder(stage).name}"]
        run(grade, here, code, limits, tell, [*everything, "--collect-only"] if refused else everything)
        if refused:
            grade.status, grade.said = "refused", printable(refused)
        if grade.status == "graded" and any(check.racy for check in grade.checks.values()):
            grade.status, grade.said = "racy", RACY
    grade.seconds = time.monotonic() - begin
    tell(grade)
    return grade


def run(
    grade: Grade, here: Place, code: Path, limits: Limits, tell: Callable[[Grade], None], tests: Sequence[str]
) -> None:
    """Run pytest on tests until it ends, its time is over, or the supervisor stops it; update the grade.

    Raise Complaint when a file with tests cannot be imported.
    """
    read, write = os.pipe()
    args = [
        *(sys.executable, "-B", "-m", "pytest", *tests, f"--seed={limits.seed}"),
        *(f"--target={code}", f"--target-stage={grade.stage}"),
        *("-p", "stages.harness.outcome_pipe", f"--patience={limits.patience}", "-q"),
        *("-p", "no:cacheprovider", f"--basetemp={here.scratch / 'pytest'}"),
    ]
    environment = {
        "LC_ALL": "C.UTF-8",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "CHECKPOINT_MEMORY": str(limits.memory << 20),
    }
    program = here.program(args, environment, limits.memory + PYTEST_MEMORY << 20, write)
    os.close(write)
    deadline = time.monotonic() + limits.seconds
    broken = []
    with os.fdopen(read, "rb", buffering=0) as pipe:
        for line in map(json.loads, lines(pipe.fileno(), deadline)):
            broken += [line["broken"]] if "broken" in line else []
            if "said" in line:  # the student has no such folder
                line["said"] = line["said"].replace(str(code), "work")
            grade.update(line)
            tell(grade)
    status = program.wait(max(0, min(1, deadline - time.monotonic())))
    program.close()
    if broken:
        raise Complaint("nothing is graded, because there are mistakes in the tests:\n\n" + "\n\n".join(broken))
    said = printable(program.errors.since(0).decode(errors="replace")).strip()
    if not grade.checks:
        raise RuntimeError(f"pytest found no tests:\n{program.output.since(0).decode(errors='replace')}\n{said}")
    if all(check.outcome != "not run" for check in grade.checks.values()):  # it may have ended in a rerun
        grade.status = "graded"
    elif status is None:
        grade.status, grade.said = "timeout", f"It took more than {limits.seconds:g} seconds, and was stopped."
    else:
        grade.status, grade.said = "stopped", said.splitlines()[-1] if said else f"pytest ended with status {status}"


def lines(descriptor: int, deadline: float) -> Iterator[bytes]:
    """Yield complete lines until all writers have closed the pipe, or until the deadline."""
    rest = b""
    while select.select([descriptor], [], [], max(0, deadline - time.monotonic()))[0]:
        data = os.read(descriptor, 1 << 16)
        *whole, rest = (rest + data).split(b"\n")
        yield from whole
        if not data:
            return
