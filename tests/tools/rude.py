"""Rude clients, each in a process of its own, and how long a polite client waits for its replies meanwhile.

This prints the latencies of final/ and of a real redis-server in the same run:

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

BIG = 20_000  # bytes of the value that is read repeatedly
Connect = Callable[[], socket.socket]
Rude = Callable[[Connect], Iterator[None]]


def reset(connection: socket.socket) -> None:
    """Close a connection with a reset (RST)."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def push(connection: socket.socket, data: bytes) -> int:
    """Send what the socket accepts now; return the number of bytes."""
    try:
        return connection.send(data)
    except BlockingIOError:
        time.sleep(0.001)
        return 0
    except OSError:
        time.sleep(0.01)  # the server closed the connection
        return 0


def drain(connection: socket.socket) -> None:
    """Read what has arrived."""
    while select.select([connection], [], [], 0)[0] and connection.recv(1 << 18):
        pass


def sends_and_never_stops(connect: Connect) -> Iterator[None]:
    """Send requests as fast as the server reads them, and read all replies."""
    connection = connect()
    connection.setblocking(False)
    data = request("SET", "flood", "x" * 20) * 7000
    left = memoryview(data)
    while True:
        drain(connection)
        left = left[push(connection, left) :] or memoryview(data)  # type: ignore[arg-type]
        yield


def sends_one_endless_argument(connect: Connect) -> Iterator[None]:
    """Send a request whose argument of 64 MiB is never complete, and reconnect."""
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
    """Open two hundred connections, and send nothing."""
    connections = [connect() for _ in range(200)]
    while connections:
        time.sleep(0.01)
        yield


def comes_and_goes(connect: Connect) -> Iterator[None]:
    """Connect, and reset the connection at once."""
    while True:
        connection = connect()
        connection.send(request("PING"))
        reset(connection)
        yield


def leaves_a_pipeline(connect: Connect) -> Iterator[None]:
    """Send a pipeline of ten thousand requests, and reset the connection."""
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
    """Read the first bytes of a reply of two megabytes, and reset the connection."""
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
    """GET a long value again and again, and read no reply."""
    connection = connect()
    connection.sendall(request("SET", "long", "x" * BIG))
    connection.recv(100)
    connection.setblocking(False)
    while True:
        push(connection, request("GET", "long") * 500)
        yield


def listens_and_never_reads(connect: Connect) -> Iterator[None]:
    """Subscribe, and read no message, while another client publishes."""
    subscriber, publisher = connect(), connect()
    subscriber.sendall(request("SUBSCRIBE", "channel"))
    yield from floods(publisher, request("PUBLISH", "channel", "x" * 1000) * 20)


def monitors_and_never_reads(connect: Connect) -> Iterator[None]:
    """MONITOR, and read nothing, while another client sends requests."""
    subscriber, other = connect(), connect()
    subscriber.sendall(request("MONITOR"))
    yield from floods(other, request("GET", "x" * 1000) * 20)


def floods(connection: socket.socket, data: bytes) -> Iterator[None]:
    """Send these requests again and again, with a pause of 2 ms, and read the replies."""
    while True:
        connection.sendall(data)
        time.sleep(0.002)
        drain(connection)
        yield


RUDE: dict[str, Rude] = {
    each.__name__: each
    for each in (
        *(sends_and_never_stops, sends_one_endless_argument, says_nothing, comes_and_goes, leaves_a_pipeline),
        *(leaves_a_large_reply, asks_and_never_reads, listens_and_never_reads, monitors_and_never_reads),
    )
}


# In the process of the rude client


def obey(name: str, port: int) -> None:
    """Run a rude client from one line of the standard input to the next; print a line when it starts and stops."""
    while sys.stdin.readline():
        connections: list[socket.socket] = []

        def connect(connections: list[socket.socket] = connections) -> socket.socket:
            connections.append(socket.create_connection(("127.0.0.1", port), 10))
            del connections[:-300]
            return connections[-1]

        steps = RUDE[name](connect)
        next(steps)
        print("started", flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            next(steps)
        sys.stdin.readline()
        for connection in connections:
            if connection.fileno() >= 0:
                reset(connection)
        print("stopped", flush=True)


class Process:
    """A rude client in a process of its own."""

    def __init__(self, name: str, port: int) -> None:
        command = [sys.executable, "-m", "tests.tools.rude", "--obey", str(port), name]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, text=True, bufsize=1)

    def send(self, line: str) -> None:
        """Tell it to start or stop, and wait until it has."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(line + "\n")
        assert self.process.stdout.readline(), "the rude client has died"

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let it run for the length of the block."""
        self.send("go")
        try:
            yield
        finally:
            self.send("stop")

    def close(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def rude(name: str, server: Server) -> Iterator[Process]:
    """Start the process of a rude client, and kill it at the end of the block."""
    process = Process(name, server.port)
    try:
        yield process
    finally:
        process.close()


# The measurement


def latencies(client: Client, seconds: float, clock: Clock) -> list[float]:
    """Send PING and GET in turn for `seconds`, at least five of them; return the time of each by `clock`."""
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
    """Return the latencies of a polite client alone, and beside a rude one, measured in turns; in seconds."""
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
    """Return the 99th percentile."""
    return quantiles(found, n=100)[98]


def row(title: str, alone: list[float], beside: list[float]) -> str:
    """Return a row of the table: medians and 99th percentiles in milliseconds, and their ratios."""
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
    options = parser.parse_args()
    if options.obey:
        obey(options.names[0], options.obey)
        return
    print("| a rude client | alone: p50 ms | p99 ms | beside it: p50 ms | p99 ms | p50 ratio | p99 ratio |")
    print("|---|---|---|---|---|---|---|")
    for name in options.names or RUDE:
        for title, serving in (("final", final_server), ("redis", redis_server)):
            with serving() as server:
                print(row(f"{name.replace('_', ' ')}, {title}", *compared(server, name, options.seconds)), flush=True)


if __name__ == "__main__":
    main()
