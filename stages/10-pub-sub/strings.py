"""Commands for strings: bytes, which are numbers too if they look like one."""

from command import command
from errors import ReplyError, not_an_integer, syntax_error, wrong_number_of_arguments
from expire import UNITS, from_option, set_deadline
from reader import parse_integer
from store import STRING, Store
from writer import Value


@command
def set_(db: Store, key: bytes, value: bytes, *options: bytes) -> Value:
    """SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]: set the key; answer OK.

    With NX it is set only if there is no such key, with XX only if there is one; otherwise the answer is null.
    With GET the answer is the old value, or null if there is none, whether the key was set or not.
    With EX, PX, EXAT or PXAT, the options of UNITS in `expire.py`, the key has the deadline that `from_option` returns
    for the option and its argument; with KEEPTTL it has the one that it had; else it has none.
    Options come in any order, in upper or lower case, also twice: then the last argument counts.

    If the key was set, call `db.changed(key)`. With a deadline the record is `SET key value PXAT deadline`, without
    other options; also for a moment in the past: who looks at the key next records its DEL. Ask `key in db` before
    anything is set, whatever the options: an expired key must be gone, and its DEL recorded, before the SET.

    Raises, before anything is set: `syntax_error()` for any other option, for NX together with XX, for two of EX, PX,
    EXAT, PXAT and KEEPTTL, and if one of the first four has no argument; the errors of `from_option`; with GET, and
    only then, `wrong_type()`, if the old value is not a string.
    """
    chosen: set[bytes] = set()
    times: dict[bytes, bytes] = {}
    rest = iter(options)
    for option in rest:
        name = option.lower()
        if name not in UNITS:
            chosen.add(name)
        elif (arg := next(rest, None)) is not None:
            times[name] = arg
        else:
            raise syntax_error()
    excluded = {b"nx", b"xx"} <= chosen or len(times) + (b"keepttl" in chosen) > 1
    if excluded or chosen - {b"nx", b"xx", b"get", b"keepttl"}:
        raise syntax_error()
    deadline = next((from_option(db, unit, arg, "set") for unit, arg in times.items()), None)
    exists = key in db
    old = db.get(key, STRING) if b"get" in chosen else None
    possible = not (b"nx" in chosen and exists) and not (b"xx" in chosen and not exists)
    if possible:
        db.put(key, value)
        if b"keepttl" not in chosen:
            db.persist(key)
        if deadline is None:
            db.changed(key)
        else:
            db.expire_at(key, deadline)
            db.changed(key, log=[b"SET", key, value, b"PXAT", b"%d" % deadline])
    if b"get" in chosen:
        return old
    return "OK" if possible else None


@command
def get(db: Store, key: bytes) -> Value:
    """GET key: answer with the string, or null if there is no such key."""
    return db.get(key, STRING)


@command
def getdel(db: Store, key: bytes) -> Value:
    """GETDEL key: remove the key; answer with the string that it was, or null."""
    old = db.get(key, STRING)
    if old is not None:
        db.delete(key)
        db.changed(key)
    return old


@command
def getex(db: Store, key: bytes, *options: bytes) -> Value:
    """GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]: GET, and set the deadline or take it away."""
    persists = [option.lower() for option in options] == [b"persist"]
    if options and not persists and (len(options) != 2 or options[0].lower() not in UNITS):
        raise syntax_error()
    held = db.get(key, STRING)
    if held is None:
        return None
    if persists and db.persist(key):
        db.changed(key, log=[b"PERSIST", key])
    elif options and not persists:
        set_deadline(db, key, from_option(db, options[0].lower(), options[1], "getex"))
    return held


@command
def mget(db: Store, key: bytes, *keys: bytes) -> Value:
    """MGET key [key ...]: answer with the string at each key, or null; a value of another kind is null, too."""
    return [db.get(each, STRING) if db.kind(each) is STRING else None for each in (key, *keys)]


@command
def mset(db: Store, key: bytes, value: bytes, *more: bytes) -> Value:
    """MSET key value [key value ...]: SET each key, all at once; answer OK."""
    if len(more) % 2:
        raise wrong_number_of_arguments("mset")
    args = (key, value, *more)
    for each, new in zip(args[::2], args[1::2], strict=True):
        db.delete(each)  # and its deadline
        db.put(each, new)
    db.changed(*args[::2])
    return "OK"


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
