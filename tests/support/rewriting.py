"""Starts rewrites of the log in an engine without a socket, and waits until they end."""

from __future__ import annotations

import time

from tests.support.folders import flush
from tests.support.oracle import InProcess

PATIENCE = 100.0  # seconds
MIXED = """
SET text v
SET soon v PXAT 1800000001000
HSET hash f v g w
RPUSH list a b c
SADD set a b
ZADD sorted 1 a 2.5 b
XADD stream 1-1 f v
XGROUP CREATE stream g 0
XREADGROUP GROUP g c STREAMS stream >
SELECT 3
SET elsewhere v PXAT 4000000000123
SELECT 0
""".strip().splitlines()


def finish(peer: InProcess) -> None:
    """Call the rewriter's timer until the rewrite has ended."""
    deadline = time.monotonic() + PATIENCE
    while peer.engine.rewriter.worker is not None:
        peer.engine.rewriter.tick()
        assert time.monotonic() < deadline, "the rewrite does not end"


def rewrite(peer: InProcess) -> None:
    """Rewrite the log; fail the test if the rewrite fails."""
    assert peer.ask("BGREWRITEAOF") == "+Background append only file rewriting started"
    finish(peer)
    assert status(peer) == "ok"


def recover(peer: InProcess) -> None:
    """Call the rewriter's timer until the log has recovered from a failed disk."""
    assert peer.engine.log
    deadline = time.monotonic() + PATIENCE
    while peer.engine.log.health.needs_rewrite:
        peer.engine.rewriter.tick()
        assert time.monotonic() < deadline, "the log does not recover"
    flush(peer)
    peer.engine.log.folder.leave()  # as `opened` does


def status(peer: InProcess) -> str:
    """Return the status of the last rewrite, as in INFO."""
    return str(peer.engine.rewriter.state()["aof_last_bgrewrite_status"])
