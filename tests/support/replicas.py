"""Replicas that a test plays: of an engine in this process, without a socket. See `Played`."""

from __future__ import annotations

import re
import time
from typing import NoReturn

from final.engine.replay import replay
from final.log.rdb.cursor import Cursor
from final.log.rdb.read import read_snapshot
from final.protocol.inline import split_inline
from final.protocol.reader import Reader
from tests.support.folders import data_of
from tests.support.machine import within
from tests.support.oracle import InProcess, shown

CHUNK = 64 * 1024


def chosen(peer: InProcess, replid: str = "a" * 40, offset: int = 0) -> None:
    """Let the stream of an engine begin, under this ID, as if there had been a replica."""
    peer.engine.primary.begin(replid, offset)


def work(peer: InProcess) -> None:
    """Do what the server's timers and the event loop do for a child process and those that wait for it."""
    engine = peer.engine
    engine.snapshots.tick()
    engine.primary.tick()
    if engine.primary.full_sync.reading:
        engine.primary.full_sync.read()


class Played:
    """A replica, played by a test. `received` has what it was sent and what the test has not looked at yet."""

    def __init__(self, peer: InProcess, *announced: str) -> None:
        self.peer = peer
        self.client = peer.connect()
        self.closed = False
        self.client.hang_up = self.leave
        self.received = b""
        for line in announced or ("REPLCONF listening-port 7000", "REPLCONF capa eof capa psync2"):
            assert self.ask(line) == "+OK"

    def ask(self, line: str) -> str:
        """Send a request; return the reply to it, "" if there is none."""
        before, self.peer.client = self.peer.client, self.client
        try:
            return shown(b"".join(self.peer.ask_all([split_inline(line.encode())])))
        finally:
            self.peer.client = before

    def leave(self) -> None:
        """Disconnect."""
        self.peer.engine.disconnect(self.client)
        self.closed = True

    def more(self) -> bytes:
        """Receive what there is; return all that is received."""
        replica = self.client.replica
        while replica is not None and not self.client.closing and (data := replica.take(CHUNK)):
            self.received += data
        return self.received

    def line(self) -> str:
        """Take a line."""
        line, _, self.received = self.more().partition(b"\r\n")
        return line.decode()

    def until(self, pattern: bytes) -> re.Match[bytes]:
        """Let the server work and receive, until what is received matches."""
        deadline = time.monotonic() + within(20)
        while not (match := re.search(pattern, self.more(), re.DOTALL)):
            work(self.peer)
            assert time.monotonic() < deadline, self.received[:1000]
        return match

    def snapshot(self) -> InProcess:
        """Take the snapshot, in whichever form it comes; return an engine with its data."""
        self.until(rb"\$EOF:(.{40})\r\n.*\1|\$\d+\r\n")
        head, _, rest = self.received.lstrip(b"\n").partition(b"\r\n")
        if head.startswith(b"$EOF:"):
            mark = head[5:]
            data, _, self.received = rest.partition(mark)
        else:
            size = int(head[1:])
            while len(rest) < size:
                rest += self.until(b".")[0]
                self.received = b""
            data, self.received = rest[:size], rest[size:]
        return loaded(data)

    def synchronise(self) -> InProcess:
        """Ask for all data; return an engine with it. The stream may be taken after that."""
        assert self.ask("PSYNC ? -1") == ""
        self.until(rb"\+FULLRESYNC [0-9a-f]{40} \d+\r\n")
        self.line()
        copy = self.snapshot()
        while self.client.replica is not None and self.client.replica.state.shown != "online":
            work(self.peer)
        self.ask("REPLCONF ACK 0")
        return copy

    def stream(self) -> list[list[bytes]]:
        """Take the requests that are in the stream."""
        reader = Reader()
        reader.feed(self.more())
        self.received = b""
        return list(iter(reader.next, None))

    def shown(self) -> list[str]:
        """Take the requests that are in the stream, as text."""
        return [b" ".join(args).decode() for args in self.stream()]


def loaded(snapshot: bytes) -> InProcess:
    """Return an engine with the data of a snapshot."""
    copy = InProcess()
    apply(copy, [args for _, args in read_snapshot(Cursor(snapshot)) if args])
    return copy


def apply(copy: InProcess, requests: list[list[bytes]]) -> None:
    """Execute requests of a stream, from its SELECT on: no key expires but by one of them."""

    def refuse(at: int, reason: str) -> NoReturn:
        raise AssertionError(reason)

    replay(copy.engine, [(requests, refuse)])


def same(peer: InProcess, copy: InProcess) -> bool:
    """Return whether two engines have the same data."""
    copy.now = peer.now
    return data_of(peer) == data_of(copy)
