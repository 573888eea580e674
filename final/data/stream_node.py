"""A node of a stream: some entries in a row, packed. `stream.py` explains it."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from sys import getsizeof

from ..protocol.numeric import parse_integer

SEQUENCE = 2**64 - 1  # the bits of the sequence in an ID, and the highest sequence
LAST = 2**128 - 1  # the highest ID
LARGEST = 1 << 30  # bytes of a node (STREAM_LISTPACK_MAX_SIZE)
NINE = ord("9")
BACK_LENGTHS = (127, 16382, 2097150, 268435454)  # the sizes that Redis writes behind an element in one byte, in two …
Entry = tuple[int, list[bytes]]  # an ID, and fields and values in turn


def make_id(milliseconds: int, sequence: int) -> int:
    """Return the ID with these parts."""
    return milliseconds << 64 | sequence


def show_id(id: int) -> bytes:
    """Write an ID as Redis does.

    >>> show_id(make_id(5, 1))
    b'5-1'
    """
    return b"%d-%d" % (id >> 64, id & SEQUENCE)


class Node:
    """Some entries in a row, as parallel sequences. The entries before `begin` are trimmed."""

    __slots__ = ("added", "base", "begin", "ends", "fields", "firsts", "last", "ms", "seq", "size", "text")

    def __init__(self, base: int, fields: tuple[bytes, ...]) -> None:
        self.base = self.last = base  # the first and the last ID that it ever had
        self.added = 0  # the number of entries that it ever had
        self.begin = 0
        self.ms, self.seq = array("Q"), array("Q")
        self.fields: list[tuple[bytes, ...]] = []
        self.firsts = array("I")
        self.ends = array("Q")
        self.text = b""
        # Redis begins a listpack with a header, the counts of entries and deleted ones, the fields, and a zero.
        self.size = 7 + 2 + 2 + packed_number(len(fields)) + sum(map(packed, fields)) + 2

    def __len__(self) -> int:
        return len(self.ms) - self.begin

    def takes(self, length: int, most_entries: int, most_bytes: int) -> bool:
        """Whether another entry of `length` bytes may be added, as in Redis (`streamAppendItem`); 0: any number."""
        size = self.size
        if self.added >= 128:  # the counts take more than two bytes each
            size += packed_number(len(self)) + packed_number(self.added - len(self)) - 4
        return (self.added < most_entries or not most_entries) and size + length < (most_bytes or LARGEST)

    def append(self, id: int, fields: tuple[bytes, ...], values: Sequence[bytes], same: bool) -> None:
        """Add an entry behind the others. `same`: it has the fields of the first (STREAM_ITEM_FLAG_SAMEFIELDS)."""
        milliseconds, sequence = id >> 64, id & SEQUENCE
        self.last = id
        self.added += 1
        self.ms.append(milliseconds)
        self.seq.append(sequence)
        self.fields.append(fields)
        self.firsts.append(len(self.ends))
        end, size = len(self.text), 2
        for value in values:
            length = len(value)
            end += length
            self.ends.append(end)
            short = length < 64 and (not length or value[0] > NINE or value[-1] > NINE)  # no integer, by its ends
            size += length + 2 if short else packed(value)
        self.text += values[0] if len(values) == 1 else b"".join(values)
        later = milliseconds - (self.base >> 64), sequence - (self.base & SEQUENCE)
        size += 4 if 0 <= later[0] < 128 and 0 <= later[1] < 128 else sum(map(packed_difference, later))
        size += packed_number(len(fields) + 3 if same else 2 * len(fields) + 4)
        if not same:
            size += packed_number(len(fields)) + sum(map(packed, fields))
        self.size += size

    def before(self, id: int) -> int:
        """The index of the first entry with this ID or a higher one."""
        milliseconds = id >> 64
        at = bisect_left(self.ms, milliseconds, self.begin)
        if at == len(self.ms) or self.ms[at] != milliseconds:
            return at
        return bisect_left(self.seq, id & SEQUENCE, at, bisect_right(self.ms, milliseconds, at))

    def id(self, at: int) -> int:
        """The ID of an entry, by its index."""
        return self.ms[at] << 64 | self.seq[at]

    def entry(self, at: int) -> Entry:
        """An entry, by its index."""
        ends, text = self.ends, self.text
        pairs: list[bytes] = []
        place = self.firsts[at]
        start = ends[place - 1] if place else 0
        for field in self.fields[at]:
            end = ends[place]
            pairs += (field, text[start:end])
            place, start = place + 1, end
        return self.ms[at] << 64 | self.seq[at], pairs

    def delete(self, at: int) -> None:
        """Delete an entry, by its index."""
        if at == self.begin:
            self.begin += 1
            return
        first, count = self.firsts[at], len(self.fields[at])
        start, end = self.ends[first - 1], self.ends[first + count - 1]
        self.text = self.text[:start] + self.text[end:]
        rest = [each - (end - start) for each in self.ends[first + count :]]
        self.ends = self.ends[:first] + array("Q", rest)
        self.firsts = self.firsts[:at] + array("I", [each - count for each in self.firsts[at + 1 :]])
        del self.ms[at], self.seq[at], self.fields[at]

    def copy(self) -> "Node":
        """A copy, which can be changed independently."""
        other = Node.__new__(Node)
        for name in self.__slots__:
            value = getattr(self, name)
            setattr(other, name, value[:] if isinstance(value, (array, list)) else value)
        return other

    def own_size(self) -> int:
        """Bytes of memory, without the names of the fields, which nodes share."""
        parts = (self, self.ms, self.seq, self.fields, self.firsts, self.ends, self.text)
        return sum(map(getsizeof, parts)) + 2 * getsizeof(self.base)


def packed_number(number: int) -> int:
    """The bytes that an integer takes in a listpack, with the length that is stored behind it.

    >>> [packed_number(number) for number in (0, 127, 128, -4096, 40000, 2**40)]
    [2, 2, 3, 3, 5, 10]
    """
    if 0 <= number < 128:
        return 2
    bits = (number if number >= 0 else ~number).bit_length() + 1
    return 3 if bits <= 13 else 4 if bits <= 16 else 5 if bits <= 24 else 6 if bits <= 32 else 10


def packed_difference(number: int) -> int:
    """The same, of the difference of two 64-bit numbers, which Redis stores as a signed one."""
    number &= SEQUENCE
    return packed_number(number - 2**64 if number >> 63 else number)


def packed(element: bytes) -> int:
    """The bytes that a string takes in a listpack; one that is written as an integer is stored as an integer."""
    size = len(element)
    if size <= 20 and element[:1] <= b"9" and element[-1:].isdigit() and (number := parse_integer(element)) is not None:
        return packed_number(number)
    size += 1 if size < 64 else 2 if size < 4096 else 5
    return size + bisect_left(BACK_LENGTHS, size) + 1
