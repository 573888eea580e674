"""The table of a connection's states, and connections that go through them in every order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
from types import SimpleNamespace

import pytest

from final.config.options import Options
from final.net.connection import Connection
from final.net.connection_state import BLOCKED, CLOSE, CLOSING, ENDING, NEXT, PAUSED, QUEUED, READY, RUNNING, State
from final.net.listener import AcceptedTransport
from final.net.sending import ROOM, SMALL
from final.net.server import Server
from stages.harness.wire import request

SEED = int(os.environ.get("SEED", random.randrange(10**6)))


def reachable(start: State) -> set[State]:
    """The states that some events lead to."""
    found = {start}
    while True:
        more = {after for state in found for after in NEXT[state].values()} - found
        if not more:
            return found
        found |= more


@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
def test_every_state_can_be_reached_and_left_until_the_connection_closes(state: State) -> None:
    assert state in reachable(READY)
    assert NEXT[state][CLOSE] is CLOSING
    assert state in (CLOSING, ENDING) or READY in reachable(state)
    assert state is not CLOSING or set(NEXT[state].values()) == {CLOSING}


class Transport(asyncio.Transport):
    """A transport that sends nothing, and knows whether it reads."""

    def __init__(self, ends: dict[str, object]) -> None:
        super().__init__(ends)
        self.reading = True
        self.closed = False

    def write(self, data: object) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return 0


class Accepted(AcceptedTransport):
    """An accepted connection without a socket."""

    def __init__(self) -> None:
        nothing = SimpleNamespace(fileno=lambda: -1)
        ends = {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}
        asyncio.Transport.__init__(self, {"socket": nothing, **ends})
        self.socket = None  # type: ignore[assignment]  # so all is written by the transport
        self.unsent = bytearray()
        self.closing = False


def consistent(connection: Connection) -> None:
    """Check what holds between two events, in every state."""
    state, client = connection.state, connection.client
    assert state is not RUNNING
    assert (state is BLOCKED) == (client.parked is not None)
    assert state not in (QUEUED, ENDING) or connection in connection.iteration.queue
    assert (connection.timer is not None) == (state is PAUSED or (client.parked and client.parked.deadline) is not None)
    assert client.closing == (state is CLOSING)
    if state not in (CLOSING, ENDING) and not connection.should_read:
        assert not connection.transport.reading  # type: ignore[attr-defined]
    assert state in (CLOSING, ENDING) or connection.choked or connection.reading or len(connection.iteration.queue)


REQUESTS = [
    *[request("PING")] * 3,
    request("INCR", "n"),
    request("GET", "n"),
    request("RPUSH", "k", "element"),
    request("BLPOP", "k", 0),
    request("BLPOP", "k", "0.001"),
    request("CLIENT", "PAUSE", 1),
    request("CLIENT", "PAUSE", 100_000, "WRITE"),
    request("CLIENT", "UNPAUSE"),
    request("INCR", "n") * 200,
    request("SET", "large", "x" * SMALL * 2),
    request("SET", "large", "x" * SMALL * 2)[:-SMALL],
    request("CLIENT", "KILL", "TYPE", "normal"),
    request("QUIT"),
    b"*x\r\n",
]


@pytest.mark.parametrize("number", range(40))
def test_in_every_order_of_events_the_states_agree_with_what_they_say(number: int) -> None:
    chance = random.Random(SEED + number)

    async def talk() -> None:
        server = Server(Options(appendonly="no"))
        connections: list[Connection] = []
        for _ in range(60):
            if len(server.connections) < 4:
                accepted = Accepted()
                each = Connection(server.iteration, server.connections, accepted)
                server.connections.add(each)
                each.connection_made(Transport(accepted._extra))  # type: ignore[attr-defined]
                connections.append(each)
            each = chance.choice(connections)
            match chance.randrange(12):
                case 0:
                    each.pause_writing()
                case 1 | 2 if each.choked:
                    each.resume_writing()
                case 3:
                    each.transport.is_closing() or each.eof_received()
                case 4:
                    each.connection_lost(None)
                case 5:
                    await asyncio.sleep(chance.choice([0, 0.002]))
                case _:
                    if each.transport.reading and not each.transport.closed:  # type: ignore[attr-defined]
                        each.data_received(b"".join(chance.choices(REQUESTS, k=chance.choice([1, 1, 3]))))
            for each in connections:
                consistent(each)
        server.engine.pause.end()
        for each in connections:
            each.resume_writing()
            each.unpause()
        while server.iteration.queue:
            await asyncio.sleep(0)
        for each in connections:
            assert each.state in (READY, BLOCKED, PAUSED, CLOSING), f"SEED={SEED}"

    asyncio.run(talk())


class Holding(Transport):
    """A transport that holds what it is given, as if the client never read."""

    def __init__(self) -> None:
        super().__init__({})
        self.held = bytearray()

    def write(self, data: object) -> None:
        self.held += data  # type: ignore[arg-type]

    def get_write_buffer_size(self) -> int:
        return len(self.held)


def test_nothing_overtakes_what_the_transport_holds() -> None:
    connection = Connection(Server(Options(appendonly="no")).iteration, set(), Accepted())
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.settimeout(10)
        connection.socket, connection.transport = ours, (transport := Holding())
        connection.large.append(memoryview(b"x" * ROOM))
        connection.send_large()
        read = len(theirs.recv(1 << 20))
        connection.write(b"next")
        theirs.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                read += len(theirs.recv(1 << 20))
        assert b"next" in transport.held and read + len(transport.held) == ROOM + len("next")
        transport.held.clear()
        connection.write(b"at once")
        assert theirs.recv(100) == b"at once" and not transport.held
