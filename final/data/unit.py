"""One unit of work, mostly one command: its time, and notes of what it has changed."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

from ..protocol.writer import encode_request
from .garbage import Garbage
from .kinds import Args

Place = tuple[int, bytes]  # the number of a database, and a key in it

AS_REQUESTED: Final = None  # for `Note.log`: the log gets the request of the command, once …
UNLOGGED: Final = ()  # … or nothing
AS_COMMANDED: Final = ""  # for `Note.event`: the event has the name of the command …
NO_EVENT: Final = None  # … or there is no event


class Database(Protocol):
    """The database in which something has changed, as those see it who are told."""

    index: int

    def held(self, key: bytes) -> Any:
        """Return the value at `key`, or None. A value whose deadline has passed is returned too, and not removed."""

    def overdue(self, key: bytes) -> bool:
        """Return whether the deadline of `key` has passed. The key is not removed."""


class Requests(bytearray):
    """Several requests for the log, at least two, encoded."""


@dataclass(slots=True, eq=False)
class Note:
    """A change: its database and keys, and what the log and keyspace notifications get."""

    store: Database
    keys: Collection[bytes]
    log: Args | Requests | None  # a request for the log, AS_REQUESTED or UNLOGGED; or several
    event: str | None  # the event for keyspace notifications, AS_COMMANDED or NO_EVENT
    touch: bool = True  # transactions that WATCH the keys fail
    wake: bool = True  # commands that wait for the keys may be served
    logged: ClassVar[bool] = True  # it is for the log, and not only for replicas

    @property
    def joins(self) -> bool:
        """Whether it can be joined with others: it is about some keys, and says nothing special."""
        return type(self) is Note and self.touch and self.wake and bool(self.log) and type(self.keys) is tuple


class JoinedNote(Note):
    """The changes of several commands in one note. Their events are published."""

    __slots__ = ()
    keys: dict[bytes, None]
    log: Requests


class Message(Note):
    """No change, but a request that replicas execute too: PUBLISH. The log does not get it."""

    __slots__ = ()
    logged = False


class Unit:
    """One unit of work, mostly one command: its time, which does not advance during the unit, and its changes.

    All databases share it. The clock is read when the time is first needed: most commands never need it.

    >>> unit = Unit(clock=iter([1000, 2000]).__next__)
    >>> unit.now, unit.now
    (1000, 1000)
    >>> unit.stopped = None  # the next unit begins
    >>> unit.now
    2000
    """

    def __init__(self, clock: Callable[[], int] = lambda: 0) -> None:
        self.clock = clock  # milliseconds since 1970
        self.stopped: int | None = None  # the time of this unit; None: the clock was not read yet
        self.notes: list[Note] = []
        self.recently = 0  # the steady clock in milliseconds, read in each iteration of the event loop
        self.hits = self.misses = 0  # look-ups of keys by commands that read: found, and not found
        self.leaves_expiry = False  # expired keys stay: there is a reason for which they must not be deleted now
        self._reasons: set[str] = set()
        self.garbage = Garbage()  # what has gone from the databases, and is not freed yet
        self.changes = 0  # of keys since the last snapshot, in this unit and those before (Redis: `dirty`)

    def leave_expiry(self, reason: str, holds: bool) -> None:
        """Let expired keys stay while any reason for that holds, such as that the primary of a replica deletes them."""
        (self._reasons.add if holds else self._reasons.discard)(reason)
        self.leaves_expiry = bool(self._reasons)

    @property
    def now(self) -> int:
        """The time of this unit, in milliseconds since 1970."""
        if self.stopped is None:
            self.stopped = self.clock()
        return self.stopped

    @property
    def replaying(self) -> bool:
        """Whether the log is replayed, at the start: then the clock is stopped at 0 (`restore.py`)."""
        return self.stopped == 0

    def note_run(self, store: Database, requests: Sequence[Args]) -> None:
        """Note what a run of requests has changed: the key that is the first argument of each."""
        if len(requests) == 1:
            self.notes.append(Note(store, (requests[0][1],), requests[0], NO_EVENT))
        elif requests:
            log = Requests(b"".join(map(encode_request, requests)))
            self.notes.append(JoinedNote(store, dict.fromkeys(args[1] for args in requests), log, NO_EVENT))

    def join(self) -> None:
        """Make one note of the last two, if that tells the log, and those who watch or wait for keys, the same.

        The notes of a long script would take memory, and time: the garbage collector looks at all of them, again and
        again. So an INCR in a script takes 3 µs, and not 5.
        """
        notes = self.notes
        note, before = notes[-1], notes[-2]
        if not note.joins or before.store is not note.store:
            return
        if type(before) is not JoinedNote:
            if not before.joins:
                return
            log = Requests(encode_request(before.log))  # type: ignore[arg-type]  # as `joins` says, a request
            before = notes[-2] = JoinedNote(before.store, dict.fromkeys(before.keys), log, NO_EVENT)
        notes.pop()
        before.log += encode_request(note.log)  # type: ignore[arg-type]
        for key in note.keys:
            before.keys[key] = None
