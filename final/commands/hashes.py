"""Commands for hashes, which map fields to values."""

from collections.abc import Iterator
from itertools import chain
from sys import getsizeof

from ..data.kinds import KINDS, PIECE, Args, Form, Kind
from ..data.memory import estimate, pair_size
from ..data.packing import LIMITS
from ..data.random_members import one_of, sample
from ..data.store import Store
from ..engine.args import parse_random
from ..engine.client import Client
from ..engine.command import DENYOOM, FAST, READONLY, REPLY_FIRST, WRITE, Group
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..log.rdb.packed import pack_listpack
from ..protocol.errors import (
    ReplyError,
    hash_value_not_a_float,
    hash_value_not_an_integer,
    not_a_float,
    wrong_number_of_arguments,
)
from ..protocol.numeric import add_floats, add_integers, long_double
from ..protocol.writer import Strings, Value
from .keys import scan_members

GROUP = Group("hash", "@hash", "h")

Hash = dict[bytes, bytes]
HASH: type[Hash] = dict


def dump(key: bytes, value: Hash) -> Iterator[Args]:
    """Yield the requests that create this hash, at most PIECE fields in each."""
    pairs = list(value.items())
    for start in range(0, len(pairs), PIECE):
        yield b"HMSET", key, *(arg for pair in pairs[start : start + PIECE] for arg in pair)


def encoding(value: Hash) -> str:
    """Return the encoding that Redis would use: a listpack for few short fields and values, else a hash table."""
    if len(value) > LIMITS.hash_max_listpack_entries:
        return "hashtable"
    longest = max(map(len, chain.from_iterable(value.items())), default=0)
    return "listpack" if longest <= LIMITS.hash_max_listpack_value else "hashtable"


def size(value: Hash, samples: int) -> int:
    """Return the memory that this hash takes, in bytes, estimated from `samples` fields."""
    return getsizeof(value) + estimate(value.items(), samples, pair_size)


def rdb(value: Hash, remembered: str | None) -> Form:
    """Return what this hash is in a snapshot: fields and values in turn, packed or not."""
    args = chain.from_iterable(value.items())
    if (remembered or encoding(value)) == "listpack":
        return 16, (pack_listpack(args),)
    return 4, chain((len(value),), args)


def keep_encoding(db: Store, key: bytes, fields: Hash) -> None:
    """Remember that a hash, from which something long or one of too many is gone, is a hash table."""
    if db.remembered(key) is None and encoding(fields) == "listpack":
        db.remember(key, "hashtable")


def unpack(db: Store, key: bytes, fields: Hash, *new: bytes) -> None:
    """Let a hash that was within higher limits be a hash table, if it is beyond the present ones."""
    small = len(fields) <= LIMITS.hash_max_listpack_entries and max(map(len, new)) <= LIMITS.hash_max_listpack_value
    if not small and db.remembered(key) == "listpack":
        db.remember(key, "hashtable")


KINDS[HASH] = Kind("hash", dump, encoding, size, copy=dict.copy, rdb=rdb)


@command(WRITE, DENYOOM, FAST, REPLY_FIRST, keys="RW update")
@complexity("O(1) for each field")
def hset(db: Store, key: bytes, field: bytes, value: bytes, *more: bytes) -> Value:
    """HSET key field value [field value ...]: set fields; answer with the number of new fields."""
    return set_fields(db, "hset", key, field, value, *more)


@command(WRITE, DENYOOM, FAST, REPLY_FIRST, keys="RW update")
@complexity("O(N) for N fields")
def hmset(db: Store, key: bytes, field: bytes, value: bytes, *more: bytes) -> Value:
    """HMSET key field value [field value ...]: set fields; answer OK. Deprecated since Redis 4.0 in favour of HSET."""
    set_fields(db, "hmset", key, field, value, *more)
    return "OK"


def set_fields(db: Store, command: str, key: bytes, *pairs: bytes, event: str = "hset") -> int:
    """Set fields from alternating fields and values; return the number of new fields."""
    if len(pairs) % 2:
        raise wrong_number_of_arguments(command)
    fields = db.make(key, HASH)
    before = len(fields)
    longest = LIMITS.hash_max_listpack_value
    names, long = pairs[::2], len(pairs) > 2 and max(map(len, pairs)) > longest  # a field may be named twice
    for name in names if before else ():
        if len(fields.get(name, b"")) > longest:
            long = True
    fields.update(zip(names, pairs[1::2], strict=True))
    if long:
        keep_encoding(db, key, fields)
    if LIMITS.lowered:
        unpack(db, key, fields, *pairs)
    db.changed(key, event=event, count=len(names))
    return len(fields) - before


@command(WRITE, DENYOOM, FAST, REPLY_FIRST, keys="RW insert")
def hsetnx(db: Store, key: bytes, field: bytes, value: bytes) -> Value:
    """HSETNX key field value: set the field if it does not exist; answer 1, else 0."""
    if field in (db.get(key, HASH) or {}):
        return 0
    return set_fields(db, "hsetnx", key, field, value)


@command(READONLY, FAST)
def hget(db: Store, key: bytes, field: bytes) -> Value:
    """HGET key field: answer with the field's value, or null if the field or the key does not exist."""
    return (db.get(key, HASH) or {}).get(field)


@command(READONLY, FAST)
@complexity("O(N) for N fields")
def hmget(db: Store, key: bytes, field: bytes, *fields: bytes) -> Value:
    """HMGET key field [field ...]: answer with the values of the fields, null for each that does not exist."""
    held = db.get(key, HASH) or {}
    return [held.get(each) for each in (field, *fields)]


@command(WRITE, FAST, keys="RW delete")
@complexity("O(N) for N fields removed")
def hdel(db: Store, key: bytes, field: bytes, *fields: bytes) -> Value:
    """HDEL key field [field ...]: remove fields; answer with how many there were."""
    held = db.get(key, HASH) or {}
    before = len(held)
    gone = [(each, value) for each in (field, *fields) if (value := held.pop(each, None)) is not None]
    if gone:
        longest = LIMITS.hash_max_listpack_value
        if before > LIMITS.hash_max_listpack_entries or any(len(arg) > longest for pair in gone for arg in pair):
            keep_encoding(db, key, held)
        db.changed(key, count=len(gone))
    return len(gone)


@command(READONLY, tips="nondeterministic_output_order")
@complexity("O(N) for N fields")
def hgetall(db: Store, key: bytes) -> Value:
    """HGETALL key: answer with all fields and values, as a map."""
    return dict(db.get(key, HASH) or {})  # a copy: in a transaction the answer is sent after later commands


@command(READONLY, tips="nondeterministic_output_order")
@complexity("O(N) for N fields")
def hkeys(db: Store, key: bytes) -> Value:
    """HKEYS key: answer with all fields."""
    return Strings(db.get(key, HASH) or {})


@command(READONLY, tips="nondeterministic_output_order")
@complexity("O(N) for N fields")
def hvals(db: Store, key: bytes) -> Value:
    """HVALS key: answer with all values."""
    return Strings((db.get(key, HASH) or {}).values())


@command(READONLY, FAST, keys="RO")
def hlen(db: Store, key: bytes) -> Value:
    """HLEN key: answer with the number of fields."""
    return len(db.get(key, HASH) or {})


@command(READONLY, FAST, keys="RO")
def hexists(db: Store, key: bytes, field: bytes) -> Value:
    """HEXISTS key field: answer 1 if the field exists, else 0."""
    return int(field in (db.get(key, HASH) or {}))


@command(READONLY, FAST, keys="RO")
def hstrlen(db: Store, key: bytes, field: bytes) -> Value:
    """HSTRLEN key field: answer with the length of the field's value, 0 if the field does not exist."""
    return len((db.get(key, HASH) or {}).get(field, b""))


@command(WRITE, DENYOOM, FAST, REPLY_FIRST, keys="RW access update")
def hincrby(db: Store, key: bytes, field: bytes, increment: int) -> Value:
    """HINCRBY key field increment: add to the integer in the field; answer with the sum."""
    old = (db.get(key, HASH) or {}).get(field, b"0")
    total = add_integers(old, increment, hash_value_not_an_integer)
    set_fields(db, "hincrby", key, field, b"%d" % total, event="hincrby")
    return total


@command(WRITE, DENYOOM, FAST, REPLY_FIRST, keys="RW access update")
def hincrbyfloat(db: Store, key: bytes, field: bytes, increment: bytes) -> Value:
    """HINCRBYFLOAT key field increment: add to the number in the field; answer with the sum."""
    number = long_double(increment)
    if number is None:
        raise not_a_float()
    if number == "inf":
        raise ReplyError("ERR value is NaN or Infinity")
    old = (db.get(key, HASH) or {}).get(field, b"0")
    total = add_floats(old, increment, hash_value_not_a_float)
    fields = db.make(key, HASH)
    fields[field] = total
    if LIMITS.lowered:
        unpack(db, key, fields, field, total)
    db.changed(key, log=(b"HSET", key, field, total))  # the sum, so that a replay does not depend on rounding
    return total


@command(READONLY, tips="nondeterministic_output")
@complexity("O(N) for N fields in the answer")
def hrandfield(db: Store, client: Client, key: bytes, *options: bytes) -> Value:
    """HRANDFIELD key [count [WITHVALUES]]: answer with a random field, or with at most `count` distinct fields.

    With a negative count, answer with exactly -count fields, which may repeat. WITHVALUES adds the values.
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


@command(READONLY, tips="nondeterministic_output")
@complexity("O(1) for one call, O(N) until the cursor is 0 again")
def hscan(engine: Engine, db: Store, key: bytes, cursor: bytes, *options: bytes) -> Value:
    """HSCAN key cursor [MATCH pattern] [COUNT count]: answer with the next cursor, and some fields and values."""
    following, names = scan_members(engine, db, key, HASH, cursor, options, small="listpack")
    fields = db.get(key, HASH) or {}
    return [b"%d" % following, [each for name in names for each in (name, fields[name])]]
