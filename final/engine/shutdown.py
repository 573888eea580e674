"""The end of the server, by SHUTDOWN or a signal: replicas get the last changes, then a snapshot is written."""

from collections.abc import Callable
from typing import Protocol

from ..config.options import Options
from ..log.snapshot import Snapshots
from ..protocol.errors import ReplyError
from ..replication.primary import Primary
from ..server_log import log
from .blocking import Waiting
from .client import Client, Parked
from .pause import Pause

REASON = "shutdown"  # for which writes wait


class ShutdownNeeds(Protocol):
    """What a shutdown needs of the engine."""

    options: Options
    clients: dict[int, Client]
    waiting: Waiting
    pause: Pause
    primary: Primary
    snapshots: Snapshots
    steady: Callable[[], int]
    stop: Callable[[], None]


class Shutdown:
    """Stops the server, at once or when its replicas have all changes. A second request does not change the first."""

    def __init__(self, engine: ShutdownNeeds) -> None:
        self.engine = engine
        self.told = False  # a signal has asked for a shutdown; the next one ends the process
        self.deadline: int | None = None  # until when replicas are awaited, by the steady clock; None: they are not
        self.save: bool | None = None  # write a snapshot; None: if there are save points
        self.force = False  # end even if that fails
        self.parked: list[Parked] = []  # the clients that wait for it

    def begin(self, save: bool | None = None, now: bool = False, force: bool = False) -> None:
        """Stop. First, unless it has to be `now`, replicas have `shutdown-timeout` seconds, in which writes wait."""
        if self.deadline is not None:
            return
        self.save, self.force = save, force
        primary, patience = self.engine.primary, self.engine.options.shutdown_timeout * 1000
        if now or not patience or primary.all_acknowledged:
            self.finish()
            return
        log.info("waiting for replicas before shutting down")
        primary.ask_for_acks()
        self.engine.pause.hold_writes(REASON)
        self.deadline = self.engine.steady() + patience

    def tick(self) -> None:
        """Go on if the replicas have all changes, or have no more time. Called about ten times a second."""
        engine = self.engine
        if self.deadline is not None and (engine.primary.all_acknowledged or engine.steady() >= self.deadline):
            self.finish()

    def finish(self) -> None:
        """Write the snapshot, and stop; but not if that fails."""
        wanted = bool(self.engine.options.save) if self.save is None else self.save
        if wanted and not self.engine.snapshots.save_at_end() and not self.force:
            log.error("the snapshot cannot be written: the server goes on")
            self.give_up()
        else:
            self.engine.stop()

    def abort(self) -> None:
        """SHUTDOWN ABORT: wait for replicas no more, and go on. Raises ReplyError if nothing is to be aborted."""
        if self.deadline is None:
            raise ReplyError("ERR No shutdown in progress.")
        self.give_up()

    def give_up(self) -> None:
        """Go on: writes need not wait, and clients that have asked for a shutdown get an error."""
        self.told, self.deadline = False, None
        self.engine.pause.release_writes(REASON)
        parked, self.parked = self.parked, []
        for each in parked:
            if each.client.parked is each:
                self.engine.waiting.unblock(each.client, ReplyError("ERR Errors trying to SHUTDOWN. Check logs."))
        for client in list(self.engine.clients.values()):
            client.resume()
