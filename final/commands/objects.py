"""OBJECT and MEMORY: how a value is kept, and what it takes."""

from ..command import READONLY, command, integer
from ..errors import ReplyError, syntax_error, unknown_subcommand
from ..sizes import SAMPLES, size_of
from ..store import KINDS, Store
from ..writer import Value


@command()
def object_(subcommand: bytes, *arguments: bytes) -> Value:
    """OBJECT subcommand [argument ...]: how a value is kept. See the subcommands below."""
    raise unknown_subcommand("OBJECT", subcommand)


@command(READONLY, of="object")
def object_encoding(db: Store, key: bytes) -> Value:
    """OBJECT ENCODING key: answer with the form in which Redis would keep the value; tools choose by it."""
    value = db.peek(key)
    return None if value is None else KINDS[type(value)].encoding(value).encode()


@command(READONLY, of="object")
def object_refcount(db: Store, key: bytes) -> Value:
    """OBJECT REFCOUNT key: answer 1: no two keys share a value; null where there is no such key."""
    return 1 if key in db else None


@command(READONLY, of="object")
def object_freq(db: Store, key: bytes) -> Value:
    """OBJECT FREQ key: refused, as Redis does unless it forgets keys by how often they are used."""
    if key not in db:
        return None
    raise ReplyError(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching "
        "between policies at runtime LRU and LFU data will take some time to adjust."
    )


@command()
def memory(subcommand: bytes, *arguments: bytes) -> Value:
    """MEMORY subcommand [argument ...]: what is taken. See the subcommands below."""
    raise unknown_subcommand("MEMORY", subcommand)


@command(READONLY, of="memory")
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
