"""Commands for hashes: fields and their values at one key."""

from command import command
from errors import wrong_number_of_arguments
from store import HASH, Store
from writer import Value


@command
def hset(db: Store, key: bytes, field: bytes, value: bytes, *more: bytes) -> Value:
    """HSET key field value [field value ...]: set the fields; answer with the number of new fields.

    `more` are further pairs of a field and a value. Raises `wrong_number_of_arguments("hset")` if the last field has
    no value, before it asks for the hash. At the end call `db.changed(key)`, also if no field is new.
    """
    if len(more) % 2:
        raise wrong_number_of_arguments("hset")
    fields = db.make(key, HASH)
    before = len(fields)
    args = (field, value, *more)
    fields.update(zip(args[::2], args[1::2], strict=True))
    db.changed(key)
    return len(fields) - before


@command
def hget(db: Store, key: bytes, field: bytes) -> Value:
    """HGET key field: answer with the value of the field, or null if there is no such field or no such key."""
    return (db.get(key, HASH) or {}).get(field)


@command
def hdel(db: Store, key: bytes, field: bytes, *fields: bytes) -> Value:
    """HDEL key field [field ...]: remove the fields; answer with the number of removed fields.

    Call `db.changed(key)` if any was removed.
    """
    held = db.get(key, HASH) or {}
    gone = [each for each in (field, *fields) if held.pop(each, None) is not None]
    if gone:
        db.changed(key)
    return len(gone)


@command
def hgetall(db: Store, key: bytes) -> Value:
    """HGETALL key: answer with a map of the fields and their values; it is empty if there is no such key."""
    return db.get(key, HASH) or {}


@command
def hkeys(db: Store, key: bytes) -> Value:
    """HKEYS key: answer with the fields."""
    return list(db.get(key, HASH) or {})


@command
def hvals(db: Store, key: bytes) -> Value:
    """HVALS key: answer with the values."""
    return list((db.get(key, HASH) or {}).values())


@command
def hlen(db: Store, key: bytes) -> Value:
    """HLEN key: answer with the number of fields."""
    return len(db.get(key, HASH) or {})


@command
def hexists(db: Store, key: bytes, field: bytes) -> Value:
    """HEXISTS key field: answer 1 if there is such a field, else 0."""
    return int(field in (db.get(key, HASH) or {}))
