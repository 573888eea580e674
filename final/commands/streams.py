"""Commands for streams: read ranges of entries, and delete entries. Adding, blocking and groups have own files."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from ..data.kinds import KINDS, Args, Kind
from ..data.memory import estimate
from ..data.store import Store
from ..data.stream import Stream
from ..data.stream_node import LAST, SEQUENCE, Entry, Node, make_id, show_id
from ..engine.args import OptionCursor
from ..engine.command import DENYOOM, FAST, READONLY, REPLY_FIRST, WRITE, Group
from ..engine.signature import command, complexity
from ..log.rdb.streams import WRITTEN, write_stream
from ..protocol.errors import ReplyError, no_such_key, syntax_error
from ..protocol.numeric import parse_unsigned
from ..protocol.writer import NULL_ARRAY, Value

GROUP = Group("stream", "@stream", "t")

STREAM = Stream


def dump(key: bytes, value: Stream) -> Iterator[Args]:
    """Yield the requests that create this stream, as Redis's `rewriteStreamObject` does."""
    for id, pairs in value.entries():
        yield b"XADD", key, show_id(id), *pairs
    yield from value.requests(key)


def size(value: Stream, samples: int) -> int:
    """Return the memory that this stream takes, in bytes, estimated from `samples` nodes."""
    groups = sum(group.own_size() for group in value.groups.values())
    return estimate(value.nodes, samples, Node.own_size) + groups


KINDS[STREAM] = Kind(
    "stream", dump, lambda value: "stream", size, copy=Stream.copy,
    rdb=lambda value, _: (WRITTEN, write_stream(value)),
    parts=lambda value: (value.nodes,),
)  # fmt: skip


# IDs


def parse_id(arg: bytes, sequence: int = 0) -> int:
    """Parse an ID; `sequence` is for one that has only the milliseconds. Raises ReplyError, for `-` and `+` too."""
    milliseconds, dash, rest = arg.partition(b"\0")[0].partition(b"-")
    first = parse_unsigned(milliseconds)
    second = parse_unsigned(rest) if dash else sequence
    if first is None or second is None or len(arg) > 127:
        raise ReplyError("ERR Invalid stream ID specified as stream command argument")
    return make_id(first, second)


def parse_bound(arg: bytes, sequence: int) -> int:
    """Parse an ID that may also be `-` or `+`, the lowest and the highest one."""
    return {b"-": 0, b"+": LAST}[arg] if arg in (b"-", b"+") else parse_id(arg, sequence)


def parse_start(arg: bytes) -> int:
    """Parse the start of a range; `(` excludes it."""
    if arg[:1] != b"(" or arg == b"(":
        return parse_bound(arg, 0)
    start = parse_id(arg[1:]) + 1
    if start > LAST:
        raise ReplyError("ERR invalid start ID for the interval")
    return start


def parse_stop(arg: bytes) -> int:
    """Parse the end of a range; `(` excludes it."""
    if arg[:1] != b"(" or arg == b"(":
        return parse_bound(arg, SEQUENCE)
    stop = parse_id(arg[1:], SEQUENCE) - 1
    if stop < 0:
        raise ReplyError("ERR invalid end ID for the interval")
    return stop


def replies(entries: Iterable[Entry], count: int | None = None) -> list[Value]:
    """Return entries as they are in replies: all, or the first `count`."""
    return [[show_id(id), pairs] for id, pairs in islice(entries, count)]


# Deleting


@command(WRITE, FAST, keys="RW delete")
@complexity("O(1) for each entry")
def xdel(db: Store, key: bytes, id: bytes, *ids: bytes) -> Value:
    """XDEL key id [id ...]: delete entries; answer with the number of deleted ones."""
    held = db.get(key, STREAM)
    if held is None:
        return 0
    deleted = sum(map(held.delete, list(map(parse_id, (id, *ids)))))
    if deleted:
        db.changed(key, count=deleted)
    return deleted


@command(WRITE, DENYOOM, FAST, REPLY_FIRST, keys="RW update")
def xsetid(db: Store, key: bytes, id: bytes, *options: bytes) -> Value:
    """XSETID key last-id [ENTRIESADDED entries_added] [MAXDELETEDID max_deleted_entry_id]: set the last ID, for a rewrite of the log.

    ENTRIESADDED sets how many entries were ever added, MAXDELETEDID the highest ID that was deleted.
    """  # noqa: E501  (the first line is what redis-cli shows)
    last = parse_id(id)
    added, deleted = -1, 0
    cursor = OptionCursor(options)
    for option in cursor:
        if option == b"entriesadded":
            added = cursor.integer()
            if added < 0:
                raise ReplyError("ERR entries_added must be positive")
        elif option == b"maxdeletedid":
            deleted = parse_id(cursor.value())
            if last < deleted:
                raise ReplyError("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id")
        else:
            raise syntax_error()
    held = db.get(key, STREAM)
    if held is None:
        raise no_such_key()
    if len(held) and last < held.top:
        raise ReplyError("ERR The ID specified in XSETID is smaller than the target stream top item")
    if -1 < added < len(held):
        raise ReplyError("ERR The entries_added specified in XSETID is smaller than the target stream length")
    held.last_id = last
    held.entries_added = held.entries_added if added < 0 else added
    held.max_deleted_id = deleted or held.max_deleted_id
    db.changed(key, touch=False, wake=False)
    return "OK"


# Reading


@command(READONLY, FAST, keys="RO")
def xlen(db: Store, key: bytes) -> Value:
    """XLEN key: answer with the number of entries."""
    held = db.get(key, STREAM)
    return 0 if held is None else len(held)


@command(READONLY)
@complexity("O(N) for N entries in the answer")
def xrange(db: Store, key: bytes, start: bytes, end: bytes, *options: bytes) -> Value:
    """XRANGE key start end [COUNT count]: answer with the entries whose IDs are in the range.

    `-` and `+` are the lowest and the highest ID; `(` before an ID excludes it.
    """
    return entries_between(db, key, start, end, options, reverse=False)


@command(READONLY)
@complexity("O(N) for N entries in the answer")
def xrevrange(db: Store, key: bytes, end: bytes, start: bytes, *options: bytes) -> Value:
    """XREVRANGE key end start [COUNT count]: XRANGE, from the last entry to the first."""
    return entries_between(db, key, start, end, options, reverse=True)


def entries_between(db: Store, key: bytes, start: bytes, end: bytes, options: Sequence[bytes], reverse: bool) -> Value:
    """Return the reply of XRANGE or XREVRANGE."""
    first, last, count = parse_start(start), parse_stop(end), None
    cursor = OptionCursor(options)
    for option in cursor:
        if option != b"count":
            raise syntax_error()
        count = max(cursor.integer(), 0)
    held = db.get(key, STREAM)
    if held is None:
        return []
    return NULL_ARRAY if count == 0 else replies(held.entries(first, last, reverse), count)
