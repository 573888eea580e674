"""What was acknowledged is kept: through kill -9 under load and power cuts, again and again, on one log.

`ROUNDS=300 pytest tests/survival/test_crash.py` has 300 crashes in each test; `SEED=…` repeats the dice, though not
the moments.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from stages.harness.server import Server
from stages.harness.target import Target, find
from stages.harness.wire import Client, Error, Mismatch, Patience, parse, request
from tests.support.disk import Disk, forget, on
from tests.support.folders import flush, log_in, opened
from tests.support.stages_copy import Note

SEED = int(os.environ.get("SEED") or random.randrange(10**6))
ROUNDS = int(os.environ.get("ROUNDS", 0))
WRITERS = 3
DEADLINE = 60.0  # seconds for what should take a fraction of that
STEPS = 50  # the fewest that are acknowledged between two crashes
STALE = 2.0  # seconds after which `everysec` has seen a change onto the disk
LONG = 300_000  # bytes of a value that a kill can tear
Pipeline = list[bytes]


# What is written, and what must be there


@dataclass
class Book:
    """What one client does, step by step, and what is known of it.

    A step is a transaction or one request, and always leaves another state. Where there are no lists and no
    transactions, as in stage 05, it is a simpler one.
    """

    name: str
    simple: bool
    safe: int = 0  # steps that nothing can undo …
    state: dict[str, Any] = field(default_factory=dict)  # … and the data after them
    times: list[float] = field(default_factory=list)  # when each step after those was acknowledged
    sent: int = 0  # steps that were begun

    @property
    def acknowledged(self) -> int:
        """So many steps are done, the server has said."""
        return self.safe + len(self.times)

    def key(self, what: str) -> str:
        """One of this client's keys."""
        return f"{what}:{self.name}"

    def step(self, number: int) -> tuple[Pipeline, bytes | None]:
        """The requests of a step, and its last reply, where that is known."""
        key = self.key
        match number % 4:
            case 0:
                return [request("SET", key("text"), self.text(number))], b"+OK\r\n"
            case 1:
                return [request("INCR", key("count"))], b":%d\r\n" % (number // 4 + 1)
            case 2 if self.simple:
                return [request("HSET", key("hash"), number % 50, number)], None
            case 2 if number % 100 == 2:
                return [request("DEL", key("list"))], None
            case 2:
                return [request("RPUSH", key("list"), number)], None
            case _ if self.simple:
                return [request("APPEND" if number % 100 != 3 else "SET", key("more"), f"{number},")], None
        both = [request("SET", key("one"), number), request("SET", key("other"), number)]
        return [request("MULTI"), *both, request("EXEC")], b"*2\r\n+OK\r\n+OK\r\n"

    def text(self, number: int) -> str:
        """What a step sets the text to."""
        return f"{number}:" + "x" * (LONG if number % 388 == 0 else number % 50)

    def apply(self, state: dict[str, Any], number: int) -> None:
        """Do a step to the data."""
        match number % 4:
            case 0:
                state["text"] = self.text(number).encode()
            case 1:
                state["count"] = b"%d" % (number // 4 + 1)
            case 2 if self.simple:
                state["hash"] = {**state.get("hash", {}), b"%d" % (number % 50): b"%d" % number}
            case 2:
                state["list"] = [*state.get("list", []), b"%d" % number] if number % 100 != 2 else []
            case _ if self.simple:
                state["more"] = (b"" if number % 100 == 3 else state.get("more", b"")) + b"%d," % number
            case _:
                state["one"] = state["other"] = b"%d" % number

    def found(self, client: Client) -> dict[str, Any]:
        """The data of this client, as a server has them."""
        state: dict[str, Any] = {}
        for what in ("text", "count", *(["more"] if self.simple else ["one", "other"])):
            state[what] = client.ask("GET", self.key(what))
        if self.simple:
            pairs: Any = client.ask("HGETALL", self.key("hash"))
            state["hash"] = dict(zip(pairs[::2], pairs[1::2], strict=True))
        else:
            state["list"] = client.ask("LRANGE", self.key("list"), 0, -1)
        return {what: value for what, value in state.items() if value}

    def check(self, client: Client, least: int, safe: bool = True) -> None:
        """The data are those after some of the steps that were sent, in their order, and after `least` at the least.

        These are done, we have seen it. They are `safe` where the power was cut, or is never cut.
        """
        found, state, at = self.found(client), dict(self.state), self.safe
        while at < least or found != {what: value for what, value in state.items() if value}:
            assert at < self.sent, (
                f"client {self.name} finds the data after none of {least} to {self.sent} steps, but "
                f"{ ({what: shown(value) for what, value in found.items()}) }"
            )
            self.apply(state, at)
            at += 1
        self.sent = at
        self.times = [*self.times, *[time.monotonic()] * self.sent][: at - self.safe]
        if safe:
            self.safe, self.state, self.times = at, state, []


def shown(value: Any) -> str:
    """A value, in short."""
    text = repr(value)
    return text if len(text) < 80 else f"{text[:30]} … {text[-30:]}"


class Writer(threading.Thread):
    """Does the steps of a book, some of them in pipelines, until the server is gone."""

    def __init__(self, server: Server, book: Book, dice: random.Random) -> None:
        super().__init__(daemon=True)
        self.client, self.book, self.dice = server.connect(), book, dice
        self.client.patience = Patience(DEADLINE)
        self.problem = ""
        self.longest = 0.0  # seconds for a reply
        self.start()

    def run(self) -> None:
        """Write; the end of the connection is the end."""
        with contextlib.suppress(Mismatch, OSError):
            while not self.problem:
                self.pipeline(self.dice.choice([1, 1, 1, 2, 20]))

    def pipeline(self, count: int) -> None:
        """Do some steps at once."""
        first, began = self.book.sent, time.monotonic()
        steps = [self.book.step(number) for number in range(first, first + count)]
        self.book.sent += count
        self.client.send(b"".join(each for requests, _ in steps for each in requests))
        for requests, expected in steps:
            replies = [self.client.read_reply() for _ in requests]
            if (expected or replies[-1]) != replies[-1] or any(isinstance(parse(each)[0], Error) for each in replies):
                self.problem = f"{requests} was answered with {replies}"
                return
            self.book.times.append(time.monotonic())
        self.longest = max(self.longest, time.monotonic() - began)


class Rewriter(threading.Thread):
    """Has the log rewritten, again and again, until the server is gone."""

    def __init__(self, server: Server, dice: random.Random) -> None:
        super().__init__(daemon=True)
        self.client, self.dice, self.over = server.connect(), dice, threading.Event()
        self.client.patience = Patience(DEADLINE)
        self.begun = 0  # the next one begins only when the one before is over
        self.start()

    def run(self) -> None:
        """Ask, and ask again after a while."""
        with contextlib.suppress(Mismatch, OSError):
            while not self.over.wait(self.dice.uniform(0, 0.1)):
                self.begun += not isinstance(self.client.ask("BGREWRITEAOF"), Error)


def await_that(condition: Callable[[], bool], what: str) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not in {DEADLINE} seconds"
        time.sleep(0.002)


@contextlib.contextmanager
def running(kind: type[Server], target: Target, scratch: Path, data: Path, policy: str) -> Iterator[Server]:
    """Have a server run meanwhile."""
    server = kind(target, Patience(DEADLINE), scratch, data=data, appendfsync=policy)
    try:
        server.await_ready()
        yield server
    finally:
        server.close()


def crash(
    server: Server,
    books: list[Book],
    dice: random.Random,
    rewrites: int,
    until: Callable[[list[Writer]], bool] = lambda writers: True,
) -> list[Writer]:
    """Write until a number of steps are acknowledged, so many rewrites begun, and it is so; then kill the server."""
    steps = sum(book.acknowledged for book in books) + dice.randrange(STEPS, 500)
    writers = [Writer(server, book, random.Random(dice.random())) for book in books]
    rewriter = Rewriter(server, dice) if rewrites else None

    def enough() -> bool:
        begun = rewriter.begun if rewriter else 0
        return sum(book.acknowledged for book in books) > steps and begun >= rewrites and until(writers)

    await_that(lambda: any(each.problem for each in writers) or enough(), "the load")
    server.kill()
    if rewriter:
        rewriter.over.set()
        rewriter.join(DEADLINE)
    for writer in writers:
        writer.join(DEADLINE)
        assert not writer.is_alive() and not writer.problem, writer.problem
    return writers


def books_for(target: Target) -> list[Book]:
    """Nothing is done yet."""
    return [Book(str(number), simple=not target.is_final) for number in range(WRITERS)]


# kill -9


@pytest.mark.timeout(5 * DEADLINE + 10 * ROUNDS)
@pytest.mark.parametrize(
    "policy", ["always", *(pytest.param(each, marks=pytest.mark.slow) for each in ("everysec", "no"))]
)
@pytest.mark.parametrize("name", ["final", "reference"])
def test_nothing_acknowledged_is_lost_when_the_server_is_killed(
    tmp_path: Path, name: str, policy: str, note: Note
) -> None:
    target = find(name, 5, Path())
    dice, books = random.Random(SEED), books_for(target)
    data = tmp_path / "data"
    data.mkdir()
    rounds = ROUNDS or (7 if target.is_final else 2)
    torn = under_way = 0
    for number in range(rounds + 1):
        with running(Server, target, tmp_path, data, policy) as server:
            torn += "cut off at byte" in server.errors
            least = {book.name: book.acknowledged for book in books}
            check_all(server, books, least, True, f"SEED={SEED}, after {number} crashes")
            if number < rounds:
                crash(server, books, dice, rewrites=number % 3 * target.is_final)
        under_way += any(data.rglob("temp-rewriteaof-*"))
    total = sum(book.safe for book in books)
    note(
        f"kill -9, {target.name}, {policy}: {rounds} crashes, {total} steps kept; "
        f"{torn} logs were torn, {under_way} times a base was half written"
    )
    assert total > STEPS * rounds
    if target.is_final:
        assert list(data.rglob("*.base.aof")), "the log was never rewritten"


# Power cuts


@pytest.mark.timeout(5 * DEADLINE + 10 * ROUNDS)
@pytest.mark.parametrize(
    "policy", ["everysec", *(pytest.param(each, marks=pytest.mark.slow) for each in ("always", "no"))]
)
def test_a_power_cut_takes_no_more_than_the_policy_says(tmp_path: Path, policy: str, note: Note) -> None:
    """Some crashes are mere kills, after which a server goes on with what may not be on the disk yet."""
    target = find("final", 5, Path())
    dice, books = random.Random(SEED), books_for(target)
    disk = Disk(tmp_path / "disk")
    disk.begin()
    rounds = ROUNDS or {"always": 6, "everysec": 2, "no": 4}[policy]
    lost, least, cut = 0, {book.name: 0 for book in books}, True
    for number in range(rounds + 1):
        with running(on(disk), target, tmp_path, disk.root, policy) as server:
            lost += check_all(server, books, least, cut, f"SEED={SEED}, after {number} crashes")
            if number == rounds:
                break
            ready = time.monotonic()
            cut = number == rounds - 1 or dice.random() < 0.7
            late = ready + dice.uniform(0, 2 * STALE) * (policy == "everysec")

            def some_is_promised(writers: list[Writer], ready: float = ready, late: float = late) -> bool:
                promises = (promised(book, policy, disk, writers, ready) > book.safe for book in books)
                return time.monotonic() > late and (policy == "no" or any(promises))

            writers = crash(server, books, dice, number % 3, some_is_promised)
        least = {book.name: promised(book, policy if cut else "", disk, writers, ready) for book in books}
        if cut:
            disk.cut(dice if dice.random() < 0.6 else None)
            forget(disk)
    note(f"power cut, {policy}: {rounds} crashes, {sum(book.safe for book in books)} steps kept, {lost} taken")
    assert lost == 0 or policy != "always"


def check_all(server: Server, books: list[Book], least: dict[str, int], safe: bool, when: str) -> int:
    """Check all books; give how many steps that were acknowledged are not there."""
    lost = 0
    for book in books:
        before = book.acknowledged
        try:
            book.check(server.connect(), least[book.name], safe)
        except AssertionError as error:
            raise AssertionError(f"{when}: {error}") from error
        lost += max(0, before - book.acknowledged)
    return lost


def promised(book: Book, policy: str, disk: Disk, writers: list[Writer], ready: float) -> int:
    """How many steps of a book must have outlived a power cut under this policy, or, without one, a kill.

    Under `everysec` what was acknowledged two seconds ago, or so much longer as an fsync or a reply took at worst: on
    a busy machine two seconds may pass in which the server does not run. Before it was `ready` it could do nothing.
    """
    if policy in ("always", ""):
        return book.acknowledged
    if policy == "no":
        return book.safe
    now = max(book.times, default=ready)
    slow = max((line["ended"] - line["began"] for line in disk.fsyncs()), default=0.0)
    slow += max(writer.longest for writer in writers)
    return book.safe + sum(max(when, ready) < now - STALE - slow for when in book.times)


def test_what_a_killed_server_left_is_seen_onto_the_disk_before_the_log_goes_on_in_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = opened(tmp_path, appendfsync="everysec")
    killed.ask("SET k v")
    flush(killed)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    peer = opened(tmp_path, appendfsync="everysec")
    assert peer.engine.log
    peer.engine.log.branch()
    assert log_in(tmp_path).stat().st_ino in synced
