"""Whether a client may run a command now: checks of Redis's `processCommand`, in its order."""

from typing import Protocol

from ..log.aof import Log
from ..log.snapshot import Snapshots
from ..options import Options
from ..protocol.errors import (
    ReplyError,
    log_failed,
    not_authenticated,
    only_while_listening,
    primary_down,
    read_only_replica,
    snapshot_failed,
)
from ..replication.primary import Primary
from ..replication.replica import Replica
from .client import Client, about_to_run
from .command import (
    MAY_REPLICATE,
    NO_AUTH,
    NO_MULTI,
    READONLY,
    REFUSED_LIKE_WRITES,
    STALE,
    WHILE_SUBSCRIBED,
    WRITE,
    Command,
)

TOUCHES_KEYS = {WRITE, READONLY, MAY_REPLICATE}


class Engine(Protocol):
    """What of the engine decides that."""

    options: Options
    log: Log | None
    snapshots: Snapshots
    primary: Primary
    replica: Replica | None


class Admission:
    """Refuses requests that must not run now."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def check(self, client: Client, command: Command) -> None:
        """Raise a ReplyError if this client must not run this command now."""
        if not client.authenticated and self.engine.options.requirepass and NO_AUTH not in command.flags:
            raise not_authenticated()
        if (client.channels or client.patterns) and client.protocol == 2 and WHILE_SUBSCRIBED not in command.flags:
            raise only_while_listening(command.name)
        if client.queue is not None and NO_MULTI in command.flags:
            raise ReplyError("ERR Command not allowed inside a transaction")
        if self.strict:
            self.check_server(client, command)
        if (client.replica is not None or client.monitoring) and TOUCHES_KEYS & {*command.flags}:
            raise ReplyError("ERR Replica can't interact with the keyspace")  # to Redis, MONITOR makes it a replica

    def check_server(self, client: Client, command: Command) -> None:
        """Raise a ReplyError if no client must run this command now, because of the disk or of other servers."""
        flags = [each.flags for each in about_to_run(client, command)]
        if (failure := self.disk_failure) and any({WRITE, REFUSED_LIKE_WRITES} & {*each} for each in flags):
            raise failure
        if (refusal := self.refusal) and any(WRITE in each for each in flags):
            raise refusal
        if self.stale and any(STALE not in each for each in flags):
            raise primary_down()

    @property
    def strict(self) -> bool:
        """Whether anything may be refused because of the disk or of other servers: mostly not, and quickly told."""
        engine = self.engine
        return (
            engine.replica is not None
            or engine.options.min_replicas_to_write > 0
            or engine.snapshots.failed
            or (engine.log is not None and bool(engine.log.failure))
        )

    @property
    def disk_failure(self) -> ReplyError | None:
        """The error for writes while changes cannot be kept on the disk; None: they can."""
        if self.engine.snapshots.refuses_writes:
            return snapshot_failed()
        log = self.engine.log
        return log_failed(log.failure) if log is not None and log.failure else None

    @property
    def refusal(self) -> ReplyError | None:
        """The error for writes while they are refused, for whatever reason; None: they are not."""
        if self.read_only:
            return read_only_replica()
        return self.disk_failure or self.engine.primary.refusal

    @property
    def read_only(self) -> bool:
        """Whether this is a replica that accepts no writes but those of its primary."""
        return self.engine.replica is not None and self.engine.options.replica_read_only == "yes"

    @property
    def stale(self) -> bool:
        """Whether this is a replica that has lost its primary, and must not show data that may be stale."""
        return self.engine.replica is not None and self.engine.replica.stale
