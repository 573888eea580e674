"""Commands that wait for a list, in process: who is served, when, and who is not. See also the conversations."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from final.engine.client import Client
from final.net.server import Server as FinalServer
from final.options import Options
from final.protocol.writer import Value, encode
from stages.harness.wire import request
from tests.support.oracle import InProcess, args_of, shown

BLOCKING = [
    "BLPOP a 0.25",
    "BRPOP a b 0.25",
    "BLMOVE a b LEFT RIGHT 0.25",
    "BRPOPLPUSH a b 0.25",
    "BLMPOP 0.25 2 a b LEFT COUNT 3",
]
each_blocking = pytest.mark.parametrize("line", BLOCKING)


# In process: time is what the test says


class Ears:
    """A client in process, and what is delivered to it."""

    def __init__(self, peer: InProcess) -> None:
        self.peer = peer
        self.heard: list[str] = []
        self.client: Client = peer.engine.connect(deliver=self.hear)

    def hear(self, value: Value) -> None:
        """Keep what was delivered."""
        self.heard.append(shown(encode(value)))

    def ask(self, line: str) -> str:
        """Execute one request; the reply, "" where it has to wait."""
        return shown(encode(self.peer.engine.execute(self.client, args_of(line))))


@pytest.fixture
def peer() -> InProcess:
    return InProcess()


@each_blocking
def test_a_command_waits_until_its_time_is_up_and_no_longer(peer: InProcess, line: str) -> None:
    one = Ears(peer)
    assert one.ask(line) == ""
    assert one.client.parked is not None and one.client.parked.deadline == peer.now + 250
    peer.engine.waiting.time_out(one.client.parked)
    assert one.heard == ["*-1"] and one.client.parked is None
    assert peer.ask("RPUSH a 1") == ":1" and peer.ask("LRANGE a 0 -1") == "*1 $1 1"


@pytest.mark.parametrize(
    ("timeout", "milliseconds"),
    [("1", 1000), ("0.001", 1), ("0.0001", 1), ("1.5", 1500), ("1e2", 100_000), ("0x10", 16_000), ("+.5", 500)],
)
def test_a_timeout_is_rounded_up_to_milliseconds(peer: InProcess, timeout: str, milliseconds: int) -> None:
    one = Ears(peer)
    one.ask(f"BLPOP a {timeout}")
    assert one.client.parked and one.client.parked.deadline == peer.now + milliseconds


@pytest.mark.parametrize("timeout", ["0", "-0", "0.0", "-0.0001"])
def test_a_timeout_of_nothing_is_for_ever(peer: InProcess, timeout: str) -> None:
    one = Ears(peer)
    one.ask(f"BLPOP a {timeout}")
    assert one.client.parked and one.client.parked.deadline is None


def test_the_end_of_an_earlier_wait_does_not_end_a_later_one(peer: InProcess) -> None:
    one = Ears(peer)
    one.ask("BLPOP a 1")
    first = one.client.parked
    assert first
    peer.ask("RPUSH a 1")
    one.ask("BLPOP a 0")
    peer.engine.waiting.time_out(first)
    assert one.heard == ["*2 $1 a $1 1"] and one.client.parked is not None


@each_blocking
def test_nothing_is_kept_of_those_who_wait_no_more(peer: InProcess, line: str) -> None:
    served, gone, late, unblocked = (Ears(peer) for _ in range(4))
    for one in served, gone, late, unblocked:
        one.ask(line)
    peer.engine.disconnect(gone.client)
    peer.ask("RPUSH a 1")
    assert late.client.parked
    peer.engine.waiting.time_out(late.client.parked)
    peer.ask(f"CLIENT UNBLOCK {unblocked.client.id}")
    assert len(served.heard) == len(late.heard) == len(unblocked.heard) == 1 and gone.heard == []
    assert len(peer.engine.waiting) == 0


def test_hundreds_are_served_in_the_order_in_which_they_came(peer: InProcess) -> None:
    crowd = [Ears(peer) for _ in range(300)]
    for one in crowd:
        one.ask("BLPOP a b 0")
    peer.ask("RPUSH b " + " ".join(map(str, range(299))))
    assert [one.heard for one in crowd] == [[shown(encode([b"b", b"%d" % n]))] for n in range(299)] + [[]]


def test_a_key_that_expires_wakes_nobody(peer: InProcess) -> None:
    one = Ears(peer)
    peer.ask("RPUSH b 1")
    peer.ask("PEXPIRE b 10")
    one.ask("BLPOP a 0")
    peer.now += 11
    assert peer.ask("RENAME b a") == "-ERR no such key" and one.heard == []


# A client that leaves while it is being served


def test_a_client_that_has_hung_up_is_not_served_in_the_same_turn_of_the_loop(tmp_path: Path) -> None:
    """Its end of file and another client's RPUSH arrive together: the element must not go to someone who is gone."""

    async def scene() -> None:
        server = FinalServer(Options(appendonly="no", dir=str(tmp_path), port=0))
        serving = asyncio.create_task(server.run())
        while not server.options.port:
            await asyncio.sleep(0)
        gone = socket.create_connection(("127.0.0.1", server.options.port))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.options.port)
        gone.sendall(request("BLPOP", "a", "0") + request("SET", "behind", "1"))
        while not server.engine.waiting:
            await asyncio.sleep(0.001)
        gone.close()  # from here to the next `await`, our loop does not turn: both arrive together
        writer.write(request("RPUSH", "a", "1") + request("LLEN", "a") + request("EXISTS", "behind"))
        assert await reader.readexactly(12) == b":1\r\n:1\r\n:0\r\n"
        writer.close()
        server.stop()
        await serving

    asyncio.run(asyncio.wait_for(scene(), 10))
