"""The numbers that we want, and whether the results meet them. No test asserts them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.tools.bench.results import Results
from tests.tools.bench.servers import FAKE, FINAL, REDIS, UVLOOP

LARGER = {"LRANGE 100", "MSET 10"}  # commands that do more work than a GET


@dataclass(frozen=True)
class Target:
    """A wanted number: `value` should be at least, or at most, `bound`. None: it was not measured."""

    text: str
    value: float | None
    bound: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        """Whether it was measured and is within the bound."""
        return self.value is not None and (self.value >= self.bound if self.at_least else self.value <= self.bound)


def all_of(results: Results) -> Iterator[Target]:
    """Yield all targets."""
    yield from throughput(results)
    yield from log(results)
    yield from commands(results)
    yield from ranges(results)
    yield from units(results)
    yield from pauses(results)
    yield from growth(results)
    yield from weight(results)


def throughput(results: Results) -> Iterator[Target]:
    """Yield the targets for throughput, in ratios to redis-server and fakeredis."""
    wanted = {
        FINAL: {1: (0.68, 0.72), 16: (0.31, 0.34), 100: (0.25, 0.26)},
        UVLOOP: {1: (0.8, 0.85), 16: (0.38, 0.42), 100: (0.33, 0.36)},
    }
    for server, depth in ((server, depth) for server, depths in wanted.items() for depth in depths):
        for name, bound in zip(("SET", "GET"), wanted[server][depth], strict=True):
            what = f"{name} P={depth}"
            ratio = results.ratio("pipeline", (server, what), (REDIS, what))
            yield Target(f"{server}: {what}, of redis-server's", ratio, bound)
    for name in ("SET", "GET"):
        what = f"{name} P=1"
        yield Target(f"{what}, of fakeredis's", results.ratio("pipeline", (FINAL, what), (FAKE, what)), 5)


def log(results: Results) -> Iterator[Target]:
    """Yield the targets for the cost of the log."""
    for depth, bound in ((1, 0.75), (16, 0.6)):
        one, other = (FINAL, f"SET P={depth}, everysec"), (FINAL, f"SET P={depth}, no log")
        yield Target(f"SET P={depth} under everysec, of that without a log", results.ratio("log", one, other), bound)
    what = "SET P=1, always"
    yield Target("SET P=1 under always, of redis-server's", results.ratio("log", (FINAL, what), (REDIS, what)), 0.4)


def commands(results: Results) -> Iterator[Target]:
    """Yield the targets for each command: it is not much slower than GET."""
    for what in results.of("commands", "what"):
        name, _, depth = what.partition(" P=")
        if depth == "16" and name not in {"GET", *LARGER}:
            ratio = results.ratio("commands", (FINAL, what), (FINAL, "GET P=16"))
            yield Target(f"{what}, of GET", ratio, 0.5)


def ranges(results: Results) -> Iterator[Target]:
    """Yield the targets for LRANGE of many elements."""
    for what in results.of("ranges", "what"):
        for server, bound in ((FINAL, 0.6), (UVLOOP, 0.7)):
            ratio = results.ratio("ranges", (server, what), (REDIS, what))
            yield Target(f"{server}: {what}, of redis-server's", ratio, bound)


def units(results: Results) -> Iterator[Target]:
    """Yield the targets for transactions and scripts of many commands: the best of all rounds."""
    for what, bound in (("MULTI of 40 000 INCR", 6), ("script of 100 000 PING", 6), ("script of 100 000 INCR", 8)):
        ours, real = (min(results.values("units", server, what).values(), default=None) for server in (FINAL, REDIS))
        ratio = ours / real if ours and real else None
        yield Target(f"{what}: time, times redis-server's", ratio, bound, False)


def pauses(results: Results) -> Iterator[Target]:
    """Yield the targets for latency and pauses."""
    for server, name in ((server, name) for server in (FINAL, UVLOOP) for name in ("SET", "GET")):
        what = f"{name} p99"
        ratio = results.ratio("latency", (server, what), (REDIS, what))
        yield Target(f"{server}: {what}, times redis-server's", ratio, 1.5, False)
    for section, label, bound in (("rewrite", "BGREWRITEAOF", 20), ("expiry", "a million expire", 50)):
        longest = results.values(section, FINAL, f"{label}: longest pause")
        yield Target(f"{label}: longest pause of all rounds, ms", max(longest.values(), default=None), bound, False)


def growth(results: Results) -> Iterator[Target]:
    """Yield the targets for many keys, clients and members, and for large values."""

    def within(section: str, one: str, other: str) -> float | None:
        return results.ratio(section, (FINAL, one), (FINAL, other))

    for what in ("GET P=1", "SET P=1", "GET P=16", "SET P=16"):
        ratio = within("keys", f"{what}, 1 000 000 keys", f"{what}, 1 000 keys")
        yield Target(f"{what} among a million keys, of that among a thousand", ratio, 0.8)
    yield Target("GET by 5000 clients, of that by 50", within("clients", "GET, 5000 clients", "GET, 50 clients"), 0.7)
    ratio = within("idle", "GET with 10 000 idle clients", "GET alone")
    yield Target("GET beside ten thousand idle clients, of that alone", ratio, 0.9)
    for verb in ("ZADD", "ZRANK"):
        ratio = within("sorted sets", f"{verb}, 1 000 members", f"{verb}, 1 000 000 members")
        yield Target(f"{verb}: time among a million members, times that among a thousand", ratio, 2, False)
    for verb in ("SET", "GET"):
        ratio = within("huge", f"{verb} 64 MB", f"{verb} 4 MB")
        yield Target(f"{verb} of 64 MB: time for each MB, times that of 4 MB", ratio, 2, False)
        ratio = results.ratio("huge", (FINAL, f"{verb} 64 MB"), (REDIS, f"{verb} 64 MB"))
        yield Target(f"{verb} of 64 MB: time, times redis-server's", ratio, 2.5, False)
        copies = results.median("huge", FINAL, f"{verb} 64 MB, memory at most")
        yield Target(f"{verb} of 64 MB: copies in memory at most", copies, 2.05, False)  # what else is new: 0.01


def weight(results: Results) -> Iterator[Target]:
    """Yield the targets for memory and the start."""
    what = "strings: resident"
    ratio = results.ratio("memory", (FINAL, what), (REDIS, what))
    yield Target("a million strings: resident memory, times redis-server's", ratio, 3, False)
    yield Target("seconds until PING is answered", results.median("start", FINAL, "ready without a log"), 0.4, False)
    what = "the log is read"
    ratio = results.ratio("start", (FINAL, what), (REDIS, what))
    yield Target("reading a log of a million SETs, of redis-server's speed", ratio, 0.5)
