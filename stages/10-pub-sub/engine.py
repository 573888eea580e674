"""The engine: one request at a time, whole and at one instant, and what it changed goes to the log. No socket."""

import time
from collections.abc import Callable
from copy import copy

from aof import Log
from blocking import Wait, Waiting
from client import Client
from command import Command, find
from errors import ReplyError, only_while_subscribed
from pubsub import PubSub
from store import Store
from watch import Watching
from writer import NULL_ARRAY, Value

WHILE_SUBSCRIBED = {"subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ping", "quit"}
AT_ONCE = {"multi", "exec", "discard", "watch", "quit"}  # these are not queued between MULTI and EXEC


def wall_clock() -> int:
    """Return the time of day in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Engine:
    """The data and the log. A *unit* is what happens at one instant: a request, a transaction, or a round of expiry.

    `clock` returns milliseconds since 1970. It is read once at the beginning of a unit, into `db.now`: for the whole
    unit time stands still. A test hands in a clock of its own, and need not wait.
    """

    def __init__(self, clock: Callable[[], int] = wall_clock) -> None:
        self.clock = clock
        self.db = Store()
        self.waiting = Waiting()
        self.watching = Watching()
        self.pubsub = PubSub()
        self.loader = Client(id=0)  # the client of all that is replayed
        self.log: Log | None = None  # None with `--appendonly no`

    def execute(self, client: Client, args: list[bytes]) -> Value:
        """Execute a request as a unit, and return its reply.

        Set `db.now` to what the clock says, call `answer`, then `settle` with the request.

        If the reply is a Wait, park the client: it has its reply later. At the end, if any client waits or watches
        (`waiting.waits`, `watching.watchers`), call `serve`: it takes all keys out of `db.touched`. If none does, empty
        `db.touched` here: otherwise it would grow with each write.
        """
        self.db.now = self.clock()
        reply = self.answer(client, args)
        self.settle(args)
        if isinstance(reply, Wait):
            self.waiting.park(client, reply)
        if self.waiting.waits or self.watching.watchers:
            self.serve()
        self.db.touched.clear()
        return reply

    def answer(self, client: Client, args: list[bytes]) -> Value:
        """Return the reply to a request: of its command (`run`), or QUEUED, while the client has a `queue`.

        `find` finds the command. A ReplyError of it is the reply; if the client has a queue, it is `broken` then. What
        goes into the queue is a pair of the command and `args`; a command whose name is in AT_ONCE does not.

        A client that has `topics` can receive a message at any time, and in RESP2 it could not tell that from a reply.
        For a command whose name is not in WHILE_SUBSCRIBED raise `only_while_subscribed(name)`, as if `find` did.
        """
        try:
            command = find(args)
            if client.topics and client.protocol == 2 and command.name not in WHILE_SUBSCRIBED:
                raise only_while_subscribed(command.name)
        except ReplyError as error:
            client.broken = client.queue is not None
            return error
        if client.queue is not None and command.name not in AT_ONCE:
            client.queue.append((command, args))
            return "QUEUED"
        return self.run(client, command, args)

    def run(self, client: Client, command: Command, args: list[bytes]) -> Value:
        """Call a command for a request, and return its answer. A ReplyError is an answer, too.

        `command.call` is handed what functions may ask for, by its type: a Store, a Client, this Engine, its PubSub.
        """
        try:
            return command.call({Store: self.db, Client: client, Engine: self, PubSub: self.pubsub}, args)
        except ReplyError as error:
            return error

    def call(self, client: Client, command: Command, args: list[bytes]) -> Value:
        """Run a command that was queued, as a part of the unit of its EXEC, and return its answer.

        What it has added to `db.records` may have None for its request: replace that by `args`, for `settle` knows only
        the EXEC. A transaction does not wait: return NULL_ARRAY for a Wait. For other answers return a `copy`: what is
        in the store may be changed by the next command, before it is sent.
        """
        start = len(self.db.records)
        answer = self.run(client, command, args)
        self.db.records[start:] = [args if record is None else record for record in self.db.records[start:]]
        return NULL_ARRAY if isinstance(answer, Wait) else copy(answer)

    def serve(self) -> None:
        """Take one key after the other out of `db.touched`, and serve the clients that wait for what it holds now.

        Begin with the key that was touched first. For each key, first call `touch` of `self.watching`: who watches it
        must know.

        Then, as long as there is a `first` client for it: unpark it, then call `serve` of its Wait with the key, and
        `deliver` of the client with the answer. A ReplyError is an answer, too: the next one may have more luck. What
        this changes is a unit of its own (at the same `db.now`): call `settle` with an empty list, before `deliver`.
        And it may touch further keys.
        """
        while self.db.touched:
            key = self.db.touched.popleft()
            self.watching.touch(key)
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
        """Forget a client that has gone: it waits for nothing, watches nothing, and is subscribed to nothing."""
        self.waiting.unpark(client)
        self.watching.unwatch(client)
        self.pubsub.leave(client)

    def settle(self, args: list[bytes]) -> None:
        """End the unit of the request `args`: append what is in `db.records` to the log, if there is one, and empty it.

        Each record is a request that does the same whenever it is executed; None stands for `args`, the request as it
        came. A unit that has changed nothing has no records. If there are several, `MULTI` comes before them and `EXEC`
        behind them, as records of their own: whatever happens, they are replayed all or none.

        >>> engine, engine.log = Engine(), []  # for the example a list, which has an `append`, too
        >>> engine.db.records = [[b"DEL", b"expired"], None]
        >>> engine.settle([b"INCR", b"visits"])
        >>> engine.log, engine.db.records
        ([[b'MULTI'], [b'DEL', b'expired'], [b'INCR', b'visits'], [b'EXEC']], [])
        """
        records, self.db.records = self.db.records, []
        if self.log is not None:
            if len(records) > 1:
                records = [[b"MULTI"], *records, [b"EXEC"]]
            for record in records:
                self.log.append(args if record is None else record)

    def replay(self, args: list[bytes]) -> Value:
        """Execute a request from the log for `self.loader`, with `db.now` at 0; append nothing; return the reply.

        When it was logged, no key that it found had expired: for one that had, a DEL stands before it. By today's clock
        that key may have expired, and the request would find none. At 0 nothing has. `db.records` is empty after it,
        and so is `db.touched`, for nobody waits yet.
        """
        self.db.now = 0
        reply = self.answer(self.loader, args)
        self.db.records.clear()
        self.db.touched.clear()
        return reply

    def expire(self, most: int = 200) -> bool:
        """Look at up to `most` deadlines as a unit (`db.expire_due`); return whether there may be more.

        Set `db.now` to what the clock says. The expired keys are removed and recorded, each as a DEL, so the unit has
        to be settled; there is no request, so give `settle` an empty list. Then `serve`, for those who watch them.
        """
        self.db.now = self.clock()
        more = self.db.expire_due(most)
        self.settle([])
        self.serve()
        return more
