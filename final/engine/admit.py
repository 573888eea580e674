"""Whether a client may run a command now: checks of Redis's `processCommand`, in its order."""

from collections.abc import Callable
from typing import Protocol

from ..config.options import Options
from ..log.aof import Log
from ..log.snapshot import Snapshots
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
from .acl.denials import no_permission
from .acl.log import AclLog, Entry
from .acl.selector import Reason
from .client import Client, about_to_run
from .client_line import described
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


class AdmissionNeeds(Protocol):
    """What admission needs of the engine."""

    options: Options
    acl_log: AclLog
    steady: Callable[[], int]
    log: Log | None
    snapshots: Snapshots
    primary: Primary
    replica: Replica | None


class Admission:
    """Refuses requests that must not run now."""

    def __init__(self, engine: AdmissionNeeds) -> None:
        self.engine = engine

    def check(self, client: Client, command: Command, args: list[bytes]) -> None:
        """Raise a ReplyError if this client must not run this request now."""
        if not (client.authenticated or client.user.open) and NO_AUTH not in command.flags:
            raise not_authenticated()
        if client.queue is not None and NO_MULTI in command.flags:
            raise ReplyError("ERR Command not allowed inside a transaction")
        if not client.user.unlimited:
            context = "toplevel" if client.queue is None else "multi"
            if (reason := self.denied(client, command, args, context)) is not None:
                raise no_permission(reason, command.name)
        if client.protocol == 2 and client.subscribed and WHILE_SUBSCRIBED not in command.flags:
            raise only_while_listening(command.name)
        if self.strict:
            self.check_server(client, command, args)
        if (client.replica is not None or client.monitoring) and TOUCHES_KEYS & {*command.flags}:
            raise ReplyError("ERR Replica can't interact with the keyspace")  # to Redis, MONITOR makes it a replica

    def denied(
        self, client: Client, command: Command, args: list[bytes], context: str, caller: Client | None = None
    ) -> Reason | None:
        """Return why the client's user may not send a request, and log it; None: it may.

        `context` is toplevel, multi or lua; `caller` is the client for which a script runs.
        """
        denial = client.user.denial(command, args)
        if denial is None:
            return None
        subject = command.name.encode() if denial.reason == Reason.COMMAND else args[denial.at]
        self.log_denial(denial.reason, context, subject, client.user.name, caller or client)
        return denial.reason

    def log_denial(self, reason: Reason, context: str, subject: bytes, username: bytes, client: Client) -> None:
        """Add an entry to ACL LOG."""
        line = described(client, self.engine.steady()).rstrip()
        self.engine.acl_log.add(Entry(reason, context, subject, username, client.db.unit.clock(), line))

    def check_server(self, client: Client, command: Command, args: list[bytes]) -> None:
        """Raise a ReplyError if no client must run this request now, because of the disk or of other servers."""
        flags = [each.flags for each in about_to_run(client, command)]
        if command.writes is not None and command.writes(self.engine, args):  # a program that says so
            flags[0] = (*flags[0], WRITE)
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
