"""The keyspace: typed values, deadlines, and notes of what changed. Only this file implements expiry."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from ..protocol.errors import wrong_type
from .deadlines import DeadlineQueue
from .kinds import Args
from .string_runs import StringRuns
from .unit import AS_COMMANDED, AS_REQUESTED, NO_EVENT, UNLOGGED, Note, Unit

T = TypeVar("T")


class Store(StringRuns):
    """One database: keys and values. Commands `get`, `make`, `put` and `delete` values, and report with `changed`.

    A key may have a deadline. When its deadline has passed, the key does not exist for commands: the next access
    removes it and notes a DEL, so that the log does not depend on clocks.

    >>> db = Store(0, Unit())
    >>> db.put(b"greeting", b"hi")
    >>> db.get(b"greeting", bytes), db.get(b"nothing", bytes)
    (b'hi', None)
    """

    def __init__(self, index: int, unit: Unit) -> None:
        super().__init__()
        self.index = index
        self.unit = unit
        self._deadlines: dict[bytes, int] = {}  # milliseconds since 1970, of the keys that have a deadline
        self._queue = DeadlineQueue(self._deadlines)

    def get(self, key: bytes, kind: type[T]) -> T | None:
        """Return the value at `key`, or None if there is no such key. Raises `wrong_type()` if it is not a `kind`."""
        value = self._values.get(key)
        if value is None or (self._deadlines and self.expired(key)):
            return None
        if isinstance(value, kind):
            return value
        raise wrong_type()

    def make(self, key: bytes, kind: type[T]) -> T:
        """Return the container at `key`, a new empty one if there is no such key.

        The caller changes it in place and then calls `changed(key)`. Raises `wrong_type()` if it is not a `kind`.

        >>> db = Store(0, Unit())
        >>> db.make(b"user", dict)[b"name"] = b"Alice"
        >>> db.get(b"user", dict)
        {b'name': b'Alice'}
        """
        value = self.get(key, kind)
        if value is None:
            value = self._values[key] = kind()
        return value

    def put(self, key: bytes, value: Any, deadline: int | None = None) -> None:
        """Set `key` to `value`, with this deadline or none. An old value is replaced, whatever its type.

        If the deadline of the old value has passed, a note of its expiry comes first.
        """
        if self._deadlines and not self.expired(key):
            self._deadlines.pop(key, None)
        if self._encodings:
            self._encodings.pop(key, None)
        self._values[key] = value
        if deadline is not None:
            self.expire_at(key, deadline)

    def put_pairs(self, pairs: Sequence[bytes], event: str) -> None:
        """Set keys from alternating keys and values, and note it."""
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            self.put(key, value)
        self.changed(*pairs[::2], event=event)

    def replace(self, key: bytes, value: Any) -> None:
        """Set `key`, which must exist, to `value`, and keep its deadline."""
        if self._encodings:
            self._encodings.pop(key, None)
        self._values[key] = value

    def put_result(self, key: bytes, value: Any, event: str = AS_COMMANDED, count: int = 1) -> None:
        """Set `key` to the result of a command such as SINTERSTORE, and note it as so many changes.

        An empty result removes the key, which is one change.
        """
        if value:
            self.put(key, value)
            self.changed(key, event=event, count=count)
        elif self._values.pop(key, None) is not None:  # whether its deadline has passed or not, as in Redis
            self._forget(key)
            self.changed(key, event="del")

    def delete(self, key: bytes) -> bool:
        """Remove `key`; return whether it was there."""
        if self._deadlines and self.expired(key):
            return False
        self._forget(key)
        return self._values.pop(key, None) is not None

    def unlink(self, key: bytes) -> bool:
        """Remove `key`, and free its value later if it is large; return whether it was there."""
        if self._deadlines and self.expired(key):
            return False
        self._forget(key)
        value = self._values.pop(key, None)
        self.unit.garbage.add(value or b"")
        return value is not None

    def _forget(self, key: bytes) -> None:
        """Forget what is known of a key whose value is gone."""
        self._deadlines.pop(key, None)
        self._encodings.pop(key, None)
        self._used.pop(key, None)

    def changed(
        self,
        *keys: bytes,
        log: Args | None = AS_REQUESTED,
        event: str | None = AS_COMMANDED,
        touch: bool = True,
        wake: bool = True,
        count: int | None = None,
    ) -> None:
        """Note that a command has changed the values at `keys`. A container that is empty now is removed, as in Redis.

        `log` is the request for the log: AS_REQUESTED, the request of the command; another one with the same effect
        whenever it runs, so with results and absolute times; or UNLOGGED. `event` is the name of the keyspace event,
        AS_COMMANDED or NO_EVENT. Without `touch`, transactions that WATCH the keys do not fail; without `wake`, no
        command that waits for the keys is served. `count` is the number of changes for the save points, if it is not
        that of the keys.

        >>> db = Store(0, Unit())
        >>> fields = db.make(b"user", dict)
        >>> db.changed(b"user")
        >>> b"user" in db, [(note.keys, note.log, note.event) for note in db.unit.notes]
        (False, [((b'user',), None, ''), ((b'user',), (), 'del')])
        """
        unit = self.unit
        unit.notes.append(Note(self, keys, log, event, touch, wake))
        unit.changes += len(keys) if count is None else count
        for key in keys:
            value = self._values.get(key)
            if value or type(value) is bytes:
                if self.tracking:
                    self._used[key] = unit.recently
            elif value is not None:
                del self._values[key]
                self._forget(key)
                unit.notes.append(Note(self, (key,), UNLOGGED, "del"))

    def look_up(self, key: bytes, use: bool = True, quietly: bool = False) -> bool:
        """Count a key that a command reads as a hit, and as used, or as a miss; return whether it is a hit.

        A key that has expired must be removed already, but on a replica, where it counts as a miss. Without `use` a
        key does not count as used. `quietly`: if it is missing, that makes no event.
        """
        unit = self.unit
        if key not in self._values or (unit.leaves_expiry and self.overdue(key)):
            unit.misses += 1
            return False
        unit.hits += 1
        if use and self.tracking:
            self._used[key] = unit.recently
        return True

    def peek(self, key: bytes) -> Any:
        """Return the value at `key`, of any type, or None if there is no such key."""
        return self._values[key] if key in self else None

    def held(self, key: bytes) -> Any:
        """Return the value at `key`, or None. A value whose deadline has passed is returned too, and not removed."""
        return self._values.get(key)

    def kind(self, key: bytes) -> type | None:
        """Return the type of the value at `key`, or None if there is no such key."""
        return type(self._values[key]) if key in self else None

    def clear(self, later: bool, log: Args | None = AS_REQUESTED) -> None:
        """Remove every key, and note it; what is in them is freed at once, or `later`, a little at a time."""
        gone = (self._values, self._deadlines, *self._queue.parts, self._encodings, self._used)
        self.unit.notes.append(Note(self, self._values.keys(), log, NO_EVENT))
        self.unit.changes += len(self._values)
        self._values, self._deadlines, self._encodings, self._used = {}, {}, {}, {}
        self._queue = DeadlineQueue(self._deadlines)
        if later:
            for container in gone:
                self.unit.garbage.take_apart(container)

    def swap(self, other: "Store") -> None:
        """Exchange all keys with another database."""
        for name in ("_values", "_deadlines", "_queue", "_encodings", "_used", "tracking"):
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, theirs)
            setattr(other, name, mine)

    @property
    def names(self) -> Mapping[bytes, object]:
        """The live dictionary whose keys are those of the database, with expired ones that are not yet removed."""
        return self._values

    def keys(self) -> Iterator[bytes]:
        """The keys whose deadline has not passed. Expired keys are not removed."""
        if not self._deadlines:
            return iter(list(self._values))
        now = self.unit.now
        return iter([key for key in self._values if self._deadlines.get(key, now) >= now])

    def items(self) -> Iterator[tuple[bytes, Any, int | None]]:
        """Each key with its value and its deadline or None, expired ones included."""
        return ((key, value, self._deadlines.get(key)) for key, value in self._values.items())

    def deadline(self, key: bytes) -> int | None:
        """The deadline of `key` in milliseconds since 1970, or None."""
        return self._deadlines.get(key)

    def expire_at(self, key: bytes, deadline: int) -> None:
        """Set the deadline of `key`, which must exist, in milliseconds since 1970."""
        self._deadlines[key] = deadline
        self._queue.push(deadline, key)

    def persist(self, key: bytes) -> bool:
        """Remove the deadline of `key`; return whether there was one."""
        return self._deadlines.pop(key, None) is not None

    def expire_due(self, most: int) -> bool:
        """Remove up to `most` keys whose deadline has passed; return whether there may be more."""
        for _ in range(most):
            if (key := self._queue.pop(self.unit.now)) is None:
                return False
            self.expired(key)
        return True

    @property
    def deadlines(self) -> int:
        """The number of keys that have a deadline."""
        return len(self._deadlines)

    def overdue(self, key: bytes) -> bool:
        """Return whether the deadline of `key` has passed. The key is not removed."""
        deadline = self._deadlines.get(key)
        return deadline is not None and deadline < self.unit.now

    def expired(self, key: bytes) -> bool:
        """Return whether the deadline of `key` has passed. If so, remove the key and note a DEL, but on no replica."""
        deadline = self._deadlines.get(key)
        if deadline is None or deadline >= self.unit.now:
            return False
        if self.unit.leaves_expiry:
            return True
        self.unit.garbage.add(self._values.pop(key))
        self._forget(key)
        self.unit.notes.append(Note(self, (key,), (b"DEL", key), "expired"))
        return True

    def __contains__(self, key: bytes) -> bool:
        return key in self._values and not (self._deadlines and self.expired(key))

    def __len__(self) -> int:
        """The number of keys as DBSIZE counts: with expired ones that are not yet removed."""
        return len(self._values)
