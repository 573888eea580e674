"""Fixtures that several files use: both servers, and children of the log that are held."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from final.log.child import Child, Write
from stages.harness.server import Server
from tests.support.oracle import InProcess, final_server, redis_server
from tests.support.shared import Shared


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Shared]]:
    """Ours, and a real Redis."""
    with ExitStack() as stack:
        starts = (partial(each, "--enable-debug-command", "yes") for each in (final_server, redis_server))
        yield [stack.enter_context(Shared(start)) for start in starts]


@pytest.fixture(params=[0, 1], ids=["final", "redis"])
def server(servers: list[Shared], request: pytest.FixtureRequest) -> Server:
    """One of them, without data."""
    which: int = request.param
    return servers[which].clean()


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
