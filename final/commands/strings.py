"""Commands for strings: bytes, which are also numbers when they look like one."""

from collections.abc import Iterator, Sequence
from sys import getsizeof

from ..data.store import AS_COMMANDED, KINDS, UNLOGGED, Args, Kind, Store
from ..engine.args import Options
from ..engine.command import DENYOOM, FAST, READONLY, WRITE, Group
from ..engine.context import Engine
from ..engine.signature import command
from ..protocol.errors import ReplyError, syntax_error, wrong_number_of_arguments
from ..protocol.numeric import add_floats, add_integers, parse_integer
from ..protocol.writer import Value
from .expire import from_now, set_deadline

GROUP = Group("string", "@string", "$")

STRING: type[bytes] = bytes
TIMES = (b"ex", b"px", b"exat", b"pxat")  # options that a time follows


def dump(key: bytes, value: bytes) -> Iterator[Args]:
    """The request that makes this string anew."""
    yield b"SET", key, value


def encoding(value: bytes) -> str:
    """How Redis would keep this string: as a number, next to its key, or elsewhere."""
    return "int" if parse_integer(value) is not None else "embstr" if len(value) <= 44 else "raw"


KINDS[STRING] = Kind("string", dump, encoding, size=lambda value, _: getsizeof(value), copy=bytes)


def parse_options(args: Sequence[bytes], allowed: tuple[bytes, ...]) -> dict[bytes, bytes]:
    """Read the options of SET and GETEX, in any order: each in lower case, with its time where it has one."""
    chosen: dict[bytes, bytes] = {}
    options = Options(args)
    for option in options:
        if option not in allowed:
            raise syntax_error()
        chosen[option] = options.value() if option in TIMES else b""
    lifetimes = chosen.keys() & {*TIMES, b"keepttl", b"persist"}
    if len(lifetimes) > 1 or {b"nx", b"xx"} <= chosen.keys():
        raise syntax_error()
    return chosen


def chosen_time(db: Store, chosen: dict[bytes, bytes], command: str) -> int | None:
    """The deadline that the options give, in milliseconds since 1970; None where they give none."""
    for option in TIMES:
        if option in chosen:
            return from_now(db, option, chosen[option], command)
    return None


def key_of_set(args: list[bytes]) -> Iterator[tuple[int, str]]:
    """The index of SET's key, and how it is used: with GET it is read, too."""
    yield 1, "RW access update" if b"get" in map(bytes.lower, args[3:]) else "OW update"


@command(WRITE, DENYOOM, keys="RW access update variable_flags", find_keys=key_of_set)
def set_(db: Store, key: bytes, value: bytes, *options: bytes) -> Value:
    """SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]: set the key, whatever it held; answer OK.

    With NX only where there is no such key, with XX only where there is one; answer null when it was not set.
    With GET answer with the value from before, or null, whether the key was set or not.
    """  # noqa: E501  (the first line is what redis-cli shows)
    if not options:
        db.put(key, value)
        db.changed(key)
        return "OK"
    chosen = parse_options(options, (b"nx", b"xx", b"get", b"keepttl", *TIMES))
    deadline = chosen_time(db, chosen, "set")
    old = db.get(key, STRING) if b"get" in chosen else None
    exists = key in db
    possible = not (b"nx" in chosen and exists) and not (b"xx" in chosen and not exists)
    if possible:
        db.put(key, value, db.deadline(key) if b"keepttl" in chosen else deadline)
        if deadline is not None:
            note_deadline(db, key, value, deadline)
        else:
            db.changed(key, log=(b"SET", key, value, *(arg for arg in options if arg.lower() != b"get")))
    if b"get" in chosen:
        return old
    return "OK" if possible else None


@command(WRITE, DENYOOM, FAST, keys="OW insert")
def setnx(db: Store, key: bytes, value: bytes) -> Value:
    """SETNX key value: set the key where there is none yet; answer 1, else 0."""
    if key in db:
        return 0
    db.put(key, value)
    db.changed(key, event="set")
    return 1


@command(WRITE, DENYOOM, keys="OW update")
def setex(db: Store, key: bytes, seconds: bytes, value: bytes) -> Value:
    """SETEX key seconds value: set the key, to expire after so many seconds."""
    return set_with_deadline(db, key, value, from_now(db, b"ex", seconds, "setex"))


@command(WRITE, DENYOOM, keys="OW update")
def psetex(db: Store, key: bytes, milliseconds: bytes, value: bytes) -> Value:
    """PSETEX key milliseconds value: set the key, to expire after so many milliseconds."""
    return set_with_deadline(db, key, value, from_now(db, b"px", milliseconds, "psetex"))


def set_with_deadline(db: Store, key: bytes, value: bytes, deadline: int) -> Value:
    """Set the key, whatever it held, to expire at this time."""
    db.put(key, value, deadline)
    note_deadline(db, key, value, deadline)
    return "OK"


def note_deadline(db: Store, key: bytes, value: bytes, deadline: int) -> None:
    """The key was set, to expire at this time: the log gets the time, not how long it was off."""
    db.changed(key, log=(b"SET", key, value, b"PXAT", b"%d" % deadline), event="set")
    db.changed(key, log=UNLOGGED, event="expire")


@command(READONLY, FAST)
def get(db: Store, key: bytes) -> Value:
    """GET key: answer with the string, or null where there is no such key."""
    return db.get(key, STRING)


@command(WRITE, FAST, keys="RW access delete")
def getdel(db: Store, key: bytes) -> Value:
    """GETDEL key: answer with the string, and remove the key."""
    value = db.get(key, STRING)
    if value is not None:
        db.delete(key)
        db.changed(key, log=(b"DEL", key), event="del")
    return value


@command(WRITE, FAST, keys="RW access update")
def getex(db: Store, key: bytes, *options: bytes) -> Value:
    """GETEX key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]: answer with the string, and set when it expires, or that it does not."""  # noqa: E501
    chosen = parse_options(options, (b"persist", *TIMES))
    value = db.get(key, STRING)
    if value is None:
        return None
    deadline = chosen_time(db, chosen, "getex")
    if deadline is not None:
        set_deadline(db, key, deadline)
    elif b"persist" in chosen and db.persist(key):
        db.changed(key, log=(b"PERSIST", key), event="persist")
    return value


@command(WRITE, DENYOOM, FAST, keys="RW access update")
def getset(db: Store, key: bytes, value: bytes) -> Value:
    """GETSET key value: set the key; answer with the string from before, or null."""
    old = db.get(key, STRING)
    db.put(key, value)
    db.changed(key, log=(b"SET", key, value), event="set")
    return old


@command(READONLY, FAST)
def mget(db: Store, key: bytes, *keys: bytes) -> Value:
    """MGET key [key ...]: answer with the strings; null where there is no such key, or no string."""
    return [db.get(each, STRING) if db.kind(each) is STRING else None for each in (key, *keys)]


@command(WRITE, DENYOOM, keys="OW update", step=2)
def mset(db: Store, key: bytes, value: bytes, *more: bytes) -> Value:
    """MSET key value [key value ...]: set the keys."""
    set_pairs(db, "mset", key, value, *more)
    return "OK"


@command(WRITE, DENYOOM, keys="OW insert", step=2)
def msetnx(db: Store, key: bytes, value: bytes, *more: bytes) -> Value:
    """MSETNX key value [key value ...]: set the keys, where none of them is there yet; answer 1, else 0."""
    if len(more) % 2 == 0 and any(each in db for each in (key, *more[::2])):
        return 0
    set_pairs(db, "msetnx", key, value, *more)
    return 1


def set_pairs(db: Store, command: str, *pairs: bytes) -> None:
    """Set keys to values, which come in turn."""
    if len(pairs) % 2:
        raise wrong_number_of_arguments(command)
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        db.put(key, value)
    db.changed(*pairs[::2], event="set")


@command(WRITE, DENYOOM, FAST, keys="RW insert")
def append(engine: Engine, db: Store, key: bytes, value: bytes) -> Value:
    """APPEND key value: put the value at the string's end (no key: an empty string); answer with the new length."""
    old = db.get(key, STRING) or b""
    check_size(engine, len(old) + len(value))
    return replace(db, key, old + value)


@command(READONLY, FAST, keys="RO")
def strlen(db: Store, key: bytes) -> Value:
    """STRLEN key: answer with the string's length in bytes; 0 where there is no such key."""
    return len(db.get(key, STRING) or b"")


@command(READONLY)
def getrange(db: Store, key: bytes, start: int, end: int) -> Value:
    """GETRANGE key start end: answer with the bytes from start to end, both included; -1 is the last one."""
    value = db.get(key, STRING) or b""
    first, last = (max(place + len(value), 0) if place < 0 else place for place in (start, end))
    if start < 0 and end < 0 and start > end:
        return b""
    return value[first : last + 1]


@command(READONLY)
def substr(db: Store, key: bytes, start: int, end: int) -> Value:
    """SUBSTR key start end: what GETRANGE was called before."""
    return getrange(db, key, start, end)


@command(WRITE, DENYOOM, keys="RW update")
def setrange(engine: Engine, db: Store, key: bytes, offset: int, value: bytes) -> Value:
    """SETRANGE key offset value: write the value over the string from the offset on; answer with the new length.

    Where the string is shorter than the offset, zero bytes fill the gap.
    """
    if offset < 0:
        raise ReplyError("ERR offset is out of range")
    old = db.get(key, STRING) or b""
    if not value:
        return len(old)
    check_size(engine, offset + len(value))
    return replace(db, key, old[:offset].ljust(offset, b"\0") + value + old[offset + len(value) :])


def replace(db: Store, key: bytes, value: bytes, event: str = AS_COMMANDED) -> int:
    """Put a changed string in the old one's place, with its deadline; give its length."""
    db.replace(key, value)
    db.changed(key, event=event)
    return len(value)


def check_size(engine: Engine, size: int) -> None:
    """Refuse a string that would be longer than a client may send one."""
    if size > engine.options.proto_max_bulk_len:
        raise ReplyError("ERR string exceeds maximum allowed size (proto-max-bulk-len)")


@command(WRITE, DENYOOM, FAST, keys="RW access update")
def incr(db: Store, key: bytes) -> Value:
    """INCR key: add 1; answer with the new number."""
    return add(db, key, 1)


@command(WRITE, DENYOOM, FAST, keys="RW access update")
def decr(db: Store, key: bytes) -> Value:
    """DECR key: subtract 1; answer with the new number."""
    return add(db, key, -1)


@command(WRITE, DENYOOM, FAST, keys="RW access update")
def incrby(db: Store, key: bytes, increment: int) -> Value:
    """INCRBY key increment: add; answer with the new number."""
    return add(db, key, increment)


@command(WRITE, DENYOOM, FAST, keys="RW access update")
def decrby(db: Store, key: bytes, decrement: int) -> Value:
    """DECRBY key decrement: subtract; answer with the new number."""
    if decrement == -(2**63):  # its opposite does not fit into 64 bits
        raise ReplyError("ERR decrement would overflow")
    return add(db, key, -decrement)


def add(db: Store, key: bytes, increment: int) -> int:
    """Add to the number at `key` (no key: 0) and give the sum. The value stays a string: `10`, not ten."""
    old = db.get(key, STRING)
    total = add_integers(b"0" if old is None else old, increment)
    replace(db, key, b"%d" % total, event="incrby")
    return total


@command(WRITE, DENYOOM, FAST, keys="RW access update")
def incrbyfloat(db: Store, key: bytes, increment: bytes) -> Value:
    """INCRBYFLOAT key increment: add; answer with the new number. The log gets the sum, however it came about."""
    old = db.get(key, STRING)
    total = add_floats(b"0" if old is None else old, increment)
    db.replace(key, total)
    db.changed(key, log=(b"SET", key, total, b"KEEPTTL"))
    return total
