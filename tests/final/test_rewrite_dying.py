"""The rewrite of the log, interrupted: whoever dies at whatever step, one whole log is there."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.dying import points
from tests.support.folders import data_of, flush, names, opened
from tests.support.oracle import InProcess, args_of
from tests.support.rewriting import MIXED, finish, recover, rewrite, status


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
    peer.ask_all(map(args_of, LINES[:count]))
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


@pytest.mark.slow
def test_a_server_that_dies_at_any_step_of_a_rewrite_leaves_one_whole_log(tmp_path: Path) -> None:
    assert points(False, with_a_rewrite, complete, tmp_path) > 30


def test_a_child_that_dies_at_any_step_changes_nothing(tmp_path: Path) -> None:
    assert points(True, with_a_rewrite, complete, tmp_path) >= 5


def turning_on_and_off(folder: Path) -> None:
    """Write without a log, turn it on, write, and turn it off again."""
    folder.mkdir()
    peer = InProcess(appendonly="no", dir=str(folder))
    peer.ask_all(map(args_of, LINES[:4]))
    peer.ask("CONFIG SET appendonly yes")
    peer.ask_all(map(args_of, LINES[4:]))
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


@pytest.mark.slow
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
        peer.ask_all(map(args_of, MIXED))
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
    recover(peer)
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
    recover(peer)
    assert peer.ask("INCR n") == ":2"
    flush(peer)
    assert data_of(opened(tmp_path)) == {0: {b"k": (b"v", None), b"n": (b"2", None)}}
