"""OBJECT: a value's encoding and use."""

from ..data.store import KINDS, Store
from ..engine.command import NO_TOUCH, READONLY, Group
from ..engine.context import Engine
from ..engine.signature import command
from ..protocol.errors import ReplyError
from ..protocol.writer import Value

GROUP = Group("generic", "@keyspace", "g")

SWITCHING = (
    "Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."
)


@command()
def object_(subcommand: bytes, *arguments: bytes) -> Value:
    """OBJECT subcommand [argument ...]: inspect a value; see the subcommands."""


@command(READONLY, NO_TOUCH, of="object", keys="RO", tips="nondeterministic_output")
def object_encoding(db: Store, key: bytes) -> Value:
    """OBJECT ENCODING key: answer with the encoding that Redis would use for the value."""
    value = db.peek(key)
    return None if value is None else KINDS[type(value)].encoding(value).encode()


@command(READONLY, NO_TOUCH, of="object", keys="RO", tips="nondeterministic_output")
def object_refcount(db: Store, key: bytes) -> Value:
    """OBJECT REFCOUNT key: answer 1, because keys never share a value, or null if the key does not exist."""
    return 1 if key in db else None


@command(READONLY, NO_TOUCH, of="object", keys="RO", tips="nondeterministic_output")
def object_idletime(engine: Engine, db: Store, key: bytes) -> Value:
    """OBJECT IDLETIME key: answer with the seconds since the key was last used.

    Without `maxmemory`, the server records uses only from the first OBJECT IDLETIME or OBJECT FREQ on.
    """
    if key not in db:
        return None
    if engine.options.maxmemory_policy.endswith("lfu"):
        raise ReplyError(f"ERR An LFU maxmemory policy is selected, idle time not tracked. {SWITCHING}")
    entry = engine.eviction.entry((db.index, key))
    return (engine.steady() - entry.used) // 1000 if entry else 0


@command(READONLY, NO_TOUCH, of="object", keys="RO", tips="nondeterministic_output")
def object_freq(engine: Engine, db: Store, key: bytes) -> Value:
    """OBJECT FREQ key: answer with the key's LFU counter; an error unless the eviction policy is LFU."""
    if key not in db:
        return None
    if not engine.options.maxmemory_policy.endswith("lfu"):
        raise ReplyError(f"ERR An LFU maxmemory policy is not selected, access frequency not tracked. {SWITCHING}")
    entry = engine.eviction.entry((db.index, key))
    return entry.frequency(engine.steady()) if entry else 0
