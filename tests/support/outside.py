"""Connects to a server from an address that is not of the loopback, in a network namespace of the test's own.

`replies_in_own_network` starts this file in such a namespace, where it needs no rights on the machine's network:

    unshare -n python -m tests.support.outside final requirepass secret
"""

from __future__ import annotations

import ast
import fcntl
import shutil
import socket
import struct
import subprocess
import sys
from typing import Any

import pytest

from stages.harness.course import ROOT
from stages.harness.wire import request
from tests.support.machine import within
from tests.support.oracle import final_server, redis_server, redis_target

STARTS = {"final": final_server, "redis": redis_server}
OUTSIDE = "10.77.0.1"


def replies_in_own_network(which: str, *setting: str) -> Any:
    """Return what a server replies to a PING from the loopback, and to one from outside, as `main` prints it.

    `which` is a key of STARTS, `setting` an option and its value. Skips if the system refuses a network namespace.
    """
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-n", "true"], capture_output=True).returncode:
        pytest.skip("the system allows no network namespace")
    if which == "redis":
        redis_target()
    command = [unshare, "-n", sys.executable, "-m", "tests.support.outside", which, *setting]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout)


def interface(name: str, address: str = "") -> None:
    """Give a network interface an address, and put it into use (as `ip addr add` and `ip link set up` do)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        if address:
            asked = struct.pack("16sH2x4s8x", name.encode(), socket.AF_INET, socket.inet_aton(address))
            fcntl.ioctl(any_socket, 0x8916, asked)  # SIOCSIFADDR
        got = fcntl.ioctl(any_socket, 0x8913, struct.pack("16sH14x", name.encode(), 0))  # SIOCGIFFLAGS
        (flags,) = struct.unpack_from("H", got, 16)
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", name.encode(), flags | 1))  # SIOCSIFFLAGS, IFF_UP


def reply_and_end(connection: socket.socket) -> tuple[bytes, bool]:
    """Send a PING; return all that the server sends, and whether it closes the connection."""
    received = b""
    try:
        connection.sendall(b"PING\r\n")
        while data := connection.recv(4096):
            received += data
            connection.settimeout(within(0.2))
    except TimeoutError:
        return received, False
    except ConnectionError:
        pass
    return received, True


def main(which: str, *setting: str) -> None:
    """Start a server on all addresses; print what it sends to a client on the loopback, and to one from outside."""
    interface("lo")
    interface("lo:1", OUTSIDE)
    found = []
    with STARTS[which]("--bind", "0.0.0.0") as server:
        if setting:
            server.connect().check(request("CONFIG", "SET", *setting), b"+OK\r\n")
        for host in ("127.0.0.1", OUTSIDE):
            with socket.create_connection((host, server.port), 60) as connection:
                found.append(reply_and_end(connection))
    print(found)


if __name__ == "__main__":
    main(*sys.argv[1:])
