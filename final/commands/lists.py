"""Commands for lists: sequences of elements, pushed and popped at both ends."""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from sys import getsizeof

from ..data.kinds import KINDS, PIECE, Args, Form, Kind
from ..data.memory import estimate
from ..data.packing import LIMITS
from ..data.store import Store
from ..data.unit import AS_REQUESTED, UNLOGGED
from ..engine.args import OptionCursor, index_range, integer
from ..engine.command import DENYOOM, FAST, READONLY, REPLY_FIRST, WRITE, Group
from ..engine.signature import command, complexity
from ..log.rdb.packed import pack_quicklist
from ..protocol.errors import ReplyError, no_such_key, not_positive, syntax_error
from ..protocol.numeric import parse_integer
from ..protocol.writer import NULL_ARRAY, Strings, Value

GROUP = Group("list", "@list", "l")

# A deque pushes and pops at both ends in constant time; a Python list moves all its elements when the first is removed.
# A deque is a linked list of blocks of 64 elements, as Redis's quicklist is one of listpacks. So LINDEX, LSET and
# LINSERT walk the blocks from the nearer end, 0.03 ms to the middle of a million elements.
List = deque[bytes]
LIST: type[List] = deque
LEFT, RIGHT = b"LEFT", b"RIGHT"
MOST = 2**63 - 1
RANK_ZERO = (
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... "
    "or use negative to start from the end of the list"
)


def dump(key: bytes, value: List) -> Iterator[Args]:
    """Yield the requests that create this list, at most PIECE elements in each."""
    elements = iter(value)
    while piece := list(islice(elements, PIECE)):
        yield b"RPUSH", key, *piece


def encoding(value: List) -> str:
    """Return the encoding that Redis would use: up to 7.0, a quicklist for every list."""
    return "quicklist"


def size(value: List, samples: int) -> int:
    """Return the memory that this list takes, in bytes, estimated from `samples` elements."""
    return getsizeof(value) + estimate(value, samples)


def rdb(value: List, remembered: str | None) -> Form:
    """Return what this list is in a snapshot: nodes, as RPUSH would fill them."""
    return 18, pack_quicklist(value, LIMITS.list_max_listpack_size)


KINDS[LIST] = Kind("list", dump, encoding, size, copy=deque.copy, rdb=rdb)


@command(WRITE, DENYOOM, FAST, REPLY_FIRST, keys="RW insert")
@complexity("O(1) for each element")
def lpush(db: Store, key: bytes, element: bytes, *elements: bytes) -> Value:
    """LPUSH key element [element ...]: insert the elements at the head, one after the other; answer with the length."""
    return push(db, key, LEFT, element, *elements)


@command(WRITE, DENYOOM, FAST, REPLY_FIRST, keys="RW insert")
@complexity("O(1) for each element")
def rpush(db: Store, key: bytes, element: bytes, *elements: bytes) -> Value:
    """RPUSH key element [element ...]: append the elements at the tail; answer with the length."""
    return push(db, key, RIGHT, element, *elements)


@command(WRITE, DENYOOM, FAST, REPLY_FIRST, keys="RW insert")
@complexity("O(1) for each element")
def lpushx(db: Store, key: bytes, element: bytes, *elements: bytes) -> Value:
    """LPUSHX key element [element ...]: LPUSH if the list exists; else answer 0."""
    return 0 if db.get(key, LIST) is None else push(db, key, LEFT, element, *elements)


@command(WRITE, DENYOOM, FAST, REPLY_FIRST, keys="RW insert")
@complexity("O(1) for each element")
def rpushx(db: Store, key: bytes, element: bytes, *elements: bytes) -> Value:
    """RPUSHX key element [element ...]: RPUSH if the list exists; else answer 0."""
    return 0 if db.get(key, LIST) is None else push(db, key, RIGHT, element, *elements)


def push(db: Store, key: bytes, side: bytes, *elements: bytes) -> int:
    """Push elements at one end, one after the other; return the new length."""
    held = db.make(key, LIST)
    if side == LEFT:
        held.extendleft(elements)
    else:
        held.extend(elements)
    db.changed(key, event="lpush" if side == LEFT else "rpush", count=len(elements))
    return len(held)


@command(WRITE, FAST, REPLY_FIRST, keys="RW access delete")
@complexity("O(N) for N elements in the answer")
def lpop(db: Store, key: bytes, count: bytes | None = None) -> Value:
    """LPOP key [count]: pop the first element; with a count, up to `count` elements. Null if there is no list."""
    return pop_count(db, key, LEFT, count)


@command(WRITE, FAST, REPLY_FIRST, keys="RW access delete")
@complexity("O(N) for N elements in the answer")
def rpop(db: Store, key: bytes, count: bytes | None = None) -> Value:
    """RPOP key [count]: pop the last element; with a count, up to `count` elements. Null if there is no list."""
    return pop_count(db, key, RIGHT, count)


def pop_count(db: Store, key: bytes, side: bytes, count: bytes | None) -> Value:
    """Pop one element, or, as a list, up to `count` elements."""
    number = 1 if count is None else parse_integer(count)
    if number is None or number < 0:
        raise not_positive()
    if db.get(key, LIST) is None:
        return None if count is None else NULL_ARRAY
    if not number:
        return []
    popped = pop(db, key, side, number)
    return popped[0] if count is None else popped


def pop(db: Store, key: bytes, side: bytes, count: int, log: Args | None = None) -> list[bytes]:
    """Pop up to `count` elements from one end of an existing list; return them."""
    held = db.make(key, LIST)
    pop_one = held.popleft if side == LEFT else held.pop
    popped = [pop_one() for _ in range(min(count, len(held)))]
    db.changed(key, log=log, event="lpop" if side == LEFT else "rpop", count=len(popped))
    return popped


@command(READONLY, FAST, keys="RO")
def llen(db: Store, key: bytes) -> Value:
    """LLEN key: answer with the number of elements."""
    return len(db.get(key, LIST) or ())


@command(READONLY)
@complexity("O(N) for N elements from there to the nearer end")
def lindex(db: Store, key: bytes, index: bytes) -> Value:
    """LINDEX key index: answer with the element at the index, or null; 0 is the first, -1 the last element."""
    held = db.get(key, LIST)
    if held is None:
        return None
    position = integer(index)
    return held[position] if -len(held) <= position < len(held) else None


@command(WRITE, DENYOOM, REPLY_FIRST, keys="RW update")
@complexity("O(N) for N elements of the list")
def lset(db: Store, key: bytes, index: bytes, element: bytes) -> Value:
    """LSET key index element: replace the element at the index; answer OK."""
    held = db.get(key, LIST)
    if held is None:
        raise no_such_key()
    position = integer(index)
    if not -len(held) <= position < len(held):
        raise ReplyError("ERR index out of range")
    held[position] = element
    db.changed(key)
    return "OK"


@command(READONLY)
@complexity("O(S+N) for N elements in the answer, S before them")
def lrange(db: Store, key: bytes, start: int, stop: int) -> Value:
    """LRANGE key start stop: answer with the elements from `start` to `stop`, both included."""
    held = db.get(key, LIST) or LIST()
    first, after = index_range(len(held), start, stop)
    from_end = len(held) - after
    if first <= from_end:
        return Strings(islice(held, first, after))
    return Strings(list(islice(reversed(held), from_end, len(held) - first))[::-1])  # walks from the nearer end


@command(WRITE, keys="RW delete")
@complexity("O(N) for N elements removed")
def ltrim(db: Store, key: bytes, start: int, stop: int) -> Value:
    """LTRIM key start stop: remove all elements but those from `start` to `stop`; answer OK."""
    held = db.get(key, LIST)
    if held is None:
        return "OK"
    before = len(held)
    first, after = index_range(before, start, stop)
    for _ in range(before - after):
        held.pop()
    for _ in range(min(first, len(held))):
        held.popleft()
    gone = before - len(held)
    db.changed(key, log=AS_REQUESTED if gone else UNLOGGED, count=gone)  # an ltrim that removes nothing is published
    return "OK"


@command(WRITE, keys="RW delete")
@complexity("O(N+M) for N elements, M of them removed")
def lrem(db: Store, key: bytes, count: int, element: bytes) -> Value:
    """LREM key count element: remove elements equal to `element`; answer with their number.

    Remove the first `count` of them, the last -count if it is negative, all if it is 0.
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
    db.changed(key, count=removed)
    return removed


@command(WRITE, DENYOOM, keys="RW insert")
@complexity("O(N) for N elements before the pivot")
def linsert(db: Store, key: bytes, where: bytes, pivot: bytes, element: bytes) -> Value:
    """LINSERT key <BEFORE | AFTER> pivot element: insert the element next to the first one equal to `pivot`.

    Answer with the new length, -1 if no element equals the pivot, 0 if the list does not exist.
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
@complexity("O(N) for N elements of the list")
def lpos(db: Store, key: bytes, element: bytes, *options: bytes) -> Value:
    """LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len]: answer with the index of an element, or null.

    RANK 2 asks for the second match, -1 for the first from the end. COUNT asks for a list of that number of indexes, 0
    for all. MAXLEN limits the number of compared elements, 0 means all.
    """
    rank, count, maxlen = parse_lpos_options(options)
    held = db.get(key, LIST) or LIST()
    indexed = zip(range(len(held) - 1, -1, -1), reversed(held), strict=True) if rank < 0 else enumerate(held)
    found = (index for index, each in islice(indexed, min(maxlen or MOST, len(held))) if each == element)
    first = min(abs(rank) - 1, len(held))
    if count is None:
        return next(islice(found, first, None), None)
    return list(islice(found, first, first + min(count or MOST, len(held))))


def parse_lpos_options(args: Sequence[bytes]) -> tuple[int, int | None, int]:
    """Parse the options of LPOS; return RANK, COUNT (None if it is missing) and MAXLEN."""
    rank, limits = 1, {b"count": None, b"maxlen": 0}
    options = OptionCursor(args)
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
    if rank < -MOST:  # Redis 7.0 negates it, which overflows: it behaves like -1
        rank = -1
    return rank, limits[b"count"], limits[b"maxlen"] or 0
