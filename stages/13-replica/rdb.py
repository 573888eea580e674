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
from typing import Any

from sorted_set import SortedSet
from store import HASH, LIST, SET, SORTED_SET, STRING, List, Store

TYPES: dict[type, int] = {STRING: 0, LIST: 1, SET: 2, HASH: 4, SORTED_SET: 5}
SELECT, DEADLINE, END = b"\xfe", b"\xfc", b"\xff"
COMPACT = "the snapshot has forms that are not read here"
DAMAGED = "the snapshot is damaged"


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


class Cursor:
    """A place in a snapshot, from which the next bytes are read."""

    def __init__(self, data: bytes, place: int) -> None:
        self.data, self.place = data, place

    def take(self, count: int) -> bytes:
        """Read so many bytes. Raises ValueError if there are not so many."""
        start, self.place = self.place, self.place + count
        if self.place > len(self.data):
            raise ValueError(DAMAGED)
        return self.data[start : self.place]

    def length(self) -> int:
        r"""Read what `length` has written. Raises `ValueError(COMPACT)` for another first byte.

        These are compact forms: a Redis writes an integer or a compressed string behind the bits 11.

        >>> [Cursor(data, 0).length() for data in (b"\x05", b"C\xe8", b"\x80\x00\x01\x86\xa0")]
        [5, 1000, 100000]
        """
        first = self.take(1)[0]
        if first < 0x40:
            return first
        if first < 0x80:
            return (first & 0x3F) << 8 | self.take(1)[0]
        if first != 0x80:
            raise ValueError(COMPACT)
        return int.from_bytes(self.take(4))

    def string(self) -> bytes:
        """Read a string."""
        return self.take(self.length())

    def value(self, kind: int) -> Any:
        """Read a value of a type in TYPES, as `snapshot` has written it. Raises ValueError for another type."""
        if kind == 0:
            return self.string()
        if kind not in TYPES.values():
            raise ValueError(COMPACT)
        count = self.length()
        if kind == 1:
            return List(self.string() for _ in range(count))
        if kind == 2:
            return {self.string() for _ in range(count)}
        if kind == 4:
            return {self.string(): self.string() for _ in range(count)}
        found = SortedSet()
        for _ in range(count):
            found.add(self.string(), struct.unpack("<d", self.take(8))[0])
        return found


def read_snapshot(data: bytes) -> Store:
    """Read a snapshot with its checksum into a new Store.

    First look at the checksum, the last 8 bytes, the lowest first: it is that of all bytes before them. If it is wrong,
    or if the snapshot does not begin with `REDIS`, believe nothing, and raise `ValueError(DAMAGED)`.

    The first 9 bytes are the version. A Cursor reads what follows, byte by byte up to END: SELECT, with a length behind
    it, which does not matter here; DEADLINE, with 8 bytes, for the next key; any other byte is the type of a value, and
    its key and the value come next.

    >>> db = Store()
    >>> db.make(b"l", LIST).extend([b"a", b"b"])
    >>> db.expire_at(b"l", 9000)
    >>> data = b"".join(snapshot(db))
    >>> loaded = read_snapshot(data + crc64(data).to_bytes(8, "little"))
    >>> list(loaded.items()), loaded.deadline(b"l")
    ([(b'l', deque([b'a', b'b']))], 9000)
    """
    if data[:5] != b"REDIS" or int.from_bytes(data[-8:], "little") != crc64(data[:-8]):
        raise ValueError(DAMAGED)
    db, cursor, deadline = Store(), Cursor(data, 9), None
    while (sign := cursor.take(1)) != END:
        if sign == SELECT:
            cursor.length()
        elif sign == DEADLINE:
            deadline = int.from_bytes(cursor.take(8), "little")
        else:
            key = cursor.string()
            db.put(key, cursor.value(sign[0]))
            if deadline is not None:
                db.expire_at(key, deadline)
            deadline = None
    return db
