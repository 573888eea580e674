"""Sections: how long a server answers nobody while it rewrites a log of a million keys, or a million keys expire."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

from tests.tools.bench.load import fill, fill_one_by_one
from tests.tools.bench.measuring import Bench
from tests.tools.bench.results import Row
from tests.tools.bench.servers import FINAL, REDIS, UVLOOP, Running, running

LOOK = 0.1  # seconds between two calls of `over`
PING = b"*1\r\n$4\r\nPING\r\n"


def gaps(server: Running, over: Callable[[], bool], least: float, most: float = 120) -> list[float]:
    """Send PINGs until `over()` is true, for `least` to `most` seconds; return the milliseconds of each.

    `over` is called between two PINGs; its time is not included in any.
    """
    found = []
    with socket.create_connection(("127.0.0.1", server.port)) as probe:
        probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = looked = before = time.perf_counter()
        while True:
            probe.sendall(PING)
            probe.recv(64)
            now = time.perf_counter()
            found.append((now - before) * 1000)
            if now - looked > LOOK:
                if (now - began > least and over()) or now - began > most:
                    return found
                looked = time.perf_counter()
            before = time.perf_counter()


def summed_up(bench: Bench, server: Running, what: str, found: list[float], number: int) -> Iterator[Row]:
    """Yield the rows for the latencies of `gaps`."""
    found.sort()
    yield bench.row(server.name, f"{what}: longest pause", found[-1], "ms", number)
    yield bench.row(server.name, f"{what}: p99", found[len(found) * 99 // 100], "ms", number)
    yield bench.row(server.name, f"{what}: seconds", sum(found) / 1000, "s", number)


def rewrite(bench: Bench) -> Iterator[Row]:
    """BGREWRITEAOF with a million keys; and an idle server, to see the pauses of the machine."""
    with running([FINAL, UVLOOP, REDIS], "everysec", ["--auto-aof-rewrite-percentage", "0"]) as servers:
        for server in servers:
            fill(server, "MSET", bench.size(1_000_000), f"key:{{n}} {'x' * 64}")
        for number in bench.every_round():
            for server in servers:
                found = gaps(server, lambda: True, 0.1 if bench.short else 3)
                yield from summed_up(bench, server, "idle", found, number)
                server.ask("BGREWRITEAOF")

                def over(server: Running = server) -> bool:
                    info = server.info("persistence")
                    return info["aof_rewrite_in_progress"] == info["aof_rewrite_scheduled"] == "0"

                yield from summed_up(bench, server, "BGREWRITEAOF", gaps(server, over, 0.1), number)


def expiry(bench: Bench) -> Iterator[Row]:
    """A million keys that expire at once and that no client asks for."""
    with running([FINAL, UVLOOP, REDIS], options=["--enable-debug-command", "yes"]) as servers:
        for number in bench.every_round():
            for server in servers:
                server.ask("DEBUG", "SET-ACTIVE-EXPIRE", 0)
                fill_one_by_one(server, "SET key:{n} value PX 1", bench.size(1_000_000))
                server.ask("DEBUG", "SET-ACTIVE-EXPIRE", 1)

                def over(server: Running = server) -> bool:
                    return server.ask("DBSIZE") == 0

                yield from summed_up(bench, server, "a million expire", gaps(server, over, 0.1), number)
