"""Reads one file of the log and checks the form of its requests. It does not know what they mean.

A file may begin with a snapshot (RDB), or be nothing else: a real Redis writes bases like that.

A request has no checksum, so some damage cannot be detected:

- an argument that was damaged and kept its length is still an argument, of another request;
- a length that was damaged and leads exactly to the end of a later argument makes everything up to there one argument;
- EXEC without MULTI changes nothing, as in Redis: all requests before it are complete;
- an incomplete request at the end of the file, or a transaction without its EXEC, may have been cut off by a crash, or
  may be damaged. It counts as cut off, unless complete requests follow: see `misled`.

All other damage is found, and reported with its offset.
"""

import re
import time
from collections.abc import Callable, Generator, Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from shlex import quote
from typing import NoReturn

from ..server_log import log
from .rdb.cursor import BadSnapshot, Cursor
from .rdb.read import MAGIC, read_snapshot

CHUNK = 1 << 18  # bytes read at once while loading: what they are split into fits into a processor's cache
STEP = 4096  # requests after which the progress is looked at
Args = list[bytes]
Request = tuple[int, int, Args]  # the offsets of its start and its end, and its arguments; an annotation has none
Refusable = tuple[Args, Callable[[str], NoReturn]]  # a request, and a function that refuses it, for a reason
_COUNTS = {b"*%d" % count: count for count in range(1, 1024)}  # headers that `split` may take: of requests …
_LENGTHS = {b"$%d" % length: length for length in range(4096)}  # … and of arguments
HEADER = re.compile(rb"\*(?:([1-9][0-9]{0,9})(?:\r(\n)?)?)?")  # also matches its beginning; group 2: it is complete
LENGTH = re.compile(rb"\$(?:(0|[1-9][0-9]{0,17})(?:\r(\n)?)?)?")


class CorruptLog(Exception):
    """The log is damaged, and not only cut off at its end. The message says where, and what can be done."""

    def __init__(self, path: Path, offset: int, reason: str, remedy: str = "", what: str = "is damaged at") -> None:
        remedy = remedy or f"then fix that place, or give up what follows it: truncate -s {offset} {quote(str(path))}"
        super().__init__(
            f"{path} {what} byte {offset}: {reason}. Nothing was changed. Make a copy of the file; {remedy}"
        )
        self.offset, self.reason = offset, reason


class Malformed(Exception):
    """Data that is not a request, nor the beginning of one."""


class Progress:
    """Logs how far the data is read, once a second; nothing if reading takes less than a second."""

    def __init__(self, total: int, what: str = "the log") -> None:
        self.total = total  # bytes in all files
        self.what = what
        self.before = 0  # bytes in the files already read
        self.requests = 0
        self.due = time.monotonic() + 1

    def count(self, requests: int, place: int) -> None:
        """So many requests are read, up to `place` in the current file: log it if a second has passed.

        Called after each STEP requests: a call after each would cost as much as a tenth of its reading.
        """
        if (now := time.monotonic()) >= self.due:
            self.due = now + 1
            part = (self.before + place) * 100 // self.total
            log.info("loading %s: %d requests, %d%%", self.what, requests, part)


def read_file(path: Path, progress: Progress) -> Generator[Refusable, None, int]:
    """Yield the requests of one file, each with a function that refuses it; return the size of its complete part."""
    start = whole = 0
    number = progress.requests

    def refuse(reason: str) -> NoReturn:
        raise CorruptLog(path, start, reason)

    for start, end, args in read_all(path):
        if args:
            yield args, refuse
            number += 1
            if number % STEP == 0:
                progress.count(number, start)
        whole = end
    progress.requests = number
    progress.before += whole
    return whole


def read_all(path: Path) -> Iterator[Request]:
    """The requests of the snapshot that the file begins with, if any, and the units that follow."""
    begin = 0
    for request in read_front(path):
        yield request
        begin = request[1]
    yield from read_units(path, begin)


def read_front(path: Path) -> Iterator[Request]:
    """The requests of the snapshot that a file begins with, if any."""
    with open(path, "rb") as file:
        snapshot = file.read(9).startswith(MAGIC)
    if snapshot:
        yield from read_rdb(path)


def read_rdb(path: Path, about: dict[bytes, bytes] | None = None) -> Iterator[Request]:
    """The requests of a snapshot, then an entry without arguments, for its end. Raises CorruptLog.

    At the end `about` has what the snapshot says about the server that wrote it (its auxiliary fields).
    All requests have the end 0, because half a snapshot is never valid: it gets its name only when it is complete.
    """
    with open(path, "rb") as file:
        if not file.read(9).startswith(MAGIC):
            raise unusable(path, BadSnapshot(0, "a snapshot begins with REDIS"))
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            cursor = Cursor(data)
            try:
                for start, args in read_snapshot(cursor):
                    yield start, 0, args
            except BadSnapshot as error:
                raise unusable(path, error) from None
            if about is not None:
                about |= cursor.about
            yield cursor.place, cursor.place, []


def unusable(path: Path, error: BadSnapshot) -> CorruptLog:
    """The error for a snapshot that cannot be read."""
    if error.foreign:
        return CorruptLog(path, error.offset, error.reason, "then delete that in Redis", "cannot be read from")
    return CorruptLog(path, error.offset, error.reason, "redis-check-rdb may know more; else take an older one")


def read_units(path: Path, begin: int = 0) -> Iterator[Request]:
    """The requests of one file, from an offset on. Those between MULTI and EXEC come only once EXEC is read.

    Requests in a transaction have the transaction's start and end. Raises CorruptLog, also when EXEC is missing and
    more follows.
    """
    transaction: list[Args] | None = None
    began = 0
    for request in read_requests(path, begin):
        start, end, args = request
        if transaction is None:
            if args and len(args[0]) == len(b"MULTI") and args[0].upper() == b"MULTI":
                transaction, began = [], start
            else:
                yield request
        elif args:
            name = args[0].upper()
            if name == b"EXEC":
                yield from ((began, end, each) for each in transaction)
                transaction = None
            elif after_lost_exec(args):
                raise CorruptLog(path, start, f"{args[0]!r} found where EXEC is missing")
            else:
                transaction.append(args)


def after_lost_exec(args: Args) -> bool:
    """Whether this request inside a transaction shows that EXEC is damaged: it is a damaged EXEC, or a MULTI.

    EXEC is the only request in a log that consists of one argument of four letters.
    """
    return (len(args) == 1 and len(args[0]) == len(b"EXEC")) or args[0].upper() == b"MULTI"


def read_requests(path: Path, begin: int = 0) -> Iterator[Request]:
    """The complete requests of one file, from an offset on, and the annotations between them.

    Each must be, byte for byte, as a server writes it, so that damage that still looks like RESP, such as a flipped
    bit in a length, is found where it is. A line that begins with # is an annotation, as Redis writes with
    aof-timestamp-enabled. Raises CorruptLog with the offset of the first damaged request.
    """
    with open(path, "rb") as file:
        file.seek(begin)
        start, rest, size = begin, b"", CHUNK
        while chunk := file.read(size):
            data, place = rest + chunk, 0
            try:
                for args, end in split(data):
                    yield start + place, start + end, args
                    place = end
            except Malformed as error:
                raise CorruptLog(path, start + place, str(error)) from None
            start, rest = start + place, data[place:]
            size = max(CHUNK, len(rest))  # else each chunk of a long argument would be split again with those before it
    if reason := misled(rest):
        raise CorruptLog(path, start, reason)


def split(data: bytes) -> Iterator[tuple[Args, int]]:
    """The complete requests at the start of `data`, each with the place where it ends. Raises Malformed.

    Split at CRLF, every second piece of `*2 $3 GET $1 k` is an argument, and the piece before it says its length.
    If that does not match, because an argument contains CRLF, is long or incomplete, `careful` parses the request.
    The lengths of all pieces are computed at once, so a SET takes 1.0 µs, and 3 in `careful`.
    Not shared with `Reader._split`: that one needs no offsets, and leaves all the rest to `next` at the first mismatch.
    """
    pieces = data.split(b"\r\n")
    sizes = list(map(len, pieces))
    expected = list(map(_LENGTHS.get, pieces))  # for a piece that is a header, the length of the next piece
    at = place = 0
    last = len(pieces) - 1  # the last piece does not end with CRLF
    while place < len(data):
        count = _COUNTS.get(pieces[at])
        if count and (stop := at + 1 + 2 * count) <= last and expected[at + 1 : stop : 2] == sizes[at + 2 : stop : 2]:
            place += sum(sizes[at:stop]) + 2 * (stop - at)
            yield pieces[at + 2 : stop : 2], place
            at = stop
        elif found := careful(data, place):
            at += data.count(b"\r\n", place, found[1])
            place = found[1]
            yield found
        else:
            return


def careful(data: bytes, place: int = 0) -> tuple[Args, int] | None:
    """The request or annotation at `place`, and where it ends; None: it is incomplete. Raises Malformed."""
    if data.startswith(b"#", place):
        end = data.find(b"\r\n", place)
        return ([], end + 2) if end >= 0 else None
    args: Args = []
    count, place = number(HEADER, data, place)
    while len(args) < count:
        length, place = number(LENGTH, data, place)
        if length < 0 or place + length + 2 > len(data):
            return None
        args.append(data[place : place + length])
        place += length
        if data[place : place + 2] != b"\r\n":
            raise Malformed("an argument is not as long as its header says")
        place += 2
    return (args, place) if args else None


def number(header: re.Pattern[bytes], data: bytes, place: int) -> tuple[int, int]:
    """The number in a header, and the place behind it; -1 if the header is incomplete. Raises Malformed."""
    found = header.match(data, place)
    if found is not None and found[2]:
        return int(found[1]), found.end()
    if place < len(data) and (found is None or found.end() < len(data)):
        sign = header.pattern[1:2].decode()
        starts = data.startswith(sign.encode(), place)
        raise Malformed("a header that no server writes" if starts else f"expected '{sign}'")
    return -1, place


def misled(rest: bytes) -> str:
    """Why the incomplete request at the end of a file was not cut off there, but is damaged; "" if it may be cut off.

    With a damaged digit in its length, an argument seems to reach beyond the end of the file. But with the right digit
    it ends at its CRLF, and complete requests follow.
    """
    header = HEADER.match(rest)
    place = header.end() if header else 0
    while (length := LENGTH.match(rest, place)) and length[2]:
        place = length.end() + int(length[1]) + 2
        if place > len(rest):
            for right in neighbours(length[1]):
                end = length.end() + int(right)
                if rest[end : end + 2] == b"\r\n" and follows(rest[: length.start(1)] + right + rest[length.end(1) :]):
                    return f"the length {int(length[1])} leads beyond the end of the file, {int(right)} would be right"
    return ""


def neighbours(digits: bytes) -> Iterator[bytes]:
    """The numbers that differ in one digit."""
    for at in range(len(digits)):
        for digit in b"0123456789":
            if digit != digits[at]:
                yield digits[:at] + bytes([digit]) + digits[at + 1 :]


def follows(data: bytes) -> bool:
    """Whether `data` begins with two complete requests."""
    try:
        first = careful(data)
        return first is not None and bool(careful(data, first[1]))
    except Malformed:
        return False
