"""The keyspace: typed values, deadlines, and what changed. The only file that knows expiry; it knows no command."""

import heapq
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ..protocol.errors import wrong_type

T = TypeVar("T")
Args = Sequence[bytes]
Place = tuple[int, bytes]  # the number of a database, and a key in it


@dataclass(frozen=True)
class Kind:
    """What must be known of one type of value from outside. The type's module in `commands` enters it into `KINDS`."""

    name: str  # as TYPE calls it
    dump: Callable[[bytes, Any], Iterator[Args]]  # the requests that make the value at a key
    encoding: Callable[[Any], str]  # how Redis would keep it, as OBJECT ENCODING answers
    size: Callable[[Any, int], int]  # bytes of memory, from so many sampled elements; 0: from all. See `memory.py`
    copy: Callable[[Any], Any]  # a value that shares nothing with it that can change


PIECE = 64  # elements in one request of a dump (Redis: AOF_REWRITE_ITEMS_PER_CMD)
KINDS: dict[type, Kind] = {}  # the Python type of a value -> what is known of it

AS_REQUESTED: Final = None  # for `Note.log`: the log gets the request as it came, once for each command …
UNLOGGED: Final = ()  # … or nothing
AS_COMMANDED: Final = ""  # for `Note.event`: the event is called like the command …
NO_EVENT: Final = None  # … or there is none


@dataclass(slots=True, eq=False)
class Note:
    """Something that changed: where, and who should hear of it."""

    store: "Store"
    keys: tuple[bytes, ...]
    log: Args | None  # what the log should say: a request, AS_REQUESTED or UNLOGGED
    event: str | None  # what a keyspace notification calls it, AS_COMMANDED or NO_EVENT


class Unit:
    """One unit of work, mostly one command: the time, which stands still in it, and what it changed.

    All databases share it. The time stops when somebody first looks: most commands never do.

    >>> unit = Unit(clock=iter([1000, 2000]).__next__)
    >>> unit.now, unit.now
    (1000, 1000)
    >>> unit.stopped = None  # the next unit begins
    >>> unit.now
    2000
    """

    def __init__(self, clock: Callable[[], int] = lambda: 0) -> None:
        self.clock = clock  # milliseconds since 1970
        self.stopped: int | None = None  # the time in this unit; None: nobody has looked yet
        self.notes: list[Note] = []

    @property
    def now(self) -> int:
        """The time of this unit, in milliseconds since 1970."""
        if self.stopped is None:
            self.stopped = self.clock()
        return self.stopped


class Store:
    """One database: keys and values, behind four verbs (`get`, `make`, `put`, `delete`) and a signal (`changed`).

    A key may have a deadline. A key whose deadline has passed is gone for everyone who looks: whoever finds it
    removes it and notes a DEL, so that the log does not depend on clocks.

    >>> db = Store(0, Unit())
    >>> db.put(b"greeting", b"hi")
    >>> db.get(b"greeting", bytes), db.get(b"nothing", bytes)
    (b'hi', None)
    """

    def __init__(self, index: int, unit: Unit) -> None:
        self.index = index
        self.unit = unit
        self._values: dict[bytes, Any] = {}  # each of a type that is in KINDS
        self._deadlines: dict[bytes, int] = {}  # milliseconds since 1970, only for the keys that have one
        self._queue: list[tuple[int, bytes]] = []  # a heap of deadlines, those that no longer hold among them

    def get(self, key: bytes, kind: type[T]) -> T | None:
        """Give the value at `key`, or None where there is no such key. Raises `wrong_type` if it is not a `kind`."""
        value = self._values.get(key)
        if value is None or (self._deadlines and self.expired(key)):
            return None
        if isinstance(value, kind):
            return value
        raise wrong_type()

    def make(self, key: bytes, kind: type[T]) -> T:
        """Give the container at `key`, a new empty one where there is none, to be changed in place.

        The caller changes it and then says `changed(key)`. Raises `wrong_type` if it is not a `kind`.

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
        """Set `key` to `value`, over whatever is there, with this deadline or with none.

        An old value whose deadline has passed is noted as gone first.
        """
        if self._deadlines and not self.expired(key):
            self._deadlines.pop(key, None)
        self._values[key] = value
        if deadline is not None:
            self.expire_at(key, deadline)

    def replace(self, key: bytes, value: Any) -> None:
        """Set `key`, which the caller has looked up, to a changed value: its deadline stays."""
        self._values[key] = value

    def put_result(self, key: bytes, value: Any, event: str = AS_COMMANDED) -> None:
        """Set `key` to the result of a command such as SINTERSTORE, and say so. An empty result removes the key."""
        if value:
            self.put(key, value)
            self.changed(key, event=event)
        elif self._values.pop(key, None) is not None:  # whether its deadline has passed or not, as in Redis
            self._deadlines.pop(key, None)
            self.changed(key, event="del")

    def delete(self, key: bytes) -> bool:
        """Remove `key`; tell whether it was there."""
        if self._deadlines:
            if self.expired(key):
                return False
            self._deadlines.pop(key, None)
        return self._values.pop(key, None) is not None

    def changed(self, *keys: bytes, log: Args | None = AS_REQUESTED, event: str | None = AS_COMMANDED) -> None:
        """A command says so when it has changed what is at `keys`, and what the log and listeners should hear.

        The log gets the request as it came, once, unless `log` gives another one: results instead of intentions,
        times as absolute ones; or UNLOGGED. Clients that listen to the keyspace hear `event`, the command's name
        unless it is given; or nothing, with NO_EVENT. A container that was emptied goes away: Redis has no empty ones.

        >>> db = Store(0, Unit())
        >>> fields = db.make(b"user", dict)
        >>> db.changed(b"user")
        >>> b"user" in db, [(note.keys, note.log, note.event) for note in db.unit.notes]
        (False, [((b'user',), None, ''), ((b'user',), (), 'del')])
        """
        self.unit.notes.append(Note(self, keys, log, event))
        for key in keys:
            value = self._values.get(key)
            if value is not None and not value and type(value) is not bytes:
                del self._values[key]
                self._deadlines.pop(key, None)
                self.unit.notes.append(Note(self, (key,), UNLOGGED, "del"))

    def peek(self, key: bytes) -> Any:
        """Give the value at `key`, of whatever kind, or None where there is no such key."""
        return self._values[key] if key in self else None

    def held(self, key: bytes) -> Any:
        """Give the value at `key`, or None, and leave it where it is even if its deadline has passed."""
        return self._values.get(key)

    def kind(self, key: bytes) -> type | None:
        """Tell the kind of the value at `key`, or None where there is no such key."""
        return type(self._values[key]) if key in self else None

    def clear(self) -> list[bytes]:
        """Remove every key; give them."""
        gone = list(self._values)
        self._values, self._deadlines, self._queue = {}, {}, []
        return gone

    def swap(self, other: "Store") -> None:
        """Exchange all keys with another database."""
        self._values, other._values = other._values, self._values
        self._deadlines, other._deadlines = other._deadlines, self._deadlines
        self._queue, other._queue = other._queue, self._queue

    @property
    def names(self) -> Collection[bytes]:
        """The keys, those that have expired and were not yet found among them, as they change."""
        return self._values.keys()

    def keys(self) -> Iterator[bytes]:
        """Give the keys whose deadline has not passed; those whose has stay where they are for now."""
        if not self._deadlines:
            return iter(list(self._values))
        endless = self.unit.now
        return iter([key for key in self._values if self._deadlines.get(key, endless) >= self.unit.now])

    def items(self) -> Iterator[tuple[bytes, Any, int | None]]:
        """Give each key with its value and its deadline, as they are: those whose deadline has passed among them."""
        return ((key, value, self._deadlines.get(key)) for key, value in self._values.items())

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
            self.expired(heapq.heappop(self._queue)[1])
        return True

    @property
    def deadlines(self) -> int:
        """The number of keys that have a deadline."""
        return len(self._deadlines)

    def overdue(self, key: bytes) -> bool:
        """Tell whether the deadline of `key` has passed, and leave it where it is."""
        deadline = self._deadlines.get(key)
        return deadline is not None and deadline < self.unit.now

    def expired(self, key: bytes) -> bool:
        """Tell whether the deadline of `key` has passed; then it is removed, and the log hears of it."""
        deadline = self._deadlines.get(key)
        if deadline is None or deadline >= self.unit.now:
            return False
        del self._values[key], self._deadlines[key]
        self.unit.notes.append(Note(self, (key,), (b"DEL", key), "expired"))
        return True

    def __contains__(self, key: bytes) -> bool:
        return key in self._values and not (self._deadlines and self.expired(key))

    def __len__(self) -> int:
        """The number of keys, those that have expired and were not yet found among them, as DBSIZE counts."""
        return len(self._values)
