"""The rewrite of the log: the data stays what it is, whatever is done meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from final.data.store import Store
from final.data.unit import Unit
from final.log.base import write_base
from stages.harness.wire import Client, request
from tests.support.folders import await_rewrite, by_score, data_of, everything, flush, info, names, opened
from tests.support.oracle import NOW, OverTheWire, args_of, final_server, redis_server, shown, transcripts
from tests.support.rewriting import MIXED, PATIENCE, finish, rewrite, status
from tests.support.sequences import ANY, EXAMPLES
from tests.support.snapshots.contents import CONTENTS, FEW

DATA = [section for name, section in transcripts().items() if not name.startswith(("connection", "admin", "scripts"))]


# The data before is the data after


def test_any_data_is_the_same_after_a_rewrite_with_writes_meanwhile(tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=max(EXAMPLES // 3, 20), deadline=None)
    @given(st.lists(ANY, max_size=15), st.lists(ANY, max_size=5), st.integers(0, 1000))
    def holds(before: list[list[bytes]], meanwhile: list[list[bytes]], later: int) -> None:
        folder = tmp_path_factory.mktemp("any")
        peer = opened(folder)
        peer.ask_all(before)
        peer.now += later
        assert peer.engine.rewriter.begin()
        peer.ask_all(meanwhile)
        finish(peer)
        flush(peer)
        assert status(peer) == "ok" and names(folder) == ["2.base.aof", "2.incr.aof", "manifest"]
        assert data_of(opened(folder, peer.now)) == data_of(peer)

    holds()


def test_large_collections_are_written_in_pieces_as_redis_does(tmp_path: Path) -> None:
    peer = opened(tmp_path)
    peer.ask_all([[b"RPUSH", b"l", *(b"%d" % number for number in range(150))]])
    rewrite(peer)
    base = (tmp_path / "appendonlydir" / "appendonly.aof.2.base.aof").read_bytes()
    assert base.startswith(
        request("SELECT", 0) + request("RPUSH", "l", *range(64)) + request("RPUSH", "l", *range(64, 128))
    )


def test_what_has_expired_and_was_not_found_yet_is_not_brought_back_by_what_follows(tmp_path: Path) -> None:
    peer = opened(tmp_path)
    peer.ask(f"SET k v PXAT {NOW + 10}")
    peer.now += 11
    rewrite(peer)
    peer.ask("APPEND k w")
    flush(peer)
    assert opened(tmp_path, peer.now).ask("GET k") == "$1 w"


def test_the_new_increment_says_itself_which_database_it_is_for(tmp_path: Path) -> None:
    peer = opened(tmp_path)
    for line in ("SELECT 3", "SET k 3", "SELECT 0", "SET k 0"):
        peer.ask(line)
    rewrite(peer)
    peer.ask("SET k new")
    flush(peer)
    assert data_of(opened(tmp_path)) == {0: {b"k": (b"new", None)}, 3: {b"k": (b"3", None)}}


def test_rewrites_one_after_the_other_count_on_and_leave_two_files(tmp_path: Path) -> None:
    peer = opened(tmp_path)
    for number in range(1, 4):
        peer.ask("INCR n")
        rewrite(peer)
        assert names(tmp_path) == [f"{number + 1}.base.aof", f"{number + 1}.incr.aof", "manifest"]
    assert opened(tmp_path).ask("GET n") == "$1 3"
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "appendonlydir").iterdir()} == {0o600}


def test_a_rewrite_makes_a_long_story_short(tmp_path: Path) -> None:
    peer = opened(tmp_path)
    peer.ask_all([[b"INCR", b"n"]] * 1000)
    before = flush(peer)
    rewrite(peer)
    state = peer.engine.rewriter.state_of_log()
    assert (
        state["aof_current_size"]
        == state["aof_base_size"]
        == len(request("SELECT", 0) + request("SET", "n", 1000))
        < before
    )
    peer.ask("INCR n")
    flush(peer)
    files = [path for path in (tmp_path / "appendonlydir").iterdir() if path.suffix == ".aof"]
    assert peer.engine.rewriter.state_of_log()["aof_current_size"] == sum(path.stat().st_size for path in files)


# While it is under way


def test_who_writes_meanwhile_waits_for_nothing_and_loses_nothing(tmp_path: Path, held: Any) -> None:
    peer = opened(tmp_path)
    peer.ask_all(map(args_of, MIXED))
    assert peer.ask("BGREWRITEAOF") == "+Background append only file rewriting started"
    go_on = held(peer)
    assert peer.ask("BGREWRITEAOF") == "-ERR Background append only file rewriting already in progress"
    peer.ask("APPEND text w")
    peer.ask("DEL list")
    flush(peer)
    peer.engine.rewriter.tick()
    assert peer.engine.rewriter.state()["aof_rewrite_in_progress"] == 1
    shutil.copytree(tmp_path, tmp_path / "crash")
    assert data_of(opened(tmp_path / "crash")) == data_of(peer)
    go_on()
    finish(peer)
    assert status(peer) == "ok" and peer.engine.rewriter.state()["aof_rewrite_in_progress"] == 0
    assert data_of(opened(tmp_path)) == data_of(peer)


def test_a_client_that_is_left_meanwhile_notices(tmp_path: Path, held: Any) -> None:
    ours, theirs = socket.socketpair()
    peer = opened(tmp_path)
    peer.ask("BGREWRITEAOF")
    held(peer)
    ours.close()
    theirs.settimeout(PATIENCE)
    assert theirs.recv(1) == b"", "the child has kept the socket"
    theirs.close()


def test_a_child_that_is_killed_changes_nothing_and_is_reported(tmp_path: Path, held: Any, capfd: Any) -> None:
    peer = opened(tmp_path)
    peer.ask_all(map(args_of, MIXED))
    peer.ask("BGREWRITEAOF")
    held(peer)
    worker: Any = peer.engine.rewriter.worker
    os.kill(worker.pid, signal.SIGKILL)
    peer.ask("SET text w")
    finish(peer)
    flush(peer)
    assert status(peer) == "err" and "killed by signal 9" in capfd.readouterr().err
    assert names(tmp_path) == ["1.incr.aof", "2.incr.aof", "manifest"]
    assert data_of(opened(tmp_path)) == data_of(peer)


def test_the_end_of_the_server_ends_the_rewrite_and_leaves_nothing_over(tmp_path: Path, held: Any) -> None:
    peer = opened(tmp_path)
    peer.ask("BGREWRITEAOF")
    held(peer)
    worker: Any = peer.engine.rewriter.worker
    peer.engine.rewriter.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, 0)
    assert names(tmp_path) == ["1.incr.aof", "2.incr.aof", "manifest"]


def test_a_child_whose_server_has_gone_gives_up(tmp_path: Path) -> None:
    draft = tmp_path / "draft"
    store = Store(0, Unit())
    store.put(b"k", b"v")
    with pytest.raises(InterruptedError):
        write_base(draft, [store], wanted=lambda: False)
    assert not draft.exists()


# When it is time


def test_the_log_is_rewritten_when_it_has_grown_enough(tmp_path: Path) -> None:
    with final_server("--auto-aof-rewrite-min-size", "10kb", data=tmp_path, appendfsync="no") as server:
        client = server.connect()
        assert info(client)["aof_rewrites"] == "0"
        deadline = time.monotonic() + PATIENCE
        while info(client)["aof_rewrites"] == "0":
            client.ask("INCRBY", "n", 1)
            client.ask("SET", "k", "x" * 500)
            assert time.monotonic() < deadline
        told = await_rewrite(client)
        total = client.ask("GET", "n")
        assert int(told["aof_base_size"]) < 10 << 10 < int(str(total, "ascii")) * 558  # type: ignore[call-overload]
        server.kill()
    with final_server(data=tmp_path) as server:
        assert server.connect().ask("GET", "n") == total


@pytest.mark.parametrize(("percentage", "least", "due"), [(100, 0, True), (0, 0, False), (100, 10**6, False)])
def test_the_options_say_when_it_is_time(tmp_path: Path, percentage: int, least: int, due: bool) -> None:
    peer = opened(tmp_path)
    peer.ask(f"CONFIG SET auto-aof-rewrite-percentage {percentage} auto-aof-rewrite-min-size {least}")
    peer.ask("SET k v")
    peer.engine.rewriter.tick()
    assert (peer.engine.rewriter.worker is not None) == due
    finish(peer)


def test_it_is_time_again_when_the_log_has_grown_by_the_percentage_since_the_last_one(tmp_path: Path) -> None:
    peer = opened(tmp_path)
    peer.ask("CONFIG SET auto-aof-rewrite-percentage 50 auto-aof-rewrite-min-size 1")
    peer.ask("SET k " + "v" * 1000)
    rewrite(peer)
    size = peer.engine.rewriter.state_of_log()["aof_base_size"]
    while peer.engine.rewriter.worker is None:
        grown = peer.engine.rewriter.state_of_log()["aof_current_size"]
        peer.ask("SET small v")
        peer.engine.rewriter.tick()
    finish(peer)
    assert 1.4 * size < grown < 1.6 * size


# Asked for by clients: as Redis answers


CONVERSATION = """
COMMAND INFO bgrewriteaof
BGREWRITEAOF x
CONFIG GET auto-aof-rewrite-percentage
CONFIG GET auto-aof-rewrite-min-size
CONFIG SET auto-aof-rewrite-percentage -1
CONFIG SET auto-aof-rewrite-min-size 1x
CONFIG SET auto-aof-rewrite-min-size 2mb
CONFIG GET auto-aof-rewrite-min-size
CONFIG SET appendonly maybe
CONFIG GET appendonly
MULTI
BGREWRITEAOF
BGREWRITEAOF
CONFIG SET appendonly no
CONFIG SET appendonly yes
EXEC
""".strip().splitlines()


def test_what_is_answered_is_what_redis_answers(tmp_path: Path) -> None:
    def replies(client: Any) -> list[str]:
        return [shown(reply) for reply in OverTheWire(client).ask_all(map(args_of, CONVERSATION[1:]))]

    (tmp_path / "theirs").mkdir()
    with redis_server(data=tmp_path / "theirs") as theirs, final_server(data=tmp_path / "ours") as ours:
        assert replies(ours.connect()) == replies(theirs.connect())
        for server in (ours, theirs):
            client = server.connect()
            await_rewrite(client)
            assert client.ask("BGREWRITEAOF") == "Background append only file rewriting started"
            await_rewrite(client)
            assert client.ask("CONFIG", "SET", "appendonly", "no") == "OK"
            assert client.ask("BGREWRITEAOF") == "Background append only file rewriting started"
            assert await_rewrite(client)["aof_enabled"] == "0"
    for folder, expected in ((tmp_path / "ours", ["base", "incr"]), (tmp_path / "theirs", ["base"])):
        kinds = [name.rstrip("abdfor").split(".")[1] for name in names(folder) if name != "manifest"]
        assert kinds == expected  # ours has an empty increment: by that its list can be told from half of one


def test_inside_a_transaction_it_waits_until_the_transaction_is_in_the_log(tmp_path: Path) -> None:
    peer = opened(tmp_path)
    for line in ("MULTI", "SET k v", "BGREWRITEAOF", "INCR n"):
        peer.ask(line)
    assert "scheduled" in peer.ask("EXEC")
    assert peer.engine.rewriter.state()["aof_rewrite_scheduled"] == 1
    peer.engine.rewriter.tick()
    assert peer.engine.rewriter.state()["aof_rewrite_scheduled"] == 0
    finish(peer)
    assert data_of(opened(tmp_path)) == data_of(peer) == {0: {b"k": (b"v", None), b"n": (b"1", None)}}


# A real Redis goes on from ours


def without_deleted(client: Client) -> None:
    """Drop what is pending of deleted entries of streams: Redis, too, drops it when it loads a log."""
    for database in range(16):
        client.ask("SELECT", database)
        keys: Any = client.ask("KEYS", "*")
        for key in keys:
            groups: Any = client.ask("XINFO", "GROUPS", key) if client.ask("TYPE", key) == "stream" else []
            for group in groups:
                client.ask("XAUTOCLAIM", key, group[1], "nobody", 10**12, 0, "COUNT", 1000)


def test_a_real_redis_starts_on_our_rewritten_log_with_the_same_data(tmp_path: Path) -> None:
    with final_server(data=tmp_path / "ours", appendfsync="no") as server:
        client = server.connect()
        for database, section in enumerate(DATA):
            peer = OverTheWire(server.connect())
            peer.ask_all([[b"SELECT", b"%d" % (database % 16)], *(args_of(line) for line, _ in section)])
        without_deleted(client)
        client.ask("SELECT", 0)
        half = len(CONTENTS) // 2
        for args in CONTENTS[:half]:
            client.ask(*args)
        client.ask("BGREWRITEAOF")
        for args in CONTENTS[half:]:
            client.ask(*args)
        await_rewrite(client)
        for args in FEW:
            client.ask(*args)
        ours = by_score(everything(client))
        server.stop()
    assert names(tmp_path / "ours") == ["2.base.aof", "2.incr.aof", "manifest"]
    shutil.copytree(tmp_path / "ours", tmp_path / "copy")
    with redis_server(data=tmp_path / "copy") as server:
        client = server.connect()
        assert by_score(everything(client)) == ours and len(ours) > 300
        client.ask("BGREWRITEAOF")
        await_rewrite(client)
        server.stop()
    with final_server(data=tmp_path / "copy") as server:
        assert by_score(everything(server.connect())) == ours
