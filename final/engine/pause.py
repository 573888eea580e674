"""CLIENT PAUSE and FAILOVER: which requests have to wait, and until when."""

from ..protocol.errors import ReplyError
from .client import Client, about_to_run
from .command import MAY_REPLICATE, WRITE, Command, find

FOREVER = 2**53  # milliseconds


class Pause:
    """A time in which no request is executed, or none that may write."""

    def __init__(self) -> None:
        self.until = 0  # by the steady clock, in milliseconds; 0: there is no pause
        self.writes_only = True
        self._least = 0  # FAILOVER: `until` at the earliest, whatever clients say

    def begin(self, until: int, writes_only: bool) -> None:
        """Pause until `until`. A pause under way can only become longer, and can only hold more requests."""
        self.writes_only = writes_only and (self.writes_only or not self.until)
        self.until = max(self.until, until)

    def end(self) -> None:
        """End the pause, unless writes wait for a failover."""
        self.until, self.writes_only = self._least, True

    def hold_writes(self) -> None:
        """Let writes wait until `release_writes`."""
        self._least = FOREVER
        self.begin(FOREVER, writes_only=True)

    def release_writes(self) -> None:
        """The failover is over: so is the pause."""
        self._least = 0
        self.end()

    def holds(self, client: Client, args: list[bytes], now: int) -> bool:
        """Return whether this request has to wait. End the pause if its time is over."""
        if now >= self.until:
            self.end()
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
