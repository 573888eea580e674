"""The folder of the log: one server owns it, unfinished work is deleted, and its manifest is read strictly."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from final.config.options import parse as parse_option
from final.config.values import check_name
from final.log.folder import Folder, freed_by_a_thread
from final.log.manifest import Manifest, parse
from final.log.read import CorruptLog
from final.restore import restore
from stages.harness.server import NotStarted
from stages.harness.wire import request
from tests.support.folders import await_rewrite, data_of, flush, opened, write_log
from tests.support.observing import await_true
from tests.support.oracle import InProcess, final_server, redis_server
from tests.support.rewriting import finish, recover, rewrite

BASE, INCR = "file a.1.base.aof seq 1 type b\n", "file a.1.incr.aof seq 1 type i\n"
NEXT = "file a.2.base.aof seq 2 type b\nfile a.2.incr.aof seq 2 type i\n"


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
    write_log(tmp_path, base2=request("SET", "k", "v"), incr5=b"")
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
        (INCR.replace("seq 1", "seq 2"), "line 1 does not match the name"),
        (INCR.replace("type i", "type b"), "line 1 does not match the name"),
        (BASE.replace("type b", "type i"), "line 1 does not match the name"),
        ("file a seq 2 type b\n", "line 1 does not match the name"),
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
    assert str(folder.manifest) == folder.manifest_path.read_text() != ""
    folder.leave()


NAMES = st.binary(min_size=1, max_size=40).map(os.fsdecode)


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
    assert not log.health.needs_rewrite
    touch(tmp_path / "appendonlydir")
    log.look()
    assert log.displaced and re.match("-MISCONF Errors writing to the AOF file: ", peer.ask("INCR n"))
    recover(peer)
    assert peer.ask("INCR n") == ":2"
    flush(peer)
    log.look()
    assert not log.health.needs_rewrite and data_of(opened(tmp_path)) == {0: {b"k": (b"v", None), b"n": (b"2", None)}}


def test_a_hard_link_to_our_files_is_no_change(tmp_path: Path) -> None:
    peer = opened(tmp_path)
    peer.ask("SET k v")
    flush(peer)
    for path in list((tmp_path / "appendonlydir").iterdir()):
        os.link(path, tmp_path / path.name)
    assert peer.engine.log
    peer.engine.log.look()
    assert not peer.engine.log.health.needs_rewrite


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


def test_a_rewrite_that_began_before_a_file_was_lost_does_not_end_the_failure(tmp_path: Path) -> None:
    peer = opened(tmp_path, appendfsync="everysec")
    log = peer.engine.log
    assert log
    peer.ask("SET k v")
    peer.ask("BGREWRITEAOF")
    peer.ask("INCR n")
    flush(peer)
    cut(tmp_path / "appendonlydir")
    log.look()
    finish(peer)
    flush(peer)
    assert log.health.needs_rewrite and peer.ask("INCR n").startswith("-MISCONF")
    recover(peer)
    assert peer.ask("INCR n") == ":2"
    flush(peer)
    assert data_of(opened(tmp_path)) == {0: {b"k": (b"v", None), b"n": (b"2", None)}}


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
    assert not log.health.needs_rewrite


def test_under_always_replies_wait_until_what_somebody_has_cut_is_rewritten(tmp_path: Path) -> None:
    with final_server(data=tmp_path, appendfsync="always") as server:
        client = server.connect()
        for number in range(10):
            client.check(request("SET", f"k{number}", "v"), b"+OK\r\n")
        os.truncate(next(tmp_path.glob("*/*.incr.aof")), 0)
        client.check(request("SET", "after", "v"), b"+OK\r\n")
        server.kill()
        await_true(lambda: "was changed by someone else" in server.errors, "was changed by someone else")
    with final_server(data=tmp_path) as server:
        assert server.connect().ask("DBSIZE") == 11


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


@pytest.mark.parametrize("change", ["delete", "replace", "fail"])
def test_a_file_that_is_deleted_or_replaced_is_freed_by_a_thread(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, closed, close = tmp_path / "old", list[tuple[int, int]](), os.close
    path.write_text("old")
    identity = path.stat().st_ino

    def closing(descriptor: int) -> None:
        if os.fstat(descriptor).st_ino == identity:
            closed.append((threading.get_ident(), os.fstat(descriptor).st_nlink))
        close(descriptor)

    monkeypatch.setattr(os, "close", closing)
    match change:
        case "delete":
            folder = Folder(tmp_path, "log")
            folder.remove(["old", "nothing"])
            assert not path.exists()
        case "replace":
            (tmp_path / "new").write_text("new")
            with freed_by_a_thread(path):
                (tmp_path / "new").rename(path)
            assert path.read_text() == "new"
        case "fail":
            with pytest.raises(OSError), freed_by_a_thread(path):
                raise OSError
    await_true(lambda: bool(closed), "the file is closed")
    ((thread, names),) = closed
    assert thread != threading.get_ident() and names == (change == "fail")
