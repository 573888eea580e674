"""CLIENT PAUSE: which requests have to wait, and until when."""

from ..protocol.errors import ReplyError
from .client import Client, about_to_run
from .command import MAY_REPLICATE, WRITE, Command, find


class Pause:
    """For some time no request is executed, or none that may write."""

    def __init__(self) -> None:
        self.until = 0  # by the steady clock, in milliseconds; 0: there is no pause
        self.writes_only = True

    def begin(self, until: int, writes_only: bool) -> None:
        """Pause until then. While there is a pause already, it can only become longer, or stricter."""
        self.writes_only = writes_only and (self.writes_only or not self.until)
        self.until = max(self.until, until)

    def end(self) -> None:
        """Go on."""
        self.until = 0

    def holds(self, client: Client, args: list[bytes], now: int) -> bool:
        """Whether this request has to wait. When the time is over, the pause ends by itself."""
        if now >= self.until:
            self.end()
            return False
        if not self.writes_only:
            return True
        try:
            command = find(args)
        except ReplyError:
            return False
        return any(map(may_write, about_to_run(client, command)))


def may_write(command: Command) -> bool:
    """Whether a command may write, or have effects elsewhere: scripts, and PUBLISH."""
    return WRITE in command.flags or MAY_REPLICATE in command.flags
