"""Fixtures for the tests of the log."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import final.log.child
from final.log.child import run
from tests.support.oracle import InProcess


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[InProcess], Callable[[], None]]]:
    """Stop each child before it writes. `held(peer)` waits for the stop; its result continues the child."""
    pids: list[int] = []

    def stop_first(*given: Any) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)
        run(*given)

    def wait(peer: InProcess) -> Callable[[], None]:
        worker: Any = peer.engine.rewriter.worker or peer.engine.snapshots.worker
        pids.append(worker.pid)
        os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
        return lambda: os.kill(worker.pid, signal.SIGCONT)

    monkeypatch.setattr(final.log.child, "run", stop_first)
    yield wait
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
