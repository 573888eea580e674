"""The spy, `python3 -m stages spy`, between real clients and a real server."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import redis

from stages.desk.spy import Side, read_reply, read_request
from stages.harness.course import ROOT
from stages.harness.ports import free_port
from stages.harness.wire import Client, Patience, request

SECONDS = 10.0


class Program:
    """A running program; `wait_for` reads its output."""

    def __init__(self, *args: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *args], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.said = ""

    def wait_for(self, text: str) -> list[str]:
        """Read up to a line with `text`; return all lines since the last call."""
        assert self.process.stdout
        deadline = time.monotonic() + SECONDS
        while text + "\n" not in self.said:
            left = max(0, deadline - time.monotonic())
            assert select.select([self.process.stdout], [], [], left)[0], f"no {text!r} in {self.said!r}"
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            assert data, f"it ended without {text!r}: {self.said!r}"
            self.said += data.decode()
        before, _, self.said = self.said.partition(text + "\n")
        return [*before.splitlines(), text]


@contextmanager
def running(*args: str) -> Iterator[Program]:
    """Run a program for the length of the block."""
    program = Program(*args)
    try:
        yield program
    finally:
        program.process.kill()
        program.process.communicate()


@contextmanager
def spying(to: int) -> Iterator[tuple[Program, int]]:
    """Run a spy in front of a port; yield the spy and its own port."""
    number = free_port()
    with running("-m", "stages", "spy", "--listen", str(number), "--to", str(to)) as spy:
        spy.wait_for(f"listening on 127.0.0.1:{number}, connecting to 127.0.0.1:{to}")
        yield spy, number


@pytest.fixture
def spied() -> Iterator[tuple[Program, int]]:
    """Yield a spy in front of stage 04's server, and its port."""
    with ExitStack() as stack:
        number = free_port()
        server = stack.enter_context(running("stages/04-commands/server.py", "--port", str(number)))
        server.wait_for(f"listening on 127.0.0.1:{number}")
        yield stack.enter_context(spying(number))


def test_a_conversation_is_printed_from_both_sides(spied: tuple[Program, int]) -> None:
    spy, number = spied
    client = Client(number, Patience())
    assert client.ask("SET", "name", "Alice B") == "OK"
    assert client.ask("GET", "name") == b"Alice B"
    assert client.ask("GET", "nobody") is None
    assert client.ask("NONSENSE", b"\xff\x00", "") is not None
    client.check(b"PING\r\n", b"+PONG\r\n")
    client.close()
    assert spy.wait_for("the server closed the connection to client 1") == [
        'client 1 > SET name "Alice B"',
        "client 1 < +OK",
        "client 1 > GET name",
        'client 1 < "Alice B"',
        "client 1 > GET nobody",
        "client 1 < null",
        r'client 1 > NONSENSE \xff\x00 ""',
        r"client 1 < -ERR unknown command 'NONSENSE', with args beginning with: '\xff' '' ",
        "client 1 > PING (inline)",
        "client 1 < +PONG",
        "client 1 closed the connection",
        "the server closed the connection to client 1",
    ]


def test_redis_py_speaks_resp3_through_it_and_a_pipeline_is_split(spied: tuple[Program, int]) -> None:
    spy, number = spied
    client = redis.Redis(port=number, protocol=3)
    pipeline = client.pipeline(transaction=False)
    pipeline.hset("h", "f", "v")
    pipeline.hgetall("h")
    pipeline.incr("n")
    assert pipeline.execute() == [1, {b"f": b"v"}, 1]
    client.close()
    lines = spy.wait_for("the server closed the connection to client 1")
    requests = [line for line in lines if line.startswith("client 1 > ")]
    replies = [line for line in lines if line.startswith("client 1 < ")]
    assert requests[0] == "client 1 > HELLO 3"
    assert replies[0].startswith('client 1 < {"server": "redis", ') and '"proto": :3' in replies[0]
    assert requests[-3:] == ["client 1 > HSET h f v", "client 1 > HGETALL h", "client 1 > INCRBY n 1"]
    assert replies[-3:] == ["client 1 < :1", 'client 1 < {"f": "v"}', "client 1 < :1"]
    assert len(requests) == len(replies)


def test_bytes_that_are_not_resp_are_passed_on_unchanged() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, spying(listener.getsockname()[1]) as (spy, number):
        listener.settimeout(SECONDS)
        with socket.create_connection(("127.0.0.1", number), SECONDS) as client, listener.accept()[0] as server:
            server.settimeout(SECONDS)
            client.sendall(b"*1\r\n:1\r\n")
            assert server.recv(100) == b"*1\r\n:1\r\n"
            server.sendall(b"\x00what?\r\n")
            assert client.recv(100) == b"\x00what?\r\n"
            server.sendall(b"$5\r\nAl")
            assert client.recv(100) == b"$5\r\nAl"
            server.close()
            assert client.recv(100) == b""
        assert spy.wait_for("client 1 closed the connection") == [
            r"client 1 > *1\r\n:1\r\n (not RESP)",
            r"client 1 < \x00what?\r\n (not RESP)",
            r"client 1 < $5\r\nAl (incomplete)",
            "the server closed the connection to client 1",
            "client 1 closed the connection",
        ]


def test_incomplete_requests_are_kept_until_they_are_complete(capsys: pytest.CaptureFixture[str]) -> None:
    there, back = Side("1 >", read_request), Side("1 <", read_reply)
    for byte in request("GET", "name") + b"PING\r\n":
        there.hear(bytes([byte]))
    for byte in b">2\r\n+hello\r\n$2\r\nyo\r\n*2\r\n#t\r\n,1.5\r\n":
        back.hear(bytes([byte]))
    assert capsys.readouterr().out.splitlines() == [
        "1 > GET name",
        "1 > PING (inline)",
        '1 < push [+hello, "yo"]',
        "1 < [#t, ,1.5]",
    ]


def test_a_long_value_is_shortened() -> None:
    assert read_request(request("SET", "k", b"x" * 1000))[0] == f"SET k {'x' * 100}... (1000 bytes)"
    assert read_reply(b"*30\r\n" + b":1\r\n" * 30)[0] == f"[{':1, ' * 20}... (30 in all)]"


def test_a_client_is_disconnected_if_no_server_listens() -> None:
    nowhere = free_port()
    with spying(nowhere) as (spy, number), socket.create_connection(("127.0.0.1", number), SECONDS) as client:
        assert client.recv(1) == b""
        spy.wait_for(
            f"the spy closed the connection to client 1: nothing listens at 127.0.0.1:{nowhere} "
            f"([Errno {errno.ECONNREFUSED}] Connect call failed ('127.0.0.1', {nowhere}))"
        )


def test_a_port_in_use_is_an_error_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with running("-m", "stages", "spy", "--listen", str(number)) as spy:
            said = spy.process.communicate(timeout=SECONDS)[0].decode()
    assert spy.process.returncode == 2
    assert said.startswith(f"cannot listen on 127.0.0.1:{number}: ") and said.endswith("another with --listen\n")
    assert said.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_the_middle_of_a_conversation(spied: tuple[Program, int], number: signal.Signals) -> None:
    spy, listens = spied
    client = Client(listens, Patience())
    client.check(request("PING"), b"+PONG\r\n")
    spy.wait_for("client 1 < +PONG")
    spy.process.send_signal(number)
    assert spy.process.communicate(timeout=SECONDS)[0] == b""
    assert spy.process.returncode == 0
    client.expect_closed()
