"""Who waits for a key: parked commands, first come first served. It knows no command by name and no socket."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, isinf
from typing import TYPE_CHECKING

from .arithmetic import LONGEST, long_double, parse_float
from .errors import ReplyError
from .store import Store
from .writer import Value

if TYPE_CHECKING:
    from .client import Client
    from .command import Command

Place = tuple[int, bytes]  # the number of a database, and a key in it


@dataclass(frozen=True)
class Wait:
    """What a command answers with when it cannot yet: "call me when there is such a value at one of these keys".

    A blocking pop is the pop, called a second time: see `serve_or_wait`.
    """

    keys: tuple[bytes, ...]
    kind: type  # of value that it waits for: while something else is at the key, it goes on waiting
    timeout: int  # milliseconds; 0: for ever
    otherwise: Value  # the answer where nothing may wait: in MULTI, in a script
    serve: Callable[[bytes], Value]  # what to do with the key that has it now


def serve_or_wait(
    db: Store, keys: Sequence[bytes], kind: type, serve: Callable[[bytes], Value], timeout: bytes, otherwise: Value
) -> Value:
    """Serve the client from the first of the keys that holds a value of this kind; where none does, let it wait.

    The first is the one that it named first. Once it waits, the key that is filled first comes first: so Redis 7.0
    has it, and that is why `serve` is told which, and the command is not just run again.
    """
    limit = parse_timeout(timeout)
    for key in keys:
        if db.get(key, kind) is not None:
            return serve(key)
    return Wait(tuple(keys), kind, limit, otherwise, serve)


def parse_timeout(word: bytes) -> int:
    """Read a timeout in seconds, with decimals: milliseconds, rounded up.

    >>> parse_timeout(b"0.0001"), parse_timeout(b"2")
    (1, 2000)
    """
    seconds = parse_float(word)
    if seconds is None or len(word) >= LONGEST or (isinf(seconds) and long_double(word) is None):
        raise ReplyError("ERR timeout is not a float or out of range")
    if not -0.001 < seconds < 2**63 / 1000:  # what is too long overflows in Redis, and has become negative by then
        raise ReplyError("ERR timeout is negative")
    return ceil(seconds * 1000)


@dataclass(eq=False)
class Parked:
    """A client's command that waits."""

    client: "Client"
    command: "Command"
    words: list[bytes]
    wait: Wait
    places: tuple[Place, ...]
    deadline: int | None  # by the steady clock, in milliseconds


class Waiting:
    """The parked commands of each place and kind of value, in the order in which they came."""

    def __init__(self) -> None:
        # No place without a line, no line without a command. To find the first key of a plain dictionary takes longer
        # with every one that stood before it and has gone.
        self.lines: dict[Place, dict[type, OrderedDict[Parked, None]]] = {}

    def park(self, parked: Parked) -> None:
        """Let a command wait at the end of the line of each of its keys."""
        for place in parked.places:
            self.lines.setdefault(place, {}).setdefault(parked.wait.kind, OrderedDict())[parked] = None

    def leave(self, parked: Parked) -> None:
        """Take a command out of all its lines: it was served, its time was up, or its client has gone."""
        kind = parked.wait.kind
        for place in parked.places:
            lines = self.lines.get(place, {})
            if kind in lines:
                lines[kind].pop(parked, None)
                if not lines[kind]:
                    del lines[kind]
                if not lines:
                    del self.lines[place]

    def first(self, place: Place, kind: type | None) -> Parked | None:
        """The one who has waited longest at a place for a value of this kind, or None."""
        line = self.lines.get(place, {}).get(kind) if kind else None
        return next(iter(line)) if line else None

    def __contains__(self, place: Place) -> bool:
        return place in self.lines

    def __iter__(self) -> Iterator[Place]:
        return iter(self.lines)

    def __len__(self) -> int:
        """The number of places where someone waits."""
        return len(self.lines)
