"""Commands for hashes: fields and their values under one key."""

from command import READONLY, WRITE, command
from errors import wrong_number_of_arguments
from store import HASH, Store
from writer import Value


@command(WRITE)
def hset(db: Store, key: bytes, field: bytes, value: bytes, *more: bytes) -> Value:
    """HSET key field value [field value ...]: set the fields; answer with how many of them are new.

    A field without its value is the wrong number of arguments, for `hset`; then nothing is set.
    """
    if len(more) % 2:
        raise wrong_number_of_arguments("hset")
    fields = db.make(key, HASH)
    before = len(fields)
    args = (field, value, *more)
    fields.update(zip(args[::2], args[1::2], strict=True))
    db.changed(key)
    return len(fields) - before


@command(READONLY)
def hget(db: Store, key: bytes, field: bytes) -> Value:
    """HGET key field: answer with the field's value, or null where there is no such field, or no such key."""
    return (db.get(key, HASH) or {}).get(field)


@command(WRITE)
def hdel(db: Store, key: bytes, field: bytes, *fields: bytes) -> Value:
    """HDEL key field [field ...]: remove the fields; answer with how many there were. None: nothing has changed."""
    held = db.get(key, HASH) or {}
    gone = [each for each in (field, *fields) if held.pop(each, None) is not None]
    if gone:
        db.changed(key)
    return len(gone)


@command(READONLY)
def hgetall(db: Store, key: bytes) -> Value:
    """HGETALL key: answer with fields and values, as a map."""
    return db.get(key, HASH) or {}


@command(READONLY)
def hkeys(db: Store, key: bytes) -> Value:
    """HKEYS key: answer with the fields."""
    return list(db.get(key, HASH) or {})


@command(READONLY)
def hvals(db: Store, key: bytes) -> Value:
    """HVALS key: answer with the values."""
    return list((db.get(key, HASH) or {}).values())


@command(READONLY)
def hlen(db: Store, key: bytes) -> Value:
    """HLEN key: answer with the number of fields."""
    return len(db.get(key, HASH) or {})


@command(READONLY)
def hexists(db: Store, key: bytes, field: bytes) -> Value:
    """HEXISTS key field: answer 1 where there is such a field, else 0."""
    return int(field in (db.get(key, HASH) or {}))
