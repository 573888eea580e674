"""Ports of the loopback: one that is free, and who listens on one."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from pathlib import Path

from stages.harness.supervisor import descendants

LISTENING = "0A"


def free_port() -> int:
    """Return a port that nothing listens on, outside the range from which clients are given theirs, if there is one."""
    for port in (*random.SystemRandom().sample(range(20000, 32000), 100), 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise OSError("no port is free")


def taken(port: int, supervisor: int) -> bool:
    """Whether a process listens on a port that is no descendant of the supervisor; False where Linux does not tell.

    A port cannot be kept free for a program that opens it itself: whoever sees its command line may be faster.
    """
    wanted = listeners(port)
    return bool(wanted) and not any(wanted & sockets(pid) for pid in descendants(supervisor))


def listeners(port: int) -> set[str]:
    """Return the sockets that listen on a port, as they are called in /proc/PID/fd."""
    found = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def sockets(pid: int) -> set[str]:
    """Return the open files of a process."""
    found = set()
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found
