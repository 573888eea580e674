"""Who waits for a key: parked commands, first come first served. It knows no command by name and no socket."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .writer import Value

if TYPE_CHECKING:
    from .client import Client
    from .command import Command

Place = tuple[int, bytes]  # the number of a database, and a key in it


@dataclass(frozen=True)
class Wait:
    """What a command answers with when it cannot yet: "run me again when one of these keys has changed".

    It is run again, whole, as it came; so a blocking pop is the pop, and nothing is written twice.
    """

    keys: tuple[bytes, ...]
    kind: type  # of value that it waits for: while something else is at the key, it goes on waiting
    timeout: float  # seconds; 0: for ever
    otherwise: Value  # the answer when the time is up, or where nothing may wait: in MULTI, in a script


@dataclass(eq=False)
class Parked:
    """A client's command that waits."""

    client: "Client"
    command: "Command"
    words: list[bytes]
    wait: Wait
    places: tuple[Place, ...]
    deadline: int | None  # milliseconds since 1970


class Waiting:
    """The parked commands of each place, in the order in which they came."""

    def __init__(self) -> None:
        self._lines: dict[Place, dict[Parked, None]] = {}

    def park(self, parked: Parked) -> None:
        """Let a command wait at the end of the line of each of its keys."""
        for place in parked.places:
            self._lines.setdefault(place, {})[parked] = None

    def leave(self, parked: Parked) -> None:
        """Take a command out of all its lines: it was served, its time was up, or its client has gone."""
        for place in parked.places:
            line = self._lines.get(place)
            if line is not None:
                line.pop(parked, None)
                if not line:
                    del self._lines[place]

    def at(self, place: Place) -> Iterator[Parked]:
        """Those who wait at a place, first come first; the line may change meanwhile."""
        for parked in list(self._lines.get(place, ())):
            if parked in self._lines.get(place, ()):
                yield parked

    def __contains__(self, place: Place) -> bool:
        return place in self._lines

    def __len__(self) -> int:
        """The number of places where someone waits."""
        return len(self._lines)
