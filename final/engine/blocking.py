"""Commands that wait (`blocked.c`), mostly for a key: the one that has waited longest for it is served first.

A place is a database's index and a key. This module knows no command by name, and no socket.
"""

from collections import OrderedDict
from collections.abc import Iterator

from ..data.unit import Place
from ..protocol.writer import NO_REPLY, Replies, Value
from .client import Client, Parked
from .command import Command
from .counters import Counters
from .wait import Wait

Line = tuple[type, bool]  # the type of value that commands wait for, and whether they are told that it is gone


def line_of(wait: Wait) -> Line:
    """Return the line to which a command belongs."""
    return wait.kind, wait.if_gone


class Waiting:
    """The parked commands: at each place a line (a queue) for each `Line`, the longest wait first."""

    def __init__(self, counters: Counters) -> None:
        self.counters = counters
        # Each place in `lines` has at least one line, and each line at least one command. A line is an OrderedDict:
        # to find the first key of a plain dictionary takes longer with every key that was removed before it.
        self.lines: dict[Place, dict[Line, OrderedDict[Parked, None]]] = {}
        self.keyless: OrderedDict[Parked, None] = OrderedDict()  # those that wait for something else than a key

    def park(self, client: Client, command: Command, args: list[bytes], wait: Wait, now: int) -> Replies:
        """Make a client's command wait for each key in `wait.keys`: add it to the end of the line of each key.

        `now` is the time by the steady clock, in milliseconds; the timeout of `wait` begins then. At the end
        `wait.begin` is called: it may end the wait already. Return NO_REPLY.
        """
        places = tuple((client.db.index, key) for key in dict.fromkeys(wait.keys))
        deadline = now + wait.timeout if wait.timeout else None
        client.parked = Parked(client, command, args, wait, places, deadline)
        for place in places:
            self.lines.setdefault(place, {}).setdefault(line_of(wait), OrderedDict())[client.parked] = None
        if not places:
            self.keyless[client.parked] = None
        wait.begin()
        return NO_REPLY

    def unpark(self, client: Client) -> None:
        """Remove the command for which a client waits from all lines. Does nothing if the client waits for none."""
        parked, client.parked = client.parked, None
        if parked is None:
            return
        self.keyless.pop(parked, None)
        line = line_of(parked.wait)
        for place in parked.places:
            lines = self.lines.get(place, {})
            if line in lines:
                lines[line].pop(parked, None)
                if not lines[line]:
                    del lines[line]
                if not lines:
                    del self.lines[place]

    def unblock(self, client: Client, answer: Value) -> None:
        """End the wait of a client, and send it `answer`."""
        if client.parked is not None:
            self.counters.served(client.parked.command.name, client.parked.took, answer)
        self._release(client, answer)

    def _release(self, client: Client, answer: Value) -> None:
        self.unpark(client)
        client.say(answer)
        client.end_request()

    def time_out(self, parked: Parked) -> None:
        """Answer a parked command, whose timeout is over. Does nothing if it no longer waits."""
        if parked.client.parked is parked:
            self.counters.calls.end_in_vain(parked.command.name, parked.took)
            self._release(parked.client, parked.wait.timed_out())

    def look(self) -> None:
        """Something has happened for which commands wait that wait for no key: answer those that are `ready`."""
        for parked in list(self.keyless):
            if parked.wait.ready(b""):
                self.unblock(parked.client, parked.wait.serve(b""))

    def first(self, place: Place, kind: type | None) -> Parked | None:
        """Return the command to serve first at `place`, where a value of type `kind` is; None if there is none.

        It is the one that has waited longest for this type, and can use the value (`wait.ready`), those first that are
        not told when it is gone. Or it is one that has waited for another type and is told that there is none
        (`wait.if_gone`). `kind` is None if the key is missing.
        """
        lines = self.lines.get(place, {})
        for if_gone in (False, True):
            for parked in lines.get((kind, if_gone), ()) if kind else ():
                if parked.wait.ready(place[1]):
                    return parked
        return next((next(iter(lines[line])) for line in lines if line[1] and line[0] is not kind), None)

    def __contains__(self, place: Place) -> bool:
        return place in self.lines

    def __iter__(self) -> Iterator[Place]:
        return iter(self.lines)

    def __len__(self) -> int:
        """The number of places where a command waits."""
        return len(self.lines)
