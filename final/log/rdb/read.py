"""A snapshot (RDB), read: the form in which Redis 7 writes the base of its log, and which we do not write.

What it holds is given as the requests that would bring it about, as from any other file of the log: `SET`, `RPUSH`,
`SADD`, `ZADD`, `HMSET`, `PEXPIREAT`, `SELECT`. So nothing here knows how we keep a list.

    REDIS0010   FA "redis-ver" "7.0.15"  …   FE 0   FC deadline  00 "key" "value"  …   FF checksum
    version     remarks                      database            a key and its value   end
"""

import struct
from collections.abc import Callable, Iterator
from itertools import chain, islice
from mmap import mmap
from typing import NamedTuple

from ...data.store import PIECE
from .crc import crc64
from .lzf import decompress
from .packed import intset, listpack, little, ziplist, zipmap

MAGIC = (b"REDIS", b"VALKEY")
KNOWN = {b"REDIS0008", b"REDIS0009", b"REDIS0010", b"REDIS0011", b"VALKEY080"}  # Redis 4 to 7.2, Valkey 9
STRING = 0
EXPIRE_MS, EXPIRE, SELECT, END = 252, 253, 254, 255  # what a byte stands for that is no type of a value
Args = list[bytes]


class BadSnapshot(Exception):
    """What stands at an offset cannot be read: it is damaged, or `foreign`, which is right, but not known here."""

    def __init__(self, offset: int, reason: str, foreign: bool = False) -> None:
        super().__init__(f"at byte {offset}: {reason}")
        self.offset, self.reason, self.foreign = offset, reason, foreign


class Cursor:
    """The bytes of a snapshot, and how far they are read. Raises BadSnapshot where they end too early."""

    def __init__(self, data: bytes | mmap) -> None:
        self.data = data
        self.place = 0

    def take(self, count: int) -> bytes:
        """The next bytes, so many."""
        start = self.place
        if count > len(self.data) - start:
            raise BadSnapshot(start, "the file ends too early")
        self.place += count
        return self.data[start : self.place]

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def size(self) -> int:
        """A length or a number: in 6 bits, 14, 32 or 64, as the first bits say."""
        first = self.byte()
        if first < 0x40:
            return first
        if first < 0x80:
            return (first & 0x3F) << 8 | self.byte()
        if first in (0x80, 0x81):
            return int.from_bytes(self.take(4 if first == 0x80 else 8), "big")
        raise BadSnapshot(self.place - 1, "expected a length")

    def string(self) -> bytes:
        """A string: a length and so many bytes, or a number, or compressed bytes."""
        first = self.byte()
        if first < 0xC0:
            self.place -= 1
            return self.take(self.size())
        if first in (0xC0, 0xC1, 0xC2):
            return b"%d" % little(self.take(1 << (first & 3)), signed=True)
        if first == 0xC3:
            start, packed, size = self.place - 1, self.size(), self.size()
            try:
                return decompress(self.take(packed), size)
            except ValueError as error:
                raise BadSnapshot(start, str(error)) from None
        raise BadSnapshot(self.place - 1, "expected a string")

    def strings(self, count: int) -> Iterator[bytes]:
        """So many strings."""
        return (self.string() for _ in range(count))


def plain(per_element: int) -> Callable[[Cursor], Iterator[bytes]]:
    """A collection with a string, or two, for each element, after their number."""
    return lambda cursor: cursor.strings(per_element * cursor.size())


def packed_as(unpack: Callable[[bytes], Iterator[bytes]]) -> Callable[[Cursor], Iterator[bytes]]:
    """A collection that is packed into one string."""
    return lambda cursor: unpack(cursor.string())


def old_quicklist(cursor: Cursor) -> Iterator[bytes]:
    """A list in pieces, each a ziplist."""
    return chain.from_iterable(map(ziplist, cursor.strings(cursor.size())))


def quicklist(cursor: Cursor) -> Iterator[bytes]:
    """A list in pieces, each a listpack or, where it is long, one element."""
    for _ in range(cursor.size()):
        kind = cursor.size()
        if kind not in (1, 2):
            raise BadSnapshot(cursor.place - 1, "a piece of a list, of no known kind")
        yield from [cursor.string()] if kind == 1 else listpack(cursor.string())


def with_doubles(cursor: Cursor) -> Iterator[bytes]:
    """Members and scores, each score a floating point number in 8 bytes."""
    for _ in range(cursor.size()):
        yield cursor.string()
        yield b"%.17g" % struct.unpack("<d", cursor.take(8))[0]


def with_text(cursor: Cursor) -> Iterator[bytes]:
    """Members and scores, each score a text after its length, or a length that stands for what is no number."""
    for _ in range(cursor.size()):
        yield cursor.string()
        length = cursor.byte()
        yield {253: b"nan", 254: b"inf", 255: b"-inf"}.get(length) or cursor.take(length)


class Form(NamedTuple):
    """How one type of value is read, and which request makes it, with how many words for each element."""

    request: bytes
    width: int
    read: Callable[[Cursor], Iterator[bytes]]


FORMS = {
    1: Form(b"RPUSH", 1, plain(1)),
    2: Form(b"SADD", 1, plain(1)),
    3: Form(b"ZADD", 2, with_text),
    4: Form(b"HMSET", 2, plain(2)),
    5: Form(b"ZADD", 2, with_doubles),
    9: Form(b"HMSET", 2, packed_as(zipmap)),
    10: Form(b"RPUSH", 1, packed_as(ziplist)),
    11: Form(b"SADD", 1, packed_as(intset)),
    12: Form(b"ZADD", 2, packed_as(ziplist)),
    13: Form(b"HMSET", 2, packed_as(ziplist)),
    14: Form(b"RPUSH", 1, old_quicklist),
    16: Form(b"HMSET", 2, packed_as(listpack)),
    17: Form(b"ZADD", 2, packed_as(listpack)),
    18: Form(b"RPUSH", 1, quicklist),
    20: Form(b"SADD", 1, packed_as(listpack)),
}


SKIPPED: dict[int, Callable[[Cursor], object]] = {
    248: Cursor.size,  # for how long the next key was not used
    249: Cursor.byte,  # how often it was used
    250: lambda cursor: list(cursor.strings(2)),  # a remark: its name and what it says
    251: lambda cursor: (cursor.size(), cursor.size()),  # how many keys there are, and how many have a deadline
}
FOREIGN = {245: "functions", 246: "functions", 247: "the data of a module"}
FOREIGN_VALUES = {15: "a stream", 19: "a stream", 21: "a stream", 6: "of a module's type", 7: "of a module's type"}


def read_snapshot(cursor: Cursor) -> Iterator[tuple[int, Args]]:
    """The requests that bring the snapshot about, each with the offset of what it stands for; the cursor goes along.

    Raises BadSnapshot: where something is damaged, does not belong there, or is of a type that we do not have.
    """
    header = cursor.take(9)
    if header not in KNOWN:
        raise BadSnapshot(0, f"this is a snapshot of version {header.decode(errors='replace')}", foreign=True)
    deadline: int | None = None
    while (code := cursor.byte()) != END:
        start = cursor.place - 1
        if code == SELECT:
            yield start, [b"SELECT", b"%d" % cursor.size()]
        elif code == EXPIRE_MS:
            deadline = little(cursor.take(8), signed=True)
        elif code == EXPIRE:
            deadline = little(cursor.take(4), signed=True) * 1000
        elif code in SKIPPED:
            SKIPPED[code](cursor)
        elif code in FOREIGN:
            raise BadSnapshot(start, f"there are {FOREIGN[code]}", foreign=True)
        else:
            yield from ((start, args) for args in read_value(cursor, code, deadline))
            deadline = None
    check_sum(cursor)


def read_value(cursor: Cursor, code: int, deadline: int | None) -> Iterator[Args]:
    """The requests that make one key: a piece of its value each, and its deadline, where it has one."""
    start = cursor.place - 1
    key = cursor.string()
    if code in FOREIGN_VALUES:
        raise BadSnapshot(start, f"the key {key!r} is {FOREIGN_VALUES[code]}", foreign=True)
    if code == STRING:
        yield [b"SET", key, cursor.string()]
    elif code in FORMS:
        try:
            yield from pieces(key, FORMS[code], cursor)
        except ValueError as error:
            raise BadSnapshot(start, f"the key {key!r} holds {error}") from None
        except IndexError:
            raise BadSnapshot(start, f"the key {key!r} holds a collection that ends too early") from None
    else:
        raise BadSnapshot(start, f"there is no type {code} of values")
    if deadline is not None:
        yield [b"PEXPIREAT", key, b"%d" % deadline]


def pieces(key: bytes, form: Form, cursor: Cursor) -> Iterator[Args]:
    """The requests that make a collection, a piece at a time."""
    elements = form.read(cursor)
    while args := list(islice(elements, PIECE * form.width)):
        if len(args) % form.width:
            raise ValueError("an odd number of what should come in pairs")
        if form.request == b"ZADD":
            args = [arg for member, score in zip(args[::2], args[1::2], strict=True) for arg in (score, member)]
        yield [form.request, key, *args]


def check_sum(cursor: Cursor) -> None:
    """Compare the checksum at the end; zero means that there is none (`rdbchecksum no`)."""
    end = cursor.place
    expected = little(cursor.take(8))
    if expected and expected != crc64(cursor.data[:end]):
        raise BadSnapshot(end, "the checksum is not that of the bytes before it")
