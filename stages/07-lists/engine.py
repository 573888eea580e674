"""The engine: one request at a time, whole and at one instant, and what it changed goes to the log. No socket."""

import time
from collections.abc import Callable

from aof import Log
from blocking import Wait, Waiting
from client import Client
from command import execute
from errors import ReplyError
from store import Store
from writer import Value


def wall_clock() -> int:
    """Return the time of day in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Engine:
    """The data and the log. A *unit* is what happens at one instant: one request, or one round of expiry.

    `clock` returns milliseconds since 1970. It is read once at the beginning of a unit, into `db.now`: for the whole
    unit time stands still. A test hands in a clock of its own, and need not wait.
    """

    def __init__(self, clock: Callable[[], int] = wall_clock) -> None:
        self.clock = clock
        self.db = Store()
        self.waiting = Waiting()
        self.log: Log | None = None  # None with `--appendonly no`

    def execute(self, client: Client, args: list[bytes]) -> Value:
        """Execute a request as a unit, and return its reply.

        Set `db.now` to what the clock says, call `execute` of `command.py`, then `settle` with the request.

        If the reply is a Wait, park the client, and return the Wait: the client has its reply later. Before you return,
        call `serve`, for those that wait.
        """
        self.db.now = self.clock()
        reply = execute(self.db, client, args)
        self.settle(args)
        if isinstance(reply, Wait):
            self.waiting.park(client, reply)
        self.serve()
        return reply

    def serve(self) -> None:
        """Take one key after the other out of `db.touched`, and serve the clients that wait for what it holds now.

        Begin with the key that was touched first. For each key, as long as there is a `first` client: unpark it, then
        call `serve` of its Wait with the key, and `deliver` of the client with the answer. A ReplyError is an answer,
        too: the next one may have more luck. What this changes is a unit of its own (at the same `db.now`): call
        `settle` with an empty list, before `deliver`. And it may touch further keys.
        """
        while self.db.touched:
            key = self.db.touched.popleft()
            while (client := self.waiting.first(key, self.db.kind(key))) is not None:
                wait = self.waiting.unpark(client)
                assert wait is not None
                try:
                    reply = wait.serve(key)
                except ReplyError as error:
                    reply = error
                self.settle([])
                client.deliver(reply)

    def disconnect(self, client: Client) -> None:
        """Forget a client that has gone: it waits no more, so whoever waits behind it is next."""
        self.waiting.unpark(client)

    def settle(self, args: list[bytes]) -> None:
        """End the unit of the request `args`: append what is in `db.records` to the log, if there is one, and empty it.

        Each record is a request that does the same whenever it is executed; None stands for `args`, the request as it
        came. A unit that has changed nothing has no records.

        >>> engine, engine.log = Engine(), []  # for the example a list, which has an `append`, too
        >>> engine.db.records = [[b"DEL", b"expired"], None]
        >>> engine.settle([b"INCR", b"visits"])
        >>> engine.log, engine.db.records
        ([[b'DEL', b'expired'], [b'INCR', b'visits']], [])
        """
        records, self.db.records = self.db.records, []
        if self.log is not None:
            for record in records:
                self.log.append(args if record is None else record)

    def replay(self, args: list[bytes]) -> Value:
        """Execute a request from the log for a new client, with `db.now` at 0; append nothing; return the reply.

        When it was logged, no key that it found had expired: for one that had, a DEL stands before it. By today's clock
        that key may have expired, and the request would find none. At 0 nothing has. `db.records` is empty after it,
        and so is `db.touched`, for nobody waits yet.
        """
        self.db.now = 0
        reply = execute(self.db, Client(id=0), args)
        self.db.records.clear()
        self.db.touched.clear()
        return reply

    def expire(self, most: int = 200) -> bool:
        """Look at up to `most` deadlines as a unit (`db.expire_due`); return whether there may be more.

        Set `db.now` to what the clock says. The expired keys are removed and recorded, each as a DEL, so the unit has
        to be settled; there is no request, so give `settle` an empty list.
        """
        self.db.now = self.clock()
        more = self.db.expire_due(most)
        self.settle([])
        return more
