"""What the server remembers of one client while it is connected. No socket: commands know clients, not connections."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

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
    queue: list[Any] | None = None  # between MULTI and EXEC: pairs of a command and its request
    broken: bool = False  # a request was refused since MULTI: EXEC must not execute the others
    watched: set[bytes] = field(default_factory=set)  # keys that it watches
    dirty: bool = False  # one of them was changed
    deliver: Callable[[Value], None] = ignore  # sends it a reply that it has waited for
