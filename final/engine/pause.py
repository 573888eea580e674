"""CLIENT PAUSE, FAILOVER and SHUTDOWN: which requests have to wait, and until when."""

from typing import Protocol

from ..data.unit import Unit
from ..protocol.errors import ReplyError
from .client import Client
from .command import MAY_REPLICATE, RUNS_QUEUE, WRITE, Command, find

FOREVER = 2**53  # milliseconds


class PauseNeeds(Protocol):
    """What a pause needs of the engine."""

    unit: Unit


class Pause:
    """A time in which no request is executed, or none that may write. Expired keys stay, and nothing is evicted."""

    def __init__(self, engine: PauseNeeds) -> None:
        self.engine = engine
        self.until = 0  # by the steady clock, in milliseconds; 0: there is no pause
        self.writes_only = True
        self._asked = 0  # `until` as CLIENT PAUSE has set it
        self._reasons: set[str] = set()  # for which writes wait, whatever clients say

    def begin(self, until: int, writes_only: bool) -> None:
        """Pause until `until`. A pause under way can only become longer, and can only hold more requests."""
        self.writes_only = writes_only and (self.writes_only or not self._asked)
        self._asked = max(self._asked, until)
        self._until(max(self.until, until))

    def end(self) -> None:
        """End the pause for which clients have asked."""
        self._asked, self.writes_only = 0, True
        self._until(FOREVER if self._reasons else 0)

    def hold_writes(self, reason: str) -> None:
        """Let writes wait until `release_writes`."""
        self._reasons.add(reason)
        self._until(FOREVER)

    def release_writes(self, reason: str) -> None:
        """Let writes go on, unless there is another reason to wait."""
        self._reasons.discard(reason)
        self._until(FOREVER if self._reasons else self._asked)

    def _until(self, until: int) -> None:
        self.until = until
        self.engine.unit.leave_expiry("pause", bool(until))

    def under_way(self, now: int) -> bool:
        """Return whether there is a pause. End that of clients if its time is over."""
        if self._asked and now >= self._asked:
            self.end()
        return bool(self.until)

    def holds(self, client: Client, args: list[bytes], now: int) -> bool:
        """Return whether this request has to wait. End the pause if its time is over."""
        if not self.under_way(now) or client.replica is not None:
            return False
        if not self.writes_only:
            return True
        try:
            command = find(args)
        except ReplyError:
            return False
        queued = client.queue if RUNS_QUEUE in command.flags else None
        return any(self.may_write(*each) for each in [(command, args), *(queued or ())])

    def may_write(self, command: Command, args: list[bytes]) -> bool:
        """Return whether a request may write, or have effects elsewhere, as PUBLISH may, and scripts without flags."""
        if command.writes is not None and (told := command.writes(self.engine, args)) is not None:
            return told
        return WRITE in command.flags or MAY_REPLICATE in command.flags
