"""Rude clients, each in a process of its own, and what a polite one has to wait for its answers meanwhile.

By hand, for the exact figures, of final/ and of a real redis-server in the same run:

    python3 -m tests.tools.rude [--seconds 3] [NAME ...]
"""

from __future__ import annotations

import argparse
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles

from stages.harness.course import ROOT
from stages.harness.server import Server
from stages.harness.wire import Client, request
from tests.support.machine import Clock
from tests.support.oracle import final_server, redis_server

BIG = 20_000  # bytes in the value that is asked for again and again
Connect = Callable[[], socket.socket]
Rude = Callable[[Connect], Iterator[None]]


def reset(connection: socket.socket) -> None:
    """Hang up so that the other end is told of an error."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def push(connection: socket.socket, data: bytes) -> int:
    """Send what can be sent now."""
    try:
        return connection.send(data)
    except BlockingIOError:
        time.sleep(0.001)
        return 0
    except OSError:
        time.sleep(0.01)  # we were hung up on
        return 0


def drain(connection: socket.socket) -> None:
    """Take what has come."""
    while select.select([connection], [], [], 0)[0] and connection.recv(1 << 18):
        pass


def sends_and_never_stops(connect: Connect) -> Iterator[None]:
    """Requests, as many as the server takes, and all answers taken."""
    connection = connect()
    connection.setblocking(False)
    data = request("SET", "flood", "x" * 20) * 7000
    left = memoryview(data)
    while True:
        drain(connection)
        left = left[push(connection, left) :] or memoryview(data)  # type: ignore[arg-type]
        yield


def sends_one_endless_word(connect: Connect) -> Iterator[None]:
    """A request with a word of 64 MiB that never comes to its end, over and over."""
    while True:
        connection = connect()
        connection.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % (64 << 20))
        connection.setblocking(False)
        sent, chunk = 0, b"x" * (1 << 18)
        while sent < (64 << 20) - len(chunk):
            sent += push(connection, chunk)
            yield
        reset(connection)


def says_nothing(connect: Connect) -> Iterator[None]:
    """Two hundred connections on which nothing is ever said."""
    connections = [connect() for _ in range(200)]
    while connections:
        time.sleep(0.01)
        yield


def comes_and_goes(connect: Connect) -> Iterator[None]:
    """Connections that are reset as soon as they are there."""
    while True:
        connection = connect()
        connection.send(request("PING"))
        reset(connection)
        yield


def leaves_a_pipeline(connect: Connect) -> Iterator[None]:
    """A pipeline of ten thousand, and gone."""
    data = request("INCR", "pipelined") * 10_000
    while True:
        connection = connect()
        connection.setblocking(False)
        left, deadline = memoryview(data), time.monotonic() + 0.5
        while left and time.monotonic() < deadline:
            left = left[push(connection, left) :]  # type: ignore[arg-type]
            yield
        reset(connection)


def leaves_a_large_reply(connect: Connect) -> Iterator[None]:
    """A reply of two megabytes, and gone after its first bytes."""
    first = connect()
    first.sendall(request("SET", "large", "x" * (2 << 20)))
    first.recv(100)
    while True:
        connection = connect()
        connection.send(request("GET", "large"))
        connection.recv(100)
        reset(connection)
        yield


def asks_and_never_reads(connect: Connect) -> Iterator[None]:
    """GETs of a long value, and no answer taken."""
    connection = connect()
    connection.sendall(request("SET", "long", "x" * BIG))
    connection.recv(100)
    connection.setblocking(False)
    while True:
        push(connection, request("GET", "long") * 500)
        yield


def listens_and_never_reads(connect: Connect) -> Iterator[None]:
    """A subscriber that takes nothing of what another publishes."""
    subscriber, publisher = connect(), connect()
    subscriber.sendall(request("SUBSCRIBE", "channel"))
    yield from floods(publisher, request("PUBLISH", "channel", "x" * 1000) * 20)


def monitors_and_never_reads(connect: Connect) -> Iterator[None]:
    """One that MONITORs, and takes nothing of it."""
    subscriber, other = connect(), connect()
    subscriber.sendall(request("MONITOR"))
    yield from floods(other, request("GET", "x" * 1000) * 20)


def floods(connection: socket.socket, data: bytes) -> Iterator[None]:
    """These requests over and over, in an orderly way, with some breath between them."""
    while True:
        connection.sendall(data)
        time.sleep(0.002)
        drain(connection)
        yield


RUDE: dict[str, Rude] = {
    each.__name__: each
    for each in (
        *(sends_and_never_stops, sends_one_endless_word, says_nothing, comes_and_goes, leaves_a_pipeline),
        *(leaves_a_large_reply, asks_and_never_reads, listens_and_never_reads, monitors_and_never_reads),
    )
}


# In the process of the rude one


def obey(name: str, port: int) -> None:
    """Be rude after each line `go` on the standard input, until the next line; say so at the beginning of each."""
    while sys.stdin.readline():
        connections: list[socket.socket] = []

        def connect(connections: list[socket.socket] = connections) -> socket.socket:
            connections.append(socket.create_connection(("127.0.0.1", port), 10))
            del connections[:-300]
            return connections[-1]

        at_work = RUDE[name](connect)
        next(at_work)
        print("at it", flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            next(at_work)
        sys.stdin.readline()
        for connection in connections:
            if connection.fileno() >= 0:
                reset(connection)
        print("gone", flush=True)


class Process:
    """A rude client in a process of its own."""

    def __init__(self, name: str, port: int) -> None:
        command = [sys.executable, "-m", "tests.tools.rude", "--obey", str(port), name]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, text=True, bufsize=1)

    def say(self, arg: str) -> None:
        """Have it begin or stop; comes back when it has."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(arg + "\n")
        assert self.process.stdout.readline(), "the rude client has died"

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Have it be rude meanwhile."""
        self.say("go")
        try:
            yield
        finally:
            self.say("stop")

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def rude(name: str, server: Server) -> Iterator[Process]:
    """Have such a process."""
    process = Process(name, server.port)
    try:
        yield process
    finally:
        process.close()


# The measurement


def latencies(client: Client, seconds: float, clock: Clock) -> list[float]:
    """Ask PING and GET in turn for `seconds`, five times at least; return how long each answer took by `clock`."""
    found: list[float] = []
    end = time.perf_counter() + seconds
    requests = [request("PING"), request("GET", "polite")]
    while time.perf_counter() < end or len(found) < 5:
        began = clock()
        client.send(requests[len(found) % 2])
        client.read_reply()
        found.append(clock() - began)
    return found


def compared(
    server: Server, name: str, seconds: float, turns: int = 4, clock: Clock = time.perf_counter
) -> tuple[list[float], list[float]]:
    """Measure the latencies of a polite client alone, and while a rude one is at work, in turns; in seconds."""
    client = server.connect()
    client.ask("SET", "polite", "v")
    alone: list[float] = []
    beside: list[float] = []
    with rude(name, server) as process:
        for _ in range(turns):
            alone += latencies(client, seconds / turns, clock)
            with process.at_work():
                beside += latencies(client, seconds / turns, clock)
    return alone, beside


def p99(found: list[float]) -> float:
    """What one in a hundred exceeds."""
    return quantiles(found, n=100)[98]


def row(title: str, alone: list[float], beside: list[float]) -> str:
    """A row of the table: medians and 99th percentiles in milliseconds, and their ratios."""
    cells = [median(alone), p99(alone), median(beside), p99(beside)]
    ratios = [median(beside) / median(alone), p99(beside) / p99(alone)]
    return f"| {title} | " + " | ".join(
        [*(f"{cell * 1000:.3f}" for cell in cells), *(f"{ratio:.1f}" for ratio in ratios)]
    ) + " |"  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(RUDE)}")
    parser.add_argument("--seconds", type=float, default=3, help="of measurement, alone and beside it")
    parser.add_argument("--obey", type=int, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.obey:
        obey(told.names[0], told.obey)
        return
    print("| a rude client | alone: p50 ms | p99 ms | beside it: p50 ms | p99 ms | p50 ratio | p99 ratio |")
    print("|---|---|---|---|---|---|---|")
    for name in told.names or RUDE:
        for title, serving in (("final", final_server), ("redis", redis_server)):
            with serving() as server:
                print(row(f"{name.replace('_', ' ')}, {title}", *compared(server, name, told.seconds)), flush=True)


if __name__ == "__main__":
    main()
