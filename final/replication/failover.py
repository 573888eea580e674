"""FAILOVER: a primary hands over to one of its replicas, without losing a change, and becomes its replica.

waiting-for-sync      writes wait; a replica is awaited that has acknowledged all of the stream
failover-in-progress  the server is the replica's replica, and asks it with PSYNC … FAILOVER to be the primary
"""

from collections.abc import Callable
from typing import Protocol

from ..server_log import log
from .attached import AttachedReplica, State
from .primary import Primary
from .replica import Replica

Address = tuple[str, int]


class FailoverNeeds(Protocol):
    """What a failover needs of the engine."""

    primary: Primary
    replica: Replica | None


class Failover:
    """Waits for a replica at `target`, or for any. `follow` makes this server its replica; `end` has writes go on.

    `end` is called with True if this server has become a replica for nothing, and is to be the primary again. At the
    `deadline`, by the steady clock in milliseconds, the failover is given up, or with `force` goes on all the same.
    """

    def __init__(
        self,
        engine: FailoverNeeds,
        target: Address | None,
        deadline: int | None,
        force: bool,
        follow: Callable[[str, int], None],
        end: Callable[[bool], None],
    ) -> None:
        self.engine, self.target, self.deadline, self.force = engine, target, deadline, force
        self.follow, self.end = follow, end
        self.waiting = True  # for a replica that has everything

    @property
    def state(self) -> str:
        """Its name in INFO."""
        return "waiting-for-sync" if self.waiting else "failover-in-progress"

    def tick(self, now: int) -> None:
        """Go on, if it can. Called some ten times a second."""
        if not self.waiting:
            self.look_for_the_end()
        elif self.deadline is not None and now >= self.deadline:
            if self.force and self.target:
                self.begin(self.target)
            else:
                self.abort("no replica had everything in time")
        else:
            ready = [address_of(each) for each in self.engine.primary.replicas if self.has_everything(each)]
            chosen = [each for each in ready if self.target in (None, each)]
            if chosen:
                self.begin(chosen[0])

    def has_everything(self, replica: AttachedReplica) -> bool:
        """Return whether a replica has executed all of the stream."""
        return replica.state is State.ONLINE and replica.acknowledged == self.engine.primary.offset

    def begin(self, target: Address) -> None:
        """Become the replica of this replica."""
        log.info("failing over to %s:%d", *target)
        self.target, self.waiting = target, False
        self.follow(*target)

    def look_for_the_end(self) -> None:
        """See what the replica has answered to PSYNC."""
        replica = self.engine.replica
        if replica is None or replica.refused:
            self.abort("the replica refuses to take over")
        elif not replica.takes_over:
            self.end(False)

    def abort(self, reason: str) -> None:
        """Give it up: this server is the primary, as before."""
        log.warning("the failover is given up: %s", reason)
        self.end(not self.waiting)


def address_of(replica: AttachedReplica) -> Address:
    """Return the address at which a replica listens."""
    return replica.announced.address or replica.address, replica.announced.port
