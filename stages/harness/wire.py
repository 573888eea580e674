"""A checkpoint's client: sends requests, compares replies byte by byte, never waits for ever.

It shares no code with the stages, so that an error about RESP cannot be made on both sides and stay hidden.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Reply = object


class Mismatch(AssertionError):
    """The server did not send what was expected. Has the bytes sent, expected and received, for the report.

    `found` says what they are, if they are not a reply, but were found in the log.
    """

    def __init__(self, sent: bytes, expected: bytes | str, received: bytes, why: str = "", found: str = "") -> None:
        super().__init__(why or found or f"expected {expected!r}, received {received!r}")
        self.sent, self.expected, self.received, self.why, self.found = sent, expected, received, why, found


class Error(str):
    """An error reply, as `ask` returns it."""


class Verbatim(bytes):
    """A verbatim string, its format included: `Verbatim(b"txt:Some string")`."""


class Push(list[Reply]):
    """A push message: the server sends it without a request."""


@dataclass
class Patience:
    """For how many seconds a checkpoint waits. Each wait in vain shortens the next one, so that a run ends soon."""

    seconds: float = 5.0
    started: bool = False  # whether any server has accepted connections
    unstarted: int = 0  # how many servers in a row have not accepted connections
    in_vain: bool = False  # a wait was in vain in the test that runs
    last_said: tuple[str, str] = ("", "")  # what the last of these wrote to standard error, and where it was

    def lost(self) -> None:
        """Halve the time after a wait in vain; it stays at least a second, unless it was shorter from the start."""
        self.in_vain = True
        self.seconds = max(min(1.0, self.seconds), self.seconds / 2)


def request(*args: bytes | str | int) -> bytes:
    """Encode a request with these arguments: an array of bulk strings."""
    encoded = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in encoded)


@dataclass(eq=False)
class Client:
    """One connection to a server. `sent` has the bytes sent since the last reply, for the report."""

    port: int
    patience: Patience
    host: str = "127.0.0.1"
    sent: bytes = b""
    received: bytes = b""
    ended: bool = False
    answered: bool = False
    socket: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self.socket = socket.create_connection((self.host, self.port), self.patience.seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    def send(self, data: bytes) -> None:
        """Send `data`. Receives at the same time, so that client and server cannot wait for each other for ever."""
        if self.answered:
            self.sent, self.answered = b"", False
        self.sent += data
        rest = memoryview(data)
        deadline = time.monotonic() + self.patience.seconds
        while rest and not self.ended:
            readable, writable, _ = select.select([self.socket], [self.socket], [], deadline - time.monotonic())
            if readable:
                self.receive()
            if writable:
                try:
                    rest = rest[self.socket.send(rest) :]
                except (BrokenPipeError, ConnectionResetError):
                    self.ended = True
                deadline = time.monotonic() + self.patience.seconds
            if not readable and not writable:
                self.patience.lost()
                raise Mismatch(
                    self.sent,
                    "",
                    self.received,
                    f"The server does not read any more: {len(rest)} bytes could not be sent.",
                )

    def receive(self) -> None:
        """Append the bytes that have arrived to `received`."""
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        self.received += data
        self.ended = self.ended or not data

    def more(self, deadline: float) -> bool:
        """Wait until more bytes arrive, and return True; False at the connection's end, or at the deadline."""
        if self.ended or not select.select([self.socket], [], [], max(0, deadline - time.monotonic()))[0]:
            return False
        self.receive()
        return not self.ended

    def expect(self, expected: bytes) -> None:
        """Assert that the next bytes received are exactly `expected`."""
        deadline = time.monotonic() + self.patience.seconds
        while expected.startswith(self.received) and len(self.received) < len(expected) and self.more(deadline):
            pass
        if not self.received.startswith(expected):
            self.fail(expected, deadline)
        self.received = self.received[len(expected) :]
        self.answered = True

    def fail(self, expected: bytes | str, deadline: float) -> None:
        """Raise Mismatch, with all bytes that still arrive within the next moment."""
        why = ""
        if self.ended:
            why = "The server closed the connection."
        elif time.monotonic() >= deadline:
            why = f"Nothing more came within {self.patience.seconds:g} seconds."
            self.patience.lost()
        while self.more(time.monotonic() + 0.05) and len(self.received) < 1 << 20:
            pass
        raise Mismatch(self.sent, expected, self.received, why)

    def read_reply(self) -> bytes:
        """Receive one complete reply, whatever it is, and return its bytes."""
        deadline = time.monotonic() + self.patience.seconds
        while True:
            try:
                end = parse(self.received)[1]
                break
            except Incomplete:
                if not self.more(deadline):
                    self.fail("one whole reply", deadline)
            except ValueError:
                self.fail("one whole reply", deadline)
        reply, self.received = self.received[:end], self.received[end:]
        self.answered = True
        return reply

    def expect_line(self, sign: bytes = b"") -> None:
        """Assert that the next line begins with `sign`; the rest of the line can be anything."""
        deadline = time.monotonic() + self.patience.seconds
        while b"\r\n" not in self.received and self.more(deadline):
            pass
        line, end, rest = self.received.partition(b"\r\n")
        if not end or not line.startswith(sign):
            self.fail(f"one line{f' that begins with {sign.decode()}' if sign else ''}", deadline)
        self.received, self.answered = rest, True

    def ask(self, *args: bytes | str | int) -> Reply:
        """Send a request and return its reply as a Python value. An error reply is returned as `Error`, not raised."""
        self.send(request(*args))
        return parse(self.read_reply())[0]

    def check(self, data: bytes, expected: bytes) -> None:
        """Send `data`, and assert that exactly `expected` comes back."""
        self.send(data)
        self.expect(expected)

    def expect_closed(self) -> None:
        """Assert that the server closes the connection, and sends nothing before."""
        deadline = time.monotonic() + self.patience.seconds
        while not self.received and self.more(deadline):
            pass
        if self.received and self.answered:  # what is shown looks like the replies that were right
            self.fail("the end of the connection, and no more replies (those before were right)", deadline)
        if self.received or not self.ended:
            self.fail("the end of the connection", deadline)

    def expect_nothing(self) -> None:
        """Assert that no more bytes have arrived by now."""
        while not self.ended and self.more(0):
            pass
        if self.received:
            raise Mismatch(self.sent, b"", self.received, "The server sent more than was expected.")

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()
        self.ended, self.received = True, b""


class Incomplete(Exception):
    """The reply is not complete yet."""


def parse(data: bytes, start: int = 0) -> tuple[Reply, int]:
    """Parse the RESP2 or RESP3 reply that begins at `start`; return its value and the offset of its end.

    Raise Incomplete when more bytes are needed, ValueError when this is no reply.
    """
    end = data.find(b"\r\n", start)
    if data[start : start + 1] not in KINDS:
        raise ValueError(f"no reply begins with {data[start : start + 1]!r}") if data[start:] else Incomplete
    if end < 0:
        raise Incomplete
    kind, line, end = chr(data[start]), data[start + 1 : end], end + 2
    if b"\n" in line or b"\r" in line:
        raise ValueError("half a line end inside a line")
    if kind in SCALARS:
        return SCALARS[kind](line), end
    if not line.removeprefix(b"-").isdigit():
        raise ValueError("a length is a number")
    size = int(line)
    if size < 0:
        return None, end
    if kind in "$!=":
        if len(data) < end + size + 2:
            raise Incomplete
        if data[end + size : end + size + 2] != b"\r\n":
            raise ValueError("the length does not lead to a line end")
        return BLOBS[kind](data[end : end + size]), end + size + 2
    items: list[Reply] = []
    for _ in range(size * 2 if kind in "%|" else size):
        item, end = parse(data, end)
        items.append(item)
    if kind == "|":  # attributes, which belong to the reply that follows them
        return parse(data, end)
    return AGGREGATES[kind](items), end


def pairs(items: list[Reply]) -> dict[Reply, Reply]:
    """Make a dictionary of a list in which keys and values alternate."""
    return dict(zip(items[::2], items[1::2], strict=True))


def null(line: bytes) -> None:
    """Parse RESP3's null, whose line is empty."""
    if line:
        raise ValueError("a null is empty")


SCALARS: dict[str, Callable[[bytes], Reply]] = {
    "+": lambda line: line.decode(errors="surrogateescape"),
    "-": lambda line: Error(line.decode(errors="surrogateescape")),
    ":": int,
    "(": int,
    ",": float,
    "#": {b"t": True, b"f": False}.__getitem__,
    "_": null,
}
BLOBS: dict[str, Callable[[bytes], Reply]] = {
    "$": bytes,
    "=": Verbatim,
    "!": lambda blob: Error(blob.decode()),
}
AGGREGATES: dict[str, Callable[[list[Reply]], Reply]] = {"*": list, "~": list, ">": Push, "%": pairs}
KINDS = {kind.encode() for kind in "+-:(,#_$=!*~>%|"}
