"""OBJECT: a value's encoding and use."""

from ..data.objects import is_small_integer
from ..data.store import Store
from ..engine.command import NO_TOUCH, QUIET, READONLY, Group
from ..engine.context import Engine
from ..engine.signature import command
from ..protocol.errors import ReplyError
from ..protocol.writer import Value

GROUP = Group("generic", "@keyspace", "g")

SHARED = 2**31 - 1  # references to what is shared (OBJ_SHARED_REFCOUNT)
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
def object_refcount(engine: Engine, db: Store, key: bytes) -> Value:
    """OBJECT REFCOUNT key: answer 1, or 2147483647 for an integer that Redis shares; null if the key does not exist."""
    return references(engine, db, key) if key in db else None


def references(engine: Engine, db: Store, key: bytes) -> int:
    """Return how many references Redis would count for the value at `key`, which must exist.

    With a limit and a policy that needs to know how each key is used, it shares none, and a copy is never shared.
    """
    options = engine.options
    by_use = options.maxmemory and options.maxmemory_policy.endswith(("-lru", "-lfu"))
    return SHARED if is_small_integer(db.held(key)) and not db.remembered(key) and not by_use else 1


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
