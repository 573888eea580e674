"""CLIENT PAUSE, FAILOVER and SHUTDOWN: which requests have to wait, and until when."""

from ..protocol.errors import ReplyError
from .client import Client, about_to_run
from .command import MAY_REPLICATE, WRITE, Command, find

FOREVER = 2**53  # milliseconds


class Pause:
    """A time in which no request is executed, or none that may write."""

    def __init__(self) -> None:
        self.until = 0  # by the steady clock, in milliseconds; 0: there is no pause
        self.writes_only = True
        self._asked = 0  # `until` as CLIENT PAUSE has set it
        self._reasons: set[str] = set()  # for which writes wait, whatever clients say

    def begin(self, until: int, writes_only: bool) -> None:
        """Pause until `until`. A pause under way can only become longer, and can only hold more requests."""
        self.writes_only = writes_only and (self.writes_only or not self._asked)
        self._asked = max(self._asked, until)
        self.until = max(self.until, until)

    def end(self) -> None:
        """End the pause for which clients have asked."""
        self._asked, self.writes_only = 0, True
        self.until = FOREVER if self._reasons else 0

    def hold_writes(self, reason: str) -> None:
        """Let writes wait until `release_writes`."""
        self._reasons.add(reason)
        self.until = FOREVER

    def release_writes(self, reason: str) -> None:
        """Let writes go on, unless there is another reason to wait."""
        self._reasons.discard(reason)
        self.until = FOREVER if self._reasons else self._asked

    def holds(self, client: Client, args: list[bytes], now: int) -> bool:
        """Return whether this request has to wait. End the pause if its time is over."""
        if now >= self._asked:
            self.end()
        if not self.until:
            return False
        if client.replica is not None:
            return False
        if not self.writes_only:
            return True
        try:
            command = find(args)
        except ReplyError:
            return False
        return any(map(may_write, about_to_run(client, command)))


def may_write(command: Command) -> bool:
    """Return whether a command may write, or have effects elsewhere, as scripts and PUBLISH may."""
    return WRITE in command.flags or MAY_REPLICATE in command.flags
