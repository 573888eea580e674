"""MONITOR: the clients that hear of every request. It knows no socket."""

import time

from .client import Client
from .command import ADMIN, SKIP_MONITOR, Command

ESCAPES = {byte: f"\\x{byte:02x}" for byte in range(256) if not 32 <= byte < 127}
ESCAPES |= {ord(sign): "\\" + letter for sign, letter in zip('\\"\n\r\t\a\b', '\\"nrtab', strict=True)}
SECRET = b"(redacted)"


class Monitors:
    """The clients that hear of each request that is run."""

    def __init__(self) -> None:
        self.clients: dict[Client, None] = {}

    def join(self, client: Client) -> None:
        """Have a client hear of what others ask."""
        client.monitoring = True
        self.clients[client] = None

    def leave(self, client: Client) -> None:
        """Have it hear no more of that."""
        client.monitoring = False
        self.clients.pop(client, None)

    def before(self, client: Client, command: Command, args: list[bytes]) -> None:
        """A request is going to be run: those who monitor hear of a script before they hear what it does."""
        if SKIP_MONITOR in command.flags:
            self._tell(client, command, args)

    def after(self, client: Client, command: Command, args: list[bytes]) -> None:
        """A request was run. What an administrator does is not shown to others."""
        if ADMIN not in command.flags and SKIP_MONITOR not in command.flags:
            self._tell(client, command, args)

    def _tell(self, client: Client, command: Command, args: list[bytes]) -> None:
        """Tell those who monitor, with what is secret left out."""
        said = " ".join(quoted(arg) for arg in without_secrets(command, args))
        line = f"{time.time():.6f} [{client.db.index} {'lua' if client.scripted else client.address}] {said}"
        for each in list(self.clients):  # who does not read is cut off meanwhile
            each.deliver(line)


def without_secrets(command: Command, args: list[bytes]) -> list[bytes]:
    """A request without the passwords that are in it."""
    if command.secrets is None:
        return args
    hidden = set(command.secrets(args))
    return [SECRET if at in hidden else each for at, each in enumerate(args)]


def quoted(arg: bytes) -> str:
    r"""A word as MONITOR shows it, and redis-cli takes it.

    >>> print(quoted(b'a\x00b\n"q"\xff'))
    "a\x00b\n\"q\"\xff"
    """
    return f'"{arg.decode("latin-1").translate(ESCAPES)}"'
