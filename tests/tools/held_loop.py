"""Measures for how long one command on a collection of a million delays other clients, in final/ and in Redis.

    python3 -m tests.tools.held_loop [--members 1000000] [NAME ...]

One client sends the command, and right after it another client sends a PING: the time until its reply is measured. The
first client does not read its reply meanwhile, so the time to read it is not included.
"""

from __future__ import annotations

import argparse
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from stages.harness.server import Server
from stages.harness.wire import request
from tests.support.oracle import final_server, redis_server

Args = tuple[str | int, ...]
STEP = 1000  # members in each request that fills a key


@dataclass
class Heavy:
    """A command to be measured, and the keys that it needs."""

    name: str
    args: tuple[Args, ...]
    needs: tuple[str, ...] = ()
    spoils: bool = False  # the keys have to be filled again after it
    wait: float = 0.0  # seconds of further PINGs, for work that is done some time after the command


class Speaker:
    """A connection that can send without reading, and read without parsing."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, *requests: Args) -> None:
        """Send requests; read no reply."""
        self.socket.sendall(b"".join(request(*args) for args in requests))

    def drain(self, quiet: float = 0.05) -> None:
        """Read until nothing arrives for `quiet` seconds."""
        while select.select([self.socket], [], [], quiet)[0] and self.socket.recv(1 << 20):
            pass

    def ping(self) -> float:
        """Send a PING; return the seconds until its reply."""
        began = time.perf_counter()
        self.socket.sendall(b"PING\r\n")
        self.socket.recv(100)
        return time.perf_counter() - began


def filling(kind: str, count: int) -> Iterator[Args]:
    """Yield the requests that make a key of this kind with `count` members; for `strings`, `count` keys."""
    for start in range(0, count, STEP):
        numbers = range(start, min(start + STEP, count))
        if kind == "strings":
            yield ("MSET", *(arg for number in numbers for arg in (f"key:{number}", "value")))
        elif kind.startswith("due"):
            yield from (("SET", f"due:{number}", "value", "PXAT", kind.removeprefix("due ")) for number in numbers)
        elif kind.startswith("hash"):
            yield ("HSET", kind, *(arg for number in numbers for arg in (f"field:{number}", number)))
        elif kind.startswith("list"):
            yield ("RPUSH", kind, *numbers)
        elif kind.startswith("set"):
            yield ("SADD", kind, *(f"member:{number}" for number in numbers))
        else:
            yield ("ZADD", kind, *(arg for number in numbers for arg in (number, f"member:{number}")))


class Measured:
    """A server, and the kinds of keys in it."""

    def __init__(self, server: Server, count: int) -> None:
        self.server, self.count = server, count
        self.speaker, self.other = Speaker(server.port), Speaker(server.port)
        self.held: set[str] = set()

    def fill(self, kinds: tuple[str, ...]) -> None:
        """Fill the server with keys of these kinds, and delete all others."""
        if self.held != set(kinds):
            self.ask(("FLUSHALL",))
            for kind in kinds:
                for args in filling(kind, self.count):
                    self.ask(args)
            self.held = set(kinds)

    def ask(self, *requests: Args) -> None:
        """Send requests with replies of one line, and wait for the last reply."""
        self.speaker.send(*requests)
        left = len(requests)
        while left > 0:
            left -= self.speaker.socket.recv(1 << 16).count(b"\r\n")

    def measure(self, heavy: Heavy) -> float:
        """Return the seconds that a PING right after the command takes, or the longest of the PINGs in `heavy.wait`."""
        self.fill(heavy.needs)
        self.other.ping()
        self.speaker.send(*heavy.args)
        waited = self.other.ping()
        end = time.perf_counter() + heavy.wait
        while time.perf_counter() < end:
            waited = max(waited, self.other.ping())
        self.speaker.drain()
        if heavy.spoils:
            self.held.clear()
        return waited

    def all_due_at_once(self) -> float:
        """Let `count` keys expire at the same time; return the seconds of the longest PING after that."""
        due = int((time.time() + 5 + self.count / 15_000) * 1000)
        self.fill((f"due {due}",))
        left = due / 1000 - time.time()
        assert left > 0, "it took too long to fill"
        time.sleep(left)
        waited, end = 0.0, time.perf_counter() + 8
        while time.perf_counter() < end:
            waited = max(waited, self.other.ping())
        self.held.clear()
        return waited


def heavies(count: int) -> list[Heavy]:
    """Return the commands to be measured."""
    middle = count // 2
    one = [
        Heavy("KEYS *", (("KEYS", "*"),), ("strings",)),
        Heavy("SCAN 0 COUNT 1000", (("SCAN", 0, "COUNT", 1000),), ("strings",)),
        Heavy("SCAN 0 MATCH none COUNT 1000000", (("SCAN", 0, "MATCH", "none", "COUNT", count),), ("strings",)),
        Heavy("DBSIZE", (("DBSIZE",),), ("strings",)),
        Heavy("RANDOMKEY", (("RANDOMKEY",),), ("strings",)),
        Heavy("INFO", (("INFO",),), ("strings",)),
        Heavy("SWAPDB 0 1", (("SWAPDB", 0, 1), ("SWAPDB", 0, 1)), ("strings",)),
        Heavy("BGREWRITEAOF", (("BGREWRITEAOF",),), ("strings",), wait=4),
        Heavy("FLUSHALL", (("FLUSHALL",),), ("strings",), True, wait=0.3),
        Heavy("FLUSHDB ASYNC", (("FLUSHDB", "ASYNC"),), ("strings",), True, wait=0.3),
        Heavy("HGETALL", (("HGETALL", "hash"),), ("hash",)),
        Heavy("HRANDFIELD 1000", (("HRANDFIELD", "hash", 1000),), ("hash",)),
        Heavy("LRANGE 0 -1", (("LRANGE", "list", 0, -1),), ("list",)),
        Heavy("LINDEX in the middle", (("LINDEX", "list", middle),), ("list",)),
        Heavy("LINSERT in the middle", (("LINSERT", "list", "BEFORE", middle, "new"),), ("list",)),
        Heavy("LREM in the middle", (("LREM", "list", 1, middle + 1),), ("list",)),
        Heavy("SORT", (("SORT", "list"),), ("list",)),
        Heavy("SORT ALPHA LIMIT 0 10", (("SORT", "list", "ALPHA", "LIMIT", 0, 10),), ("list",)),
        Heavy("SMEMBERS", (("SMEMBERS", "set"),), ("set",)),
        Heavy("SRANDMEMBER 1000", (("SRANDMEMBER", "set", 1000),), ("set",)),
        Heavy("SRANDMEMBER", (("SRANDMEMBER", "set"),), ("set",)),
        Heavy("SPOP 1000", (("SPOP", "set", 1000),), ("set",)),
        Heavy("SPOP half", (("SPOP", "set", middle),), ("set",), True),
        Heavy("SUNION of two", (("SUNION", "set", "set2"),), ("set", "set2")),
        Heavy("SINTER of two", (("SINTER", "set", "set2"),), ("set", "set2")),
        Heavy("SINTERCARD of two", (("SINTERCARD", 2, "set", "set2"),), ("set", "set2")),
        Heavy("ZRANGE 0 -1", (("ZRANGE", "zset", 0, -1),), ("zset",)),
        Heavy("ZRANGE, ten in the middle", (("ZRANGE", "zset", middle, middle + 9),), ("zset",)),
        Heavy("ZADD of one", (("ZADD", "zset", middle, "new"),), ("zset",)),
        Heavy("ZRANK", (("ZRANK", "zset", f"member:{middle}"),), ("zset",)),
        Heavy("ZREMRANGEBYRANK half", (("ZREMRANGEBYRANK", "zset", 0, middle),), ("zset",), True),
        Heavy("ZUNIONSTORE of two", (("ZUNIONSTORE", "to", 2, "zset", "zset2"),), ("zset", "zset2"), True),
    ]
    for kind in ("hash", "list", "set", "zset"):
        one += [
            Heavy(f"MEMORY USAGE SAMPLES 0, {kind}", (("MEMORY", "USAGE", kind, "SAMPLES", 0),), (kind,)),
            Heavy(f"COPY, {kind}", (("COPY", kind, "to"),), (kind,), True),
            Heavy(f"RENAME over it, {kind}", (("SET", "small", 1), ("RENAME", "small", kind)), (kind,), True),
            Heavy(f"DEL, {kind}", (("DEL", kind),), (kind,), True),
            Heavy(f"UNLINK, {kind}", (("UNLINK", kind),), (kind,), True, wait=0.2),
            Heavy(f"expiry, {kind}", (("PEXPIRE", kind, 20),), (kind,), True, wait=0.5),
        ]
    return one


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only commands that begin with NAME")
    parser.add_argument("--members", type=int, default=1_000_000)
    options = parser.parse_args()
    prefixes = tuple(options.names) or ("",)
    chosen = [each for each in heavies(options.members) if each.name.startswith(prefixes)]
    print(f"| {options.members} members, held for milliseconds | final | redis | ratio |\n|---|---|---|---|")
    with ExitStack() as stack:
        both = [Measured(stack.enter_context(start()), options.members) for start in (final_server, redis_server)]
        both[1].ask(("DEBUG", "SET-ACTIVE-EXPIRE", 1))
        for each in both:
            base = 1000 * median(each.other.ping() for _ in range(1000))
            print(f"| nothing, {'final' if each is both[0] else 'redis'} | {base:.2f} | | |")
        for heavy in chosen:
            print_row(heavy.name, lambda measured, heavy=heavy: measured.measure(heavy), both)  # type: ignore[misc]
        for each in both:
            each.ask(("CONFIG", "SET", "maxmemory", 0))  # ends LRU and LFU
        if not options.names or "keys" in options.names:
            print_row("as many keys that expire at once", Measured.all_due_at_once, both)


def print_row(name: str, measure: Callable[[Measured], float], both: list[Measured]) -> None:
    """Measure both servers and print a row of the table."""
    ours, real = (1000 * measure(each) for each in both)
    print(f"| {name} | {ours:.2f} | {real:.2f} | {ours / real:.1f} |", flush=True)


if __name__ == "__main__":
    main()
