"""The log of final/: whatever happens to the process, the disk or the file, it brings back what was promised."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from final.config.options import Options
from final.log.read import CorruptLog
from final.net import server as net_server
from stages.harness.wire import request
from tests.support.folders import await_rewrite, data_of, everything, flush, log_in, opened, write_log
from tests.support.machine import within
from tests.support.oracle import NOW, InProcess, OverTheWire, args_of, final_server, redis_server, transcripts
from tests.support.sequences import ANY, EXAMPLES

HALF_AN_HOUR = 1_800_000
DATA = [section for name, section in transcripts().items() if name.startswith(("strings", "hashes", "deadlines"))]

WRITTEN = """
SET name Alice
HSET user name Alice age 7
SELECT 3
SET name Bob PXAT 1800000001000
INCRBYFLOAT visits 0.1
SELECT 0
EXPIRE user 100
SELECT 3
APPEND name !
""".strip().splitlines()


def written(folder: Path) -> list[tuple[int, dict[int, Any]]]:
    """Write a log, with a change of several records in it; give the file's size and the data after each request."""
    peer = opened(folder)
    states = [(0, data_of(peer))]
    for line in WRITTEN:
        peer.now += 1001 * line.startswith("APPEND")  # on a key that has expired: DEL and APPEND, in MULTI and EXEC
        peer.ask(line)
        states.append((flush(peer), data_of(peer)))
    return states


# Replay


def test_replay_brings_back_the_data_after_any_sequence(tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=EXAMPLES, deadline=None)
    @given(st.lists(st.tuples(ANY, st.sampled_from([0, 0, 1, HALF_AN_HOUR])), max_size=20))
    def holds(sequence: list[tuple[list[bytes], int]]) -> None:
        folder = tmp_path_factory.mktemp("any")
        peer = opened(folder)
        for args, later in sequence:
            if not {b"BITFIELD", b"FAIL"} <= {*map(bytes.upper, args)}:  # else a key without a record, as in Redis
                peer.ask_all([args])
            peer.now += later
        flush(peer)
        assert data_of(opened(folder, peer.now)) == data_of(peer)

    holds()


def test_replay_leaves_out_no_command_of_an_administrator_that_writes(tmp_path: Path) -> None:
    peer = opened(tmp_path)
    peer.ask_all([args_of("PFADD k a"), args_of("PFDEBUG TODENSE k")])
    flush(peer)
    assert data_of(opened(tmp_path)) == data_of(peer)


def test_replay_does_not_bring_back_a_key_that_has_expired_by_appending_to_it(tmp_path: Path) -> None:
    peer = opened(tmp_path)
    peer.ask("SET k v PX 1000")
    peer.ask("APPEND k w")
    flush(peer)
    assert opened(tmp_path, NOW + 999).ask("GET k") == "$2 vw"
    later = opened(tmp_path, NOW + 1001)
    assert later.ask("GET k") == "$-1"
    assert later.ask("APPEND k x") == ":1"


def test_what_replay_finds_expired_is_logged_as_deleted_when_someone_finds_it(tmp_path: Path) -> None:
    opened(tmp_path).ask("PING")
    log_in(tmp_path).write_bytes(request("SET", "k", "v", "PXAT", 1))
    peer = opened(tmp_path)
    peer.ask("GET k")
    assert flush(peer) > 0
    assert log_in(tmp_path).read_bytes().endswith(request("DEL", "k"))


def test_replay_adds_nothing_to_the_log(tmp_path: Path) -> None:
    written(tmp_path)
    before = log_in(tmp_path).read_bytes()
    flush(opened(tmp_path))
    assert log_in(tmp_path).read_bytes() == before


def test_each_database_gets_its_own_data_back_and_the_log_goes_on_for_the_right_one(tmp_path: Path) -> None:
    for database in (0, 15, 7):
        peer = opened(tmp_path)
        peer.ask_all([[b"SELECT", b"%d" % database], [b"SET", b"k", b"%d" % database]])
        flush(peer)
    held = {index: {b"k": (b"%d" % index, None)} for index in (0, 7, 15)}
    assert data_of(opened(tmp_path)) == held


def test_data_survives_kill_9(tmp_path: Path) -> None:
    section = [args_of(line) for section in DATA for line, _ in section if "PX" not in line]
    with final_server(data=tmp_path, appendfsync="no") as server:
        OverTheWire(server.connect()).ask_all(section)
        before = everything(server.connect())
        server.kill()
    with final_server(data=tmp_path) as server:
        assert everything(server.connect()) == before
    assert len(before) > 10


# A torn log


def test_a_log_torn_at_any_byte_is_cut_to_what_was_complete_and_goes_on(tmp_path: Path, capfd: Any) -> None:
    states = written(tmp_path / "whole")
    log = log_in(tmp_path / "whole").read_bytes()
    assert b"MULTI" in log
    shutil.copytree(tmp_path / "whole", tmp_path / "torn")
    for size in range(len(log) + 1):
        log_in(tmp_path / "torn").write_bytes(log[:size])
        peer = opened(tmp_path / "torn", NOW + 1001)
        expected = alive(next(data for end, data in reversed(states) if end <= size), peer.now)
        assert data_of(peer) == expected, f"torn at {size}"
        peer.ask("SET after torn")
        flush(peer)
        expected[0] = {**expected.get(0, {}), b"after": (b"torn", None)}
        assert data_of(opened(tmp_path / "torn", peer.now)) == expected, f"torn at {size}"
    assert "cut off at byte" in capfd.readouterr().err


def alive(data: dict[int, Any], now: int) -> dict[int, Any]:
    """The data without what has expired by now."""
    left = {
        index: {key: kept for key, kept in keys.items() if kept[1] is None or kept[1] >= now}
        for index, keys in data.items()
    }
    return {index: keys for index, keys in left.items() if keys}


def test_a_transaction_without_its_end_is_cut_whole_and_the_server_says_so(tmp_path: Path, capfd: Any) -> None:
    opened(tmp_path)
    whole = request("SET", "a", 1)
    log_in(tmp_path).write_bytes(whole + request("MULTI") + request("SET", "b", 2) + request("SET", "c", 3))
    peer = opened(tmp_path)
    assert data_of(peer) == {0: {b"a": (b"1", None)}}
    assert log_in(tmp_path).read_bytes() == whole
    said = capfd.readouterr().err
    assert f"cut off at byte {len(whole)}" in said and str(log_in(tmp_path)) in said


# A damaged log


@pytest.mark.parametrize("tail", [b"", request("EXEC")], ids=["cut off", "complete"])
def test_an_empty_transaction_at_the_end_is_as_complete_as_for_redis(tmp_path: Path, tail: bytes) -> None:
    whole, sizes = request("SELECT", 0) + request("SET", "k", "v"), set()
    for number, start in enumerate((final_server, redis_server)):
        place = tmp_path / str(number)
        folder = write_log(place, incr1=whole + request("MULTI") + tail)
        with start(data=place) as server:
            assert server.connect().ask("GET", "k") == b"v"
            sizes.add((folder / "appendonly.aof.1.incr.aof").stat().st_size)
    assert sizes == {len(whole + request("MULTI") + tail) if tail else len(whole)}


def requests_at(log: bytes) -> list[tuple[int, int]]:
    """Where the requests of a log begin and end."""
    starts = [match.start() for match in re.finditer(rb"\*\d+\r\n\$", log)]
    return list(zip(starts, [*starts[1:], len(log)], strict=True))


def test_damage_in_the_middle_stops_the_start_names_the_request_and_changes_nothing(tmp_path: Path) -> None:
    written(tmp_path)
    log = log_in(tmp_path).read_bytes()
    for start, end in requests_at(log)[:-4]:
        header = len(re.match(rb"\*\d+\r\n\$\d+\r\n", log[start:]).group())  # type: ignore[union-attr]
        for place in (*range(start, start + header), end - 2, end - 1):
            damaged = log[:place] + b"!" + log[place + 1 :]
            log_in(tmp_path).write_bytes(damaged)
            with pytest.raises(CorruptLog) as refused:
                opened(tmp_path)
            assert f"is damaged at byte {start}: " in str(refused.value), f"damaged at {place}"
            assert f"truncate -s {start} {log_in(tmp_path)}" in str(refused.value)
            assert log_in(tmp_path).read_bytes() == damaged


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (request("NOSUCH", "k"), "ERR unknown command 'NOSUCH'"),
        (request("HSET", "a", "f", "v"), "WRONGTYPE"),
        (request("SET", "a"), "ERR wrong number of arguments for 'set' command"),
        (
            request("INCR", "a") + request("MULTI") + request("SET", "a", "x") + request("INCR", "a") + request("EXEC"),
            "ERR",
        ),
        (
            request("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM") + request("see_consumer", "s", "g", "c", "5"),
            "ERR no such consumer",
        ),
        (b"REDIS0010", "expected '*'"),  # a snapshot may only stand at the beginning
        (b"SET a 1\r\n", "expected '*'"),
        (b"\0\0\0\0", "expected '*'"),
    ],
)
def test_what_no_server_can_have_written_is_refused(tmp_path: Path, record: bytes, reason: str) -> None:
    opened(tmp_path)
    good = request("SET", "a", 1)
    log_in(tmp_path).write_bytes(good + record + good)
    with pytest.raises(CorruptLog, match=re.escape(reason)):
        opened(tmp_path)
    assert log_in(tmp_path).read_bytes() == good + record + good


def test_a_server_that_cannot_use_its_log_says_why_in_one_line_and_ends_with_status_1(tmp_path: Path) -> None:
    opened(tmp_path)
    log_in(tmp_path).write_bytes(request("SET", "a", 1) + b"!" + request("SET", "a", 2))
    with pytest.raises(Exception, match="exit status 1"), final_server(data=tmp_path):
        pass


# Redis 7's layout


def test_the_folder_is_laid_out_as_redis_7_does(tmp_path: Path) -> None:
    written(tmp_path)
    folder = tmp_path / "appendonlydir"
    assert sorted(path.name for path in folder.iterdir()) == ["appendonly.aof.1.incr.aof", "appendonly.aof.manifest"]
    assert (folder / "appendonly.aof.manifest").read_text() == "file appendonly.aof.1.incr.aof seq 1 type i\n"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_folders_that_are_made_are_their_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        opened(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    made = (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "appendonlydir")
    assert [path.stat().st_mode & 0o777 for path in made] == [0o700] * 3


def test_a_real_redis_takes_over_a_copy_of_the_folder(tmp_path: Path) -> None:
    with final_server(data=tmp_path / "ours") as server:
        for database, section in enumerate(DATA):
            peer = OverTheWire(server.connect())
            peer.ask_all([[b"SELECT", b"%d" % (database % 16)], *(args_of(line) for line, _ in section)])
        ours = everything(server.connect())
        server.stop()
    shutil.copytree(tmp_path / "ours", tmp_path / "copy")
    with redis_server(data=tmp_path / "copy") as server:
        assert everything(server.connect()) == ours
    assert len(ours) > 20


def test_a_folder_that_a_real_redis_wrote_is_taken_over(tmp_path: Path) -> None:
    plain = ("--aof-use-rdb-preamble", "no", "--aof-timestamp-enabled", "yes")
    with redis_server(*plain, data=tmp_path) as server:
        client = server.connect()
        for database, section in enumerate(DATA):
            if database == len(DATA) // 2:
                client.ask("BGREWRITEAOF")
                await_rewrite(client)
            peer = OverTheWire(server.connect())
            peer.ask_all([[b"SELECT", b"%d" % (database % 16)], *(args_of(line) for line, _ in section)])
        theirs = everything(client)
        server.stop()
    manifest = (tmp_path / "appendonlydir" / "appendonly.aof.manifest").read_text()
    assert re.search("base.aof seq .* type b", manifest) and "incr.aof" in manifest
    with final_server(data=tmp_path) as server:
        assert everything(server.connect()) == theirs
        server.connect().check(request("SET", "new", "from final"), b"+OK\r\n")
        server.kill()
    with redis_server(*plain, data=tmp_path) as server:
        assert server.connect().ask("GET", "new") == b"from final"
    assert len(theirs) > 20


def test_several_files_are_read_in_the_order_of_the_manifest(tmp_path: Path) -> None:
    opened(tmp_path)
    folder = tmp_path / "appendonlydir"
    (folder / "appendonly.aof.2.incr.aof").write_bytes(request("SELECT", 1) + request("SET", "k", "second"))
    log_in(tmp_path).write_bytes(request("SELECT", 1) + request("SET", "k", "first"))
    (folder / "appendonly.aof.manifest").write_text(
        "file appendonly.aof.1.incr.aof seq 1 type i\nfile appendonly.aof.2.incr.aof seq 2 type i\n"
    )
    peer = opened(tmp_path)
    assert data_of(peer) == {1: {b"k": (b"second", None)}}
    peer.ask("SET new v")
    flush(peer)
    assert (folder / "appendonly.aof.2.incr.aof").read_bytes().endswith(request("SET", "new", "v"))


def test_only_the_last_file_may_be_torn(tmp_path: Path) -> None:
    opened(tmp_path)
    folder = tmp_path / "appendonlydir"
    manifest = folder / "appendonly.aof.manifest"
    log_in(tmp_path).write_bytes(request("SET", "k", "first") + b"*3\r\n$3")
    (folder / "appendonly.aof.2.incr.aof").write_bytes(request("SET", "k", "second"))
    manifest.write_text(manifest.read_text() + "file appendonly.aof.2.incr.aof seq 2 type i\n")
    with pytest.raises(CorruptLog, match="is not the last file"):
        opened(tmp_path)
    manifest.write_text("file ../elsewhere seq 1 type i\n")
    with pytest.raises(CorruptLog, match="line 1 is not a line of a manifest"):
        opened(tmp_path)


# A log as Redis had it before version 7


def test_an_old_style_log_is_moved_in_as_redis_does(tmp_path: Path) -> None:
    data = request("SELECT", 3) + request("SET", "k", "v")
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "appendonly.aof").write_bytes(data + request("SET", "torn", "off")[:-3])
    with redis_server(data=tmp_path / "theirs") as server:
        server.stop()
    with final_server(data=tmp_path / "ours") as server:
        assert everything(server.connect()) == {"3 b'k'": ("string", b"v", -1)}
        server.stop()
        assert re.search("old-style log .*appendonly.aof was moved into .*appendonlydir", server.errors)
    held = [{path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.*")} for name in ("ours", "theirs")]
    assert held[0] == held[1] and held[0]["appendonly.aof"] == data


def test_a_move_that_was_cut_short_is_completed(tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_bytes(request("SET", "k", "v"))
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    (folder / "appendonly.aof.manifest").write_text("file appendonly.aof seq 1 type b\n")
    assert data_of(opened(tmp_path)) == data_of(opened(tmp_path)) == {0: {b"k": (b"v", None)}}
    assert (folder / "appendonly.aof").exists() and not (tmp_path / "appendonly.aof").exists()


def test_an_old_style_log_beside_a_newer_one_is_left_alone_and_one_in_the_folder_is_not_overwritten(
    tmp_path: Path,
) -> None:
    peer = opened(tmp_path)
    peer.ask("SET k new")
    flush(peer)
    old = tmp_path / "appendonly.aof"
    old.write_bytes(request("SET", "k", "old"))
    assert opened(tmp_path).ask("GET k") == "$3 new"
    folder = tmp_path / "appendonlydir"
    (folder / "appendonly.aof.manifest").unlink()
    with pytest.raises(CorruptLog, match="there is no such file, but there is"):
        opened(tmp_path)
    assert old.exists() and log_in(tmp_path).stat().st_size > 0


# The policies, counted from outside


def test_config_set_changes_when_the_log_must_be_on_the_disk(tmp_path: Path) -> None:
    with final_server(data=tmp_path, appendfsync="no", counting=True) as server:
        client = server.connect()

        def fsyncs_for(pipeline: bytes, replies: bytes) -> int:
            before = len(server.fsyncs())
            client.check(pipeline, replies)
            return len(server.fsyncs()) - before

        write = request("SET", "k", "v")
        assert fsyncs_for(write, b"+OK\r\n") == 0
        client.ask("CONFIG", "SET", "appendfsync", "always")
        assert fsyncs_for(write, b"+OK\r\n") == 1
        assert fsyncs_for(write * 10, b"+OK\r\n" * 10) == 1
        assert fsyncs_for(request("GET", "k"), b"$1\r\nv\r\n") == 0
        client.ask("CONFIG", "SET", "appendfsync", "everysec")
        before = len(server.fsyncs())
        client.check(write, b"+OK\r\n")
        deadline = time.monotonic() + within(2.5)
        while len(server.fsyncs()) == before:
            assert time.monotonic() < deadline, "two seconds have passed without an fsync"
            time.sleep(0.02)
        assert not server.fsyncs()[-1].in_main_thread


# A full disk


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[InProcess]:
    """An engine whose log has grown to the size over which this process may write to no file."""
    peer = opened(tmp_path, appendfsync="everysec")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    peer.ask_all([[b"SET", b"k", b"x" * (64 << 20)]])
    size = flush(peer)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))
    try:
        yield peer
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_while_the_disk_is_full_writes_are_refused_and_reads_are_not(full_disk: InProcess) -> None:
    assert full_disk.ask("SET k v") == "+OK"
    flush(full_disk)
    assert full_disk.ask("SET k w") == "-MISCONF Errors writing to the AOF file: File too large"
    assert full_disk.ask("DEL k").startswith("-MISCONF")
    assert full_disk.ask("GET k") == "$1 v"
    assert "aof_last_write_status:err" in full_disk.ask("INFO persistence")


def test_once_there_is_room_again_the_log_goes_on_where_it_stopped(full_disk: InProcess, tmp_path: Path) -> None:
    full_disk.ask("SET k v")
    flush(full_disk)
    assert full_disk.ask("SET k w").startswith("-MISCONF")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    flush(full_disk)
    assert full_disk.ask("SET l w") == "+OK"
    assert "aof_last_write_status:ok" in full_disk.ask("INFO persistence")
    flush(full_disk)
    assert data_of(opened(tmp_path)) == {0: {b"k": (b"v", None), b"l": (b"w", None)}}


def test_under_always_a_full_disk_ends_the_server_before_it_can_promise_anything(tmp_path: Path) -> None:
    with final_server(data=tmp_path, appendfsync="always", file_size=1000) as server:
        client = server.connect()
        client.check(request("SET", "k", "v"), b"+OK\r\n")
        client.send(request("SET", "k", "x" * 1000))
        client.expect_closed()
        assert server.wait() == 1
        assert "cannot write the log: " in server.errors
    assert opened(tmp_path).ask("GET k") == "$1 v"


def test_a_server_that_stops_with_changes_that_it_cannot_write_says_so(tmp_path: Path) -> None:
    with final_server(data=tmp_path, appendfsync="everysec", file_size=1000) as server:
        client = server.connect()
        client.check(request("SET", "k", "x" * 1000), b"+OK\r\n")
        client.send(request("SET", "k", "v"))
        client.expect_line(b"-MISCONF")
        assert server.stop() == 1
        assert "cannot write the log" in server.errors


def test_names_that_are_looked_up_do_not_delay_fsync() -> None:
    looked_up, synced = threading.Event(), threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        loop.run_in_executor(None, looked_up.wait, 20)
        server = net_server.Server(Options())
        server.engine.log = Mock(sync=synced.set)
        task = asyncio.create_task(server.sync_every_second())
        for _ in range(500):
            if synced.is_set():
                break
            await asyncio.sleep(0.01)
        task.cancel()
        looked_up.set()

    asyncio.run(main())
    assert synced.is_set()
