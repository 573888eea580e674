"""The keyspace: keys, their typed values and their deadlines. It knows no command and no client."""

import heapq
from collections import deque
from collections.abc import Iterator
from typing import Any, TypeVar

from errors import wrong_type
from sorted_set import SortedSet

Hash = dict[bytes, bytes]
List = deque[bytes]
Set = set[bytes]
Args = list[bytes]  # a request
T = TypeVar("T")

STRING: type[bytes] = bytes  # the kinds of value, each a Python type
HASH: type[Hash] = dict
LIST: type[List] = deque
SET: type[Set] = set
SORTED_SET = SortedSet
NAMES = {STRING: "string", HASH: "hash", LIST: "list", SET: "set", SORTED_SET: "zset"}  # as TYPE calls them


class Store:
    """Keys and values. Commands `get`, `make`, `put` and `delete` values, and report changes with `changed`.

    A key can have a deadline: a moment, in milliseconds since 1970. When it has passed, nobody finds the key any more.
    `put` leaves the deadline as it is.

    >>> db = Store()
    >>> db.put(b"greeting", b"hi")
    >>> db.get(b"greeting", STRING), db.get(b"nothing", STRING)
    (b'hi', None)
    """

    def __init__(self) -> None:
        self._values: dict[bytes, Any] = {}
        self._deadlines: dict[bytes, int] = {}  # of the keys that have one
        self._queue: list[tuple[int, bytes]] = []  # a heap: the next deadline first; some are outdated
        self.now = 0  # the time of this unit, in milliseconds since 1970: the engine sets it
        self.records: list[Args | None] = []  # what this unit adds to the log; None: the request as it came
        self.touched: deque[bytes] = deque()  # the keys that were changed: somebody may wait for them

    def get(self, key: bytes, kind: type[T]) -> T | None:
        """Return the value at `key`, or None if there is no such key. Raises `wrong_type()` if it is not a `kind`.

        Ask `self.expired(key)` first: a key whose deadline has passed does not exist.
        """
        if self.expired(key):
            return None
        value = self._values.get(key)
        if value is None or isinstance(value, kind):
            return value
        raise wrong_type()

    def make(self, key: bytes, kind: type[T]) -> T:
        """Return the container at `key`; if there is no such key, set it to a new empty container first.

        The caller changes it in place and then calls `changed(key)`. Raises `wrong_type()` if it is not a `kind`.

        >>> db = Store()
        >>> db.make(b"user", HASH)[b"name"] = b"Alice"
        >>> db.get(b"user", HASH)
        {b'name': b'Alice'}
        """
        value = self.get(key, kind)
        if value is None:
            value = self._values[key] = kind()
        return value

    def put(self, key: bytes, value: Any) -> None:
        """Set `key` to `value`. An old value is replaced, whatever its kind."""
        self._values[key] = value

    def delete(self, key: bytes) -> bool:
        """Remove `key` and its deadline; return whether it was there. An expired key was not (`self.expired`)."""
        if self.expired(key):
            return False
        self._deadlines.pop(key, None)
        return self._values.pop(key, None) is not None

    def changed(self, *keys: bytes, log: Args | None = None) -> None:
        """Record a change; remove those of the values at `keys` that are empty containers now, with their deadlines.

        Add `log` to `self.records`: a request that does the same whenever it is executed, or None for the request that
        is being executed, if that does. Add `keys` to `self.touched`.

        In Redis there are no empty containers, of any kind: after the last HDEL, EXISTS answers 0. An empty string
        stays. A key that does not exist, because DEL has removed it, is right, too.

        >>> db = Store()
        >>> fields = db.make(b"user", HASH)
        >>> db.changed(b"user")
        >>> db.changed(b"k", log=[b"PEXPIREAT", b"k", b"9000"])
        >>> b"user" in db, db.records
        (False, [None, [b'PEXPIREAT', b'k', b'9000']])
        """
        self.records.append(log)
        self.touched.extend(keys)
        for key in keys:
            value = self._values.get(key)
            if value is not None and not isinstance(value, bytes) and not value:
                del self._values[key]
                self._deadlines.pop(key, None)

    def kind(self, key: bytes) -> type | None:
        """Return the kind of the value at `key`, or None if there is no such key."""
        return type(self._values[key]) if key in self else None

    def clear(self) -> None:
        """Remove every key."""
        self._values.clear()
        self._deadlines.clear()
        self._queue.clear()

    def items(self) -> Iterator[tuple[bytes, Any]]:
        """Yield each key with its value. Expired keys are left out, but not removed: who looks changes nothing."""
        for key, value in self._values.items():
            if self._deadlines.get(key, self.now) >= self.now:
                yield key, value

    def expired(self, key: bytes) -> bool:
        """Return whether the deadline of `key` is before `self.now`. If so, remove the key, and record a DEL.

        The log has to have it: what follows there finds no such key either, whenever it is executed. And the key is
        `touched`: who watches it has to know.

        >>> db = Store()
        >>> db.put(b"k", b"v")
        >>> db.expire_at(b"k", 9000)
        >>> db.now = 9000
        >>> db.expired(b"k"), db.expired(b"missing")
        (False, False)
        >>> db.now = 9001
        >>> db.expired(b"k"), db.expired(b"k"), len(db), db.records
        (True, False, 0, [[b'DEL', b'k']])
        """
        if self._deadlines.get(key, self.now) >= self.now:
            return False
        del self._values[key], self._deadlines[key]
        self.records.append([b"DEL", key])
        self.touched.append(key)
        return True

    def expire_due(self, most: int) -> bool:
        """Remove expired keys, those with the earliest deadlines first; return whether there may be more.

        Look at up to `most` deadlines in the heap `self._queue`: `self._queue[0]` is the first one, a pair of the
        deadline and the key, and `heapq.heappop(self._queue)` takes it out. A deadline may be outdated: the key has
        another one now, or none, or is gone. So let `self.expired` decide. Return False when the first deadline is not
        before `self.now`, or there is none; True after `most`.

        >>> db = Store()
        >>> for number in range(5):
        ...     db.put(b"%d" % number, b"v")
        ...     db.expire_at(b"%d" % number, 100 + number)
        >>> db.expire_at(b"0", 200)
        >>> db.now = 103
        >>> db.expire_due(2), db.expire_due(2), sorted(key for key, _ in db.items())
        (True, False, [b'0', b'3', b'4'])
        """
        for _ in range(most):
            if not self._queue or self._queue[0][0] >= self.now:
                return False
            self.expired(heapq.heappop(self._queue)[1])
        return True

    def deadline(self, key: bytes) -> int | None:
        """Return the deadline of `key`, or None."""
        return self._deadlines.get(key)

    def expire_at(self, key: bytes, deadline: int) -> None:
        """Set the deadline of `key`, which must exist."""
        self._deadlines[key] = deadline
        heapq.heappush(self._queue, (deadline, key))
        if len(self._queue) > 2 * len(self._deadlines) + 1000:  # mostly outdated ones
            self._queue = [(when, each) for each, when in self._deadlines.items()]
            heapq.heapify(self._queue)

    def persist(self, key: bytes) -> bool:
        """Take the deadline of `key` away; return whether it had one."""
        return self._deadlines.pop(key, None) is not None

    def __contains__(self, key: bytes) -> bool:
        return key in self._values and not self.expired(key)

    def __len__(self) -> int:
        return len(self._values)
