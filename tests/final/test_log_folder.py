"""The folder of the log: one server owns it, unfinished work is deleted, and its manifest is read strictly."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from final.manifest import Folder, Manifest, parse
from final.records import CorruptLog
from final.restore import restore
from stages.running import NotStarted
from stages.wire import request
from tests.support.folders import await_rewrite, flush, lay, opened
from tests.support.oracle import InProcess, final_server, redis_server


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
    lay(tmp_path, base=request("SET", "k", "v"), incr1=b"")
    log = tmp_path / "appendonlydir"
    manifest = log / "appendonly.aof.manifest"
    manifest.write_text("file appendonly.aof.0.incr.aof seq 0 type h\n" + manifest.read_text())
    left = [
        "temp-rewriteaof-bg-1.aof",
        "temp-rewriteaof-1.aof",
        "temp-appendonly.aof.manifest",
        "temp-appendonly.aof.incr",
    ]
    left += ["appendonly.aof.0.incr.aof", "appendonly.aof.2.base.aof", "appendonly.aof.2.incr.aof"]
    others = ["notes.txt", "appendonly.aof.1.base.aof.bak", "appendonly.aof.7.base.aof", "other.aof.2.base.aof"]
    for name in left + others:
        (log / name).write_text("x")
    assert opened(tmp_path).ask("GET k") == "$1 v"
    there = {path.name for path in log.iterdir()}
    assert there == {*others, "appendonly.aof.1.base.aof", "appendonly.aof.1.incr.aof", "appendonly.aof.manifest"}
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
        ("file a seq 1\n", "line 1"),
        ("file a seq x type b\n", "line 1"),
        ("file a seq 1 type b\n\n", "line 2"),
        ("file a seq 1 type x\n", "line 1"),
        ("file ../a seq 1 type b\n", "line 1"),
        ('file "a seq 1 type b\n', "line 1"),
        ("file a seq 1 type b\nfile b seq 2 type b\n", "more than one base"),
        ("file a seq 2 type i\nfile b seq 2 type i\n", "not in order"),
    ],
)
def test_a_manifest_that_is_none_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(text)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda name: "/" not in name))
def test_any_name_can_be_written_into_a_manifest_and_read(name: str) -> None:
    manifest = Manifest().with_increment(name).with_base(name, keep=1)
    if name.isprintable():
        assert parse(f"# a remark\n{manifest}") == manifest


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
