"""`maxmemory`: how much the keys take by our estimate, and which of them go when that is too much.

The books are kept only while there is a limit, or after someone has asked how long a key was idle; without them this
costs two looks at a flag per command. The
estimate is that of `sizes.py`, made anew for each key that a command has changed, so that it falls when a key is
deleted. The size of the process does not: Python keeps memory that it may need again.
"""

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..data.memory import size_of
from ..data.store import Note, Place
from ..protocol.errors import out_of_memory
from .client import Client, about_to_run
from .command import DENYOOM, NO_TOUCH, Command

if TYPE_CHECKING:
    from .engine import Engine

BOOKS = 400  # bytes that keeping the books takes for each key
NEW = 5  # the frequency of a key that is new, so that it does not go at once
SLOWER = 10  # how much more often a key must be used to count as one more, the more it has been used (lfu-log-factor)
MINUTE = 60_000  # milliseconds in which a frequency falls by one (lfu-decay-time)


@dataclass(slots=True)
class Entry:
    """What the books say of a key."""

    size: int
    used: int  # when, in milliseconds
    often: int = NEW  # how often, on a logarithmic scale: 255 is about a million times

    def use(self, now: int) -> None:
        """The key is used once more."""
        self.often = self.frequency(now)
        if self.often < 255 and random.random() * (max(self.often - NEW, 0) * SLOWER + 1) < 1:
            self.often += 1
        self.used = now

    def frequency(self, now: int) -> int:
        """How often it has been used, less what it has lost since."""
        return max(self.often - (now - self.used) // MINUTE, 0)


class Urn:
    """Places of which some can be drawn at random, in no time, however many there are."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._where: dict[Place, int] = {}

    def put(self, place: Place) -> None:
        """Put a place in, unless it is in."""
        if place not in self._where:
            self._where[place] = len(self._places)
            self._places.append(place)

    def take(self, place: Place) -> None:
        """Take a place out, if it is in: the last one gets its place."""
        where = self._where.pop(place, None)
        if where is None:
            return
        last = self._places.pop()
        if last != place:
            self._places[where] = last
            self._where[last] = where

    def draw(self, count: int) -> list[Place]:
        """Draw so many, some perhaps more than once; they stay in."""
        return random.choices(self._places, k=count) if self._places else []


class Eviction:
    """The books on memory, and what follows from them."""

    def __init__(self, server: "Engine") -> None:
        self.server = server
        self.forget_all()

    def forget_all(self) -> None:
        """Begin anew: the next command that asks has all keys counted."""
        self.keeping = self.server.options.maxmemory > 0
        self.used = 0
        self.entries: dict[Place, Entry] | None = None
        self.all, self.volatile = Urn(), Urn()

    def admit(self, client: Client, command: Command, args: list[bytes]) -> None:
        """Make room, before this request is run. Raises ReplyError where that cannot be, and it might need more."""
        if self.entries is None:
            self.count_all()
        self.see(client, command, args)
        if not self.full:
            return
        while self.full and (place := self.victim()) is not None:
            self.evict(place)
        self.server.complete(command, args)
        self.server.settle()
        if self.full and any(DENYOOM in each.flags for each in about_to_run(client, command)):
            raise out_of_memory()

    @property
    def full(self) -> bool:
        """Whether the keys take more than they may."""
        return 0 < self.server.options.maxmemory < self.used

    def entry(self, place: Place) -> Entry | None:
        """What the books say of a key; they are begun, if they were not kept until now."""
        self.keeping = True
        if self.entries is None:
            self.count_all()
        assert self.entries is not None
        return self.entries.get(place)

    def count_all(self) -> None:
        """Enter every key into the books."""
        self.entries = {}
        for store in self.server.stores:
            for key, _, _ in store.items():
                self.enter((store.index, key))

    def changed(self, notes: list[Note]) -> None:
        """Enter what has changed."""
        if self.entries is not None:
            for place in {(note.store.index, key) for note in notes for key in note.keys}:
                self.enter(place)

    def enter(self, place: Place) -> None:
        """Enter a key as it is now, or cross it out."""
        assert self.entries is not None
        index, key = place
        store = self.server.stores[index]
        value = store.held(key)
        entry = self.entries.get(place)
        if value is None:
            if entry is not None:
                self.used -= entry.size
                del self.entries[place]
                self.all.take(place)
                self.volatile.take(place)
            return
        if entry is None:
            entry = self.entries[place] = Entry(0, self.server.steady())
            self.all.put(place)
        size = size_of(key, value) + BOOKS if self.server.options.maxmemory else 0
        self.used += size - entry.size
        entry.size = size
        (self.volatile.put if store.deadline(key) is not None else self.volatile.take)(place)

    def see(self, client: Client, command: Command, args: list[bytes]) -> None:
        """Remember that the keys of a request have been used, and not only looked at from outside."""
        assert self.entries is not None
        if NO_TOUCH in command.flags:
            return
        for key in command.keys_in(args):
            entry = self.entries.get((client.db.index, key))
            if entry is not None:
                entry.use(self.server.steady())

    def victim(self) -> Place | None:
        """Choose who goes: the worst of a few that are drawn at random; None where nobody may go."""
        options = self.server.options
        whom, _, why = options.maxmemory_policy.partition("-")
        if not why:
            return None  # noeviction
        urn = self.all if whom == "allkeys" else self.volatile
        drawn = urn.draw(1 if why == "random" else options.maxmemory_samples)
        return min(drawn, key=lambda place: self.worth(place, why), default=None)

    def worth(self, place: Place, why: str) -> int:
        """How much a key is worth keeping."""
        assert self.entries is not None
        entry, now = self.entries[place], self.server.steady()
        if why == "ttl":
            return self.server.stores[place[0]].deadline(place[1]) or 0
        return entry.frequency(now) if why == "lfu" else entry.used

    def evict(self, place: Place) -> None:
        """Remove a key: the log and who listens to the keyspace hear of it."""
        index, key = place
        store = self.server.stores[index]
        if store.delete(key):
            store.changed(key, log=(b"DEL", key), event="evicted")
            self.server.counters.evicted += 1
        self.enter(place)
