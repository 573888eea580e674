"""Commands for lists: elements in order, to be added and taken at both ends."""

from collections import deque
from collections.abc import Iterator
from itertools import islice

from ..command import DENYOOM, FAST, MOVABLEKEYS, READONLY, WRITE, command, integer, parse_several
from ..errors import ReplyError, no_such_key, not_positive, syntax_error
from ..reader import parse_integer
from ..store import PIECE, Store, Words, register
from ..writer import NULL_ARRAY, Value

# A deque adds and takes at both ends at once, as a queue wants it; a Python list moves all the others when its first
# element goes. It is blocks of 64 elements, chained: to get at one in the middle, LINDEX walks the blocks from the
# nearer end, 0.2 ms in the middle of a million, and so do LSET and LINSERT. Redis's quicklist walks just so.
List = deque[bytes]
LIST: type[List] = deque
LEFT, RIGHT = b"LEFT", b"RIGHT"
MOST = 2**63 - 1


def dump(key: bytes, value: List) -> Iterator[Words]:
    """The requests that make this list anew, a piece at a time."""
    elements = iter(value)
    while piece := list(islice(elements, PIECE)):
        yield b"RPUSH", key, *piece


def encoding(value: List) -> str:
    """How Redis would keep this list: up to 7.0, always as a quicklist."""
    return "quicklist"


register(LIST, "list", dump, encoding)


def end(word: bytes) -> bytes:
    """Read LEFT or RIGHT."""
    if word.upper() not in (LEFT, RIGHT):
        raise syntax_error()
    return word.upper()


@command(WRITE, DENYOOM, FAST)
def lpush(db: Store, key: bytes, element: bytes, *elements: bytes) -> Value:
    """LPUSH key element [element ...]: put them before the first, one after the other; answer with the length."""
    return push(db, key, LEFT, element, *elements)


@command(WRITE, DENYOOM, FAST)
def rpush(db: Store, key: bytes, element: bytes, *elements: bytes) -> Value:
    """RPUSH key element [element ...]: put them behind the last, one after the other; answer with the length."""
    return push(db, key, RIGHT, element, *elements)


@command(WRITE, DENYOOM, FAST)
def lpushx(db: Store, key: bytes, element: bytes, *elements: bytes) -> Value:
    """LPUSHX key element [element ...]: LPUSH, where there is a list already; else answer 0."""
    return 0 if db.get(key, LIST) is None else push(db, key, LEFT, element, *elements)


@command(WRITE, DENYOOM, FAST)
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


@command(WRITE, FAST)
def lpop(db: Store, key: bytes, count: bytes | None = None) -> Value:
    """LPOP key [count]: take the first element, null where there is none; with a count, take so many, as a list."""
    return pop_some(db, key, LEFT, count)


@command(WRITE, FAST)
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


def pop(db: Store, key: bytes, side: bytes, count: int, log: Words | None = None) -> list[bytes]:
    """Take so many elements, or all there are, from an end of a list that is there."""
    held = db.make(key, LIST)
    take = held.popleft if side == LEFT else held.pop
    taken = [take() for _ in range(min(count, len(held)))]
    db.changed(key, log=log, event="lpop" if side == LEFT else "rpop")
    return taken


@command(WRITE, MOVABLEKEYS)
def lmpop(db: Store, numkeys: bytes, first: bytes, second: bytes, *more: bytes) -> Value:
    """LMPOP numkeys key [key ...] LEFT | RIGHT [COUNT count]: pop from the first list there is; answer with both."""
    keys, side, count = parse_several(numkeys, (first, second, *more), (LEFT, RIGHT))
    return next((pop_from(db, key, side, count) for key in keys if db.get(key, LIST)), NULL_ARRAY)


def pop_from(db: Store, key: bytes, side: bytes, count: int) -> Value:
    """Take some elements from a list that is there: its key, and the elements. The log gets how many there were."""
    number = min(count, len(db.make(key, LIST)))
    return [key, pop(db, key, side, number, log=(side[:1] + b"POP", key, b"%d" % number))]


@command(WRITE, DENYOOM, keys=(1, 2, 1))
def lmove(db: Store, source: bytes, destination: bytes, wherefrom: bytes, whereto: bytes) -> Value:
    """LMOVE source destination LEFT | RIGHT LEFT | RIGHT: take an element here, add it there; answer with it."""
    sides = end(wherefrom), end(whereto)
    return move(db, source, destination, *sides)


@command(WRITE, DENYOOM, keys=(1, 2, 1))
def rpoplpush(db: Store, source: bytes, destination: bytes) -> Value:
    """RPOPLPUSH source destination: what LMOVE does with RIGHT LEFT."""
    return move(db, source, destination, RIGHT, LEFT)


def move(
    db: Store, source: bytes, destination: bytes, wherefrom: bytes, whereto: bytes, log: Words | None = None
) -> Value:
    """Move one element, perhaps within one list; give it, or None where there is none."""
    held = db.get(source, LIST)
    if held is None:
        return None
    there = db.get(destination, LIST)  # before anything is taken: it may be of another type
    element = held.popleft() if wherefrom == LEFT else held.pop()
    if there is None:
        there = db.make(destination, LIST)
    if whereto == LEFT:
        there.appendleft(element)
    else:
        there.append(element)
    db.changed(destination, log=log, event="lpush" if whereto == LEFT else "rpush")
    db.changed(source, log=() if log else None, event="lpop" if wherefrom == LEFT else "rpop")
    return element


@command(READONLY, FAST)
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


@command(WRITE, DENYOOM)
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
    first, after = span(len(held), start, stop)
    behind = len(held) - after
    if first <= behind:
        return list(islice(held, first, after))
    return list(islice(reversed(held), behind, len(held) - first))[::-1]  # from the nearer end


def span(length: int, start: int, stop: int) -> tuple[int, int]:
    """Two indexes as Redis means them, -1 being the last, as the index of the first and the one after the last.

    >>> span(5, 1, -2), span(5, -100, 100), span(5, 3, 1)
    ((1, 4), (0, 5), (5, 5))
    """
    first = max(start + length if start < 0 else start, 0)
    after = min((stop + length if stop < 0 else stop) + 1, length)
    return (first, after) if first < after else (length, length)


@command(WRITE)
def ltrim(db: Store, key: bytes, start: int, stop: int) -> Value:
    """LTRIM key start stop: keep the elements from one index to the other, and no others."""
    held = db.get(key, LIST)
    if held is None:
        return "OK"
    before = len(held)
    first, after = span(before, start, stop)
    for _ in range(before - after):
        held.pop()
    for _ in range(min(first, len(held))):
        held.popleft()
    db.changed(key, log=None if len(held) < before else ())  # Redis tells of it, and touches, even if nothing went
    return "OK"


@command(WRITE)
def lrem(db: Store, key: bytes, count: int, element: bytes) -> Value:
    """LREM key count element: remove elements that equal this one; answer with how many.

    The first `count` of them, the last ones where it is negative, all where it is 0.
    """
    held = db.get(key, LIST)
    if held is None:
        return 0
    going = min(abs(count) or MOST, held.count(element))
    if not going:
        return 0
    found = (place for place, each in walk(held, backwards=count < 0) if each == element)
    for place in sorted(islice(found, going), reverse=True) if going < 8 else ():
        del held[place]
    db.changed(key)
    return going


def walk(held: List, backwards: bool) -> Iterator[tuple[int, bytes]]:
    """The elements with their indexes, from either end."""
    return zip(range(len(held) - 1, -1, -1), reversed(held), strict=True) if backwards else enumerate(held)
