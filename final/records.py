"""One file of the log, read: the requests in it, each checked. It knows their form; not what they mean."""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from shlex import quote
from typing import NoReturn

from .reader import ProtocolError, Reader
from .writer import encode

CHUNK = 1 << 20  # bytes read at once while loading
Request = tuple[int, int, list[bytes]]  # the offsets of its start and its end, and its words
Refusable = tuple[list[bytes], Callable[[str], NoReturn]]  # a request, and a function that refuses it, for a reason


class CorruptLog(Exception):
    """The log cannot be right: not just torn at its end, but damaged where complete requests should be."""

    def __init__(self, path: Path, offset: int, reason: str, remedy: str = "") -> None:
        super().__init__(
            f"{path} is damaged at byte {offset}: {reason}. Nothing was changed. Make a copy of the file; "
            + (remedy or f"then mend that place, or give up what follows it: truncate -s {offset} {quote(str(path))}")
        )


def read_file(path: Path) -> Generator[Refusable, None, int]:
    """The requests of one file, each with a function that refuses it; gives at last how many bytes are complete."""
    whole = 0
    for start, end, words in read_units(path):

        def refuse(reason: str, offset: int = start) -> NoReturn:
            raise CorruptLog(path, offset, reason)

        yield words, refuse
        whole = end
    return whole


def read_units(path: Path) -> Iterator[Request]:
    """The requests of one file. Between MULTI and EXEC nothing is given until EXEC is there.

    What a transaction contains has the transaction's start and end.
    """
    transaction: list[list[bytes]] | None = None
    began = 0
    for start, end, words in read_requests(path):
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


def read_requests(path: Path) -> Iterator[Request]:
    """The complete requests of one file.

    Each must be what `encode` would have written, byte for byte: so damage that still looks like RESP, such as a
    flipped bit in a length, is found where it stands. A line that begins with # is a remark, as Redis writes them
    with aof-timestamp-enabled; it belongs to the request after it. Raises CorruptLog with the offset of the first
    request that is damaged.
    """
    with open(path, "rb") as file:
        reader = Reader()
        raw, base = b"", 0  # what is not yet checked, and the offset of its first byte
        begin = offset = 0  # where the next request begins, and how far we have come
        while chunk := file.read(CHUNK):
            raw, base = raw[offset - base :] + chunk, offset
            reader.feed(chunk)
            while sign := raw[offset - base : offset - base + 1]:
                if sign not in (b"*", b"#"):
                    snapshot = "a snapshot (RDB), which this server cannot read" if sign == b"R" else "expected '*'"
                    raise CorruptLog(path, offset, snapshot)
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
