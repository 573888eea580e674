"""The log: every change, appended to a file before anyone hears of it. It knows files; not what commands do.

It lies as Redis 7 lays it out, so that a real Redis can take over the folder:

    appendonlydir/appendonly.aof.manifest       which files there are, in which order
    appendonlydir/appendonly.aof.1.incr.aof     the changes, as the requests that bring them about
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from .options import Options
from .reader import ProtocolError, Reader
from .writer import encode

CHUNK = 1 << 20  # bytes read at once while loading
Record = tuple[int, Sequence[bytes]]  # the database, and the words of a request
Request = tuple[int, int, list[bytes]]  # the offsets of its start and its end, and its words


class CorruptLog(Exception):
    """The log cannot be right: not just torn at its end, but damaged where complete requests should be."""

    def __init__(self, path: Path, offset: int, reason: str) -> None:
        super().__init__(
            f"{path} is damaged at byte {offset}: {reason}. Nothing was changed. Make a copy of the file; "
            f"then mend that place, or give up all that follows it: truncate -s {offset} {path}"
        )


class Log:
    """The log's folder. `load` what is there, `open` it, then `append` for every unit and `flush` once a turn.

    `appendfsync` says when the operating system must have the log on the disk, and so what a power cut can cost.
    `always`: before any reply, nothing; `everysec`: once a second, so a second or two; `no`: when the system
    likes to. When only the server dies, even by `kill -9`, nothing is lost with any of them.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.folder = Path(options.dir) / options.appenddirname
        self.manifest = self.folder / f"{options.appendfilename}.manifest"
        self.failure = ""  # why the last write failed; while it stands, writes are refused
        self.base_size = 0  # bytes in the log when it was opened
        self._name = f"{options.appendfilename}.1.incr.aof"
        self._written = 0  # bytes in the file that we append to
        self._waiting = bytearray()  # appended, and not yet in the file
        self._unsynced = False  # in the file, and perhaps not yet on the disk
        self._database = -1  # the one that the last record was for; -1: not said yet

    def load(self) -> Iterator[tuple[list[bytes], Callable[[str], NoReturn]]]:
        """Read the log, in order: each request, and a function that refuses it as damage, for a reason.

        What is torn off at the end of the last file, which is half a request or a transaction without its EXEC,
        is cut off, and a line says so. Anything else that is no request raises CorruptLog and changes nothing.
        """
        names = read_manifest(self.manifest)
        for number, name in enumerate(names, start=1):
            path = self.folder / name
            whole = 0
            for start, end, words in read_units(path):

                def refuse(reason: str, path: Path = path, offset: int = start) -> NoReturn:
                    raise CorruptLog(path, offset, reason)

                yield words, refuse
                whole = end
            torn = path.stat().st_size - whole
            if torn and number < len(names):
                raise CorruptLog(path, whole, "it ends in half a request, and is not the last file")
            if torn:
                print(f"{path} ends in half a request: {torn} bytes cut off at byte {whole}", file=sys.stderr)
                os.truncate(path, whole)
        if names:
            self._name = names[-1]

    def open(self) -> None:
        """Open the last file to append to it; make folder, file and manifest where there are none. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / self._name
        self._file = open(path, "ab", buffering=0, opener=_private)  # noqa: SIM115  (`close` closes it)
        self._written = self.base_size = path.stat().st_size
        if not self.manifest.exists():
            draft = self.manifest.with_name(f"temp-{self.manifest.name}")
            with open(draft, "wb", opener=_private) as file:
                file.write(f"file {self._name} seq 1 type i\n".encode())
                file.flush()
                os.fsync(file.fileno())
            draft.rename(self.manifest)
            sync_folder(self.folder)

    @property
    def size(self) -> int:
        """Bytes in the file that we append to, those on their way among them."""
        return self._written + len(self._waiting)

    def append(self, records: Sequence[Record]) -> None:
        """Note what one unit changed. It reaches the file with the next `flush`.

        Several records stand between MULTI and EXEC: they come back together or not at all. SELECT stands before
        a record for another database than the last one.
        """
        if len(records) > 1:
            self._waiting += b"*1\r\n$5\r\nMULTI\r\n"
        for index, words in records:
            if index != self._database:
                self._waiting += encode([b"SELECT", b"%d" % index])
                self._database = index
            self._waiting += encode(words)
        if len(records) > 1:
            self._waiting += b"*1\r\n$4\r\nEXEC\r\n"

    def flush(self) -> None:
        """Write to the file what was appended, and under `always` see it onto the disk.

        Raises OSError when the disk is full or fails and the policy is `always`: then no reply may be sent. Under
        the other policies the reason is kept in `failure`, and the next `flush` goes on where this one stopped.
        """
        try:
            while self._waiting:
                written = self._file.write(self._waiting)
                self._written += written
                del self._waiting[:written]
                self._unsynced = True
            self.failure = ""
        except OSError as error:
            if self.options.appendfsync == "always":
                raise
            self.failure = error.strerror or str(error)
        if self.options.appendfsync == "always":
            self.sync()

    def sync(self) -> None:
        """See what was written onto the disk, if there is anything new. This can take many milliseconds."""
        if self._unsynced:
            self._unsynced = False  # first: what is written while fsync works needs another one
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write and sync what is left and close the file. Raises OSError where the disk does not take it."""
        self.flush()
        if self.failure:
            raise OSError(self.failure)
        self.sync()
        self._file.close()


def read_manifest(path: Path) -> list[str]:
    """The names of the log's files in the order in which they are read. Raises CorruptLog on a line that is none."""
    if not path.exists():
        return []
    names = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        told = dict(zip(words[::2], words[1::2], strict=False))
        if not {"file", "seq", "type"} <= told.keys() or "/" in told["file"] or told["type"] not in ("b", "i", "h"):
            raise CorruptLog(path, 0, f"line {number} is no line of a manifest")
        if told["type"] != "h":  # history: replaced, and only not yet deleted
            names.append(told["file"])
    return names


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


def sync_folder(path: Path) -> None:
    """See a folder's list of names onto the disk: without it a power cut can take a new file away."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _private(path: str, flags: int) -> int:
    """Open a file that only its owner can read: it holds everyone's data."""
    return os.open(path, flags, 0o600)
