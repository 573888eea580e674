"""The keyspace: typed values, deadlines, and what changed. The only file that knows expiry; it knows no command."""

import heapq
from collections.abc import Iterator, Sequence
from typing import TypeVar

from .errors import wrong_type

Hash = dict[bytes, bytes]
Kept = bytes | Hash  # what can be at a key
T = TypeVar("T")

STRING: type[bytes] = bytes  # the kinds of value, each a Python type
HASH: type[Hash] = dict
NAMES: dict[type, str] = {STRING: "string", HASH: "hash"}  # as TYPE calls them


class Unit:
    """One unit of work, mostly one command: the time, which stands still in it, and what it changed.

    All databases share it. A note is the number of the database and what the log should say; None stands for
    the request as it came.
    """

    def __init__(self) -> None:
        self.now = 0  # milliseconds since 1970; 0 while the log is read, so that nothing expires before its end
        self.notes: list[tuple[int, Sequence[bytes] | None]] = []


class Store:
    """One database: keys and values, behind four verbs (`get`, `make`, `put`, `delete`) and a signal (`changed`).

    A key may have a deadline. A key whose deadline has passed is gone for everyone who looks: whoever finds it
    removes it and notes a DEL, so that the log does not depend on clocks.

    >>> db = Store(0, Unit())
    >>> db.put(b"greeting", b"hi")
    >>> db.get(b"greeting", STRING), db.get(b"nothing", STRING)
    (b'hi', None)
    """

    def __init__(self, index: int, unit: Unit) -> None:
        self.index = index
        self.unit = unit
        self._values: dict[bytes, Kept] = {}
        self._deadlines: dict[bytes, int] = {}  # milliseconds since 1970, only for the keys that have one
        self._queue: list[tuple[int, bytes]] = []  # a heap of deadlines, those that no longer hold among them

    def get(self, key: bytes, kind: type[T]) -> T | None:
        """Give the value at `key`, or None where there is no such key. Raises `wrong_type` if it is not a `kind`."""
        value = self._values.get(key)
        if value is None or (self._deadlines and self._expired(key)):
            return None
        if isinstance(value, kind):
            return value
        raise wrong_type()

    def make(self, key: bytes, kind: type[Hash]) -> Hash:
        """Give the container at `key`, a new empty one where there is none, to be changed in place.

        The caller changes it and then says `changed(key)`. Raises `wrong_type` if it is not a `kind`.

        >>> db = Store(0, Unit())
        >>> db.make(b"user", HASH)[b"name"] = b"Alice"
        >>> db.get(b"user", HASH)
        {b'name': b'Alice'}
        """
        value = self.get(key, kind)
        if value is None:
            value = self._values[key] = kind()
        return value

    def put(self, key: bytes, value: Kept, deadline: int | None = None) -> None:
        """Set `key` to `value`, whatever was there before, with this deadline or with none."""
        self._values[key] = value
        if deadline is not None:
            self.expire_at(key, deadline)
        elif self._deadlines:
            self._deadlines.pop(key, None)

    def delete(self, key: bytes) -> bool:
        """Remove `key`; tell whether it was there."""
        if self._deadlines and self._expired(key):
            return False
        self._deadlines.pop(key, None)
        return self._values.pop(key, None) is not None

    def changed(self, *keys: bytes, log: Sequence[bytes] | None = None) -> None:
        """A command says so when it has changed what is at `keys`, and what the log should say.

        That is the request as it came, unless `log` gives other words: results instead of intentions, times
        as absolute ones. A container that was emptied goes away: Redis knows no empty ones.

        >>> db = Store(0, Unit())
        >>> fields = db.make(b"user", HASH)
        >>> db.changed(b"user")
        >>> b"user" in db, db.unit.notes
        (False, [(0, None)])
        """
        self.unit.notes.append((self.index, log))
        for key in keys:
            if self._values.get(key) == {}:
                del self._values[key]
                self._deadlines.pop(key, None)

    def peek(self, key: bytes) -> Kept | None:
        """Give the value at `key`, of whatever kind, or None where there is no such key."""
        return self._values[key] if key in self else None

    def kind(self, key: bytes) -> type | None:
        """Tell the kind of the value at `key`, or None where there is no such key."""
        return type(self._values[key]) if key in self else None

    def clear(self) -> None:
        """Remove every key."""
        self._values, self._deadlines, self._queue = {}, {}, []

    def keys(self) -> Iterator[bytes]:
        """Give the keys whose deadline has not passed; those whose has stay where they are for now."""
        if not self._deadlines:
            return iter(list(self._values))
        endless = self.unit.now
        return iter([key for key in self._values if self._deadlines.get(key, endless) >= self.unit.now])

    def deadline(self, key: bytes) -> int | None:
        """Give the deadline of `key` in milliseconds since 1970, or None where it has none."""
        return self._deadlines.get(key)

    def expire_at(self, key: bytes, deadline: int) -> None:
        """Give `key`, which is there, a deadline in milliseconds since 1970."""
        self._deadlines[key] = deadline
        heapq.heappush(self._queue, (deadline, key))
        if len(self._queue) > 2 * len(self._deadlines) + 1000:  # mostly deadlines that were replaced
            self._queue = [(when, key) for key, when in self._deadlines.items()]
            heapq.heapify(self._queue)

    def persist(self, key: bytes) -> bool:
        """Take the deadline of `key` away; tell whether there was one."""
        return self._deadlines.pop(key, None) is not None

    def expire_due(self, most: int) -> bool:
        """Remove the keys whose deadline has passed, at most so many; tell whether there may be more."""
        for _ in range(most):
            if not self._queue or self._queue[0][0] >= self.unit.now:
                return False
            self._expired(heapq.heappop(self._queue)[1])
        return True

    @property
    def deadlines(self) -> int:
        """The number of keys that have a deadline."""
        return len(self._deadlines)

    def _expired(self, key: bytes) -> bool:
        """Tell whether the deadline of `key` has passed; then it is removed, and the log hears of it."""
        deadline = self._deadlines.get(key)
        if deadline is None or deadline >= self.unit.now:
            return False
        del self._values[key], self._deadlines[key]
        self.unit.notes.append((self.index, (b"DEL", key)))
        return True

    def __contains__(self, key: bytes) -> bool:
        return key in self._values and not (self._deadlines and self._expired(key))

    def __len__(self) -> int:
        """The number of keys, those that have expired and were not yet found among them, as DBSIZE counts."""
        return len(self._values)
