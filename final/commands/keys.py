"""Commands for keys of any type."""

from collections.abc import Collection, Sequence
from typing import TypeVar

from ..data.kinds import KINDS
from ..data.random_members import one_of
from ..data.store import Store
from ..data.unit import AS_REQUESTED, UNLOGGED
from ..engine.args import parse_cursor, parse_scan_options
from ..engine.command import FAST, IN_DANGEROUS, NO_TOUCH, READONLY, WRITE, Group
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..protocol.errors import no_such_key, syntax_error
from ..protocol.pattern import matcher
from ..protocol.writer import Strings, Value

GROUP = Group("generic", "@keyspace", "g")
T = TypeVar("T", bound=Collection[bytes])


@command(WRITE, keys="RM delete", tips="request_policy:multi_shard response_policy:agg_sum")
@complexity("O(N) for N keys")
def del_(db: Store, key: bytes, *keys: bytes) -> Value:
    """DEL key [key ...]: remove the keys; answer with the number of removed keys."""
    gone = [each for each in (key, *keys) if db.delete(each)]
    if gone:
        db.changed(*gone, event="del")
    return len(gone)


@command(WRITE, FAST, keys="RM delete", tips="request_policy:multi_shard response_policy:agg_sum")
@complexity("O(1) for each key, and later O(N) for the N parts of its value")
def unlink(db: Store, key: bytes, *keys: bytes) -> Value:
    """UNLINK key [key ...]: DEL, but large values are freed afterwards, a little at a time."""
    gone = [each for each in (key, *keys) if db.unlink(each)]
    if gone:
        db.changed(*gone, event="del")
    return len(gone)


@command(READONLY, FAST, NO_TOUCH, keys="RO", tips="request_policy:multi_shard response_policy:agg_sum")
@complexity("O(N) for N keys")
def exists(db: Store, key: bytes, *keys: bytes) -> Value:
    """EXISTS key [key ...]: answer with how many of the keys exist; a key that is named twice counts twice."""
    return sum(each in db for each in (key, *keys))


@command(READONLY, FAST, keys="RO", tips="request_policy:multi_shard response_policy:agg_sum")
@complexity("O(N) for N keys")
def touch(db: Store, key: bytes, *keys: bytes) -> Value:
    """TOUCH key [key ...]: mark the keys as just used; answer with how many of them exist."""
    return exists(db, key, *keys)


@command(READONLY, FAST, NO_TOUCH, keys="RO")
def type_(db: Store, key: bytes) -> Value:
    """TYPE key: answer with the type, such as `string` or `hash`, or `none` if the key does not exist."""
    kind = db.kind(key)
    return "none" if kind is None else KINDS[kind].name


@command(READONLY, IN_DANGEROUS, tips="request_policy:all_shards nondeterministic_output_order")
@complexity("O(N) for N keys in the database")
def keys(db: Store, pattern: bytes) -> Value:
    """KEYS pattern: answer with all keys that match the pattern. It blocks all other clients; SCAN does not."""
    return Strings(filter(matcher(pattern), db.keys()))


@command(READONLY, tips="nondeterministic_output request_policy:special")
@complexity("O(1) for one call, O(N) until the cursor is 0 again")
def scan(engine: Engine, db: Store, cursor: bytes, *options: bytes) -> Value:
    """SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]: answer with the next cursor, and some keys."""
    position = parse_cursor(cursor)
    matches, count, kind = parse_scan_options(options, with_type=True)
    following, names = engine.order.page(db.index, db.names, position, count)
    found = [name for name in names if matches(name) and name in db]
    if kind:
        found = [name for name in found if (of := db.kind(name)) is not None and KINDS[of].name.encode() == kind]
    return [b"%d" % following, found]


def scan_members(
    engine: Engine,
    db: Store,
    key: bytes,
    kind: type[T],
    cursor: bytes,
    options: Sequence[bytes],
    small: str,
) -> tuple[int, list[bytes]]:
    """Return the next cursor and some members of the collection at `key`, of type `kind`, for HSCAN, SSCAN and ZSCAN.

    A collection with the encoding `small`, a listpack or an intset, is returned whole, as in Redis.
    """
    position = parse_cursor(cursor)
    held = db.get(key, kind)
    if held is None:
        return 0, []
    matches, count, _ = parse_scan_options(options, with_type=False)
    following, members = 0, list(held) if db.encoding(key) == small else []
    if not members:
        following, members = engine.order.page((db.index, key), held, position, count)
    return following, [each for each in members if each in held and matches(each)]


@command(READONLY, tips="request_policy:all_shards nondeterministic_output")
def randomkey(db: Store) -> Value:
    """RANDOMKEY: answer with a random key, or null if the database is empty."""
    tries = 0
    while names := db.names:
        name, tries = one_of(names), tries + 1
        if name in db or (db.unit.leaves_expiry and tries == 100):  # a key that has expired is deleted by this test
            return name
    return None


@command(WRITE, keys="RW access delete, OW update")
def rename(engine: Engine, db: Store, key: bytes, newkey: bytes) -> Value:
    """RENAME key newkey: rename the key, which keeps its deadline, and overwrite `newkey`."""
    rename_key(engine, db, key, newkey, overwrite=True)
    return "OK"


@command(WRITE, FAST, keys="RW access delete, OW insert")
def renamenx(engine: Engine, db: Store, key: bytes, newkey: bytes) -> Value:
    """RENAMENX key newkey: rename the key if `newkey` does not exist; answer 1, else 0."""
    return int(rename_key(engine, db, key, newkey, overwrite=False))


def rename_key(engine: Engine, db: Store, key: bytes, newkey: bytes, overwrite: bool) -> bool:
    """Rename a key, and `overwrite` an existing one or not; return whether it was renamed. Raises `no_such_key`."""
    value = db.peek(key)
    if value is None:
        raise no_such_key()
    if key == newkey or (newkey in db and not overwrite):
        return False
    deadline, encoding = db.deadline(key), db.remembered(key)
    db.delete(key)
    db.put(newkey, value, deadline)
    db.remember(newkey, encoding)
    engine.eviction.moved((db.index, key), (db.index, newkey))
    db.changed(key, event="rename_from")
    db.changed(newkey, event="rename_to", count=0)
    return True


@command(READONLY, FAST, tips="request_policy:all_shards response_policy:agg_sum")
def dbsize(db: Store) -> Value:
    """DBSIZE: answer with the number of keys."""
    return len(db)


@command(WRITE, IN_DANGEROUS, tips="request_policy:all_shards response_policy:all_succeeded")
@complexity("O(N) for N keys in the database")
def flushdb(db: Store, *mode: bytes) -> Value:
    """FLUSHDB [ASYNC | SYNC]: remove all keys of this database. ASYNC: free the memory afterwards, in pieces."""
    db.clear(later=is_async(mode))
    return "OK"


@command(WRITE, IN_DANGEROUS, tips="request_policy:all_shards response_policy:all_succeeded")
@complexity("O(N) for N keys in all databases")
def flushall(engine: Engine, db: Store, *mode: bytes) -> Value:
    """FLUSHALL [ASYNC | SYNC]: remove all keys of all databases. ASYNC: free the memory afterwards, in pieces."""
    later = is_async(mode)
    for each in engine.stores:
        each.clear(later, log=AS_REQUESTED if each is db else UNLOGGED)
    engine.snapshots.flushed()
    return "OK"


def is_async(mode: tuple[bytes, ...]) -> bool:
    """Return whether the mode is ASYNC; a missing one is SYNC. Raises `syntax_error` for any other."""
    match [arg.lower() for arg in mode]:
        case [] | [b"sync"]:
            return False
        case [b"async"]:
            return True
    raise syntax_error()
