"""A server under test answers on its own port, also where other programs take ports."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.harness import server
from stages.harness.course import ROOT
from stages.harness.ports import free_port, taken
from stages.harness.server import NotStarted, Server
from stages.harness.target import find
from stages.harness.wire import Patience


@pytest.fixture
def thief() -> Iterator[socket.socket]:
    """A listening socket that is not the server's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def started(folder: Path) -> Server:
    return Server(find("reference", 1, ROOT), Patience(), folder)


def offer(monkeypatch: pytest.MonkeyPatch, thief: socket.socket, times: int) -> None:
    """Let the first ports that are tried be the thief's, as if it had taken them after they were found free."""
    ports = iter([thief.getsockname()[1]] * times)
    monkeypatch.setattr(server, "free_port", lambda: next(ports, None) or free_port())


def test_a_server_whose_port_was_taken_gets_another(
    tmp_path: Path, thief: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, thief, 1)
    running = started(tmp_path)
    try:
        assert running.port == thief.getsockname()[1]
        running.await_ready()
        assert running.port != thief.getsockname()[1]
        assert not taken(running.port, running.own_program.supervisor)
        assert taken(thief.getsockname()[1], running.own_program.supervisor)
    finally:
        running.close()


def test_a_server_whose_port_is_taken_again_and_again_is_not_tested(
    tmp_path: Path, thief: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, thief, 3)
    with pytest.raises(NotStarted, match="Another program took its port, 3 times in a row"):
        started(tmp_path).await_ready()
