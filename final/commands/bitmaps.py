"""Commands for bitmaps: strings whose bits are numbered, 0 being the highest bit of the first byte.

Python's integers do the work: a part of a string becomes one integer, on which every operation on bits is one step.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import and_, or_, xor

from ..data.store import Store
from ..engine.args import integer
from ..engine.command import DENYOOM, FAST, READONLY, WRITE, Group
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError, syntax_error
from ..protocol.numeric import parse_integer
from ..protocol.writer import Value
from .strings import STRING, keep_raw

GROUP = Group("bitmap", "@bitmap", "$")

BINARY: dict[bytes, Callable[[int, int], int]] = {b"and": and_, b"or": or_, b"xor": xor}


def parse_bit(arg: bytes) -> int:
    """Parse the value of a bit to set. Raises ReplyError."""
    if arg not in (b"0", b"1"):
        raise ReplyError("ERR bit is not an integer or out of range")
    return int(arg)


def parse_offset(engine: Engine, arg: bytes, width: int = 0) -> int:
    """Parse the offset of a bit, such as `100`; with `width`, also `#3`, the third field of that many bits.

    Raises ReplyError, also if the bit is beyond `proto-max-bulk-len`.
    """
    numbered = width > 0 and arg.startswith(b"#")
    offset = parse_integer(arg[numbered:])
    if offset is not None and numbered:
        offset *= width
    if offset is None or not 0 <= offset >> 3 < engine.options.proto_max_bulk_len:
        raise ReplyError("ERR bit offset is not an integer or out of range")
    return offset


def padded(value: bytes, length: int) -> bytearray:
    """Return a copy of the string that can be changed, with zero bytes behind it up to `length` bytes."""
    return bytearray(value.ljust(length, b"\0"))


def part(value: bytes | bytearray, offset: int, width: int) -> int:
    """Return `width` bits from `offset` on as an unsigned integer. Bits behind the string are zeros.

    >>> part(b"\\x0f\\xf0", 4, 8)
    255
    """
    first, after = offset >> 3, (offset + width + 7) >> 3
    held = int.from_bytes(value[first:after].ljust(after - first, b"\0"))
    return held >> (8 * after - offset - width) & ((1 << width) - 1)


@command(WRITE, DENYOOM, keys="RW access update")
def setbit(engine: Engine, db: Store, key: bytes, offset: bytes, value: bytes) -> Value:
    """SETBIT key offset value: set the bit to 0 or 1; answer with the old bit.

    If the string is too short, it is padded with zero bytes.
    """
    at, bit = parse_offset(engine, offset), parse_bit(value)
    held = db.get(key, STRING) or b""
    first, mask = at >> 3, 0x80 >> (at & 7)
    old = held[first] if first < len(held) else 0
    if first < len(held) and bool(old & mask) == bit:
        keep_raw(db, key)
        return bit
    view = memoryview(held.ljust(first, b"\0"))  # not a bytearray, from which a large string would be copied once more
    db.replace(key, b"".join((view[:first], bytes([old | mask if bit else old & ~mask]), view[first + 1 :])))
    keep_raw(db, key)
    db.changed(key)
    return int(old & mask > 0)


@command(READONLY, FAST)
def getbit(engine: Engine, db: Store, key: bytes, offset: bytes) -> Value:
    """GETBIT key offset: answer with the bit; 0 if it is behind the string, or the key does not exist."""
    at = parse_offset(engine, offset)
    return part(db.get(key, STRING) or b"", at, 1)


def bit_range(length: int, args: Sequence[bytes], *, in_order: bool = False) -> tuple[int, int]:
    """Parse `start [end [BYTE | BIT]]` for a string of `length` bytes; return its first bit, and the one after it.

    Negative indexes count from the end; one before the first stands for the first. With `in_order` (BITCOUNT, not
    BITPOS) two negative ones whose end is before their start are an empty range even then. Raises ReplyError.
    """
    if len(args) > 3:
        raise syntax_error()
    start, unit = integer(args[0]), args[2].lower() if len(args) > 2 else b"byte"
    wrong = unit not in (b"byte", b"bit")
    if wrong and not in_order:  # BITCOUNT looks at the end first
        raise syntax_error()
    end = integer(args[1]) if len(args) > 1 else -1
    if wrong:
        raise syntax_error()
    size = 8 if unit == b"byte" else 1
    total = length * 8 // size
    if in_order and start < 0 and end < 0 and start > end:
        return 0, 0
    start, end = (max(index + total, 0) if index < 0 else index for index in (start, end))
    return start * size, (min(end, total - 1) + 1) * size


@command(READONLY)
@complexity("O(N) for N bytes")
def bitcount(db: Store, key: bytes, *range: bytes) -> Value:
    """BITCOUNT key [start end [BYTE | BIT]]: answer with the number of bits that are 1, in the range or in all.

    Indexes count bytes, or bits if BIT is given; -1 is the last one.
    """
    value = db.get(key, STRING)
    if value is None:
        return 0
    if not range:
        return int.from_bytes(value).bit_count()
    if len(range) == 1:
        raise syntax_error()
    first, after = bit_range(len(value), range, in_order=True)
    return part(value, first, after - first).bit_count() if first < after else 0


@command(READONLY)
@complexity("O(N) for N bytes")
def bitpos(db: Store, key: bytes, bit: bytes, *range: bytes) -> Value:
    """BITPOS key bit [start [end [BYTE | BIT]]]: answer with the index of the first bit that is 0 or 1; -1 if none is.

    The string is followed by zeros without end, unless the request says where to stop.
    """
    wanted = integer(bit)
    if wanted not in (0, 1):
        raise ReplyError("ERR The bit argument must be 1 or 0.")
    value = db.get(key, STRING)
    if value is None:
        return -1 if wanted else 0
    first, after = bit_range(len(value), range) if range else (0, len(value) * 8)
    if first >= after:
        return -1
    held = part(value, first, after - first)
    if not wanted:
        held ^= (1 << (after - first)) - 1
    if held:
        return after - held.bit_length()
    return len(value) * 8 if not wanted and len(range) < 2 else -1


@command(WRITE, DENYOOM, keys="OW update, RO access")
@complexity("O(N) for N bytes")
def bitop(engine: Engine, db: Store, operation: bytes, destination: bytes, key: bytes, *keys: bytes) -> Value:
    """BITOP operation destkey key [key ...]: store the result; answer with its length.

    Shorter strings are taken to end in zero bytes.
    """
    name = operation.lower()
    if name not in (*BINARY, b"not"):
        raise syntax_error()
    if name == b"not" and keys:
        raise ReplyError("ERR BITOP NOT must be called with a single source key.")
    values = [db.get(each, STRING) or b"" for each in (key, *keys)]
    length = max(map(len, values))
    numbers = [int.from_bytes(value, "little") for value in values]  # the first byte is the lowest: no padding needed
    result = numbers[0] ^ ((1 << 8 * length) - 1) if name == b"not" else reduce(BINARY[name], numbers)
    db.put_result(destination, result.to_bytes(length, "little"), event="set")
    if length:
        keep_raw(db, destination)
    return length
