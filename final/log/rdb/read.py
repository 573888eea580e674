"""Reads a snapshot (RDB), the format of Redis's files, of the base of its log, and of DUMP. `write.py` writes it.

The contents are returned as the requests that recreate them, as from any other file of the log: `SET`, `RPUSH`,
`SADD`, `ZADD`, `HSET`, `XADD`, `PEXPIREAT`, `SELECT`, `FUNCTION LOAD`. So this file does not depend on how we store a
list.

    REDIS0010   FA "redis-ver" "7.0.15"  …   FE 0   FC deadline  00 "key" "value"  …   FF checksum
    version     auxiliary fields             database            a key and its value   end

Types and opcodes that only Redis before version 4 wrote, such as zipmaps and expiry times in seconds, are not read,
nor what Redis 7.0 does not have, such as the deadlines of a hash's fields in Valkey 9.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple, TypeVar

from ...data.intset import least_of, width_of
from ...data.kinds import PIECE
from .crc import CHUNK, crc64
from .cursor import BadSnapshot, Cursor
from .packed import intset, listpack, little, ziplist
from .streams import STREAMS, read_stream

MAGIC = (b"REDIS", b"VALKEY")
KNOWN = {b"REDIS0008", b"REDIS0009", b"REDIS0010", b"REDIS0011", b"VALKEY080"}  # Redis 4 to 7.2, Valkey 9
VERSION = 10  # of Redis 7.0: what `write.py` writes
STRING, SET, INTSET, HASH_LISTPACK, ZSET_LISTPACK = 0, 2, 11, 16, 17  # types of values (RDB_TYPE_…)
FUNCTION, OLD_FUNCTION, EXPIRE_MS, SELECT, END = 245, 246, 252, 254, 255  # opcodes (RDB_OPCODE_…)
Args = list[bytes]
Read = Callable[[Cursor], Iterable[bytes]]
T = TypeVar("T")


class WrongDump(Exception):
    """What should be restored has another version, or a wrong checksum."""


def plain(per_element: int) -> Read:
    """A reader for a collection: its number of elements, then `per_element` strings for each."""
    return lambda cursor: cursor.strings(per_element * cursor.size())


def packed_as(unpack: Callable[[bytes], Iterable[bytes]]) -> Read:
    """A reader for a collection that is packed into one string."""
    return lambda cursor: unpack(cursor.string())


def old_quicklist(cursor: Cursor) -> Iterator[bytes]:
    """A list as nodes, each a ziplist (before Redis 7)."""
    return chain.from_iterable(map(ziplist, cursor.strings(cursor.size())))


def quicklist(cursor: Cursor) -> Iterable[bytes]:
    """A list as nodes."""
    count = cursor.size()
    return list_node(cursor) if count == 1 else chain.from_iterable(list_node(cursor) for _ in range(count))


def list_node(cursor: Cursor) -> Sequence[bytes]:
    """A node of a list: a listpack or, if that would be too long, one element."""
    kind = cursor.size()
    if kind not in (1, 2):
        raise BadSnapshot(cursor.place - 1, "a list node of an unknown type")
    node = cursor.string()
    if kind == 1 and not node:
        raise ValueError("an empty list node")
    return (node,) if kind == 1 else listpack(node)


def with_doubles(cursor: Cursor) -> Iterator[bytes]:
    """Members and scores, each score a double of 8 bytes."""
    for _ in range(cursor.size()):
        yield cursor.string()
        yield b"%.17g" % struct.unpack("<d", cursor.take(8))[0]


class Form(NamedTuple):
    """How to read a type of value, and the command that recreates it, with `width` arguments for each element."""

    command: bytes
    width: int
    read: Read


FORMS = {  # by type of value
    1: Form(b"RPUSH", 1, plain(1)),
    SET: Form(b"SADD", 1, plain(1)),
    4: Form(b"HSET", 2, plain(2)),
    5: Form(b"ZADD", 2, with_doubles),
    12: Form(b"ZADD", 2, packed_as(ziplist)),
    13: Form(b"HSET", 2, packed_as(ziplist)),
    14: Form(b"RPUSH", 1, old_quicklist),
    HASH_LISTPACK: Form(b"HSET", 2, packed_as(listpack)),
    ZSET_LISTPACK: Form(b"ZADD", 2, packed_as(listpack)),
    18: Form(b"RPUSH", 1, quicklist),
    20: Form(b"SADD", 1, packed_as(listpack)),
}
SKIPPED: dict[int, Callable[[Cursor], object]] = {
    248: Cursor.size,  # the idle time of the next key (LRU)
    249: Cursor.byte,  # its frequency of use (LFU)
    250: Cursor.field,  # an auxiliary field: its name and value
    251: lambda cursor: (cursor.size(), cursor.size()),  # the number of keys, and of those with a deadline
}
FOREIGN = {247: "the data of a module"}
FOREIGN_VALUES = {6: "of a module's type", 7: "of a module's type", 22: "a hash whose fields have deadlines"}


def read_snapshot(cursor: Cursor) -> Iterator[tuple[int, Args]]:
    """The requests that recreate the data, each with the offset of its key; `cursor` ends behind the snapshot.

    Raises BadSnapshot for damaged data, and for types of values that we do not support.
    """
    yield from read_data(cursor)
    for _ in check_sum(cursor):
        pass


def read_data(cursor: Cursor) -> Iterator[tuple[int, Args]]:
    """`read_snapshot`, up to the checksum.

    Raises BadSnapshot for damaged data, and for types of values that we do not support.
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
        elif code in (FUNCTION, OLD_FUNCTION):
            yield start, [b"FUNCTION", b"LOAD", library(cursor, code)]
        elif code in SKIPPED:
            SKIPPED[code](cursor)
        elif code in FOREIGN:
            raise BadSnapshot(start, f"it contains {FOREIGN[code]}", foreign=True)
        else:
            key = cursor.string()
            if code == STRING:
                yield start, [b"SET", key, cursor.string()]
            else:
                for args in read_value(cursor, code, key):
                    yield start, args
            if deadline is not None:
                yield start, [b"PEXPIREAT", key, b"%d" % deadline]
            deadline = None


def read_value(cursor: Cursor, code: int, key: bytes) -> Iterator[Args]:
    """The requests that recreate a value of the type `code` at a key, one for each piece. Raises BadSnapshot."""
    start = cursor.place
    if code in FOREIGN_VALUES:
        raise BadSnapshot(start, f"the key {key!r} is {FOREIGN_VALUES[code]}", foreign=True)
    if code == STRING:
        yield [b"SET", key, cursor.string()]
    elif code in FORMS or code == INTSET or code in STREAMS:
        try:
            if code in FORMS:
                yield from pieces(key, FORMS[code], FORMS[code].read(cursor))
            elif code == INTSET:
                yield from read_intset(key, cursor.string())
            else:
                yield from read_stream(key, code, cursor)
        except ValueError as error:
            raise BadSnapshot(start, f"the key {key!r} holds {error}") from None
        except IndexError:
            raise BadSnapshot(start, f"the key {key!r} holds a collection that ends too early") from None
    else:
        raise BadSnapshot(start, f"{code} is no known type of value")


def read_intset(key: bytes, data: bytes) -> Iterator[Args]:
    """The requests that recreate an intset. One that is wider than it needs to be has held a wider integer."""
    numbers = intset(data)
    if data[0] > 2 and numbers and data[0] > width_of((numbers[0], numbers[-1])):
        wide = b"%d" % least_of(data[0])
        yield [b"SADD", key, b"%d" % numbers[0], wide]
        yield [b"SREM", key, wide]
        numbers = numbers[1:]
    yield from pieces(key, FORMS[SET], [b"%d" % number for number in numbers])


def pieces(key: bytes, form: Form, found: Iterable[bytes]) -> Iterator[Args]:
    """The requests that recreate a collection, each with up to PIECE elements."""
    elements, most = iter(found), PIECE * form.width
    args = list(islice(elements, most))
    while args:
        if len(args) % form.width:
            raise ValueError("an odd number of strings that should be pairs")
        if form.command == b"ZADD":
            args = [arg for member, score in zip(args[::2], args[1::2], strict=True) for arg in (score, member)]
        yield [form.command, key, *args]
        args = list(islice(elements, most)) if len(args) == most else []


def library(cursor: Cursor, code: int) -> bytes:
    """The text of a library of functions. Raises BadSnapshot.

    In the release candidates of Redis 7.0, its name, the engine and a description were not in its first line.
    """
    if code == FUNCTION:
        return part(cursor.string, "payload")
    name = part(cursor.string, "name")
    engine = part(cursor.string, "name", of="engine")
    try:
        described = cursor.size()
    except BadSnapshot:
        described = -1  # as in Redis, which then finds no description
    if described:
        part(cursor.string, "description")
    return b"#!%b name=%b\n%b" % (engine, name, part(cursor.string, "blob"))


def part(read: Callable[[], T], name: str, of: str = "library") -> T:
    """Read a part of a library of functions. Raises BadSnapshot, with the words of Redis."""
    try:
        return read()
    except BadSnapshot as error:
        raise BadSnapshot(error.offset, f"Failed loading {of} {name}") from None


def verify(payload: bytes) -> None:
    """Check the version and the checksum of what DUMP or FUNCTION DUMP answered. Raises WrongDump."""
    if len(payload) < 10 or little(payload[-10:-8]) > VERSION or little(payload[-8:]) != crc64(payload[:-8]):
        raise WrongDump


def read_dump(payload: bytes) -> Iterator[Args]:
    """The requests that recreate, at the key b"", what DUMP answered. Raises WrongDump and BadSnapshot."""
    verify(payload)
    cursor = Cursor(payload[:-10])
    yield from read_value(cursor, cursor.byte(), b"")


def read_functions(payload: bytes) -> Iterator[bytes]:
    """The texts of the libraries that FUNCTION DUMP answered. Raises WrongDump and BadSnapshot.

    As in Redis, the last of them may reach into the version and the checksum.
    """
    verify(payload)
    cursor = Cursor(payload)
    while cursor.place < len(payload) - 10:
        code = cursor.byte()
        if code not in (FUNCTION, OLD_FUNCTION):
            raise BadSnapshot(cursor.place - 1, "given type is not a function")
        yield library(cursor, code)


def check_sum(cursor: Cursor) -> Iterator[None]:
    """Verify the checksum at the end; 0 means none (`rdbchecksum no`). Yield after each piece of the data."""
    end, crc = cursor.place, 0
    expected = little(cursor.take(8))
    for start in range(0, end if expected else 0, CHUNK):
        crc = crc64(cursor.data[start : min(start + CHUNK, end)], crc)
        yield
    if crc != expected:
        raise BadSnapshot(end, "the checksum does not match the data")
