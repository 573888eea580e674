"""Commands for strings: bytes, which are also numbers when they look like one."""

from command import READONLY, WRITE, command
from errors import ReplyError, not_an_integer, syntax_error
from reader import parse_integer
from store import STRING, Store
from writer import Value


@command(WRITE)
def set_(db: Store, key: bytes, value: bytes, *options: bytes) -> Value:
    """SET key value [NX | XX] [GET]: set the key, whatever it held; answer OK.

    With NX only where there is no such key, with XX only where there is one; answer null when it was not set.
    With GET answer with the value from before, or null, whether the key was set or not; WRONGTYPE where the old
    value is no string, and then nothing is set. Options in capitals or not, in any order; else `syntax_error`.
    """
    chosen = {option.lower() for option in options}
    if chosen - {b"nx", b"xx", b"get"} or {b"nx", b"xx"} <= chosen:
        raise syntax_error()
    old = db.get(key, STRING) if b"get" in chosen else None
    possible = not (b"nx" in chosen and key in db) and not (b"xx" in chosen and key not in db)
    if possible:
        db.put(key, value)
        db.changed(key)
    if b"get" in chosen:
        return old
    return "OK" if possible else None


@command(READONLY)
def get(db: Store, key: bytes) -> Value:
    """GET key: answer with the string, or null where there is no such key."""
    return db.get(key, STRING)


@command(READONLY)
def strlen(db: Store, key: bytes) -> Value:
    """STRLEN key: answer with the string's length in bytes; 0 where there is no such key."""
    return len(db.get(key, STRING) or b"")


@command(WRITE)
def append(db: Store, key: bytes, value: bytes) -> Value:
    """APPEND key value: put the value at the string's end (no key: an empty string); answer with the new length."""
    joined = (db.get(key, STRING) or b"") + value
    db.put(key, joined)
    db.changed(key)
    return len(joined)


@command(WRITE)
def incr(db: Store, key: bytes) -> Value:
    """INCR key: add 1; answer with the new number."""
    return add(db, key, 1)


@command(WRITE)
def decr(db: Store, key: bytes) -> Value:
    """DECR key: subtract 1; answer with the new number."""
    return add(db, key, -1)


@command(WRITE)
def incrby(db: Store, key: bytes, increment: int) -> Value:
    """INCRBY key increment: add; answer with the new number."""
    return add(db, key, increment)


@command(WRITE)
def decrby(db: Store, key: bytes, decrement: int) -> Value:
    """DECRBY key decrement: subtract; answer with the new number."""
    if decrement == -(2**63):  # its opposite does not fit into 64 bits
        raise ReplyError("ERR decrement would overflow")
    return add(db, key, -decrement)


def add(db: Store, key: bytes, increment: int) -> int:
    """Add to the number at `key` (no key: 0) and give the sum. The value stays a string: `10`, not ten.

    Raises `not_an_integer` where the string is no 64-bit integer, and a ReplyError,
    `ERR increment or decrement would overflow`, where the sum would not be one.

    >>> db = Store()
    >>> add(db, b"visits", 5), add(db, b"visits", -7), db.get(b"visits", STRING)
    (5, -2, b'-2')
    """
    held = db.get(key, STRING)
    number = parse_integer(b"0" if held is None else held)
    if number is None:
        raise not_an_integer()
    total = number + increment
    if not -(2**63) <= total < 2**63:
        raise ReplyError("ERR increment or decrement would overflow")
    db.put(key, b"%d" % total)
    db.changed(key)
    return total
