"""The state of one client while it is connected. It knows no socket: commands get a client, not a connection."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from ..data.store import Store
from ..data.unit import Place
from ..protocol.writer import NO_REPLY, Replies, Value
from ..replication.attached import Announced, AttachedReplica
from .acl.user import SUPERUSER, User
from .command import RUNS_QUEUE, Command
from .wait import Wait

Queued = tuple[Command, list[bytes]]  # a request after MULTI


def ignore(value: Value) -> None:
    """Deliver nothing: there is no connection."""


def do_nothing() -> None:
    """There is no connection to close or to resume."""


class Usage(NamedTuple):
    """What a connection holds for its client: bytes, and perhaps a request."""

    query: int = 0  # of requests that are incomplete, or not executed yet
    output: int = 0  # of replies that wait for the log
    unread: int = 0  # of replies that the client has not read
    paused: bool = False  # whether its next request waits until a pause is over


OVERHEAD = 16 << 10  # bytes of a client with nothing to send or to receive, roughly: those of Redis


@dataclass(eq=False)
class Parked:
    """A command that waits for a key."""

    client: "Client"
    command: Command
    args: list[bytes]
    wait: Wait
    places: tuple[Place, ...]
    deadline: int | None  # by the steady clock, in milliseconds
    took: float = 0  # microseconds that it ran before it waited


@dataclass(eq=False)
class Tracker:
    """How a client tracks keys, after CLIENT TRACKING ON (CLIENT_TRACKING). It cannot both `optin` and `optout`."""

    redirect: int = 0  # the id of the client that is sent its messages in its place (`client_tracking_redirection`)
    bcast: bool = False  # it is told of all changes of keys with its prefixes (CLIENT_TRACKING_BCAST)
    prefixes: dict[bytes, None] = field(default_factory=dict)
    optin: bool = False  # only what it reads after CLIENT CACHING YES is remembered (CLIENT_TRACKING_OPTIN)
    optout: bool = False  # what it reads after CLIENT CACHING NO is not (CLIENT_TRACKING_OPTOUT)
    caching: bool = False  # it has sent CLIENT CACHING for its next request (CLIENT_TRACKING_CACHING)
    noloop: bool = False  # it is not told of its own changes (CLIENT_TRACKING_NOLOOP)
    broken: bool = False  # the client `redirect` has gone (CLIENT_TRACKING_BROKEN_REDIR)
    alone: set[int] = field(default_factory=set)  # its id alone


@dataclass(eq=False)
class Client:
    """A client. The comments name Redis's flags for it, and the commands that change it."""

    id: int  # unique as long as the server runs
    db: Store  # the database that it has selected
    name: bytes = b""  # CLIENT SETNAME
    protocol: int = 2  # the RESP version, 2 or 3: HELLO
    closing: bool = False  # close the connection after the replies so far (CLIENT_CLOSE_AFTER_REPLY)
    user: User = SUPERUSER  # by AUTH; before that, the default user
    authenticated: bool = True  # by AUTH, or because no password was needed when it connected
    address: str = ""  # its end of the connection, host:port
    local_address: str = ""  # our end
    descriptor: int = -1  # of the socket
    library: bytes = b""  # CLIENT SETINFO LIB-NAME
    library_version: bytes = b""  # CLIENT SETINFO LIB-VER
    connected_at: int = 0  # when it connected, by the steady clock, in milliseconds
    last_interaction: int = 0  # when it last sent a request or was sent a message, by the steady clock
    last_command: str = "NULL"  # the name of the command of its last request

    deliver: Callable[[Value], None] = ignore  # send a message now, before the reply to the current request
    hang_up: Callable[[], None] = do_nothing  # close the connection at once; replies that were not sent are lost
    usage: Callable[[], Usage] = Usage  # what its connection holds
    resume: Callable[[], None] = do_nothing  # execute the request that a pause has held back
    is_primary: bool = False  # not a client, but the primary of this replica (CLIENT_MASTER)
    wake: Callable[[], None] = do_nothing  # send what there is for the replica, at the end of this iteration
    deny_blocking: bool = False  # its request is in EXEC or in a script, so it must not wait (CLIENT_DENY_BLOCKING)
    is_script: bool = False  # not a client, but a script that runs for one (CLIENT_SCRIPT)
    monitoring: bool = False  # MONITOR (CLIENT_MONITOR)
    reply_off: bool = False  # no reply is sent: CLIENT REPLY OFF (CLIENT_REPLY_OFF)
    reply_skip: bool = False  # the reply to this request is not sent (CLIENT_REPLY_SKIP)
    reply_skip_next: bool = False  # the reply to the next one is not sent: CLIENT REPLY SKIP (CLIENT_REPLY_SKIP_NEXT)
    no_evict: bool = False  # CLIENT NO-EVICT ON
    tracking: Tracker | None = None  # CLIENT TRACKING ON
    informed: bool = False  # it has been told of changes of keys since then, or another one's messages come to it
    declared: list[bytes] = field(default_factory=list)  # the keys of the script that it is
    queue: list[Queued] | None = None  # the requests since MULTI, which EXEC runs; None: no MULTI
    dirty_exec: bool = False  # a request could not be queued, so EXEC will fail (CLIENT_DIRTY_EXEC)
    watched: dict[Place, bool] = field(default_factory=dict)  # WATCH; True: the key had expired, but was not removed
    every_change: bool = False  # see `Watcher`
    dirty_cas: bool = False  # a watched key has changed, so EXEC will fail (CLIENT_DIRTY_CAS)
    channels: dict[bytes, None] = field(default_factory=dict)  # SUBSCRIBE, in order
    patterns: dict[bytes, None] = field(default_factory=dict)  # PSUBSCRIBE, in order
    shard_channels: dict[bytes, None] = field(default_factory=dict)  # SSUBSCRIBE, in order
    subscribed: bool = False  # to any of them (CLIENT_PUBSUB): with RESP2, few commands are allowed then
    parked: Parked | None = None  # its command that waits for a key
    announced: Announced | None = None  # what it has said of itself as a replica: REPLCONF
    replica: AttachedReplica | None = None  # it is a replica: SYNC, PSYNC (CLIENT_SLAVE)
    write_offset: float = 0  # of the stream to replicas, after its last requests; infinite: not known (`woff`)

    @property
    def auth_required(self) -> bool:
        """Whether it has to authenticate first (`authRequired`)."""
        return not (self.authenticated or self.user.open)

    def be_unauthenticated(self, default: User) -> None:
        """Let it be the default user, as a new client is."""
        self.user, self.authenticated = default, default.open

    def blocked(self, used: Usage) -> bool:
        """Return whether it waits, for a key or for the end of a pause (CLIENT_BLOCKED)."""
        return self.parked is not None or used.paused

    @property
    def doomed(self) -> bool:
        """Whether EXEC will run nothing: so there is no need to queue more requests."""
        return self.dirty_exec or self.dirty_cas

    @property
    def queued_bytes(self) -> int:
        """The bytes of its requests after MULTI."""
        return sum(map(len, chain.from_iterable(args for _, args in self.queue))) if self.queue else 0

    def memory(self, used: Usage) -> int:
        """Return the bytes of memory that it takes, roughly."""
        return OVERHEAD + used.query + used.output + used.unread + self.queued_bytes

    @property
    def muted(self) -> bool:
        """Whether it is not sent replies now, nor what MONITOR shows; pushes it is sent always."""
        return self.reply_off or self.reply_skip

    @property
    def overhears(self) -> bool:
        """Whether it is sent messages about its own requests, so that their order matters."""
        return self.subscribed or self.monitoring or self.informed

    def say(self, answer: Value) -> Replies:
        """Send it a reply now, or a line of MONITOR, unless it is muted. Return NO_REPLY, which is left to send."""
        self.deliver(NO_REPLY if self.muted else answer)
        return NO_REPLY

    def end_request(self) -> None:
        """A request is answered: CLIENT REPLY SKIP now mutes the next one, or no more (`resetClient`)."""
        self.reply_skip, self.reply_skip_next = self.reply_skip_next, False

    def detach(self) -> None:
        """Drop the references to the connection, which refers to the client: only the collector frees a cycle."""
        self.deliver, self.hang_up, self.resume, self.wake = ignore, do_nothing, do_nothing, do_nothing
        self.usage = Usage


def about_to_run(client: Client, command: Command) -> list[Command]:
    """Return the commands that a request runs: its command, and if that is EXEC, the queued ones."""
    queued = client.queue if RUNS_QUEUE in command.flags else None
    return [command, *(each for each, _ in queued or ())]
