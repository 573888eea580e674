"""Sections: the memory of a million strings, fields or members; the time until a new server replies."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from stages.harness.course import ROOT
from stages.harness.ports import free_port
from stages.harness.target import Target
from stages.harness.wire import request
from tests.support.folders import write_log
from tests.tools.bench.load import fill
from tests.tools.bench.measuring import Bench
from tests.tools.bench.results import Row
from tests.tools.bench.servers import FINAL, REDIS, UVLOOP, running, targets

SHAPES = {  # a million of each: the command, and the arguments of an entry
    "strings": ("MSET", f"key:{{n}} {'x' * 64}"),
    "hash": ("HSET", "field:{n} value:{n}"),
    "list": ("RPUSH", "value:{n}"),
    "set": ("SADD", "member:{n}"),
    "sorted set": ("ZADD", "{n} member:{n}"),
}


def memory(bench: Bench) -> Iterator[Row]:
    """Resident memory with a million strings of 64 bytes, and with a hash, list, set and sorted set of a million."""
    for shape, (command, each) in SHAPES.items():
        with running([FINAL, REDIS]) as servers:
            for server in servers:
                before = server.memory()
                fill(server, command, bench.size(1_000_000), each, key="" if shape == "strings" else "it")
                yield bench.row(server.name, f"{shape}: resident", server.memory() / 2**20, "MB")
                yield bench.row(server.name, f"{shape}: grown by", (server.memory() - before) / 2**20, "MB")


def start(bench: Bench) -> Iterator[Row]:
    """Seconds until a new server replies, without a log and with one of a million SETs; the speed of loading."""
    number = bench.size(1_000_000)
    log = b"".join(request("SET", f"key:{n:012}", "x" * 64) for n in range(number))
    known = targets()
    for round in bench.every_round():
        for name in (FINAL, UVLOOP, REDIS):
            if target := known.get(name):
                with TemporaryDirectory() as folder:
                    write_log(Path(folder), incr1=log)
                    empty = seconds_to_answer(target, "--appendonly", "no", "--dir", folder)
                    full = seconds_to_answer(target, "--appendonly", "yes", "--dir", folder)
                yield bench.row(name, "ready without a log", empty, "s", round)
                yield bench.row(name, "ready with a million SETs", full, "s", round)
                yield bench.row(name, "the log is read", number / max(full - empty, 1e-3), "requests/s", round)


def seconds_to_answer(target: Target, *options: str) -> float:
    """Start a server, and return the seconds until it replies PONG; while a Redis loads, it replies LOADING."""
    port = free_port()
    began = time.perf_counter()
    process = subprocess.Popen([*target.program(port), *options], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        while not answers(port):
            if process.poll() is not None:
                raise RuntimeError(f"{target.name} has not started")
            time.sleep(0.001)
        return time.perf_counter() - began
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    """Return whether a server replies PONG."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as probe:
            probe.sendall(b"*1\r\n$4\r\nPING\r\n")
            return probe.recv(64).startswith(b"+PONG")
    except OSError:
        return False
