"""One file of the log, read: the requests in it, each checked. It knows their form; not what they mean.

A file may begin with a snapshot (RDB) instead, or be nothing else: a real Redis writes bases like that.
"""

from collections.abc import Callable, Generator, Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from shlex import quote
from typing import NoReturn

from .rdb import MAGIC, BadSnapshot, Cursor, read_snapshot
from .reader import ProtocolError, Reader
from .writer import encode

CHUNK = 1 << 20  # bytes read at once while loading
Request = tuple[int, int, list[bytes]]  # the offsets of its start and its end, and its words
Refusable = tuple[list[bytes], Callable[[str], NoReturn]]  # a request, and a function that refuses it, for a reason


class CorruptLog(Exception):
    """The log cannot be right: not just torn at its end, but damaged where complete requests should be."""

    def __init__(self, path: Path, offset: int, reason: str, remedy: str = "", what: str = "is damaged at") -> None:
        remedy = remedy or f"then mend that place, or give up what follows it: truncate -s {offset} {quote(str(path))}"
        super().__init__(
            f"{path} {what} byte {offset}: {reason}. Nothing was changed. Make a copy of the file; {remedy}"
        )


def read_file(path: Path) -> Generator[Refusable, None, int]:
    """The requests of one file, each with a function that refuses it; gives at last how many bytes are complete.

    A snapshot, with which a file may begin, is never torn: Redis gives it its name when all of it is there.
    """

    def refusable(words: list[bytes], offset: int) -> Refusable:
        def refuse(reason: str) -> NoReturn:
            raise CorruptLog(path, offset, reason)

        return words, refuse

    whole = 0
    with open(path, "rb") as file:
        if file.read(9).startswith(MAGIC):
            with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                cursor = Cursor(data)
                try:
                    for start, words in read_snapshot(cursor):
                        yield refusable(words, start)
                except BadSnapshot as error:
                    raise unusable(path, error) from None
                whole = cursor.place
    for start, end, words in read_units(path, whole):
        yield refusable(words, start)
        whole = end
    return whole


def unusable(path: Path, error: BadSnapshot) -> CorruptLog:
    """What to say of a snapshot that cannot be read."""
    if error.foreign:
        return CorruptLog(path, error.offset, error.reason, "then delete that in Redis", "cannot be read from")
    return CorruptLog(path, error.offset, error.reason, "redis-check-rdb may know more; else take an older one")


def read_units(path: Path, begin: int = 0) -> Iterator[Request]:
    """The requests of one file, from an offset on. Between MULTI and EXEC nothing is given until EXEC is there.

    What a transaction contains has the transaction's start and end.
    """
    transaction: list[list[bytes]] | None = None
    began = 0
    for start, end, words in read_requests(path, begin):
        name = words[0].upper()
        if transaction is None and name == b"MULTI":
            transaction, began = [], start
        elif transaction is None:
            yield start, end, words
        elif name != b"EXEC":
            transaction.append(words)
        else:
            yield from ((began, end, each) for each in transaction)
            transaction = None


def read_requests(path: Path, begin: int = 0) -> Iterator[Request]:
    """The complete requests of one file, from an offset on.

    Each must be what `encode` would have written, byte for byte: so damage that still looks like RESP, such as a
    flipped bit in a length, is found where it stands. A line that begins with # is a remark, as Redis writes them
    with aof-timestamp-enabled; it belongs to the request after it. Raises CorruptLog with the offset of the first
    request that is damaged.
    """
    with open(path, "rb") as file:
        file.seek(begin)
        reader = Reader()
        raw, base = b"", begin  # what is not yet checked, and the offset of its first byte
        offset = begin  # how far we have come; `begin` is where the next request begins
        while chunk := file.read(CHUNK):
            raw, base = raw[offset - base :] + chunk, offset
            reader.feed(chunk)
            while sign := raw[offset - base : offset - base + 1]:
                if sign not in (b"*", b"#"):
                    raise CorruptLog(path, offset, "expected '*'")
                try:
                    words = reader.next()
                except ProtocolError as error:
                    raise CorruptLog(path, offset, str(error)) from None
                if words is None:
                    break
                record = encode(words) if sign == b"*" else b" ".join(words) + b"\r\n"
                if not raw.startswith(record, offset - base):
                    raise CorruptLog(path, offset, "not as a server writes it")
                offset += len(record)
                if sign == b"*":
                    yield begin, offset, words
                    begin = offset
