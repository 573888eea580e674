"""MEMORY: the size of a value."""

from ..data.memory import SAMPLES, size_of
from ..data.store import Store
from ..engine.args import OptionCursor
from ..engine.command import NO_TOUCH, READONLY, UNCOUNTED
from ..engine.signature import command
from ..protocol.errors import syntax_error
from ..protocol.writer import Value


@command()
def memory(subcommand: bytes, *arguments: bytes) -> Value:
    """MEMORY subcommand [argument ...]: inspect the use of memory; see the subcommands."""


@command(READONLY, NO_TOUCH, UNCOUNTED, of="memory", keys="RO")
def memory_usage(db: Store, key: bytes, *options: bytes) -> Value:
    """MEMORY USAGE key [SAMPLES count]: answer with the memory that key and value take, in bytes, or null."""
    samples = SAMPLES
    cursor = OptionCursor(options)
    for option in cursor:
        if option != b"samples" or (samples := cursor.integer()) < 0:
            raise syntax_error()
    value = db.peek(key)
    return None if value is None else size_of(key, value, samples)
