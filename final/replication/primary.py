"""The primary's side of replication: the stream of changes, and the replicas that are fed from it."""

from collections.abc import Callable, Sequence
from secrets import token_hex
from typing import Protocol

from ..data.unit import Requests, Unit
from ..log.record import Change, Record, encode_unit
from ..protocol.errors import ReplyError, not_enough_replicas
from ..protocol.numeric import parse_integer
from ..protocol.writer import encode_request
from ..server_log import log
from .attached import AttachedReplica, State
from .backlog import Backlog
from .full_sync import FullSync, FullSyncNeeds

NO_ID = "0" * 40
SECOND = 1000  # milliseconds
PING = encode_request([b"ping"])  # in small letters, as Redis writes it
GETACK = encode_request([b"REPLCONF", b"GETACK", b"*"])


class PrimaryNeeds(FullSyncNeeds, Protocol):
    """What the primary needs of the engine."""

    unit: Unit


class Primary:
    """The stream of this server: its own changes, or, if the server is a replica, what its primary sends.

    `replid` and `offset` name a state of the data: two servers with the same pair have the same data. The stream is
    kept, and so counted, from the first replica on. `prepare` is called first in a child process.
    """

    def __init__(self, engine: PrimaryNeeds, prepare: Callable[[], None] = lambda: None) -> None:
        self.engine = engine
        self.replid = token_hex(20)
        self.replid2 = NO_ID  # the ID of the stream that this one continues, …
        self.second_offset = -1  # … up to the byte before this one, counted from 1 as PSYNC does
        self.backlog = Backlog(engine.options.repl_backlog_size)
        self.feeding = False  # the stream is kept: there is, or was, a replica
        self.relaying = False  # this server is a replica, and the stream is that of its primary
        self.replicas: list[AttachedReplica] = []
        self.full_sync = FullSync(engine, self, prepare)
        engine.snapshots.about = self.about
        self.full_syncs = self.partial_syncs = self.refused_syncs = 0  # the last: a partial one was not possible
        self.database = -1  # that the last record selected; -1: none
        self._acks_wanted = False
        self._left = self._ticked = self._pinged = engine.steady()  # when the last replica left, …

    @property
    def offset(self) -> int:
        """The number of bytes in the stream so far."""
        return self.backlog.end

    # The stream

    def append(self, index: int, change: Change, more: Sequence[Record] = ()) -> None:
        """Add one unit to the stream, as `Log.append` does to the log; but a replica's own changes stay its own."""
        if self.relaying:
            return
        if index == self.database and not more and not isinstance(change, Requests):
            self.append_raw(encode_request(change))
            return
        data, self.database = encode_unit(self.database, (index, change), *more)
        self.append_raw(data)

    def append_raw(self, data: bytes) -> None:
        """Add bytes to the stream as they are: a replica passes on what its primary has sent."""
        self.backlog.append(data)
        if self.backlog.excess:
            kept = [each.position for each in self.replicas if each.position >= 0]
            self.backlog.trim(min(kept, default=self.offset))
        for each in self.replicas:
            each.wake()

    def select_again(self) -> None:
        """Let the next record begin with SELECT: a replica that begins here is in no database yet."""
        if not self.relaying:
            self.database = -1

    def about(self) -> dict[bytes, bytes]:
        """Return what a snapshot says about the stream: a replica's own replicas are in the middle of it.

        In the middle of a unit, as by FLUSHALL, the data has changes that the stream does not have yet.
        """
        if not self.feeding or self.engine.unit.notes:
            return {}
        database, replid, offset = max(self.database, 0), self.replid.encode(), self.offset
        return {b"repl-stream-db": b"%d" % database, b"repl-id": replid, b"repl-offset": b"%d" % offset}

    def continue_from(self, about: dict[bytes, bytes], following: bool) -> None:
        """The data was loaded from a snapshot: continue the stream of which it says that it is a state.

        A replica, `following`, asks its primary for what comes next. A primary continues under a new ID.
        """
        replid, *numbers = (about.get(each, b"") for each in (b"repl-id", b"repl-offset", b"repl-stream-db"))
        offset, database = (-1 if number is None else number for number in map(parse_integer, numbers))
        valid = len(replid) == len(NO_ID) and replid.isalnum() and offset >= 0
        if not valid or database not in range(self.engine.options.databases):
            return
        self.begin(replid.decode(), offset)
        if following:
            self.database = database
        else:
            self.branch()

    def begin(self, replid: str, offset: int) -> None:
        """All data was replaced: the stream is another one, and is kept from this offset on. Replicas have to sync."""
        self.send_away("all data was replaced")
        self.replid, self.replid2, self.second_offset = replid, NO_ID, -1
        self.backlog = Backlog(self.engine.options.repl_backlog_size, offset)
        self.feeding = True
        self.select_again()

    def branch(self, replid: str = "") -> None:
        """The stream goes on under another ID, by default a new one: this server, or its primary, was promoted.

        Replicas that followed the old one can continue with this one, but they have to ask for it
        (`shiftReplicationId`, `disconnectSlaves`).
        """
        self.send_away("the stream goes on under another ID")
        self.replid2, self.second_offset = self.replid, self.offset + 1
        self.replid = replid or token_hex(20)
        self.select_again()

    # The replicas

    def attach(self, replica: AttachedReplica) -> None:
        """Begin a full synchronisation."""
        self.full_syncs += 1
        if not self.feeding:
            self.begin(token_hex(20), self.offset)
        self.replicas.append(replica)
        replica.since = replica.clock()
        self.full_sync.join(replica)

    def resume(self, replica: AttachedReplica, replid: str, following: int) -> bool:
        """Let a replica continue whose next byte is the one `following`, counted from 1; return whether it can."""
        known = replid == self.replid or (replid == self.replid2 and following <= self.second_offset)
        if not (known and self.feeding and self.backlog.start < following <= self.offset + 1):
            self.refused_syncs += replid != "?"
            return False
        self.partial_syncs += 1
        replica.state, replica.position, replica.answered = State.ONLINE, following - 1, replica.clock()
        self.replicas.append(replica)
        replica.wake()
        return True

    def detach(self, replica: AttachedReplica) -> None:
        """A replica has gone."""
        if replica not in self.replicas:
            return
        self.replicas.remove(replica)
        replica.close()
        replica.state = State.LEAVING  # nothing more of the stream, which may drop its bytes now
        self._left = self.engine.steady()
        if not self.full_sync.find(State.WRITING):
            self.full_sync.cancel()
        self.taken()

    def drop(self, replica: AttachedReplica, reason: str) -> None:
        """Close the connection of a replica."""
        log.warning("replica %s is disconnected: %s", replica.shown, reason)
        self.detach(replica)
        replica.hang_up()

    def send_away(self, reason: str) -> None:
        """Close the connections of all replicas."""
        for each in [*self.replicas]:
            self.drop(each, reason)

    def taken(self) -> None:
        """A replica has been sent a part of the snapshot, or has gone: more can be read."""
        self.full_sync.pace()

    # Acknowledgements

    def acknowledged(self, offset: int) -> int:
        """Return how many replicas have executed the stream up to an offset."""
        return sum(each.state is State.ONLINE and each.acknowledged >= offset for each in self.replicas)

    @property
    def all_acknowledged(self) -> bool:
        """Whether all replicas that are online have executed the whole stream."""
        return all(each.acknowledged == self.offset for each in self.replicas if each.state is State.ONLINE)

    def ask_for_acks(self) -> None:
        """Ask the replicas how far they are, at the end of this iteration of the event loop."""
        self._acks_wanted = True
        for each in self.replicas:
            each.wake()

    def request_acks(self) -> None:
        """Add the question to the stream, once for all that wait for the answers."""
        if self._acks_wanted and not self.relaying:
            self.append_raw(GETACK)
        self._acks_wanted = False

    @property
    def good(self) -> int:
        """The number of replicas that were heard of in the last `min-replicas-max-lag` seconds."""
        oldest = self.engine.steady() - (self.engine.options.min_replicas_max_lag + 1) * SECOND
        return sum(each.state is State.ONLINE and each.heard > oldest for each in self.replicas)

    @property
    def refusal(self) -> ReplyError | None:
        """The error for writes while there are too few good replicas."""
        options = self.engine.options
        if self.relaying or not options.min_replicas_to_write or not options.min_replicas_max_lag:
            return None
        return not_enough_replicas() if self.good < options.min_replicas_to_write else None

    # Time

    def tick(self) -> None:
        """Do what is due. Called about ten times a second."""
        self.full_sync.tick()
        now = self.engine.steady()
        if now - self._ticked >= SECOND:
            self._ticked = now
            self.each_second(now)

    def each_second(self, now: int) -> None:
        """Look for replicas that are lost, and show those that are there that their primary is, too."""
        options = self.engine.options
        self.backlog.size = options.repl_backlog_size
        for each in [*self.replicas]:
            if each.lost(now - options.repl_timeout * SECOND):
                self.drop(each, "it does not answer")
            elif each.state is State.WAITING or (each.state is State.WRITING and self.full_sync.worker is None):
                each.output += b"\n"
                each.wake()
        if self.replicas and not self.relaying and now - self._pinged >= options.repl_ping_replica_period * SECOND:
            self._pinged = now
            self.append_raw(PING)
        alone = not (self.replicas or self.relaying) and options.repl_backlog_ttl
        if alone and now - self._left > options.repl_backlog_ttl * SECOND:
            self.forget()

    def forget(self) -> None:
        """Keep the stream no longer: there has been no replica for a long time."""
        if self.feeding:
            self.begin(token_hex(20), self.offset)
            self.feeding = False
