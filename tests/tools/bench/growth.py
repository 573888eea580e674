"""Sections: how the speed depends on the number of keys, idle clients and members, and on the size of a value."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

from stages.harness.wire import request
from tests.tools.bench.load import RANDOM, Load, fill, loads
from tests.tools.bench.measuring import Bench
from tests.tools.bench.results import Row
from tests.tools.bench.servers import FINAL, REDIS, UVLOOP, Running, running

THREE = [FINAL, UVLOOP, REDIS]
MEGABYTE = 1 << 20


def keys(bench: Bench) -> Iterator[Row]:
    """GET and SET of random keys among a thousand, and among a million."""
    with running(THREE) as few, running(THREE) as many:
        sizes = ((few, 1000, "1 000 keys"), (many, bench.size(1_000_000), "1 000 000 keys"))
        for servers, number, _ in sizes:
            for server in servers:
                fill(server, "MSET", number, f"key:{{n}} {'x' * 64}")
        for round in bench.every_round():
            for depth in (1, 16):
                for name in ("GET", "SET"):
                    for servers, number, label in sizes:
                        for server in servers:
                            if measured := bench.ask(server, loads()[name].but(keys=number, pipeline=depth)):
                                what = f"{name} P={depth}, {label}"
                                yield bench.row(server.name, what, measured.rate, "requests/s", round)


def idle(bench: Bench) -> Iterator[Row]:
    """GET by 50 clients, without others, and while ten thousand idle clients are connected."""
    with running(THREE, options=["--maxclients", "10500"]) as servers:
        for round in bench.every_round():
            for server in servers:
                for number in (0, bench.size(10_000)):
                    with ExitStack() as stack:
                        for _ in range(number):
                            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                        server.ask("PING")
                        if measured := bench.ask(server, loads()["GET"]):
                            label = "with 10 000 idle clients" if number else "alone"
                            yield bench.row(server.name, f"GET {label}", measured.rate, "requests/s", round)


def sorted_sets(bench: Bench) -> Iterator[Row]:
    """ZADD and ZRANK, 16 at once, in a sorted set of a thousand members, and in one of a million."""
    with running(THREE) as servers:
        sizes = ((1000, "1 000 members"), (bench.size(1_000_000), "1 000 000 members"))
        for server in servers:
            for number, label in sizes:
                fill(server, "ZADD", number, "{n} member:{n}", key=label.replace(" ", "-"))
        for round in bench.every_round():
            for verb in ("ZADD", "ZRANK"):
                for number, label in sizes:
                    score = (RANDOM,) if verb == "ZADD" else ()
                    args = (verb, label.replace(" ", "-"), *score, f"member:{RANDOM}")
                    load = Load(verb, args, keys=number, pipeline=16)
                    for server in servers:
                        if measured := bench.ask(server, load):
                            yield bench.row(server.name, f"{verb}, {label}", measured.rate, "requests/s", round)


def streams(bench: Bench) -> Iterator[Row]:
    """A stream of a million entries: its memory, and how fast it is added to and read, 16 requests at once."""
    number = bench.size(1_000_000)
    with running(THREE) as servers:
        for server in servers:
            before = server.memory()
            for start in range(0, number, 1000):
                ids = [b"10%012d-1" % n for n in range(start, min(start + 1000, number))]
                sent = [request("XADD", "events", id, "name", "x" * 64) for id in ids]
                server.client.check(b"".join(sent), b"".join(b"$16\r\n%b\r\n" % id for id in ids))
            yield bench.row(server.name, "a million entries: grown by", (server.memory() - before) / 2**20, "MB")
            server.ask("XGROUP", "CREATE", "events", "group", "0")
        texts = {
            "XADD": "XADD events * name VALUE",
            "XADD MAXLEN ~": f"XADD events MAXLEN ~ {number} * name VALUE",
            "XRANGE 10 anywhere": f"XRANGE events 10{RANDOM} + COUNT 10",
            "XREVRANGE 10": "XREVRANGE events + - COUNT 10",
            "XREADGROUP 1": "XREADGROUP GROUP group consumer COUNT 1 STREAMS events >",
        }
        loads = {name: Load(name, tuple(text.split()), keys=number, pipeline=16) for name, text in texts.items()}
        yield from bench.rates(servers, loads)


def huge(bench: Bench) -> Iterator[Row]:
    """SET and GET of 4 and 64 megabytes: the time for each megabyte, and the most copies in memory at once."""
    for round in bench.every_round():
        for megabytes in (4, 64):
            with running(THREE) as servers:
                for server in servers:
                    before = server.memory()
                    for verb, seconds in transfer(server, megabytes * MEGABYTE):
                        copies = (server.memory("VmHWM") - before) / megabytes / MEGABYTE
                        server.forget_peak()
                        what = f"{verb} {megabytes} MB"
                        yield bench.row(server.name, what, seconds / megabytes * 1000, "ms/MB", round)
                        yield bench.row(server.name, f"{what}, memory at most", copies, "copies", round)


def transfer(server: Running, size: int) -> Iterator[tuple[str, float]]:
    """SET a value of `size` bytes, and GET it; yield the seconds of each."""
    data = request("SET", "huge", b"x" * size)
    buffer = bytearray(MEGABYTE)
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        began = time.perf_counter()
        line.sendall(data)
        line.recv(64)
        yield "SET", time.perf_counter() - began
        began = time.perf_counter()
        line.sendall(request("GET", "huge"))
        missing = len(b"$%d\r\n\r\n" % size) + size
        while missing:
            missing -= line.recv_into(buffer)
        yield "GET", time.perf_counter() - began
