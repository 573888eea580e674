"""What commands may use of the engine, in one list, so that they need not import the engine itself."""

from collections.abc import Callable
from typing import Protocol

from ..config.options import Options
from ..data.scan import Order
from ..data.store import Store
from ..data.unit import Unit
from ..latency import Latency
from ..log.aof import Log
from ..log.rewrite import Rewriter
from ..log.snapshot import Snapshots
from ..protocol.writer import Value
from ..replication.failover import Failover
from ..replication.outgoing import Dial
from ..replication.primary import Primary
from ..replication.replica import Replica
from ..replication.targets import Targets
from .acl.log import AclLog
from .acl.users import Users
from .admit import Admission
from .blocking import Waiting
from .client import Client
from .command import Command
from .counters import Counters
from .evict import Eviction
from .functions import Functions
from .monitor import Monitors
from .pause import Pause
from .pubsub import PubSub
from .scripts import Scripts
from .shutdown import Shutdown
from .slowlog import SlowLog
from .tracking import Tracking
from .watch import Watching


class Engine(Protocol):
    """What commands need of the engine, the class of the same name in `engine.py`, which has all of it."""

    stores: list[Store]
    clients: dict[int, Client]
    options: Options
    dial: Dial
    listen: Callable[[], object]
    targets: Targets
    unit: Unit
    replica: Replica | None
    failover: Failover | None
    shutdown: Shutdown
    users: Users
    acl_log: AclLog
    admission: Admission
    log: Log | None
    order: Order
    pubsub: PubSub
    rewriter: Rewriter
    snapshots: Snapshots
    primary: Primary
    eviction: Eviction
    scripts: Scripts
    functions: Functions
    monitors: Monitors
    slowlog: SlowLog
    tracking: Tracking
    watching: Watching
    waiting: Waiting
    pause: Pause
    steady: Callable[[], int]
    started: int
    run_id: str
    counters: Counters
    latency: Latency
    slow_after: float
    active_expire: bool

    @property
    def forked(self) -> bool:
        """Whether a child process runs."""

    def run(self, client: Client, command: Command, args: list[bytes]) -> Value:
        """Run a command as a part of another one, as EXEC and EVAL do: an error is returned."""

    def perform(self, client: Client, command: Command, args: list[bytes]) -> Value:
        """Call a command's function, and count the keys that it has read."""

    def connect(self, address: str = "") -> Client:
        """Register a client."""

    def complete(self, client: Client, command: Command, args: list[bytes], answer: Value, start: int = 0) -> Value:
        """Complete the notes from `start` on, and publish their events; return the answer if it is left to send."""

    def settle(self) -> None:
        """End the unit: hand its changes to the log, the replicas, and the clients that watch or wait for the keys."""

    def settle_expired(self) -> None:
        """End a unit in which keys were removed, and no command has run."""

    def disconnect(self, client: Client) -> None:
        """Forget a client that has disconnected, and all that it waits for, watches and is subscribed to."""

    def stop(self) -> None:
        """Stop the server, as SHUTDOWN does."""
