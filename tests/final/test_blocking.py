"""Commands that wait for a list, in process: who is served, when, and who is not. See also the conversations."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from final.config.options import Options
from final.engine.client import Client
from final.net.server import Server as FinalServer
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


# Streams


READING = ["XREAD BLOCK 250 STREAMS s t $ $", "XREADGROUP GROUP g alice BLOCK 250 STREAMS s t > >"]
each_reading = pytest.mark.parametrize("line", READING)


@pytest.fixture
def groups(peer: InProcess) -> InProcess:
    """The same, with two streams that have a group."""
    assert peer.ask("XGROUP CREATE s g 0 MKSTREAM") == peer.ask("XGROUP CREATE t g 0 MKSTREAM") == "+OK"
    return peer


@each_reading
def test_a_reader_waits_until_its_time_is_up_and_no_longer(groups: InProcess, line: str) -> None:
    one = Ears(groups)
    assert one.ask(line) == ""
    assert one.client.parked is not None and one.client.parked.deadline == groups.now + 250
    groups.engine.waiting.time_out(one.client.parked)
    assert one.heard == ["*-1"] and groups.ask("XADD s 1-1 f v") == "$3 1-1" and len(one.heard) == 1


@each_reading
def test_nothing_is_kept_of_readers_who_wait_no_more(groups: InProcess, line: str) -> None:
    served, gone, late, unblocked = (Ears(groups) for _ in range(4))
    for one in served, gone, late, unblocked:
        one.ask(line)
    groups.engine.disconnect(gone.client)
    assert late.client.parked
    groups.engine.waiting.time_out(late.client.parked)
    assert groups.ask(f"CLIENT UNBLOCK {unblocked.client.id} ERROR") == ":1"
    groups.ask("XADD t 1-1 f v")
    assert served.heard == ["*1 *2 $1 t *1 *2 $3 1-1 *2 $1 f $1 v"] and late.heard == ["*-1"] and gone.heard == []
    assert unblocked.heard == ["-UNBLOCKED client unblocked via CLIENT UNBLOCK"]
    assert len(groups.engine.waiting) == 0


def test_hundreds_of_consumers_get_an_entry_each_in_the_order_in_which_they_came(groups: InProcess) -> None:
    crowd = [Ears(groups) for _ in range(300)]
    for number, one in enumerate(crowd):
        one.ask(f"XREADGROUP GROUP g c{number} COUNT 1 BLOCK 0 STREAMS s >")
    for number in range(1, 300):
        groups.ask(f"XADD s {number} f v")
    expected = [[f"*1 *2 $1 s *1 *2 ${len(str(n)) + 2} {n}-0 *2 $1 f $1 v"] for n in range(1, 300)]
    assert [one.heard for one in crowd] == [*expected, []]


def test_everybody_who_reads_without_a_group_gets_the_same_entry(peer: InProcess) -> None:
    crowd = [Ears(peer) for _ in range(300)]
    for one in crowd:
        one.ask("XREAD BLOCK 0 STREAMS s $")
    peer.ask("XADD s 1-1 f v")
    assert [one.heard for one in crowd] == [["*1 *2 $1 s *1 *2 $3 1-1 *2 $1 f $1 v"]] * 300


def test_a_reader_who_is_served_after_a_long_wait_gets_a_thousand_entries_at_most(peer: InProcess) -> None:
    one, two = Ears(peer), Ears(peer)
    one.ask("XREAD BLOCK 0 STREAMS s 0")
    two.ask("XREAD COUNT 2000 BLOCK 0 STREAMS s 0")
    peer.ask("MULTI")
    peer.ask_all([[b"XADD", b"s", b"%d" % number, b"f", b"v"] for number in range(1, 1501)])
    peer.ask("EXEC")
    assert one.heard[0].startswith("*1 *2 $1 s *1000 ") and two.heard[0].startswith("*1 *2 $1 s *1500 ")


def test_a_consumer_is_told_when_nobody_asks_for_a_key_whose_time_is_up(groups: InProcess) -> None:
    reader, consumer = Ears(groups), Ears(groups)
    groups.ask("PEXPIRE s 100")
    reader.ask("XREAD BLOCK 0 STREAMS s $")
    consumer.ask("XREADGROUP GROUP g alice BLOCK 0 STREAMS t s > >")
    groups.now += 101
    groups.engine.expire()
    assert consumer.heard == ["-UNBLOCKED the stream key no longer exists"]
    groups.ask("RPUSH s 1")
    assert reader.heard == [] and reader.client.parked is not None


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
