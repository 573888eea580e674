"""Lets a process die at each of its steps in turn: before a system call, or in the middle of what it writes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

import final.log.aof
import final.log.base
import final.log.rdb.write

# Of `os`; and of what is written: a request into the base, a value into a snapshot, half of a piece into the log.
STEPS = ("mkdir", "open", "fsync", "rename", "unlink", "fork", "close")


def dying(at: int, in_child: bool, act: Callable[[], None]) -> bool:
    """Do something in a process that dies before the n-th of its STEPS; or, `in_child`, whose children do, each before
    the n-th of its own. Wait for the end of all of them; tell whether the process came to the end of what it had to do.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        me, count = os.getpid(), [0]

        def counted(real: Any) -> Any:
            def step(*given: Any, **named: Any) -> Any:
                if (os.getpid() != me) == in_child:
                    count[0] += 1
                    if count[0] == at:
                        os._exit(7)
                return real(*given, **named)

            return step

        class Halving(FileIO):
            """Takes half of what it is given, and the other half in another step, as a file may."""

            def write(self, data: Any) -> int:
                return int(half(self, data[: len(data) // 2 + 1]))

        half = counted(FileIO.write)
        try:
            os.dup2(writing, 1)  # the only one that a child of the server keeps: it is closed when both have gone
            for name in STEPS:
                setattr(os, name, counted(getattr(os, name)))
            final.log.aof.FileIO = Halving  # type: ignore[attr-defined]
            final.log.base.encode = counted(final.log.base.encode)  # type: ignore[attr-defined]
            final.log.rdb.write.body = counted(final.log.rdb.write.body)
            act()
            os.write(1, b"!")
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with open(reading, "rb") as file:
        return file.read() == b"!"


def points(in_child: bool, act: Callable[[Path], None], check: Callable[[Path, bool], None], folder: Path) -> int:
    """Let `act` die at each of its steps in turn, each time in a new folder, and check what is left; count them."""
    for at in range(1, 200):
        place = folder / str(at)
        ended = dying(at, in_child, lambda place=place: act(place))  # type: ignore[misc]
        check(place, ended)
        shutil.rmtree(place)
        if ended and not in_child:
            return at - 1
        if in_child and (place.parent / "done").exists():
            return at - 1
    raise AssertionError("it never comes to its end")
