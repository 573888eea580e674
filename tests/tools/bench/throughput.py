"""Sections: requests a second, with one parameter varied in each section; and the latency of a request.

The other parameters are 50 clients, values of 64 bytes, 10 000 keys and no log.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack

from tests.tools.bench.load import Load, fill, loads
from tests.tools.bench.measuring import Bench
from tests.tools.bench.results import Row
from tests.tools.bench.servers import FAKE, FINAL, FLOOR, REDIS, STAGE, UVLOOP, Running, final, one, running
from tests.tools.bench.servers import pythons as interpreters

ALL = [FINAL, UVLOOP, REDIS, FAKE, FLOOR, STAGE]
THREE = [FINAL, UVLOOP, REDIS]
NO_REWRITE = ["--auto-aof-rewrite-percentage", "0"]


def fill_all(servers: list[Running], keys: int = 10_000) -> None:
    """Fill each server with the keys that the loads read."""
    for server in servers:
        if server.name not in (FLOOR, FAKE, STAGE):
            fill(server, "MSET", keys, f"key:{{n}} {'x' * 64}")
            fill(server, "RPUSH", 100, "x" * 64, key="hundred")


def pipeline(bench: Bench) -> Iterator[Row]:
    """SET and GET, a request at a time, 16 at once, 100 at once."""
    with running(ALL) as servers:
        fill_all(servers)
        wanted = {
            f"{name} P={depth}": loads()[name].but(pipeline=depth) for depth in (1, 16, 100) for name in ("SET", "GET")
        }
        yield from bench.rates(servers, wanted)


def pythons(bench: Bench) -> Iterator[Row]:
    """GET and SET on asyncio by the Python that runs the bench, and by each other version that is installed."""
    with running([FINAL, REDIS]) as servers, ExitStack() as stack:
        for name, interpreter in interpreters().items():
            if interpreter == sys.executable:
                continue
            servers.append(stack.enter_context(one(f"final, {name}", final(interpreter=interpreter))))
        fill_all(servers)
        depths = (1, 16, 100)
        wanted = {f"{name} P={depth}": loads()[name].but(pipeline=depth) for depth in depths for name in ("SET", "GET")}
        yield from bench.rates(servers, wanted)


def commands(bench: Bench) -> Iterator[Row]:
    """Each command of the load, one at a time and 16 at once."""
    with running(THREE) as servers:
        fill_all(servers)
        for number in bench.every_round():
            for depth in (1, 16):
                for name, load in loads().items():
                    for server in servers:
                        yield from command(bench, server, load.but(pipeline=depth), f"{name} P={depth}", number)


def ranges(bench: Bench) -> Iterator[Row]:
    """LRANGE of 100 to 600 elements, one at a time."""
    lengths = (100, 300, 500, 600)
    with running(THREE) as servers:
        for server in servers:
            fill(server, "RPUSH", max(lengths), "x" * 64, key="list")
        yield from bench.rates(
            servers, {f"LRANGE {each}": Load("LRANGE", ("LRANGE", "list", "0", str(each - 1))) for each in lengths}
        )


def command(bench: Bench, server: Running, load: Load, what: str, number: int) -> Iterator[Row]:
    """Yield the row of a command. LPOP pops what LPUSH has pushed just before."""
    requests = 0
    if load.name == "LPUSH":
        server.ask("DEL", "list")
    elif load.name == "LPOP":
        length = server.ask("LLEN", "list")
        assert isinstance(length, int)
        requests = length - length % load.pipeline
    if measured := bench.ask(server, load, requests):
        yield bench.row(server.name, what, measured.rate, "requests/s", number)


def clients(bench: Bench) -> Iterator[Row]:
    """GET by one client, by 50, by 500 and by 5000."""
    with running(THREE) as servers:
        fill_all(servers)
        numbers = (1, 50, 200) if bench.short else (1, 50, 500, 5000)
        yield from bench.rates(servers, {f"GET, {each} clients": loads()["GET"].but(clients=each) for each in numbers})


def values(bench: Bench) -> Iterator[Row]:
    """SET and GET of values from 8 bytes to a megabyte."""
    with running(THREE) as servers:
        wanted = {}
        for size, label in ((8, "8 B"), (64, "64 B"), (4096, "4 KB"), (1 << 20, "1 MB")):
            for name in ("SET", "GET"):
                keys = 100 if size > 4096 else 10_000
                wanted[f"{name} {label}"] = loads()[name].but(size=size, keys=keys)
        yield from bench.rates(servers, wanted)  # GET finds what SET of the same size has just put there


def log(bench: Bench) -> Iterator[Row]:
    """SET without a log, and with a log under each fsync policy."""
    with (
        running(THREE) as none,
        running(THREE, "everysec", NO_REWRITE) as everysec,
        running(THREE, "always", NO_REWRITE) as always,
    ):
        for number in bench.every_round():
            for depth in (1, 16):
                load = loads()["SET"].but(pipeline=depth)
                for servers, label in ((none, "no log"), (everysec, "everysec"), (always, "always")):
                    for server in servers:
                        if measured := bench.ask(server, load):
                            what = f"SET P={depth}, {label}"
                            yield bench.row(server.name, what, measured.rate, "requests/s", number)


def latency(bench: Bench) -> Iterator[Row]:
    """The latency of GET and SET with 50 clients and no pipeline."""
    with running(THREE) as servers:
        fill_all(servers)
        for number in bench.every_round():
            for name in ("GET", "SET"):
                for server in servers:
                    if measured := bench.ask(server, loads()[name]):
                        yield bench.row(server.name, f"{name} p50", measured.p50, "ms", number)
                        yield bench.row(server.name, f"{name} p99", measured.p99, "ms", number)
                        yield bench.row(server.name, f"{name} longest", measured.longest, "ms", number)
