"""Standard input, output and error that are full, broken or closed, and a terminal that goes: the server minds none."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stages.harness.course import ROOT
from stages.harness.ports import free_port
from stages.harness.wire import request

SECONDS = 60  # for what takes one, on a machine that is busy
KINDS = ["full", "broken", "closed"]
OK = b"+OK\r\n"

needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a file that is always full")


class Running:
    """A server whose standard files are what a test wants them to be."""

    def __init__(self, folder: Path, redirections: str, *options: str) -> None:
        self.port = free_port()
        args = ["-B", "-m", "final", "--port", str(self.port), "--dir", str(folder), "--appendfsync", "everysec"]
        read, self.broken = os.pipe()
        os.close(read)
        shell = ["sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, *args, *options]
        self.process = subprocess.Popen(shell, cwd=ROOT, stdin=self.broken)

    def ask(self, *args: str | int) -> bytes:
        """The first line of the answer to a request, on a connection of its own; waits until the server is there."""
        end = time.monotonic() + SECONDS
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), SECONDS) as client:
                    client.sendall(request(*args))
                    return client.makefile("rb").readline()
            except ConnectionRefusedError:
                assert self.process.poll() is None and time.monotonic() < end
                time.sleep(0.02)

    def until(self, right: Callable[[bytes], bool], *args: str) -> None:
        """Ask again and again until the answer is right."""
        end = time.monotonic() + SECONDS
        while not right(answer := self.ask(*args)):
            assert time.monotonic() < end, answer
            time.sleep(0.05)

    def stop(self) -> int:
        """End it by SIGTERM; give the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


@contextmanager
def running(folder: Path, redirections: str, *options: str) -> Iterator[Running]:
    """Have a server run, and end it."""
    server = Running(folder, redirections, *options)
    try:
        yield server
    finally:
        os.close(server.broken)
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def redirected(number: int, kind: str) -> str:
    """What a shell is told to redirect a file descriptor to nowhere."""
    return f"{number}>" + {"full": "/dev/full", "broken": "&0", "closed": "&-"}[kind]


@needs_full
@pytest.mark.parametrize("kind", KINDS)
def test_a_standard_error_that_cannot_be_written_to_changes_nothing_of_the_service(kind: str, tmp_path: Path) -> None:
    folder, away = tmp_path / "appendonlydir", tmp_path / "away"
    with running(tmp_path, redirected(2, kind)) as server:
        assert server.ask("SET", "k", "v") == OK
        assert server.ask("POST", "/") == b""  # is hung up on, and a line is written
        assert server.ask("EVAL", "redis.log(3, 'said') return 1", 0).startswith((b":1", b"-ERR scripts need"))
        folder.rename(away)
        folder.touch()  # the log has gone, and cannot be written anew
        server.until(lambda answer: answer.startswith(b"-MISCONF"), "SET", "k", "w")
        assert server.ask("BGREWRITEAOF").startswith(b"-ERR")
        folder.unlink()
        server.until(lambda answer: answer == OK, "SET", "k", "again")  # so the rewriter still ticks
        assert server.ask("GET", "k") == b"$5\r\n"
        assert server.stop() == 0


@needs_full
@pytest.mark.parametrize("kind", KINDS)
def test_a_standard_output_that_cannot_be_written_to_does_not_stop_the_server(kind: str, tmp_path: Path) -> None:
    with running(tmp_path, redirected(1, kind)) as server:
        assert server.ask("SET", "k", "v") == OK
        assert server.stop() == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what is open is read from /proc")
def test_no_file_is_opened_in_the_place_of_a_standard_file_that_is_closed(tmp_path: Path) -> None:
    with running(tmp_path, "0<&- 1>&- 2>&-") as server:
        assert server.ask("SET", "k", "v") == OK
        links = [os.readlink(f"/proc/{server.process.pid}/fd/{number}") for number in range(3)]
        assert links == [os.devnull] * 3
        assert server.ask("POST", "/") == b""
        assert server.stop() == 0
    with running(tmp_path, "") as server:
        assert server.ask("GET", "k") == b"$1\r\n"


@needs_full
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_cannot_start_says_so_by_its_status_too(kind: str, tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").touch()
    for options, status in (((), 1), (("--port", "x"), 2), (("--bind", "nowhere.invalid", "--appendonly", "no"), 1)):
        with running(tmp_path, redirected(2, kind), *options) as server:
            assert server.process.wait(SECONDS) == status


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGPIPE], ids=lambda number: signal.Signals(number).name)
def test_a_terminal_or_a_pipe_that_is_closed_does_not_end_the_server(number: int, tmp_path: Path) -> None:
    with running(tmp_path, "") as server:
        assert server.ask("SET", "k", "v") == OK
        server.process.send_signal(number)
        assert server.ask("GET", "k") == b"$1\r\n"
        assert server.stop() == 0
