"""Two event loops can turn the server, asyncio's and uvloop: which one it is, and that nobody can tell."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.harness.course import ROOT
from stages.harness.server import Server
from stages.harness.target import Target
from stages.harness.wire import Client, request
from tests.support.oracle import final_server, serving

INSTALLED = importlib.util.find_spec("uvloop") is not None
PYTEST = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:nbval"]
BARE = [sys.executable, "-S", "-m", "final"]  # -S: without what is installed
LOOPS = ["asyncio", pytest.param("uvloop", marks=pytest.mark.skipif(not INSTALLED, reason="uvloop is not installed"))]
MEET_SOCKETS = ["server", "clients", "blocking", "scripts"]  # the tests in which a loop could make a difference


def loop_of(server: Server) -> str:
    """The loop that a server says it runs on."""
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
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "cannot use uvloop: No module named 'uvloop'\n")


def test_the_loop_cannot_be_changed_while_it_turns() -> None:
    with final_server() as server:
        client: Client = server.connect()
        client.send(request("CONFIG", "SET", "loop", "asyncio"))
        client.expect(b"-ERR CONFIG SET failed (possibly related to argument 'loop') - can't set immutable config\r\n")


@pytest.mark.skipif(not INSTALLED, reason="uvloop is not installed, so these tests ran on asyncio anyway")
@pytest.mark.parametrize("name", MEET_SOCKETS)
def test_what_is_tested_on_uvloop_where_it_is_installed_holds_on_asyncio_too(name: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    done = subprocess.run(
        [*PYTEST, f"tests/final/test_{name}.py"],
        cwd=ROOT,
        env=environment | {"FINAL_LOOP": "asyncio"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
