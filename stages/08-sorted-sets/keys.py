"""Commands about keys, whatever their values are."""

from command import command
from errors import syntax_error
from pattern import matcher
from store import NAMES, Store
from writer import Value


@command
def dbsize(db: Store) -> Value:
    """DBSIZE: answer with the number of keys."""
    return len(db)


@command
def flushall(db: Store, *mode: bytes) -> Value:
    """FLUSHALL [ASYNC | SYNC]: remove every key."""
    if mode and [arg.lower() for arg in mode] not in ([b"async"], [b"sync"]):
        raise syntax_error()
    db.clear()
    db.changed()
    return "OK"


@command
def del_(db: Store, key: bytes, *keys: bytes) -> Value:
    """DEL key [key ...]: remove the keys; answer with the number of removed keys.

    Then call `db.changed` once, with all the keys that were removed; if there are none, do not call it.
    """
    gone = [each for each in (key, *keys) if db.delete(each)]
    if gone:
        db.changed(*gone)
    return len(gone)


@command
def exists(db: Store, key: bytes, *keys: bytes) -> Value:
    """EXISTS key [key ...]: answer with the number of keys that exist; one that is named twice counts twice."""
    return sum(each in db for each in (key, *keys))


@command
def keys(db: Store, pattern: bytes) -> Value:
    """KEYS pattern: answer with the keys that match the pattern, such as `user:*`."""
    matches = matcher(pattern)
    return [key for key, _ in db.items() if matches(key)]


@command
def type_(db: Store, key: bytes) -> Value:
    """TYPE key: answer with a simple string: its kind, such as `string` or `hash`; `none` if there is no such key."""
    kind = db.kind(key)
    return "none" if kind is None else NAMES[kind]
