"""What `--target` means: what is tested, and how to start it.

A target has a stage: the highest one whose file is in its folder, and LAST for `final` and a real Redis. A target
that is a command line or an address is taken to be at the stage whose checkpoint runs.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from stages.harness.course import LAST, NEW_FILE, ROOT, has_stage, stage_folder


class Unavailable(Exception):
    """The target does not exist; the message says what to do."""


@dataclass(frozen=True)
class Target:
    """A program to be tested. It has a folder of modules with server.py, or a command line, or an address.

    `here` is the folder in which a command line is run.
    """

    name: str
    stage: int
    folder: Path | None = None
    here: Path | None = None
    command: tuple[str, ...] = ()
    address: tuple[str, int] | None = None
    is_redis: bool = False

    @property
    def is_final(self) -> bool:
        """Whether this is the server of `final/`."""
        return self.folder == ROOT / "final"

    def program(self, port: int) -> list[str]:
        """Return the command line that starts it on a port, without the options of the append-only file."""
        if self.folder and not self.is_final:
            return [sys.executable, str(self.folder / "server.py"), "--port", str(port)]
        return [*self.command, "--port", str(port)]


@functools.cache
def find(wanted: str | None, stage: int, here: Path) -> Target:
    """Return the target that `wanted`, the value of `--target`, names for the checkpoint of a stage.

    Paths in it are relative to `here`. Raise Unavailable when there is no such target.
    """
    work = ROOT / "work"
    if wanted is None:
        wanted = "work" if work.is_dir() else "reference"
    if wanted == "reference":
        return Target("the reference, not your code", stage, stage_folder(stage))
    if wanted == "work":
        if not has_stage(work, stage):
            raise Unavailable(f"work/ has no stage {stage:02} yet: type `python3 -m stages start {stage:02}`")
        return Target("your code in work/", stage_of(work), work)
    if wanted == "final" or (here / wanted).resolve() == ROOT / "final":
        return Target("final", LAST, ROOT / "final", command=(sys.executable, "-m", "final"))
    if wanted == "redis":
        return redis()
    if wanted.startswith("cmd:"):
        program, *rest = shlex.split(wanted.removeprefix("cmd:"))
        return Target(wanted, stage, here=here, command=(str(here / program) if os.sep in program else program, *rest))
    if (here / wanted).is_dir():
        return Target(wanted, stage_of(here / wanted), (here / wanted).resolve())
    if address := re.fullmatch(r"(.+):(\d+)", wanted):
        return Target(wanted, stage, address=(address[1], int(address[2])))
    raise Unavailable(
        f"--target={wanted}: there is no such folder, and it is none of "
        "reference, work, final, redis, cmd:PROGRAM, HOST:PORT"
    )


def stage_of(folder: Path) -> int:
    """Return the highest stage whose file is in the folder; 0 when there is none."""
    return max((stage for stage in NEW_FILE if has_stage(folder, stage)), default=0)


def redis() -> Target:
    """Return the real Redis on this machine; raise Unavailable when none is installed."""
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
            number = re.search(r"v=(\S+)", version)
            options = ("--bind", "127.0.0.1", "--save", "", "--enable-debug-command", "yes")
            title = f"{name} {number[1] if number else ''}"
            return Target(title, LAST, command=(path, *options), is_redis=True)
    raise Unavailable("neither redis-server nor valkey-server is installed")
