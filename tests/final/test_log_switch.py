"""The log turned on and off while the server runs."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

from tests.support.folders import await_rewrite, data_of, everything, flush, names, opened
from tests.support.oracle import InProcess, final_server
from tests.support.rewriting import finish, status
from tests.support.snapshots.contents import FEW


def test_the_log_is_turned_on_and_off_while_the_server_runs(tmp_path: Path) -> None:
    options = ("--appendonly", "no")
    with final_server(*options, "--dir", str(tmp_path)) as server:
        client = server.connect()
        for args in FEW:
            client.ask(*args)
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
