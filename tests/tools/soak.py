"""A long life: every kind of load at once, for hours if one likes; and then whether anything was left behind.

    python3 -m tests.tools.soak --minutes 60 [--seed N]

Ends with status 1 where something was: memory that goes on growing, a descriptor, a task, a thread, a client, an
acknowledged change that is gone, a stop that is not clean. A short run of it is a part of the tests.
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
STOP = float(os.environ.get("STOP_SECONDS", 2))  # for a clean stop: on a quiet machine it takes 0.1
FIRST_USE = 2000  # objects that are made when something is first used, such as Lua, and kept
KEYS = 20_000  # there are so many names
SPY = '''
"""On SIGUSR1, writes down what is alive in this process: tasks of the event loop, and objects after a collection.

What the C library keeps of freed memory is given back before, so that what is left is in use, or in between.
"""

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import sys


def tell(*_):
    gc.collect()
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    objects = len(gc.get_objects()) + gc.get_freeze_count()
    with open(os.environ["SPY"] + ".new", "w") as file:
        file.write(f"{len(asyncio.all_tasks())} {objects} {sys.getallocatedblocks()}")
    os.rename(os.environ["SPY"] + ".new", os.environ["SPY"])


signal.signal(signal.SIGUSR1, tell)
'''
MAY_FAIL = ("OOM", "WRONGTYPE", "EXECABORT", "ERR Background append only")
SCRIPT = "local n = redis.call('INCR', KEYS[1]); redis.call('EXPIRE', KEYS[1], 20); return n"


@dataclass
class Sample:
    """What was seen at a moment."""

    when: float  # seconds since the beginning
    resident: int  # bytes
    latencies: list[float]  # seconds, of the PINGs and GETs since the sample before
    requests: int  # that were answered by then


@dataclass
class Level:
    """What a server has, when nobody is connected but the one who asks, and nearly all keys are gone."""

    descriptors: int
    threads: int
    tasks: int
    objects: int
    blocks: int  # of memory, in use
    clients: int
    megabytes: float


@dataclass
class Report:
    """How it went."""

    seed: int
    samples: list[Sample] = field(default_factory=list)
    before: Level | None = None
    after: Level | None = None
    told: dict[str, str] = field(default_factory=dict)  # INFO at the end
    stop_seconds: float = 0.0
    status: int | None = None
    errors: str = ""
    problems: list[str] = field(default_factory=list)


# The load. Each kind is a function that does one thing; a worker calls them at random.


class Worker:
    """One who asks for all kinds of things, one after the other, over a connection of its own."""

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
        """Go on while the event is set."""
        while going.is_set():
            self.random.choices(self.kinds, self.weights)[0]()
        self.client.close()

    def ask(self, *args: bytes | str | int) -> object:
        """Ask; little of what can go wrong may."""
        answer = self.client.ask(*args)
        if isinstance(answer, Error) and not answer.startswith(MAY_FAIL):
            raise AssertionError(f"{args[0]!r} was answered with {answer}")
        return answer

    def key(self, kind: str) -> str:
        """One of the names."""
        return f"{kind}:{self.random.randrange(KEYS)}"

    def value(self) -> str:
        """Some text, mostly short."""
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
        """Somebody leaves: while it waits, watches, listens; in the middle of a request, or of a reply."""
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
    """Hear what is published, and what happens to keys."""
    client = connect()
    client.send(request("PSUBSCRIBE", "channel:*", "__keyevent@0__:expired"))
    while going.is_set() and not client.ended:
        client.more(time.monotonic() + 0.2)
        client.received = b""
    client.close()


def labor(port: int, seed: int, count: int) -> None:
    """Have so many workers at work, and two who listen, until the standard input ends; then print what they counted."""
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
    """One run: a server, its load, and what is seen of it."""

    def __init__(self, seconds: float, seed: int, workers: int, folder: Path) -> None:
        self.seconds, self.folder = seconds, folder
        self.report = Report(seed)
        self.data = folder / "data"
        (folder / "sitecustomize.py").write_text(SPY)
        self.spy = folder / "spy"
        self.server = self.start()
        self.pid = int(self.info(self.server.connect())["process_id"])
        self.report.before = self.level()
        command = [sys.executable, "-m", "tests.tools.soak", "--labor", *map(str, (self.server.port, seed, workers))]
        self.labor = subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, text=True)

    def start(self) -> Server:
        """Start the server, with what is configured; an option that it does not know yet is left out."""
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
        """A connection that is not remembered, as there are so many."""
        return Client(self.server.port, Patience(30))

    def info(self, client: Client) -> dict[str, str]:
        """What INFO says."""
        told = client.ask("INFO", "everything")
        assert isinstance(told, bytes)
        client.close()
        return dict(line.split(":", 1) for line in told.decode().split("\r\n") if ":" in line)

    def level(self) -> Level:
        """What the server has open and alive, once the connections that were closed have been forgotten."""
        deadline = time.monotonic() + 60
        while (clients := int(self.info(self.connect())["connected_clients"])) > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        self.spy.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR1)
        while not self.spy.exists():
            assert time.monotonic() < deadline + 30, "it does not tell what is alive"
            time.sleep(0.01)
        tasks, objects, blocks = map(int, self.spy.read_text().split())
        count = len(os.listdir(f"/proc/{self.pid}/fd"))
        threads = len(os.listdir(f"/proc/{self.pid}/task"))
        return Level(count, threads, tasks, objects, blocks, clients, round(self.resident() / (1 << 20), 1))

    def resident(self) -> int:
        """Bytes of memory that the server has."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def run(self, tell: Callable[[str], None]) -> Report:
        """Run it all."""
        self.measure(tell)
        counted, failed = map(ast.literal_eval, self.labor.communicate(timeout=60)[0].splitlines())
        self.report.problems += [f"a client failed: {error}" for error in failed]
        self.finish({f"acknowledged:{number}": count for number, count in enumerate(counted)})
        return self.report

    def measure(self, tell: Callable[[str], None]) -> None:
        """Be a polite client, and take a sample now and then."""
        client, began = self.connect(), time.monotonic()
        every = max(min(60.0, self.seconds / 10), 0.5)
        latencies: list[float] = []
        due = every
        while self.labor.poll() is None and (now := time.monotonic() - began) < self.seconds:
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
        """The last sample as a row of a table."""
        *_, last = self.report.samples
        before = self.report.samples[-2] if len(self.report.samples) > 1 else Sample(0, 0, [], 0)
        rate = (last.requests - before.requests) / (last.when - before.when)
        milliseconds = [1000 * each for each in last.latencies]
        p50, p99, most = median(milliseconds), quantiles(milliseconds, n=100)[98], max(milliseconds)
        return (
            f"| {last.when:.0f} | {rate:.0f} | {p50:.2f} | {p99:.2f} | {most:.1f} | {last.resident / (1 << 20):.1f} |"
        )

    def finish(self, counted: dict[str, int]) -> None:
        """The load is over: see what is left, stop, and see what comes back."""
        report = self.report
        report.told = self.info(self.connect())
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
        """Remove all other keys; not by DEL, after which the store's heap keeps their deadlines until they are due."""
        client = self.connect()
        self.judge_counts(client, counted)
        client.ask("FLUSHALL")
        for key, value in counted.items():
            client.ask("SET", key, value)
        client.close()

    def judge_counts(self, client: Client, counted: dict[str, int]) -> None:
        """What was acknowledged is there."""
        for key, value in counted.items():
            if (found := client.ask("GET", key)) not in ([None, b"0"] if not value else [str(value).encode()]):
                self.report.problems.append(f"{key} was {value}, and is {found!r}")

    def judge_levels(self) -> None:
        """Nothing is left over: no descriptor, no task, no thread, no client, and not much memory."""
        before, after = self.report.before, self.report.after
        assert before and after
        spare = 1  # the thread that syncs, and is kept
        more = {"descriptors": 0, "tasks": 0, "clients": 0, "threads": spare, "objects": FIRST_USE, "blocks": 20_000}
        for name in more:
            if getattr(after, name) > getattr(before, name) + more[name]:
                self.report.problems.append(f"{name}: {getattr(before, name)} before, {getattr(after, name)} after")

    def judge_memory(self) -> None:
        """The memory does not grow in the second half: a line through it is flat, within a tenth.

        What grows without `blocks` that are left over is no leak, but memory that is in pieces.
        """
        half = self.report.samples[len(self.report.samples) // 2 :]
        slope = linear_regression([each.when for each in half], [each.resident for each in half]).slope
        grown, level = slope * (half[-1].when - half[0].when), median(each.resident for each in half)
        self.report.told["slope"] = f"{slope * 3600 / (1 << 20):+.1f} MB an hour at {level / (1 << 20):.1f} MB"
        if self.seconds >= 300 and grown > level / 10:
            self.report.problems.append(f"memory grows: {self.report.told['slope']}")

    def close(self) -> None:
        """End what is still there."""
        self.labor.kill()
        self.labor.communicate()
        self.server.close()


def soak(seconds: float, seed: int, workers: int = 5, tell: Callable[[str], None] = lambda _: None) -> Report:
    """Run it for so long, and report."""
    with tempfile.TemporaryDirectory() as folder:
        run = Soak(seconds, seed, workers, Path(folder))
        try:
            return run.run(tell)
        finally:
            run.close()


def main() -> None:
    """Run it, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--labor", type=int, nargs=3, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.labor:
        labor(*told.labor)
        return
    print(f"seed {told.seed}")
    print("| s | requests/s | p50 ms | p99 ms | max ms | resident MB |\n|---|---|---|---|---|---|", flush=True)
    report = soak(60 * told.minutes, told.seed, tell=lambda row: print(row, flush=True))
    print(f"before  {report.before}\nafter   {report.after}")
    for name in ("slope", "total_commands_processed", "total_connections_received", "expired_keys", "evicted_keys",
                 "aof_rewrites", "keyspace_misses", "total_error_replies"):  # fmt: skip
        print(f"{name:26} {report.told.get(name)}")
    print(f"stopped with status {report.status} in {report.stop_seconds:.2f} s")
    sys.exit("\n".join(report.problems) or None)


if __name__ == "__main__":
    main()
