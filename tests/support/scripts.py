"""Runs Lua scripts in an engine without a socket."""

from __future__ import annotations

from final.protocol.errors import ReplyError
from final.protocol.writer import Value
from tests.support.oracle import InProcess


def evaluate(script: str | bytes, *args: bytes, peer: InProcess | None = None) -> Value:
    """Run a script with EVAL; return its reply. Of an error, return the text before the place that it names."""
    peer = peer or InProcess()
    code = script.encode() if isinstance(script, str) else script
    answer = peer.engine.execute(peer.client, [b"EVAL", code, b"0", *args])
    return str(answer).partition(" script: ")[0] if isinstance(answer, ReplyError) else answer
