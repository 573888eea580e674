"""A checkpoint's side of the connection: requests out, replies in, every byte compared, every wait bounded.

It shares no code with the stages, so that no misunderstanding of RESP can hide on both sides.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Reply = object


class Mismatch(AssertionError):
    """What came is not what was expected; carries the bytes for the report."""

    def __init__(self, sent: bytes, expected: bytes | str, received: bytes, why: str = "") -> None:
        super().__init__(why or f"expected {expected!r}, received {received!r}")
        self.sent, self.expected, self.received, self.why = sent, expected, received, why


class Error(str):
    """An error reply, as `ask` answers with it."""


class Verbatim(bytes):
    """A verbatim string, with its format: `Verbatim(b"txt:Some string")`."""


class Push(list[Reply]):
    """A push: what the server says without being asked."""


@dataclass
class Patience:
    """How long a checkpoint waits for what does not come: less each time, so that it costs seconds only."""

    seconds: float = 5.0
    unstarted: int = 0  # how many servers in a row were waited for in vain

    def lost(self) -> None:
        """Wait half as long the next time, but never less than a second, or less from the beginning."""
        self.seconds = max(min(1.0, self.seconds), self.seconds / 2)


def request(*words: bytes | str | int) -> bytes:
    """Encode the words as a request: an array of bulk strings."""
    encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)


@dataclass(eq=False)
class Client:
    """One connection. What is sent since the last reply is remembered for the report."""

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
        """Send the bytes; what arrives meanwhile is kept, so that neither side waits for the other."""
        if self.answered:
            self.sent, self.answered = b"", False
        self.sent += data
        rest = memoryview(data)
        deadline = time.monotonic() + self.patience.seconds
        while rest and not self.ended:
            readable, writable, _ = select.select(
                [self.socket], [self.socket], [], deadline - time.monotonic()
            )
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
                    self.sent, "", self.received, f"The server takes no more; {len(rest)} bytes are left."
                )

    def receive(self) -> None:
        """Take what has arrived."""
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        self.received += data
        self.ended = self.ended or not data

    def more(self, deadline: float) -> bool:
        """Wait until more has arrived; False when the connection has ended or the deadline has come."""
        if self.ended or not select.select([self.socket], [], [], max(0, deadline - time.monotonic()))[0]:
            return False
        self.receive()
        return not self.ended

    def expect(self, expected: bytes) -> None:
        """The next bytes are exactly these."""
        deadline = time.monotonic() + self.patience.seconds
        while (
            expected.startswith(self.received) and len(self.received) < len(expected) and self.more(deadline)
        ):
            pass
        if not self.received.startswith(expected):
            self.fail(expected, deadline)
        self.received = self.received[len(expected) :]
        self.answered = True

    def fail(self, expected: bytes | str, deadline: float) -> None:
        """Raise the mismatch, with whatever else arrives in the next moment."""
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
        """Read the bytes of one whole reply, whatever it says."""
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
        """The next line, whatever it says, begins with the sign."""
        deadline = time.monotonic() + self.patience.seconds
        while b"\r\n" not in self.received and self.more(deadline):
            pass
        line, end, rest = self.received.partition(b"\r\n")
        if not end or not line.startswith(sign):
            self.fail(f"one line{f' that begins with {sign.decode()}' if sign else ''}", deadline)
        self.received, self.answered = rest, True

    def ask(self, *words: bytes | str | int) -> Reply:
        """Send a request and answer with its reply as a Python value (errors as `Error`, not raised)."""
        self.send(request(*words))
        return parse(self.read_reply())[0]

    def check(self, data: bytes, expected: bytes) -> None:
        """Send these bytes, and exactly those come back."""
        self.send(data)
        self.expect(expected)

    def expect_closed(self) -> None:
        """The server closes the connection, and says nothing more before."""
        deadline = time.monotonic() + self.patience.seconds
        while not self.received and self.more(deadline):
            pass
        if self.received or not self.ended:
            self.fail("the end of the connection", deadline)

    def expect_nothing(self) -> None:
        """Nothing has arrived that was not asked for, as far as one can see now."""
        while not self.ended and self.more(0):
            pass
        if self.received:
            raise Mismatch(self.sent, b"", self.received, "More came than was expected.")

    def close(self) -> None:
        """Hang up."""
        self.socket.close()
        self.ended, self.received = True, b""


class Incomplete(Exception):
    """The reply is not all there yet."""


def parse(data: bytes, start: int = 0) -> tuple[Reply, int]:
    """Read one RESP2 or RESP3 reply strictly: its value and where it ends; Incomplete, or ValueError."""
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
    if kind == "|":  # attributes: said about the reply that follows them
        return parse(data, end)
    return AGGREGATES[kind](items), end


def pairs(items: list[Reply]) -> dict[Reply, Reply]:
    """Make a dictionary of keys and values that come in turn."""
    return dict(zip(items[::2], items[1::2], strict=True))


def null(line: bytes) -> None:
    """RESP3's null has nothing to say."""
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
