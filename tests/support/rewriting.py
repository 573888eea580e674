"""Rewrites of the log, from the test's side: begin one, wait for its end, and ask how it ended."""

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
SELECT 3
SET elsewhere v PXAT 4000000000123
SELECT 0
""".strip().splitlines()


def finish(peer: InProcess) -> None:
    """Look after the rewrite until it is over."""
    deadline = time.monotonic() + PATIENCE
    while peer.engine.rewriter.worker is not None:
        peer.engine.rewriter.tick()
        assert time.monotonic() < deadline, "the rewrite does not end"


def rewrite(peer: InProcess) -> None:
    """Rewrite the log; it must work."""
    assert peer.ask("BGREWRITEAOF") == "+Background append only file rewriting started"
    finish(peer)
    assert status(peer) == "ok"


def mend(peer: InProcess) -> None:
    """Look after the log until it is known again what of it is on the disk."""
    assert peer.engine.log
    deadline = time.monotonic() + PATIENCE
    while peer.engine.log.health.needs_rewrite:
        peer.engine.rewriter.tick()
        assert time.monotonic() < deadline, "the log is not mended"
    flush(peer)
    peer.engine.log.folder.leave()  # as `opened` does


def status(peer: InProcess) -> str:
    """How the last rewrite went, as INFO says it."""
    return str(peer.engine.rewriter.state()["aof_last_bgrewrite_status"])
