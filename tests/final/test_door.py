"""How clients come in, and how much one iteration of the event loop does for all of them, by a clock of the test's."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from final.engine import fast_path
from final.net import before_sleep, connection, door
from final.net.before_sleep import SLICE
from final.net.connection import SHARE
from final.net.door import Door, Guest
from final.net.server import Server
from final.options import Options
from stages.harness.wire import request

STEP = 1e-5  # seconds by which the clock goes on, each time that it is looked at
REQUESTS = 500
PIPELINE = request("INCR", "n") * REQUESTS
HERE = ("127.0.0.1", 50000)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that does not listen, and whose clock is the test's."""
    ticks = itertools.count(1)
    for module in (connection, fast_path, before_sleep):
        monkeypatch.setattr(module, "perf_counter", lambda: next(ticks) * STEP)
    return Server(Options(appendonly="no", tcp_keepalive=0))


@pytest.fixture
def guests() -> Iterator[Any]:
    """Makes guests, with a socket each whose other end takes everything."""
    with ExitStack() as stack:

        def guest() -> Guest:
            ours, other = (stack.enter_context(each) for each in socket.socketpair())
            ours.setblocking(False)
            found = Guest(ours)
            found._extra.update(peername=HERE, sockname=HERE, other=other)  # type: ignore[attr-defined]
            return found

        yield guest


def executed(served: Server) -> int:
    """How many requests are executed."""
    return served.engine.counters.commands_processed


def test_one_iteration_executes_for_a_time_however_many_have_sent_something(served: Server, guests: Any) -> None:
    bound = 2 * (SLICE / STEP + SHARE)  # for those who were behind, and for those who have sent something

    async def crowd() -> None:
        connections = [served.welcome(guests()) for _ in range(60)]
        for each in connections:
            assert each is not None
            each.data_received(PIPELINE)
        steps = [executed(served)]
        while steps[-1] < 60 * REQUESTS:
            await asyncio.sleep(0)
            steps.append(executed(served))
            assert len(steps) < 60 * REQUESTS
        assert max(later - earlier for earlier, later in itertools.pairwise([0, *steps])) < bound

    asyncio.run(crowd())


def test_clients_with_much_to_execute_take_turns_and_one_with_little_does_not_wait_for_them(
    served: Server, guests: Any
) -> None:
    async def crowd() -> None:
        order: list[int] = []

        def noting(number: int, catch_up: Callable[[], None]) -> Callable[[], None]:
            return lambda: (order.append(number), catch_up())[1]  # type: ignore[func-returns-value]

        for number in range(20):
            each = served.welcome(guests())
            assert each is not None
            each.catch_up = noting(number, each.catch_up)  # type: ignore[method-assign]
            each.data_received(PIPELINE)
        polite = served.welcome(guests())
        assert polite is not None
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert served.iteration.behind, "the crowd was done too soon to say anything"
        polite.data_received(b"PING\r\n")
        assert polite.output == b"+PONG\r\n"
        while served.iteration.behind:
            await asyncio.sleep(0)
        for start in (0, 20, 40):
            assert sorted(order[start : start + 20]) == [*range(20)], order

    asyncio.run(crowd())


def test_one_for_whom_something_fails_is_hung_up_on_and_the_others_are_served(
    served: Server, guests: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise RuntimeError("a bug")

    async def crowd() -> None:
        bad, worse, good = (served.welcome(guests()) for _ in range(3))
        assert bad and worse and good
        bad.catch_up = fail  # type: ignore[method-assign]
        worse.send = fail  # type: ignore[method-assign]
        for each in (bad, worse, good):
            each.data_received(PIPELINE)
        while served.iteration.behind or served.iteration.unsent:
            await asyncio.sleep(0)
        assert [each.transport.is_closing() for each in (bad, worse, good)] == [True, True, False]
        replies = good.transport.get_extra_info("other").recv(1 << 16)
        assert replies.count(b":") == REQUESTS

    asyncio.run(crowd())
    assert capfd.readouterr().err.count("RuntimeError: a bug") >= 2


def test_what_was_sent_before_the_end_is_executed_also_where_it_has_to_wait(served: Server, guests: Any) -> None:
    async def crowd() -> None:
        connections = [served.welcome(guests()) for _ in range(10)]
        for each in connections:
            assert each is not None
            each.data_received(PIPELINE)
            assert each.eof_received()
        while served.iteration.behind or served.iteration.unsent:
            await asyncio.sleep(0)
        assert all(each and each.transport.is_closing() for each in connections)
        assert executed(served) == 10 * REQUESTS

    asyncio.run(crowd())


# The door


class Crowd:
    """A listening socket at which there is always one more who waits."""

    def __init__(self, waiting: Callable[[], socket.socket] = socket.socket, error: OSError | None = None) -> None:
        self.accepted = 0
        self.waiting = waiting
        self.error = error

    def accept(self) -> tuple[socket.socket, Any]:
        self.accepted += 1
        if self.error:
            raise self.error
        return self.waiting(), HERE


def test_a_few_are_let_in_at_a_time_and_one_while_others_wait_for_their_turn() -> None:
    behind: list[int] = []
    refusing = Door(lambda guest: None, behind)
    crowd: Any = Crowd()
    refusing.accept(crowd)
    assert crowd.accepted == door.A_FEW < 20
    behind.append(1)
    refusing.accept(crowd)
    assert crowd.accepted == door.A_FEW + 1


def test_one_that_has_gone_is_not_let_in_and_keeps_nobody_out() -> None:
    welcomed: list[Guest] = []
    crowd: Any = Crowd()  # of sockets that are not connected: they have no address
    Door(welcomed.append, []).accept(crowd)
    assert (crowd.accepted, welcomed) == (door.A_FEW, [])


def test_where_one_cannot_be_accepted_nobody_is_for_a_second_and_the_log_says_so_once(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(door, "monotonic", lambda: now[0])

    async def full() -> None:
        closed = Door(lambda guest: None, [])
        crowd: Any = Crowd(error=OSError(24, "Too many open files"))
        for _ in range(1000):  # as a script that does not end asks again and again
            closed.accept(crowd)
        assert crowd.accepted == 1
        now[0] += door.REST
        closed.accept(crowd)
        assert crowd.accepted == 2

    asyncio.run(full())
    assert capfd.readouterr().err == "cannot accept clients: Too many open files\n" * 2


def test_what_a_guest_did_not_take_is_handed_over_to_the_loop(guests: Any) -> None:
    written: list[bytes] = []

    class Transport(asyncio.Transport):
        def write(self, data: Any) -> None:
            written.append(data)

        def close(self) -> None:
            written.append(b"closed")

    guest = guests()
    sent = bytes(range(256)) * 10_000
    guest.write(sent)
    guest.write(b"the last")
    assert 0 < guest.get_write_buffer_size() < len(sent)
    guest.close()
    guest.hand_over(Transport())
    other = guest.get_extra_info("other")
    assert written[1:] == [b"closed"]
    taken = bytearray()
    while len(taken) + len(written[0]) < len(sent) + len(b"the last"):
        taken += other.recv(1 << 20)
    assert taken + written[0] == sent + b"the last"


def test_one_whom_the_loop_cannot_serve_is_forgotten(
    served: Server, guests: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    async def broken() -> None:
        guest = guests()
        one = served.welcome(guest)
        assert one and len(served.engine.clients) == 1
        guest.socket.close()
        await door.serve(one, guest)
        assert not served.engine.clients and not served.clients.connections

    asyncio.run(broken())
    assert capfd.readouterr().err.startswith("cannot serve a client: ")


def test_what_asyncio_has_to_say_goes_to_the_server_log(capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("asyncio").error("one\ntwo")
    assert capfd.readouterr().err == "one\\ntwo\n"
