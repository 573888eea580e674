"""Who waits for a key: parked commands, first come first served. It knows no command by name and no socket."""

from collections import OrderedDict
from collections.abc import Iterator

from ..data.store import Place
from .client import Parked


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
        """Return the command that has waited longest at a place for a value of this kind and can be served, or None."""
        line = self.lines.get(place, {}).get(kind) if kind else None
        return next((parked for parked in line if parked.wait.ready(place[1])), None) if line else None

    def __contains__(self, place: Place) -> bool:
        return place in self.lines

    def __iter__(self) -> Iterator[Place]:
        return iter(self.lines)

    def __len__(self) -> int:
        """The number of places where someone waits."""
        return len(self.lines)
