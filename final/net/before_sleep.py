"""One iteration of the event loop: whose requests are executed in it, and what is done before it sleeps.

Redis has `beforeSleep`, which writes the log and then the replies. asyncio has no such hook, so what an iteration
leaves to do is done at the beginning of the next one, before the loop could sleep. An iteration is bounded: requests
that come too late, or of which a client sends too many, wait for the next ones, in a queue, each client for its turn.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from ..engine.engine import Engine
from ..engine.fast_path import FastPath

SLICE = 0.002  # seconds of executing in one iteration, then what has come in meanwhile is read


class Served(Protocol):
    """What an iteration asks of a connection."""

    def catch_up(self) -> None:
        """It is the client's turn: execute more of its requests."""

    def send(self) -> None:
        """Send the replies that waited for the log."""

    def fail(self, error: Exception) -> None:
        """One of these two has raised this: see what it has left half done."""

    def hang_up(self) -> None:
        """Close the connection, whatever the client has still to read."""


class Iteration:
    """The iteration under way. `stop` ends the server, for a reason, when the log cannot be written.

    `end` ends it at once, after a fault of its own.
    """

    def __init__(self, engine: Engine, stop: Callable[[str], None], end: Callable[[BaseException], object]) -> None:
        self.engine = engine
        self.fast_path = FastPath(engine)
        self.stop = stop
        self.end = end
        self.unsent: dict[Served, None] = {}  # connections whose replies go out at the end of this iteration
        self.behind: deque[Served] = deque()  # connections that have more to execute, in the order of their turns
        self.scheduled = False  # `begin_next` will be called
        self.slice = SLICE  # seconds of executing in one iteration …
        self.deadline = 0.0  # … and when those are over; 0: nothing was executed in it so far

    def send_soon(self, connection: Served) -> None:
        """Have this connection's replies sent at the end of this iteration, by `before_sleep`."""
        if not self.scheduled:
            self.schedule()
        self.unsent[connection] = None

    def wait_for_turn(self, connection: Served) -> None:
        """Have this connection's requests executed in a coming iteration, by `catch_up`, after those that wait now."""
        if not self.scheduled:
            self.schedule()
        self.behind.append(connection)

    def schedule(self) -> None:
        """Have `begin_next` called when all that has come in is executed, or the time for that is over."""
        self.scheduled = True
        asyncio.get_running_loop().call_soon(self.begin_next)

    def begin_next(self) -> None:
        """An iteration of the event loop begins: first comes what the last one has left to do."""
        self.scheduled = False
        self.before_sleep()
        self.deadline = 0.0
        if self.behind:
            self.catch_up()

    def begin(self) -> float:
        """Something is executed in this iteration: return until when, by `perf_counter`."""
        self.deadline = perf_counter() + self.slice
        return self.deadline

    def catch_up(self) -> None:
        """Execute requests of clients that fell behind, each its share, as long as the time is not over.

        Then clients that have sent something in this iteration get as much time. So an iteration is bounded, however
        many clients have however much to execute, and no client that sends little waits for all those that sent a lot.
        """
        deadline = self.begin()
        for _ in range(len(self.behind)):
            if not self.behind or perf_counter() >= deadline:
                break
            connection = self.behind.popleft()
            try:
                connection.catch_up()
            except Exception as error:
                connection.fail(error)
                connection.hang_up()
        if self.behind and not self.scheduled:
            self.schedule()
        self.deadline = 0.0

    def before_sleep(self) -> None:
        """All that had come in is executed: flush the log, then send the replies.

        All requests of an iteration, of all clients, share one write to the log and, under `always`, one fsync. Where
        that takes long, more is executed in an iteration, or most of the time would be spent on it. When the log
        cannot be written, nobody gets a reply: `stop` with the reason. Only where the disk is well and somebody else
        has changed our files, memory has all that they should hold: under `always`, replies wait until the log was
        rewritten. The regular expiry sends them.
        """
        log = self.engine.log
        if log is not None:
            began = perf_counter()
            try:
                log.flush()
            except OSError as error:
                if not log.displaced:
                    self.stop(f"cannot write the log: {error}")
                    return
            except Exception as error:
                self.end(error)
            self.slice = max(SLICE, perf_counter() - began)
            if log.displaced and self.engine.options.appendfsync == "always":
                return
        unsent, self.unsent = self.unsent, {}
        for connection in unsent:
            try:
                connection.send()
            except Exception as error:  # else those behind it would wait for ever
                connection.fail(error)
                connection.hang_up()
