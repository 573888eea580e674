"""Commands for lists: pushed and popped at both ends, and waited for. A deque does both in constant time."""

from collections import deque
from itertools import islice

from blocking import Wait
from command import command
from errors import ReplyError, syntax_error
from numeric import parse_float
from reader import parse_integer
from store import LIST, Store
from writer import NULL_ARRAY, Value

LEFT, RIGHT = b"LEFT", b"RIGHT"


def push(db: Store, key: bytes, side: bytes, elements: tuple[bytes, ...]) -> int:
    """Add elements at an end of the list, `LEFT` or `RIGHT`, one after the other; return its length.

    At the left end the last of them is the first of the list. Call `db.changed(key)`.

    >>> db = Store()
    >>> push(db, b"l", RIGHT, (b"a", b"b")), push(db, b"l", LEFT, (b"c", b"d"))
    (2, 4)
    >>> list(db.get(b"l", LIST))
    [b'd', b'c', b'a', b'b']
    """
    held = db.make(key, LIST)
    if side == LEFT:
        held.extendleft(elements)
    else:
        held.extend(elements)
    db.changed(key)
    return len(held)


def pop(db: Store, key: bytes, side: bytes, count: int, log: list[bytes] | None = None) -> list[bytes]:
    """Take up to `count` elements off an end of a list that exists; return them. Call `db.changed(key, log=log)`.

    If nothing was taken, because `count` is 0, nothing has changed.

    >>> db = Store()
    >>> _ = push(db, b"l", RIGHT, (b"a", b"b", b"c"))
    >>> pop(db, b"l", LEFT, 1), pop(db, b"l", RIGHT, 5), b"l" in db
    ([b'a'], [b'c', b'b'], False)
    """
    held = db.make(key, LIST)
    take = held.popleft if side == LEFT else held.pop
    popped = [take() for _ in range(min(count, len(held)))]
    if popped:
        db.changed(key, log=log)
    return popped


def move(
    db: Store, source: bytes, destination: bytes, sides: tuple[bytes, bytes], log: list[bytes] | None = None
) -> bytes:
    """Move an element of a list that exists from an end of it to an end of another one, or of the same; return it.

    Raises `wrong_type()` if the destination holds another kind, before the element is taken. Call `db.changed` once,
    with both keys and `log`.

    >>> db = Store()
    >>> _ = push(db, b"l", RIGHT, (b"a", b"b", b"c"))
    >>> move(db, b"l", b"l", (LEFT, RIGHT)), list(db.get(b"l", LIST))
    (b'a', [b'b', b'c', b'a'])
    >>> move(db, b"l", b"m", (RIGHT, LEFT)), list(db.get(b"l", LIST)), list(db.get(b"m", LIST))
    (b'a', [b'b', b'c'], [b'a'])
    """
    held, there = db.make(source, LIST), db.make(destination, LIST)
    element = held.popleft() if sides[0] == LEFT else held.pop()
    if sides[1] == LEFT:
        there.appendleft(element)
    else:
        there.append(element)
    db.changed(source, destination, log=log)
    return element


def span(start: int, stop: int, length: int) -> range:
    """Return the indexes from `start` to `stop`, both included, of `length` elements; negative ones count from the end.

    >>> span(0, -1, 5), span(-2, 9, 5), list(span(3, 1, 5))
    (range(0, 5), range(3, 5), [])
    """
    if start < 0:
        start = max(start + length, 0)
    if stop < 0:
        stop += length
    return range(start, max(start, min(stop + 1, length)))


@command
def lpush(db: Store, key: bytes, element: bytes, *elements: bytes) -> Value:
    """LPUSH key element [element ...]: add the elements at the left end (`push`); answer with the list's length."""
    return push(db, key, LEFT, (element, *elements))


@command
def rpush(db: Store, key: bytes, element: bytes, *elements: bytes) -> Value:
    """RPUSH key element [element ...]: add the elements at the right end; answer with the list's length."""
    return push(db, key, RIGHT, (element, *elements))


@command
def lpop(db: Store, key: bytes, count: bytes | None = None) -> Value:
    """LPOP key [count]: take the leftmost element, or up to `count` elements as an array; null if there is no list."""
    return pop_some(db, key, LEFT, count)


@command
def rpop(db: Store, key: bytes, count: bytes | None = None) -> Value:
    """RPOP key [count]: LPOP at the right end."""
    return pop_some(db, key, RIGHT, count)


def pop_some(db: Store, key: bytes, side: bytes, count: bytes | None) -> Value:
    """Answer to LPOP and RPOP. With a count the null is that of an array."""
    number = 1 if count is None else parse_integer(count)
    if number is None or number < 0:
        raise ReplyError("ERR value is out of range, must be positive")
    if db.get(key, LIST) is None:
        return None if count is None else NULL_ARRAY
    popped = pop(db, key, side, number)
    return popped[0] if count is None else popped


@command
def llen(db: Store, key: bytes) -> Value:
    """LLEN key: answer with the length of the list; 0 if there is none."""
    return len(db.get(key, LIST) or ())


@command
def lrange(db: Store, key: bytes, start: int, stop: int) -> Value:
    """LRANGE key start stop: answer with the elements of the `span` of these indexes; none if there is no list."""
    held = db.get(key, LIST) or deque()
    chosen = span(start, stop, len(held))
    return list(islice(held, chosen.start, chosen.stop))


@command
def lindex(db: Store, key: bytes, index: int) -> Value:
    """LINDEX key index: answer with the element at an index, or null."""
    held = db.get(key, LIST) or deque()
    return held[index] if -len(held) <= index < len(held) else None


@command
def lset(db: Store, key: bytes, index: int, element: bytes) -> Value:
    """LSET key index element: replace the element at an index; answer OK."""
    held = db.get(key, LIST)
    if held is None:
        raise ReplyError("ERR no such key")
    if not -len(held) <= index < len(held):
        raise ReplyError("ERR index out of range")
    held[index] = element
    db.changed(key)
    return "OK"


@command
def lrem(db: Store, key: bytes, count: int, element: bytes) -> Value:
    """LREM key count element: remove the first `count` equal elements; from the right if negative; all if 0."""
    held = db.get(key, LIST) or deque()
    number = min(abs(count) or len(held), held.count(element))
    if count < 0:
        held.reverse()
    for _ in range(number):
        held.remove(element)
    if count < 0:
        held.reverse()
    if number:
        db.changed(key)
    return number


@command
def ltrim(db: Store, key: bytes, start: int, stop: int) -> Value:
    """LTRIM key start stop: keep only the elements of the `span` of these indexes; answer OK."""
    held = db.get(key, LIST)
    if held is not None:
        kept = lrange(db, key, start, stop)
        held.clear()
        held.extend(kept)
        db.changed(key)
    return "OK"


@command
def lmove(db: Store, source: bytes, destination: bytes, wherefrom: bytes, whereto: bytes) -> Value:
    """LMOVE source destination LEFT | RIGHT LEFT | RIGHT: `move` an element; answer with it; null: no source.

    The sides are parsed before the keys are looked at.
    """
    sides = end_of(wherefrom), end_of(whereto)
    return None if db.get(source, LIST) is None else move(db, source, destination, sides)


def end_of(arg: bytes) -> bytes:
    """Parse LEFT or RIGHT, in any case. Raises `syntax_error()`."""
    if arg.upper() not in (LEFT, RIGHT):
        raise syntax_error()
    return arg.upper()


@command
def blpop(db: Store, key: bytes, second: bytes, *more: bytes) -> Value:
    """BLPOP key [key ...] timeout: LPOP of the first key that has a list; wait if none has (`blocking_pop`)."""
    return blocking_pop(db, LEFT, key, second, *more)


@command
def brpop(db: Store, key: bytes, second: bytes, *more: bytes) -> Value:
    """BRPOP key [key ...] timeout: BLPOP at the right end."""
    return blocking_pop(db, RIGHT, key, second, *more)


def blocking_pop(db: Store, side: bytes, *args: bytes) -> Value:
    """Answer to BLPOP and BRPOP: a list of the key and its element, or a Wait for any of the keys.

    `args` are keys, and at the end the timeout.

    The record for the log is `LPOP key` or `RPOP key`: a replay must not wait. Raises, before anything is taken, the
    errors of `parse_timeout`; and `wrong_type()` for a key of another kind, if no list is at a key before it.
    """

    def serve(key: bytes) -> Value:
        return [key, *pop(db, key, side, 1, log=[side[:1] + b"POP", key])]

    keys, seconds = args[:-1], parse_timeout(args[-1])
    for key in keys:
        if db.get(key, LIST) is not None:
            return serve(key)
    return Wait(keys, LIST, seconds, serve)


@command
def blmove(db: Store, source: bytes, destination: bytes, wherefrom: bytes, whereto: bytes, timeout: bytes) -> Value:
    """BLMOVE source destination LEFT | RIGHT LEFT | RIGHT timeout: LMOVE; wait if there is no source.

    The record for the log is the LMOVE.
    """
    sides = end_of(wherefrom), end_of(whereto)

    def serve(key: bytes) -> Value:
        return move(db, key, destination, sides, log=[b"LMOVE", key, destination, *sides])

    seconds = parse_timeout(timeout)
    return Wait((source,), LIST, seconds, serve) if db.get(source, LIST) is None else serve(source)


def parse_timeout(arg: bytes) -> float:
    """Parse a timeout in seconds, such as 0.5; 0 means forever. Raises ReplyError if it is none."""
    seconds = parse_float(arg)
    if seconds is None or seconds >= 2**53:
        raise ReplyError("ERR timeout is not a float or out of range")
    if seconds < 0:
        raise ReplyError("ERR timeout is negative")
    return seconds
