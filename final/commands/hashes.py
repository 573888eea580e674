"""Commands for hashes: fields and their values under one key."""

from collections.abc import Iterator
from sys import getsizeof

from ..data.memory import estimate, pair_size
from ..data.random_members import one_of, sample
from ..data.store import KINDS, PIECE, Args, Kind, Store
from ..engine.args import parse_random
from ..engine.client import Client
from ..engine.command import DENYOOM, FAST, READONLY, WRITE, Group
from ..engine.context import Engine
from ..engine.signature import command
from ..protocol.errors import ReplyError, not_a_float, wrong_number_of_arguments
from ..protocol.numeric import add_floats, add_integers, long_double
from ..protocol.writer import Value
from .keys import scan_members

GROUP = Group("hash", "@hash", "h")

Hash = dict[bytes, bytes]
HASH: type[Hash] = dict
ALL_AT_ONCE = 128  # a hash of so many fields is given whole by the first HSCAN (Redis: hash-max-listpack-entries)


def dump(key: bytes, value: Hash) -> Iterator[Args]:
    """The requests that make this hash anew, a piece at a time."""
    pairs = list(value.items())
    for start in range(0, len(pairs), PIECE):
        yield b"HMSET", key, *(arg for pair in pairs[start : start + PIECE] for arg in pair)


def encoding(value: Hash) -> str:
    """How Redis would keep this hash: a few short fields in one piece of memory, or a table."""
    small = len(value) <= ALL_AT_ONCE and all(len(arg) <= 64 for pair in value.items() for arg in pair)
    return "listpack" if small else "hashtable"


def size(value: Hash, samples: int) -> int:
    """Bytes of memory that this hash takes."""
    return getsizeof(value) + estimate(value.items(), samples, pair_size)


KINDS[HASH] = Kind("hash", dump, encoding, size, copy=dict.copy)


@command(WRITE, DENYOOM, FAST, keys="RW update")
def hset(db: Store, key: bytes, field: bytes, value: bytes, *more: bytes) -> Value:
    """HSET key field value [field value ...]: set the fields; answer with how many of them are new."""
    return set_fields(db, "hset", key, field, value, *more)


@command(WRITE, DENYOOM, FAST, keys="RW update")
def hmset(db: Store, key: bytes, field: bytes, value: bytes, *more: bytes) -> Value:
    """HMSET key field value [field value ...]: set the fields. HSET does it too, since Redis 4."""
    set_fields(db, "hmset", key, field, value, *more)
    return "OK"


def set_fields(db: Store, command: str, key: bytes, *pairs: bytes, event: str = "hset") -> int:
    """Set fields to values, which come in turn; give the number of new ones."""
    if len(pairs) % 2:
        raise wrong_number_of_arguments(command)
    fields = db.make(key, HASH)
    before = len(fields)
    fields.update(zip(pairs[::2], pairs[1::2], strict=True))
    db.changed(key, event=event)
    return len(fields) - before


@command(WRITE, DENYOOM, FAST, keys="RW insert")
def hsetnx(db: Store, key: bytes, field: bytes, value: bytes) -> Value:
    """HSETNX key field value: set the field where there is none yet; answer 1, else 0."""
    if field in (db.get(key, HASH) or {}):
        return 0
    return set_fields(db, "hsetnx", key, field, value)


@command(READONLY, FAST)
def hget(db: Store, key: bytes, field: bytes) -> Value:
    """HGET key field: answer with the field's value, or null where there is no such field, or no such key."""
    return (db.get(key, HASH) or {}).get(field)


@command(READONLY, FAST)
def hmget(db: Store, key: bytes, field: bytes, *fields: bytes) -> Value:
    """HMGET key field [field ...]: answer with the fields' values, null where there is none."""
    held = db.get(key, HASH) or {}
    return [held.get(each) for each in (field, *fields)]


@command(WRITE, FAST, keys="RW delete")
def hdel(db: Store, key: bytes, field: bytes, *fields: bytes) -> Value:
    """HDEL key field [field ...]: remove the fields; answer with how many there were."""
    held = db.get(key, HASH) or {}
    gone = [each for each in (field, *fields) if held.pop(each, None) is not None]
    if gone:
        db.changed(key)
    return len(gone)


@command(READONLY)
def hgetall(db: Store, key: bytes) -> Value:
    """HGETALL key: answer with fields and values, as a map."""
    return dict(db.get(key, HASH) or {})  # a copy: in a transaction the answer is sent after later commands


@command(READONLY)
def hkeys(db: Store, key: bytes) -> Value:
    """HKEYS key: answer with the fields."""
    return list(db.get(key, HASH) or {})


@command(READONLY)
def hvals(db: Store, key: bytes) -> Value:
    """HVALS key: answer with the values."""
    return list((db.get(key, HASH) or {}).values())


@command(READONLY, FAST, keys="RO")
def hlen(db: Store, key: bytes) -> Value:
    """HLEN key: answer with the number of fields."""
    return len(db.get(key, HASH) or {})


@command(READONLY, FAST, keys="RO")
def hexists(db: Store, key: bytes, field: bytes) -> Value:
    """HEXISTS key field: answer 1 where there is such a field, else 0."""
    return int(field in (db.get(key, HASH) or {}))


@command(READONLY, FAST, keys="RO")
def hstrlen(db: Store, key: bytes, field: bytes) -> Value:
    """HSTRLEN key field: answer with the length of the field's value; 0 where there is none."""
    return len((db.get(key, HASH) or {}).get(field, b""))


@command(WRITE, DENYOOM, FAST, keys="RW access update")
def hincrby(db: Store, key: bytes, field: bytes, increment: int) -> Value:
    """HINCRBY key field increment: add to the number in the field; answer with the new one."""
    old = (db.get(key, HASH) or {}).get(field, b"0")
    total = add_integers(old, increment, ReplyError("ERR hash value is not an integer"))
    set_fields(db, "hincrby", key, field, b"%d" % total, event="hincrby")
    return total


@command(WRITE, DENYOOM, FAST, keys="RW access update")
def hincrbyfloat(db: Store, key: bytes, field: bytes, increment: bytes) -> Value:
    """HINCRBYFLOAT key field increment: add to the number in the field. The log gets the sum."""
    wanted = long_double(increment)
    if wanted is None:
        raise not_a_float()
    if wanted == "inf":
        raise ReplyError("ERR value is NaN or Infinity")
    old = (db.get(key, HASH) or {}).get(field, b"0")
    total = add_floats(old, increment, ReplyError("ERR hash value is not a float"))
    db.make(key, HASH)[field] = total
    db.changed(key, log=(b"HSET", key, field, total))
    return total


@command(READONLY)
def hrandfield(db: Store, client: Client, key: bytes, *options: bytes) -> Value:
    """HRANDFIELD key [count [WITHVALUES]]: answer with a random field, or with `count` different ones.

    A negative count means as many as asked for, some perhaps more than once.
    """
    count, with_values = parse_random(options, b"withvalues")
    fields = db.get(key, HASH) or {}
    if count is None:
        return one_of(fields) if fields else None
    names = sample(fields, count)
    if not with_values:
        return names
    if client.protocol >= 3:
        return [[name, fields[name]] for name in names]
    return [arg for name in names for arg in (name, fields[name])]


@command(READONLY)
def hscan(engine: Engine, db: Store, key: bytes, cursor: bytes, *options: bytes) -> Value:
    """HSCAN key cursor [MATCH pattern] [COUNT count]: answer with the next cursor, and some fields and values."""
    following, names = scan_members(engine, db, key, HASH, cursor, options, whole=lambda held: len(held) <= ALL_AT_ONCE)
    fields = db.get(key, HASH) or {}
    return [b"%d" % following, [each for name in names for each in (name, fields[name])]]
