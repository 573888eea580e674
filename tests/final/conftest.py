"""Fixtures for the tests of the log."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from final.log.child import Child, Write
from tests.support.oracle import InProcess


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[InProcess], Callable[[], None]]]:
    """Stop each child before it writes. `held(peer)` waits for the stop; its result continues the child."""
    pids: list[int] = []

    real = Child.start

    def start(write: Write, *others: Any, **more: Any) -> Child:
        def stop_first(*given: Any) -> None:
            os.kill(os.getpid(), signal.SIGSTOP)
            write(*given)

        return real(stop_first, *others, **more)

    def wait(peer: InProcess) -> Callable[[], None]:
        engine = peer.engine
        worker: Any = engine.rewriter.worker or engine.snapshots.worker or engine.primary.full_sync.worker
        pids.append(worker.pid)
        os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
        return lambda: os.kill(worker.pid, signal.SIGCONT)

    monkeypatch.setattr(Child, "start", start)
    yield wait
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
