"""SIGTERM ends the server within a second, whatever it does: a command, a C function of Lua, a huge reply."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.harness.course import ROOT
from stages.harness.ports import free_port
from stages.harness.wire import Client, request
from tests.support.folders import info
from tests.support.observing import await_true
from tests.support.oracle import PATIENCE, final_server

IN_TIME = float(os.environ.get("STOP_SECONDS", 5))  # one, on a quiet machine; each command here takes more than 20
OK = b"+OK\r\n"
DOUBLED = "local t = {} for i = 1, 40 do t = %s end return "
SLOW: dict[str, list[str | int]] = {
    "a search in Lua's C": ["EVAL", "pcall(string.find, ('a'):rep(35), ('a?'):rep(35) .. ('a'):rep(35))", 0],
    "a loop that writes": ["EVAL", "while true do redis.call('SET', 'k', 'v') end", 0],
    "a huge reply": ["EVAL", DOUBLED % "{map = {[t] = t}}" + "t", 0],
    "huge JSON": ["EVAL", DOUBLED % "{t, t}" + "cjson.encode(t)", 0],
    "a command that sleeps": ["DEBUG", "SLEEP", 60],
    "a command in Python": ["ZUNIONSTORE", "d", 100_000, *["z"] * 100_000],
}


@pytest.mark.parametrize("name", SLOW)
def test_a_signal_ends_the_server_in_the_middle_of_a_command(tmp_path: Path, name: str) -> None:
    args = SLOW[name]
    if args[0] == "EVAL":
        pytest.importorskip("lupa")
    with final_server("--enable-debug-command", "yes", data=tmp_path, appendfsync="everysec") as server:
        client = server.connect()
        client.check(request("ZADD", "z", *[arg for number in range(1000) for arg in (number, number)]), b":1000\r\n")
        client.send(request(*args))
        time.sleep(0.2)
        began = time.monotonic()
        assert server.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < IN_TIME
        client.expect_closed()
    with final_server(data=tmp_path) as again:
        assert again.connect().ask("ZCARD", "z") == 1000


def test_the_child_that_rewrites_the_log_ends_with_the_server(tmp_path: Path) -> None:
    with final_server("--enable-debug-command", "yes", data=tmp_path, appendfsync="everysec") as server:
        client = server.connect()
        client.check(b"".join(request("SET", f"k{number}", "v" * 100) for number in range(50_000)), OK * 50_000)
        client.ask("BGREWRITEAOF")
        assert info(client)["aof_rewrite_in_progress"] == "1"
        client.send(request("DEBUG", "SLEEP", 60))
        time.sleep(0.05)
        assert server.stop(signal.SIGTERM) == 0
    assert not list((tmp_path / "appendonlydir").glob("temp*"))


NAME_SERVER_HANGS = """
import runpy, socket, time
look_up = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: (host == "x.y" and time.sleep(60)) or look_up(host, *rest, **more)
runpy.run_module("final", run_name="__main__")
"""


def test_shutdown_does_not_wait_for_a_name_server(tmp_path: Path) -> None:
    port, options = str(free_port()), ["--loop", "asyncio", "--appendonly", "no", "--dir", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-c", NAME_SERVER_HANGS, "--port", port, *options], stdout=subprocess.PIPE, cwd=ROOT
    ) as server:
        assert server.stdout is not None and server.stdout.readline().startswith(b"listening")
        client = Client(int(port), PATIENCE)
        assert client.ask("REPLICAOF", "x.y", 1) == "OK"
        await_true(lambda: client.ask("ROLE")[3] == b"connecting", "it looks up the name")  # type: ignore[index]
        client.send(request("SHUTDOWN"))
        try:
            assert server.wait(IN_TIME) == 0
        finally:
            server.kill()
