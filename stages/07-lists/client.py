"""What the server remembers of one client while it is connected. No socket: commands know clients, not connections."""

from collections.abc import Callable
from dataclasses import dataclass

from writer import Value


def ignore(reply: Value) -> None:
    """What a client without a connection does with a reply."""


@dataclass(eq=False)
class Client:
    """One client, from its first byte to its last."""

    id: int  # never given twice while the server runs
    name: bytes = b""  # what it called itself with CLIENT SETNAME
    protocol: int = 2  # the RESP version it asked for with HELLO
    leaving: bool = False  # it said QUIT: answer, and hang up
    deliver: Callable[[Value], None] = ignore  # sends it a reply that it has waited for
