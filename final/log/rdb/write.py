"""Writes a snapshot (RDB) of version 10, which Redis 7.0 and later read. `read.py` describes the format.

It knows no type of value: a `Kind` says what its value consists of (`data/store.py`). For each type there is one form,
the plainest that Redis reads; Redis packs small collections again when it has loaded them.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Any

from ...data.store import KINDS, Item, Raw
from ...protocol.numeric import parse_integer
from .crc import crc64
from .lzf import compress
from .read import VERSION

AUXILIARY, SIZES = 250, 251  # opcodes
SHORTEST = 21  # bytes of a string that is worth compressing

Items = Iterable[tuple[bytes, Any, int | None]]  # keys with their values and deadlines


def size(number: int) -> bytes:
    """Encode a length, in 6, 14, 32 or 64 bits.

    >>> size(5), size(1000), size(100000)
    (b'\\x05', b'C\\xe8', b'\\x80\\x00\\x01\\x86\\xa0')
    """
    if number < 1 << 6:
        return bytes([number])
    if number < 1 << 14:
        return bytes([0x40 | number >> 8, number & 0xFF])
    return b"\x80" + number.to_bytes(4) if number < 1 << 32 else b"\x81" + number.to_bytes(8)


def string(text: bytes, compressed: bool) -> bytes:
    """Encode a string: as an integer of 8, 16 or 32 bits if it is one, else with its length.

    With `compressed`, a long string that LZF makes shorter is compressed.
    """
    length = len(text)
    if length <= 11 and (number := parse_integer(text)) is not None:
        for code, width in ((0xC0, 1), (0xC1, 2), (0xC2, 4)):
            if -(1 << 8 * width - 1) <= number < 1 << 8 * width - 1:
                return bytes([code]) + number.to_bytes(width, "little", signed=True)
    if compressed and length >= SHORTEST and (packed := compress(text)) is not None:
        return b"\xc3" + size(len(packed)) + size(length) + packed
    return size(length) + text


def encode(item: Item, compressed: bool) -> bytes:
    """Encode one of the items that a value consists of."""
    if isinstance(item, Raw):
        return item
    if isinstance(item, bytes):
        return string(item, compressed)
    return size(item) if isinstance(item, int) else struct.pack("<d", item)


def body(value: Any, compressed: bool) -> Iterator[bytes]:
    """Yield the parts of a value, without its type."""
    return (encode(item, compressed) for item in KINDS[type(value)].rdb(value))


def dump(value: Any, compressed: bool) -> bytes:
    """Return a value as DUMP answers: its type, the value, the version, and a checksum."""
    data = bytes([KINDS[type(value)].code]) + b"".join(body(value, compressed)) + VERSION.to_bytes(2, "little")
    return data + crc64(data).to_bytes(8, "little")
