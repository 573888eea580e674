"""Runs the server in the background (`daemonize`), and tells others its process id (`pidfile`)."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from ..server_log import log


def detach() -> None:
    """Go on in a child process, in a session of its own, without a terminal; the process that was started ends."""
    sys.stdout.flush()
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    if null > 2:
        os.close(null)


def write_pidfile(path: str) -> None:
    """Write the process id to a file. If that fails, the server log says so, and the server goes on, as Redis."""
    try:
        Path(path).write_text(f"{os.getpid()}\n")
    except OSError as error:
        log.warning("cannot write the process id to %s: %s", path, error.strerror)


def remove_pidfile(path: str) -> None:
    """Remove the file, unless another process has written it."""
    with suppress(OSError):
        if Path(path).read_text() == f"{os.getpid()}\n":
            os.unlink(path)
