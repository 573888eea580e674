"""What the server remembers of one client while it is connected. No socket: commands know clients, not connections."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ..data.store import Place, Store
from ..protocol.writer import Value
from .command import RUNS_QUEUE, Command
from .wait import Wait


def nowhere(value: Value) -> None:
    """Where there is no connection, nothing is delivered."""


def nothing() -> None:
    """Where there is no connection, none is closed."""


@dataclass(eq=False)
class Parked:
    """A client's command that waits."""

    client: "Client"
    command: Command
    args: list[bytes]
    wait: Wait
    places: tuple[Place, ...]
    deadline: int | None  # by the steady clock, in milliseconds


@dataclass(eq=False)
class Client:
    """One client, from its first byte to its last."""

    id: int  # never given twice while the server runs
    db: Store  # the database that it selected
    name: bytes = b""  # what it called itself with CLIENT SETNAME
    protocol: int = 2  # the RESP version it asked for with HELLO
    leaving: bool = False  # it said QUIT: answer, and hang up
    authenticated: bool = True  # it said the password, or there was none when it came
    address: str = ""  # its end of the connection, host:port
    local_address: str = ""  # our end
    library: bytes = b""  # what it told with CLIENT SETINFO: its library's name …
    library_version: bytes = b""  # … and version
    since: int = 0  # when it came, by the steady clock, in milliseconds
    active: int = 0  # when it last sent a request, or was told something
    last_command: str = "NULL"  # and what that was

    deliver: Callable[[Value], None] = nowhere  # send it something that is no answer to the request under way
    hang_up: Callable[[], None] = nothing  # close its connection, whatever it has still to read
    resume: Callable[[], None] = nothing  # a pause is over: execute the request of its that had to wait
    scripted: bool = False  # it is no client, but a script of one
    monitoring: bool = False  # it hears what others ask
    mute: float = 0  # how many answers it does not want; infinite after CLIENT REPLY OFF
    no_evict: bool = False  # it said CLIENT NO-EVICT ON
    queue: list[tuple[Command, list[bytes]]] | None = None  # after MULTI: what EXEC will run
    spoiled: bool = False  # a request could not be queued: EXEC will refuse
    watched: dict[Place, bool] = field(default_factory=dict)  # the keys it watches; whether each was overdue then …
    touched: bool = False  # … and whether one of them has changed since
    channels: dict[bytes, None] = field(default_factory=dict)  # what it subscribed to, in order
    patterns: dict[bytes, None] = field(default_factory=dict)
    parked: Parked | None = None  # the command of its that waits for a key

    def admitted(self, password: str) -> bool:
        """Whether it has said the password, or there is none any more (Redis: `authRequired`)."""
        return self.authenticated or not password

    def let_go(self) -> None:
        """Forget the connection, which knows the client: what knows each other waits for Python's collector to go."""
        self.deliver, self.hang_up, self.resume = nowhere, nothing, nothing

    @property
    def listening(self) -> bool:
        """Whether it subscribed to anything. In RESP2 it can then do little else."""
        return bool(self.channels or self.patterns)


def about_to_run(client: Client, command: Command) -> list[Command]:
    """What a client is about to run: the command; and if that is EXEC, all that is queued."""
    queued = client.queue if RUNS_QUEUE in command.flags else None
    return [command, *(each for each, _ in queued or ())]
