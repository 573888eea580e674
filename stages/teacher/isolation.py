"""Keeps a submission apart from the others, from the grader and from the teacher's files, as well as this system can.

pytest runs under a supervisor (harness/sandbox.py), and starts the submission's programs under others. The best mode
that works here is found by trying. With namespaces, pytest has some that it shares only with its submission: the
checkpoint is seen by pytest alone, and a program of the submission sees its own copy and the interpreter.
"""

from __future__ import annotations

import itertools
import os
import pwd
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stages.desk.shared import Complaint
from stages.harness.course import ROOT
from stages.harness.sandbox import Program

SYSTEM = ["/bin", "/sbin", "/lib", "/lib64", "/usr", "/etc"]  # for pytest, which may run redis-cli
LIBRARIES = ["/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo"]
LIBRARIES += [f"/etc/{name}" for name in ("hosts", "ld.so.cache", "localtime", "nsswitch.conf")]
HARNESS = Path("stages", "harness")
LARGEST_FILE = 256 << 20  # bytes
PROCESSES = 100  # of a submission at a time, threads included
PROBE = """
import sys, pytest
from pathlib import Path
from stages.harness.sandbox import Program
sys.exit(Program([sys.executable, "-c", ""], Path(sys.argv[1])).wait(30))
"""
USERS = itertools.cycle(random.SystemRandom().sample(range(50_000, 60_000), 10_000))


@dataclass(frozen=True)
class Mode:
    """A way to keep submissions apart. `as_user`: each runs as another user; `said`: what a teacher should know."""

    name: str
    as_user: bool
    said: str


MODES = (
    Mode("namespaces", True, "Each submission runs in namespaces of its own, as a user of its own."),
    Mode("namespaces", False, "Each submission runs in namespaces of its own."),
    Mode("user", True, """Each submission runs as a user of its own, but not in namespaces. It can read your own tests,
and what all users can read; use the network, and the ports of the others; stop its own grading."""),
    Mode("none", False, """NOTHING KEEPS THE SUBMISSIONS APART: each runs as you. It can read and change your files and
the other submissions, and stop the grading. Grade in a container, as stages/TEACHING.md says."""),
)  # fmt: skip


def choose(wanted: str | None) -> Mode:
    """Return the best mode that works here, or the one that is wanted; raise Complaint when that one does not work."""
    for mode in MODES:
        if wanted in (None, mode.name) and (mode.name == "none" or works(mode)):
            return mode
    raise Complaint(f"--isolation {wanted} does not work here")


def works(mode: Mode) -> bool:
    """Whether a program runs in this mode, and can start another."""
    if (sys.platform != "linux" and mode.name == "namespaces") or (os.geteuid() != 0 and mode.as_user):
        return False
    with place(mode) as here:
        here.code.mkdir()
        shutil.copytree(ROOT / HARNESS, here.task / HARNESS)
        try:
            here.hand_over()
        except OSError:  # there are no other users in this user namespace
            return False
        program = here.program([sys.executable, "-B", "-c", PROBE, str(here.scratch)], {})
        status = program.wait(60)
        program.close()
    return status == 0


@dataclass(frozen=True)
class Place:
    """Folders: pytest reads `task`, the submission its copy in `code`, both write in `scratch`. No `user` is 0."""

    mode: Mode
    user: int
    base: Path
    task: Path
    code: Path
    scratch: Path

    def program(self, args: Sequence[str], environment: dict[str, str], memory: int = 0, pipe: int = 0) -> Program:
        """Start pytest, or another program, in the task's folder, with only these variables."""
        own = [str(self.code), str(self.task / HARNESS / "counting"), *interpreter()]
        home, view = str(self.scratch), ""
        variables = {"PATH": os.environ.get("PATH", os.defpath), "HOME": home, "TMPDIR": home, **environment}
        if self.mode.name == "namespaces":  # lines as in harness/namespaces.py
            top, read = f"{self.base}/root", [f"read {path}" for path in (*SYSTEM, str(self.task), *own)]
            view = "\n".join([top, f"new {home}", *read])
            variables["CHECKPOINT_VIEW"] = "\n".join([top, f"write {home}", *read[-len(own) :]])
        return Program(
            ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in variables.items()), *args],
            self.task,
            memory=memory,
            file_size=LARGEST_FILE,
            pipe=pipe,
            processes=PROCESSES,
            user=self.user,
            view=view,
        )

    def hand_over(self) -> None:
        """Let the user, and nobody else, read the task and the code, and write into `scratch`."""
        for path in (self.base, *(path for folder in (self.task, self.code) for path in (folder, *folder.rglob("*")))):
            os.chown(path, -1, self.user or -1)
            path.chmod(0o750 if path.is_dir() else 0o640)
        self.scratch.mkdir(0o700)
        os.chown(self.scratch, self.user or -1, -1)


@contextmanager
def place(mode: Mode) -> Iterator[Place]:
    """Make a place; at the end remove it, and what its user has left elsewhere."""
    user = next(number for number in USERS if not known(number)) if mode.as_user else 0
    base = Path(tempfile.mkdtemp(prefix="grade-")).resolve()
    (base / "task").mkdir()
    (base / "root").mkdir()
    try:
        yield Place(mode, user, base, base / "task", base / "submission", base / "scratch")
    finally:  # by programs that can deal with thousands of nested folders
        remove = ["/bin/rm", "-rf"]
        subprocess.run(["/bin/chmod", "-R", "u+rwX", base], stderr=subprocess.DEVNULL)
        subprocess.run([*remove, base])
        if mode.name == "user":
            find = ["/usr/bin/find", "/dev/shm", "/tmp", "/var/tmp", "-maxdepth", "1", "-user", str(user)]
            subprocess.run([*find, "-exec", *remove, "{}", "+"], stderr=subprocess.DEVNULL)


def known(user: int) -> bool:
    """Whether the system knows a user with this number."""
    try:
        return bool(pwd.getpwuid(user))
    except KeyError:
        return False


def interpreter() -> list[str]:
    """List what this Python needs: the system's libraries, its own and its packages, itself and the links to it."""
    links = [sys.executable]
    while os.path.islink(links[-1]):
        links.append(os.path.normpath(os.path.join(os.path.dirname(links[-1]), os.readlink(links[-1]))))
    prefixes = (sys.prefix, sys.base_prefix, os.path.dirname(os.path.dirname(os.path.realpath(sys.executable))))
    parts = [f"{prefix}/{name}" for prefix in prefixes for name in ("lib", "lib64", "pyvenv.cfg")]
    return [*LIBRARIES, *parts, *(path for path in sys.path if path.endswith("-packages")), *links]
