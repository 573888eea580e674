"""Writes a snapshot (RDB) of version 10, which Redis 7.0 and later read. `read.py` describes the format.

It knows no type of value: a `Kind` says what its value consists of (`data/kinds.py`). As in Redis, that depends on the
encoding of the value: a small collection is one string, a listpack or an intset.
"""

import struct
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from ...config.options import RELEASE
from ...data.kinds import KINDS, Item, Raw
from ...data.memory import memory_in_use
from ...data.store import Store
from ...protocol.numeric import parse_integer
from ..child import Visit, joined
from .crc import crc64
from .lzf import compress
from .read import END, EXPIRE_MS, FUNCTION, MAGIC, SELECT, VERSION

AUXILIARY, SIZES = 250, 251  # opcodes
SIGNS = frozenset(b"-0123456789")  # with which an integer begins
PIECE = 16 << 10  # bytes of a dump that are made at once: in some milliseconds, whatever the value is
SHORTEST = 21  # bytes of a string that is worth compressing


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
    if 0 < length <= 11 and text[0] in SIGNS and (number := parse_integer(text)) is not None:
        for code, width in ((0xC0, 1), (0xC1, 2), (0xC2, 4)):
            if -(1 << 8 * width - 1) <= number < 1 << 8 * width - 1:
                return bytes([code]) + number.to_bytes(width, "little", signed=True)
    if compressed and length >= SHORTEST and (packed := compress(text)) is not None:
        return b"\xc3" + size(len(packed)) + size(length) + packed
    return size(length) + text


def encode(item: Item, compressed: bool) -> bytes:
    """Encode one of the items that a value consists of."""
    if isinstance(item, bytes):
        return item if isinstance(item, Raw) else string(item, compressed)
    return size(item) if isinstance(item, int) else struct.pack("<d", item)


def body(items: Iterable[Item], compressed: bool) -> Iterator[bytes]:
    """Yield the items that a value consists of, each encoded."""
    return (encode(item, compressed) for item in items)


def dump(value: Any, compressed: bool, encoding: str | None = None) -> bytes:
    """Return a value as DUMP answers: its type, the value, the version, and a checksum.

    `encoding` is what is remembered of the value (`Objects.remembered`).
    """
    return b"".join(dumped(value, compressed, encoding))


def dumped(value: Any, compressed: bool, encoding: str | None) -> Iterator[bytes]:
    """Yield what `dump` returns, in pieces of some PIECE bytes. The value must not change before the last of them."""
    code, items = KINDS[type(value)].rdb(value, encoding)
    parts = chain((bytes([code]),), body(items, compressed), (VERSION.to_bytes(2, "little"),))
    pieces = (each[at : at + PIECE] for each in joined(parts, PIECE) for at in range(0, len(each) or 1, PIECE))
    return with_checksum(pieces, True)


def libraries(codes: Iterable[bytes], compressed: bool) -> Iterator[bytes]:
    """Yield the parts of libraries of functions, of which these are the texts."""
    return (bytes([FUNCTION]) + string(code, compressed) for code in codes)


def dump_functions(codes: Iterable[bytes], compressed: bool) -> bytes:
    """Return libraries of functions as FUNCTION DUMP answers."""
    return b"".join(with_checksum([*libraries(codes, compressed), VERSION.to_bytes(2, "little")], True))


def snapshot(
    stores: Iterable[Store],
    compressed: bool,
    about: dict[bytes, bytes] | None = None,
    visit: Visit = iter,
    functions: Iterable[bytes] = (),
) -> Iterator[bytes]:
    """Yield the parts of a snapshot, up to its checksum. The keys and values are small parts, each by itself.

    `about` is what it says about the server, beside what it always says. `visit` counts the keys and values.
    `functions` are the texts of the libraries of functions.
    """
    yield MAGIC[0] + b"%04d" % VERSION
    for name, text in (auxiliary() | (about or {})).items():
        yield bytes([AUXILIARY]) + string(name, compressed) + string(text, compressed)
    yield from libraries(functions, compressed)
    for store in stores:
        if len(store):
            yield bytes([SELECT]) + size(store.index) + bytes([SIZES]) + size(len(store)) + size(store.deadlines)
        for key, value, deadline in visit(store.items()):
            if deadline is not None:
                yield bytes([EXPIRE_MS]) + deadline.to_bytes(8, "little", signed=True)
            code, items = KINDS[type(value)].rdb(value, store.remembered(key))
            yield bytes([code])
            yield string(key, compressed)
            yield from filter(None, body(items, compressed))
    yield bytes([END])


def auxiliary() -> dict[bytes, bytes]:
    """Return what a snapshot says about the server that wrote it."""
    return {
        b"redis-ver": RELEASE,
        b"redis-bits": b"64" if sys.maxsize > 2**32 else b"32",
        b"ctime": b"%d" % time.time(),
        b"used-mem": b"%d" % memory_in_use(),
        b"aof-base": b"0",  # it is not the base of a log
    }


def with_checksum(pieces: Iterable[bytes], checked: bool) -> Iterator[bytes]:
    """Yield the pieces of a snapshot, then its checksum, or the one that stands for none."""
    crc = 0
    for piece in pieces:
        if checked:
            crc = crc64(piece, crc)
        yield piece
    yield crc.to_bytes(8, "little")
