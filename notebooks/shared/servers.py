"""Starts servers for the experiments, connects to them, and stops them all at the end."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import re
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from . import keeper
from .folders import HAS_TARGET, ROOT, code_folder
from .learner import CheckFailed

# seconds that an experiment waits for a server before it raises TimeoutError
PATIENCE = float(os.environ.get("NOTEBOOK_PATIENCE", 5))


class Stoppable(Protocol):
    """A server or connection that stays open until the last cell."""

    def close(self) -> None:
        """Stop it. A second call does nothing."""


_open: list[Stoppable] = []


def close_all() -> None:
    """Stop every server and close every connection that this module opened."""
    while _open:
        _open.pop().close()


atexit.register(close_all)


class Program:
    """A server in its own process.

    `port` is the port it listens on. `startup_lines` has the lines printed before it was ready, `output` those since.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self.process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        keeper.keep("process", self.process.pid)
        self.output: list[str] = []
        self._said = threading.Condition()
        self._listener = threading.Thread(target=self._collect, daemon=True)
        self._listener.start()
        _open.append(self)
        with self._said:
            self._said.wait_for(lambda: self._listens() or self.process.poll() is not None, PATIENCE)
        if not self._listens():
            self.kill()
            raise RuntimeError("the server did not start:\n" + "\n".join(self.output))
        self.port = int(self.output.pop().rpartition(":")[2])
        self.startup_lines = self.output.copy()
        self.output.clear()

    def _listens(self) -> bool:
        """Whether the last line it printed says where it listens."""
        return re.fullmatch(r"listening on .*:\d+", self.output[-1]) is not None if self.output else False

    def _collect(self) -> None:
        """Append each line that the program prints to `output`; runs in a thread."""
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:
                with self._said:
                    self.output.append(line.rstrip("\n"))
                    self._said.notify_all()

    def lines(self, count: int) -> list[str]:
        """Return the lines printed since the program was ready, once there are `count` of them or it has ended.

        Raise TimeoutError when neither happens within PATIENCE seconds.
        """
        with self._said:
            if not self._said.wait_for(lambda: len(self.output) >= count or self.process.poll() is not None, PATIENCE):
                raise TimeoutError(f"expected {count} lines, the program has printed {self.output}")
        return self.output or [""]

    def stop(self) -> None:
        """Ask the program to stop (SIGTERM), and wait until it has ended."""
        if self.process.poll() is None:
            self.process.terminate()
        self._end()

    def kill(self) -> None:
        """End the program at once, without a chance to clean up: `kill -9`."""
        self.process.kill()
        self._end()

    def _end(self) -> None:
        """Wait for the end of the process and of the thread; kill a process that does not end."""
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        keeper.forget("process", self.process.pid)
        self._listener.join(PATIENCE)

    close = stop


def start(what: int | str | Callable[..., None], *options: str) -> Program:
    """Start a server on a free port and wait until it listens.

    `what` is the number of a stage (its server.py is run with `options`), the name of a package (run as `python -m`
    does, with `options`), or a function from a cell (called with a listening socket, in its own process).
    """
    if isinstance(what, str):
        return Program([sys.executable, "-m", what, "--port", "0", *options], ROOT)
    if isinstance(what, int):
        folder = code_folder(what)
        return Program([sys.executable, "server.py", "--port", "0", *options], folder)
    program = f"""
import socket, sys, threading
{textwrap.dedent(inspect.getsource(what))}
listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
{what.__name__}(listener)
"""
    return Program([sys.executable, "-c", program], ROOT)


def connect(port: int) -> socket.socket:
    """Connect to a server on this machine. `client.recv` raises TimeoutError after PATIENCE seconds."""
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _open.append(client)
    return client


def receive(client: socket.socket, count: int) -> bytes:
    """Read `count` bytes; fewer if the server closes the connection, or sends nothing for PATIENCE seconds."""
    data = bytearray()
    with suppress(TimeoutError):
        while len(data) < count and (chunk := client.recv(count - len(data))):
            data += chunk
    return bytes(data)


def receive_all(client: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    data = b""
    while chunk := client.recv(65536):
        data += chunk
    return data


def ask(port: int, data: bytes) -> bytes:
    """Connect, send `data`, read the same number of bytes, and close the connection."""
    with connect(port) as client:
        client.sendall(data)
        return receive(client, len(data))


@contextmanager
def first_look() -> Iterator[None]:
    """Let a cell show the finished stage; if it runs on the learner's files, say so instead of an error."""
    try:
        yield
    except Exception as error:
        if not HAS_TARGET:
            raise
        print(f"This runs on your work/, which cannot do it yet: {error}\nCome back when you have written the steps.")


async def serve(connection: Callable[[], asyncio.BaseProtocol]) -> int:
    """Listen in the notebook's own event loop and return the port. Each client is served by a new `connection()`."""
    listener = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    _open.append(listener)
    port: int = listener.sockets[0].getsockname()[1]
    return port


async def until(condition: Callable[[], object], hint: str = "") -> None:
    """Run the notebook's event loop until `condition()`; after PATIENCE seconds raise CheckFailed with the hint."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise CheckFailed(f"waited {PATIENCE:g} seconds in vain\nhint      {hint}")
        await asyncio.sleep(0.001)


class Tap:
    """A server that stores each chunk that a client sends in `chunks`, and replies to each with `answer`."""

    def __init__(self, answer: bytes = b"+OK\r\n") -> None:
        self.chunks: list[bytes] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        _open.append(self)

    def _accept(self) -> None:
        """Serve the clients, one after the other; runs in a thread."""
        while True:
            try:
                client, _ = self._listener.accept()
                with client:
                    client.settimeout(PATIENCE)
                    while chunk := client.recv(65536):
                        self.chunks.append(chunk)
                        client.sendall(self._answer)
            except TimeoutError:
                continue
            except OSError:
                if self._listener.fileno() < 0:
                    return

    @property
    def heard(self) -> bytes:
        """Everything that clients have sent so far."""
        return b"".join(self.chunks)

    def close(self) -> None:
        """Stop listening."""
        if self._listener.fileno() >= 0:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()


class RealRedis:
    """A real redis-server or valkey-server with its append-only file in `folder`.

    It listens on the Unix socket at the path `socket`, and on `port`.
    """

    def __init__(self, folder: Path) -> None:
        self.socket = str(folder / "redis.socket")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        address = ("--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", self.socket)
        options = (*address, "--appendonly", "yes", "--save", "")
        command = [real_redis() or "redis-server", *options]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        keeper.keep("process", self.process.pid)
        _open.append(self)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not self._answers():
            time.sleep(0.02)

    def _answers(self) -> bool:
        """Whether the server has loaded its append-only file: until then it replies to PING with an error."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            try:
                client.connect(self.socket)
                client.sendall(b"PING\r\n")
                return client.recv(7) == b"+PONG\r\n"
            except OSError:
                return False

    def close(self) -> None:
        """Stop the server."""
        self.process.terminate()
        self.process.wait()
        keeper.forget("process", self.process.pid)


def real_redis() -> str | None:
    """Return the path of a real Redis on this machine, None when none is installed."""
    return shutil.which("redis-server") or shutil.which("valkey-server")
