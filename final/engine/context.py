"""What a command may ask of the server. The engine is one; commands and signatures need not import it."""

from collections.abc import Callable
from typing import Protocol

from ..data.scan import Order
from ..data.store import Store
from ..log.aof import Log
from ..log.rewrite import Rewriter
from ..options import Options
from ..protocol.writer import Value
from .blocking import Waiting
from .client import Client
from .command import Command
from .counters import Counters
from .evict import Eviction
from .monitor import Monitors
from .pause import Pause
from .pubsub import Hub
from .scripts import Scripts
from .slowlog import SlowLog
from .watch import Watching


class Engine(Protocol):
    """What a command may ask of the server; the engine is one. So commands need not import it."""

    stores: list[Store]
    clients: dict[int, Client]
    options: Options
    log: Log | None
    order: Order
    hub: Hub
    rewriter: Rewriter
    eviction: Eviction
    scripts: Scripts
    monitors: Monitors
    slowlog: SlowLog
    watching: Watching
    waiting: Waiting
    pause: Pause
    steady: Callable[[], int]
    started: int
    run_id: str
    counters: Counters
    active_expire: bool

    def call(self, client: Client, command: Command, args: list[bytes]) -> Value:
        """Run a command as a part of the one under way, as EXEC and EVAL do: errors are values, nothing waits."""

    def unblock(self, client: Client, answer: Value) -> bool:
        """Let a client wait no more, and answer it like this; tell whether it did wait."""

    def disconnect(self, client: Client) -> None:
        """A client has gone: forget it, and all that it waited for, watched and listened to."""

    def stop(self) -> None:
        """Stop serving, in good order."""
