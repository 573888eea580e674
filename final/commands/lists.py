"""Commands for lists: elements in order, to be added and taken at both ends."""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from sys import getsizeof

from ..data.memory import estimate
from ..data.store import AS_REQUESTED, KINDS, PIECE, UNLOGGED, Args, Kind, Store
from ..engine.args import Options, index_range, integer
from ..engine.command import DENYOOM, FAST, READONLY, WRITE, Group
from ..engine.signature import command
from ..protocol.errors import ReplyError, no_such_key, not_positive, syntax_error
from ..protocol.numeric import parse_integer
from ..protocol.writer import NULL_ARRAY, Value

GROUP = Group("list", "@list", "l")

# A deque adds and takes at both ends at once, as a queue wants it; a Python list moves all the others when its first
# element goes. It is blocks of 64 elements, chained: to get at one in the middle, LINDEX walks the blocks from the
# nearer end, 0.03 ms to the middle of a million, and so do LSET and LINSERT. Redis's quicklist walks just so.
List = deque[bytes]
LIST: type[List] = deque
LEFT, RIGHT = b"LEFT", b"RIGHT"
MOST = 2**63 - 1
RANK_ZERO = (
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... "
    "or use negative to start from the end of the list"
)


def dump(key: bytes, value: List) -> Iterator[Args]:
    """The requests that make this list anew, a piece at a time."""
    elements = iter(value)
    while piece := list(islice(elements, PIECE)):
        yield b"RPUSH", key, *piece


def encoding(value: List) -> str:
    """How Redis would keep this list: up to 7.0, always as a quicklist."""
    return "quicklist"


def size(value: List, samples: int) -> int:
    """Bytes of memory that this list takes."""
    return getsizeof(value) + estimate(value, samples)


KINDS[LIST] = Kind("list", dump, encoding, size, copy=deque.copy)


@command(WRITE, DENYOOM, FAST, keys="RW insert")
def lpush(db: Store, key: bytes, element: bytes, *elements: bytes) -> Value:
    """LPUSH key element [element ...]: put them before the first, one after the other; answer with the length."""
    return push(db, key, LEFT, element, *elements)


@command(WRITE, DENYOOM, FAST, keys="RW insert")
def rpush(db: Store, key: bytes, element: bytes, *elements: bytes) -> Value:
    """RPUSH key element [element ...]: put them behind the last, one after the other; answer with the length."""
    return push(db, key, RIGHT, element, *elements)


@command(WRITE, DENYOOM, FAST, keys="RW insert")
def lpushx(db: Store, key: bytes, element: bytes, *elements: bytes) -> Value:
    """LPUSHX key element [element ...]: LPUSH, where there is a list already; else answer 0."""
    return 0 if db.get(key, LIST) is None else push(db, key, LEFT, element, *elements)


@command(WRITE, DENYOOM, FAST, keys="RW insert")
def rpushx(db: Store, key: bytes, element: bytes, *elements: bytes) -> Value:
    """RPUSHX key element [element ...]: RPUSH, where there is a list already; else answer 0."""
    return 0 if db.get(key, LIST) is None else push(db, key, RIGHT, element, *elements)


def push(db: Store, key: bytes, side: bytes, *elements: bytes) -> int:
    """Add elements at an end, one after the other; give the new length."""
    held = db.make(key, LIST)
    if side == LEFT:
        held.extendleft(elements)
    else:
        held.extend(elements)
    db.changed(key, event="lpush" if side == LEFT else "rpush")
    return len(held)


@command(WRITE, FAST, keys="RW access delete")
def lpop(db: Store, key: bytes, count: bytes | None = None) -> Value:
    """LPOP key [count]: take the first element, null where there is none; with a count, take so many, as a list."""
    return pop_some(db, key, LEFT, count)


@command(WRITE, FAST, keys="RW access delete")
def rpop(db: Store, key: bytes, count: bytes | None = None) -> Value:
    """RPOP key [count]: take the last element, null where there is none; with a count, take so many, last one first."""
    return pop_some(db, key, RIGHT, count)


def pop_some(db: Store, key: bytes, side: bytes, count: bytes | None) -> Value:
    """Take one element, or as many as `count` says."""
    number = 1 if count is None else parse_integer(count)
    if number is None or number < 0:
        raise not_positive()
    if db.get(key, LIST) is None:
        return None if count is None else NULL_ARRAY
    if not number:
        return []
    taken = pop(db, key, side, number)
    return taken[0] if count is None else taken


def pop(db: Store, key: bytes, side: bytes, count: int, log: Args | None = None) -> list[bytes]:
    """Take so many elements, or all there are, from an end of a list that is there."""
    held = db.make(key, LIST)
    take = held.popleft if side == LEFT else held.pop
    taken = [take() for _ in range(min(count, len(held)))]
    db.changed(key, log=log, event="lpop" if side == LEFT else "rpop")
    return taken


@command(READONLY, FAST, keys="RO")
def llen(db: Store, key: bytes) -> Value:
    """LLEN key: answer with the number of elements."""
    return len(db.get(key, LIST) or ())


@command(READONLY)
def lindex(db: Store, key: bytes, index: bytes) -> Value:
    """LINDEX key index: answer with the element at the index, from 0 on; -1 is the last. Null where there is none."""
    held = db.get(key, LIST)
    if held is None:
        return None
    place = integer(index)
    return held[place] if -len(held) <= place < len(held) else None


@command(WRITE, DENYOOM, keys="RW update")
def lset(db: Store, key: bytes, index: bytes, element: bytes) -> Value:
    """LSET key index element: put another element there."""
    held = db.get(key, LIST)
    if held is None:
        raise no_such_key()
    place = integer(index)
    if not -len(held) <= place < len(held):
        raise ReplyError("ERR index out of range")
    held[place] = element
    db.changed(key)
    return "OK"


@command(READONLY)
def lrange(db: Store, key: bytes, start: int, stop: int) -> Value:
    """LRANGE key start stop: answer with the elements from one index to the other, both of them included."""
    held = db.get(key, LIST) or LIST()
    first, after = index_range(len(held), start, stop)
    behind = len(held) - after
    if first <= behind:
        return list(islice(held, first, after))
    return list(islice(reversed(held), behind, len(held) - first))[::-1]  # from the nearer end


@command(WRITE, keys="RW delete")
def ltrim(db: Store, key: bytes, start: int, stop: int) -> Value:
    """LTRIM key start stop: keep the elements from one index to the other, and no others."""
    held = db.get(key, LIST)
    if held is None:
        return "OK"
    before = len(held)
    first, after = index_range(before, start, stop)
    for _ in range(before - after):
        held.pop()
    for _ in range(min(first, len(held))):
        held.popleft()
    db.changed(key, log=AS_REQUESTED if len(held) < before else UNLOGGED)  # Redis notifies even if nothing was removed
    return "OK"


@command(WRITE, keys="RW delete")
def lrem(db: Store, key: bytes, count: int, element: bytes) -> Value:
    """LREM key count element: remove elements that equal this one; answer with how many.

    The first `count` of them, the last ones where it is negative, all where it is 0.
    """
    held = db.get(key, LIST) or LIST()
    removed = left = min(abs(count) or MOST, held.count(element))
    if not removed:
        return 0
    kept = LIST()
    rest = reversed(held) if count < 0 else iter(held)
    for each in rest:
        if each != element:
            kept.append(each)
        elif not (left := left - 1):
            break
    kept.extend(rest)
    if count < 0:
        kept.reverse()
    held.clear()
    held.extend(kept)
    db.changed(key)
    return removed


@command(WRITE, DENYOOM, keys="RW insert")
def linsert(db: Store, key: bytes, where: bytes, pivot: bytes, element: bytes) -> Value:
    """LINSERT key BEFORE | AFTER pivot element: put it beside the first element that equals the pivot.

    Answer with the new length, -1 where nothing equals the pivot, 0 where there is no list.
    """
    if where.upper() not in (b"BEFORE", b"AFTER"):
        raise syntax_error()
    held = db.get(key, LIST)
    if held is None:
        return 0
    if pivot not in held:
        return -1
    held.insert(held.index(pivot) + (where.upper() == b"AFTER"), element)
    db.changed(key)
    return len(held)


@command(READONLY)
def lpos(db: Store, key: bytes, element: bytes, *options: bytes) -> Value:
    """LPOS key element [RANK rank] [COUNT count] [MAXLEN len]: answer with the index of an element, or null.

    RANK 2 means the second one that equals it, -1 the first from the end; COUNT asks for a list of so many
    indexes, 0 for all; MAXLEN says how many elements to look at, 0: all.
    """
    rank, count, most = parse_lpos_options(options)
    held = db.get(key, LIST) or LIST()
    places = zip(range(len(held) - 1, -1, -1), reversed(held), strict=True) if rank < 0 else enumerate(held)
    found = (place for place, each in islice(places, min(most or MOST, len(held))) if each == element)
    first = min(abs(rank) - 1, len(held))
    if count is None:
        return next(islice(found, first, None), None)
    return list(islice(found, first, first + min(count or MOST, len(held))))


def parse_lpos_options(args: Sequence[bytes]) -> tuple[int, int | None, int]:
    """Read LPOS's RANK, COUNT and MAXLEN."""
    rank, limits = 1, {b"count": None, b"maxlen": 0}
    options = Options(args)
    for option in options:
        value = options.value()
        if option not in (b"rank", *limits):
            raise syntax_error()
        if option == b"rank":
            rank = integer(value)
            if rank == 0:
                raise ReplyError(RANK_ZERO)
        else:
            number = parse_integer(value)
            if number is None or number < 0:
                raise ReplyError(f"ERR {option.decode().upper()} can't be negative")
            limits[option] = number
    if rank < -MOST:  # in Redis 7.0 its opposite overflows, and so any match will do
        rank = -1
    return rank, limits[b"count"], limits[b"maxlen"] or 0
