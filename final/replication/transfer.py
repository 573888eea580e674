"""A snapshot as a primary sends it, kept in a file until it is complete.

$1024                       1024 bytes follow: the primary has written the snapshot to its disk before
$EOF:5f0c…                  the bytes follow up to these 40 characters again: its child writes into the connection
"""

import re
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryFile

from ..log.rdb.cursor import BadSnapshot, Cursor
from ..log.rdb.read import check_sum, read_data
from .stream import Args

_HEADER = re.compile(rb"\$(?:(\d{1,18})|EOF:([!-~]{40}))")


class Transfer:
    """Takes the bytes, and writes them to a file without a name, which no crash can leave over."""

    def __init__(self, header: bytes, folder: Path) -> None:
        """Begin, with the first line. Raises ValueError if that is no such line, and OSError."""
        found = _HEADER.fullmatch(header)
        if found is None:
            raise ValueError(f"a snapshot cannot begin with {header[:64]!r}")
        self.length = int(found[1]) if found[1] else None  # None: only the mark says where it ends
        self.received = 0
        self.file = TemporaryFile(dir=folder)  # noqa: SIM115  (`close` closes it)
        self._mark: bytes = found[2] or b""
        self._last = b""  # received, but perhaps the beginning of the mark

    def take(self, data: bytes) -> bytes | None:
        """Take the next bytes; return those after the snapshot, or None as long as it is not complete.

        Raises OSError if they cannot be written.
        """
        before = self.received
        self.received += len(data)
        if self.length is not None:
            self.file.write(data[: self.length - before])
            return data[self.length - before :] if self.received >= self.length else None
        data = self._last + data
        end = data.find(self._mark)
        if end >= 0:
            self.file.write(data[:end])
            return data[end + len(self._mark) :]
        safe = max(len(data) - len(self._mark) + 1, 0)
        self.file.write(data[:safe])
        self._last = data[safe:]
        return None

    def requests(self) -> Iterator[Args]:
        """Yield the requests that recreate the data. Raises BadSnapshot, at the latest at the end.

        The last one selects the database that the stream has selected: a replica sends its own replicas a snapshot in
        the middle of it.
        Empty ones come there, while the checksum is computed, so that nobody has to wait for all of that.
        """
        self.file.flush()
        if not self.file.tell():
            raise BadSnapshot(0, "it is empty")
        with mmap(self.file.fileno(), 0, access=ACCESS_READ) as data:
            cursor = Cursor(data)
            for _, args in read_data(cursor):
                yield args
            yield [b"SELECT", cursor.about.get(b"repl-stream-db", b"0")]
            for _ in check_sum(cursor):
                yield []

    def close(self) -> None:
        """Give the file up."""
        self.file.close()
