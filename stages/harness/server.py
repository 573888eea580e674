"""A server under test: started on a free port, asked, killed, started again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from stages.harness.course import ROOT
from stages.harness.sandbox import MEMORY, NoAnswer, Program
from stages.harness.target import Target
from stages.harness.wire import Client, Patience

TRIES = 3
COUNTING = Path(__file__).parent / "counting"


class NotStarted(NoAnswer):
    """The server does not accept connections; the message says why, `trace` what it said itself."""


@dataclass(frozen=True)
class Fsync:
    """One fsync: when it returned (`time.monotonic()`), and whether the server's main thread made it."""

    time: float
    in_main_thread: bool


class Server:
    """One server and how it was started.

    `data` is the folder of its log: with it the log is on (`--appendonly yes`), with `appendfsync` as said.
    `file_size` is the size in bytes over which none of its files can grow; `counting` makes `fsyncs` work.
    """

    def __init__(
        self,
        target: Target,
        patience: Patience,
        folder: Path,
        *,
        data: Path | None = None,
        appendfsync: str = "always",
        file_size: int = 0,
        counting: bool = False,
        options: Sequence[str] = (),
        port: int = 0,
    ) -> None:
        self.target, self.patience, self.folder = target, patience, folder
        self.host, self.port = target.address or ("127.0.0.1", port or free_port())
        self.data = data
        self.clients: list[Client] = []
        self.fsync_log = folder / f"fsyncs-{self.port}"
        self.program: Program | None = None
        self.marks = (0, 0)
        if target.address is None:
            words = [*target.program(self.port), *self.log_options(appendfsync), *options]
            self.program = Program(
                [*self.tracer(counting), *words],
                target.here or folder,
                self.environment(counting),
                memory=MEMORY if target.folder else 0,
                file_size=file_size,
            )
        elif data or counting or file_size or options or port:
            pytest.skip(f"{target.name} is already running: this test has to start it itself")

    def log_options(self, appendfsync: str) -> list[str]:
        """Say where the log is, or that there is none."""
        if self.data:
            return ["--dir", str(self.data), "--appendonly", "yes", "--appendfsync", appendfsync]
        if self.target.is_final or self.target.is_redis:
            return ["--dir", str(self.folder), "--appendonly", "no"]
        return []

    def environment(self, counting: bool) -> dict[str, str]:
        """Let a Python server print at once and leave no files, find `final`, and count if wanted."""
        paths = [str(ROOT)] * self.target.is_final + [str(COUNTING)] * counting
        return {
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "FSYNC_LOG": str(self.fsync_log),
            "PYTHONPATH": os.pathsep.join(paths),
        }

    def tracer(self, counting: bool) -> list[str]:
        """Count the fsyncs of what is not Python with strace."""
        if not counting or self.target.folder:
            return []
        if not shutil.which("strace"):
            pytest.skip("counting the fsyncs of a program that is not Python takes strace")
        return ["strace", "-D", "-f", "-ttt", "-e", "trace=execve,fsync,fdatasync", "-o", str(self.fsync_log)]

    def await_ready(self) -> None:
        """Wait until it accepts connections and has read its data."""
        seconds = 2 * self.patience.seconds
        if self.patience.unstarted >= TRIES:
            self.close()
            raise NotStarted(f"{TRIES} times in a row it accepted no connection; it is not tried again.", "")
        deadline = time.monotonic() + seconds
        while True:
            try:
                if self.has_loaded(seconds):
                    self.patience.unstarted = 0
                    return
            except OSError:
                pass
            status = self.wait(0.01)
            if status is not None:
                raise NotStarted(
                    f"It ended with exit status {status} before it accepted connections.", self.errors
                )
            if time.monotonic() > deadline:
                self.patience.lost()
                self.patience.unstarted += 1
                self.close()
                raise NotStarted(
                    f"It accepted no connection on port {self.port} in {seconds:g} seconds.", self.errors
                )

    def has_loaded(self, seconds: float) -> bool:
        """Connect; a real Redis accepts connections while it reads its data, and answers them with LOADING."""
        with socket.create_connection((self.host, self.port), seconds) as probe:
            if not self.target.is_redis:
                return True
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith(b"+PONG")

    def connect(self) -> Client:
        """Open a connection to it."""
        client = Client(self.port, self.patience, self.host)
        self.clients.append(client)
        return client

    @property
    def own_program(self) -> Program:
        """The program; a test of a server that others started is skipped here."""
        if self.program is None:
            pytest.skip(
                f"{self.target.name} is already running: this test has to watch or end it"
            )
        return self.program

    def wait(self, seconds: float | None = None) -> int | None:
        """Answer with the exit status (negative: the signal), or None when it still runs by then."""
        return self.own_program.wait(self.patience.seconds if seconds is None else seconds)

    def stop(self, number: int = signal.SIGTERM) -> int | None:
        """Send it a signal; answer with the exit status, or None when it has not ended in time."""
        self.own_program.signal(number)
        return self.wait()

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.own_program.signal(signal.SIGKILL)
        self.wait()

    @property
    def alive(self) -> bool:
        """Whether it is running, as far as one can know."""
        return self.program is None or self.program.wait(0) is None

    def begin_test(self) -> None:
        """From here on `output` and `errors` are this test's."""
        self.clients = []
        if self.program:
            self.marks = (self.program.output.total, self.program.errors.total)

    @property
    def output(self) -> str:
        """What it wrote to its standard output during this test."""
        return self.own_program.output.since(self.marks[0]).decode(errors="replace")

    @property
    def errors(self) -> str:
        """What it wrote to its standard error during this test."""
        return self.own_program.errors.since(self.marks[1]).decode(errors="replace")

    def await_output(self, text: str) -> bool:
        """Wait until the text is in its output; False when it has not come in time."""
        deadline = time.monotonic() + self.patience.seconds
        grown = self.own_program.output.grown
        while text not in self.output:
            with grown:
                if text in self.output:
                    break
                if time.monotonic() > deadline or not grown.wait(deadline - time.monotonic()):
                    self.patience.lost()
                    return text in self.output
        return True

    def fsyncs(self) -> list[Fsync]:
        """Answer with its fsyncs so far; for a server started with `counting=True`."""
        lines = self.fsync_log.read_text().splitlines() if self.fsync_log.exists() else []
        if self.target.folder:
            return [Fsync(float(when), main == "1") for when, main in map(str.split, lines)]
        calls = [line.split(None, 2) for line in lines if line.endswith(" = 0")]
        shift = time.monotonic() - time.time()
        main = calls[0][0] if calls else ""  # the execve that began it all
        return [Fsync(float(when) + shift, thread == main) for thread, when, _ in calls[1:]]

    def close(self) -> None:
        """End it and everything that it started."""
        for client in self.clients:
            client.close()
        if self.program:
            self.program.close()


def free_port() -> int:
    """Find a port that nothing listens on, outside the range from which clients get theirs."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
