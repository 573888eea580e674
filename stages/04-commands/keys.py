"""Commands about keys, whatever their values are."""

from command import READONLY, WRITE, command
from errors import syntax_error
from store import NAMES, Store
from writer import Value


@command(READONLY)
def dbsize(db: Store) -> Value:
    """DBSIZE: answer with the number of keys."""
    return len(db)


@command(WRITE)
def flushall(db: Store, *mode: bytes) -> Value:
    """FLUSHALL [ASYNC | SYNC]: remove every key."""
    if mode and [arg.lower() for arg in mode] not in ([b"async"], [b"sync"]):
        raise syntax_error()
    db.clear()
    db.changed()
    return "OK"


@command(WRITE)
def del_(db: Store, key: bytes, *keys: bytes) -> Value:
    """DEL key [key ...]: remove the keys; answer with how many there were. None: nothing has changed."""
    gone = [each for each in (key, *keys) if db.delete(each)]
    if gone:
        db.changed(*gone)
    return len(gone)


@command(READONLY)
def exists(db: Store, key: bytes, *keys: bytes) -> Value:
    """EXISTS key [key ...]: answer with how many of them there are; one that is named twice counts twice."""
    return sum(each in db for each in (key, *keys))


@command(READONLY)
def type_(db: Store, key: bytes) -> Value:
    """TYPE key: answer with the simple string `string` or `hash`, or `none` where there is no such key."""
    kind = db.kind(key)
    return "none" if kind is None else NAMES[kind]
