"""Snapshots: SAVE, BGSAVE and the save points write them, a real Redis reads them, and the next start loads them."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from final.log.childinfo import ChildInfo
from final.log.health import Event
from final.log.read import CorruptLog
from final.restore import restore
from stages.harness.server import Server
from stages.harness.wire import Client, Error, request
from tests.support.dying import points
from tests.support.folders import await_rewrite, data_of, everything, info, opened
from tests.support.observing import await_true, info_number
from tests.support.oracle import NOW, InProcess, OverTheWire, args_of, final_server, redis_server, transcripts
from tests.support.rewriting import MIXED, PATIENCE
from tests.support.sequences import ANY, EXAMPLES, SEQUENCES

Held = Callable[[InProcess], Callable[[], None]]
DATA = [section for name, section in transcripts().items() if not name.startswith(("connection", "admin", "scripts"))]
LEFT_OUT = ("eval", "4294967295")  # scripts, which need lupa; a bitmap of 512 MB
POINTS = "3600 1"
REFUSED = "-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."


def peer_in(folder: Path, now: int = NOW, **options: Any) -> InProcess:
    """Return an engine that keeps its snapshot in this folder, with the data of that snapshot loaded."""
    peer = InProcess(dir=str(folder), **options)
    peer.now = now
    restore(peer.engine)
    return peer


def finish(peer: InProcess) -> None:
    """Call the timer of the snapshots until the child has ended."""
    deadline = time.monotonic() + PATIENCE
    while peer.engine.snapshots.worker is not None:
        peer.engine.snapshots.tick()
        assert time.monotonic() < deadline, "the snapshot does not end"


def fields(peer: InProcess, *names: str) -> list[Any]:
    """Return these fields of INFO persistence, whose names begin with `rdb_`."""
    state = peer.engine.snapshots.state()
    return [state[f"rdb_{name}"] for name in names]


def persistence(peer: InProcess, *names: str) -> list[str]:
    """Return these fields of INFO persistence."""
    answer: Any = peer.answer([b"INFO", b"persistence"])
    found = dict(line.split(":") for line in answer.decode().splitlines() if ":" in line)
    return [found[name] for name in names]


def files(folder: Path) -> list[str]:
    """List the names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def filled(folder: Path, **options: Any) -> InProcess:
    """Return an engine with a few keys of every type."""
    peer = peer_in(folder, **options)
    peer.ask_all(map(args_of, MIXED))
    return peer


def unsigned(data: Any) -> Any:
    """Return the data with -0 as 0: a small sorted set forgets the sign when it is loaded, as in Redis."""
    if isinstance(data, dict):
        return {key: unsigned(value) for key, value in data.items()}
    if isinstance(data, list | tuple | deque):
        return [unsigned(each) for each in data]
    return b"0" if data == b"-0" else data


# What is written is what is loaded


@pytest.mark.parametrize("how", ["SAVE", "BGSAVE"])
def test_the_next_start_has_the_data_of_the_snapshot(tmp_path: Path, how: str) -> None:
    peer = filled(tmp_path)
    before = data_of(peer)
    peer.ask(how)
    peer.ask("SET after v")
    finish(peer)
    assert data_of(peer_in(tmp_path)) == before
    assert files(tmp_path) == ["dump.rdb"]


def test_whatever_the_transcripts_make_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda number: None)  # it can take many milliseconds
    for section in DATA:
        peer = InProcess(dir=str(tmp_path))
        lines = [line for line, _ in section if not any(each in line.lower() for each in LEFT_OUT)]
        peer.ask_all(map(args_of, lines))
        peer.client.queue = None
        assert peer.ask("SAVE") == "+OK"
        assert unsigned(data_of(peer_in(tmp_path))) == unsigned(data_of(peer))


def test_a_key_that_expired_meanwhile_is_not_loaded(tmp_path: Path) -> None:
    peer = filled(tmp_path)
    peer.ask("SAVE")
    again = peer_in(tmp_path, NOW + 1001)
    assert again.ask("EXISTS soon text") == ":1"
    assert fields(again, "last_load_keys_loaded", "last_load_keys_expired") == [7, 1]


def test_without_a_snapshot_a_server_starts_empty(tmp_path: Path) -> None:
    assert data_of(peer_in(tmp_path)) == {}


def test_with_a_log_the_snapshot_is_not_loaded(tmp_path: Path) -> None:
    filled(tmp_path).ask("SAVE")
    with final_server(data=tmp_path) as server:
        assert server.connect().ask("DBSIZE") == 0


def test_options_say_where_and_how(tmp_path: Path) -> None:
    text = "ab" * 1000
    sizes = {}
    for compression in ("yes", "no"):
        for checksum in ("yes", "no"):
            name = f"{compression}-{checksum}.rdb"
            peer = InProcess(dir=str(tmp_path), dbfilename=name, rdbcompression=compression, rdbchecksum=checksum)
            peer.ask(f"SET text {text}")
            peer.ask("SAVE")
            data = (tmp_path / name).read_bytes()
            assert (data[-8:] == bytes(8)) == (checksum == "no")
            sizes[compression] = len(data)
            assert peer_in(tmp_path, dbfilename=name).ask("GET text") == f"$2000 {text}"
    assert sizes["yes"] + 1900 < sizes["no"]


# A real Redis


def values(peer: InProcess) -> dict[bytes, Any]:
    """Return the values in the first database."""
    return {key: value for key, (value, _) in data_of(peer).get(0, {}).items()}


def test_any_value_travels_by_dump_and_restore_in_both_directions() -> None:
    with redis_server() as server:
        client = server.connect()

        @settings(max_examples=max(EXAMPLES // 5, 10), deadline=None)
        @given(st.lists(ANY, max_size=25) | SEQUENCES["mostly streams"])
        def holds(requests: list[list[bytes]]) -> None:
            ours, theirs = InProcess(), OverTheWire(client)
            for peer in (ours, theirs):
                peer.ask_all([[b"FLUSHALL"], [b"SELECT", b"0"], *requests, [b"SELECT", b"0"]])
            before = everything(client)
            client.ask("SELECT", 0)
            keys: Any = client.ask("KEYS", "*")
            dumps: dict[bytes, tuple[Any, Any]] = {
                key: (ours.answer([b"DUMP", key]), client.ask("DUMP", key)) for key in keys
            }
            ttls = {key: max(int(str(client.ask("PEXPIRETIME", key))), 0) for key in keys}
            kept = values(ours)
            ours.ask("FLUSHALL"), client.ask("FLUSHDB"), client.ask("SELECT", 0)
            for key, (our_dump, their_dump) in dumps.items():
                assert ours.answer([b"RESTORE", key, b"0", their_dump]) == "OK"
                assert client.ask("RESTORE", key, ttls[key], our_dump, "ABSTTL") == "OK"
            assert unsigned(everything(client)) == unsigned(before)
            assert unsigned(values(ours)) == unsigned(kept)

        holds()


# When


def test_a_save_point_is_reached_by_time_and_changes(tmp_path: Path) -> None:
    peer = peer_in(tmp_path)
    peer.ask("CONFIG SET save '1000 1 60 3'")
    steps = {
        "MSET a 1 b 2": (61, False),  # too few changes for 60 seconds
        "SET a 2": (0, True),
        "MSET a 3 b 3 c 3": (60, False),  # 60 seconds have to be over
        "GET a": (1, True),
        "SET a 4": (1000, False),
        "GET b": (1, True),
    }
    for line, (seconds, begins) in steps.items():
        peer.now += seconds * 1000
        peer.ask(line)
        peer.engine.snapshots.tick()
        assert (peer.engine.snapshots.worker is not None) == begins, line
        finish(peer)
    assert fields(peer, "changes_since_last_save", "last_save_time", "saves") == [0, peer.now // 1000, 3]


def test_changes_since_the_fork_count_for_the_next_snapshot(tmp_path: Path, held: Held) -> None:
    peer = filled(tmp_path)
    peer.ask("BGSAVE")
    go_on = held(peer)
    peer.ask("MSET x 1 y 2")
    assert fields(peer, "bgsave_in_progress", "current_bgsave_time_sec", "last_bgsave_time_sec") == [1, 0, -1]
    go_on()
    finish(peer)
    assert fields(peer, "changes_since_last_save", "bgsave_in_progress", "last_bgsave_time_sec") == [2, 0, 0]


def test_a_snapshot_and_a_rewrite_wait_for_each_other(tmp_path: Path, held: Held) -> None:
    peer = filled(tmp_path)
    busy = "-ERR Background save already in progress"
    peer.ask("BGSAVE")
    go_on = held(peer)
    assert [peer.ask(line) for line in ("BGSAVE", "BGSAVE SCHEDULE", "SAVE")] == [busy] * 3
    assert peer.ask("BGREWRITEAOF") == "+Background append only file rewriting scheduled"
    peer.engine.rewriter.tick()
    assert peer.engine.rewriter.worker is None
    go_on()
    finish(peer)
    peer.engine.rewriter.tick()
    go_on = held(peer)
    assert peer.ask("BGREWRITEAOF") == "-ERR Background append only file rewriting already in progress"
    assert peer.ask("BGSAVE").startswith("-ERR Another child process is active (AOF?): can't BGSAVE right now. Use")
    assert peer.ask("SAVE") == "+OK"
    assert peer.ask("BGSAVE SCHEDULE") == "+Background saving scheduled"
    peer.engine.snapshots.tick()
    assert peer.engine.snapshots.worker is None
    go_on()
    deadline = time.monotonic() + PATIENCE
    while peer.engine.rewriter.worker is not None and time.monotonic() < deadline:
        peer.engine.rewriter.tick()
    peer.engine.snapshots.tick()
    held(peer)()
    finish(peer)
    assert files(tmp_path) == ["appendonlydir", "dump.rdb"]


def test_a_rewrite_that_the_log_needs_does_not_wait_for_a_snapshot(tmp_path: Path, held: Held) -> None:
    peer = opened(tmp_path)
    log = peer.engine.log
    assert log is not None
    peer.ask("SET k v")
    peer.ask("BGSAVE")
    held(peer)  # and is never continued
    log.health.happen(Event.SYNC_FAILED, OSError(5, "Input/output error"))
    assert peer.ask("SET k v").startswith("-MISCONF")
    deadline = time.monotonic() + PATIENCE
    peer.engine.rewriter.tick()
    assert peer.engine.snapshots.worker is None and peer.engine.rewriter.worker is not None
    held(peer)()
    while log.failure and time.monotonic() < deadline:
        peer.engine.rewriter.tick()
        log.flush()
    assert peer.ask("SET k v") == "+OK"
    peer.engine.snapshots.tick()  # the snapshot begins again
    held(peer)()
    finish(peer)
    assert "dump.rdb" in files(tmp_path) and fields(peer, "last_bgsave_status", "saves") == ["ok", 2]


def test_after_a_rewrite_has_failed_the_snapshot_is_finished_first(tmp_path: Path, held: Held) -> None:
    peer = opened(tmp_path)
    log = peer.engine.log
    assert log is not None
    peer.ask("SET k v")
    log.health.happen(Event.SYNC_FAILED, OSError(5, "Input/output error"))
    peer.engine.rewriter.record("the disk is full")
    peer.ask("BGSAVE")
    go_on = held(peer)
    peer.engine.rewriter.tick()
    assert peer.engine.snapshots.worker is not None and peer.engine.rewriter.worker is None
    go_on()
    finish(peer)


@pytest.mark.parametrize("how", ["BGSAVE", "BGREWRITEAOF"])
def test_info_says_how_far_the_child_is_and_what_it_has_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    peer = peer_in(tmp_path, appenddirname="log")
    peer.ask_all([[b"SET", b"%d" % number, b"x" * 1000] for number in range(1000)])
    assert persistence(peer, "current_save_keys_total", "current_fork_perc", "current_cow_size") == ["0", "0.00", "0"]
    real = ChildInfo.report

    def stop_after(info: ChildInfo, at_the_end: bool = False) -> None:
        real(info, at_the_end)
        if not at_the_end:
            os.kill(os.getpid(), signal.SIGSTOP)

    monkeypatch.setattr(ChildInfo, "report", stop_after)  # after the first piece, of 256 KiB
    peer.ask(how)
    child = peer.engine.snapshots.worker or peer.engine.rewriter.worker
    assert child is not None
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    keys, total, share = persistence(
        peer, "current_save_keys_processed", "current_save_keys_total", "current_fork_perc"
    )
    assert 200 < int(keys) < 300 and total == "1000" and share == f"{int(keys) / 10:.2f}"
    copied, most, age = persistence(peer, "current_cow_size", "current_cow_peak", "current_cow_size_age")
    assert int(most) == int(copied) and int(age) < PATIENCE
    assert (int(copied) > 0) == Path("/proc/self/smaps_rollup").exists()
    deadline = time.monotonic() + PATIENCE
    while (peer.engine.snapshots.worker or peer.engine.rewriter.worker) and time.monotonic() < deadline:
        os.kill(child.pid, signal.SIGCONT)
        peer.engine.snapshots.tick()
        peer.engine.rewriter.tick()
    (last,) = persistence(peer, "rdb_last_cow_size" if how == "BGSAVE" else "aof_last_cow_size")
    assert int(last) >= int(copied)
    assert persistence(peer, "current_save_keys_processed", "current_cow_size") == ["0", "0"]


def test_in_a_transaction_a_snapshot_is_scheduled_and_has_all_of_it(tmp_path: Path) -> None:
    peer = peer_in(tmp_path)
    for line in ("MULTI", "SET a 1", "BGSAVE", "SET a 2", "EXEC"):
        answer = peer.ask(line)
    assert answer == "*3 +OK +Background saving scheduled +OK" and peer.engine.snapshots.worker is None
    peer.engine.snapshots.tick()
    finish(peer)
    assert peer_in(tmp_path).ask("GET a") == "$1 2"


def test_flushall_ends_the_child_and_with_save_points_saves(tmp_path: Path, held: Held) -> None:
    peer = filled(tmp_path)
    peer.ask("SAVE")
    peer.ask("BGSAVE")
    held(peer)
    peer.ask("FLUSHALL")
    assert peer.engine.snapshots.worker is None and files(tmp_path) == ["dump.rdb"]
    assert peer_in(tmp_path).ask("DBSIZE") == ":7"
    assert fields(peer, "last_bgsave_status") == ["ok"]
    peer.ask(f"CONFIG SET save '{POINTS}'")
    peer.ask("SET k v")
    peer.ask("FLUSHALL")
    assert peer_in(tmp_path).ask("DBSIZE") == ":0" and fields(peer, "changes_since_last_save") == [0]


def test_a_log_with_flushall_in_it_writes_no_snapshot_while_it_is_loaded(tmp_path: Path) -> None:
    with final_server(data=tmp_path) as server:
        client = server.connect()
        client.ask("FLUSHALL"), client.ask("SET", "k", "v")
    with final_server("--save", POINTS, data=tmp_path) as server:
        assert server.connect().ask("GET", "k") == b"v"
        assert files(tmp_path) == ["appendonlydir"]
        server.stop()
    assert files(tmp_path) == ["appendonlydir", "dump.rdb"]


# What fails


def test_a_snapshot_that_fails_leaves_the_last_one_and_stops_writes_until_one_succeeds(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    peer = filled(folder, save=InProcess().engine.options.save.parse(POINTS))
    folder.rename(tmp_path / "away")
    assert [peer.ask("SAVE"), peer.ask("SET k v")] == ["-ERR", "+OK"]
    peer.ask("BGSAVE")
    finish(peer)
    assert fields(peer, "last_bgsave_status", "changes_since_last_save")[0] == "err"
    for line in ("SET k v", "PING", "FLUSHALL", "DEL k"):
        assert peer.ask(line).startswith(REFUSED)
    assert peer.ask("GET text") == "$1 v"
    peer.now += 3_600_001
    peer.engine.snapshots.tick()  # reached, and the last failure is long ago
    finish(peer)
    peer.now += 5_000
    peer.engine.snapshots.tick()
    assert peer.engine.snapshots.worker is None, "it has to wait for five seconds"
    for option, least in (("stop-writes-on-bgsave-error", "no"), ("save", "''")):
        before = peer.ask(f"CONFIG GET {option}").split()[-1]
        peer.ask(f"CONFIG SET {option} {least}")
        assert peer.ask("SET k v") == "+OK"
        peer.ask_all([[b"CONFIG", b"SET", option.encode(), POINTS.encode() if option == "save" else before.encode()]])
        assert peer.ask("SET k v").startswith(REFUSED)
    (tmp_path / "away").rename(folder)
    peer.now += 1
    peer.engine.snapshots.tick()
    finish(peer)
    assert [peer.ask("SET k v"), *fields(peer, "last_bgsave_status")] == ["+OK", "ok"]
    assert files(folder) == ["dump.rdb"]


def test_a_child_that_is_killed_is_a_failure_and_leaves_nothing(tmp_path: Path, held: Held) -> None:
    peer = filled(tmp_path)
    peer.ask("BGSAVE")
    held(peer)
    worker: Any = peer.engine.snapshots.worker
    (tmp_path / f"temp-{worker.pid}.rdb").write_bytes(b"half")
    os.kill(worker.pid, signal.SIGKILL)
    finish(peer)
    assert fields(peer, "last_bgsave_status") == ["err"] and files(tmp_path) == []


@pytest.mark.parametrize("name", ["open", "fsync", "rename", "fork"])
def test_a_step_that_fails_leaves_the_last_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def failing(*given: Any, **named: Any) -> Any:
        raise OSError(28, "No space left on device")

    peer = filled(tmp_path)
    peer.ask("SAVE")
    before = (tmp_path / "dump.rdb").read_bytes()
    peer.ask("SET k v")
    with monkeypatch.context() as patch:
        patch.setattr(os, name, failing)
        assert name == "fork" or peer.ask("SAVE") == "-ERR"
        peer.ask("BGSAVE")
        finish(peer)
    assert fields(peer, "last_bgsave_status") == ["err"]
    assert files(tmp_path) == ["dump.rdb"] and (tmp_path / "dump.rdb").read_bytes() == before
    assert peer.ask("SAVE") == "+OK"


def saving_twice(how: str) -> Callable[[Path], None]:
    """Save, change, and save again."""

    def act(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        peer = filled(folder)
        for value in "12":
            peer.ask(f"SET value {value}")
            peer.ask(how)
            finish(peer)
            if fields(peer, "last_bgsave_status") == ["ok"]:
                (folder / value).touch()
        if (folder / "2").exists():
            (folder.parent / "done").touch()

    return act


def one_of_them(folder: Path, ended: bool) -> None:
    """The snapshot is complete, and not older than the last one that was acknowledged."""
    folder.mkdir(exist_ok=True)
    found = peer_in(folder).ask("GET value")
    acknowledged = [value for value in "12" if (folder / value).exists()]
    expected = {"$1 " + value for value in [*acknowledged[-1:], "12"["1" in acknowledged]]}
    assert found in expected | ({"$-1"} if not acknowledged else set())
    assert peer_in(folder).ask("SAVE") == "+OK"


@pytest.mark.parametrize("how", ["SAVE", "BGSAVE"])
def test_a_server_that_dies_at_any_step_leaves_one_complete_snapshot(tmp_path: Path, how: str) -> None:
    assert points(False, saving_twice(how), one_of_them, tmp_path) > 10


def test_a_child_that_dies_at_any_step_leaves_the_last_snapshot(tmp_path: Path) -> None:
    assert points(True, saving_twice("BGSAVE"), one_of_them, tmp_path) >= 5


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "byte 0: a snapshot begins with REDIS"),
        (b"*1\r\n$4\r\nPING\r\n", "byte 0: a snapshot begins with REDIS"),
        (b"REDIS0099" + bytes(20), "byte 0: this is a snapshot of version REDIS0099"),
        (b"REDIS0010\xfe\x20\x00\x01k\xc0\x01\xff" + bytes(8), r"byte 9: b'SELECT' was answered with ERR DB index"),
        (b"REDIS0010\xfe\x00\x00\x01k\xc0\x01\xff" + b"x" * 8, "the checksum does not match the data"),
        (b"REDIS0010\xfe\x00\x00\x01k\xc0\x01", "the file ends too early"),
    ],
)
def test_a_snapshot_that_is_damaged_stops_the_start_and_is_not_changed(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    (tmp_path / "dump.rdb").write_bytes(data)
    with pytest.raises(CorruptLog, match=reason):
        peer_in(tmp_path)
    assert (tmp_path / "dump.rdb").read_bytes() == data


# The end of the server


def saved(folder: Path) -> str:
    """Return what the snapshot in a folder has at the key `k`."""
    return peer_in(folder).ask("GET k")


def stopped(server: Server, *args: str) -> None:
    """Ask a server to stop, and check that it does, without a reply."""
    client = server.connect()
    client.send(request(*args))
    client.expect_closed()
    assert server.wait() == 0


@pytest.mark.parametrize(
    ("args", "points", "saves"),
    [
        (["SHUTDOWN"], "", False),
        (["SHUTDOWN"], POINTS, True),
        (["SHUTDOWN", "NOSAVE"], POINTS, False),
        (["SHUTDOWN", "SAVE"], "", True),
        ([], "", False),
        ([], POINTS, True),
    ],
)
def test_a_server_that_stops_saves_if_it_has_save_points_or_is_told_to(
    tmp_path: Path, args: list[str], points: str, saves: bool
) -> None:
    with final_server("--dir", str(tmp_path), "--save", points) as server:
        server.connect().ask("SET", "k", "v")
        if args:
            stopped(server, *args)
        else:
            assert server.stop(signal.SIGTERM) == 0
    assert saved(tmp_path) == ("$1 v" if saves else "$-1")
    assert files(tmp_path) == ["dump.rdb"] * saves


def test_a_server_that_cannot_save_does_not_stop_unless_it_must(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with final_server("--dir", str(folder), "--save", POINTS) as server:
        client = server.connect()
        folder.rename(tmp_path / "away")
        for args in ("SHUTDOWN",), ("SHUTDOWN", "SAVE", "NOW"):
            assert client.ask(*args) == Error("ERR Errors trying to SHUTDOWN. Check logs.")
        os.kill(info_number(client, "process_id"), signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while "the server goes on" not in server.errors and time.monotonic() < deadline:
            time.sleep(0.01)
        assert client.ask("PING") == "PONG"
        stopped(server, "SHUTDOWN", "SAVE", "FORCE")


def read_by_the_server(client: Client) -> bool:
    """Return whether the server has read all that was sent; what it has read, it executes before it hears of signals.

    The kernel says so on Linux; elsewhere the answer is yes.
    """
    table = Path("/proc/net/tcp")
    here, there = (f":{name[1]:04X}" for name in (client.socket.getsockname(), client.socket.getpeername()))
    lines = [line.split() for line in table.read_text().splitlines()[1:]] if table.exists() else []
    unsent = [each[4].split(":")[0] for each in lines if (each[1][8:], each[2][8:]) == (here, there)]
    unread = [each[4].split(":")[1] for each in lines if (each[1][8:], each[2][8:]) == (there, here)]
    return {*unsent, *unread} <= {"00000000"}


def test_a_server_that_is_busy_saves_after_that_unless_a_second_signal_ends_it(tmp_path: Path) -> None:
    for name, seconds, others in (("one", "0.5", []), ("two", "60", [signal.SIGINT])):
        folder = tmp_path / name
        folder.mkdir()
        with final_server("--dir", str(folder), "--save", POINTS, "--enable-debug-command", "yes") as server:
            client = server.connect()
            client.ask("SET", "k", "v")
            process = info_number(client, "process_id")
            client.send(request("DEBUG", "SLEEP", seconds))
            await_true(lambda client=client: read_by_the_server(client), "it sleeps")  # type: ignore[misc]
            for number in (signal.SIGTERM, *others):
                os.kill(process, number)
            assert server.wait() == 0
        assert files(folder) == (["dump.rdb"] if name == "one" else [])


def test_what_is_sent_after_shutdown_is_neither_executed_nor_answered(tmp_path: Path) -> None:
    with final_server("--dir", str(tmp_path), "--save", POINTS, "--enable-debug-command", "yes") as server:
        clients = [server.connect() for _ in range(20)]
        clients[0].ask("SET", "k", "0")
        clients[0].send(request("DEBUG", "SLEEP", "0.5"))  # so that all of these come in one iteration
        for number, client in enumerate(clients[1:]):
            client.send(request("INCR", "k") * 5 + request("SHUTDOWN") * (number == 10))
        for client in clients:
            while client.more(time.monotonic() + PATIENCE):
                pass
        answered = sum(client.received.count(b":") for client in clients)
        assert server.wait() == 0
    assert saved(tmp_path).split()[1] == str(answered)


def test_a_rewrite_after_a_snapshot_still_works(tmp_path: Path) -> None:
    with final_server("--save", POINTS, data=tmp_path) as server:
        client = server.connect()
        client.ask("SET", "k", "v")
        client.ask("BGSAVE"), client.ask("BGREWRITEAOF")
        await_rewrite(client)
        assert info(client)["rdb_last_bgsave_status"] == "ok"
