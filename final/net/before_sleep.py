"""One iteration of the event loop: whose requests are executed in it, and what is done before the loop sleeps.

Redis has `beforeSleep`, which flushes the log and then writes the replies. asyncio has no such hook, so this is done
at the beginning of the next iteration, before the event loop can sleep. An iteration is bounded: requests that come
too late in it, or are more than a client's share, wait in a queue, in which each client has its turn.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from ..engine.engine import Engine
from ..engine.fast_path import FastPath
from ..log.aof import Log

SLICE = 0.002  # seconds of executing in one iteration; then what has come in meanwhile is read


class Served(Protocol):
    """What an iteration asks of a connection."""

    output: bytearray  # what `send` writes

    def take_turn(self) -> None:
        """It is the client's turn: execute more of its requests."""

    def send(self) -> None:
        """Write the replies that waited for the log."""

    def fail(self, error: Exception) -> None:
        """`take_turn` or `send` has raised this error."""

    def hang_up(self) -> None:
        """Close the connection at once; output that the client has not read is lost."""


class Iteration:
    """The current iteration of the event loop.

    `stop` is called with the reason when the log cannot be written, and stops the server. `end` is called with an
    exception that nobody expected, and ends the process at once.
    """

    def __init__(self, engine: Engine, stop: Callable[[str], None], end: Callable[[BaseException], object]) -> None:
        self.engine = engine
        self.fast_path = FastPath(engine)
        self.stop = stop
        self.end = end
        self.unsent: dict[Served, None] = {}  # connections whose replies are written at the end of this iteration
        self.queue: OrderedDict[Served, None] = OrderedDict()  # connections that wait for a turn, in order
        self.received: list[int] = []  # the lengths of the chunks that have come in this iteration
        self.scheduled = False  # the event loop will call `begin_next`
        self.slice = SLICE  # seconds of executing in one iteration
        self.deadline = 0.0  # the end of those, by `perf_counter`; 0: nothing was executed so far

    def send_soon(self, connection: Served) -> None:
        """Have `before_sleep` write this connection's replies at the end of this iteration."""
        if not self.scheduled:
            self.schedule()
        self.unsent[connection] = None

    def wait_for_turn(self, connection: Served) -> None:
        """Put a connection at the end of the queue, if it is not in it: `take_turn` is called in a later iteration."""
        if not self.scheduled:
            self.schedule()
        self.queue[connection] = None

    def schedule(self) -> None:
        """Have `begin_next` called after the events of this iteration."""
        self.scheduled = True
        asyncio.get_running_loop().call_soon(self.begin_next)

    def begin_next(self) -> None:
        """An iteration begins: finish the last one, then serve the clients in the queue."""
        self.scheduled = False
        self.before_sleep()
        self.deadline = 0.0
        if self.queue:
            self.serve_queue()

    def begin(self) -> float:
        """The first request of this iteration is executed: read the clocks; set the deadline and return it."""
        self.engine.unit.recently = self.engine.steady()
        self.deadline = perf_counter() + self.slice
        return self.deadline

    def serve_queue(self) -> None:
        """Let clients take their turns, each once, until the time is used up.

        After that, clients that have sent something in this iteration get the same time. So an iteration is bounded,
        whatever the clients send, and one that sends little need not wait for all those that sent a lot.
        """
        deadline = self.begin()
        for _ in range(len(self.queue)):
            if not self.queue or perf_counter() >= deadline:
                break
            connection, _ = self.queue.popitem(last=False)
            try:
                connection.take_turn()
            except Exception as error:
                connection.fail(error)
                connection.hang_up()
        if self.queue and not self.scheduled:
            self.schedule()
        self.deadline = 0.0

    def writing(self, log: Log) -> str:
        """Return how the latency monitor calls it if the log is written now."""
        if self.engine.options.appendfsync == "always":
            return "aof-fsync-always"  # Redis has an event for the write, too
        return f"aof-write-{'pending-fsync' if log.syncing else 'active-child' if self.engine.forked else 'alone'}"

    def before_sleep(self) -> None:
        """Flush the log, then write the replies.

        All requests of an iteration, of all clients, share one write to the log and, under `always`, one fsync. If
        that takes long, the next iteration executes for as long, or most of the time would be spent in fsync. If the
        log cannot be written, no reply is sent: `stop` is called. One case is no failure of the disk: another process
        has changed the files of the log (`displaced`). Then the data in memory is complete, and under `always` the
        replies wait until the log is rewritten; `Server.expire_regularly` sends them.
        """
        if self.engine.tracking.changed:
            self.engine.tracking.broadcast()
        counters, received = self.engine.counters, self.received
        counters.reads += len(received)
        counters.input += sum(received)
        received.clear()
        log = self.engine.log
        if log is not None:
            began, event = perf_counter(), self.writing(log)
            try:
                log.flush()
            except OSError as error:
                if not log.displaced:
                    self.stop(f"cannot write the log: {error}")
                    return
            except Exception as error:
                self.end(error)
            took = perf_counter() - began
            self.engine.latency.add(event, took)
            self.slice = max(SLICE, took)
            if log.displaced and self.engine.options.appendfsync == "always":
                return
        unsent, self.unsent = self.unsent, {}
        sent = 0
        for connection in unsent:
            sent += len(connection.output)
            try:
                connection.send()
            except Exception as error:  # else the connections after it would never get their replies
                connection.fail(error)
                connection.hang_up()
        counters.writes += len(unsent)
        counters.output += sent
