"""Runs a command in namespaces of its own, so that an attack in it can hurt nothing on this machine."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

import pytest

UNSHARE = ["unshare", "--mount", "--pid", "--net", "--ipc", "--fork", "--mount-proc", "--kill-child=KILL"]
LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 1))
os.execv(sys.argv[1], sys.argv[1:])
"""


def apart() -> list[str]:
    """Return the beginning of a command line: the rest runs in new namespaces. Skip the test where none can be had."""
    if why := unavailable():
        pytest.skip(f"no namespaces can be had here: {why}")
    return begin()


def begin() -> list[str]:
    """Return the beginning of the command line. Who is not root is root in a new user namespace."""
    return [*UNSHARE, *([] if os.getuid() == 0 else ["--map-root-user"]), sys.executable, "-c", LOOPBACK_UP]


@functools.cache
def unavailable() -> str:
    """Return why no namespaces can be had; "" when they can."""
    try:
        done = subprocess.run([*begin(), "/bin/true"], capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return done.stderr.strip() or ("" if done.returncode == 0 else f"unshare ended with {done.returncode}")
