"""What the server remembers of one client while it is connected. No socket: commands know clients, not connections."""

from dataclasses import dataclass

from .store import Store


@dataclass(eq=False)
class Client:
    """One client, from its first byte to its last."""

    id: int  # never given twice while the server runs
    db: Store  # the database that it selected
    name: bytes = b""  # what it called itself with CLIENT SETNAME
    protocol: int = 2  # the RESP version it asked for with HELLO
    leaving: bool = False  # it said QUIT: answer, and hang up
    authenticated: bool = True  # it said the password, or there is none
    address: str = ""  # its end of the connection, host:port
    local_address: str = ""  # our end
    library: bytes = b""  # what it told with CLIENT SETINFO: its library's name …
    library_version: bytes = b""  # … and version
    since: int = 0  # when it came, in milliseconds since 1970
    active: int = 0  # when it last sent a request
    last_command: str = "NULL"  # and what that was
