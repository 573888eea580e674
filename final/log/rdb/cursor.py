"""The bytes of a snapshot, read one length, string or number after the other."""

from collections.abc import Iterator
from mmap import mmap

from .lzf import decompress
from .packed import little


class BadSnapshot(Exception):
    """The snapshot cannot be read at an offset: it is damaged, or `foreign`, valid but not supported here."""

    def __init__(self, offset: int, reason: str, foreign: bool = False) -> None:
        super().__init__(f"at byte {offset}: {reason}")
        self.offset, self.reason, self.foreign = offset, reason, foreign


class Cursor:
    """The bytes of a snapshot and a position in them. Raises BadSnapshot if they end too early."""

    def __init__(self, data: bytes | mmap) -> None:
        self.data = data
        self.place = 0
        self.about: dict[bytes, bytes] = {}  # the auxiliary fields so far

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        start = self.place
        if count > len(self.data) - start:
            raise BadSnapshot(start, "the file ends too early")
        self.place += count
        return self.data[start : self.place]

    def byte(self) -> int:
        """The next byte."""
        place = self.place
        if place >= len(self.data):
            raise BadSnapshot(place, "the file ends too early")
        self.place = place + 1
        return self.data[place]

    def size(self) -> int:
        """A length or an integer of 6, 14, 32 or 64 bits, as the first bits say."""
        first = self.byte()
        if first < 0x40:
            return first
        if first < 0x80:
            return (first & 0x3F) << 8 | self.byte()
        if first in (0x80, 0x81):
            return int.from_bytes(self.take(4 if first == 0x80 else 8), "big")
        raise BadSnapshot(self.place - 1, "expected a length")

    def string(self) -> bytes:
        """A string: a length and that many bytes, or an integer, or LZF-compressed bytes."""
        data, start = self.data, self.place + 1
        first = data[start - 1] if start <= len(data) else 0xFF
        if first < 0x80:  # most strings are short
            if first >= 0x40 and start < len(data):
                first, start = (first & 0x3F) << 8 | data[start], start + 1
            text = data[start : start + first]
            if len(text) == first:
                self.place = start + first
                return text
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

    def field(self) -> None:
        """An auxiliary field: its name and value."""
        name, value = self.strings(2)
        self.about[name] = value

    def strings(self, count: int) -> Iterator[bytes]:
        """The next `count` strings."""
        return (self.string() for _ in range(count))
