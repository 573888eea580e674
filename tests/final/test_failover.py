"""Roles change: FAILOVER, and Sentinel. `final/replication/failover.py` has the first."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from final.replication.outgoing import Conversation
from stages.harness.ports import free_port
from stages.harness.server import Server
from stages.harness.wire import Client, Error, Mismatch, request
from tests.support.folders import everything
from tests.support.machine import within
from tests.support.observing import await_true
from tests.support.oracle import InProcess, final_server, redis_server, redis_target
from tests.support.played_primary import PlayedPrimary
from tests.support.replicas import Played, chosen

SYNC_SOON = ("--repl-diskless-sync-delay", "0")


def fields(client: Client) -> dict[str, str]:
    text: Any = client.ask("INFO", "replication")
    return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)


# FAILOVER, with a replica that the test plays


class Handing:
    """A primary in this process with a replica, played by the test, that listens on port 7000 of nowhere."""

    def __init__(self) -> None:
        self.peer = InProcess()
        chosen(self.peer)
        self.replica = Played(self.peer)
        self.replica.ask(f"PSYNC {self.peer.engine.primary.replid} 1")
        self.peer.ask("SET a 1")
        self.dialled: list[tuple[str, int]] = []
        self.sent = b""
        self.peer.engine.dial = self.dial

    def dial(self, host: str, port: int, conversation: Conversation, timeout: float) -> None:
        self.dialled.append((host, port))
        self.conversation = conversation

    def acknowledge(self) -> None:
        """The replica has executed everything."""
        self.replica.ask(f"REPLCONF ACK {self.peer.engine.primary.offset}")

    def tick(self, milliseconds: int = 100) -> None:
        """Let time pass."""
        self.peer.now += milliseconds
        for each in (self.peer.engine.replica, self.peer.engine.failover):
            if each is not None:
                each.tick(self.peer.now)

    # As `Line`

    unsent = 0

    def limit_silence(self, milliseconds: int) -> None:
        raise AssertionError

    def write(self, data: bytes) -> None:
        self.sent += data

    def again(self) -> None:
        raise AssertionError

    def close(self) -> None:
        self.sent = b"closed"

    def answer_psync(self, answer: bytes) -> bytes:
        """Let the server connect, answer its handshake, and PSYNC; return PSYNC."""
        self.tick()
        self.conversation.opened(self)
        while b"PSYNC" not in self.sent:
            self.sent = b""
            self.conversation.received(b"+OK\r\n")
        psync = self.sent
        self.conversation.received(answer)
        return psync


@pytest.fixture
def handing() -> Handing:
    return Handing()


def state(handing: Handing) -> tuple[str, ...]:
    """Return the role, the state of the failover, and whether writes wait."""
    peer = handing.peer
    found = dict(
        line.split(":", 1) for line in peer.ask("INFO replication").replace(" ", "\n").splitlines() if ":" in line
    )
    held = peer.engine.pause.until and peer.engine.pause.holds(peer.client, [b"SET", b"a", b"1"], peer.now)
    return found["role"], found["master_failover_state"], "writes wait" if held else "writes go on"


def test_a_primary_becomes_the_replica_of_one_that_has_everything(handing: Handing) -> None:
    primary = handing.peer.engine.primary
    before, offset = primary.replid, primary.offset
    assert handing.peer.ask("FAILOVER") == "+OK"
    handing.tick()
    assert state(handing) == ("master", "waiting-for-sync", "writes wait")
    handing.acknowledge()
    handing.tick()
    assert state(handing) == ("slave", "failover-in-progress", "writes wait")
    psync = handing.answer_psync(b"+CONTINUE %b\r\n" % (b"c" * 40))
    assert handing.dialled == [("127.0.0.1", 7000)]
    assert psync == request("PSYNC", before, offset + 1, "FAILOVER")
    handing.tick()
    assert state(handing) == ("slave", "no-failover", "writes go on")
    assert (primary.replid, primary.replid2, primary.second_offset) == ("c" * 40, before, offset + 1)
    assert handing.peer.ask("SET a 1").startswith("-READONLY")


def test_what_expires_meanwhile_is_left_to_the_next_primary(handing: Handing) -> None:
    handing.peer.ask("SET soon v PX 50")
    handing.peer.ask("FAILOVER")
    offset = handing.peer.engine.primary.offset
    handing.tick(1000)
    assert handing.peer.ask("GET soon") == "$-1"
    handing.peer.engine.expire()
    assert handing.peer.engine.primary.offset == offset


def test_a_replica_may_refuse_to_take_over(handing: Handing) -> None:
    handing.peer.ask("FAILOVER")
    handing.acknowledge()
    handing.tick()
    handing.answer_psync(b"-ERR PSYNC FAILOVER replid must match my replid.\r\n")
    handing.tick()
    assert state(handing) == ("master", "no-failover", "writes go on")
    assert handing.peer.ask("SET a 2") == "+OK"


def test_a_failover_that_takes_too_long_is_given_up(handing: Handing) -> None:
    handing.peer.ask("FAILOVER TIMEOUT 1000")
    handing.tick(900)
    assert state(handing)[1] == "waiting-for-sync"
    handing.tick()
    assert state(handing) == ("master", "no-failover", "writes go on")


def test_a_failover_can_be_forced_after_its_timeout(handing: Handing) -> None:
    assert handing.peer.ask("FAILOVER TO 127.0.0.1 7000 FORCE TIMEOUT 1000") == "+OK"
    handing.tick(1000)
    assert state(handing) == ("slave", "failover-in-progress", "writes wait")


def test_a_failover_can_be_aborted_at_any_time(handing: Handing) -> None:
    for late in (False, True):
        handing.peer.ask("FAILOVER")
        if late:
            handing.acknowledge()
            handing.tick()
        assert handing.peer.ask("FAILOVER ABORT") == "+OK"
        assert state(handing) == ("master", "no-failover", "writes go on")


def test_client_unpause_does_not_let_writes_through(handing: Handing) -> None:
    handing.peer.ask("FAILOVER")
    handing.peer.ask("CLIENT UNPAUSE")
    assert state(handing)[2] == "writes wait"


ASKED = [
    *("FAILOVER ABORT", "FAILOVER TO x 1", "FAILOVER TO x", "FAILOVER FORCE", "FAILOVER TO x 1 FORCE"),
    *("FAILOVER TO 127.0.0.1 7000 FORCE", "FAILOVER TIMEOUT -1", "FAILOVER TIMEOUT x", "FAILOVER TIMEOUT 0"),
    *("FAILOVER ABORT TIMEOUT 1", "FAILOVER x", "FAILOVER TO 127.0.0.1 x", "FAILOVER TO x 1 TO x 2"),
    *("FAILOVER FORCE TIMEOUT 10", "PSYNC ? -1 FAILOVER", "FAILOVER TIMEOUT 100000", "FAILOVER", "PSYNC ? -1"),
    *("REPLICAOF x 1", "FAILOVER ABORT"),
]


def test_failover_answers_as_redis_does() -> None:
    with redis_server(*SYNC_SOON) as theirs, final_server(*SYNC_SOON, "--appendonly", "no") as ours:
        assert answers(ours) == answers(theirs)


def answers(server: Server) -> list[Any]:
    """Ask a primary that has a replica, after it was asked without one."""
    client, replica = server.connect(), server.connect()
    alone = client.ask("FAILOVER")
    replica.ask("REPLCONF", "listening-port", 7000, "capa", "eof")
    replica.send(request("PSYNC", "?", -1))
    while b"$EOF:" not in replica.received or replica.received.count(replica.received.split(b"$EOF:")[1][:40]) < 2:
        assert replica.more(time.monotonic() + within(30))
    replica.send(request("REPLCONF", "ACK", 0))
    await_true(lambda: "state=online" in fields(client).get("slave0", ""), "it is online")
    client.ask("SET", "a", 1)
    return [alone, *(client.ask(*line.split()) for line in ASKED)]


def test_a_replica_takes_over_when_its_primary_asks() -> None:
    with final_server("--appendonly", "no") as server, PlayedPrimary() as primary:
        client = server.connect()
        client.ask("REPLICAOF", "127.0.0.1", primary.port)
        primary.greet()
        primary.send_all(b"REDIS0010\xff" + bytes(8))
        primary.await_ack()
        replid = fields(client)["master_replid"]
        other = server.connect()
        assert other.ask("PSYNC", "f" * 40, 1, "FAILOVER") == Error("ERR PSYNC FAILOVER replid must match my replid.")
        other.ask("REPLCONF", "capa", "psync2")
        other.send(request("PSYNC", replid, 1, "FAILOVER"))
        other.expect_line(b"+CONTINUE")
        primary.await_end()
        assert (fields(client)["role"], fields(client)["master_replid2"]) == ("master", replid)
        assert client.ask("SET", "a", 1) == "OK"


# Real servers


@contextlib.contextmanager
def running(kind: str) -> Iterator[Server]:
    start = {"ours": final_server, "real": redis_server}[kind]
    with start(*SYNC_SOON, "--appendonly", "no") as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second", "third"), [("ours", "real", "ours"), ("real", "ours", "ours")])
def test_two_servers_exchange_their_roles_and_a_third_one_follows(first: str, second: str, third: str) -> None:
    with running(first) as one, running(second) as two, running(third) as three:
        clients = [each.connect() for each in (one, two, three)]
        clients[0].ask("SET", "a", 1)
        for each in clients[1:]:
            each.ask("REPLICAOF", "127.0.0.1", one.port)
        await_true(lambda: clients[0].ask("WAIT", 2, 100) == 2, "both replicas have all")
        assert clients[0].ask("FAILOVER", "TO", "127.0.0.1", two.port) == "OK"
        clients[0].send(request("SET", "b", 2))  # it waits
        assert clients[0].read_reply().startswith(b"-READONLY")
        await_true(lambda: fields(clients[0]).get("master_link_status") == "up", "it follows")
        assert clients[1].ask("SET", "c", 3) == "OK"
        await_true(lambda: clients[2].ask("GET", "c") == b"3", "the change has arrived")
        assert everything(clients[0]) == everything(clients[1]) == everything(clients[2])
        assert fields(clients[1])["role"] == "master"


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [("ours", "real"), ("real", "ours")])
def test_sentinels_promote_a_replica(tmp_path: Path, first: str, second: str) -> None:
    redis_target()
    program = shutil.which("redis-server")
    assert program is not None
    with running(first) as one, running(second) as two, contextlib.ExitStack() as stack:
        below = two.connect()
        one.connect().ask("SET", "a", 1)
        below.ask("REPLICAOF", "127.0.0.1", one.port)
        await_true(lambda: fields(below)["master_link_status"] == "up", "it follows")
        ports = [free_port() for _ in range(3)]
        for port in ports:
            path = tmp_path / f"{port}.conf"
            monitor = f"monitor it 127.0.0.1 {one.port} 2"
            lines = (monitor, "down-after-milliseconds it 500", "failover-timeout it 3000")
            path.write_text(f"port {port}\ndir {tmp_path}\n" + "".join(f"sentinel {line}\n" for line in lines))
            process = subprocess.Popen([program, str(path), "--sentinel"], stdout=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
        await_true(lambda: known(ports[0]) == ("1", "2"), "the sentinels know all")
        one.kill()
        await_true(lambda: promoted(two), "the replica is promoted")
        assert (two.connect().ask("GET", "a"), two.connect().ask("SET", "b", 2)) == (b"1", "OK")


def promoted(server: Server) -> bool:
    """Return whether a server is a primary. Sentinel closes the connections of its clients when it becomes one."""
    try:
        return fields(server.connect())["role"] == "master"
    except Mismatch:
        return False


def known(port: int) -> tuple[str, str]:
    """Return how many replicas, and how many other sentinels, a sentinel knows."""
    cli = shutil.which("redis-cli")
    if cli is None:
        pytest.skip("there is no redis-cli on this machine")
    said = subprocess.run([cli, "-p", str(port), "SENTINEL", "MASTER", "it"], capture_output=True, text=True)
    lines = said.stdout.splitlines()
    found = dict(zip(lines[::2], lines[1::2], strict=False))
    return found.get("num-slaves", ""), found.get("num-other-sentinels", "")
