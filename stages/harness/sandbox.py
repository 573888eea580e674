"""A program under a supervisor (supervisor.py), seen from pytest: its limits, its output, its exit status."""

from __future__ import annotations

import ast
import contextlib
import functools
import marshal
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from stages.harness.supervisor import descendants

SUPERVISOR = Path(__file__).with_name("supervisor.py")
MEMORY = int(os.environ.get("CHECKPOINT_MEMORY", 2 << 30))
VIEW = os.environ.get("CHECKPOINT_VIEW", "")
OURS = ("CHECKPOINT_", "PYTEST_")  # variables that say what is tested: no program sees them
ONE_AT_A_TIME = threading.Lock()
KEPT_OUTPUT = 256 << 10
TOO_MUCH_OUTPUT = 256 << 20
DUMP = b"Fatal Python error: Aborted\n"  # begins what `abort` adds to standard error


class Tail(threading.Thread):
    """A thread that reads a stream to its end, so that the writer never blocks. Keeps the last `keep` bytes."""

    def __init__(self, stream: IO[bytes], keep: int = KEPT_OUTPUT) -> None:
        super().__init__(daemon=True)
        self.stream, self.keep = stream, keep
        self.total = 0
        self.kept = b""
        self.grown = threading.Condition()
        self.start()

    def run(self) -> None:
        """Read until all writers have closed the stream; close it after TOO_MUCH_OUTPUT bytes."""
        with self.stream:
            while self.total < TOO_MUCH_OUTPUT and (data := self.stream.read(1 << 16)):
                with self.grown:
                    self.total += len(data)
                    self.kept = (self.kept + data)[-self.keep :]
                    self.grown.notify_all()

    def since(self, mark: int) -> bytes:
        """Return the bytes after the first `mark` bytes of the stream, as far as they are kept."""
        with self.grown:
            return self.kept[max(0, mark - (self.total - len(self.kept))) :]


@functools.cache
def supervisors() -> socket.socket:
    """Start the process that forks supervisors; it ends when the socket is closed. All have the same hash seed."""
    ours, theirs = socket.socketpair()
    with theirs:
        command, null = [sys.executable, "-I", "-S", "-B", str(SUPERVISOR)], subprocess.DEVNULL
        subprocess.Popen(command, stdin=theirs.fileno(), stdout=null, stderr=null, start_new_session=True)
    return ours


class Program:
    """One running program. All processes that it starts end with it, and with this process.

    `memory` and `file_size` are limits in bytes, 0 for none. `processes`, when not 0, limits how many processes the
    program may have at a time; `memory` is then the limit for all of them together. `user` is the number of the user
    to run as, 0 for the same user. `view` is what of the files it sees (namespaces.py), "" for all. `pipe`, when
    not 0, is a file descriptor, which the program has as number 3.
    """

    def __init__(
        self,
        program: Sequence[str],
        folder: Path,
        environment: dict[str, str] | None = None,
        memory: int = MEMORY,
        file_size: int = 0,
        pipe: int = 0,
        processes: int = 0,
        user: int = 0,
        view: str = VIEW,
    ) -> None:
        self.status: int | None = None
        self.dump = ""
        self.control, control = socket.socketpair()
        (output, its_output), (errors, its_errors) = os.pipe(), os.pipe()
        variables = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        limits, descriptors = (memory, file_size, processes, user), [control.fileno(), its_output, its_errors]
        how = (variables | (environment or {}), *limits, view.splitlines(), str(folder), [*program])
        request = marshal.dumps(how)
        with ONE_AT_A_TIME:
            requests = supervisors()
            socket.send_fds(requests, [len(request).to_bytes(4, "big")], descriptors + [pipe] * (pipe > 0))
            requests.sendall(request)
            self.supervisor = int(requests.recv(16))  # its process id
        control.close()
        os.close(its_output)
        os.close(its_errors)
        self.output, self.errors = (Tail(os.fdopen(each, "rb", buffering=0)) for each in (output, errors))

    def signal(self, number: int) -> None:
        """Send the program a signal, unless it has ended."""
        if self.wait(0) is None:
            self.control.send(bytes([number]))

    def wait(self, seconds: float) -> int | None:
        """Return the exit status (negative: a signal's number), or None when the program still runs after `seconds`."""
        if self.status is None and select.select([self.control], [], [], seconds)[0]:
            self.status = int(self.control.recv(16) or -9)
            self.close()
        return self.status

    def abort(self) -> None:
        """End a program that has not answered in time. If Python's faulthandler is enabled, `dump` is where it was."""
        self.signal(signal.SIGABRT)
        self.wait(0.5)
        self.close()
        self.errors.kept, found, dump = self.errors.kept.partition(DUMP)
        self.errors.total -= len(found + dump)
        self.dump = self.dump or dump.decode(errors="replace")

    def close(self) -> None:
        """Kill the program and all processes that it started. A second call does nothing."""
        with contextlib.suppress(OSError), self.control:
            self.control.shutdown(socket.SHUT_WR)  # fails the second time
            while select.select([self.control], [], [], 10)[0] and self.control.recv(16):
                pass
        self.output.join(1)
        self.errors.join(1)
        self.status = -9 if self.status is None else self.status


def number_here(pid: int, program: Program) -> int:
    """Return the number here of a process that a program calls `pid`, or 0 if it is gone.

    In namespaces of its own a process has another number.
    """
    if sys.platform != "linux":
        return pid
    for each in descendants(program.supervisor):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{each}/status").read_text()
            if re.search(rf"^NSpid:.*\t{pid}$", status, re.MULTILINE):
                return each
    return 0


def explained(status: int | None) -> str:
    """Return an exit status with its meaning, where it is not just a number.

    >>> explained(1), explained(-9), explained(None)
    ('1', '-9 (killed by SIGKILL)', 'None (it was still running)')
    """
    if status is None:
        return "None (it was still running)"
    return str(status) if status >= 0 else f"{status} (killed by {signal.Signals(-status).name})"


class NoAnswer(Exception):
    """The source that was run gave no result. The message says why; `trace` is what it wrote to standard error."""

    def __init__(self, why: str, trace: str, dump: str = "") -> None:
        super().__init__(why)
        self.trace, self.dump, self.ran = trace, dump, ""


class TooSlow(NoAnswer):
    """The source did not finish in time."""


def answer(source: str, folder: Path, seconds: float, memory: int = MEMORY) -> tuple[object, str]:
    """Run Python source in its own process, in the folder; return what it names `result`, a literal, and its errors.

    Those are what it wrote to standard error. Raise NoAnswer when there is no such result.
    """
    read, write = os.pipe()
    try:
        program = Program(["-", source], folder, memory=memory, pipe=write)
    finally:
        os.close(write)
    result = Tail(os.fdopen(read, "rb", buffering=0), keep=TOO_MUCH_OUTPUT)
    status = program.wait(seconds)
    (program.abort if status is None else program.close)()
    result.join(1)
    trace = program.errors.since(0).decode(errors="replace")
    if max(program.output.total, program.errors.total) >= TOO_MUCH_OUTPUT:
        raise NoAnswer(f"It printed more than {TOO_MUCH_OUTPUT >> 20} MB.", "")
    if status is None:
        raise TooSlow(f"It had not finished after {seconds:g} seconds.", trace, program.dump)
    if status < 0:
        raise NoAnswer(f"It was ended by signal {-status}.", trace)
    if status == 0 and not result.kept:
        raise NoAnswer("The program ended (exit status 0) before it had answered.", trace)
    if status:
        raise NoAnswer("It raised an exception." if trace else f"It ended with exit status {status}.", trace)
    try:
        return ast.literal_eval(result.kept.decode()), trace
    except (ValueError, SyntaxError) as error:
        what = "A bytearray, which must be bytes," if b"bytearray(" in result.kept else "No plain data"
        raise NoAnswer(f"{what} came back: {result.kept[:200].decode(errors='replace')}", trace) from error
