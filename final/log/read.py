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

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path
from shlex import quote
from typing import NoReturn

from ..server_log import log
from .rdb.cursor import BadSnapshot, Cursor
from .rdb.read import MAGIC, read_snapshot
from .split import Args, Malformed, misled, split

CHUNK = 1 << 16  # bytes read at once while loading: what they are split into fits into a processor's cache
STEP = 4096  # requests of a snapshot in a batch
Request = tuple[int, int, Args]  # the offsets of its start and its end, and its arguments; an annotation has none
Batch = tuple[list[Args], Callable[[int, str], NoReturn]]  # requests, and a function that refuses one, for a reason


class CorruptLog(Exception):
    """The log is damaged, and not only cut off at its end. The message says where, and what can be done."""

    def __init__(self, path: Path, offset: int, reason: str, remedy: str = "", what: str = "is damaged at") -> None:
        remedy = remedy or f"then fix that place, or give up what follows it: truncate -s {offset} {quote(str(path))}"
        super().__init__(
            f"{path} {what} byte {offset}: {reason}. Nothing was changed. Make a copy of the file; {remedy}"
        )
        self.offset, self.reason = offset, reason


@dataclass
class Block:
    """Requests that follow each other, with the offset of each one's start, and that of the end of the last one."""

    requests: list[Args] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    end: int = 0

    def add(self, start: int, end: int, args: Args) -> None:
        """Add a request."""
        self.requests.append(args)
        self.starts.append(start)
        self.end = end

    def __iter__(self) -> Iterator[Request]:
        return zip(self.starts, [*self.starts[1:], self.end], self.requests, strict=True)


class Progress:
    """Logs how far the data is read, once a second; nothing if reading takes less than a second."""

    def __init__(self, total: int, what: str = "the log") -> None:
        self.total = total  # bytes in all files
        self.what = what
        self.before = 0  # bytes in the files already read
        self.requests = 0
        self.due = time.monotonic() + 1

    def count(self, requests: int, place: int) -> None:
        """Count requests, which begin at `place` in the current file; log how far it is if a second has passed.

        Called after each batch: a call after each request would cost as much as a tenth of its reading.
        """
        self.requests += requests
        if (now := time.monotonic()) >= self.due:
            self.due = now + 1
            part = (self.before + place) * 100 // self.total
            log.info("loading %s: %d requests, %d%%", self.what, self.requests, part)


def read_file(path: Path, progress: Progress) -> Generator[Batch, None, int]:
    """Yield the requests of one file, in batches, each with a function that refuses the one of an index.

    Return the size of the complete part.
    """
    whole = 0
    for block in read_all(path):
        yield block.requests, partial(refuse, path, block)
        progress.count(len(block.requests), block.starts[-1])
        whole = block.end
    progress.before += whole
    return whole


def refuse(path: Path, block: Block, index: int, reason: str) -> NoReturn:
    """Refuse a request that cannot be executed."""
    raise CorruptLog(path, block.starts[index], reason)


def batched(requests: Iterator[Request]) -> Iterator[Block]:
    """The requests in blocks, none of them empty."""
    while batch := list(islice(requests, STEP)):
        yield Block([args for _, _, args in batch], [start for start, _, _ in batch], batch[-1][1])


def read_all(path: Path) -> Iterator[Block]:
    """The requests of the snapshot that the file begins with, if any, and the units that follow."""
    begin = 0
    for block in batched(read_front(path)):
        yield block
        begin = block.end
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


def read_units(path: Path, begin: int = 0) -> Iterator[Block]:
    """The requests of one file, from an offset on. Those between MULTI and EXEC come only once EXEC is read.

    Requests in a transaction have the transaction's start and end. Raises CorruptLog, also when EXEC is missing and
    more follows.
    """
    transaction: list[Args] | None = None
    began = 0
    for block in read_blocks(path, begin):
        if transaction is None and min(map(len, block.requests)) > 1:  # so there is no MULTI
            yield block
            continue
        whole = Block()
        for start, end, args in block:
            if transaction is None:
                if args and len(args[0]) == len(b"MULTI") and args[0].upper() == b"MULTI":
                    transaction, began = [], start
                else:
                    whole.add(start, end, args)
            elif args:
                name = args[0].upper()
                if name == b"EXEC":
                    for each in transaction or [[]]:
                        whole.add(began, end, each)
                    transaction = None
                elif after_lost_exec(args):
                    if whole.requests:
                        yield whole  # one of them may be refused, which is found first
                    raise CorruptLog(path, start, f"{args[0]!r} found where EXEC is missing")
                else:
                    transaction.append(args)
        if whole.requests:
            yield whole


def after_lost_exec(args: Args) -> bool:
    """Whether this request inside a transaction shows that EXEC is damaged: it is a damaged EXEC, or a MULTI.

    EXEC is the only request in a log that consists of one argument of four letters.
    """
    return (len(args) == 1 and len(args[0]) == len(b"EXEC")) or args[0].upper() == b"MULTI"


def read_requests(path: Path, begin: int = 0) -> Iterator[Request]:
    """The complete requests of one file, from an offset on, and the annotations between them: see `read_blocks`."""
    for block in read_blocks(path, begin):
        yield from block


def read_blocks(path: Path, begin: int = 0) -> Iterator[Block]:
    """The complete requests of one file, from an offset on, and the annotations between them: a block for each chunk.

    Each must be, byte for byte, as a server writes it, so that damage that still looks like RESP, such as a flipped
    bit in a length, is found where it is. A line that begins with # is an annotation, as Redis writes with
    aof-timestamp-enabled. Raises CorruptLog with the offset of the first damaged request.
    """
    with open(path, "rb") as file:
        file.seek(begin)
        start, rest, size = begin, b"", CHUNK
        while chunk := file.read(size):
            data, place, block, problem = rest + chunk, 0, Block(), ""
            requests, starts = block.requests, block.starts
            try:
                for args, end in split(data):
                    requests.append(args)
                    starts.append(start + place)
                    place = end
            except Malformed as error:
                problem = str(error)
            start = block.end = start + place
            if requests:
                yield block
            if problem:
                raise CorruptLog(path, start, problem)
            rest = data[place:]
            size = max(CHUNK, len(rest))  # else each chunk of a long argument would be split again with those before it
    if reason := misled(rest):
        raise CorruptLog(path, start, reason)
