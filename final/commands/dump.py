"""DUMP and RESTORE: a value in the bytes of a snapshot, to be kept elsewhere, or sent to another server."""

from collections.abc import Sequence
from typing import Any

from ..data.kinds import KINDS
from ..data.packing import LIMITS
from ..data.store import Store
from ..data.unit import Unit
from ..engine.args import OptionCursor, integer
from ..engine.client import Client
from ..engine.command import ASKING, DENYOOM, IN_DANGEROUS, LOADED, READONLY, SYSTEM, WRITE, Group, find
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..log.rdb import write
from ..log.rdb.cursor import BadSnapshot
from ..log.rdb.read import FORMS, HASH_LISTPACK, ZSET_LISTPACK, WrongDump, read_dump
from ..protocol.errors import ReplyError, syntax_error
from ..protocol.writer import Value

GROUP = Group("generic", "@keyspace", "g")

WIDTHS = {form.command: form.width for form in FORMS.values() if form.command != b"RPUSH"}  # of distinct elements


@command(READONLY, tips="nondeterministic_output")
@complexity("O(1) for the key, and O(N*M) for N elements of M bytes")
def dump(engine: Engine, db: Store, key: bytes) -> Value:
    """DUMP key: answer with the value as RESTORE takes it, or null if the key does not exist."""
    value = db.peek(key)
    return None if value is None else write.dump(value, engine.options.rdbcompression == "yes", db.remembered(key))


@command(WRITE, DENYOOM, IN_DANGEROUS, keys="OW update")
@complexity("O(1) for the key, and O(N*M) for N elements of M bytes")
def restore(engine: Engine, db: Store, key: bytes, ttl: bytes, payload: bytes, *options: bytes) -> Value:
    """RESTORE key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]: create a key from what DUMP answered; answer OK.

    `ttl` is in milliseconds, 0 for no deadline; with ABSTTL it is a Unix time.
    """  # noqa: E501  (the first line is what redis-cli shows)
    return create(engine, db, b"RESTORE", key, ttl, payload, options)


def create(
    engine: Engine, db: Store, name: bytes, key: bytes, ttl: bytes, payload: bytes, options: Sequence[bytes]
) -> Value:
    """Do what RESTORE does; `name` is the command's name in the log."""
    chosen = parse_options(options)
    exists = key in db
    if exists and b"replace" not in chosen:
        raise ReplyError("BUSYKEY Target key name already exists.")
    deadline = integer(ttl)
    if deadline < 0:
        raise ReplyError("ERR Invalid TTL value, must be >= 0")
    value, encoding = rebuilt(engine, payload)
    if deadline and b"absttl" not in chosen:
        deadline += db.unit.now
    if exists:
        db.delete(key)
    if deadline and (deadline <= db.unit.now or deadline >= 2**63):  # in Redis, a number too high becomes negative
        if exists:
            db.changed(key, log=(b"DEL", key), event="del")
        return "OK"
    db.put(key, value, deadline or None)
    db.remember(key, encoding)
    absolute = [b"ABSTTL"] if deadline and b"absttl" not in chosen else []
    log = (name, key, b"%d" % deadline, payload, *options, *absolute)
    db.changed(key, log=log)
    idle, often = (chosen.get(option) for option in (b"idletime", b"freq"))
    engine.eviction.restored((db.index, key), None if idle is None or engine.options.lfu else idle * 1000, often)
    return "OK"


def parse_options(args: Sequence[bytes]) -> dict[bytes, int]:
    """Parse the options of RESTORE; map those that are there, in lower case, to their values. Raises ReplyError."""
    chosen: dict[bytes, int] = {}
    options = OptionCursor(args)
    for option in options:
        number = 0
        if option in (b"replace", b"absttl"):
            pass
        elif option == b"idletime" and options and b"freq" not in chosen:
            number = integer(options.value())
            if number < 0:
                raise ReplyError("ERR Invalid IDLETIME value, must be >= 0")
        elif option == b"freq" and options and b"idletime" not in chosen:
            number = integer(options.value())
            if not 0 <= number <= 255:
                raise ReplyError("ERR Invalid FREQ value, must be >= 0 and <= 255")
        else:
            raise syntax_error()
        chosen[option] = number
    return chosen


def rebuilt(engine: Engine, payload: bytes) -> tuple[Any, str | None]:
    """Return the value that DUMP answered with `payload`, and what is to be remembered of its encoding.

    It is made in an empty database. Raises ReplyError.
    """
    scratch = Store(0, Unit())
    nobody = Client(id=0, db=scratch)
    try:
        for args in read_dump(payload):
            answer = find(args, LOADED).run(engine, nobody, args)
            if args[0] in WIDTHS and answer != (len(args) - 2) // WIDTHS[args[0]]:
                raise ReplyError("an element comes twice")
    except WrongDump:
        raise ReplyError("ERR DUMP payload version or checksum are wrong") from None
    except (BadSnapshot, ReplyError):
        raise ReplyError("ERR Bad data format") from None
    value = scratch.peek(b"")
    if value is None:  # an empty collection
        raise ReplyError("ERR Bad data format")
    return value, packed_as(value, payload[0]) or scratch.remembered(b"")


def packed_as(value: Any, form: int) -> str | None:
    """Return what is to be remembered of the encoding of a value, which was packed where the limits are others.

    Redis checks only the number of elements again.
    """
    encoding = KINDS[type(value)].encoding(value)
    if form == ZSET_LISTPACK:
        value.small = len(value) <= LIMITS.zset_max_listpack_entries
    elif form == HASH_LISTPACK and encoding == "hashtable" and len(value) <= LIMITS.hash_max_listpack_entries:
        LIMITS.lowered = True  # from now on there may be a value that is packed and beyond the limits
        return "listpack"
    return None


@command(WRITE, DENYOOM, ASKING, IN_DANGEROUS, SYSTEM, keys="OW update")
@complexity("O(1) for the key, and O(N*M) for N elements of M bytes")
def restore__asking(engine: Engine, db: Store, key: bytes, ttl: bytes, payload: bytes, *options: bytes) -> Value:
    """RESTORE-ASKING key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]: RESTORE, as nodes of a cluster send it."""  # noqa: E501
    return create(engine, db, b"RESTORE-ASKING", key, ttl, payload, options)
