"""What the server remembers of one client while it is connected. No socket: commands know clients, not connections."""

from dataclasses import dataclass


@dataclass(eq=False)
class Client:
    """One client, from its first byte to its last."""

    id: int  # never given twice while the server runs
    name: bytes = b""  # what it called itself with CLIENT SETNAME
    protocol: int = 2  # the RESP version it asked for with HELLO
    leaving: bool = False  # it said QUIT: answer, and hang up
