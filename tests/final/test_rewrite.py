"""The rewrite of the log: the data stays what it is, whatever is done meanwhile, and whoever dies, at whatever step."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import final.log.aof
import final.log.base
from final.log.base import write_base
from final.log.folder import Folder
from final.log.manifest import Manifest, parse
from final.log.read import CorruptLog
from final.options import check_name
from final.options import parse as parse_option
from final.restore import restore
from stages.harness.server import NotStarted
from stages.harness.wire import request
from tests.support.folders import await_rewrite, data_of, everything, flush, info, lay, names, opened
from tests.support.oracle import NOW, InProcess, OverTheWire, final_server, redis_server, shown, transcripts, words_of
from tests.support.rewriting import PATIENCE, finish, mend, rewrite, status
from tests.support.sequences import ANY, EXAMPLES
from tests.support.snapshots.contents import CONTENTS, FEW

DATA = [section for name, section in transcripts().items() if not name.startswith(("connection", "admin", "scripts"))]
MIXED = """
SET text v
SET soon v PXAT 1800000001000
HSET hash f v g w
RPUSH list a b c
SADD set a b
ZADD sorted 1 a 2.5 b
SELECT 3
SET elsewhere v PXAT 4000000000123
SELECT 0
""".strip().splitlines()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[InProcess], Callable[[], None]]]:
    """Have children stop when they should begin to write. Called with an engine, waits for that; gives what goes on."""
    pids: list[int] = []

    def stop_first(*given: Any) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)
        write_base(*given)

    def wait(peer: InProcess) -> Callable[[], None]:
        worker: Any = peer.engine.rewriter.worker
        pids.append(worker.pid)
        os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
        return lambda: os.kill(worker.pid, signal.SIGCONT)

    monkeypatch.setattr(final.log.base, "write_base", stop_first)
    yield wait
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


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
    state = peer.engine.rewriter.state()
    assert (
        state["aof_current_size"]
        == state["aof_base_size"]
        == len(request("SELECT", 0) + request("SET", "n", 1000))
        < before
    )
    peer.ask("INCR n")
    flush(peer)
    files = [path for path in (tmp_path / "appendonlydir").iterdir() if path.suffix == ".aof"]
    assert peer.engine.rewriter.state()["aof_current_size"] == sum(path.stat().st_size for path in files)


# While it is under way


def test_who_writes_meanwhile_waits_for_nothing_and_loses_nothing(tmp_path: Path, held: Any) -> None:
    peer = opened(tmp_path)
    peer.ask_all(map(words_of, MIXED))
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
    peer.ask_all(map(words_of, MIXED))
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
    with pytest.raises(InterruptedError):
        write_base(draft, [(0, [(b"k", b"v", None)])], wanted=lambda: False)


def test_where_there_is_no_fork_a_copy_is_written_by_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    go_on = threading.Event()

    def wait_first(*given: Any) -> None:
        assert go_on.wait(PATIENCE)
        write_base(*given)

    monkeypatch.setattr(final.log.base, "write_base", wait_first)
    monkeypatch.delattr(os, "fork")
    peer = opened(tmp_path)
    peer.ask_all(map(words_of, MIXED))
    peer.ask("BGREWRITEAOF")
    for line in ("RPUSH list d", "SADD set c", "ZADD sorted 3 c", "HSET hash h x", "SET text w"):
        peer.ask(line)
    flush(peer)
    go_on.set()
    finish(peer)
    assert status(peer) == "ok" and "no os.fork here" in capfd.readouterr().err
    assert data_of(opened(tmp_path)) == data_of(peer)


# Whoever dies at whatever step


# Of `os`; and of what is written, a request into the base, or half of what is given into the log.
STEPS = ("mkdir", "open", "fsync", "rename", "unlink", "fork", "close")


def dying(at: int, in_child: bool, act: Callable[[], None]) -> bool:
    """Do something in a process that dies before the n-th of its STEPS; or, `in_child`, whose children do, each before
    the n-th of its own. Wait for the end of all of them; tell whether the process came to the end of what it had to do.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        me, count = os.getpid(), [0]

        def counted(real: Any) -> Any:
            def step(*given: Any, **named: Any) -> Any:
                if (os.getpid() != me) == in_child:
                    count[0] += 1
                    if count[0] == at:
                        os._exit(7)
                return real(*given, **named)

            return step

        class Halving(FileIO):
            """Takes half of what it is given, and the other half in another step, as a file may."""

            def write(self, data: Any) -> int:
                return int(half(self, data[: len(data) // 2 + 1]))

        half = counted(FileIO.write)
        try:
            os.dup2(writing, 1)  # the only one that a child of the server keeps: it is closed when both have gone
            for name in STEPS:
                setattr(os, name, counted(getattr(os, name)))
            final.log.aof.FileIO = Halving  # type: ignore[attr-defined]
            final.log.base.encode = counted(final.log.base.encode)  # type: ignore[attr-defined]
            act()
            os.write(1, b"!")
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with open(reading, "rb") as file:
        return file.read() == b"!"


def points(in_child: bool, act: Callable[[Path], None], check: Callable[[Path, bool], None], folder: Path) -> int:
    """Let `act` die at each of its steps in turn, each time in a new folder, and check what is left; count them."""
    for at in range(1, 200):
        place = folder / str(at)
        ended = dying(at, in_child, lambda place=place: act(place))  # type: ignore[misc]
        check(place, ended)
        shutil.rmtree(place)
        if ended and not in_child:
            return at - 1
        if in_child and (place.parent / "done").exists():
            return at - 1
    raise AssertionError("it never comes to its end")


def acknowledged(folder: Path, more: str = "") -> int:
    """Count what was acknowledged so far, with one more if so."""
    path = folder.with_suffix(".acknowledged")
    with open(path, "a") as file:
        file.write(more)
    return len(path.read_text())


LINES = ["SET a 1", "RPUSH l x y", "INCR a", "SELECT 3", "HSET h f v", "SELECT 0", "INCR a", "APPEND a 0", "LPOP l"]


def after(count: int) -> dict[int, Any]:
    """The data after so many of the LINES."""
    peer = InProcess()
    peer.ask_all(map(words_of, LINES[:count]))
    return data_of(peer)


def say(peer: InProcess, folder: Path, lines: list[str]) -> None:
    """Ask, and note that it is in the log."""
    for line in lines:
        peer.ask(line)
        flush(peer)
        acknowledged(folder, "x")


def with_a_rewrite(folder: Path) -> None:
    """Write, rewrite, and write meanwhile and after."""
    folder.mkdir(exist_ok=True)
    peer = opened(folder, appendfsync="always")
    say(peer, folder, LINES[:3])
    peer.ask("BGREWRITEAOF")
    say(peer, folder, LINES[3:6])
    finish(peer)
    say(peer, folder, LINES[6:])
    if status(peer) == "ok":
        (folder.parent / "done").touch()


def complete(folder: Path, ended: bool) -> None:
    """Whatever was acknowledged is there, nothing is left over, and the next rewrite works."""
    count = acknowledged(folder)
    folder.with_suffix(".acknowledged").unlink()
    peer = opened(folder)
    assert data_of(peer) in (after(count), after(count + 1)), f"{count} lines were acknowledged"
    assert count == len(LINES) or not ended
    listed = (folder / "appendonlydir" / "appendonly.aof.manifest").read_text()
    assert all(name == "manifest" or f".{name} " in listed for name in names(folder)), names(folder)
    peer.ask("SET next v")
    rewrite(peer)
    assert data_of(opened(folder)) == data_of(peer)


def test_a_server_that_dies_at_any_step_of_a_rewrite_leaves_one_whole_log(tmp_path: Path) -> None:
    assert points(False, with_a_rewrite, complete, tmp_path) > 30


def test_a_child_that_dies_at_any_step_changes_nothing(tmp_path: Path) -> None:
    assert points(True, with_a_rewrite, complete, tmp_path) >= 5


def turning_on_and_off(folder: Path) -> None:
    """Write without a log, turn it on, write, and turn it off again."""
    folder.mkdir()
    peer = InProcess(appendonly="no", dir=str(folder))
    peer.ask_all(map(words_of, LINES[:4]))
    peer.ask("CONFIG SET appendonly yes")
    peer.ask_all(map(words_of, LINES[4:]))
    finish(peer)
    flush(peer)
    acknowledged(folder, "x")
    peer.ask("CONFIG SET appendonly no")


def all_or_nothing(folder: Path, ended: bool) -> None:
    """Once the log is on, all is there; before that, nothing, or what the base tells, with some of what followed."""
    on = acknowledged(folder)
    folder.with_suffix(".acknowledged").unlink()
    possible = [after(len(LINES))] if on else [{}, *(after(count) for count in range(4, len(LINES) + 1))]
    assert data_of(opened(folder)) in possible
    assert on or not ended


def test_a_server_that_dies_while_the_log_is_turned_on_or_off_leaves_all_or_nothing(tmp_path: Path) -> None:
    assert points(False, turning_on_and_off, all_or_nothing, tmp_path) > 30


@pytest.mark.parametrize("name", ["open", "rename", "unlink", "fork"])
def test_a_step_that_fails_is_reported_and_the_log_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real = getattr(os, name)
    for at in range(1, 20):
        count = [0]

        def failing(*given: Any, count: list[int] = count, at: int = at) -> Any:
            count[0] += 1
            if count[0] == at:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*given)

        folder = tmp_path / str(at)
        peer = opened(folder)
        peer.ask_all(map(words_of, MIXED))
        flush(peer)
        with monkeypatch.context() as patch:
            patch.setattr(os, name, failing)
            answer = peer.ask("BGREWRITEAOF")
            finish(peer)
        failed = status(peer) == "err"
        assert answer.startswith("+Background") or (failed and "Can't execute an AOF background rewriting." in answer)
        peer.ask("SET text w")
        flush(peer)
        assert data_of(opened(folder)) == data_of(peer), f"{name} {at}"
        rewrite(peer)
        assert data_of(opened(folder)) == data_of(peer), f"{name} {at}"
        if count[0] < at and not failed:
            assert at > 1
            return
    raise AssertionError("it never ends")


def test_after_three_failures_the_next_automatic_rewrite_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> int:
        raise OSError("no more processes")

    peer = opened(tmp_path)
    peer.ask("CONFIG SET auto-aof-rewrite-min-size 0")
    peer.ask("SET k v")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fork", failing)
        for _ in range(10):
            peer.engine.rewriter.tick()
    assert peer.engine.rewriter.state()["aof_rewrites_consecutive_failures"] == 3
    peer.engine.rewriter.tick()
    assert peer.engine.rewriter.worker is None
    rewrite(peer)


def no_fsync(number: int) -> None:
    """What stands in for os.fsync while the disk fails."""
    raise OSError(errno.EIO, "Input/output error")


def test_after_a_failed_fsync_writes_are_refused_until_the_whole_log_was_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = opened(tmp_path, appendfsync="everysec")
    log, refused = peer.engine.log, "-MISCONF Errors writing to the AOF file: Input/output error"
    assert log
    peer.ask("SET k v")
    flush(peer)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_fsync)
        with pytest.raises(OSError, match="Input/output error"):
            log.sync()
    with pytest.raises(OSError, match="Input/output error"):
        log.sync()  # the disk is well again; that does not bring back what it has lost
    flush(peer)
    assert [peer.ask(line) for line in ("SET k w", "PING", "GET k")] == [refused, refused, "$1 v"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_fsync)
        peer.engine.rewriter.tick()
        finish(peer)  # the child fails
        flush(peer)
        assert peer.ask("SET k w") == refused
    mend(peer)
    assert peer.ask("SET k w") == "+OK"
    flush(peer)
    log.sync()
    assert data_of(opened(tmp_path)) == {0: {b"k": (b"w", None)}}
    assert names(tmp_path) == ["2.base.aof", "3.incr.aof", "manifest"]


@pytest.mark.parametrize("moved", [True, False], ids=["moved away", "deleted"])
def test_a_folder_that_vanishes_is_made_again_with_all_that_it_should_hold(tmp_path: Path, moved: bool) -> None:
    peer = opened(tmp_path, appendfsync="everysec")
    peer.ask("SET k v")
    flush(peer)
    folder = tmp_path / "appendonlydir"
    folder.rename(tmp_path / "elsewhere") if moved else shutil.rmtree(folder)
    peer.ask("INCR n")
    flush(peer)
    assert peer.engine.log
    with pytest.raises(OSError, match="No such file or directory"):
        peer.engine.log.sync()
    assert peer.ask("INCR n") == "-MISCONF Errors writing to the AOF file: No such file or directory"
    mend(peer)
    assert peer.ask("INCR n") == ":2"
    flush(peer)
    assert data_of(opened(tmp_path)) == {0: {b"k": (b"v", None), b"n": (b"2", None)}}


def cut(log: Path) -> None:
    """Empty the file that is appended to."""
    os.truncate(log / "appendonly.aof.2.incr.aof", 0)


def append(log: Path) -> None:
    """Write to that file, as a second server would."""
    with open(log / "appendonly.aof.2.incr.aof", "ab") as file:
        file.write(request("SET", "foreign", 1))


def exchange(log: Path) -> None:
    """Put a copy in its place, as an editor does."""
    shutil.copy(log / "appendonly.aof.2.incr.aof", log / "copy")
    (log / "copy").rename(log / "appendonly.aof.2.incr.aof")


def cut_base(log: Path) -> None:
    """Cut the base."""
    os.truncate(log / "appendonly.aof.2.base.aof", 5)


def delete_base(log: Path) -> None:
    """Delete the base."""
    (log / "appendonly.aof.2.base.aof").unlink()


def empty_list(log: Path) -> None:
    """Empty the list of the files."""
    os.truncate(log / "appendonly.aof.manifest", 0)


TOUCHES = [cut, append, exchange, cut_base, delete_base, empty_list]


@pytest.mark.parametrize("touch", TOUCHES)
@pytest.mark.parametrize("policy", ["everysec", "always"])
def test_who_touches_our_files_is_noticed_and_the_whole_log_is_rewritten(
    tmp_path: Path, touch: Callable[[Path], None], policy: str
) -> None:
    peer = opened(tmp_path, appendfsync=policy)
    peer.ask("SET k v")
    flush(peer)
    rewrite(peer)
    peer.ask("INCR n")
    flush(peer)
    log = peer.engine.log
    assert log
    log.look()
    assert not log.doubt
    touch(tmp_path / "appendonlydir")
    log.look()
    assert log.displaced and re.match("-MISCONF Errors writing to the AOF file: ", peer.ask("INCR n"))
    mend(peer)
    assert peer.ask("INCR n") == ":2"
    flush(peer)
    log.look()
    assert not log.doubt and data_of(opened(tmp_path)) == {0: {b"k": (b"v", None), b"n": (b"2", None)}}


@pytest.mark.parametrize("touch", [cut, append, exchange])
def test_a_sync_notices_it_too(tmp_path: Path, touch: Callable[[Path], None]) -> None:
    peer = opened(tmp_path, appendfsync="everysec")
    rewrite(peer)
    peer.ask("SET k v")
    flush(peer)
    touch(tmp_path / "appendonlydir")
    assert peer.engine.log
    with pytest.raises(OSError):
        peer.engine.log.sync()
    assert peer.engine.log.displaced


def test_what_another_thread_writes_while_it_is_looked_for_is_not_taken_for_foreign(tmp_path: Path) -> None:
    peer = opened(tmp_path, appendfsync="everysec")
    log = peer.engine.log
    assert log
    stop = threading.Event()

    def sync() -> None:
        while not stop.is_set():
            log.sync()

    thread = threading.Thread(target=sync)
    thread.start()
    try:
        for number in range(3000):
            peer.ask_all([[b"SET", b"k", b"%d" % number]])
            flush(peer)
    finally:
        stop.set()
        thread.join()
    assert not log.doubt


def test_under_always_replies_wait_until_what_somebody_has_cut_is_rewritten(tmp_path: Path) -> None:
    with final_server(data=tmp_path, appendfsync="always") as server:
        client = server.connect()
        for number in range(10):
            client.check(request("SET", f"k{number}", "v"), b"+OK\r\n")
        os.truncate(next(tmp_path.glob("*/*.incr.aof")), 0)
        client.check(request("SET", "after", "v"), b"+OK\r\n")
        server.kill()
        assert "was changed by someone else" in server.errors
    with final_server(data=tmp_path) as server:
        assert server.connect().ask("DBSIZE") == 11


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
        assert int(told["aof_base_size"]) < 10 << 10 < int(str(total, "ascii")) * 500  # type: ignore[call-overload]
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
    size = peer.engine.rewriter.state()["aof_base_size"]
    while peer.engine.rewriter.worker is None:
        grown = peer.engine.rewriter.state()["aof_current_size"]
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
        return [shown(reply) for reply in OverTheWire(client).ask_all(map(words_of, CONVERSATION[1:]))]

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


# Turned on and off at run time


def test_the_log_is_turned_on_and_off_while_the_server_runs(tmp_path: Path) -> None:
    options = ("--appendonly", "no")
    with final_server(*options, "--dir", str(tmp_path)) as server:
        client = server.connect()
        for words in FEW:
            client.ask(*words)
        assert not (tmp_path / "appendonlydir").exists()
        assert client.ask("CONFIG", "SET", "appendonly", "yes") == "OK"
        client.ask("SET", "meanwhile", 1)
        assert await_rewrite(client)["aof_enabled"] == "1"
        client.ask("SET", "after", 1)
        on = everything(client)
        assert client.ask("CONFIG", "SET", "appendonly", "no") == "OK"
        client.ask("SET", "not logged", 1)
        server.kill()
    with final_server(data=tmp_path) as server:
        assert everything(server.connect()) == on and len(on) == len(FEW) + 1


def test_until_the_first_base_is_there_the_log_from_before_holds(tmp_path: Path, held: Any) -> None:
    before = opened(tmp_path)
    before.ask("SET old v")
    flush(before)
    peer = InProcess(appendonly="no", dir=str(tmp_path))
    peer.ask("SET new v")
    assert peer.ask("CONFIG SET appendonly yes") == "+OK"
    go_on = held(peer)
    peer.ask("INCR n")
    flush(peer)
    assert (tmp_path / "appendonlydir" / "temp-appendonly.aof.incr").stat().st_size > 0
    shutil.copytree(tmp_path, tmp_path / "crash")
    assert data_of(opened(tmp_path / "crash")) == data_of(before)
    assert not [name for name in names(tmp_path / "crash") if name.startswith("temp")]
    go_on()
    finish(peer)
    peer.ask("INCR n")
    flush(peer)
    assert peer.engine.log
    peer.engine.log.folder.leave()
    assert data_of(opened(tmp_path)) == data_of(peer) == {0: {b"new": (b"v", None), b"n": (b"2", None)}}


def test_a_log_that_should_be_on_is_tried_again_after_a_failure(tmp_path: Path, held: Any) -> None:
    peer = InProcess(appendonly="no", dir=str(tmp_path))
    peer.ask("SET k v")
    peer.ask("CONFIG SET appendonly yes")
    held(peer)
    peer.ask("SET lost? no")
    worker: Any = peer.engine.rewriter.worker
    os.kill(worker.pid, signal.SIGKILL)
    finish(peer)
    assert status(peer) == "err" and peer.engine.rewriter.state()["aof_rewrite_scheduled"] == 1
    peer.engine.rewriter.tick()
    held(peer)()
    finish(peer)
    assert status(peer) == "ok" and peer.engine.log
    flush(peer)
    peer.engine.log.folder.leave()
    assert data_of(opened(tmp_path)) == data_of(peer) and len(data_of(peer)[0]) == 2


def test_a_log_that_cannot_be_turned_on_stays_off(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("not a folder")
    peer = InProcess(appendonly="no", dir=str(tmp_path))
    answer = peer.ask("CONFIG SET appendfsync always appendonly yes")
    assert answer == (
        "-ERR CONFIG SET failed (possibly related to argument 'appendonly') - Unable to turn on AOF. Check server logs."
    )
    assert peer.ask("CONFIG GET append[of]*[yc]") == "*4 $10 appendonly $2 no $11 appendfsync $8 everysec"
    assert peer.engine.log is None


# The folder


def test_a_second_server_on_the_same_folder_refuses_to_start(tmp_path: Path) -> None:
    with final_server(data=tmp_path) as first:
        first.connect().ask("SET", "k", "v")
        with pytest.raises(NotStarted, match="exit status 1") as refused, final_server(data=tmp_path):
            pass
        assert "another server is at work in" in refused.value.trace
        first.kill()
    with final_server(data=tmp_path) as server:
        assert server.connect().ask("GET", "k") == b"v"


def test_a_folder_is_free_again_at_once_when_a_server_dies_whose_child_lives(tmp_path: Path, held: Any) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            peer = InProcess(appendonly="yes", dir=str(tmp_path))
            restore(peer.engine)
            peer.ask("BGREWRITEAOF")
            held(peer)
            worker: Any = peer.engine.rewriter.worker
            (tmp_path / "child").write_text(str(worker.pid))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    child = int((tmp_path / "child").read_text())
    try:
        assert opened(tmp_path).ask("DBSIZE") == ":0"
    finally:
        os.kill(child, signal.SIGKILL)


def test_what_unfinished_work_has_left_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    lay(tmp_path, base2=request("SET", "k", "v"), incr5=b"")
    log = tmp_path / "appendonlydir"
    manifest = log / "appendonly.aof.manifest"
    history = "file appendonly.aof.1.base.rdb seq 1 type h\nfile appendonly.aof.3.incr.aof seq 3 type h\n"
    manifest.write_text(history + manifest.read_text())
    left = [
        "temp-rewriteaof-bg-1.aof",
        "temp-rewriteaof-1.aof",
        "temp-appendonly.aof.manifest",
        "temp-appendonly.aof.incr",
    ]
    left += ["appendonly.aof.1.base.rdb", "appendonly.aof.3.incr.aof", "appendonly.aof.3.base.aof"]
    others = ["notes.txt", "appendonly.aof.1.base.aof.bak", "appendonly.aof.7.base.aof", "other.aof.2.base.aof"]
    for name in left + others:
        (log / name).write_text("x")
    (log / "appendonly.aof.6.incr.aof").touch()
    assert opened(tmp_path).ask("GET k") == "$1 v"
    there = {path.name for path in log.iterdir()}
    assert there == {*others, "appendonly.aof.2.base.aof", "appendonly.aof.5.incr.aof", "appendonly.aof.manifest"}
    assert "type h" not in manifest.read_text()


def test_a_log_whose_manifest_is_missing_is_not_taken_for_none(tmp_path: Path) -> None:
    peer = opened(tmp_path)
    peer.ask("SET k v")
    flush(peer)
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").unlink()
    with pytest.raises(CorruptLog, match=r"there is no such file, but there is appendonly\.aof\.1\.incr\.aof"):
        opened(tmp_path)


BASE, INCR = "file a.1.base.aof seq 1 type b\n", "file a.1.incr.aof seq 1 type i\n"
NEXT = "file a.2.base.aof seq 2 type b\nfile a.2.incr.aof seq 2 type i\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("# a remark\n", "no file"),
        ("file a seq 1\n", "line 1"),
        ("file a seq x type b\n", "line 1"),
        ("file a seq 0 type b\n", "line 1"),
        ("file a seq 01 type b\n", "line 1"),
        ("file a seq 1 type b\n\n", "line 2"),
        ("file a seq 1 type x\n", "line 1"),
        ("file a seq 1 type b type i\n", "line 1"),
        ("file ../a seq 1 type b\n", "line 1"),
        ("file a\\b seq 1 type b\n", "line 1"),
        ("file a\0 seq 1 type b\n", "line 1"),
        ('file "a seq 1 type b\n', "line 1"),
        (f"{BASE}# {'x' * 1022}\n", "line 2 is too long"),
        (INCR.strip(), "no newline"),
        (INCR.replace("seq 1", "seq 2"), "line 1 does not go with the name"),
        (INCR.replace("type i", "type b"), "line 1 does not go with the name"),
        (BASE.replace("type b", "type i"), "line 1 does not go with the name"),
        ("file a seq 2 type b\n", "line 1 does not go with the name"),
        (BASE + BASE, "more than one base"),
        (INCR + INCR, "not in order"),
        (INCR.replace("1", "2") + INCR, "not in order"),
        (INCR.replace("type i", "type h"), "replaced files"),
        (BASE + INCR.replace("type i", "type h"), "replaced files"),
        (BASE + BASE.replace("type b", "type h") + INCR, "replaced files"),
        (NEXT + INCR.replace("type i", "type h"), "replaced files"),
        (NEXT + BASE.replace("type b", "type h"), "replaced files"),
        (NEXT.replace("type i", "type h") + BASE.replace("type b", "type h") + INCR, "replaced files"),
    ],
)
def test_a_manifest_that_is_none_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(text.encode())


NAMES = st.binary(min_size=1, max_size=40).map(os.fsdecode)


@given(NAMES)
@example("a\nb")
@example("a\u2028b\x85\x0c")
def test_a_name_is_refused_at_the_start_or_can_be_written_into_a_manifest_and_read(name: str) -> None:
    try:
        assert check_name("appendfilename", name) == name
    except ValueError:
        assert any(sign in name for sign in "/\\\0")
        return
    manifest = Manifest().with_increment(name).with_increment(name).with_base(name)
    assert parse(b"# a remark\n" + str(manifest).encode()) == manifest


@pytest.mark.parametrize(
    ("option", "name", "reason"),
    [
        ("appendfilename", "", "appendfilename can't be empty"),
        ("appendfilename", "a/b", "appendfilename can't be a path, just a filename"),
        ("appendfilename", "a\\b", "appendfilename can't be a path, just a filename"),
        ("appendfilename", "a\0", "appendfilename can't be a path, just a filename"),
        ("appendfilename", "x" * 236, "appendfilename is too long"),
        ("appenddirname", "", "appenddirname can't be empty"),
        ("appenddirname", "a/b", "appenddirname can't be a path, just a dirname"),
        ("appenddirname", ".", "appenddirname can't be a path, just a dirname"),
        ("appenddirname", "..", "appenddirname can't be a path, just a dirname"),
        ("appenddirname", "x" * 256, "appenddirname is too long"),
    ],
)
def test_a_name_that_no_file_of_the_log_can_have_is_refused_in_redis_words(option: str, name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_option(option, name)


def test_a_name_with_blanks_is_one_that_redis_reads_too(tmp_path: Path) -> None:
    name = 'my "log"'
    with final_server("--appendfilename", name, data=tmp_path) as server:
        client = server.connect()
        client.ask("SET", "k", "v")
        client.ask("BGREWRITEAOF")
        await_rewrite(client)
        server.stop()
    with redis_server("--appendfilename", name, data=tmp_path) as server:
        assert server.connect().ask("GET", "k") == b"v"


def test_the_manifest_is_what_the_file_says_also_when_the_folder_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path / "folder", "log")
    folder.enter()
    calls: list[int] = []

    def sync() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError("no")

    monkeypatch.setattr(folder, "sync", sync)
    with pytest.raises(OSError, match="no"):
        folder.write(Manifest().with_increment("log"))
    assert str(folder.manifest) == folder.list.read_text() != ""
    folder.leave()


# A real Redis goes on from ours


def test_a_real_redis_starts_on_our_rewritten_log_with_the_same_data(tmp_path: Path) -> None:
    with final_server(data=tmp_path / "ours", appendfsync="no") as server:
        client = server.connect()
        for database, section in enumerate(DATA):
            peer = OverTheWire(server.connect())
            peer.ask_all([[b"SELECT", b"%d" % (database % 16)], *(words_of(line) for line, _ in section)])
        half = len(CONTENTS) // 2
        for words in CONTENTS[:half]:
            client.ask(*words)
        client.ask("BGREWRITEAOF")
        for words in CONTENTS[half:]:
            client.ask(*words)
        await_rewrite(client)
        for words in FEW:
            client.ask(*words)
        ours = everything(client)
        server.stop()
    assert names(tmp_path / "ours") == ["2.base.aof", "2.incr.aof", "manifest"]
    shutil.copytree(tmp_path / "ours", tmp_path / "copy")
    with redis_server(data=tmp_path / "copy") as server:
        client = server.connect()
        assert everything(client) == ours and len(ours) > 300
        client.ask("BGREWRITEAOF")
        await_rewrite(client)
        server.stop()
    with final_server(data=tmp_path / "copy") as server:
        assert everything(server.connect()) == ours
