"""Connections to a running server that send malformed input, and close at any time."""

from __future__ import annotations

import re
import select
import socket
import struct
from pathlib import Path
from random import Random

from tests.tools.fuzzing import malformed, mutations

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, with a reset


def visit(port: int, random: Random) -> int:
    """Connect, send malformed input, read little or nothing, and close; return the number of bytes sent."""
    data = b"".join(piece.data for piece in mutations.conversation(random))
    if random.random() < 0.3:
        data = malformed.stream(random)
    data = re.sub(rb"(?i)shutdown", b"shutdawn", data)  # the server would obey, and the test be over
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        try:
            for chunk in mutations.cut(random, data):
                connection.sendall(chunk)
                if select.select([connection], [], [], 0)[0] and random.random() < 0.5:
                    connection.recv(1 << 16)
            leave = random.randrange(3)
            if leave == 0:
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 16):
                    pass
            elif leave == 1:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        except OSError:  # the server closed the connection first
            pass
    return len(data)


def memory(process: int) -> int:
    """Return the resident memory of a process in bytes."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) * 1024
