"""OBJECT: a value's encoding and use."""

from ..data.store import Store
from ..engine.command import NO_TOUCH, QUIET, READONLY, Group
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


@command(READONLY, NO_TOUCH, QUIET, of="object", keys="RO", tips="nondeterministic_output")
def object_encoding(db: Store, key: bytes) -> Value:
    """OBJECT ENCODING key: answer with the encoding that Redis would use for the value."""
    return db.encoding(key).encode() if key in db else None


@command(READONLY, NO_TOUCH, QUIET, of="object", keys="RO", tips="nondeterministic_output")
def object_refcount(db: Store, key: bytes) -> Value:
    """OBJECT REFCOUNT key: answer 1, because keys never share a value, or null if the key does not exist."""
    return 1 if key in db else None


@command(READONLY, NO_TOUCH, QUIET, of="object", keys="RO", tips="nondeterministic_output")
def object_idletime(engine: Engine, db: Store, key: bytes) -> Value:
    """OBJECT IDLETIME key: answer with the seconds since the key was last used."""
    if key not in db:
        return None
    if engine.options.lfu:
        raise ReplyError(f"ERR An LFU maxmemory policy is selected, idle time not tracked. {SWITCHING}")
    return ((now := engine.steady()) - db.used(key, now)) // 1000


@command(READONLY, NO_TOUCH, QUIET, of="object", keys="RO", tips="nondeterministic_output")
def object_freq(engine: Engine, db: Store, key: bytes) -> Value:
    """OBJECT FREQ key: answer with the key's LFU counter; an error unless the eviction policy is LFU."""
    if key not in db:
        return None
    if not engine.options.lfu:
        raise ReplyError(f"ERR An LFU maxmemory policy is not selected, access frequency not tracked. {SWITCHING}")
    return engine.eviction.frequency((db.index, key))
