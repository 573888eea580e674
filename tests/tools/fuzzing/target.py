"""Reader, engine and writer of final/ without a socket, and what has to hold whatever comes in."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from final.engine.client import Client
from final.protocol.errors import ReplyError
from final.protocol.reader import ProtocolError, Reader
from final.protocol.writer import Replies, Value, encode
from stages.harness.wire import parse
from tests.support.oracle import InProcess
from tests.tools.fuzzing.mutations import CLIENTS, Piece

LONGEST = 20.0  # seconds of this process's own time that a conversation may take
STEP = 50  # milliseconds by which the clock moves from piece to piece
OPTIONS: dict[str, Any] = {"proto_max_bulk_len": 1 << 20, "enable_debug_command": "yes", "busy_reply_threshold": 50}
# Left out by name: what forks this very process (the rewrite of a log), and what does nothing but sleep.
LEFT_OUT = ([b"bgrewriteaof"], [b"config", b"set", b"appendonly"], [b"debug", b"sleep"])
# Answers that tell of the real time, of addresses, or of what this process uses: they differ from run to run.
VOLATILE = (b"info", b"time", b"slowlog", b"debug", b"monitor", b"memory", b"eval", b"maxmemory", b"usage")


class Broken(AssertionError):
    """Something that has to hold did not."""


class TooLong(BaseException):
    """A conversation, or a script that has written and that nobody can end, takes too much of our time."""


@dataclass(eq=False)
class Guest:
    """One client, and what a connection would keep for it."""

    client: Client
    reader: Reader
    heard: bytearray = field(default_factory=bytearray)
    requests: int = 0
    answers: int = 0
    waits: bool = False


class Session:
    """A server that several guests talk to, as `server.Connection` lets them."""

    def __init__(self, peer: InProcess) -> None:
        self.peer, self.engine = peer, peer.engine
        self.engine.scripts.while_busy = self.end_script
        self.guests = [self.welcome() for _ in range(CLIENTS)]
        self.ready: list[Guest] = []  # those whose command waits no more

    def welcome(self) -> Guest:
        """A guest more."""
        guest = Guest(self.peer.connect(), Reader(self.engine.options.proto_max_bulk_len))
        guest.client.deliver = lambda value: self.deliver(guest, value)
        return guest

    def end_script(self) -> None:
        """What an administrator does when a script does not end."""
        try:
            self.engine.scripts.kill()
        except ReplyError:
            raise TooLong("a script that has written does not end") from None

    def take(self, place: int, chunks: Iterable[bytes]) -> None:
        """Chunks come from a guest; then time goes on."""
        for chunk in chunks:
            self.guests[place].reader.feed(chunk)
            self.work(self.guests[place])
        self.go_on()
        self.peer.now += STEP
        self.engine.expire()
        self.go_on()

    def go_on(self) -> None:
        """Execute what stood behind commands that wait no more."""
        while self.ready:
            self.work(self.ready.pop(0))

    def work(self, guest: Guest) -> None:
        """Execute the complete requests, up to one that waits."""
        client = guest.client
        try:
            while not client.leaving and client.parked is None and (args := guest.reader.next()) is not None:
                if any([arg.lower() for arg in args[: len(names)]] == names for names in LEFT_OUT):
                    continue
                guest.requests += 1
                answer = self.engine.execute(client, args)
                if self.engine.unit.notes:
                    raise Broken(f"notes are left after {args}")
                guest.waits = client.parked is not None
                guest.answers += not guest.waits
                if client.mute:
                    client.mute -= 1
                else:
                    self.write(guest, answer)
        except ProtocolError as error:
            self.write(guest, ProtocolError(f"ERR {error}"))
            client.leaving = True

    def write(self, guest: Guest, value: Value) -> None:
        """A guest hears something, which has to be RESP."""
        data = encode(value, guest.client.protocol)
        count = len(value) if isinstance(value, Replies) else 1
        end = 0
        try:
            for _ in range(count):
                end = parse(data, end)[1]
        except Exception as error:
            raise Broken(f"{data[:1000]!r} is no RESP: {error}") from error
        if end != len(data):
            raise Broken(f"{data[:1000]!r} is more than {count} replies")
        guest.heard += data

    def deliver(self, guest: Guest, value: Value) -> None:
        """A guest hears what is no answer to a request under way."""
        self.write(guest, value)
        if guest.waits and guest.client.parked is None:
            guest.waits = False
            guest.answers += 1
            self.ready.append(guest)

    def end(self) -> None:
        """The time of all who wait is up, everybody was answered; the server serves another one, and forgets these."""
        while waiting := [guest for guest in self.guests if guest.client.parked is not None]:
            self.engine.waiting.time_out(waiting[0].client.parked)  # type: ignore[arg-type]
            self.go_on()
        for number, guest in enumerate(self.guests):
            if guest.answers != guest.requests:
                raise Broken(f"client {number}: {guest.requests} requests, {guest.answers} answers")
        other = self.welcome()
        other.client.authenticated = True
        other.reader.feed(b"*1\r\n$4\r\nPING\r\n")
        self.work(other)
        if other.heard != b"+PONG\r\n":
            raise Broken(f"PING is answered with {bytes(other.heard)!r}")
        for guest in (*self.guests, other):
            self.engine.disconnect(guest.client)
        left = [name for name in ("waiting", "watching") if getattr(self.engine, name)]
        left += [name for name in ("channels", "patterns") if getattr(self.engine.hub, name)]
        if left or set(self.engine.clients) - {self.peer.client.id}:
            raise Broken(f"who has gone is not forgotten: {left}, {self.engine.clients}")


def heard(pieces: list[Piece], cut: Callable[[bytes], Iterable[bytes]], peer: InProcess | None = None) -> list[bytes]:
    """Have a conversation with a new server; give what each client heard."""
    random.seed(1)  # SPOP and its kin take the same each time
    session = Session(peer or InProcess(**OPTIONS))
    for client, data in pieces:
        session.take(client, cut(data))
    session.end()
    return [bytes(guest.heard) for guest in session.guests]


def check(pieces: list[Piece], cut: Callable[[bytes], Iterable[bytes]]) -> None:
    """Whatever is said, and however it is cut: answers, always the same, and nothing that breaks."""
    with limited():
        try:
            whole = heard(pieces, lambda data: [data])
            if any(name in data.lower() for _, data in pieces for name in VOLATILE):
                return
            parts = heard(pieces, cut)
        except TooLong as stop:
            if stop.args:
                return
            raise Broken(f"it takes more than {LONGEST} seconds") from stop
    if whole != parts:
        raise Broken(f"cut into chunks, it is answered differently: {whole} and {parts}")


@contextmanager
def limited() -> Iterator[None]:
    """Stop what takes too much of the processor's time, however busy the machine is with other things."""

    def stop(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
