"""Closing clients that speak HTTP (`securityWarningCommand`): a web page may have sent them.

A web page can have its reader's browser send a request to any address, also to a server that only listens on loopback.
The lines of the request would be executed as inline commands, those in its body with arguments of the page's choice.
"""

from ..server_log import log
from .client import Client

HTTP = {b"post", b"host:"}  # how an HTTP request begins, and one of its header lines
MINUTE = 60_000  # milliseconds


class SecurityWarning:
    """Closes such clients, and writes one line about them to the server log each minute."""

    def __init__(self) -> None:
        self.warned: int | None = None  # when, by the steady clock in milliseconds

    def check(self, client: Client, args: list[bytes], now: int) -> None:
        """Close the client of a request that is a line of HTTP."""
        if args[0].lower() not in HTTP:
            return
        client.leaving = True
        client.hang_up()
        if self.warned is None or now - self.warned >= MINUTE:
            self.warned = now
            log.warning("a client that speaks HTTP was cut off: possibly an attack by way of a browser")
