"""Measures how long large values and requests with many arguments take, in final/ and in Redis.

    python3 -m tests.tools.large_values [--rounds 5] [--megabytes 200] [NAME ...]

Printed are milliseconds from the first byte sent until the last one received, and those of processor time that the
server used for it, which do not depend on what else the machine does: the least of all rounds.
"""

from __future__ import annotations

import argparse
import socket
import time
from contextlib import ExitStack
from pathlib import Path

from stages.harness.server import Server
from stages.harness.wire import request
from tests.support.oracle import final_server, redis_server


class Measured:
    """A server whose processor time is read."""

    def __init__(self, server: Server) -> None:
        self.port = server.port
        about = server.connect().ask("INFO", "server")
        assert isinstance(about, bytes)
        self.pid = int(about.partition(b"process_id:")[2].partition(b"\r")[0])

    def processor_time(self) -> float:
        """Return the seconds of processor time that its main thread has used."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9


def exchange(server: Measured, data: bytes, length: int) -> tuple[float, float]:
    """Send data, and receive a reply of that length; return the seconds that passed, and the server's own."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        used, began = server.processor_time(), time.perf_counter()
        connection.sendall(data)
        view = memoryview(bytearray(1 << 20))
        while length > 0:
            received = connection.recv_into(view)
            assert received, "the server has closed the connection"
            length -= received
        return time.perf_counter() - began, server.processor_time() - used


def cases(megabytes: int) -> dict[str, tuple[list[bytes], bytes, int]]:
    """Return, by name, the requests that prepare a case, its data, and the length of the reply."""
    value = b"v" * (megabytes << 20)
    numbers = [b"%d" % number for number in range(100_000)]
    pairs = [arg for number in numbers for arg in (b"key:" + number, number)]
    ok, added = len(b"+OK\r\n"), len(b":100000\r\n")
    get = len(b"$%d\r\n" % len(value)) + len(value) + 2
    flush = [request("FLUSHALL")]
    return {
        f"SET, {megabytes} MB": (flush, request("SET", "k", value), ok),
        f"GET, {megabytes} MB": ([], request("GET", "k"), get),
        "MSET, 50 000 keys": (flush, request("MSET", *pairs[:100_000]), ok),
        "HSET, 100 000 fields": (flush, request("HSET", "h", *pairs), added),
        "RPUSH, 100 000 elements": (flush, request("RPUSH", "l", *numbers), added),
        "SADD, 100 000 members": (flush, request("SADD", "s", *numbers), added),
    }


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only cases that begin with NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=200)
    options = parser.parse_args()
    print("| | final, ms | redis, ms | ratio | processor: final | redis | ratio |\n|---|---|---|---|---|---|---|")
    with ExitStack() as stack:
        servers = [Measured(stack.enter_context(start())) for start in (final_server, redis_server)]
        for name, (before, data, length) in cases(options.megabytes).items():
            if not name.startswith(tuple(options.names) or ("",)):
                continue
            rounds: list[list[tuple[float, float]]] = [[], []]
            for _ in range(options.rounds):
                for server, measured in zip(servers, rounds, strict=True):
                    for each in before:
                        exchange(server, each, len(b"+OK\r\n"))
                    measured.append(exchange(server, data, length))
            best = [[1000 * min(column) for column in zip(*each, strict=True)] for each in rounds]
            columns = (f"{ours:.0f} | {real:.0f} | {ours / real:.1f}" for ours, real in zip(*best, strict=True))
            print(f"| {name} | {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
