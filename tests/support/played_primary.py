"""A primary that a test plays over a socket, for a replica that is the server under test."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from types import TracebackType

from final.log.child import joined
from final.log.rdb.write import snapshot, with_checksum
from final.protocol.reader import Reader
from stages.harness.wire import request
from tests.support.machine import within
from tests.support.oracle import InProcess, args_of

REPLID = "0123456789abcdef0123456789abcdef01234567"
MARK = b"5f0c" + 36 * b"e"  # ends otherwise than it begins: a snapshot that ends in "5" does not move it


def snapshot_of(*lines: str, checked: bool = True) -> bytes:
    """Return a snapshot of the data that these requests create."""
    peer = InProcess()
    for line in lines:
        assert not peer.ask(line).startswith("-"), line
    return b"".join(with_checksum(joined(snapshot(peer.engine.stores, False)), checked))


class PlayedPrimary:
    """Listens on a port of its own. `accept` waits for the replica's next connection."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(within(20))
        self.port = self.listener.getsockname()[1]
        self.link: socket.socket | None = None
        self.reader = Reader()
        self.offset = 0  # of the stream
        self.greeting: list[list[bytes]] = []  # the requests of the last handshake, PSYNC included

    def __enter__(self) -> PlayedPrimary:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.hang_up()
        self.listener.close()

    def accept(self) -> None:
        """Wait for a connection, in place of the one before."""
        self.hang_up()
        self.link, _ = self.listener.accept()
        self.link.settimeout(within(20))
        self.reader = Reader()

    def hang_up(self) -> None:
        """Close the connection."""
        if self.link is not None:
            self.link.close()
            self.link = None

    def send(self, *pieces: bytes) -> None:
        """Send bytes, each piece by itself."""
        assert self.link is not None
        self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            self.link.sendall(piece)

    def next_request(self) -> list[bytes]:
        """Return the replica's next request, or [] if it closes the connection."""
        assert self.link is not None
        while (args := self.reader.next()) is None:
            try:
                data = self.link.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return []
            self.reader.feed(data)
        return args

    def greet(self, *answers: bytes) -> list[bytes]:
        """Accept a connection, answer the handshake, and return the arguments of PSYNC."""
        self.accept()
        self.greeting = []
        while (args := self.next_request())[:1] != [b"PSYNC"]:
            assert args, f"the replica has hung up after {self.greeting}"
            self.greeting.append(args)
            self.send(b"+PONG\r\n" if args == [b"PING"] else b"+OK\r\n")
        self.greeting.append(args)
        return args[1:]

    def send_all(self, data: bytes, offset: int = 0, replid: str = REPLID, marked: bool = False) -> None:
        """Answer PSYNC with a full synchronisation."""
        self.offset = offset
        self.send(b"+FULLRESYNC %b %d\r\n" % (replid.encode(), offset))
        self.send(b"$EOF:%b\r\n%b%b" % (MARK, data, MARK) if marked else b"$%d\r\n%b" % (len(data), data))

    def change(self, *lines: str) -> None:
        """Send requests of the stream."""
        data = stream(lines)
        self.offset += len(data)
        self.send(data)

    def change_and_wait(self, *lines: str) -> None:
        """Send requests of the stream, and wait until the replica has executed them."""
        self.change(*lines, "REPLCONF GETACK *")
        self.await_ack()

    def await_ack(self) -> None:
        """Wait until the replica has acknowledged all of the stream."""
        while (args := self.next_request()) != [b"REPLCONF", b"ACK", b"%d" % self.offset]:
            assert args, "the replica has hung up"

    def await_end(self) -> None:
        """Wait until the replica closes the connection."""
        while self.next_request():
            pass


def stream(lines: Iterable[str]) -> bytes:
    """Return requests as they are in the stream."""
    return b"".join(request(*args_of(line)) for line in lines)
