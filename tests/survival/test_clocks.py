"""The wall clock jumps by an hour: a deadline is a point on it, and moves; a span of time inside the server does not.

The clock that jumps is Python's own, `time.time` and `time.time_ns`, replaced before the server starts by a
`sitecustomize` that adds what a file says. What goes on by `time.monotonic`, and by the timers of the loop, is real.
What was looked at, and does not depend on the wall clock: the backoff of rewrites and how long they take
(log/rewrite.py), how long a script may run (engine/scripts.py), the ticks of `hz`, of fsync and of rewrites
(net/server.py).
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from final.engine.evict import EMPTY
from stages.harness.course import ROOT
from stages.harness.server import Server
from stages.harness.target import find
from stages.harness.wire import Client, request
from tests.support.machine import within
from tests.support.oracle import serving
from tests.support.shared import Shared

HOUR = 3600
SOON = 2.0  # seconds: the limit for what takes some tenths of a second on a quiet machine
OK, PONG = b"+OK\r\n", b"+PONG\r\n"
JUMPY = '''
"""Adds to the wall clock the seconds that a file says."""

import os
import time

real_time, real_time_ns = time.time, time.time_ns


def shift():
    with open(os.environ["SHIFT"]) as file:
        return int(file.read())


time.time = lambda: real_time() + shift()
time.time_ns = lambda: real_time_ns() + shift() * 10**9
'''

both_ways = pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])


class Clock:
    """The wall clock of a server."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.jump(0)

    def jump(self, seconds: int) -> None:
        """From now on it is off by this."""
        new = self.path.with_suffix(".new")
        new.write_text(str(seconds))
        new.rename(self.path)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shared, Clock]]:
    """A server and its clock, which the tests share."""
    folder = tmp_path_factory.mktemp("jumpy")
    (folder / "sitecustomize.py").write_text(JUMPY)
    clock = Clock(folder / "shift")
    target = find("final", 5, Path())
    command = ("env", f"PYTHONPATH={ROOT}:{folder}", f"SHIFT={clock.path}", *target.command)
    with Shared(lambda: serving(dataclasses.replace(target, command=command), folder)) as shared:
        yield shared, clock


@pytest.fixture
def clock(started: tuple[Shared, Clock]) -> Clock:
    """The server's clock, which is right."""
    started[1].jump(0)
    return started[1]


@pytest.fixture
def server(started: tuple[Shared, Clock], clock: Clock) -> Server:
    """The server, empty, and as it was configured."""
    return started[0].clean()


def seconds_until_answered(client: Client) -> float:
    """How long the reply to what was sent is still to come; infinite, if that is more than SOON."""
    began = time.monotonic()
    client.socket.setblocking(True)
    client.socket.settimeout(within(SOON))
    try:
        client.received += client.socket.recv(1000)
    except TimeoutError:
        return float("inf")
    finally:
        client.socket.setblocking(False)
    client.read_reply()
    return time.monotonic() - began


def numbers(told: object) -> dict[str, str]:
    """What INFO or CLIENT INFO says."""
    assert isinstance(told, bytes)
    return dict(arg.replace("=", ":").split(":", 1) for arg in told.decode().split() if "=" in arg or ":" in arg)


# Points


@both_ways
def test_a_deadline_is_a_point_on_the_wall_clock(server: Server, clock: Clock, jump: int) -> None:
    client = server.connect()
    client.check(request("SET", "k", "v", "EX", HOUR // 2), OK)
    clock.jump(jump)
    left = client.ask("TTL", "k")
    assert left in ((-2,) if jump > 0 else (HOUR * 3 // 2, HOUR * 3 // 2 - 1))
    clock.jump(0)
    assert client.ask("EXISTS", "k") == int(jump < 0)


@both_ways
def test_what_is_told_of_the_time_is_told_by_the_wall_clock(server: Server, clock: Clock, jump: int) -> None:
    client = server.connect()
    clock.jump(jump)
    told = client.ask("TIME")
    assert isinstance(told, list) and abs(int(told[0]) - time.time() - jump) < 60


# Spans


@both_ways
def test_who_waits_for_a_key_waits_as_long_as_it_said(server: Server, clock: Clock, jump: int) -> None:
    client = server.connect()
    client.send(request("BLPOP", "nothing", "0.3"))
    server.connect().check(b"PING\r\n", PONG)
    clock.jump(jump)
    assert 0.1 < seconds_until_answered(client) < within(SOON)


@both_ways
def test_a_pause_is_as_long_as_it_was_said_to_be(server: Server, clock: Clock, jump: int) -> None:
    client = server.connect()
    client.check(request("CLIENT", "PAUSE", 300), OK)
    clock.jump(jump)
    client.send(b"PING\r\n")
    assert 0.1 < seconds_until_answered(client) < within(SOON)


@both_ways
def test_a_pause_that_has_begun_to_hold_someone_is_as_long_too(server: Server, clock: Clock, jump: int) -> None:
    client = server.connect()
    client.check(request("CLIENT", "PAUSE", 300), OK)
    client.send(b"PING\r\n")
    time.sleep(0.05)  # so that the request is there, and held
    clock.jump(jump)
    assert 0.05 < seconds_until_answered(client) < within(SOON)


def ended(connection: socket.socket, seconds: float) -> bool:
    """Whether the server hangs up on it within so many seconds."""
    connection.settimeout(seconds)
    with contextlib.suppress(TimeoutError):
        return connection.recv(1000) == b""
    return False


def test_a_client_that_has_just_asked_something_is_not_idle_for_an_hour(server: Server, clock: Clock) -> None:
    client = server.connect()
    assert client.ask("CONFIG", "SET", "timeout", 60) == "OK"
    with socket.create_connection(("127.0.0.1", server.port)) as other:
        other.sendall(b"PING\r\n")
        assert other.recv(100) == PONG
        clock.jump(HOUR)
        assert not ended(other, 1.5)  # it is looked at each second


def test_a_client_that_is_idle_does_not_stay_for_an_hour(server: Server, clock: Clock) -> None:
    client = server.connect()
    assert client.ask("CONFIG", "SET", "timeout", 1) == "OK"
    with socket.create_connection(("127.0.0.1", server.port)) as other:
        other.sendall(b"PING\r\n")
        assert other.recv(100) == PONG
        clock.jump(-HOUR)
        assert ended(other, 4)


@both_ways
def test_client_list_tells_how_long_one_was_there_and_idle(server: Server, clock: Clock, jump: int) -> None:
    client, other = server.connect(), server.connect()
    other.ask("CLIENT", "SETNAME", "other")
    clock.jump(jump)
    told = client.ask("CLIENT", "LIST")
    assert isinstance(told, bytes)
    (line,) = (line for line in told.splitlines() if b" name=other " in line)
    assert 0 <= int(numbers(line)["age"]) < 60 and 0 <= int(numbers(line)["idle"]) < 60


@both_ways
def test_info_tells_for_how_long_the_server_has_run(server: Server, clock: Clock, jump: int) -> None:
    clock.jump(jump)
    assert 0 <= int(numbers(server.connect().ask("INFO", "server"))["uptime_in_seconds"]) < 600


@both_ways
def test_info_tells_how_many_commands_there_were_in_a_second(server: Server, clock: Clock, jump: int) -> None:
    client = server.connect()
    time.sleep(0.3)  # so that there are a few samples from before
    clock.jump(jump)
    found = []
    began = time.monotonic()
    for _ in range(10):
        for _ in range(20):
            client.ask("PING")
        time.sleep(0.05)
        found.append(int(numbers(client.ask("INFO", "stats"))["instantaneous_ops_per_sec"]))
    rate = 10 * 21 / (time.monotonic() - began)
    assert max(found) < 20 * rate and min(found[5:]) > rate / 20, (rate, found)


@both_ways
def test_how_long_a_key_was_idle_is_no_matter_of_the_wall_clock(server: Server, clock: Clock, jump: int) -> None:
    client = server.connect()
    client.ask("SET", "k", "v")
    assert client.ask("OBJECT", "IDLETIME", "k") == 0
    clock.jump(jump)
    time.sleep(1.05)
    idle = client.ask("OBJECT", "IDLETIME", "k")
    assert isinstance(idle, int) and 1 <= idle < 60


@both_ways
def test_how_often_a_key_is_used_is_no_matter_of_the_wall_clock(server: Server, clock: Clock, jump: int) -> None:
    client = server.connect()
    client.ask("CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "allkeys-lfu")
    client.ask("SET", "k", "v")
    before = client.ask("OBJECT", "FREQ", "k")
    assert before == 5
    clock.jump(jump)
    assert client.ask("OBJECT", "FREQ", "k") == before


@both_ways
def test_what_was_used_last_is_kept_longest_whatever_the_clock_said_then(
    server: Server, clock: Clock, jump: int
) -> None:
    client = server.connect()
    limit = EMPTY + 100_000
    client.ask("CONFIG", "SET", "maxmemory", limit, "maxmemory-policy", "allkeys-lru", "maxmemory-samples", 64)
    for number in range(10):
        client.ask("SET", f"old{number}", "v" * 5000)
    clock.jump(jump)
    time.sleep(0.01)
    for number in range(10):
        client.ask("SET", f"new{number}", "v" * 5000)
        client.ask("SET", f"new{number}", "v" * 5000)
    for number in range(6):
        client.ask("SET", f"more{number}", "v" * 5000)
    assert client.ask("EXISTS", *(f"new{number}" for number in range(10))) == 10
    assert client.ask("EXISTS", *(f"old{number}" for number in range(10))) in (1, 2)


def test_over_the_soft_limit_of_output_one_may_be_for_real_seconds(server: Server, clock: Clock) -> None:
    client = server.connect()
    assert client.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 1mb 60") == "OK"
    with socket.create_connection(("127.0.0.1", server.port)) as deaf:
        deaf.sendall(request("SUBSCRIBE", "channel"))
        deaf.recv(1000)
        for _ in range(100):
            assert client.ask("PUBLISH", "channel", "x" * 100_000) == 1
        clock.jump(HOUR)
        end = time.monotonic() + 1.3
        while time.monotonic() < end:
            assert client.ask("PUBLISH", "channel", "x") == 1
            time.sleep(0.05)
