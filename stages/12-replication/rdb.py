"""A snapshot in Redis's format, RDB, in its plainest forms: everything at one moment, with a checksum at the end.

REDIS0010                                        the version of the format
0xfe 0x00                                        database 0 follows
0xfc, 8 bytes                                    the deadline of the next key, if it has one
0x00, string, string                             a string: its key, its value
0x04, string, length, string, string, …          a hash: its key, how many fields, each with its value
0xff, 8 bytes                                    the end, and the checksum of all that comes before it
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from store import HASH, LIST, SET, SORTED_SET, STRING, Store

TYPES: dict[type, int] = {STRING: 0, LIST: 1, SET: 2, HASH: 4, SORTED_SET: 5}
SELECT, DEADLINE, END = b"\xfe", b"\xfc", b"\xff"


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x95AC9329AC4BC9B5 if byte & 1 else 0)
    return byte


TABLE = [_remainder(byte) for byte in range(256)]


def crc64(data: bytes, crc: int = 0) -> int:
    """Return the CRC-64 of `data`, or of what has the checksum `crc`, followed by `data`.

    For each byte: look up the lowest 8 bits of `crc ^ byte` in TABLE; the new crc is what is there ^ the old one
    without its lowest 8 bits, `crc >> 8`.

    >>> hex(crc64(b"123456789")), crc64(b"6789", crc64(b"12345")) == crc64(b"123456789")
    ('0xe9c6d914c4b8d9ca', True)
    """
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc


def length(number: int) -> bytes:
    r"""Write a length. Its first two bits say in how many bytes; the highest byte comes first.

    | number       | bytes                                        |
    |--------------|----------------------------------------------|
    | below 64     | 1: the bits 00, then 6 bits of the number    |
    | below 16 384 | 2: the bits 01, then 14 bits of the number   |
    | others       | 5: the byte 0x80, then 32 bits of the number |

    >>> length(5), length(1000), length(100000)
    (b'\x05', b'C\xe8', b'\x80\x00\x01\x86\xa0')
    """
    if number < 1 << 6:
        return bytes([number])
    if number < 1 << 14:
        return (0x4000 | number).to_bytes(2)
    return b"\x80" + number.to_bytes(4)


def string(data: bytes) -> bytes:
    """Write a string: its length, then its bytes."""
    return length(len(data)) + data


def snapshot(db: Store) -> Iterator[bytes]:
    r"""Yield the parts of a snapshot of `db`, from `REDIS0010` to the byte 0xff, as above, without the checksum.

    The keys come from `db.items()`, which changes nothing, their deadlines from `db.deadline`: milliseconds since 1970,
    8 bytes, the lowest first. TYPES has the byte for each kind. A SortedSet has a dictionary, `scores`. After the key
    comes:

    | kind       | value                                                                 |
    |------------|-----------------------------------------------------------------------|
    | STRING     | a string                                                              |
    | LIST, SET  | how many elements; then each, a string                                |
    | HASH       | how many fields; then each field and its value, two strings           |
    | SORTED_SET | how many members; then each, a string, and `struct.pack("<d", score)` |

    >>> db = Store()
    >>> db.put(b"k", b"v")
    >>> db.expire_at(b"k", 9000)
    >>> b"".join(snapshot(db))
    b'REDIS0010\xfe\x00\xfc(#\x00\x00\x00\x00\x00\x00\x00\x01k\x01v\xff'
    """
    yield b"REDIS0010" + SELECT + length(0)
    for key, value in db.items():
        deadline = db.deadline(key)
        if deadline is not None:
            yield DEADLINE + deadline.to_bytes(8, "little")
        yield bytes([TYPES[type(value)]]) + string(key)
        match value:
            case bytes():
                yield string(value)
            case dict():
                yield length(len(value)) + b"".join(string(each) for pair in value.items() for each in pair)
            case _ if type(value) is SORTED_SET:
                scores = value.scores.items()
                yield length(len(value)) + b"".join(string(each) + struct.pack("<d", score) for each, score in scores)
            case _:
                yield length(len(value)) + b"".join(map(string, value))
    yield END


def write_snapshot(path: Path, db: Store) -> None:
    """Write a snapshot and its checksum, lowest byte first, to a new file that only its owner can read."""
    crc = 0
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        for part in snapshot(db):
            crc = crc64(part, crc)
            file.write(part)
        file.write(crc.to_bytes(8, "little"))
