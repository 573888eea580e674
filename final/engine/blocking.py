"""Commands that wait for a key, first come first served (`blocked.c`). It knows no command by name, and no socket."""

from collections import OrderedDict
from collections.abc import Iterator

from ..data.store import Place
from ..protocol.writer import NULL_ARRAY, Value
from .client import Client, Parked
from .command import Command
from .wait import Wait


class Waiting:
    """The parked commands of each place and type of value, in the order in which they came."""

    def __init__(self) -> None:
        # No place without a line, no line without a command. A line is an OrderedDict because finding the first key
        # of a plain dictionary takes longer with every key that was removed in front of it.
        self.lines: dict[Place, dict[type, OrderedDict[Parked, None]]] = {}

    def park(self, client: Client, command: Command, args: list[bytes], wait: Wait, now: int) -> None:
        """Let a client's command wait, behind those that wait already, for each of its keys.

        `now` is the time by the steady clock, in milliseconds.
        """
        places = tuple((client.db.index, key) for key in dict.fromkeys(wait.keys))
        deadline = now + wait.timeout if wait.timeout else None
        client.parked = Parked(client, command, args, wait, places, deadline)
        for place in places:
            self.lines.setdefault(place, {}).setdefault(wait.kind, OrderedDict())[client.parked] = None

    def unpark(self, client: Client) -> None:
        """Take a client's command out of all its lines: it is served, timed out, or its client has disconnected."""
        parked, client.parked = client.parked, None
        if parked is None:
            return
        kind = parked.wait.kind
        for place in parked.places:
            lines = self.lines.get(place, {})
            if kind in lines:
                lines[kind].pop(parked, None)
                if not lines[kind]:
                    del lines[kind]
                if not lines:
                    del self.lines[place]

    def unblock(self, client: Client, answer: Value) -> bool:
        """End a client's wait with this answer; return whether it did wait."""
        if client.parked is None:
            return False
        self.unpark(client)
        client.deliver(answer)
        return True

    def time_out(self, parked: Parked) -> None:
        """The timeout of a parked command is over: answer with the null array, whatever a MULTI would answer with."""
        if parked.client.parked is parked:
            self.unblock(parked.client, NULL_ARRAY)

    def first(self, place: Place, kind: type | None) -> Parked | None:
        """Return the command that has waited longest for a value of this type at a place and can be served, or None."""
        line = self.lines.get(place, {}).get(kind) if kind else None
        return next((parked for parked in line if parked.wait.ready(place[1])), None) if line else None

    def __contains__(self, place: Place) -> bool:
        return place in self.lines

    def __iter__(self) -> Iterator[Place]:
        return iter(self.lines)

    def __len__(self) -> int:
        """The number of places where a command waits."""
        return len(self.lines)
