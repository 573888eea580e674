"""Reader, engine and writer of final/ without a socket, and checks that must hold for any input."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from final.engine.acl.user import SUPERUSER
from final.engine.client import Client
from final.protocol.errors import ReplyError
from final.protocol.reader import ProtocolError, Reader
from final.protocol.writer import ArrayHeader, Replies, Value, encode
from stages.harness.wire import parse
from tests.support.oracle import InProcess
from tests.tools.fuzzing.mutations import CLIENTS, Piece

LONGEST = 20.0  # seconds of processor time that a conversation may take
STEP = 50  # milliseconds by which the clock advances after each piece
OPTIONS: dict[str, Any] = {"proto_max_bulk_len": 1 << 20, "enable_debug_command": "yes", "busy_reply_threshold": 50}
OPTIONS["dir"] = "/no/such/directory"  # so that SAVE fails
# Requests that are not executed: they would fork this process (a rewrite, a snapshot), or only sleep.
LEFT_OUT = ([b"bgrewriteaof"], [b"bgsave"], [b"config", b"set", b"appendonly"], [b"debug", b"sleep"])
# Their replies depend on the time, on addresses, or on the memory of this process, so they differ from run to run.
VOLATILE = (
    *(b"info", b"time", b"slowlog", b"latency", b"debug", b"monitor", b"memory", b"maxmemory", b"usage"),
    *(b"eval", b"fcall", b"genpass"),
)


class Broken(AssertionError):
    """A check failed."""


class TooLong(BaseException):
    """A conversation takes too much time, or a script that has written, so that it cannot be killed."""


@dataclass(eq=False)
class Visitor:
    """A client, and what a connection would keep for it."""

    client: Client
    reader: Reader
    received: bytearray = field(default_factory=bytearray)
    requests: int = 0
    answers: int = 0
    waits: bool = False


class Session:
    """A server with several clients, which it serves as `net/connection.py` does."""

    def __init__(self, peer: InProcess) -> None:
        self.peer, self.engine = peer, peer.engine
        self.engine.scripts.while_busy = self.end_script
        self.visitors = [self.connect() for _ in range(CLIENTS)]
        self.ready: list[Visitor] = []  # those whose blocked command was answered

    def connect(self) -> Visitor:
        """Connect another client."""
        visitor = Visitor(self.peer.connect(), Reader(lambda: self.engine.options.proto_max_bulk_len))
        visitor.client.deliver = lambda value: self.deliver(visitor, value)
        return visitor

    def end_script(self) -> None:
        """Kill a script that does not end, as an administrator would."""
        try:
            self.engine.scripts.kill()
        except ReplyError:
            raise TooLong("a script that has written does not end") from None

    def take(self, place: int, chunks: Iterable[bytes]) -> None:
        """Receive chunks from a client; then advance the clock."""
        for chunk in chunks:
            self.visitors[place].reader.feed(chunk)
            self.work(self.visitors[place])
        self.resume()
        self.peer.now += STEP
        self.engine.expire()
        self.resume()

    def resume(self) -> None:
        """Execute the requests behind blocked commands that were answered."""
        while self.ready:
            self.work(self.ready.pop(0))

    def work(self, visitor: Visitor) -> None:
        """Execute the complete requests, up to one that blocks."""
        client = visitor.client
        try:
            while not client.closing and client.parked is None and (args := visitor.reader.next()) is not None:
                if any([arg.lower() for arg in args[: len(names)]] == names for names in LEFT_OUT):
                    continue
                visitor.requests += 1
                answer = self.engine.execute(client, args)
                if self.engine.unit.notes:
                    raise Broken(f"notes are left after {args}")
                visitor.waits = client.parked is not None
                visitor.answers += not visitor.waits
                client.say(answer)
                if not visitor.waits:
                    client.end_request()
        except ProtocolError as error:
            self.write(visitor, ProtocolError(f"ERR {error}"))
            client.closing = True

    def write(self, visitor: Visitor, value: Value) -> None:
        """Encode a value for a client, and check that it is RESP."""
        data = encode(value, visitor.client.protocol)
        count = len(value) if isinstance(value, Replies) else 1
        visitor.received += data
        if isinstance(value, ArrayHeader):  # of EXEC: the replies in its array come one by one
            return
        end = 0
        try:
            for _ in range(count):
                end = parse(data, end)[1]
        except Exception as error:
            raise Broken(f"{data[:1000]!r} is not RESP: {error}") from error
        if end != len(data):
            raise Broken(f"{data[:1000]!r} is more than {count} replies")

    def deliver(self, visitor: Visitor, value: Value) -> None:
        """Send a client a push or a reply, which may be that to its blocked command."""
        self.write(visitor, value)
        if visitor.waits and visitor.client.parked is None:
            visitor.waits = False
            visitor.answers += 1
            self.ready.append(visitor)

    def end(self) -> None:
        """Time out all blocked commands; check that all requests were answered, and that no client is left."""
        while waiting := [visitor for visitor in self.visitors if visitor.client.parked is not None]:
            self.engine.waiting.time_out(waiting[0].client.parked)  # type: ignore[arg-type]
            self.resume()
        for number, visitor in enumerate(self.visitors):
            if visitor.answers != visitor.requests:
                raise Broken(f"client {number}: {visitor.requests} requests, {visitor.answers} answers")
        other = self.connect()
        other.client.user = SUPERUSER
        other.reader.feed(b"*1\r\n$4\r\nPING\r\n")
        self.work(other)
        if other.received != b"+PONG\r\n":
            raise Broken(f"PING is answered with {bytes(other.received)!r}")
        for visitor in (*self.visitors, other):
            self.engine.disconnect(visitor.client)
        left = [name for name in ("waiting", "watching") if getattr(self.engine, name)]
        left += [name for name in ("channels", "patterns") if getattr(self.engine.pubsub, name)]
        if left or set(self.engine.clients) - {self.peer.client.id}:
            raise Broken(f"left of closed connections: {left}, {self.engine.clients}")


def replies(pieces: list[Piece], cut: Callable[[bytes], Iterable[bytes]], peer: InProcess | None = None) -> list[bytes]:
    """Run a conversation with a new server; return the bytes that each client received."""
    random.seed(1)  # SPOP and its like choose the same members each time
    session = Session(peer or InProcess(**OPTIONS))
    for client, data in pieces:
        session.take(client, cut(data))
    session.end()
    return [bytes(visitor.received) for visitor in session.visitors]


def check(pieces: list[Piece], cut: Callable[[bytes], Iterable[bytes]]) -> None:
    """Check that a conversation is answered, and in the same way when its bytes are cut into chunks."""
    with limited():
        try:
            whole = replies(pieces, lambda data: [data])
            if any(name in data.lower() for _, data in pieces for name in VOLATILE):
                return
            parts = replies(pieces, cut)
        except TooLong as stop:
            if stop.args:
                return
            raise Broken(f"it takes more than {LONGEST} seconds") from stop
    if whole != parts:
        raise Broken(f"the replies differ when it is cut into chunks: {whole} and {parts}")


@contextmanager
def limited() -> Iterator[None]:
    """Raise TooLong after LONGEST seconds of processor time, which do not depend on the load of the machine."""

    def stop(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
