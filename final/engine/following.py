"""What a replica does to the data: it executes its primary's changes, or replaces all data by the primary's.

It also makes a server a replica, and a primary again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..config.options import Options
from ..data.store import Store
from ..data.unit import NO_EVENT, UNLOGGED, Unit
from ..log.split import Malformed
from ..protocol.errors import ReplyError
from ..replication.failover import Address, Failover
from ..replication.replica import Replica
from ..replication.stream import Args
from ..server_log import log
from .acl.user import SUPERUSER
from .client import Client
from .command import LOADED, RENAMED, find
from .context import Engine
from .functions import Functions

BECAME_REPLICA = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"


def follow(engine: Engine, host: str, port: int, takes_over: bool = False) -> None:
    """Make this server a replica of the one at this address. Its data stays until it is synchronised."""
    if engine.replica is not None:
        engine.replica.leave()
    else:
        for client in list(engine.clients.values()):
            if client.parked is not None:
                client.closing = True
                engine.waiting.unblock(client, ReplyError(BECAME_REPLICA))
    engine.primary.send_away("this server has another primary")
    engine.options.replicaof = f"{host} {port}"
    engine.primary.relaying = True
    engine.replica = Replica(engine, Following(engine, f"{host}:{port}"), host, port, takes_over)
    leave_expiry(engine)


def lead(engine: Engine) -> None:
    """Make a replica a primary: its data stays, and what follows is its own."""
    if engine.replica is not None:
        engine.replica.leave()
        engine.replica = None
        engine.options.replicaof = ""
        engine.primary.relaying = False
        engine.primary.branch()
        leave_expiry(engine)


def leave_expiry(engine: Engine) -> None:
    """Note whether expired keys stay until the primary deletes them, because this is a replica, or will be one."""
    engine.unit.leave_expiry("replica", engine.admission.read_only or engine.failover is not None)


def fail_over(engine: Engine, target: Address | None, deadline: int | None, force: bool) -> None:
    """FAILOVER: let writes wait, until a replica has taken over, or that has failed."""

    def end(in_vain: bool) -> None:
        engine.failover = None
        if in_vain:
            lead(engine)
        leave_expiry(engine)
        engine.pause.release_writes("failover")
        for each in list(engine.clients.values()):
            each.resume()

    def begin(host: str, port: int) -> None:
        follow(engine, host, port, takes_over=True)

    engine.failover = Failover(engine, target, deadline, force, begin, end)
    engine.pause.hold_writes("failover")
    leave_expiry(engine)


@dataclass
class Beside:
    """Databases that are being built; the part of the engine that the requests of a snapshot need."""

    stores: list[Store]
    options: Options
    functions: Functions


class Following:
    """Does what the `Replica` of an engine asks for. The primary is a client, whom CLIENT LIST shows."""

    def __init__(self, engine: Engine, address: str) -> None:
        self.engine = engine
        self.address = address
        # `begin` gives it a connection. Its database is the one that the stream has selected.
        self.client = Client(id=0, db=engine.stores[max(engine.primary.database, 0)])

    def begin(self, break_off: Callable[[], None]) -> None:
        """Let the primary be one of the clients. It goes on in the database that it had selected."""
        selected = self.client.db
        self.client = self.engine.connect(self.address)
        self.client.db, self.client.is_primary = selected, True
        self.client.user, self.client.authenticated = SUPERUSER, True
        self.client.hang_up, self.client.deny_blocking = break_off, True

    def end(self) -> None:
        """The primary is a client no longer."""
        self.engine.disconnect(self.client)
        self.client.detach()

    def apply(self, requests: list[Args]) -> None:
        """Execute a unit of the primary's changes.

        The clock is stopped at 0, as when the log is replayed: no key expires unless the primary deletes it. An error
        shows that the two servers differ: as in Redis, that is logged, and the replica goes on. But if a command about
        the connection fails, SELECT of a database that is not here, Malformed is raised: what follows is not for us.
        """
        engine, client, lost = self.engine, self.client, ""
        client.last_interaction = engine.unit.recently
        for args in requests:
            engine.unit.stopped = 0
            try:
                command = find(args, RENAMED)
            except ReplyError as error:
                complain(args, error)
                continue
            client.last_command = command.name
            answer = engine.run(client, command, args)
            if isinstance(answer, ReplyError):
                complain(args, answer)
                if command.group.name == "connection":
                    lost = str(answer)
                    break
        engine.unit.stopped = None
        if engine.unit.notes:
            engine.settle()
        engine.primary.database = client.db.index
        if lost:
            raise Malformed(lost)

    def replace(self, requests: Iterator[Args]) -> Iterator[None]:
        """Build a data set from requests, one at each step, and at the end replace the present one by it.

        Raises ReplyError if a request fails: then the present data is as it was.
        """
        unit = Unit()
        unit.stopped = 0  # expired keys too: the primary will delete them
        engine = self.engine
        stores = [Store(store.index, unit) for store in engine.stores]
        beside = Beside(stores, engine.options, Functions(engine.scripts))
        nobody = Client(id=0, db=beside.stores[0])
        try:
            for args in requests:
                if args:
                    answer = find(args, LOADED).run(beside, nobody, args)
                    if isinstance(answer, ReplyError):
                        raise answer
                    unit.notes.clear()
                yield
        except BaseException:
            beside.functions.flush()
            raise
        self.adopt(beside, nobody.db.index)

    def adopt(self, beside: Beside, selected: int) -> None:
        """Replace all data; the stream goes on in the database `selected`.

        For clients that watch a key or wait for one, it has changed; the log begins again.
        """
        engine = self.engine
        engine.unit.stopped = None
        observed = {*engine.watching, *engine.waiting}
        engine.snapshots.cancel()
        for present, new in zip(engine.stores, beside.stores, strict=True):
            present.swap(new)
            keys = [key for index, key in observed if index == present.index]
            present.changed(*keys, log=UNLOGGED, event=NO_EVENT)
            engine.unit.changes += len(present)
        engine.functions.flush()
        engine.functions = beside.functions
        if engine.eviction.keeping:
            engine.eviction.forget_all()
        engine.rewriter.start_over()
        engine.tracking.flushed(None)
        engine.settle()
        self.client = Client(id=0, db=engine.stores[selected])
        engine.primary.database = selected


def complain(args: Args, error: ReplyError) -> None:
    """Log that a request of the primary has failed."""
    log.error("the primary's %s fails here: %s", args[0].decode(errors="replace"), error)
