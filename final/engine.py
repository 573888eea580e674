"""The heart: one request at a time, whole, at one instant, and its changes to the log. It knows no socket, no loop."""

import time
from collections.abc import Callable
from typing import Any

from . import commands  # noqa: F401  (the commands enter themselves into the table)
from .aof import Log
from .client import Client
from .command import NO_AUTH, WRITE, find
from .errors import ReplyError, log_failed, not_authenticated
from .options import Options
from .scan import Order
from .store import Store, Unit
from .writer import Value


def wall_clock() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Engine:
    """The data, the log and the clients, and the way a request takes through them.

    `clock` tells the time in milliseconds; a test may hand in its own. `on_stop` is called by SHUTDOWN.
    """

    def __init__(
        self, options: Options, clock: Callable[[], int] = wall_clock, on_stop: Callable[[], None] = lambda: None
    ) -> None:
        self.options = options
        self.clock = clock
        self.stop = on_stop
        self.unit = Unit()
        self.stores = [Store(index, self.unit) for index in range(options.databases)]
        self.order = Order()
        self.clients: dict[int, Client] = {}
        self.log: Log | None = None  # without one, nothing is kept
        self.started = clock()
        self.commands_processed = 0
        self.connections_received = 0

    def restore(self) -> None:
        """Open the log, when the options ask for one, after bringing back the data that it tells of.

        The clock stands at zero meanwhile: a key whose deadline has passed must not expire before all that was
        done to it has been repeated. Raises CorruptLog and OSError.
        """
        if self.options.appendonly == "no":
            return
        log = Log(self.options)
        nobody = Client(id=0, db=self.stores[0])
        for words, refuse in log.load():
            answer = self.call(nobody, words)
            if isinstance(answer, ReplyError):
                refuse(f"{words[0]!r} was answered with {answer}")
            self.unit.notes.clear()
        log.open()
        self.log = log

    def connect(self, address: str = "", local_address: str = "") -> Client:
        """A client has come: remember it."""
        self.connections_received += 1
        now = self.clock()
        client = Client(
            id=self.connections_received,
            db=self.stores[0],
            authenticated=not self.options.requirepass,
            address=address,
            local_address=local_address,
            since=now,
            active=now,
        )
        self.clients[client.id] = client
        return client

    def disconnect(self, client: Client) -> None:
        """A client has gone: forget it."""
        self.clients.pop(client.id, None)

    def execute(self, client: Client, words: list[bytes]) -> Value:
        """Answer one request of a client, and see to what follows from it: time stops, it runs, it is settled."""
        client.active = self.unit.now = self.clock()
        self.commands_processed += 1
        answer = self.call(client, words)
        if self.unit.notes:
            self.settle(words)
        return answer

    def call(self, client: Client, words: list[bytes]) -> Value:
        """Admit a request and run it. A ReplyError, whoever raised it, is the answer."""
        try:
            command = find(words)
            client.last_command = command.name
            if not client.authenticated and NO_AUTH not in command.flags:
                command.check(len(words))
                raise not_authenticated()
            if self.log is not None and self.log.failure and WRITE in command.flags:
                raise log_failed(self.log.failure)
            return command.call(self, client, words)
        except ReplyError as error:
            return error

    def settle(self, words: list[bytes]) -> None:
        """The unit is over: hand what it changed to the log."""
        if self.log is not None:
            self.log.append([(index, words if note is None else note) for index, note in self.unit.notes])
        self.unit.notes.clear()

    def expire(self, most: int = 200) -> bool:
        """Remove keys whose deadline has passed and that nobody asked for; tell whether there may be more."""
        self.unit.now = self.clock()
        more = any([store.expire_due(most) for store in self.stores if store.deadlines])
        self.settle([])
        return more

    def log_state(self) -> dict[str, Any]:
        """What INFO says about the log."""
        log = self.log
        return {
            "aof_enabled": int(log is not None),
            "aof_last_write_status": "err" if log is not None and log.failure else "ok",
            "aof_current_size": log.size if log is not None else 0,
            "aof_base_size": log.base_size if log is not None else 0,
        }
