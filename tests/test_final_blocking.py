"""Commands that wait for a list: who is served, when, and who is not. Redis tells what is right."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from final.client import Client
from final.options import Options
from final.server import Server as FinalServer
from final.writer import Value, encode
from stages.running import Server
from stages.wire import request
from tests.oracle import InProcess, final_server, redis_server, shown, words_of
from tests.talk import OPTIONS, Step, Talk, conversations

CONVERSATIONS = conversations()
BLOCKING = [
    "BLPOP a 0.25",
    "BRPOP a b 0.25",
    "BLMOVE a b LEFT RIGHT 0.25",
    "BRPOPLPUSH a b 0.25",
    "BLMPOP 0.25 2 a b LEFT COUNT 3",
]
each_blocking = pytest.mark.parametrize("line", BLOCKING)


# Conversations


@pytest.fixture(scope="module", params=["final", "redis"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A server with a log, and the folder where that lies."""
    folder = tmp_path_factory.mktemp(request.param)
    start = final_server if request.param == "final" else redis_server
    with start(*OPTIONS, data=folder) as running:
        yield running, folder


@pytest.mark.parametrize("steps", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_everyone_hears_what_the_conversation_says(server: tuple[Server, Path], steps: list[Step]) -> None:
    talk = Talk(*server)
    for number, (asked, expected) in enumerate(steps, start=1):
        talk.ask(asked)
        heard = talk.heard()
        assert re.fullmatch(".*".join(map(re.escape, expected.split("…"))), heard), (
            f"line {number}: {asked}\nexpected: {expected}\nheard:    {heard}"
        )
    talk.end()


@each_blocking
def test_a_timeout_is_in_seconds_to_the_millisecond(server: tuple[Server, Path], line: str) -> None:
    client = server[0].connect()
    client.ask("DEL", "a", "b")
    began = time.monotonic()
    client.check(request(*words_of(line.replace("0.25", "0.023"))), b"*-1\r\n")
    assert 0.023 <= time.monotonic() - began < 5


def test_what_arrives_while_a_client_waits_is_answered_when_its_time_is_up(server: tuple[Server, Path]) -> None:
    client, other = server[0].connect(), server[0].connect()
    client.ask("DEL", "a")
    client.send(request("BLPOP", "a", "0.05"))
    for word in b"one", b"two", b"three":  # each in a chunk of its own
        other.ask("PING")
        client.send(request("ECHO", word))
    client.expect(b"*-1\r\n$3\r\none\r\n$3\r\ntwo\r\n$5\r\nthree\r\n")
    other.ask("RPUSH", "a", 1)
    assert other.ask("LPOP", "a") == b"1"


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
        return shown(encode(self.peer.engine.execute(self.client, words_of(line))))


@pytest.fixture
def peer() -> InProcess:
    return InProcess()


@each_blocking
def test_a_command_waits_until_its_time_is_up_and_no_longer(peer: InProcess, line: str) -> None:
    one = Ears(peer)
    assert one.ask(line) == ""
    assert one.client.parked is not None and one.client.parked.deadline == peer.now + 250
    peer.engine.time_up(one.client.parked)
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
    peer.engine.time_up(first)
    assert one.heard == ["*2 $1 a $1 1"] and one.client.parked is not None


@each_blocking
def test_nothing_is_kept_of_those_who_wait_no_more(peer: InProcess, line: str) -> None:
    served, gone, late, unblocked = (Ears(peer) for _ in range(4))
    for one in served, gone, late, unblocked:
        one.ask(line)
    peer.engine.disconnect(gone.client)
    peer.ask("RPUSH a 1")
    assert late.client.parked
    peer.engine.time_up(late.client.parked)
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
