"""Measures for how long one command on a collection of a million delays other clients, in final/ and in Redis.

    python3 -m tests.tools.held_loop [--members 1000000] [--rounds 3] [NAME ...]

One client sends the command, and right after it another client sends a PING: the time until its reply is measured. The
first client does not read its reply meanwhile, so the time to read it is not included. Printed are milliseconds, the
median of the rounds; and those of processor time that the server has used for both, which do not depend on what else
the machine does.
"""

from __future__ import annotations

import argparse
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from stages.harness.server import Server
from stages.harness.wire import request
from tests.support.oracle import final_server, redis_server

Args = tuple[str | int, ...]
Held = tuple[float, float]  # seconds: until the reply, and of processor time
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
        about = server.connect().ask("INFO", "server")
        assert isinstance(about, bytes)
        self.pid = int(about.partition(b"process_id:")[2].partition(b"\r")[0])
        self.used = self.processor_time()

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

    def processor_time(self) -> float:
        """Return the seconds of processor time that its main thread has used."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9

    def ping(self) -> Held:
        """Send a PING from the other client; return how long it took."""
        waited, used = self.other.ping(), self.used
        self.used = self.processor_time()
        return waited, self.used - used

    def longest_ping(self, seconds: float) -> Held:
        """Send a PING, and more of them for so long; return the longest times."""
        pings, end = [self.ping()], time.perf_counter() + seconds
        while time.perf_counter() < end:
            pings.append(self.ping())
        waited, used = zip(*pings, strict=True)
        return max(waited), max(used)

    def measure(self, heavy: Heavy) -> Held:
        """Return how long a PING right after the command takes, or the longest of the PINGs in `heavy.wait`."""
        self.fill(heavy.needs)
        self.ping()
        self.speaker.send(*heavy.args)
        held = self.longest_ping(heavy.wait)
        self.speaker.drain()
        if heavy.spoils:
            self.held.clear()
        return held

    def all_due_at_once(self) -> Held:
        """Let `count` keys expire at the same time; return how long the longest PING takes after that."""
        due = int((time.time() + 5 + self.count / 15_000) * 1000)
        self.fill((f"due {due}",))
        left = due / 1000 - time.time()
        assert left > 0, "it took too long to fill"
        time.sleep(left)
        self.ping()
        held = self.longest_ping(8)
        self.held.clear()
        return held


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
        Heavy("OBJECT IDLETIME", (("OBJECT", "IDLETIME", "key:1"),), ("strings",)),
        Heavy("FLUSHALL", (("FLUSHALL",),), ("strings",), True, wait=0.3),
        Heavy("FLUSHALL ASYNC", (("FLUSHALL", "ASYNC"),), ("strings",), True, wait=0.3),
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
        Heavy("SSCAN 0 COUNT 1000", (("SSCAN", "set", 0, "COUNT", 1000),), ("set",)),
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
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    prefixes = tuple(options.names) or ("",)
    chosen = [each for each in heavies(options.members) if each.name.startswith(prefixes)]
    print(f"| {options.members} members, held for milliseconds | final | redis | processor: final | redis |")
    print("|---|--:|--:|--:|--:|")
    with ExitStack() as stack:
        both = [Measured(stack.enter_context(start()), options.members) for start in (final_server, redis_server)]
        both[1].ask(("DEBUG", "SET-ACTIVE-EXPIRE", 1))
        print_row("nothing", lambda measured: measured.longest_ping(0), both, 1000)
        for heavy in chosen:
            print_row(heavy.name, lambda measured, heavy=heavy: measured.measure(heavy), both, options.rounds)  # type: ignore[misc]
        for each in both:
            each.ask(("CONFIG", "SET", "maxmemory", 0))  # ends LRU and LFU
        if not options.names or "keys" in options.names:
            print_row("as many keys that expire at once", Measured.all_due_at_once, both, 1)


def print_row(name: str, measure: Callable[[Measured], Held], both: list[Measured], rounds: int) -> None:
    """Measure both servers in some rounds, and print a row of the table."""
    held = [[measure(each) for _ in range(rounds)] for each in both]
    waited, used = zip(*([median(column) for column in zip(*each, strict=True)] for each in held), strict=True)
    print(f"| {name} | {' | '.join(f'{1000 * seconds:.2f}' for seconds in (*waited, *used))} |", flush=True)


if __name__ == "__main__":
    main()
