"""Commands for strings: bytes, or numbers in decimal."""

from collections.abc import Iterator, Sequence
from sys import getsizeof

from ..data.kinds import KINDS, Args, Kind
from ..data.store import Store
from ..data.unit import AS_COMMANDED, UNLOGGED
from ..engine.args import OptionCursor
from ..engine.command import DENYOOM, FAST, READONLY, REPLY_FIRST, WRITE, Group
from ..engine.context import Engine
from ..engine.runs import gets, increments, sets
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError, syntax_error, wrong_number_of_arguments
from ..protocol.numeric import add_floats, add_integers, parse_integer
from ..protocol.writer import Value
from .expire import from_now, set_deadline

GROUP = Group("string", "@string", "$")

STRING: type[bytes] = bytes
EMBEDDED = 44  # the most bytes of an embstr (OBJ_ENCODING_EMBSTR_SIZE_LIMIT)
WITH_GET = "RW and ACCESS due to the optional `GET` argument"
TIMES = (b"ex", b"px", b"exat", b"pxat")  # options with a time as their value
LIFETIMES = {*TIMES, b"keepttl", b"persist"}  # of which a request may have one


def dump(key: bytes, value: bytes) -> Iterator[Args]:
    """Yield the request that creates this string."""
    yield b"SET", key, value


def encoding(value: bytes) -> str:
    """Return the encoding that Redis would use: int, embstr up to 44 bytes, else raw."""
    return "int" if parse_integer(value) is not None else "embstr" if len(value) <= EMBEDDED else "raw"


KINDS[STRING] = Kind(
    "string", dump, encoding, lambda value, _: getsizeof(value), copy=bytes, rdb=lambda value, _: (0, (value,))
)


def parse_options(args: Sequence[bytes], allowed: tuple[bytes, ...]) -> dict[bytes, bytes]:
    """Parse the options of SET and GETEX; map each in lower case to its time, or to b"". Raises `syntax_error`."""
    chosen: dict[bytes, bytes] = {}
    options = OptionCursor(args)
    for option in options:
        if option not in allowed:
            raise syntax_error()
        chosen[option] = options.value() if option in TIMES else b""
    if len(chosen) > 1 and (len(chosen.keys() & LIFETIMES) > 1 or {b"nx", b"xx"} <= chosen.keys()):
        raise syntax_error()
    return chosen


def deadline_in(db: Store, chosen: dict[bytes, bytes], command: str) -> int | None:
    """Return the deadline in the parsed options, as a Unix time in milliseconds, or None. Raises as `from_now` does."""
    for option in TIMES:
        if option in chosen:
            return from_now(db, option, chosen[option], command)
    return None


def key_of_set(args: list[bytes]) -> Iterator[tuple[int, str]]:
    """Yield the index of SET's key, with how it is used: GET reads it, too."""
    yield 1, "RW access update" if b"get" in map(bytes.lower, args[3:]) else "OW update"


@command(WRITE, DENYOOM, keys="RW access update variable_flags", find_keys=key_of_set, notes=[WITH_GET], run_of=sets)
def set_(db: Store, key: bytes, value: bytes, *options: bytes) -> Value:
    """SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]: set the key to the string, whatever its type was; answer OK.

    NX: only if the key does not exist. XX: only if it exists. The answer is null if the key was not set. With GET, the
    answer is the old value, or null, whether the key was set or not.
    """  # noqa: E501  (the first line is what redis-cli shows)
    if not options:
        db.put(key, value)
        db.changed(key)
        return "OK"
    chosen = parse_options(options, (b"nx", b"xx", b"get", b"keepttl", *TIMES))
    deadline = deadline_in(db, chosen, "set")
    old = get_old(db, key) if b"get" in chosen else None
    exists = key in db
    holds = not (b"nx" in chosen and exists) and not (b"xx" in chosen and not exists)
    if holds:
        db.put(key, value, db.deadline(key) if b"keepttl" in chosen else deadline)
        if deadline is not None:
            changed_with_deadline(db, key, value, deadline)
        else:
            db.changed(key, log=(b"SET", key, value, *(arg for arg in options if arg.lower() != b"get")))
    if b"get" in chosen:
        return old
    return "OK" if holds else None


@command(WRITE, DENYOOM, FAST, keys="OW insert")
def setnx(db: Store, key: bytes, value: bytes) -> Value:
    """SETNX key value: set the key if it does not exist; answer 1, else 0."""
    if key in db:
        return 0
    db.put(key, value)
    db.changed(key, event="set")
    return 1


@command(WRITE, DENYOOM, keys="OW update")
def setex(db: Store, key: bytes, seconds: bytes, value: bytes) -> Value:
    """SETEX key seconds value: SET with EX."""
    return set_with_deadline(db, key, value, from_now(db, b"ex", seconds, "setex"))


@command(WRITE, DENYOOM, keys="OW update")
def psetex(db: Store, key: bytes, milliseconds: bytes, value: bytes) -> Value:
    """PSETEX key milliseconds value: SET with PX."""
    return set_with_deadline(db, key, value, from_now(db, b"px", milliseconds, "psetex"))


def set_with_deadline(db: Store, key: bytes, value: bytes, deadline: int) -> Value:
    """Set the key to the string, with a deadline."""
    db.put(key, value, deadline)
    changed_with_deadline(db, key, value, deadline)
    return "OK"


def changed_with_deadline(db: Store, key: bytes, value: bytes, deadline: int) -> None:
    """Signal that the key was set with a deadline: publish `set` and `expire`, log the absolute time."""
    db.changed(key, log=(b"SET", key, value, b"PXAT", b"%d" % deadline), event="set")
    db.changed(key, log=UNLOGGED, event="expire", count=0)


@command(READONLY, FAST, run_of=gets)
def get(db: Store, key: bytes) -> Value:
    """GET key: answer with the string, or null if the key does not exist."""
    return db.get(key, STRING)


@command(WRITE, FAST, REPLY_FIRST, keys="RW access delete")
def getdel(db: Store, key: bytes) -> Value:
    """GETDEL key: answer with the string, or null, and remove the key."""
    value = get_old(db, key)
    if value is not None:
        db.delete(key)
        db.changed(key, log=(b"DEL", key), event="del")
    return value


@command(WRITE, FAST, REPLY_FIRST, keys="RW access update", notes=["RW and UPDATE because it changes the TTL"])
def getex(db: Store, key: bytes, *options: bytes) -> Value:
    """GETEX key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]: answer with the string, and set or remove the key's deadline."""  # noqa: E501
    chosen = parse_options(options, (b"persist", *TIMES))
    value = get_old(db, key)
    if value is None:
        return None
    deadline = deadline_in(db, chosen, "getex")
    if deadline is not None:
        set_deadline(db, key, deadline)
    elif b"persist" in chosen and db.persist(key):
        db.changed(key, log=(b"PERSIST", key), event="persist")
    return value


@command(WRITE, DENYOOM, FAST, REPLY_FIRST, keys="RW access update")
def getset(db: Store, key: bytes, value: bytes) -> Value:
    """GETSET key value: set the key to the string; answer with the old string, or null."""
    old = get_old(db, key)
    db.put(key, value)
    db.changed(key, log=(b"SET", key, value), event="set")
    return old


def get_old(db: Store, key: bytes) -> bytes | None:
    """Return the string at `key`, or None, for a command that changes it; this counts as a read."""
    try:
        return db.get(key, STRING)
    finally:
        db.look_up(key)


@command(READONLY, FAST, tips="request_policy:multi_shard")
@complexity("O(N) for N keys")
def mget(db: Store, key: bytes, *keys: bytes) -> Value:
    """MGET key [key ...]: answer with the strings, null for a key that does not exist or is not a string."""
    return [db.get(each, STRING) if db.kind(each) is STRING else None for each in (key, *keys)]


@command(WRITE, DENYOOM, keys="OW update", step=2, tips="request_policy:multi_shard response_policy:all_succeeded")
@complexity("O(N) for N keys")
def mset(db: Store, key: bytes, value: bytes, *more: bytes) -> Value:
    """MSET key value [key value ...]: set the keys; answer OK."""
    set_pairs(db, "mset", key, value, *more)
    return "OK"


@command(WRITE, DENYOOM, keys="OW insert", step=2, tips="request_policy:multi_shard response_policy:agg_min")
@complexity("O(N) for N keys")
def msetnx(db: Store, key: bytes, value: bytes, *more: bytes) -> Value:
    """MSETNX key value [key value ...]: set the keys if none of them exists; answer 1, else 0."""
    if len(more) % 2 == 0 and any(each in db for each in (key, *more[::2])):
        return 0
    set_pairs(db, "msetnx", key, value, *more)
    return 1


def set_pairs(db: Store, command: str, *pairs: bytes) -> None:
    """Set keys from alternating keys and values."""
    if len(pairs) % 2:
        raise wrong_number_of_arguments(command)
    db.put_pairs(pairs, event="set")


@command(WRITE, DENYOOM, FAST, keys="RW insert")
def append(engine: Engine, db: Store, key: bytes, value: bytes) -> Value:
    """APPEND key value: append the value to the string; answer with the new length."""
    old = db.get(key, STRING)
    check_size(engine, len(old or b"") + len(value))
    length = replace(db, key, value if old is None else old + value)
    if old is not None:
        keep_raw(db, key)
    return length


@command(READONLY, FAST, keys="RO")
def strlen(db: Store, key: bytes) -> Value:
    """STRLEN key: answer with the string's length in bytes, 0 if the key does not exist."""
    return len(db.get(key, STRING) or b"")


def replace(db: Store, key: bytes, value: bytes, event: str = AS_COMMANDED) -> int:
    """Replace the string at `key`, which keeps its deadline; return the new length."""
    db.replace(key, value)
    db.changed(key, event=event)
    return len(value)


def keep_raw(db: Store, key: bytes) -> None:
    """Remember that the string at `key`, which was changed in place, is `raw`, however short it is."""
    value = db.held(key)
    if value is not None and len(value) <= EMBEDDED:
        db.remember(key, "raw")


def check_size(engine: Engine, size: int) -> None:
    """Raise ReplyError if a string of this size is longer than `proto-max-bulk-len`."""
    if size > engine.options.proto_max_bulk_len:
        raise ReplyError("ERR string exceeds maximum allowed size (proto-max-bulk-len)")


@command(WRITE, DENYOOM, FAST, keys="RW access update", run_of=increments)
def incr(db: Store, key: bytes) -> Value:
    """INCR key: add 1 to the integer; answer with the sum."""
    return add(db, key, 1)


@command(WRITE, DENYOOM, FAST, keys="RW access update")
def decr(db: Store, key: bytes) -> Value:
    """DECR key: subtract 1 from the integer; answer with the difference."""
    return add(db, key, -1)


@command(WRITE, DENYOOM, FAST, keys="RW access update")
def incrby(db: Store, key: bytes, increment: int) -> Value:
    """INCRBY key increment: add to the integer; answer with the sum."""
    return add(db, key, increment)


@command(WRITE, DENYOOM, FAST, keys="RW access update")
def decrby(db: Store, key: bytes, decrement: int) -> Value:
    """DECRBY key decrement: subtract from the integer; answer with the difference."""
    if decrement == -(2**63):  # its negation does not fit into 64 bits
        raise ReplyError("ERR decrement would overflow")
    return add(db, key, -decrement)


def add(db: Store, key: bytes, increment: int) -> int:
    """Add to the integer at `key`, or to 0, and return the sum. The value is stored as a string in decimal."""
    old = db.get(key, STRING)
    total = add_integers(b"0" if old is None else old, increment)
    replace(db, key, b"%d" % total, event="incrby")
    return total


@command(WRITE, DENYOOM, FAST, keys="RW access update")
def incrbyfloat(db: Store, key: bytes, increment: bytes) -> Value:
    """INCRBYFLOAT key increment: add to the number; answer with the sum."""
    old = db.get(key, STRING)
    total = add_floats(b"0" if old is None else old, increment)
    db.replace(key, total)
    db.remember(key, None if len(total) > EMBEDDED else "embstr")
    db.changed(key, log=(b"SET", key, total, b"KEEPTTL"))  # the sum, so that a replay does not depend on rounding
    return total
