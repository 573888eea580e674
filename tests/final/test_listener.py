"""How clients are accepted, and how much one iteration of the event loop executes, measured by a fake clock."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from final.config.options import Options
from final.engine import fast_path
from final.net import before_sleep, connection, listener
from final.net.before_sleep import SLICE
from final.net.connection import SHARE
from final.net.listener import AcceptedTransport, Listener
from final.net.server import Server
from stages.harness.wire import request
from tests.support.server_log import messages

STEP = 1e-5  # seconds by which the clock advances, each time that it is read
REQUESTS = 500
PIPELINE = request("HINCRBY", "h", "n", "1") * REQUESTS  # no run of requests, for which the clock is read once
HERE = ("127.0.0.1", 50000)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that does not listen, with a fake clock."""
    ticks = itertools.count(1)
    for module in (connection, fast_path, before_sleep):
        monkeypatch.setattr(module, "perf_counter", lambda: next(ticks) * STEP)
    return Server(Options(appendonly="no", tcp_keepalive=0))


@pytest.fixture
def accept() -> Iterator[Any]:
    """Makes accepted transports, each of a socket whose other end is at hand as `other`."""
    with ExitStack() as stack:

        def accept() -> AcceptedTransport:
            ours, other = (stack.enter_context(each) for each in socket.socketpair())
            ours.setblocking(False)
            found = AcceptedTransport(ours)
            found._extra.update(peername=HERE, sockname=HERE, other=other)  # type: ignore[attr-defined]
            return found

        yield accept


def executed(served: Server) -> int:
    """How many requests are executed."""
    return served.engine.counters.commands_processed


def test_the_time_of_an_iteration_is_bounded_however_many_clients_have_sent_much(served: Server, accept: Any) -> None:
    bound = 2 * (SLICE / STEP + SHARE)  # for clients in the queue, and for clients that have sent something

    async def talk() -> None:
        connections = [served.create_connection(accept()) for _ in range(60)]
        for each in connections:
            assert each is not None
            each.data_received(PIPELINE)
        steps = [executed(served)]
        while steps[-1] < 60 * REQUESTS:
            await asyncio.sleep(0)
            steps.append(executed(served))
            assert len(steps) < 60 * REQUESTS
        assert max(later - earlier for earlier, later in itertools.pairwise([0, *steps])) < bound

    asyncio.run(talk())


def test_clients_that_send_much_take_turns_and_one_that_sends_little_does_not_wait_for_them(
    served: Server, accept: Any
) -> None:
    async def talk() -> None:
        order: list[int] = []

        def noting(number: int, take_turn: Callable[[], None]) -> Callable[[], None]:
            return lambda: (order.append(number), take_turn())[1]  # type: ignore[func-returns-value]

        for number in range(20):
            each = served.create_connection(accept())
            assert each is not None
            each.take_turn = noting(number, each.take_turn)  # type: ignore[method-assign]
            each.data_received(PIPELINE)
        polite = served.create_connection(accept())
        assert polite is not None
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert served.iteration.queue, "all was executed too soon to show anything"
        polite.data_received(b"PING\r\n")
        assert polite.output == b"+PONG\r\n"
        while served.iteration.queue:
            await asyncio.sleep(0)
        for start in (0, 20, 40):
            assert sorted(order[start : start + 20]) == [*range(20)], order

    asyncio.run(talk())


def test_a_connection_that_fails_is_closed_and_the_others_are_served(
    served: Server, accept: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise RuntimeError("a bug")

    async def talk() -> None:
        bad, worse, good = (served.create_connection(accept()) for _ in range(3))
        assert bad and worse and good
        bad.take_turn = fail  # type: ignore[method-assign]
        worse.send = fail  # type: ignore[method-assign]
        for each in (bad, worse, good):
            each.data_received(PIPELINE)
        while served.iteration.queue or served.iteration.unsent:
            await asyncio.sleep(0)
        assert [each.transport.is_closing() for each in (bad, worse, good)] == [True, True, False]
        replies = good.transport.get_extra_info("other").recv(1 << 16)
        assert replies.count(b":") == REQUESTS

    asyncio.run(talk())
    assert capfd.readouterr().err.count("RuntimeError: a bug") >= 2


def test_what_was_sent_before_eof_is_executed_also_after_a_wait_for_turns(served: Server, accept: Any) -> None:
    async def talk() -> None:
        connections = [served.create_connection(accept()) for _ in range(10)]
        for each in connections:
            assert each is not None
            each.data_received(PIPELINE)
            assert each.eof_received()
        while served.iteration.queue or served.iteration.unsent:
            await asyncio.sleep(0)
        assert all(each and each.transport.is_closing() for each in connections)
        assert executed(served) == 10 * REQUESTS

    asyncio.run(talk())


# The listener


class Pending:
    """A listening socket at which a connection is always pending."""

    def __init__(self, make: Callable[[], socket.socket] = socket.socket, error: OSError | None = None) -> None:
        self.accepted = 0
        self.make = make
        self.error = error

    def accept(self) -> tuple[socket.socket, Any]:
        self.accepted += 1
        if self.error:
            raise self.error
        return self.make(), HERE


def test_a_few_are_accepted_at_a_time_and_one_while_others_wait_for_their_turn() -> None:
    waiting: list[int] = []
    refusing = Listener(lambda accepted: None, waiting)
    pending: Any = Pending()
    refusing.accept(pending)
    assert pending.accepted == listener.ACCEPTS < 20
    waiting.append(1)
    refusing.accept(pending)
    assert pending.accepted == listener.ACCEPTS + 1


def test_a_connection_closed_before_it_is_accepted_does_not_keep_others_out() -> None:
    connected: list[asyncio.Transport] = []
    pending: Any = Pending()  # of sockets that are not connected: they have no address
    Listener(connected.append, []).accept(pending)
    assert (pending.accepted, connected) == (listener.ACCEPTS, [])


def test_if_one_cannot_be_accepted_none_is_for_a_second_and_the_log_says_so_once(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(listener, "monotonic", lambda: now[0])

    async def full() -> None:
        full_listener = Listener(lambda accepted: None, [])
        pending: Any = Pending(error=OSError(24, "Too many open files"))
        for _ in range(1000):  # as a script that does not end calls it again and again
            full_listener.accept(pending)
        assert pending.accepted == 1
        now[0] += listener.RETRY
        full_listener.accept(pending)
        assert pending.accepted == 2

    asyncio.run(full())
    assert messages(capfd.readouterr().err) == "cannot accept clients: Too many open files\n" * 2


def test_what_a_new_client_has_not_read_is_handed_over_to_the_event_loop(accept: Any) -> None:
    written: list[bytes] = []

    class Transport(asyncio.Transport):
        def write(self, data: Any) -> None:
            written.append(data)

        def close(self) -> None:
            written.append(b"closed")

    accepted = accept()
    sent = bytes(range(256)) * 10_000
    accepted.write(sent)
    accepted.write(b"the last")
    assert 0 < accepted.get_write_buffer_size() < len(sent)
    accepted.close()
    accepted.hand_over(Transport())
    other = accepted.get_extra_info("other")
    assert written[1:] == [b"closed"]
    taken = bytearray()
    while len(taken) + len(written[0]) < len(sent) + len(b"the last"):
        taken += other.recv(1 << 20)
    assert taken + written[0] == sent + b"the last"


def test_a_client_that_the_event_loop_cannot_serve_is_forgotten(
    served: Server, accept: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    async def broken() -> None:
        accepted = accept()
        one = served.create_connection(accepted)
        assert one and len(served.engine.clients) == 1
        accepted.socket.close()
        await listener.serve(one, accepted)
        assert not served.engine.clients and not served.connections

    asyncio.run(broken())
    assert messages(capfd.readouterr().err).startswith("cannot serve a client: ")


def test_asyncio_logs_to_the_server_log(capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("asyncio").error("one\ntwo")
    assert messages(capfd.readouterr().err) == "one\\ntwo\n"
