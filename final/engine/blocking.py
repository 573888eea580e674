"""Who waits for a key: parked commands, first come first served. It knows no command by name and no socket."""

from collections.abc import Iterator

from ..data.store import Place
from .client import Parked


class Waiting:
    """The parked commands of each place, in the order in which they came."""

    def __init__(self) -> None:
        self.lines: dict[Place, dict[Parked, None]] = {}  # no place without one

    def park(self, parked: Parked) -> None:
        """Let a command wait at the end of the line of each of its keys."""
        for place in parked.places:
            self.lines.setdefault(place, {})[parked] = None

    def leave(self, parked: Parked) -> None:
        """Take a command out of all its lines: it was served, its time was up, or its client has gone."""
        for place in parked.places:
            line = self.lines.get(place)
            if line is not None:
                line.pop(parked, None)
                if not line:
                    del self.lines[place]

    def first(self, place: Place) -> Parked | None:
        """Return the command that has waited longest at a place and can be served now, or None."""
        return next((parked for parked in self.lines.get(place, ()) if parked.wait.ready(place[1])), None)

    def __contains__(self, place: Place) -> bool:
        return place in self.lines

    def __iter__(self) -> Iterator[Place]:
        return iter(self.lines)

    def __len__(self) -> int:
        """The number of places where someone waits."""
        return len(self.lines)
