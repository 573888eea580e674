"""Bad clients: what they may do, and what others notice of it. As the real Redis does, asked in the same words."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from stages.harness.server import Server
from stages.harness.target import Target, find
from stages.harness.wire import Client, request
from tests.support.machine import busy_time_of, within
from tests.support.observing import await_true, info_number
from tests.support.oracle import final_server, redis_server, redis_target, serving
from tests.support.outside import STARTS, replies_in_own_network
from tests.support.shared import Shared
from tests.support.stages_copy import Note
from tests.tools.rude import BIG, RUDE, compared, p99, reset, row
from tests.tools.soak import STOP

Start = Callable[..., Any]
OK, PING, PONG = b"+OK\r\n", b"PING\r\n", b"+PONG\r\n"
either = pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
REFUSED = "ERR CONFIG SET failed (possibly related to argument '{}') - "
SECONDS = float(os.environ.get("SECONDS_OF_RUDENESS", 0.2))  # of measurement, for each rude client


@pytest.fixture(scope="module")
def shared() -> Iterator[dict[str, Shared]]:
    with Shared(final_server) as ours, Shared(redis_server) as real:
        yield {"final": ours, "redis": real}


@pytest.fixture
def running(shared: dict[str, Shared]) -> dict[str, Server]:
    """One of each, without a log, without data, without clients."""
    return {name: each.clean() for name, each in shared.items()}


def descriptors(client: Client) -> int:
    """How many files and sockets the server has open."""
    folder = Path(f"/proc/{info_number(client, 'process_id')}/fd")
    if not folder.exists():
        pytest.skip("which files a process has open is read from /proc")
    return len(list(folder.iterdir()))


def deaf(server: Server, name: str) -> socket.socket:
    """A connection, with a name, whose owner is slow to take anything: the system keeps little of it on its way."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(request("CLIENT", "SETNAME", name))
    assert connection.recv(100) == OK
    return connection


def there(observer: Client, name: str) -> bool:
    """Whether a client of this name is connected."""
    told = observer.ask("CLIENT", "LIST")
    assert isinstance(told, bytes)
    return f" name={name} ".encode() in told


# One that goes


def parked(connection: socket.socket) -> None:
    connection.sendall(request("BLPOP", "left", "left-too", 0))


def watching(connection: socket.socket) -> None:
    connection.sendall(request("WATCH", "left") + request("MULTI") + request("SET", "left", "v"))


def listening(connection: socket.socket) -> None:
    connection.sendall(request("SUBSCRIBE", "left") + request("PSUBSCRIBE", "left*"))


def monitoring(connection: socket.socket) -> None:
    connection.sendall(request("MONITOR"))


def in_a_pipeline(connection: socket.socket) -> None:
    connection.sendall(request("INCR", "pipelined") * 10_000 + b"*2\r\n$3\r\nGET\r\n$10\r\nhal")


def in_a_large_reply(connection: socket.socket) -> None:
    connection.sendall(request("GET", "large") * 20)
    assert connection.recv(1000).startswith(b"$")


def in_a_large_request(connection: socket.socket) -> None:
    connection.sendall(b"*3\r\n$3\r\nSET\r\n$4\r\nleft\r\n$100000000\r\n" + b"x" * 5_000_000)


GOING = (parked, watching, listening, monitoring, in_a_pipeline, in_a_large_reply, in_a_large_request)


@pytest.mark.parametrize("leave", [socket.socket.close, reset], ids=["closing", "resetting"])
@pytest.mark.parametrize("busy", GOING, ids=lambda each: each.__name__)
@pytest.mark.parametrize("which", STARTS)
def test_one_who_goes_leaves_nothing_behind(running: dict[str, Server], which: str, busy: Any, leave: Any) -> None:
    server = running[which]
    observer = server.connect()
    observer.ask("SET", "large", "x" * 1_000_000)
    await_true(lambda: info_number(observer, "connected_clients") == 1, "those of the test before have gone")
    before = descriptors(observer)
    for _ in range(3):
        connection = socket.create_connection(("127.0.0.1", server.port), 60)
        busy(connection)
        assert observer.ask("ECHO", "fine") == b"fine"
        leave(connection)
    await_true(lambda: info_number(observer, "connected_clients") == 1, "it has been forgotten")
    await_true(lambda: descriptors(observer) == before, "its descriptor has been given back")
    assert info_number(observer, "blocked_clients") == 0
    assert observer.ask("PUBLISH", "left", "anyone?") == 0
    assert observer.ask("RPUSH", "left", "a", "b") == 2
    assert observer.ask("LRANGE", "left", 0, -1) == [b"a", b"b"]
    observer.ask("DEL", "left")
    observer.close()
    assert server.errors == ""


# One that does not read


@either
def test_the_limits_of_output_are_said_as_redis_says_them(start: Start) -> None:
    name = "client-output-buffer-limit"
    usual = b"normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
    with start() as server:
        client = server.connect()
        assert client.ask("CONFIG", "GET", name) == [name.encode(), usual]
        for value, refusal in (
            ("normal 0 0", "Wrong number of arguments in buffer limit configuration."),
            ("foo 1 1 1", "Invalid client class specified in buffer limit configuration."),
            ("master 0 0 0", "Invalid client class specified in buffer limit configuration."),
            *(
                (f"normal {wrong}", "Error in hard, soft or soft_seconds setting in buffer limit configuration.")
                for wrong in ("a b c", "-1 0 0", "1 2 -3", "1 2 3.5", "1k 2kb 3m")
            ),
            ("normal 1 1 1 foo 1 1 1", "Invalid client class specified in buffer limit configuration."),
        ):
            assert client.ask("CONFIG", "SET", name, value) == REFUSED.format(name) + refusal, value
        assert client.ask("CONFIG", "GET", name) == [name.encode(), usual]
        for value, after in (
            ("pubsub 1mb 512k 1", "normal 0 0 0 slave 268435456 67108864 60 pubsub 1048576 512000 1"),
            ("NORMAL 5 5 5 normal 7 8 9", "normal 7 8 9 slave 268435456 67108864 60 pubsub 1048576 512000 1"),
            ("replica 1 2 3", "normal 7 8 9 slave 1 2 3 pubsub 1048576 512000 1"),
            ("", "normal 7 8 9 slave 1 2 3 pubsub 1048576 512000 1"),
        ):
            assert client.ask("CONFIG", "SET", name, value) == "OK", value
            assert client.ask("CONFIG", "GET", name) == [name.encode(), after.encode()], value


def publish(client: Client) -> None:
    client.ask("PUBLISH", "channel", "x" * 100_000)


def ask_something(client: Client) -> None:
    client.ask("ECHO", "x" * 100_000)


@pytest.mark.parametrize(
    ("kind", "listen", "say"),
    [
        ("pubsub", "SUBSCRIBE channel", publish),
        ("pubsub", "PSUBSCRIBE c*", publish),
        ("normal", "MONITOR", ask_something),
    ],
    ids=["subscriber", "pattern", "monitor"],
)
@either
def test_one_who_listens_and_takes_less_than_the_hard_limit_allows_is_hung_up_on_at_once(
    start: Start, kind: str, listen: str, say: Callable[[Client], None]
) -> None:
    with start() as server:
        client = server.connect()
        assert client.ask("CONFIG", "SET", "client-output-buffer-limit", f"{kind} 1mb 0 0") == "OK"
        with deaf(server, "deaf") as connection:
            connection.sendall(request(*listen.split()))
            connection.recv(1000)
            for _ in range(5):
                say(client)
            assert there(client, "deaf"), "it was hung up on below the limit"
            for _ in range(195):  # 20 MB: what the system itself keeps on its way is at most 6
                say(client)
                if not there(client, "deaf"):
                    break
            assert not there(client, "deaf")
        assert client.ask("PUBLISH", "channel", "anyone?") == 0


@either
def test_over_the_soft_limit_one_may_be_for_some_seconds(start: Start) -> None:
    with start() as server:
        client = server.connect()
        assert client.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 1mb 1") == "OK"
        with deaf(server, "deaf") as connection:
            connection.sendall(request("SUBSCRIBE", "channel"))
            connection.recv(1000)
            began = time.monotonic()
            for _ in range(100):
                publish(client)
            assert there(client, "deaf")
            await_true(lambda: not there(client, "deaf"), "it has been hung up on")
            assert time.monotonic() - began > 1


@either
def test_one_who_came_under_the_soft_limit_again_stays(start: Start) -> None:
    with start() as server:
        client = server.connect()
        assert client.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 1mb 1") == "OK"
        with deaf(server, "slow") as connection:
            connection.sendall(request("SUBSCRIBE", "channel"))
            connection.recv(1000)
            for _ in range(100):
                publish(client)
            left = 100 * len(request("message", "channel", "x" * 100_000))
            while left > 0:
                left -= len(connection.recv(1 << 20))
            end = time.monotonic() + 1.6
            while time.monotonic() < end:
                publish(client)
                connection.recv(1 << 17)
                assert there(client, "slow")
                time.sleep(0.1)


@either
def test_one_who_asks_and_does_not_read_meets_the_limit_of_its_kind(start: Start) -> None:
    with start() as server:
        client = server.connect()
        assert client.ask("CONFIG", "SET", "client-output-buffer-limit", "normal 1mb 0 0 pubsub 0 0 0") == "OK"
        client.ask("SET", "big", "x" * 900_000)
        with deaf(server, "deaf") as connection, contextlib.suppress(ConnectionError):
            connection.sendall(request("GET", "big") * 20)
            await_true(lambda: not there(client, "deaf"), "it has been hung up on")
        assert client.ask("GET", "big") == b"x" * 900_000


def test_one_who_monitors_sees_every_byte_as_redis_shows_it(running: dict[str, Server]) -> None:
    heard = []
    for server in running.values():
        monitor = server.connect()
        monitor.check(request("MONITOR"), OK)
        server.connect().ask("ECHO", bytes(range(256)))
        heard.append(monitor.read_reply().split(b"]", 1)[1])
        for client in server.clients:
            client.close()
    assert heard[0] == heard[1]


def test_replies_are_not_produced_faster_than_they_are_taken() -> None:
    with final_server() as server:
        client = server.connect()
        client.ask("SET", "big", "x" * 100_000)
        before = resident(client)
        with deaf(server, "deaf") as connection:
            connection.setblocking(False)
            data = memoryview(request("GET", "big") * 5000)  # for 500 MB
            deadline = time.monotonic() + 1
            while data and time.monotonic() < deadline:
                with contextlib.suppress(BlockingIOError):
                    data = data[connection.send(data) :]
            assert client.ask("PING") == "PONG"
            assert resident(client) - before < 64 << 20


def test_one_who_reads_late_gets_every_reply_nonetheless() -> None:
    count = 2000
    with final_server() as server:
        client = server.connect()
        client.ask("SET", "big", "x" * BIG)
        before = resident(client)
        with deaf(server, "late") as connection:
            connection.sendall(request("GET", "big") * count + request("ECHO", "the last"))
            client.ask("PING")
            assert resident(client) - before < 20 << 20
            expected = b"$%d\r\n%b\r\n" % (BIG, b"x" * BIG) * count + b"$8\r\nthe last\r\n"
            received = bytearray()
            while len(received) < len(expected) and (data := connection.recv(1 << 20)):
                received += data
            assert received == expected


def resident(client: Client) -> int:
    """The memory that a server takes, in bytes."""
    path = Path(f"/proc/{info_number(client, 'process_id')}/statm")
    if not path.exists():
        pytest.skip("how much memory a process takes is read from /proc")
    return int(path.read_text().split()[1]) * resource.getpagesize()


# One that sends too much


@either
def test_the_limit_of_what_is_sent_is_said_as_redis_says_it(start: Start) -> None:
    name = "client-query-buffer-limit"
    with start() as server:
        client = server.connect()
        assert client.ask("CONFIG", "GET", name) == [name.encode(), b"1073741824"]
        for value, refusal in (
            ("1048575", "argument must be between 1048576 and 9223372036854775807 inclusive"),
            ("0", "argument must be between 1048576 and 9223372036854775807 inclusive"),
            ("-1", "argument must be a memory value"),
        ):
            assert client.ask("CONFIG", "SET", name, value) == REFUSED.format(name) + refusal, value
        assert client.ask("CONFIG", "SET", name, "1mb") == "OK"
        assert client.ask("CONFIG", "GET", name) == [name.encode(), b"1048576"]


@either
def test_one_whose_request_is_longer_than_the_limit_is_hung_up_on_without_a_word(start: Start) -> None:
    with start() as server:
        client = server.connect()
        assert client.ask("CONFIG", "SET", "client-query-buffer-limit", "1mb") == "OK"
        client.check(request("ECHO", "x" * 900_000), b"$900000\r\n" + b"x" * 900_000 + b"\r\n")
        with contextlib.suppress(ConnectionError), deaf(server, "long") as connection:
            connection.sendall(b"*2\r\n$4\r\nECHO\r\n$3000000\r\n" + b"x" * 2_999_999)
            assert connection.recv(1000) == b""
        await_true(lambda: not there(client, "long"), "it has been hung up on")


def turns(server: Server) -> list[int]:
    """Send a long pipeline; return how many of its requests were executed between two replies to another client."""
    sender, client = server.connect(), server.connect()
    client.ask("SET", "n", 0)
    total = 100_000
    left = memoryview(b"INCR n\r\n" * total)
    seen = [0]
    while seen[-1] < total:
        with contextlib.suppress(BlockingIOError):
            left = left[sender.socket.send(left[: 1 << 18]) :] if left else left
        with contextlib.suppress(BlockingIOError):
            sender.socket.recv(1 << 20)
        number = client.ask("GET", "n")
        assert isinstance(number, bytes)
        seen.append(int(number))
    sender.close()
    return [later - earlier for earlier, later in itertools.pairwise(seen) if later > earlier]


@either
def test_a_long_pipeline_is_interrupted_for_others(start: Start) -> None:
    """On a busy machine it may be the other client that waits, for a processor: the best of ten tries counts."""
    with start() as server:
        tries: list[float] = []
        while not tries or (min(tries) >= 8000 and len(tries) < 10):
            tries.append(median(turns(server)))
        assert min(tries) < 8000, f"requests in a turn, at the median of each try: {tries}"


@pytest.fixture(scope="module")
def visited() -> Iterator[Server]:
    """A server that all rude clients visit, one kind after the other."""
    with final_server() as server:
        yield server


@pytest.mark.parametrize("name", RUDE)
def test_a_polite_client_is_answered_while_others_are_rude(visited: Server, name: str, note: Note) -> None:
    """What counts is how long the server works until it answers: that is the same on a busy machine."""
    clock = busy_time_of(info_number(visited.connect(), "process_id"))
    alone, beside = compared(visited, name, SECONDS, turns=2, clock=clock)
    note("work for a reply, ms: p50, p99 alone; beside; ratios: " + row(name, alone, beside))
    assert median(beside) < 20 * median(alone) + 0.010, row(name, alone, beside)
    assert p99(alone + beside) < 0.060, row(name, alone, beside)  # alone, too: what they left behind is done by then


# Too many


def limited(target: Target, soft: int, hard: int) -> Target:
    """The same target, which is allowed so many open files at its start."""
    args = ("sh", "-c", f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$0" "$@"')
    return dataclasses.replace(target, command=(*args, *target.command))


TARGETS = {"final": lambda: find("final", 5, Path()), "redis": redis_target}


either_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


def answered(server: Server, count: int, stack: contextlib.ExitStack) -> None:
    """Connect so many clients, and have each answered."""
    for number in range(count):
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 1))
        connection.sendall(PING)
        assert connection.recv(100) == PONG, f"client {number}"


@either_target
def test_the_limit_of_open_files_is_raised_so_that_all_clients_fit(
    target: Callable[[], Target], tmp_path: Path
) -> None:
    with serving(limited(target(), 100, 1000), tmp_path, "--maxclients", "200") as server:
        with contextlib.ExitStack() as stack:
            answered(server, 199, stack)
        assert server.connect().ask("CONFIG", "GET", "maxclients") == [b"maxclients", b"200"]


@either_target
def test_where_it_cannot_be_raised_there_are_fewer_clients(target: Callable[[], Target], tmp_path: Path) -> None:
    with serving(limited(target(), 200, 200), tmp_path, "--maxclients", "5000") as server:
        client = server.connect()
        assert client.ask("CONFIG", "GET", "maxclients") == [b"maxclients", b"168"]
        with contextlib.ExitStack() as stack:
            answered(server, 167, stack)
            server.connect().expect(b"-ERR max number of clients reached\r\n")
            client.check(PING, PONG)


@either_target
def test_more_clients_than_open_files_are_refused_when_asked_for(target: Callable[[], Target], tmp_path: Path) -> None:
    with serving(limited(target(), 200, 200), tmp_path, "--maxclients", "50") as server:
        client = server.connect()
        assert client.ask("CONFIG", "SET", "maxclients", 5000) == REFUSED.format("maxclients") + (
            "The operating system is not able to handle the specified number of clients, try with 168"
        )
        assert client.ask("CONFIG", "SET", "maxclients", 100) == "OK"


# From outside


def test_redis_refuses_one_from_outside_and_hangs_up() -> None:
    inside, (received, ended) = replies_in_own_network("redis")
    assert inside == (PONG, False)
    assert received.startswith(b"-DENIED Redis is running in protected mode because") and ended


def test_who_comes_from_outside_is_told_what_redis_tells_and_hung_up_on() -> None:
    assert replies_in_own_network("final") == replies_in_own_network("redis")


def test_with_a_password_one_is_let_in() -> None:
    ours = replies_in_own_network("final", "requirepass", "secret")
    assert ours == replies_in_own_network("redis", "requirepass", "secret")
    assert ours[1] == (b"-NOAUTH Authentication required.\r\n", False)


def test_without_protection_one_is_let_in() -> None:
    ours = replies_in_own_network("final", "protected-mode", "no")
    assert ours == replies_in_own_network("redis", "protected-mode", "no")
    assert ours[1] == (PONG, False)


# Its end, whatever clients do


def test_it_stops_at_once_while_clients_are_busy() -> None:
    with final_server() as server, contextlib.ExitStack() as stack:
        server.connect().ask("SET", "large", "x" * 1_000_000)
        for busy in GOING:
            busy(stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 60)))
        began = time.monotonic()
        assert server.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < within(STOP)
        assert server.errors == ""
