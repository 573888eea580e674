"""A small program that cleans up when a kernel has ended, also after `kill -9`: it ends servers and removes folders.

The kernel writes to it what there is to clean up. The pipe closes when the kernel ends, in whatever way.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress

_program: subprocess.Popen[str] | None = None


def keep(kind: str, what: object) -> None:
    """Have a "process" (its pid) ended, or a "folder" (its path) removed, when this kernel ends."""
    _tell(f"+ {kind} {what}")


def forget(kind: str, what: object) -> None:
    """Take back `keep`: the process has ended, or the folder is gone."""
    _tell(f"- {kind} {what}")


def _tell(line: str) -> None:
    global _program
    if _program is None:  # in a session of its own, so that it is not killed with the kernel's process group
        _program = subprocess.Popen(
            [sys.executable, "-S", __file__], stdin=subprocess.PIPE, text=True, start_new_session=True
        )
    assert _program.stdin
    print(line, file=_program.stdin, flush=True)


def main() -> None:
    """Read lines, `+ kind what` or `- kind what`, to their end; then clean up what is left."""
    left: dict[str, None] = {}
    for line in sys.stdin:
        sign, _, entry = line.rstrip("\n").partition(" ")
        if sign == "+":
            left[entry] = None
        else:
            left.pop(entry, None)
    for entry in left:
        kind, _, what = entry.partition(" ")
        if kind == "process":
            with suppress(ProcessLookupError):
                os.kill(int(what), signal.SIGKILL)
        else:
            shutil.rmtree(what, ignore_errors=True)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    main()
