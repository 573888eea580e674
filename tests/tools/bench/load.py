"""The loads: a request, repeated by a number of clients with a pipeline of some depth, sent by redis-benchmark."""

from __future__ import annotations

import csv
import shutil
import subprocess
from dataclasses import dataclass, replace

from stages.harness.wire import request
from tests.tools.bench import own
from tests.tools.bench.servers import Running

RANDOM = "__rand_int__"  # redis-benchmark replaces this by a random number of twelve digits
LONGEST = 100_000  # bytes of an argument on a command line
TOO_LONG = 30.0  # seconds after which a server counts as stalled


@dataclass(frozen=True)
class Load:
    """A request, and how it is repeated. `VALUE` in its arguments is replaced by `size` bytes."""

    name: str
    args: tuple[str, ...]
    clients: int = 50
    pipeline: int = 1
    size: int = 64
    keys: int = 10_000

    def but(self, **changes: int) -> Load:
        """Return a copy with some changes."""
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Measured:
    """Requests a second; the median, the 99th percentile and the longest latency in milliseconds."""

    rate: float
    p50: float
    p99: float
    longest: float


def loads() -> dict[str, Load]:
    """Return the loads of the bench by their names."""
    texts = [
        *(f"GET key:{RANDOM}", f"SET key:{RANDOM} VALUE", f"INCR counter:{RANDOM}", "LPUSH list VALUE", "LPOP list"),
        *(f"HSET hash field:{RANDOM} VALUE", f"SADD set member:{RANDOM}", f"ZADD zset {RANDOM} member:{RANDOM}"),
    ]
    found = {text.split()[0]: Load(text.split()[0], tuple(text.split())) for text in texts}
    found["LRANGE 100"] = Load("LRANGE 100", ("LRANGE", "hundred", "0", "99"))
    found["MSET 10"] = Load("MSET 10", ("MSET", *(f"key:{RANDOM}", "VALUE") * 10))
    return found


def ask(server: Running, load: Load, requests: int) -> Measured | None:
    """Send this number of requests; return None if the server does not answer all of them in time."""
    if shutil.which("redis-benchmark") is None:
        return own.ask(server.port, load, requests, TOO_LONG)
    args = ["x" * load.size if arg == "VALUE" else arg for arg in load.args]
    given, how = "", []
    if load.args[-1] == "VALUE" and load.size > LONGEST:
        given, how = args.pop(), ["-x"]
    how += ["-p", str(server.port), "-c", str(load.clients), "-P", str(load.pipeline), "-n", str(requests)]
    command = ["redis-benchmark", *how, "-r", str(load.keys), "--csv", *args]
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=TOO_LONG)
    except subprocess.TimeoutExpired:
        return None
    csv.field_size_limit(1 << 30)
    rows = list(csv.reader(done.stdout.splitlines()))
    if done.returncode or len(rows) < 2:
        return None
    rate, _, _, p50, _, p99, longest = map(float, rows[-1][-7:])
    return Measured(rate, p50, p99, longest)


def fill(server: Running, command: str, number: int, each: str, key: str = "", at_once: int = 1000) -> None:
    """Fill a server with `number` entries by requests `command [key] entry entry …`, `at_once` entries in each.

    `each` has the arguments of an entry; `{n}` is its number, written as redis-benchmark writes numbers.
    """
    for start in range(0, number, at_once):
        numbers = range(start, min(start + at_once, number))
        args = [arg.format(n=f"{n:012}") for n in numbers for arg in each.split()]
        server.client.send(request(command, *([key] if key else []), *args))
        server.client.read_reply()


def fill_one_by_one(server: Running, args: str, number: int, at_once: int = 1000) -> None:
    """Fill a server with a request for each entry; the reply to each must be OK."""
    zeros = f"{0:012}"
    each = request(*args.format(n=zeros).split()).replace(zeros.encode(), b"%012d")
    for start in range(0, number, at_once):
        numbers = range(start, min(start + at_once, number))
        server.client.check(b"".join([each % n for n in numbers]), b"+OK\r\n" * len(numbers))
