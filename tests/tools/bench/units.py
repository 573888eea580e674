"""Section: a transaction and scripts of many commands, over one socket, with a log."""

from __future__ import annotations

import importlib.util
import socket
import time
from collections.abc import Iterator

from stages.harness.wire import request
from tests.tools.bench.measuring import Bench
from tests.tools.bench.results import Row
from tests.tools.bench.servers import FINAL, REDIS, Running, running

NO_REWRITE = ["--auto-aof-rewrite-percentage", "0"]


def loads(bench: Bench) -> dict[str, tuple[bytes, bytes]]:
    """Map the name of each load to the bytes that are sent, and the last bytes of the reply."""
    queued, called = bench.size(40_000), bench.size(100_000)
    transaction = request("MULTI") + request("INCR", "counter") * queued + request("EXEC")
    found = {"MULTI of 40 000 INCR": (transaction, b":%d\r\n" % queued)}
    if importlib.util.find_spec("lupa"):
        for name, call in (("PING", "'ping'"), ("INCR", "'incr', 'counter'")):
            script = f"for i = 1, {called} do redis.call({call}) end return 7"
            found[f"script of 100 000 {name}"] = request("EVAL", script, 0), b":7\r\n"
    return found


def units(bench: Bench) -> Iterator[Row]:
    """Milliseconds for each load. Targets are about the best of all rounds."""
    with running([FINAL, REDIS], "everysec", NO_REWRITE) as servers:
        for number in bench.every_round():
            for name, (data, end) in loads(bench).items():
                for server in servers:
                    server.ask("FLUSHALL")
                    yield bench.row(server.name, name, 1000 * exchange(server, data, end), "ms", number)


def exchange(server: Running, data: bytes, end: bytes) -> float:
    """Send bytes, and receive until the reply ends; return the seconds."""
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        began, last = time.perf_counter(), b""
        line.sendall(data)
        while not last.endswith(end):
            received = line.recv(1 << 20)
            assert received, "the server has closed the connection"
            last = (last + received)[-64:]
        return time.perf_counter() - began
