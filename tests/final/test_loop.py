"""The server runs on asyncio's event loop or on uvloop: how it is chosen, and that clients see no difference."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.harness.course import ROOT
from stages.harness.server import Server
from stages.harness.target import Target
from stages.harness.wire import Client, request
from tests.support.observing import await_true, info_number
from tests.support.oracle import final_server, serving
from tests.support.server_log import messages
from tests.tools.rude import reset

INSTALLED = importlib.util.find_spec("uvloop") is not None
PYTEST = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:nbval"]
BARE = [sys.executable, "-S", "-m", "final"]  # -S: without what is installed
LOOPS = ["asyncio", pytest.param("uvloop", marks=pytest.mark.skipif(not INSTALLED, reason="uvloop is not installed"))]
MEET_SOCKETS = ["server", "clients", "blocking", "scripts"]  # the tests in which the event loop could matter


def loop_of(server: Server) -> str:
    """Return the name of the event loop that INFO reports."""
    text = server.connect().ask("INFO", "server")
    assert isinstance(text, bytes)
    return text.split(b"multiplexing_api:")[1].split()[0].decode()


@pytest.mark.parametrize("loop", LOOPS)
def test_the_loop_can_be_chosen(loop: str) -> None:
    with final_server("--loop", loop) as server:
        assert loop_of(server) == loop
        assert server.connect().ask("CONFIG", "GET", "loop") == [b"loop", loop.encode()]


def test_auto_takes_uvloop_where_it_is_installed(tmp_path: Path) -> None:
    with final_server("--loop", "auto") as server:
        assert loop_of(server) == ("uvloop" if INSTALLED else "asyncio")
    with serving(Target("final", 99, ROOT / "final", command=tuple(BARE)), tmp_path) as server:
        assert loop_of(server) == "asyncio"


def test_uvloop_where_it_is_not_installed_is_refused_in_one_line() -> None:
    done = subprocess.run([*BARE, "--port", "0", "--appendonly", "no", "--loop", "uvloop"],
                          cwd=ROOT, capture_output=True, text=True, timeout=100)  # fmt: skip
    assert (done.returncode, done.stdout, messages(done.stderr)) == (
        1,
        "",
        "cannot use uvloop: No module named 'uvloop'\n",
    )


def test_the_loop_cannot_be_changed_while_the_server_runs() -> None:
    with final_server() as server:
        client: Client = server.connect()
        client.send(request("CONFIG", "SET", "loop", "asyncio"))
        client.expect(b"-ERR CONFIG SET failed (possibly related to argument 'loop') - can't set immutable config\r\n")


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_has_gone_before_it_is_accepted_does_not_count_as_refused(loop: str) -> None:
    """Its address is unknown by then: protected-mode must not take it for one of another host."""
    with final_server("--loop", loop) as server:
        process = info_number(server.connect(), "process_id")
        os.kill(process, signal.SIGSTOP)
        try:
            for _ in range(20):
                with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
                    connection.sendall(b"PING\r\n")
                    reset(connection)
        finally:
            os.kill(process, signal.SIGCONT)
        client = server.connect()  # it comes after them
        assert info_number(client, "rejected_connections") == 0
        await_true(lambda: info_number(client, "connected_clients") == 2, "they have been forgotten")
        assert server.errors == ""


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of a running process cannot be set here")
def test_without_file_descriptors_connections_stay_pending_and_the_log_says_so_once_a_second(loop: str) -> None:
    with final_server("--loop", loop) as server, contextlib.ExitStack() as stack:
        client = server.connect()
        process = info_number(client, "process_id")
        usual = resource.prlimit(process, resource.RLIMIT_NOFILE)
        highest = max(int(path.name) for path in Path(f"/proc/{process}/fd").iterdir())
        began = time.monotonic()
        resource.prlimit(process, resource.RLIMIT_NOFILE, (highest + 1, usual[1]))
        waiting = []
        while "cannot accept clients: Too many open files" not in server.errors:
            assert time.monotonic() < began + 10
            waiting.append(stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 5)))
            waiting[-1].sendall(b"PING\r\n")
            assert client.ask("PING") == "PONG"
        time.sleep(1.2)
        assert server.errors.count("\n") <= time.monotonic() - began + 1
        resource.prlimit(process, resource.RLIMIT_NOFILE, usual)
        for each in waiting:
            assert each.recv(100) == b"+PONG\r\n"


@pytest.mark.parametrize("loop", LOOPS)
def test_all_is_answered_that_was_sent_before_eof(loop: str) -> None:
    with final_server("--loop", loop) as server:
        connection = socket.create_connection(("127.0.0.1", server.port), 5)
        connection.sendall(b"INCR n\r\n" * 2000)
        connection.shutdown(socket.SHUT_WR)
        with connection, connection.makefile("rb") as file:
            assert file.read() == b"".join(b":%d\r\n" % number for number in range(1, 2001))


def memory(pid: int, field: str) -> int:
    """Return the resident memory of a process in bytes: now (VmRSS), or at the peak (VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(rf"{field}:\s+(\d+) kB", status)[0]) * 1024


@pytest.mark.parametrize("loop", LOOPS)
def test_replies_stay_in_order_when_the_client_reads_them_late(loop: str) -> None:
    values = [b"%d" % number * 10_000 for number in range(10)]
    with final_server("--loop", loop) as server, contextlib.closing(server.connect()) as client:
        for number, value in enumerate(values):
            client.ask("SET", f"k{number}", value)
        chosen = [number % 10 for number in range(800)]
        expected = b"".join(b"$%d\r\n%b\r\n" % (len(values[number]), values[number]) for number in chosen)
        with socket.create_connection(("127.0.0.1", server.port), 30) as connection, connection.makefile("rb") as file:
            for number in chosen:  # each in a chunk of its own: more than the socket holds
                connection.sendall(request("GET", f"k{number}"))
                client.ask("PING")
            assert file.read(len(expected)) == expected
            connection.sendall(request("GET", "k1") + request("QUIT"))
            assert file.read() == b"$10000\r\n%b\r\n+OK\r\n" % values[1]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the memory of a process so")
@pytest.mark.parametrize("loop", LOOPS)
def test_large_replies_are_sent_in_order_with_a_whole_copy_of_none(loop: str) -> None:
    value = bytes(range(256)) * (16 << 12)  # 16 MB
    bulk, small = b"$%d\r\n%b\r\n" % (len(value), value), b"$%d\r\n" % 100_000 + b"x" * 100_000 + b"\r\n"
    with final_server("--loop", loop) as server:
        with contextlib.closing(server.connect()) as client:
            client.ask("SET", "large", value)
            client.ask("SET", "small", b"x" * 100_000)
            client.ask("RPUSH", "list", *["y" * 1000] * 1000)
            client.ask("CONFIG", "SET", "client-output-buffer-limit", f"normal {100 << 20} 0 0")
            pid = info_number(client, "process_id")
        before = memory(pid, "VmRSS")
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak is the present size
        requests = "GET small|GET large|GET large|PING|GET large|LRANGE list 0 -1|QUIT"
        expected = [small, bulk, bulk, b"+PONG\r\n", bulk, b"*1000\r\n"]
        expected += [b"$1000\r\n%b\r\n" % (b"y" * 1000) * 1000, b"+OK\r\n"]
        with socket.create_connection(("127.0.0.1", server.port), 30) as connection, connection.makefile("rb") as file:
            connection.sendall(requests.replace("|", "\r\n").encode() + b"\r\n")
            for part in expected:
                assert file.read(len(part)) == part
            assert file.read() == b""
        with socket.create_connection(("127.0.0.1", server.port), 30) as connection, connection.makefile("rb") as file:
            connection.sendall(b"GET large\r\n")
            connection.shutdown(socket.SHUT_WR)
            assert file.read() == bulk
        assert memory(pid, "VmHWM") - before < len(value) / 4


@pytest.mark.parametrize("loop", LOOPS)
def test_a_large_reply_counts_for_the_output_limit_until_it_is_sent(loop: str) -> None:
    with final_server("--loop", loop, "--client-output-buffer-limit", f"normal {8 << 20} 0 0") as server:
        server.connect().ask("SET", "large", b"x" * (9 << 20))
        with socket.create_connection(("127.0.0.1", server.port), 30) as connection:
            connection.sendall(b"GET large\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""


@pytest.mark.skipif(not INSTALLED, reason="uvloop is not installed, so these tests ran on asyncio anyway")
@pytest.mark.parametrize("name", MEET_SOCKETS)
def test_what_is_tested_on_uvloop_where_it_is_installed_holds_on_asyncio_and_without_hiredis_too(name: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    done = subprocess.run(
        [*PYTEST, f"tests/final/test_{name}.py"],
        cwd=ROOT,
        env=environment | {"FINAL_LOOP": "asyncio", "FINAL_PARSER": "python"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
