"""OBJECT and MEMORY: how a value is kept, and what it takes."""

from ..data.memory import SAMPLES, size_of
from ..data.store import KINDS, Store
from ..engine.args import integer
from ..engine.command import NO_TOUCH, READONLY, UNCOUNTED, Group
from ..engine.context import Engine
from ..engine.signature import command
from ..protocol.errors import ReplyError, syntax_error
from ..protocol.writer import Value

GROUP = Group("generic", "@keyspace", "g")

SWITCHING = (
    "Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."
)


@command()
def object_(subcommand: bytes, *arguments: bytes) -> Value:
    """OBJECT subcommand [argument ...]: how a value is kept. See the subcommands below."""


@command(READONLY, NO_TOUCH, of="object", keys="RO")
def object_encoding(db: Store, key: bytes) -> Value:
    """OBJECT ENCODING key: answer with the form in which Redis would keep the value; tools choose by it."""
    value = db.peek(key)
    return None if value is None else KINDS[type(value)].encoding(value).encode()


@command(READONLY, NO_TOUCH, of="object", keys="RO")
def object_refcount(db: Store, key: bytes) -> Value:
    """OBJECT REFCOUNT key: answer 1: no two keys share a value; null where there is no such key."""
    return 1 if key in db else None


@command(READONLY, NO_TOUCH, of="object", keys="RO")
def object_idletime(engine: Engine, db: Store, key: bytes) -> Value:
    """OBJECT IDLETIME key: answer with the seconds since it was last used.

    Where there is no `maxmemory`, that is noted from the first time on that someone asks for it.
    """
    if key not in db:
        return None
    if engine.options.maxmemory_policy.endswith("lfu"):
        raise ReplyError(f"ERR An LFU maxmemory policy is selected, idle time not tracked. {SWITCHING}")
    entry = engine.eviction.entry((db.index, key))
    return (engine.steady() - entry.used) // 1000 if entry else 0


@command(READONLY, NO_TOUCH, of="object", keys="RO")
def object_freq(engine: Engine, db: Store, key: bytes) -> Value:
    """OBJECT FREQ key: answer with how often it is used, where keys are forgotten by that; else refuse."""
    if key not in db:
        return None
    if not engine.options.maxmemory_policy.endswith("lfu"):
        raise ReplyError(f"ERR An LFU maxmemory policy is not selected, access frequency not tracked. {SWITCHING}")
    entry = engine.eviction.entry((db.index, key))
    return entry.frequency(engine.steady()) if entry else 0


@command()
def memory(subcommand: bytes, *arguments: bytes) -> Value:
    """MEMORY subcommand [argument ...]: what is taken. See the subcommands below."""


@command(READONLY, NO_TOUCH, UNCOUNTED, of="memory", keys="RO")
def memory_usage(db: Store, key: bytes, *options: bytes) -> Value:
    """MEMORY USAGE key [SAMPLES count]: answer with the bytes that the key takes; see `final/sizes.py` for what counts."""  # noqa: E501
    samples = SAMPLES
    if options:
        if len(options) != 2 or options[0].lower() != b"samples":
            raise syntax_error()
        samples = integer(options[1])
        if samples < 0:
            raise syntax_error()
    value = db.peek(key)
    return None if value is None else size_of(key, value, samples)
