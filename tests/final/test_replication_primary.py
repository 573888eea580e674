"""The primary's side of replication: replicas that this file plays, and real ones."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from final.log.health import Event
from final.protocol.writer import Value
from final.replication.backlog import BLOCK, LEAST, Backlog
from final.replication.full_sync import AHEAD, CHUNK
from final.replication.primary import GETACK, PING
from stages.harness.wire import request
from tests.support.folders import data_of, flush, log_in, opened
from tests.support.machine import within
from tests.support.observing import await_true
from tests.support.oracle import (
    InProcess,
    OverTheWire,
    args_of,
    final_server,
    redis_server,
    redis_target,
    skip_without_lua,
)
from tests.support.replicas import Played, apply, chosen, loaded, same, work
from tests.support.rewriting import MIXED
from tests.support.sequences import EXAMPLES, SEQUENCES
from tests.support.snapshots.contents import CONTENTS, STREAMS
from tests.support.talk import read_requests
from tests.tools.replicating import await_equal, await_link, difference, fields
from tests.tools.replicating import run as replicate

Held = Callable[[InProcess], Callable[[], None]]
ID = "a" * 40
SEED = int(os.environ.get("SEED", random.randrange(10**6)))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
SOON: dict[str, Any] = {"repl_diskless_sync_delay": 0}


def mixed(**options: Any) -> InProcess:
    """Return an engine with data of all types."""
    peer = InProcess(**{**SOON, **options})
    peer.ask_all(map(args_of, MIXED))
    return peer


def attached(peer: InProcess) -> Played:
    """Return a replica that has all data, and is sent the stream from now on."""
    chosen(peer)
    replica = Played(peer)
    assert replica.ask(f"PSYNC {ID} 1") == f"+CONTINUE {ID}"
    return replica


def told(peer: InProcess, section: str = "replication") -> dict[str, str]:
    """Return the fields of a section of INFO."""
    (reply,) = peer.ask_all([[b"INFO", section.encode()]])
    return dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)


# The backlog


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.binary(max_size=3 * BLOCK), max_size=12), st.integers(0, 4 * BLOCK), st.integers(0, 1000))
def test_a_backlog_has_at_least_the_end_of_what_was_appended(pieces: list[bytes], size: int, start: int) -> None:
    backlog, whole = Backlog(size, start), b""
    for piece in pieces:
        backlog.append(piece)
        backlog.trim(backlog.end)
        whole += piece
        assert backlog.end == start + len(whole)
        kept = backlog.since(backlog.start)
        assert kept is not None and whole.endswith(kept)
        assert min(len(whole), max(size, LEAST)) <= len(kept) <= max(size, LEAST) + BLOCK
        assert backlog.since(backlog.start - 1) is None and backlog.since(backlog.end + 1) is None
        for most in (1, BLOCK, BLOCK + 1):
            assert backlog.read(backlog.start, most) == kept[:most]


def test_a_backlog_keeps_what_is_still_needed_whatever_its_size() -> None:
    backlog = Backlog(LEAST)
    backlog.append(b"x" * 100 * BLOCK)
    backlog.trim(needed=BLOCK + 1)
    assert backlog.start == BLOCK


# The full synchronisation


@pytest.mark.parametrize("diskless", ["yes", "no"])
def test_a_replica_gets_all_data_and_then_what_has_changed_since(tmp_path: Path, held: Held, diskless: str) -> None:
    peer = mixed(dir=str(tmp_path), repl_diskless_sync=diskless)
    replica = Played(peer)
    assert replica.ask("PSYNC ? -1") == ""
    name, replid, offset = replica.line().split(" ")
    assert (name, replid, int(offset)) == ("+FULLRESYNC", peer.engine.primary.replid, peer.engine.primary.offset)
    before = data_of(peer)
    release = held(peer)
    assert told(peer, "persistence")["current_save_keys_total"] == str(sum(map(len, peer.engine.stores)))
    peer.ask_all(map(args_of, ["SELECT 3", "SET meanwhile 1", "DEL elsewhere", "SELECT 0", "DEL set"]))
    release()
    copy = replica.snapshot()
    assert data_of(copy) == before
    if diskless == "yes":
        while peer.engine.forked:
            work(peer)
        assert replica.more() == b"", "the stream waits until the replica has found the end of the snapshot"
        assert replica.ask("REPLCONF ACK 0") == ""
    stream = replica.stream()
    assert b" ".join(stream[0]) == b"SELECT 3"
    apply(copy, stream)
    assert same(peer, copy)
    assert (tmp_path / "dump.rdb").exists() == (diskless == "no")
    copied = int(told(peer, "persistence")["rdb_last_cow_size"])
    assert copied > 0 or not Path("/proc/self/smaps_rollup").exists()


def test_a_rewrite_that_the_log_needs_does_not_wait_for_the_child_of_a_slow_replica(tmp_path: Path, held: Held) -> None:
    peer = opened(tmp_path)
    peer.engine.options.repl_diskless_sync_delay = 0
    log = peer.engine.log
    assert log is not None
    peer.ask("SET k v")
    replica = Played(peer)
    replica.ask("PSYNC ? -1")
    held(peer)  # and is never continued
    log.health.happen(Event.SYNC_FAILED, OSError(5, "Input/output error"))
    peer.engine.rewriter.tick()
    assert replica.closed and peer.engine.primary.full_sync.worker is None and peer.engine.rewriter.worker is not None
    held(peer)()
    while log.failure:
        peer.engine.rewriter.tick()
        log.flush()
    again = Played(peer)
    again.ask("PSYNC ? -1")
    held(peer)()
    assert again.line().startswith("+FULLRESYNC") and same(peer, again.snapshot())


@pytest.mark.parametrize("only", ["rdb-only 1", "rdb-only 1 rdb-filter-only functions"])
def test_a_client_that_wants_only_a_snapshot_is_disconnected_after_it(only: str) -> None:
    peer = mixed()
    client = Played(peer, f"REPLCONF capa eof {only}")
    assert client.ask("SYNC") == ""
    copy = client.snapshot()
    assert data_of(copy) == ({} if "functions" in only else data_of(peer))
    while not client.client.closing:
        work(peer)
        client.more()
    assert client.received == b""


def test_replicas_that_wait_together_share_one_child() -> None:
    peer = mixed(repl_diskless_sync_delay=5)
    replicas = [Played(peer), Played(peer)]
    for each in replicas:
        each.ask("PSYNC ? -1")
    peer.engine.primary.tick()
    assert [each.more() for each in replicas] == [b"", b""], "the primary waits for more replicas"
    peer.now += 5000
    copies = [each.snapshot() for each in replicas if each.until(rb"FULLRESYNC.*\$") and each.line()]
    assert all(same(peer, copy) for copy in copies)
    assert peer.engine.snapshots.saves == 0


def test_enough_waiting_replicas_end_the_delay() -> None:
    peer = mixed(repl_diskless_sync_delay=5, repl_diskless_sync_max_replicas=2)
    replicas = [Played(peer), Played(peer)]
    replicas[0].ask("PSYNC ? -1")
    peer.engine.primary.tick()
    assert not peer.engine.forked
    replicas[1].ask("PSYNC ? -1")
    peer.engine.primary.tick()
    assert peer.engine.forked
    replicas[0].leave()
    replicas[1].leave()
    assert not peer.engine.forked, "nobody needs the child any more"


def test_a_second_replica_shares_the_file_that_is_being_written(tmp_path: Path, held: Held) -> None:
    peer = mixed(dir=str(tmp_path), repl_diskless_sync="no")
    first, second = Played(peer), Played(peer)
    first.ask("PSYNC ? -1")
    release = held(peer)
    peer.ask("SET between 1")
    second.ask("PSYNC ? -1")
    release()
    for each in (first, second):
        assert each.line().endswith(" 0")
        copy = each.snapshot()
        apply(copy, each.stream())
        assert same(peer, copy)
    assert peer.engine.snapshots.saves == 1


def test_a_replica_waits_while_another_child_runs(tmp_path: Path, held: Held) -> None:
    peer = mixed(dir=str(tmp_path))
    assert peer.ask("BGSAVE").startswith("+Background saving started")
    release = held(peer)
    replica = Played(peer)
    replica.ask("PSYNC ? -1")
    assert replica.more() == b""
    release()
    replica.until(b"FULLRESYNC")
    held(peer)()
    assert replica.line() and same(peer, replica.snapshot())


def test_a_child_that_is_killed_sends_its_replicas_away(held: Held) -> None:
    peer = mixed()
    replica = Played(peer)
    replica.ask("PSYNC ? -1")
    held(peer)
    worker = peer.engine.primary.full_sync.worker
    assert worker is not None
    os.kill(worker.pid, signal.SIGKILL)
    while peer.engine.forked:
        work(peer)
    assert replica.closed and peer.engine.primary.replicas == []


@pytest.mark.parametrize("diskless", ["yes", "no"])
def test_a_replica_is_told_that_no_child_can_be_started(monkeypatch: pytest.MonkeyPatch, diskless: str) -> None:
    peer = mixed(repl_diskless_sync=diskless)
    monkeypatch.setattr(os, "fork", raising)
    replica = Played(peer)
    replica.ask("PSYNC ? -1")
    assert replica.line() == "-BGSAVE failed, replication can't continue"
    replica.more()
    assert replica.client.closing and not peer.engine.forked


def raising() -> int:
    raise OSError("no more processes")


def test_a_replica_that_reads_its_file_slowly_is_not_lost(tmp_path: Path) -> None:
    peer = mixed(dir=str(tmp_path), repl_diskless_sync="no")
    replica = Played(peer)
    replica.ask("PSYNC ? -1")
    while peer.engine.forked:
        peer.engine.snapshots.tick()
    peer.now += 100_000
    peer.engine.primary.tick()
    replica.more()
    peer.now += 1000
    peer.engine.primary.tick()
    assert not replica.closed and told(peer)["slave0"].endswith("state=online,offset=0,lag=1")


def test_the_child_waits_for_the_slowest_replica() -> None:
    peer = mixed()
    peer.ask_all([[b"SET", b"large", b"v" * 20 * CHUNK]])
    replica = Played(peer)
    replica.ask("PSYNC ? -1")
    full_sync = peer.engine.primary.full_sync
    while full_sync.reading:
        full_sync.read()
    assert replica.client.replica is not None and replica.client.replica.waiting <= AHEAD + 2 * CHUNK
    for _ in range(2):
        assert not replica.closed
        peer.now += 31_000
        peer.engine.primary.tick()
    assert replica.closed, "it has read nothing for a minute"


def test_while_a_replica_waits_it_gets_a_newline_each_second(held: Held, tmp_path: Path) -> None:
    peer = mixed(dir=str(tmp_path), repl_diskless_sync="no")
    replica = Played(peer)
    replica.ask("PSYNC ? -1")
    replica.line()
    held(peer)
    for _ in range(3):
        peer.now += 1000
        peer.engine.primary.tick()
    assert replica.more() == b"\n\n\n"


# The stream


@settings(max_examples=EXAMPLES // 3, deadline=None)
@given(SEQUENCES["all commands"])
def test_the_stream_has_the_records_of_the_log(tmp_path_factory: pytest.TempPathFactory, requests: Any) -> None:
    folder = tmp_path_factory.mktemp("log")
    peer = opened(folder)
    replica = attached(peer)
    peer.ask_all(requests)
    flush(peer)
    assert read_requests(log_in(folder).read_bytes()) == replica.stream()


def test_a_transaction_and_a_script_are_units_and_a_published_message_is_for_replicas_only(tmp_path: Path) -> None:
    skip_without_lua(["eval"])
    peer = opened(tmp_path)
    replica = attached(peer)
    script = "redis.call('SADD', 's', 1, 2) redis.call('SPOP', 's') redis.call('PUBLISH', 'c', 'm') return 1"
    for line in ("MULTI", "SET a 1", "PUBLISH c m", "SET b 2 EX 1", "EXEC", "PUBLISH c d", "SPUBLISH s d"):
        peer.ask(line)
    peer.ask_all([[b"EVAL", script.encode(), b"0"]])
    stream = replica.shown()
    unit = ["MULTI", "SELECT 0", "SET a 1", "PUBLISH c m", "SET b 2 PXAT 1800000001000", "EXEC", "PUBLISH c d"]
    unit.append("SPUBLISH s d")
    assert stream[: len(unit)] == unit
    assert stream[-2:] == ["PUBLISH c m", "EXEC"] and stream[-3].startswith("SREM s ")
    flush(peer)
    assert b"PUBLISH" not in log_in(tmp_path).read_bytes()


def test_a_key_that_expires_is_deleted_by_the_stream_and_not_before() -> None:
    peer = InProcess()
    replica = attached(peer)
    peer.ask("SET k v PX 1000")
    assert replica.shown() == ["SELECT 0", "SET k v PXAT 1800000001000"]
    peer.now += 1001
    assert replica.shown() == []
    peer.ask("GET k")
    assert replica.shown() == ["DEL k"]


def test_a_snapshot_for_a_replica_has_expired_keys_which_the_stream_deletes_later() -> None:
    peer = InProcess(**SOON)
    peer.ask("SET k v PX 1000")
    peer.now += 5000
    replica = Played(peer)
    copy = replica.synchronise()
    copy.now = 0
    assert list(data_of(copy)[0]) == [b"k"]
    peer.ask("EXISTS k")
    assert replica.shown() == ["SELECT 0", "DEL k"]


def test_a_replica_knows_the_integers_as_wide_as_its_primary() -> None:
    peer = InProcess(**SOON)
    for line in ("SADD s 1 2 70000", "SREM s 70000"):
        peer.ask(line)
    assert Played(peer).synchronise().ask("DUMP s") == peer.ask("DUMP s")


def test_the_stream_selects_a_database_again_for_a_replica_that_is_new() -> None:
    peer = InProcess(**SOON)
    first = attached(peer)
    peer.ask("SET k v")
    second = Played(peer)
    second.synchronise()
    peer.ask("SET k w")
    assert first.shown() == ["SELECT 0", "SET k v", "SELECT 0", "SET k w"]
    assert second.shown() == ["SELECT 0", "SET k w"]


def test_a_ping_is_sent_now_and_then_and_counts() -> None:
    peer = InProcess(repl_ping_replica_period=10)
    replica = attached(peer)
    for _ in range(20):
        peer.now += 1000
        peer.engine.primary.tick()
    assert replica.stream() == [[b"ping"], [b"ping"]]
    assert peer.engine.primary.offset == 2 * len(PING)


def test_the_stream_begins_with_the_first_replica_under_a_new_id() -> None:
    peer = mixed()
    before = told(peer)
    assert (before["master_repl_offset"], before["repl_backlog_active"]) == ("0", "0")
    Played(peer).synchronise()
    after = told(peer)
    assert after["master_replid"] != before["master_replid"] and after["repl_backlog_active"] == "1"


def test_the_stream_is_forgotten_when_there_was_no_replica_for_long() -> None:
    peer = InProcess(repl_backlog_ttl=60)
    replica = attached(peer)
    replica.leave()
    peer.now += 61_000
    peer.engine.primary.tick()
    assert told(peer)["repl_backlog_active"] == "0" and told(peer)["master_replid"] != ID
    assert Played(peer).ask(f"PSYNC {ID} 1") == ""


# The partial synchronisation


def test_a_replica_continues_with_exactly_the_byte_that_it_asks_for() -> None:
    peer = InProcess()
    whole = attached(peer)
    peer.ask_all(args_of(f"SET key:{number} value") for number in range(100))
    expected = whole.more()
    for offset in (0, 1, 500, len(expected) - 1, len(expected)):
        replica = Played(peer)
        assert replica.ask(f"PSYNC {ID.upper()} {offset + 1}") == f"+CONTINUE {ID}"
        assert replica.more() == expected[offset:]


@pytest.mark.parametrize("asked", ["? -1", f"{'b' * 40} 1", f"{ID} 0", f"{ID} -5", f"{ID} 52", f"{ID} 9999"])
def test_a_replica_that_cannot_continue_gets_all_data(asked: str) -> None:
    peer = InProcess(**SOON)
    attached(peer)
    peer.ask("SET k v")
    assert peer.engine.primary.offset == 50
    replica = Played(peer)
    assert replica.ask(f"PSYNC {asked}") == ""
    assert replica.line().startswith("+FULLRESYNC")
    failed = "0" if asked.startswith("?") else "1"
    stats = told(peer, "stats")
    assert [stats[f"sync_{name}"] for name in ("full", "partial_ok", "partial_err")] == ["1", "1", failed]
    replica.leave()


def test_a_replica_that_has_been_away_for_too_long_gets_all_data() -> None:
    peer = InProcess(repl_backlog_size=LEAST, **SOON)
    attached(peer).leave()
    peer.ask_all([[b"SET", b"k", b"v" * BLOCK] for _ in range(3)])
    assert peer.engine.primary.backlog.start > 0
    replica = Played(peer)
    assert replica.ask(f"PSYNC {ID} 1") == "" and replica.line().startswith("+FULLRESYNC")
    replica.leave()


def test_after_a_promotion_a_replica_can_continue_up_to_where_the_streams_part() -> None:
    peer = InProcess(**SOON)
    attached(peer)
    peer.ask("SET k v")
    primary = peer.engine.primary
    parted = primary.offset
    primary.branch()
    assert told(peer)["master_replid2"] == ID and told(peer)["second_repl_offset"] == str(parted + 1)
    peer.ask("SET k w")
    sibling = Played(peer)
    assert sibling.ask(f"PSYNC {ID} {parted + 1}") == f"+CONTINUE {primary.replid}"
    assert sibling.shown() == ["SELECT 0", "SET k w"]
    assert Played(peer).ask(f"PSYNC {ID} {parted + 2}") == ""


# WAIT


def waiting(peer: InProcess, line: str) -> tuple[list[Value], Any]:
    """Have another client send a WAIT, after a write; return where its reply will be, and the client."""
    client, replies = peer.connect(), list[Value]()
    client.deliver = replies.append
    peer.engine.execute(client, args_of("SET by client"))
    peer.engine.execute(client, args_of(line))
    return replies, client


def test_wait_asks_the_replicas_once_and_is_answered_when_enough_have_the_write() -> None:
    peer = InProcess()
    replicas = [attached(peer), Played(peer)]
    replicas[1].ask(f"PSYNC {ID} 1")
    one, _ = waiting(peer, "WAIT 1 0")
    two, client = waiting(peer, "WAIT 2 0")
    assert [each.more().count(GETACK) for each in replicas] == [1, 1]
    offset = peer.engine.primary.offset
    replicas[0].ask(f"REPLCONF ACK {offset - len(GETACK) - 1}")
    assert (one, two) == ([1], [])
    replicas[0].ask(f"REPLCONF ACK {offset}")
    assert two == [] and client.parked is not None
    replicas[1].ask(f"REPLCONF ACK {offset}")
    assert two == [2] and client.parked is None


def test_a_wait_that_times_out_answers_with_the_number_of_replicas_that_have_the_write() -> None:
    peer = InProcess()
    replica = attached(peer)
    replies, client = waiting(peer, "WAIT 2 1000")
    replica.ask(f"REPLCONF ACK {peer.engine.primary.offset}")
    assert replies == [] and client.parked.deadline == peer.now + 1000
    peer.engine.waiting.time_out(client.parked)
    assert replies == [1]


def test_a_wait_for_what_is_acknowledged_already_is_answered_at_once() -> None:
    peer = InProcess()
    replica = attached(peer)
    peer.ask("SET k v")
    replica.ask(f"REPLCONF ACK {peer.engine.primary.offset}")
    assert peer.ask("WAIT 1 0") == ":1"
    other = peer.connect()
    peer.engine.execute(other, args_of("SET k w"))
    assert peer.ask("WAIT 1 0") == ":1", "another client's write is not waited for"
    replica.ask(f"REPLCONF ACK {peer.engine.primary.offset}")
    assert [peer.ask(line) for line in ("MULTI", "WAIT 5 0", "EXEC")][-1] == "*1 :1", "nothing waits in a transaction"


def test_wait_after_a_blocking_pop_waits_for_the_pop() -> None:
    peer = InProcess()
    attached(peer)
    client, replies = peer.connect(), list[Value]()
    client.deliver = replies.append
    peer.engine.execute(client, args_of("BLPOP l 0"))
    peer.ask("RPUSH l x")
    peer.engine.execute(client, args_of("WAIT 1 0"))
    assert replies == [[b"l", b"x"]] and client.parked is not None


# What an administrator sees and says


def test_what_is_told_of_a_replica() -> None:
    peer = InProcess()
    replica = attached(peer)
    peer.ask("SET k v")
    replica.ask("REPLCONF ACK 20")
    peer.now += 3000
    assert told(peer)["slave0"] == "ip=127.0.0.1,port=7000,state=online,offset=20,lag=3"
    assert peer.ask("ROLE") == "*3 $6 master :50 *1 *3 $9 127.0.0.1 $4 7000 $2 20"
    assert " flags=S " in peer.ask("CLIENT LIST TYPE slave")
    assert told(peer, "clients")["connected_clients"] == "1"
    assert told(peer, "memory")["mem_total_replication_buffers"] == "50"
    assert peer.ask("CLIENT KILL TYPE replica") == ":1"
    assert replica.closed and told(peer)["connected_slaves"] == "0"


def test_a_replica_touches_no_keys_and_no_pause_holds_its_acknowledgements() -> None:
    peer = InProcess()
    replica = attached(peer)
    refused = "-ERR Replica can't interact with the keyspace"
    assert [replica.ask(line) for line in ("GET k", "SET k v", "PUBLISH c m", "PING")] == [refused] * 3 + ["+PONG"]
    assert replica.ask("RESET") == "-ERR can only reset normal client connections" and replica.ask("MONITOR") == ""
    assert replica.ask("PSYNC ? -1") == "" and len(peer.engine.primary.replicas) == 1
    peer.ask("CLIENT PAUSE 1000")
    assert not peer.engine.pause.holds(replica.client, args_of("REPLCONF ACK 1"), peer.now)


@pytest.mark.parametrize("start", [final_server, redis_server])
def test_a_replica_that_would_get_a_reply_is_disconnected(start: Any) -> None:
    with start("--repl-diskless-sync-delay", "0") as running:
        client = running.connect()
        for line in ("RESET", "PING", "GET k", "SELECT 3", "SUBSCRIBE c", "NOSUCH", "MULTI", "HELLO 3", "QUIT"):
            replica = running.connect()
            replica.send(request("SYNC") + request(*line.split()))
            while replica.more(time.monotonic() + 10):
                pass
            assert b"connected_slaves:0" in client.ask("INFO", "replication"), line
        replica = running.connect()
        replica.send(request("SYNC") + request("MONITOR") + request("REPLCONF", "ACK", 0))
        await_true(lambda: b"state=online" in client.ask("INFO", "replication"), "MONITOR")


def test_writes_are_refused_with_too_few_replicas_that_are_near() -> None:
    peer = InProcess(min_replicas_to_write=1)
    refused = "-NOREPLICAS Not enough good replicas to write."
    assert [peer.ask("SET k v"), peer.ask("GET k"), peer.ask("PING")] == [refused, "$-1", "+PONG"]
    replica = attached(peer)
    replica.ask("REPLCONF ACK 0")
    assert peer.ask("SET k v") == "+OK" and told(peer)["min_slaves_good_slaves"] == "1"
    peer.now += 11_000
    assert peer.ask("SET k v") == refused
    assert peer.ask("MULTI") == "+OK" and peer.ask("SET k v") == refused
    assert peer.ask("EXEC").startswith("-EXECABORT")
    peer.ask("CONFIG SET min-replicas-max-lag 0")
    assert peer.ask("SET k v") == "+OK"


def test_a_replica_that_is_silent_for_too_long_is_disconnected() -> None:
    peer = InProcess(repl_timeout=60)
    replica = attached(peer)
    for _ in range(2):
        peer.now += 50_000
        peer.engine.primary.tick()
        replica.ask("REPLCONF ACK 1")
    assert not replica.closed
    peer.now += 61_000
    replica.client.last_interaction = peer.now  # an empty line, as replicas send while they load a snapshot
    peer.engine.primary.tick()
    assert not replica.closed
    peer.now += 61_000
    peer.engine.primary.tick()
    assert replica.closed


def shutting_down(peer: InProcess, line: str = "SHUTDOWN") -> tuple[list[Value], list[str], Any]:
    """Have a client send a write and SHUTDOWN; return where its reply will be, where the stop will be, the client."""
    stopped: list[str] = []
    peer.engine.stop = lambda: stopped.append("stopped")
    replies, client = waiting(peer, line)
    return replies, stopped, client


def test_shutdown_waits_for_replicas_while_writes_wait_too() -> None:
    peer = InProcess()
    replica = attached(peer)
    _, stopped, client = shutting_down(peer)
    assert replica.stream()[-1] == [b"REPLCONF", b"GETACK", b"*"]
    peer.engine.shutdown.tick()
    assert holds_writes(peer) and stopped == []
    peer.engine.execute(peer.connect(), args_of("SHUTDOWN NOW"))
    assert stopped == [], "as in Redis, the first one counts"
    peer.engine.disconnect(client)
    replica.ask(f"REPLCONF ACK {peer.engine.primary.offset}")
    peer.engine.shutdown.tick()
    assert stopped == ["stopped"]


def holds_writes(peer: InProcess) -> bool:
    return bool(peer.engine.pause.until) and peer.engine.pause.holds(peer.client, args_of("SET k v"), peer.now)


def test_shutdown_waits_only_for_so_long_and_not_with_now() -> None:
    peer = InProcess()
    attached(peer)
    _, stopped, _ = shutting_down(peer)
    peer.now += peer.engine.options.shutdown_timeout * 1000
    peer.engine.shutdown.tick()
    assert stopped == ["stopped"]
    peer.engine.shutdown.give_up()
    assert shutting_down(peer, "SHUTDOWN NOW")[1] == ["stopped"]


def test_a_shutdown_that_waits_can_be_aborted() -> None:
    peer = InProcess()
    attached(peer)
    assert peer.ask("CLIENT PAUSE 60000 WRITE") == "+OK"
    replies, stopped, client = shutting_down(peer)
    assert (
        peer.ask(f"CLIENT UNBLOCK {client.id}") == ":0" and peer.ask("CLIENT UNPAUSE") == "+OK" and holds_writes(peer)
    )
    assert peer.ask("CLIENT PAUSE 60000 WRITE") == "+OK" == peer.ask("SHUTDOWN ABORT")
    assert [str(each) for each in replies] == ["ERR Errors trying to SHUTDOWN. Check logs."] and stopped == []
    assert client.parked is None and holds_writes(peer), "for which a client has asked"
    assert peer.ask("CLIENT UNPAUSE") == "+OK" and not holds_writes(peer)
    assert peer.ask("SHUTDOWN ABORT") == "-ERR No shutdown in progress."
    peer.now += peer.engine.options.shutdown_timeout * 1000
    peer.engine.shutdown.tick()
    assert stopped == []


@pytest.mark.parametrize("data", [b"x" * 100])
def test_what_the_slowest_replica_has_not_taken_stays_in_memory_once_for_all(data: bytes) -> None:
    peer = InProcess(repl_backlog_size=LEAST)
    slow, fast = attached(peer), Played(peer)
    fast.ask(f"PSYNC {ID} 1")
    for _ in range(1000):
        peer.ask_all([[b"SET", b"k", data]])
        fast.received = b""
        fast.more()
    assert slow.client.replica is not None and fast.client.replica is not None
    assert peer.engine.primary.backlog.start == 0
    assert (slow.client.replica.waiting, fast.client.replica.waiting) == (peer.engine.primary.offset, 0)
    slow.leave()
    peer.ask("SET k v")
    assert peer.engine.primary.backlog.end - peer.engine.primary.backlog.start <= LEAST + BLOCK


# Real replicas


@pytest.mark.parametrize(
    ("diskless", "contents"), [("yes", STREAMS), pytest.param("no", [*CONTENTS, *STREAMS], marks=pytest.mark.slow)]
)
def test_a_real_redis_has_all_data_and_takes_over(diskless: str, contents: list[Any]) -> None:
    options = ("--repl-diskless-sync-delay", "0", "--repl-diskless-sync", diskless, "--appendonly", "no")
    with redis_server() as following, final_server(*options) as leading:
        above, below = leading.connect(), following.connect()
        requests = [request(*args) for args in contents]
        OverTheWire(above).ask_all(read_requests(b"".join(requests)))
        below.ask("REPLICAOF", "127.0.0.1", leading.port)
        await_link(below)
        for line in MIXED:
            above.ask(*args_of(line))
        assert above.ask("WAIT", 1, 60_000) == 1
        assert difference(above, below) == {}
        assert below.ask("REPLICAOF", "NO", "ONE") == "OK" == below.ask("SET", "k", "v")


@pytest.mark.slow
@pytest.mark.parametrize(("primary", "replica"), [("final", "redis"), ("redis", "final"), ("final", "final")])
def test_a_replica_has_the_same_data_after_all_kinds_of_troubles(primary: str, replica: str) -> None:
    redis_target()
    replicate(ROUNDS, SEED, primary, replica)


@pytest.mark.parametrize("diskless", ["yes", "no"])
def test_redis_cli_fetches_a_snapshot(tmp_path: Path, diskless: str) -> None:
    cli = shutil.which("redis-cli")
    if cli is None:
        pytest.skip("there is no redis-cli on this machine")
    found = {}
    with final_server("--repl-diskless-sync-delay", "0", "--repl-diskless-sync", diskless) as server:
        client = server.connect()
        for line in MIXED:
            client.ask(*args_of(line))
        code = "#!lua name=library\nredis.register_function('one', function() return 1 end)"
        kept = [code.encode()] if client.ask("FUNCTION", "LOAD", code) == b"library" else []  # else there is no Lua
        for option in ("--rdb", "--functions-rdb"):
            path = tmp_path / option
            run = [cli, "-p", str(server.port), option, str(path)]
            subprocess.run(run, check=True, capture_output=True, timeout=60)
            copy = loaded(path.read_bytes())
            found[option] = set(data_of(copy)), copy.engine.functions.codes
    assert found == {"--rdb": ({0, 3}, kept), "--functions-rdb": (set(), kept)}


def test_redis_cli_shows_the_stream() -> None:
    cli = shutil.which("redis-cli")
    if cli is None:
        pytest.skip("there is no redis-cli on this machine")
    with final_server("--repl-diskless-sync", "no") as server:
        client = server.connect()
        with subprocess.Popen([cli, "-p", str(server.port), "--replica"], stdout=subprocess.PIPE, text=True) as shower:
            assert shower.stdout is not None
            await_true(lambda: "state=online" in fields(client, "replication").get("slave0", ""), "it is online")
            client.ask("SET", "k", "v", "EX", 100)
            assert shower.stdout.readline().startswith('"SET","k","v","PXAT","')
            shower.kill()


# Over a socket


def test_a_replica_that_reads_nothing_is_disconnected_and_costs_bounded_memory() -> None:
    limit = 4 << 20
    options = ("--repl-backlog-size", "1mb", "--client-output-buffer-limit", f"replica {limit} 0 0")
    with final_server("--repl-diskless-sync", "no", "--appendonly", "no", *options) as server:
        client, replica = server.connect(), server.connect()
        replica.send(request("SYNC"))
        replica.expect_line(b"$")
        await_true(lambda: "state=online" in fields(client, "replication").get("slave0", ""), "it is online")
        kept = []
        while fields(client, "replication")["connected_slaves"] == "1":
            client.ask("SET", "k", b"v" * 100_000)
            kept.append(int(fields(client, "replication")["repl_backlog_histlen"]))
        assert abs(max(kept) - limit) < 1 << 20


@pytest.mark.parametrize("end", ["acknowledged", "another signal"])
def test_after_a_signal_replicas_get_the_last_changes(end: str) -> None:
    with final_server("--repl-diskless-sync", "no") as server:
        client, replica = server.connect(), server.connect()
        replica.send(request("SYNC"))
        await_true(lambda: "state=online" in fields(client, "replication").get("slave0", ""), "it is online")
        client.ask("SET", "k", "v")
        server.own_program.signal(signal.SIGTERM)
        while not replica.received.endswith(GETACK):
            assert replica.more(time.monotonic() + within(20))
        assert request("SET", "k", "v") in replica.received and client.ask("GET", "k") == b"v"
        if end == "acknowledged":
            replica.send(request("REPLCONF", "ACK", fields(client, "replication")["master_repl_offset"]))
            assert server.wait() == 0
        else:
            assert server.stop(signal.SIGTERM) == 0


def test_a_snapshot_is_sent_as_fast_as_the_slowest_replica_reads() -> None:
    with final_server("--repl-diskless-sync-delay", "0", "--appendonly", "no") as server:
        client, replica = server.connect(), server.connect()
        for number in range(12):
            client.ask("SET", number, b"v" * 1_000_000)
        replica.send(request("REPLCONF", "capa", "eof") + request("SYNC"))
        replica.expect(b"+OK\r\n")
        await_true(lambda: "state=wait_bgsave" in fields(client, "replication")["slave0"], "it waits for the child")
        client.ask("SET", "meanwhile", 1)
        assert "state=wait_bgsave" in fields(client, "replication")["slave0"]
        while b"$EOF:" not in replica.received:
            assert replica.more(time.monotonic() + within(60))
        mark = replica.received.partition(b"$EOF:")[2][:40]
        while not replica.received.endswith(mark) or len(replica.received) < 1000:
            assert replica.more(time.monotonic() + within(60))
        replica.received = b""
        await_true(lambda: "state=online" in fields(client, "replication")["slave0"], "it is online")
        replica.expect_nothing()
        replica.send(request("REPLCONF", "ACK", 0))
        replica.expect(request("SELECT", 0) + request("SET", "meanwhile", 1))


@pytest.mark.slow
def test_a_replica_has_replicas_and_is_promoted_and_its_sibling_continues_with_it() -> None:
    options = ("--repl-diskless-sync-delay", "0")
    with (
        redis_server(*options) as first,
        final_server(*options) as second,
        redis_server() as third,
        redis_server() as sibling,
    ):
        above, middle, below, beside = (each.connect() for each in (first, second, third, sibling))
        for line in (*MIXED, "SELECT 7", "SET seven 1"):
            above.ask(*args_of(line))
        middle.ask("REPLICAOF", "127.0.0.1", first.port)
        beside.ask("REPLICAOF", "127.0.0.1", first.port)
        await_link(middle)
        await_link(beside)
        above.ask("SELECT", 9)
        above.ask("SET", "nine", 1)
        await_equal(above, middle)
        below.ask("REPLICAOF", "127.0.0.1", second.port)  # in the middle of the stream, in which database 9 is selected
        await_link(below)
        above.ask("SET", "also in nine", 1)
        await_equal(above, middle)
        await_equal(above, beside)
        await_equal(middle, below)
        assert difference(above, below) == {}
        first.kill()
        middle.ask("REPLICAOF", "NO", "ONE")
        middle.ask("SELECT", 4)
        middle.ask("SET", "promoted", 1)
        beside.ask("REPLICAOF", "127.0.0.1", second.port)
        for each in (below, beside):
            await_equal(middle, each)
            assert difference(middle, each) == {}
        stats = fields(middle, "stats")
        assert [stats[f"sync_{name}"] for name in ("full", "partial_ok")] == ["1", "2"]
