"""Some seconds of every load at once; and a clean stop, whatever is under way at that moment."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.harness.server import Server
from stages.harness.wire import request
from tests.support.folders import info
from tests.support.machine import within
from tests.support.oracle import final_server
from tests.support.stages_copy import Note
from tests.tools.soak import STOP, soak

SECONDS = float(os.environ.get("SECONDS_OF_LIFE", 8))
SEED = int(os.environ.get("SEED", random.randrange(10**6)))
OK = b"+OK\r\n"

needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="what a process has is read from /proc")


@needs_proc
@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 2 + 120)
def test_after_a_life_of_every_load_at_once_nothing_is_left_over_and_nothing_is_lost(note: Note) -> None:
    report = soak(SECONDS, SEED, workers=3)
    assert not report.problems, f"SEED={SEED}: {report.problems}"
    told = {name: int(report.info[name]) for name in ("total_commands_processed", "expired_keys", "aof_rewrites")}
    assert told["total_commands_processed"] > 100 * SECONDS and told["expired_keys"], f"SEED={SEED}: {told}"
    note(f"{SECONDS:g} s of every load at once: {told}, memory {report.info.get('slope')}")


# The stop


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with data in its log."""
    with final_server(data=tmp_path, appendfsync="everysec") as server:
        client = server.connect()
        client.ask("SET", "big", "x" * 1_000_000)
        client.check(b"".join(request("SET", f"k{number}", "v" * 100) for number in range(20_000)), OK * 20_000)
        yield server


def stopped_at_once(server: Server, tmp_path: Path) -> None:
    """Write a key, stop the server by SIGTERM, and check that it stops in time and the key is in the log."""
    client = server.connect()
    client.send(request("SET", "last", "v"))
    client.expect(OK)
    began = time.monotonic()
    assert server.stop(signal.SIGTERM) == 0
    seconds = time.monotonic() - began
    assert server.errors == ""
    assert seconds < within(STOP), f"it took {seconds:.1f} seconds"
    client.expect_closed()
    names = sorted(path.name for path in (tmp_path / "appendonlydir").iterdir())
    assert not [name for name in names if name.startswith("temp")], names
    with final_server(data=tmp_path) as again:
        client = again.connect()
        assert (client.ask("DBSIZE"), client.ask("GET", "last")) == (20_002, b"v")


def test_it_ends_at_once_while_clients_wait_watch_and_listen(server: Server, tmp_path: Path) -> None:
    for args in (("BLPOP", "nothing", 0), ("SUBSCRIBE", "channel"), ("WATCH", "k1"), ("MONITOR",), ("MULTI",)):
        server.connect().send(request(*args))
    server.connect().send(b"*2\r\n$3\r\nGET\r\n$10\r\nhal")
    stopped_at_once(server, tmp_path)


def test_it_ends_at_once_while_output_waits_for_one_who_never_reads(server: Server, tmp_path: Path) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as deaf:
        deaf.sendall(request("GET", "big") * 50)
        while b"cmd=get" not in str(server.connect().ask("CLIENT", "LIST")).encode():
            time.sleep(0.01)
        stopped_at_once(server, tmp_path)


def test_it_ends_at_once_while_the_log_is_rewritten(server: Server, tmp_path: Path) -> None:
    client = server.connect()
    client.ask("BGREWRITEAOF")
    assert info(client)["aof_rewrite_in_progress"] == "1"
    stopped_at_once(server, tmp_path)


def test_it_ends_at_once_in_a_pause(server: Server, tmp_path: Path) -> None:
    held, other = server.connect(), server.connect()
    stop_first = server.connect()
    stop_first.ask("SET", "last", "v")
    held.check(request("CLIENT", "PAUSE", 60_000, "WRITE"), OK)
    other.send(request("SET", "never", "v"))
    began = time.monotonic()
    assert server.stop(signal.SIGTERM) == 0
    assert time.monotonic() - began < within(STOP)
    with final_server(data=tmp_path) as again:
        assert again.connect().ask("EXISTS", "last", "never") == 1


def test_it_ends_at_once_in_the_middle_of_a_script_that_only_reads(tmp_path: Path) -> None:
    pytest.importorskip("lupa")
    with final_server("--busy-reply-threshold", "100", data=tmp_path, appendfsync="everysec") as server:
        client = server.connect()
        client.check(request("SET", "last", "v"), OK)
        client.send(request("EVAL", "while true do end", 0))
        time.sleep(0.3)
        assert str(server.connect().ask("PING")).startswith("BUSY")
        began = time.monotonic()
        assert server.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < within(STOP)
    with final_server(data=tmp_path) as again:
        assert again.connect().ask("GET", "last") == b"v"
