"""Commands for parts of strings: GETRANGE and SETRANGE."""

from ..data.store import Store
from ..engine.command import DENYOOM, READONLY, WRITE, Group
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError
from ..protocol.writer import Value
from .strings import STRING, check_size, keep_raw, replace

GROUP = Group("string", "@string", "$")


@command(READONLY)
@complexity("O(N) for N bytes in the answer")
def getrange(db: Store, key: bytes, start: int, end: int) -> Value:
    """GETRANGE key start end: answer with the bytes from `start` to `end`, both included; -1 is the last byte."""
    value = db.get(key, STRING) or b""
    first, last = (max(place + len(value), 0) if place < 0 else place for place in (start, end))
    if start < 0 and end < 0 and start > end:
        return b""
    return value[first : last + 1]


@command(READONLY)
@complexity("O(N) for N bytes in the answer")
def substr(db: Store, key: bytes, start: int, end: int) -> Value:
    """SUBSTR key start end: the old name of GETRANGE."""
    return getrange(db, key, start, end)


@command(WRITE, DENYOOM, keys="RW update")
@complexity("O(1) for a short string, O(M) for M bytes")
def setrange(engine: Engine, db: Store, key: bytes, offset: int, value: bytes) -> Value:
    """SETRANGE key offset value: overwrite the string from the offset on; answer with the new length.

    If the string is shorter than the offset, it is padded with zero bytes.
    """
    if offset < 0:
        raise ReplyError("ERR offset is out of range")
    old = db.get(key, STRING) or b""
    if not value:
        return len(old)
    check_size(engine, offset + len(value))
    length = replace(db, key, old[:offset].ljust(offset, b"\0") + value + old[offset + len(value) :])
    keep_raw(db, key)
    return length
