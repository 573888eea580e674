"""Commands about keys, whatever their values are."""


from ..command import FAST, READONLY, WRITE, Server, command
from ..errors import no_such_key, syntax_error
from ..pattern import matcher
from ..sampling import one_of
from ..scan import parse_cursor, parse_scan_options
from ..store import KINDS, Store
from ..writer import Value


@command(WRITE)
def del_(db: Store, key: bytes, *keys: bytes) -> Value:
    """DEL key [key ...]: remove the keys; answer with how many there were."""
    gone = [each for each in (key, *keys) if db.delete(each)]
    if gone:
        db.changed(*gone, event="del")
    return len(gone)


@command(WRITE, FAST)
def unlink(db: Store, key: bytes, *keys: bytes) -> Value:
    """UNLINK key [key ...]: remove the keys. In Redis another thread frees the memory; here it is DEL."""
    return del_(db, key, *keys)


@command(READONLY, FAST)
def exists(db: Store, key: bytes, *keys: bytes) -> Value:
    """EXISTS key [key ...]: answer with how many of them there are; one that is named twice counts twice."""
    return sum(each in db for each in (key, *keys))


@command(READONLY, FAST)
def touch(db: Store, key: bytes, *keys: bytes) -> Value:
    """TOUCH key [key ...]: answer with how many of them there are."""
    return exists(db, key, *keys)


@command(READONLY, FAST)
def type_(db: Store, key: bytes) -> Value:
    """TYPE key: answer with the simple string `string`, `hash` and so on, or `none` where there is no such key."""
    kind = db.kind(key)
    return "none" if kind is None else KINDS[kind].name


@command(READONLY)
def keys(db: Store, pattern: bytes) -> Value:
    """KEYS pattern: answer with all keys that match the pattern. Everyone waits meanwhile; SCAN is kinder."""
    return list(filter(matcher(pattern), db.keys()))


@command(READONLY)
def scan(server: Server, db: Store, cursor: bytes, *options: bytes) -> Value:
    """SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]: answer with the next cursor, and some keys."""
    position = parse_cursor(cursor)
    matches, count, kind = parse_scan_options(options, with_type=True)
    following, names = server.order.page(db.index, db.keys, position, count)
    found = [name for name in names if matches(name) and name in db]
    if kind:
        found = [name for name in found if (of := db.kind(name)) is not None and KINDS[of].name.encode() == kind]
    return [b"%d" % following, found]


@command(READONLY)
def randomkey(db: Store) -> Value:
    """RANDOMKEY: answer with a random key, or null where there is none."""
    while names := db.names:
        name = one_of(names)
        if name in db:  # its deadline had not passed
            return name
    return None


@command(WRITE, keys=(1, 2, 1))
def rename(db: Store, key: bytes, newkey: bytes) -> Value:
    """RENAME key newkey: give what is at the key another name, with its deadline, over whatever was there."""
    move(db, key, newkey, over=True)
    return "OK"


@command(WRITE, FAST, keys=(1, 2, 1))
def renamenx(db: Store, key: bytes, newkey: bytes) -> Value:
    """RENAMENX key newkey: rename, where there is no such new key yet; answer 1, else 0."""
    return int(move(db, key, newkey, over=False))


def move(db: Store, key: bytes, newkey: bytes, over: bool) -> bool:
    """Rename a key, `over` an existing one or not; tell whether that was done. Raises `no_such_key`."""
    value = db.peek(key)
    if value is None:
        raise no_such_key()
    if key == newkey or (newkey in db and not over):
        return False
    deadline = db.deadline(key)
    db.delete(key)
    db.put(newkey, value, deadline)
    db.changed(key, event="rename_from")
    db.changed(newkey, event="rename_to")
    return True


@command(READONLY, FAST)
def dbsize(db: Store) -> Value:
    """DBSIZE: answer with the number of keys."""
    return len(db)


@command(WRITE)
def flushdb(db: Store, *mode: bytes) -> Value:
    """FLUSHDB [ASYNC | SYNC]: remove every key of this database."""
    check_mode(mode)
    db.changed(*db.clear(), event=None)
    return "OK"


@command(WRITE)
def flushall(server: Server, db: Store, *mode: bytes) -> Value:
    """FLUSHALL [ASYNC | SYNC]: remove every key of every database."""
    check_mode(mode)
    for each in server.stores:
        each.changed(*each.clear(), log=None if each is db else (), event=None)
    return "OK"


def check_mode(mode: tuple[bytes, ...]) -> None:
    """Accept ASYNC, SYNC or nothing: here they mean the same."""
    if mode and [word.lower() for word in mode] not in ([b"async"], [b"sync"]):
        raise syntax_error()
