"""A restart without a full synchronisation: a snapshot says which state of the stream its data is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from final.restore import restore
from tests.support.oracle import InProcess, final_server, redis_server
from tests.support.replicas import Played, chosen
from tests.tools.replicating import await_equal, await_link, difference, fields

ID = "a" * 40
BOTH = {"final": final_server, "redis": redis_server}


def started(folder: Path, passed: int = 0, **options: Any) -> InProcess:
    """Start an engine on a snapshot, so many milliseconds later than the others."""
    peer = InProcess(dir=str(folder), **options)
    peer.now += passed
    restore(peer.engine)
    return peer


def stopped(folder: Path, *lines: str) -> int:
    """Have a primary execute requests and save; return the offset of its stream."""
    peer = InProcess(dir=str(folder))
    chosen(peer, ID, 700)
    for line in lines:
        assert not peer.ask(line).startswith("-")
    assert peer.ask("SAVE") == "+OK"
    return peer.engine.primary.offset


def test_replicas_of_a_primary_that_was_restarted_continue_where_it_was_saved(tmp_path: Path) -> None:
    offset = stopped(tmp_path, "SET a 1", "SELECT 3", "SET b 1 PX 100", "SET c 1 PX 900")
    again = started(tmp_path, passed=500)
    primary = again.engine.primary
    replica = Played(again)
    assert replica.ask(f"PSYNC {ID} {offset + 1}") == f"+CONTINUE {primary.replid}" and primary.replid != ID
    again.ask("SET d 1")
    assert replica.shown() == ["SELECT 3", "DEL b", "SELECT 0", "SET d 1"]
    ahead = Played(again)
    assert ahead.ask(f"PSYNC {ID} {offset + 2}") == "", "it has what was not saved: it has to get all data"


def test_a_replica_that_was_restarted_continues_in_the_database_that_was_selected(tmp_path: Path) -> None:
    offset = stopped(tmp_path, "SET a 1", "SELECT 3", "SET b 1 PX 100")
    again = started(tmp_path, passed=500, replicaof="127.0.0.1 1")
    primary = again.engine.primary
    assert (primary.replid, primary.offset, primary.database, primary.feeding) == (ID, offset, 3, True)
    assert len(again.engine.stores[3]) == 1, "the primary may have given the key another deadline"


def test_a_snapshot_in_the_middle_of_a_unit_is_no_state_of_the_stream(tmp_path: Path) -> None:
    peer = InProcess(dir=str(tmp_path), save="3600 1000")
    chosen(peer, ID)
    for line in ("SET a 1", "MULTI", "SET b 1", "FLUSHALL", "SET c 1", "EXEC"):
        peer.ask(line)
    assert (tmp_path / "dump.rdb").exists()
    assert not started(tmp_path).engine.primary.feeding


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("id", b"a\r\nb"),
        ("id", 40 * b"\n"),
        ("offset", b"-1"),
        ("offset", b""),
        ("stream-db", b"16"),
        ("stream-db", b"-1"),
    ],
)
def test_what_is_no_state_of_a_stream_is_ignored(name: str, wrong: bytes) -> None:
    about = {b"repl-id": ID.encode(), b"repl-offset": b"7", b"repl-stream-db": b"0"}
    primary = InProcess().engine.primary
    primary.continue_from({**about, b"repl-%b" % name.encode(): wrong}, following=True)
    assert not primary.feeding and primary.offset == 0


@pytest.mark.parametrize(("leading", "following"), [("final", "redis"), ("redis", "final")])
def test_both_sides_are_restarted_and_synchronise_partially(tmp_path: Path, leading: str, following: str) -> None:
    folders = [tmp_path / "leading", tmp_path / "following"]
    for each in folders:
        each.mkdir()
    above, below = ((*("--repl-diskless-sync-delay", "0"), "--save", "3600 1000", "--dir", str(at)) for at in folders)
    with BOTH[leading](*above) as first:
        client = first.connect()
        client.ask("SELECT", 3)
        client.ask("SET", "a", 1)
        follow = ("--replicaof", f"127.0.0.1 {first.port}", *below)
        with BOTH[following](*follow) as second:
            await_link(second.connect())
            client.ask("SET", "b", 1)
            await_equal(client, second.connect())
            second.stop()
        client.ask("SET", "c", 1)
        with BOTH[following](*follow) as second:
            replica = second.connect()
            await_equal(client, replica)
            assert difference(client, replica) == {}
            assert fields(client, "stats")["sync_full"] == fields(client, "stats")["sync_partial_ok"] == "1"
            first.stop()
            with BOTH[leading](*above, port=first.port) as again:
                client = again.connect()
                client.ask("SET", "d", 1)
                await_equal(client, replica)
                assert difference(client, replica) == {}
                assert [fields(client, "stats")[f"sync_{kind}"] for kind in ("full", "partial_ok")] == ["0", "1"]
