"""A soak test: every kind of load at once, for hours if you want; afterwards it checks that nothing was leaked.

    python3 -m tests.tools.soak --minutes 60 [--seed N]

The status is 1 if memory keeps growing; if a file descriptor, task, thread or client is left; if an acknowledged change
is lost; or if the server does not stop cleanly. The tests include a short run.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib.util
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import linear_regression, median, quantiles

from stages.harness.course import ROOT
from stages.harness.server import Server
from stages.harness.target import find
from stages.harness.wire import Client, Error, Patience, request
from tests.support.machine import within
from tests.tools.rude import reset

OPTIONS = {
    "maxmemory": "5mb", "maxmemory-policy": "volatile-lru", "auto-aof-rewrite-min-size": "4mb",
    "notify-keyspace-events": "KEA", "client-output-buffer-limit": "pubsub 8mb 2mb 10",
}  # fmt: skip
STOP = float(os.environ.get("STOP_SECONDS", 2))  # for a clean stop: on an idle machine it takes 0.1
FIRST_USE = 2000  # objects that are made at the first use of something, such as Lua, and kept
KEYS = 20_000  # the number of names
SPY = '''
"""On SIGUSR1, counts the tasks of the event loop, the objects after a garbage collection, and the allocated blocks.

It first returns to the system what the C library keeps of freed memory.
"""

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import sys


def count(*_):
    gc.collect()
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    objects = len(gc.get_objects()) + gc.get_freeze_count()
    with open(os.environ["SPY"] + ".new", "w") as file:
        file.write(f"{len(asyncio.all_tasks())} {objects} {sys.getallocatedblocks()}")
    os.rename(os.environ["SPY"] + ".new", os.environ["SPY"])


signal.signal(signal.SIGUSR1, count)
'''
MAY_FAIL = ("OOM", "WRONGTYPE", "EXECABORT", "ERR Background append only")
SCRIPT = "local n = redis.call('INCR', KEYS[1]); redis.call('EXPIRE', KEYS[1], 20); return n"


@dataclass
class Sample:
    """A measurement at one time."""

    when: float  # seconds since the beginning
    resident: int  # bytes
    latencies: list[float]  # seconds, of the PINGs since the sample before
    requests: int  # answered by then


@dataclass
class Level:
    """What a server has with no client but the one that asks, and nearly no keys."""

    descriptors: int
    threads: int
    tasks: int
    objects: int
    blocks: int  # of memory, in use
    clients: int
    megabytes: float


@dataclass
class Report:
    """The results of a run."""

    seed: int
    samples: list[Sample] = field(default_factory=list)
    before: Level | None = None
    after: Level | None = None
    info: dict[str, str] = field(default_factory=dict)  # INFO at the end
    stop_seconds: float = 0.0
    status: int | None = None
    errors: str = ""
    problems: list[str] = field(default_factory=list)


# The load. Each kind is a method; a worker calls them at random.


class Worker:
    """A client that sends requests of all kinds, one after the other, over a connection of its own."""

    def __init__(self, number: int, connect: Callable[[], Client], seed: int) -> None:
        self.number, self.connect, self.random = number, connect, random.Random(f"{seed} {number}")
        self.client = connect()
        self.counted = 0  # increments of a counter that were acknowledged
        kinds = {
            self.string: 40, self.collection: 25, self.transaction: 6, self.publish: 6, self.block: 6,
            self.count: 6, self.look: 3, self.come_and_go: 4, self.pipeline: 2, self.rewrite: 0.02, self.rude: 0.5,
        }  # fmt: skip
        if importlib.util.find_spec("lupa"):
            kinds[self.script] = 6
        self.kinds, self.weights = list(kinds), list(kinds.values())

    def work(self, going: threading.Event) -> None:
        """Send requests while the event is set."""
        while going.is_set():
            self.random.choices(self.kinds, self.weights)[0]()
        self.client.close()

    def ask(self, *args: bytes | str | int) -> object:
        """Send a request and return its reply; raise if it is an error other than those of MAY_FAIL."""
        answer = self.client.ask(*args)
        if isinstance(answer, Error) and not answer.startswith(MAY_FAIL):
            raise AssertionError(f"{args[0]!r} was answered with {answer}")
        return answer

    def key(self, kind: str) -> str:
        """Return a random key of a kind."""
        return f"{kind}:{self.random.randrange(KEYS)}"

    def value(self) -> str:
        """Return a text, mostly a short one."""
        return "x" * int(self.random.expovariate(1 / 200))

    def string(self) -> None:
        key = self.key("string")
        if self.random.random() < 0.5:
            self.ask("SET", key, self.value(), "PX", self.random.randrange(1, 20_000))
        else:
            self.ask("GET", key)

    def collection(self) -> None:
        kind = self.random.choice(["list", "hash", "set", "zset"])
        key, member = self.key(kind), self.random.randrange(1000)
        args = {"list": ("RPUSH", key, member), "hash": ("HSET", key, member, self.value()),
                 "set": ("SADD", key, member), "zset": ("ZADD", key, member, member)}[kind]  # fmt: skip
        self.ask(*args)
        self.ask("EXPIRE", key, self.random.randrange(1, 30))
        if self.random.random() < 0.1:
            self.ask(self.random.choice(["DEL", "UNLINK", "TYPE"]), self.key(kind))

    def transaction(self) -> None:
        key = self.key("string")
        self.ask("WATCH", key)
        self.ask("MULTI")
        self.ask("SET", key, self.value(), "EX", 10)
        self.ask("GET", key)
        self.ask(self.random.choice(["EXEC", "EXEC", "DISCARD"]))

    def publish(self) -> None:
        self.ask("PUBLISH", f"channel:{self.random.randrange(10)}", self.value())

    def block(self) -> None:
        key = f"queue:{self.random.randrange(4)}"
        if self.random.random() < 0.6:
            self.ask("RPUSH", key, self.value())
            self.ask("EXPIRE", key, 60)
        else:
            self.ask("BLPOP", key, "queue:none", "0.02")

    def count(self) -> None:
        answer = self.ask("INCR", f"acknowledged:{self.number}")
        if isinstance(answer, int):
            self.counted = answer

    def look(self) -> None:
        args = self.random.choice([("SCAN", 0, "COUNT", 100), ("DBSIZE",), ("INFO",), ("CLIENT", "LIST"),
                                    ("RANDOMKEY",), ("OBJECT", "IDLETIME", self.key("string"))])  # fmt: skip
        self.ask(*args)

    def come_and_go(self) -> None:
        if self.random.random() < 0.5:
            self.client.close()
        else:
            reset(self.client.socket)
        self.client = self.connect()

    def pipeline(self) -> None:
        count = self.random.randrange(1, 300)
        self.client.send(request("SET", self.key("string"), self.value(), "EX", 5) * count)
        for _ in range(count):
            self.client.read_reply()

    def rewrite(self) -> None:
        self.ask("BGREWRITEAOF")

    def rude(self) -> None:
        """Reset a connection while it blocks, watches or listens, or in the middle of a request or a reply."""
        other = self.connect()
        other.send(self.random.choice([
            request("BLPOP", "queue:none", 0), request("WATCH", "string:1") + request("MULTI"),
            request("SUBSCRIBE", "channel:1"), request("MONITOR"), b"*2\r\n$3\r\nGET\r\n$100\r\nhal",
            request("KEYS", "*") * 5, request("INCR", "string:left") * 1000,
        ]))  # fmt: skip
        if self.random.random() < 0.5:
            other.more(time.monotonic() + 0.01)
        reset(other.socket)

    def script(self) -> None:
        self.ask("EVAL", SCRIPT, 1, self.key("script"))


def listen(connect: Callable[[], Client], going: threading.Event) -> None:
    """Subscribe to the channels and to keyspace events."""
    client = connect()
    client.send(request("PSUBSCRIBE", "channel:*", "__keyevent@0__:expired"))
    while going.is_set() and not client.ended:
        client.more(time.monotonic() + 0.2)
        client.received = b""
    client.close()


def run_workers(port: int, seed: int, count: int) -> None:
    """Run `count` workers and two subscribers until the standard input ends; then print what the workers counted."""
    going = threading.Event()
    going.set()
    failed: list[str] = []

    def connect() -> Client:
        return Client(port, Patience(30))

    def watched(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failed.append(repr(error))

    workers = [Worker(number, connect, seed) for number in range(count)]
    works = [partial(worker.work, going) for worker in workers] + [partial(listen, connect, going)] * 2
    threads = [threading.Thread(target=watched, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    going.clear()
    for thread in threads:
        thread.join()
    print([worker.counted for worker in workers])
    print(failed)


# The measurement


class Soak:
    """A run: a server, its load, and the measurements."""

    def __init__(self, seconds: float, seed: int, workers: int, folder: Path) -> None:
        self.seconds, self.folder = seconds, folder
        self.report = Report(seed)
        self.data = folder / "data"
        self.data.mkdir()
        (folder / "sitecustomize.py").write_text(SPY)
        self.spy = folder / "spy"
        self.server = self.start()
        self.pid = int(self.info(self.server.connect())["process_id"])
        self.report.before = self.level()
        command = [sys.executable, "-m", "tests.tools.soak", "--workers", *map(str, (self.server.port, seed, workers))]
        self.workers = subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, text=True)

    def start(self) -> Server:
        """Start the server, and set OPTIONS."""
        target = find("final", 5, Path())
        args = ("env", f"PYTHONPATH={ROOT}:{self.folder}", f"SPY={self.spy}")
        target = dataclasses.replace(target, command=(*args, *target.command))
        server = Server(target, Patience(30), self.folder, data=self.data, appendfsync="everysec")
        server.await_ready()
        client = server.connect()
        for name, value in OPTIONS.items():
            client.ask("CONFIG", "SET", name, value)
        client.close()
        return server

    def connect(self) -> Client:
        """Connect; the connection is not kept in a list, as there are thousands."""
        return Client(self.server.port, Patience(30))

    def info(self, client: Client) -> dict[str, str]:
        """Return the fields of INFO, and close the client."""
        told = client.ask("INFO", "everything")
        assert isinstance(told, bytes)
        client.close()
        return dict(line.split(":", 1) for line in told.decode().split("\r\n") if ":" in line)

    def level(self) -> Level:
        """Return what the server has, once it has seen the end of the closed connections."""
        deadline = time.monotonic() + 60
        while (clients := int(self.info(self.connect())["connected_clients"])) > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        self.spy.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR1)
        while not self.spy.exists():
            assert time.monotonic() < deadline + 30, "the server did not write its counts"
            time.sleep(0.01)
        tasks, objects, blocks = map(int, self.spy.read_text().split())
        count = len(os.listdir(f"/proc/{self.pid}/fd"))
        threads = len(os.listdir(f"/proc/{self.pid}/task"))
        return Level(count, threads, tasks, objects, blocks, clients, round(self.resident() / (1 << 20), 1))

    def resident(self) -> int:
        """Return the resident memory of the server in bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def run(self, tell: Callable[[str], None]) -> Report:
        """Run the load, then check what is left; return the report. `tell` gets each row of the table."""
        self.measure(tell)
        counted, failed = map(ast.literal_eval, self.workers.communicate(timeout=60)[0].splitlines())
        self.report.problems += [f"a client failed: {error}" for error in failed]
        self.finish({f"acknowledged:{number}": count for number, count in enumerate(counted)})
        return self.report

    def measure(self, tell: Callable[[str], None]) -> None:
        """Measure the latency of PING, and take a sample now and then."""
        client, began = self.connect(), time.monotonic()
        every = max(min(60.0, self.seconds / 10), 0.5)
        latencies: list[float] = []
        due = every
        while self.workers.poll() is None and (now := time.monotonic() - began) < self.seconds:
            if now >= due:
                requests = int(self.info(self.connect())["total_commands_processed"])
                self.report.samples.append(Sample(now, self.resident(), latencies, requests))
                tell(self.row())
                latencies, due = [], due + every
            asked = time.perf_counter()
            client.ask("PING")
            latencies.append(time.perf_counter() - asked)
            time.sleep(0.01)
        client.close()

    def row(self) -> str:
        """Return the last sample as a row of the table."""
        *_, last = self.report.samples
        before = self.report.samples[-2] if len(self.report.samples) > 1 else Sample(0, 0, [], 0)
        rate = (last.requests - before.requests) / (last.when - before.when)
        milliseconds = [1000 * each for each in last.latencies]
        p50, p99, most = median(milliseconds), quantiles(milliseconds, n=100)[98], max(milliseconds)
        return (
            f"| {last.when:.0f} | {rate:.0f} | {p50:.2f} | {p99:.2f} | {most:.1f} | {last.resident / (1 << 20):.1f} |"
        )

    def finish(self, counted: dict[str, int]) -> None:
        """After the load: check what is left, stop the server, start it again, and check its data."""
        report = self.report
        report.info = self.info(self.connect())
        self.forget_all_but(counted)
        report.after = self.level()
        self.judge_levels()
        with suppress(ValueError):
            self.judge_memory()
        parked, deaf = self.connect(), socket.create_connection(("127.0.0.1", self.server.port))
        parked.send(request("BLPOP", "queue:none", 0))
        self.connect().ask("SET", "large", "x" * 100_000)
        deaf.sendall(request("GET", "large") * 200)
        self.connect().ask("BGREWRITEAOF")
        began = time.monotonic()
        report.status = self.server.stop(signal.SIGTERM)
        report.stop_seconds = time.monotonic() - began
        report.errors = self.server.errors
        if report.status != 0 or report.errors or report.stop_seconds > within(STOP):
            report.problems.append(f"it stopped with {report.status} in {report.stop_seconds:.2f} s: {report.errors}")
        deaf.close()
        parked.close()
        self.server = self.start()
        client = self.connect()
        self.judge_counts(client, counted)
        client.close()
        self.server.stop()

    def forget_all_but(self, counted: dict[str, int]) -> None:
        """Remove all other keys, by FLUSHALL: after DEL the store keeps deadlines in its heap until they are due."""
        client = self.connect()
        self.judge_counts(client, counted)
        client.ask("FLUSHALL")
        for key, value in counted.items():
            client.ask("SET", key, value)
        client.close()

    def judge_counts(self, client: Client, counted: dict[str, int]) -> None:
        """Check that the acknowledged increments are there."""
        for key, value in counted.items():
            if (found := client.ask("GET", key)) not in ([None, b"0"] if not value else [str(value).encode()]):
                self.report.problems.append(f"{key} was {value}, and is {found!r}")

    def judge_levels(self) -> None:
        """Check that no descriptor, task, thread or client is left, and little memory."""
        before, after = self.report.before, self.report.after
        assert before and after
        spare = 1  # the thread that syncs, and is kept
        more = {"descriptors": 0, "tasks": 0, "clients": 0, "threads": spare, "objects": FIRST_USE, "blocks": 20_000}
        for name in more:
            if getattr(after, name) > getattr(before, name) + more[name]:
                self.report.problems.append(f"{name}: {getattr(before, name)} before, {getattr(after, name)} after")

    def judge_memory(self) -> None:
        """Check that memory grows by at most a tenth in the second half, by linear regression.

        If it grows although no more `blocks` are allocated, memory is fragmented, not leaked.
        """
        half = self.report.samples[len(self.report.samples) // 2 :]
        slope = linear_regression([each.when for each in half], [each.resident for each in half]).slope
        grown, level = slope * (half[-1].when - half[0].when), median(each.resident for each in half)
        self.report.info["slope"] = f"{slope * 3600 / (1 << 20):+.1f} MB an hour at {level / (1 << 20):.1f} MB"
        if self.seconds >= 300 and grown > level / 10:
            self.report.problems.append(f"memory grows: {self.report.info['slope']}")

    def close(self) -> None:
        """Kill the workers and the server."""
        self.workers.kill()
        self.workers.communicate()
        self.server.close()


def soak(seconds: float, seed: int, workers: int = 5, tell: Callable[[str], None] = lambda _: None) -> Report:
    """Run it for `seconds`, and return the report."""
    with tempfile.TemporaryDirectory() as folder:
        run = Soak(seconds, seed, workers, Path(folder))
        try:
            return run.run(tell)
        finally:
            run.close()


def main() -> None:
    """Run it, and print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--workers", type=int, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.workers:
        run_workers(*options.workers)
        return
    print(f"seed {options.seed}")
    print("| s | requests/s | p50 ms | p99 ms | max ms | resident MB |\n|---|---|---|---|---|---|", flush=True)
    report = soak(60 * options.minutes, options.seed, tell=lambda row: print(row, flush=True))
    print(f"before  {report.before}\nafter   {report.after}")
    for name in ("slope", "total_commands_processed", "total_connections_received", "expired_keys", "evicted_keys",
                 "aof_rewrites", "keyspace_misses", "total_error_replies"):  # fmt: skip
        print(f"{name:26} {report.info.get(name)}")
    print(f"stopped with status {report.status} in {report.stop_seconds:.2f} s")
    sys.exit("\n".join(report.problems) or None)


if __name__ == "__main__":
    main()
