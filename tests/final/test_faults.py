"""A bug of ours, or no memory, in the middle of a request: what changed is whole and in the log, or the server ends."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytest

from final.config.options import Options
from final.data.kinds import KINDS
from final.data.store import Store
from final.engine.callbacks import Callbacks
from final.engine.client import Client
from final.engine.command import COMMANDS, WRITE
from final.engine.engine import Engine
from final.engine.fast_path import FastPath
from final.engine.signature import describe
from final.log import aof, record
from final.log.aof import Log
from final.net.server import Server as OurServer
from final.protocol import large_argument
from final.protocol.reader import Reader
from final.protocol.writer import Value, encode, encode_request
from final.server_log import log as server_log
from stages.harness.server import Server
from stages.harness.wire import request
from tests.support.oracle import final_server
from tests.support.server_log import messages

FOLDER = str(Path(aof.__file__).parent.parent)
OK = b"+OK\r\n"


class Ended(BaseException):
    """The server would have ended here."""


class Desk:
    """An engine with a log, which never comes to a file. Its end is an exception that nothing catches."""

    def __init__(self) -> None:
        def end(error: BaseException) -> NoReturn:
            raise Ended

        self.engine = Engine(Options(databases=2), lambda: 1000, callbacks=Callbacks(broken=end))
        self.engine.log = self.log = Log(self.engine.options)
        self.client, self.other = self.engine.connect(), self.engine.connect()

    def work(self, client: Client, *args: str) -> bytes:
        """Have one request executed, as a connection does it."""
        requests, output = [[arg.encode() for arg in args]], bytearray()
        client.deliver = lambda value: output.extend(encode(value))
        try:
            if not FastPath(self.engine).take(client, requests, output, 128, 1 << 20):
                client.say(self.engine.execute(client, requests.pop()))
        except Exception as error:
            self.engine.faults.in_request(error)
        return bytes(output)

    def told(self) -> list[Any]:
        """What the log tells. It must be whole."""
        reader, again = Reader(), Desk()
        reader.feed(bytes(self.log._waiting))
        while args := reader.next():
            again.engine.execute(again.client, args)
        assert reader.held == 0 and again.client.queue is None
        return contents(again.engine)


def contents(engine: Engine) -> list[Any]:
    """All keys with their deadlines, and the requests that make their values, sorted: sets have no order."""
    return sorted(
        (store.index, key, until, sorted(arg for args in KINDS[type(value)].dump(key, value) for arg in args))
        for store in engine.stores
        for key, value, until in store.items()
    )


class Fault:
    """Raises an exception at the n-th line of final/ that is run; not where one is being handled already."""

    def __init__(self, number: int, error: type[Exception]) -> None:
        self.left, self.error = number, error

    def __enter__(self) -> Fault:
        sys.settrace(self.trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def trace(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        """What Python calls for each line."""
        name = frame.f_code.co_filename
        if not name.startswith(FOLDER) or name.endswith("faults.py"):
            return None
        if event == "line" and sys.exc_info()[0] is None:
            self.left -= 1
            if self.left == 0:
                raise self.error("put in by the test")
        return self.trace


BEFORE = [
    *(("SET", "k", "v"), ("SET", "n", "1"), ("RPUSH", "l", "1", "2", "3"), ("SADD", "s", "a", "b")),
    *(("SADD", "t", "b", "c"), ("ZADD", "z", "1", "a", "2", "b"), ("HSET", "h", "f", "1")),
]
REQUESTS = [
    *(("MSET", "a", "1", "b", "2", "k", "3"), ("ZADD", "z", "5", "a", "3", "new"), ("RENAME", "k", "n")),
    *(("SUNIONSTORE", "u", "s", "t"), ("LMOVE", "l", "m", "LEFT", "RIGHT"), ("HINCRBY", "h", "f", "7"), ("SPOP", "s")),
    *(("SWAPDB", "0", "1"), ("GET", "k"), ("RPUSH", "waited", "1", "2"), ("ZRANGE", "z", "0", "-1"), ("EXEC",)),
]


def prepared() -> Desk:
    """A desk with some data, a client that has queued a transaction, and one that waits for a list."""
    desk = Desk()
    for args in BEFORE:
        desk.work(desk.other, *args)
    desk.work(desk.engine.connect(), "BLMOVE", "waited", "taken", "LEFT", "RIGHT", "0")
    return desk


def broken_everywhere(args: tuple[str, ...], error: type[Exception]) -> Iterator[bool]:
    """Break a request off at each of its lines; give each time whether the server ended."""
    for number in count(1):
        desk = prepared()
        if args == ("EXEC",):
            for queued in (("MULTI",), ("SET", "k", "1"), ("MSET", "a", "1", "b", "2"), ("GET", "k")):
                desk.work(desk.client, *queued)
        fault, ended = Fault(number, error), False
        try:
            with fault:
                desk.work(desk.client, *args)
        except Ended:
            ended = True
        told = desk.told()
        if not ended:
            assert not desk.engine.unit.notes
            assert told == contents(desk.engine), f"line {number}"
            assert desk.work(desk.other, "SET", "next", "v") == OK
            assert desk.told() == contents(desk.engine), f"line {number}"
        if fault.left > 0:
            return
        yield ended


@pytest.mark.parametrize("args", REQUESTS, ids=" ".join)
def test_a_bug_at_any_line_of_a_request_ends_the_server_or_leaves_nothing_half_done(args: tuple[str, ...]) -> None:
    outcomes = [*broken_everywhere(args, ZeroDivisionError)]
    assert any(outcomes) is (args[0] not in ("GET", "ZRANGE"))
    assert not all(outcomes)


@pytest.mark.parametrize("args", [("MSET", "a", "1", "b", "2"), ("EXEC",), ("GET", "k")], ids=" ".join)
def test_no_memory_at_any_line_of_a_request_ends_the_server_with_a_whole_log(args: tuple[str, ...]) -> None:
    assert all(broken_everywhere(args, MemoryError))


@pytest.mark.parametrize("error", [MemoryError, ZeroDivisionError])
def test_a_script_cannot_catch_what_breaks_one_of_its_commands_off(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lupa")

    def half(db: Store, key: bytes) -> Value:
        db.put(key, b"half")
        raise error

    monkeypatch.setitem(COMMANDS, b"half", describe(half, (WRITE,), of=""))
    ended: list[BaseException] = []
    desk = Desk()
    desk.engine.faults.end = ended.append
    desk.work(desk.client, "EVAL", "redis.call('SET', 'a', 1) pcall(redis.call, 'HALF', 'k') return 1", "0")
    assert type(ended[0]) is error


def test_keys_that_have_expired_are_settled_where_a_command_that_only_reads_has_a_bug(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look(db: Store, key: bytes) -> Value:
        db.get(key, bytes)
        return 1 // 0

    monkeypatch.setitem(COMMANDS, b"look", describe(look, (), of=""))
    desk = Desk()
    desk.work(desk.client, "SET", "k", "v", "PXAT", "2000")
    desk.engine.unit.clock = lambda: 3000
    desk.work(desk.client, "LOOK", "k")
    assert not desk.engine.unit.notes and desk.told() == []


# The log


@pytest.mark.parametrize("fails", [1, 2, 3])
def test_a_unit_for_which_memory_does_not_suffice_leaves_nothing_in_the_log(
    fails: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, calls, real = Desk(), iter(range(1, 10)), encode_request

    def failing(args: list[bytes]) -> bytes:
        if next(calls) == fails:
            raise MemoryError
        return real(args)

    monkeypatch.setattr(record, "encode_request", failing)
    with pytest.raises(MemoryError):
        desk.log.append(0, [b"SET", b"a", b"1"], [(0, [b"SET", b"b", b"2"])])
    monkeypatch.undo()
    desk.log.append(0, [b"SET", b"c", b"3"])
    assert [key for _, key, *_ in desk.told()] == [b"c"]


# Timers


@pytest.mark.parametrize("timer", ["engine.expire", "engine.rewriter.tick", "sync", "close_idle"])
def test_a_timer_that_fails_ends_the_server(timer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> NoReturn:
        raise ZeroDivisionError

    ended: list[BaseException] = []

    def end(server: OurServer, error: BaseException) -> None:
        ended.append(error)
        server.stop()

    async def run() -> None:
        server = OurServer(Options(port=0, appendonly="no", timeout=1))
        if timer == "sync":
            monkeypatch.setattr(type(server), "sync_every_second", fail_later)
        else:
            *path, name = timer.split(".")
            owner: Any = server
            for part in path:
                owner = getattr(owner, part)
            monkeypatch.setattr(owner, name, fail)
        await asyncio.wait_for(server.run(), 10)

    async def fail_later(server: OurServer) -> None:
        fail()

    monkeypatch.setattr(OurServer, "end", end)
    asyncio.run(run())
    assert [type(error) for error in ended] == [ZeroDivisionError]


def test_a_failure_ends_the_process_with_status_1_and_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    statuses: list[int] = []
    monkeypatch.setattr(server_log, "handlers", [caplog.handler])
    monkeypatch.setattr(os, "_exit", statuses.append)
    server = OurServer(Options(appendonly="no"))
    server.end(MemoryError())
    server.end(ZeroDivisionError())
    assert statuses == [1, 1]
    assert [bool(record.exc_info) for record in caplog.records] == [False, True]


# A real process, and a real limit

needs_prlimit = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is set by prlimit")
MEGABYTE = 1 << 20


def give_only(server: Server, megabytes: int) -> None:
    """Let a server have only so much address space more than it has now."""
    import resource

    told = server.connect().ask("INFO", "server")
    assert isinstance(told, bytes)
    number = int(told.partition(b"process_id:")[2].split()[0])
    pages = int(Path(f"/proc/{number}/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + megabytes * MEGABYTE
    _, hard = resource.prlimit(number, resource.RLIMIT_AS)
    resource.prlimit(number, resource.RLIMIT_AS, (limit, hard))


@needs_prlimit
def test_a_server_that_runs_out_of_memory_in_a_transaction_ends_with_a_line_and_a_whole_log(tmp_path: Path) -> None:
    with final_server(data=tmp_path, appendfsync="no") as server:
        client = server.connect()
        client.check(b"".join(request("SET", number, "v") for number in range(100)), OK * 100)
        give_only(server, 80)
        with socket.create_connection(("127.0.0.1", server.port), 60) as large:
            values = b"".join(request("SET", number, "x" * 8 * MEGABYTE) for number in range(5))
            large.sendall(request("MULTI") + request("SET", "small", "v") + values)  # 40 MB, and one value twice …
            replies = large.makefile("rb")
            assert replies.read(59) == OK + b"+QUEUED\r\n" * 6
            large.sendall(request("EXEC"))  # … and with the log three times 40 MB
            assert replies.read() == b""
        assert server.wait(60) == 1
        assert messages(server.errors) == "out of memory: the server ends\n"
    with final_server(data=tmp_path) as server:
        assert (server.connect().ask("DBSIZE"), server.errors) == (100, "")


@needs_prlimit
@pytest.mark.parametrize(("length", "megabytes"), [(60_000_000, 20), (500_000_000, 10)])
def test_a_request_for_which_there_is_no_memory_costs_only_its_client(
    tmp_path: Path, length: int, megabytes: int
) -> None:
    """There is none for the whole argument, or even for the part that comes before it is made."""
    with final_server(data=tmp_path, appendfsync="no") as server:
        other = server.connect()
        other.check(request("SET", "k", "v"), OK)
        give_only(server, megabytes)
        with socket.create_connection(("127.0.0.1", server.port), 60) as client, pytest.raises(ConnectionError):
            client.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % length + b"x" * 60_000_000)
        other.check(request("GET", "k"), b"$1\r\nv\r\n")
        assert server.alive
    assert server.errors.endswith(" is cut off: no memory for its request\n") and server.errors.count("\n") == 1


@needs_prlimit
@pytest.mark.skipif(large_argument.LARGE > MEGABYTE, reason="needs CPython with ctypes")
def test_a_large_value_needs_little_more_memory_than_its_size() -> None:
    size = 24 * MEGABYTE
    with final_server() as server:
        give_only(server, 32)
        server.connect().check(request("SET", "k", "x" * size), OK)
        give_only(server, 8)
        server.connect().check(request("GET", "k"), b"$%d\r\n" % size + b"x" * size + b"\r\n")


@needs_prlimit
def test_lengths_that_are_only_announced_take_no_address_space() -> None:
    """In Redis they do: where it is limited, there may be none for others."""
    with final_server() as server, ExitStack() as stack:
        give_only(server, 100)
        for _ in range(20):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 60))
            client.sendall(b"*1\r\n$20000000\r\n" + b"x" * 100_000)
        server.connect().check(request("SET", "k", "x" * 8 * MEGABYTE), OK)
        assert server.errors == ""
