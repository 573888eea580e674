"""DEBUG subcommands that test tools use: RELOAD, LOADAOF, POPULATE, DIGEST, LISTPACK, LOG and others (`debug.c`)."""

from collections import deque
from collections.abc import Iterable
from functools import reduce
from hashlib import sha1
from typing import Any

from ..data.kinds import KINDS
from ..data.sorted_set import SortedSet
from ..data.store import Store
from ..data.stream import Stream
from ..data.unit import NO_EVENT, UNLOGGED
from ..engine.context import Engine
from ..protocol.errors import ReplyError, no_such_key, not_positive, wrong_subcommand
from ..protocol.numeric import parse_integer
from ..protocol.writer import Value
from ..server_log import log
from .debug_reload import load_log, reload

IDLE = {
    b"quicklist-packed-threshold",
    b"set-skip-checksum-validation",
    b"pause-cron",
    b"replybuffer",
    b"aof-flush-sleep",
}
TOOLS = IDLE | {
    *(b"reload", b"loadaof", b"listpack", b"quicklist", b"populate", b"digest", b"digest-value", b"log"),
    b"change-repl-id",
}
TYPES = {"string": 0, "list": 1, "set": 2, "zset": 3, "hash": 4, "stream": 6}  # OBJ_STRING …
NOTHING = bytes(20)


def run_tool(engine: Engine, db: Store, subcommand: bytes, arguments: tuple[bytes, ...]) -> Value:
    """Run one of the subcommands in TOOLS.

    POPULATE count [prefix [size]] creates the keys prefix:0, prefix:1 … that are missing, with the values `value:0` …,
    which `size` cuts or fills up with zeros. DIGEST answers with a hash of all data, and DIGEST-VALUE key … with one of
    each value: those of Redis for the same data. LOG text writes to the server log. CHANGE-REPL-ID lets replicas
    synchronise again. RELOAD and LOADAOF load all data again. LISTPACK key and QUICKLIST key write to the server log
    how a value is packed. What is in IDLE is accepted, without an effect.
    """
    match subcommand.lower(), *arguments:
        case b"reload", *options:
            return reload(engine, options)
        case b"loadaof", *_:
            return load_log(engine)
        case b"listpack" | b"quicklist" as encoding, key, *_:
            return show(db, encoding.decode(), key)
        case b"populate", count, *options if len(options) <= 2:
            populate(db, positive(count), options[0] if options else b"key", *map(positive, options[1:]))
            return "OK"
        case (b"digest",):
            return digest_of_all(engine.stores).hex()
        case b"digest-value", *keys:
            return [digest_at(db, key).hex() for key in keys]
        case b"log", text:
            log.warning("DEBUG LOG: %s", text.decode(errors="replace"))
            return "OK"
        case (b"change-repl-id",):
            engine.primary.branch()
            return "OK"
        case name, *_ if name in IDLE:
            return "OK"
    raise wrong_subcommand("DEBUG", subcommand)


def show(db: Store, encoding: str, key: bytes) -> Value:
    """Write how a value with this encoding is packed to the server log."""
    value = db.peek(key)
    if value is None:
        raise no_such_key()
    if db.encoding(key) != encoding:
        raise ReplyError(f"ERR Not a {encoding} encoded object.")
    log.warning("DEBUG %s: %r", encoding.upper(), list(KINDS[type(value)].rdb(value, db.remembered(key))[1]))
    return f"{encoding.capitalize()} structure printed on stdout"


def positive(arg: bytes) -> int:
    """Parse a number of keys or bytes."""
    number = parse_integer(arg)
    if number is None or number < 0:
        raise not_positive()
    return number


def populate(db: Store, count: int, prefix: bytes, size: int = 0) -> None:
    """Create keys that are missing; as in Redis, the log does not have them."""
    for number in range(count):
        key, value = b"%b:%d" % (prefix, number), b"value:%d" % number
        if key not in db:
            db.put(key, value if not size else value[:size].ljust(size, b"\0"))
            db.changed(key, log=UNLOGGED, event=NO_EVENT)


# Digests: what has an order is mixed in one part after the other; what has none is combined by exclusive or


def combined(digest: bytes, other: bytes) -> bytes:
    """Combine two digests, so that their order does not matter."""
    return bytes(one ^ two for one, two in zip(digest, other, strict=True))


def added(digest: bytes, data: bytes) -> bytes:
    """Combine a digest with that of some data (`xorDigest`)."""
    return combined(digest, sha1(data).digest())


def mixed(digest: bytes, data: bytes) -> bytes:
    """Mix some data into a digest (`mixDigest`)."""
    return sha1(added(digest, data)).digest()


def mixed_all(parts: Iterable[bytes], digest: bytes = NOTHING) -> bytes:
    """Mix in several parts, one after the other."""
    return reduce(mixed, parts, digest)


def digest_of_all(stores: list[Store]) -> bytes:
    """Return the digest of all data."""
    total = NOTHING
    for store in filter(len, stores):
        total = mixed(total, store.index.to_bytes(4))
        for key, value, deadline in store.items():
            total = added(total, digest_of(value, deadline, mixed(NOTHING, key)))
    return total


def digest_at(db: Store, key: bytes) -> bytes:
    """Return the digest of a value; only zeros if there is no such key."""
    value = db.peek(key)
    return NOTHING if value is None else digest_of(value, db.deadline(key), NOTHING)


def digest_of(value: Any, deadline: int | None, digest: bytes) -> bytes:
    """Add a value and its deadline to a digest (`xorObjectDigest`)."""
    digest = mixed(digest, TYPES[KINDS[type(value)].name].to_bytes(4))
    match value:
        case bytes():
            digest = mixed(digest, value)
        case deque():
            digest = mixed_all(value, digest)
        case set():
            digest = reduce(added, value, digest)
        case dict():
            digest = reduce(added, map(mixed_all, value.items()), digest)
        case SortedSet():
            pairs = ((member, b"%.17g" % score) for score, member in value.entries())
            digest = reduce(added, map(mixed_all, pairs), digest)
        case Stream():
            for id, fields in value.entries():
                digest = mixed_all((b"%d.%d" % divmod(id, 1 << 64), *fields), digest)
    return digest if deadline is None else added(digest, b"!!expire!!")
