"""MONITOR: the clients to which every request is sent. It knows no socket."""

import time

from ..protocol.inline import quote
from .client import Client
from .command import ADMIN, SKIP_MONITOR, Command

REDACTED = b"(redacted)"


class Monitors:
    """The clients in MONITOR mode."""

    def __init__(self) -> None:
        self.clients: dict[Client, None] = {}

    def add(self, client: Client) -> None:
        """Send this client each request from now on."""
        client.monitoring = True
        self.clients[client] = None

    def remove(self, client: Client) -> None:
        """Send this client no more requests."""
        client.monitoring = False
        self.clients.pop(client, None)

    def before(self, client: Client, command: Command, args: list[bytes]) -> None:
        """Send a request that is about to run, if it has the flag SKIP_MONITOR: a script comes before its commands."""
        if SKIP_MONITOR in command.flags:
            self._send(client, command, args)

    def after(self, client: Client, command: Command, args: list[bytes]) -> None:
        """Send a request that has run, unless `before` has sent it. Requests of an administrator are not shown."""
        if ADMIN not in command.flags and SKIP_MONITOR not in command.flags:
            self._send(client, command, args)

    def _send(self, client: Client, command: Command, args: list[bytes]) -> None:
        """Send a request as one line, without its secrets (`replicationFeedMonitors`)."""
        request = " ".join(quote(arg) for arg in redact(command, args))
        line = f"{time.time():.6f} [{client.db.index} {'lua' if client.is_script else client.address}] {request}"
        for each in list(self.clients):  # a copy: `deliver` disconnects clients that do not read
            if not each.closing:  # after its QUIT it is sent no more
                each.say(line)


def redact(command: Command, args: list[bytes]) -> list[bytes]:
    """Return a request with its passwords replaced."""
    if command.secrets is None:
        return args
    hidden = set(command.secrets(args))
    return [REDACTED if at in hidden else each for at, each in enumerate(args)]
