"""A server under test: started on a free port, connected to, killed, started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from stages.harness.course import ROOT
from stages.harness.ports import free_port, taken
from stages.harness.sandbox import MEMORY, VIEW, NoAnswer, Program, explained
from stages.harness.target import Target
from stages.harness.wire import Client, Patience

TRIES = 3
QUIET, QUIET_TRIES = 0.05, 6  # seconds without a word on standard error; how often they are awaited
COUNTING = Path(__file__).parent / "counting"


class NotStarted(NoAnswer):
    """The server does not accept connections. The message says why; `trace` is what it wrote to standard error."""


@dataclass(frozen=True)
class Fsync:
    """One fsync: when it returned (`time.monotonic()`), and whether the server's main thread made the call."""

    time: float
    in_main_thread: bool


class Server:
    """One server. It is started at once, unless the target is an address.

    `folder` is a folder for its files. With `data`, a folder, the server writes its append-only file there
    (`--appendonly yes`), with the policy `appendfsync`. `file_size` limits the size of each of its files, in bytes.
    `counting` makes `fsyncs` work; with it, `fsync_delay` delays each fsync by so many seconds before it begins, and
    again after it is counted. `options` are more arguments, `port` is a fixed port.
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
        fsync_delay: float = 0,
        options: Sequence[str] = (),
        port: int = 0,
    ) -> None:
        self.target, self.patience, self.folder = target, patience, folder
        self.host, self.port = target.address or ("127.0.0.1", port)
        self.data, self.fsync_delay = data, fsync_delay
        self.clients: list[Client] = []
        self.program: Program | None = None
        self.marks = (0, 0)
        self.fixed = port > 0
        if target.address is None:
            self.rest = [*self.log_options(appendfsync), *options]
            self.counting, self.file_size = counting, file_size
            self.start()
        elif data or counting or file_size or options or port:
            pytest.skip(f"{target.name} is already running: this test has to start it itself")

    def start(self) -> None:
        """Start the program, on a free port if none is given."""
        self.port = self.port if self.fixed else free_port()
        self.fsync_log = self.folder / f"fsyncs-{self.port}"
        command = self.target.program(self.port)
        redis = {command[0], os.path.realpath(command[0])} if VIEW and self.target.is_redis else ()
        self.program = Program(
            [*self.tracer(self.counting), *command, *self.rest],
            self.target.here or self.folder,
            self.environment(self.counting),
            memory=MEMORY if self.target.folder else 0,
            file_size=self.file_size,
            view="\n".join([VIEW, *(f"read {path}" for path in redis)]),  # a submission sees none
        )

    def log_options(self, appendfsync: str) -> list[str]:
        """Return the options that say where the append-only file is, or that there is none."""
        if self.data:
            return ["--dir", str(self.data), "--appendonly", "yes", "--appendfsync", appendfsync]
        if self.target.is_final or self.target.is_redis:
            return ["--dir", str(self.folder), "--appendonly", "no"]
        return []

    def environment(self, counting: bool) -> dict[str, str]:
        """Return variables with which a Python server prints at once, finds `final`, counts fsyncs; see `abort`."""
        paths = [str(ROOT)] * self.target.is_final + [str(COUNTING)] * counting
        return {
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",
            "FSYNC_LOG": str(self.fsync_log),
            "FSYNC_DELAY": str(self.fsync_delay),
            "PYTHONPATH": os.pathsep.join(paths),
            **({"PYTHONDONTWRITEBYTECODE": "1"} if self.file_size else {}),  # Python would keep half a .pyc file
        }

    def tracer(self, counting: bool) -> list[str]:
        """Return the start of the command line that counts the fsyncs of a program that is not Python: strace."""
        if not counting or self.target.folder:
            return []
        if not shutil.which("strace"):
            pytest.skip("counting the fsyncs of a program that is not Python needs strace")
        micros = round(1_000_000 * self.fsync_delay)
        delays = ["-e", f"inject=fsync,fdatasync:delay_enter={micros}:delay_exit={micros}"] if micros else []
        return ["strace", "-D", "-f", "-ttt", "-e", "trace=execve,fsync,fdatasync", *delays, "-o", str(self.fsync_log)]

    def await_ready(self) -> None:
        """Wait until the server accepts connections and has loaded its data; raise NotStarted if that fails."""
        seconds = 2 * self.patience.seconds
        if self.patience.unstarted >= TRIES:
            self.close()
            raise NotStarted(
                f"It accepted no connection {TRIES} times in a row; this is the last try.", *self.patience.last_said
            )
        deadline, moved = time.monotonic() + seconds, 0
        while True:
            ready = self.has_loaded(seconds)
            status = None if ready else self.wait(0.01)
            if (ready or status is not None) and self.port_is_taken():
                self.close()
                moved += 1
                if moved == TRIES:
                    raise NotStarted(f"Another program took its port, {TRIES} times in a row.", self.errors)
                self.start()
            elif ready:
                self.patience.started, self.patience.unstarted = True, 0
                return
            elif status is not None:
                raise NotStarted(
                    f"It ended with exit status {explained(status)} before it accepted connections.", self.errors
                )
            if time.monotonic() > deadline:
                self.patience.lost()
                self.patience.unstarted += 1
                self.abort()
                self.close()
                said = self.patience.last_said = (self.errors, self.own_program.dump)
                raise NotStarted(f"It accepted no connection on port {self.port} in {seconds:g} seconds.", *said)

    def has_loaded(self, seconds: float) -> bool:
        """Connect, and return whether that works and the data is loaded: until then a real Redis replies LOADING."""
        try:
            with socket.create_connection((self.host, self.port), seconds) as probe:
                if not self.target.is_redis:
                    return True
                probe.sendall(b"PING\r\n")
                return probe.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def port_is_taken(self) -> bool:
        """Whether another program listens on the port, which in a grading without namespaces may be a neighbour."""
        apart = not self.target.folder or VIEW or self.fixed
        return not apart and self.program is not None and taken(self.port, self.program.supervisor)

    def connect(self) -> Client:
        """Open a connection to the server."""
        client = Client(self.port, self.patience, self.host)
        self.clients.append(client)
        return client

    @property
    def own_program(self) -> Program:
        """The server's program. When somebody else has started the server (`HOST:PORT`), the test is skipped."""
        if self.program is None:
            pytest.skip(f"{self.target.name} is already running: this test has to watch or end it")
        return self.program

    def wait(self, seconds: float | None = None) -> int | None:
        """Return the exit status (negative: a signal's number), or None when the server still runs after `seconds`."""
        status = self.own_program.wait(self.patience.seconds if seconds is None else seconds)
        self.patience.in_vain |= status is None and seconds is None
        return status

    def stop(self, number: int = signal.SIGTERM) -> int | None:
        """Send the server a signal; return its exit status, or None when it has not ended in time."""
        self.own_program.signal(number)
        return self.wait()

    def kill(self) -> None:
        """End the server as `kill -9` does."""
        self.own_program.signal(signal.SIGKILL)
        self.wait()

    @property
    def alive(self) -> bool:
        """Whether the server is running; True when somebody else has started it."""
        return self.program is None or self.program.wait(0) is None

    def begin_test(self) -> None:
        """Begin a test: from now on `output`, `errors` and `clients` are those of this test.

        A server that has complained in the test before may still be at it: wait a moment until it is quiet.
        """
        self.clients = []
        if self.program:
            written = self.program.errors
            with written.grown:
                for _ in range(QUIET_TRIES):
                    if written.total == self.marks[1] or not written.grown.wait(QUIET):
                        break
            self.marks = (self.program.output.total, self.program.errors.total)

    @property
    def output(self) -> str:
        """What the server has written to standard output during this test."""
        return self.own_program.output.since(self.marks[0]).decode(errors="replace")

    @property
    def errors(self) -> str:
        """What the server has written to standard error during this test."""
        return self.own_program.errors.since(self.marks[1]).decode(errors="replace")

    def await_output(self, text: str) -> bool:
        """Wait until `text` is in the output, and return True; False when it does not come in time."""
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
        """Return the fsyncs so far of a server that was started with `counting=True`."""
        lines = self.fsync_log.read_text().splitlines() if self.fsync_log.exists() else []
        if self.target.folder:
            return [Fsync(float(when), main == "1") for when, main in map(str.split, lines)]
        calls = [line.split(None, 2) for line in lines if line.endswith((" = 0", " = 0 (DELAYED)"))]
        shift = time.monotonic() - time.time()
        main = calls[0][0] if calls else ""  # the thread of the execve that started the server
        return [Fsync(float(when) + shift, thread == main) for thread, when, _ in calls[1:]]

    def abort(self) -> None:
        """End the server, which has not answered in time; if it is Python, it says where it was."""
        if self.program and self.target.folder:
            self.program.abort()

    def close(self) -> None:
        """Close the connections, and kill the server and all processes that it started."""
        for client in self.clients:
            client.close()
        if self.program:
            self.program.close()
