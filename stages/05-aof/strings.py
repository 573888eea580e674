"""Commands for strings: bytes, which are numbers too if they look like one."""

from command import command
from errors import ReplyError, not_an_integer, syntax_error
from reader import parse_integer
from store import STRING, Store
from writer import Value


@command
def set_(db: Store, key: bytes, value: bytes, *options: bytes) -> Value:
    """SET key value [NX | XX] [GET]: set the key, whatever its old value is; answer OK.

    With NX it is set only if there is no such key, with XX only if there is one; otherwise the answer is null.
    With GET the answer is the old value, or null if there is none, whether the key was set or not.
    Options come in any order, in upper or lower case, also twice. When the key is set, call `db.changed(key)`.

    Raises, before anything is set: `syntax_error()` for any other option and for NX together with XX; after that, with
    GET, `wrong_type()` if the old value is not a string.
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


@command
def get(db: Store, key: bytes) -> Value:
    """GET key: answer with the string, or null if there is no such key."""
    return db.get(key, STRING)


@command
def strlen(db: Store, key: bytes) -> Value:
    """STRLEN key: answer with the length of the string in bytes; 0 if there is no such key."""
    return len(db.get(key, STRING) or b"")


@command
def append(db: Store, key: bytes, value: bytes) -> Value:
    """APPEND key value: add the value at the end of the string; answer with the new length.

    If there is no such key, the old string is empty. At the end call `db.changed(key)`, whatever the value.
    """
    joined = (db.get(key, STRING) or b"") + value
    db.put(key, joined)
    db.changed(key)
    return len(joined)


@command
def incr(db: Store, key: bytes) -> Value:
    """INCR key: add 1 to the number at the key (`add`); answer with the sum."""
    return add(db, key, 1)


@command
def decr(db: Store, key: bytes) -> Value:
    """DECR key: subtract 1 from the number at the key; answer with the difference."""
    return add(db, key, -1)


@command
def incrby(db: Store, key: bytes, increment: int) -> Value:
    """INCRBY key increment: add to the number at the key (`add`); answer with the sum."""
    return add(db, key, increment)


@command
def decrby(db: Store, key: bytes, decrement: int) -> Value:
    """DECRBY key decrement: subtract the decrement from the number at the key; answer with the difference."""
    if decrement == -(2**63):  # its opposite does not fit into 64 bits
        raise ReplyError("ERR decrement would overflow")
    return add(db, key, -decrement)


def add(db: Store, key: bytes, increment: int) -> int:
    """Add to the number at `key`, which is 0 if there is no such key; then call `db.changed(key)`; return the sum.

    The value is still a string of decimal digits. `parse_integer` of the reader reads it. An increment of 0 is added
    like any other.

    Raises, before anything is set: `not_an_integer()` if the value is no 64-bit integer (an empty string is none), and
    `ReplyError("ERR increment or decrement would overflow")` if the sum is none.

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
