"""`maxmemory`: how much memory the keys take by our estimate, and which of them to evict (`evict.c`).

It names victims; `make_room.py` evicts them. The sizes are kept only while there is a limit, and how often keys are
used only while there is one, or the policy is LFU. A size is that of `data/memory.py`, estimated again for each key
that a command has changed, so that the sum falls when a key is deleted. The size of the process does not fall: Python
keeps memory that it may need again.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from ..config.options import Options
from ..data.memory import size_of
from ..data.store import Store
from ..data.unit import Note, Place
from .command import NO_TOUCH, Command

PER_KEY = 400  # bytes that an entry takes, with its places in the two `Urn`s
EMPTY = 860 << 10  # bytes that a Redis without keys takes, of what `maxmemory` allows
NEW = 5  # the frequency of a key that is new, so that it does not go at once
MINUTE = 60_000  # milliseconds


@dataclass(slots=True)
class Entry:
    """Size and use of a key."""

    size: int  # bytes
    used: int  # when it was last used, in milliseconds by the steady clock: more exact than the store knows it
    often: int = NEW  # how often, on a logarithmic scale: 255 is about a million times

    def use(self, now: int, options: Options) -> None:
        """Count one more use: the more it has been used, the less likely (`LFULogIncr`)."""
        self.often = self.frequency(now, options)
        if self.often < 255 and random.random() * (max(self.often - NEW, 0) * options.lfu_log_factor + 1) < 1:
            self.often += 1
        self.used = now

    def frequency(self, now: int, options: Options) -> int:
        """Return how often it has been used, less one for each `lfu-decay-time` since (`LFUDecrAndReturn`)."""
        if not options.lfu_decay_time:
            return self.often
        return max(self.often - (now // MINUTE - self.used // MINUTE) // options.lfu_decay_time, 0)


class Urn:
    """A set of places from which some can be drawn at random, in constant time."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._where: dict[Place, int] = {}

    def put(self, place: Place) -> None:
        """Add a place."""
        if place not in self._where:
            self._where[place] = len(self._places)
            self._places.append(place)

    def take(self, place: Place) -> None:
        """Remove a place, if it is in; the last one of the list takes its index."""
        where = self._where.pop(place, None)
        if where is None:
            return
        last = self._places.pop()
        if last != place:
            self._places[where] = last
            self._where[last] = where

    def draw(self, count: int) -> list[Place]:
        """Return `count` random places, some perhaps more than once; they stay in."""
        return random.choices(self._places, k=count) if self._places else []


class Eviction:
    """Size and last use of each key, and the choice of victims."""

    def __init__(self, options: Options, stores: list[Store], steady: Callable[[], int]) -> None:
        """`steady` is the clock by which idle times are counted, in milliseconds."""
        self.options = options
        self.stores = stores
        self.steady = steady
        self.forget_all()

    def forget_all(self) -> None:
        """Forget all entries. The keys are counted again when an entry is next needed."""
        self.keeping = self.options.maxmemory > 0 or self.options.lfu
        self.used = 0  # bytes of all keys
        self.entries: dict[Place, Entry] | None = None  # None: the keys are not counted yet
        self.all, self.volatile = Urn(), Urn()

    @property
    def full(self) -> bool:
        """Whether the keys take more memory than `maxmemory` allows."""
        return 0 < self.options.maxmemory < self.used + EMPTY

    def frequency(self, place: Place) -> int:
        """Return how often a key was used, on the scale of LFU."""
        entry = self.counted().get(place) or Entry(0, self.stores[place[0]].since)
        return entry.frequency(self.steady(), self.options)

    def restored(self, place: Place, idle: int | None, often: int | None) -> None:
        """Note how a key was used before it was restored: for how many milliseconds not at all, and how often."""
        store, now = self.stores[place[0]], self.steady()
        if idle is not None:
            store.use(place[1], now - idle)
        if self.keeping:
            self.enter(place)
            entry = self.counted()[place]
            entry.used = now - (idle or 0)
            entry.often = NEW if often is None else often

    def moved(self, place: Place, to: Place) -> None:
        """A key has moved to another place: it was used as often there."""
        if self.keeping:
            before = self.counted().get(place)
            self.enter(to)
            if before is not None:
                entry = self.counted()[to]
                entry.used, entry.often = before.used, before.often

    def swapped(self, one: int, other: int) -> None:
        """Two databases have exchanged their keys."""
        others = {one: other, other: one}
        entries = self.entries or {}
        self.forget_all()
        if self.keeping:
            self.entries = {(others.get(index, index), key): entry for (index, key), entry in entries.items()}
            for entry in self.entries.values():
                entry.size = 0
            for place in list(self.entries):
                self.all.put(place)
                self.enter(place)

    def counted(self) -> dict[Place, Entry]:
        """Return the entries of all keys, which are counted now if need be; without a limit, of those that are used."""
        if self.entries is None:
            self.entries = {}
            for store in self.stores if self.options.maxmemory else ():
                for key, _, _ in store.items():
                    self.enter((store.index, key))
        return self.entries

    def changed(self, notes: list[Note]) -> None:
        """Update the entries of the keys that were changed."""
        if self.entries is not None:
            for place in {(note.store.index, key) for note in notes for key in note.keys}:
                self.enter(place)

    def enter(self, place: Place) -> None:
        """Make a key's entry agree with the key as it is now; remove it if the key is gone."""
        assert self.entries is not None
        index, key = place
        store = self.stores[index]
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
            entry = self.entries[place] = Entry(0, self.steady())
            self.all.put(place)
        size = size_of(key, value) + PER_KEY if self.options.maxmemory else 0
        self.used += size - entry.size
        entry.size = size
        (self.volatile.put if store.deadline(key) is not None else self.volatile.take)(place)

    def touch(self, index: int, command: Command, args: list[bytes]) -> None:
        """Note that a request in the database of this index uses its keys, unless its command leaves them untouched."""
        if NO_TOUCH in command.flags:
            return
        entries = self.counted()
        for key in command.keys_in(args):
            if (index, key) not in entries:
                self.enter((index, key))
            entry = entries.get((index, key))
            if entry is not None:
                entry.use(self.steady(), self.options)

    def victim(self) -> Place | None:
        """Choose a key to evict, the worst of `maxmemory-samples` random ones; None if the policy allows none."""
        scope, _, reason = self.options.maxmemory_policy.partition("-")
        if not reason:
            return None  # noeviction
        urn = self.all if scope == "allkeys" else self.volatile
        drawn = urn.draw(1 if reason == "random" else self.options.maxmemory_samples)
        return min(drawn, key=lambda place: self.worth(place, reason), default=None)

    def worth(self, place: Place, reason: str) -> int:
        """Return how much a key is worth keeping, by the second part of the policy's name: ttl, lru or lfu."""
        entry = self.counted()[place]
        if reason == "ttl":
            return self.stores[place[0]].deadline(place[1]) or 0
        return entry.frequency(self.steady(), self.options) if reason == "lfu" else entry.used
