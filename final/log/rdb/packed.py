"""The encodings in which Redis packs a small collection into one string: listpack, ziplist, intset.

The functions for reading yield the elements, numbers as text; a hash has fields and values in turn, a sorted set
members and scores. They raise ValueError for damaged data, also when an element reaches over the end of the string.
"""

import struct
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from operator import lt

from ...data.intset import WIDTHS as WIDTHS_OF_INTSET
from ...data.intset import width_of
from ...data.kinds import Item, Raw
from ...data.stream_node import BACK_LENGTHS, NINE
from ...protocol.numeric import parse_integer

OTHER_LENGTH = "a listpack with an element that has another length than it says"
END = 0xFF  # the last byte of a listpack and a ziplist
MINUS = ord("-")
WIDTHS = ((0xF1, 2), (0xF2, 3), (0xF3, 4), (0xF4, 8))  # encoding bytes of a listpack's integers, and their bytes
OF_BITS = [next((bytes([code]), width) for code, width in WIDTHS if bits < 8 * width) for bits in range(64)]
HEADS = [bytes([0x80 | length]) for length in range(64)]  # what a listpack has before a text of this length …
TAILS = [bytes([length]) for length in range(128)]  # … and behind what has this length
PACKED = 2  # the type of a node of a list that is a listpack (QUICKLIST_NODE_CONTAINER_PACKED)
EMPTY = 7  # bytes of an empty listpack
FEW = 128  # elements of a list that may be in one node
OVERHEAD = 8  # bytes that Redis adds to an element to guess how many it takes (SIZE_ESTIMATE_OVERHEAD)
SAFE = 8192  # bytes that a node may have, if its elements are counted (SIZE_SAFETY_LIMIT)
ZIPLIST_WIDTHS = {0xC0: 2, 0xD0: 4, 0xE0: 8, 0xF0: 3, 0xFE: 1}  # bytes of an integer, by the first byte of its element


def little(data: bytes, signed: bool = False) -> int:
    """A little-endian integer."""
    return int.from_bytes(data, "little", signed=signed)


def checked(what: str, data: bytes, header: int) -> None:
    """Raise ValueError unless `data`, a `what`, is longer than `header`, begins with its length, and ends with END."""
    if len(data) <= header or little(data[:4]) != len(data) or data[-1] != END:
        raise ValueError(f"a {what} with a wrong length or end")


def listpack(data: bytes) -> list[bytes]:
    r"""The elements of a listpack: its length in bytes (4 bytes), their number (2), the elements, END.

    An element is an encoding byte, which also holds a length or a part of an integer; the data; and the length of
    both, seven bits in a byte, for reading backwards. For some lengths Redis uses a byte more than Valkey.

    >>> listpack(b"\x0f\0\0\0\x03\0" b"\x07\x01" b"\x81a\x02" b"\xdf\xff\x02" b"\xff")
    [b'7', b'a', b'-1']
    """
    checked("listpack", data, 6)
    found: list[bytes] = []
    place, last = 6, len(data) - 1
    while place < last:
        first, header, length, number = data[place], 1, 0, None
        if 0x80 <= first < 0xC0:  # mostly: a short text
            end = place + 1 + (first & 0x3F)
            if data[end] != end - place:
                raise ValueError(OTHER_LENGTH)
            found.append(data[place + 1 : end])
            place = end + 1
            continue
        if first < 0x80:
            number = first
        elif first < 0xE0:
            header, number = 2, (first & 0x1F) << 8 | data[place + 1]
            number -= 1 << 13 if number >= 1 << 12 else 0
        elif first < 0xF0:
            header, length = 2, (first & 0x0F) << 8 | data[place + 1]
        elif first == 0xF0:
            header, length = 5, little(data[place + 1 : place + 5])
        elif first <= 0xF4:
            header += (2, 3, 4, 8)[first - 0xF1]
            number = little(data[place + 1 : place + header], signed=True)
        else:
            raise ValueError("a listpack with an element of an unknown encoding")
        found.append(data[place + header : place + header + length] if number is None else b"%d" % number)
        size = header + length
        back_length, place = data[place + size], place + size + 1
        while back_length < size:
            back_length, place = back_length << 7 | data[place] & 0x7F, place + 1
        if back_length != size:
            raise ValueError(OTHER_LENGTH)
    if place != last:
        raise ValueError("a listpack whose last element is too long")
    return found


def pack_listpack(elements: Iterable[bytes | int]) -> bytes:
    r"""A listpack of these elements. A text that is an integer is stored as one.

    >>> pack_listpack([7, b"a", b"-1"]), listpack(pack_listpack([-(10**12), b"007"]))
    (b'\x0f\x00\x00\x00\x03\x00\x07\x01\x81a\x02\xdf\xff\x02\xff', [b'-1000000000000', b'007'])
    """
    return listpack_of(list(map(packed, elements)))


def listpack_of(parts: list[bytes]) -> bytes:
    """A listpack of elements that are packed."""
    body = b"".join(parts)
    return b"%b%b%b\xff" % ((len(body) + 7).to_bytes(4, "little"), min(len(parts), 0xFFFF).to_bytes(2, "little"), body)


def packed(element: bytes | int) -> bytes:
    """An element of a listpack: its encoding byte, the data, and the length of both."""
    if isinstance(element, int):
        return packed_integer(element)
    length = len(element)
    if length < 64 and (not length or element[0] > NINE or element[-1] > NINE):  # a short text that is no integer
        return HEADS[length] + element + TAILS[length + 1]
    number = parse_integer(element) if element.isdigit() or element[0] == MINUS else None
    if number is not None:
        return packed_integer(number)
    if length < 64:
        return HEADS[length] + element + TAILS[length + 1]
    head = (0xE000 | length).to_bytes(2) if length < 4096 else b"\xf0" + length.to_bytes(4, "little")
    return head + element + back_length(len(head) + length)


def packed_integer(number: int) -> bytes:
    """The same of an integer."""
    if 0 <= number < 128:
        return TAILS[number] + TAILS[1]
    if -(1 << 12) <= number < 1 << 12:
        return (0xC000 | number & 0x1FFF).to_bytes(2) + TAILS[2]
    head, width = OF_BITS[(number if number >= 0 else ~number).bit_length()]
    return head + number.to_bytes(width, "little", signed=True) + TAILS[1 + width]


def back_length(length: int) -> bytes:
    """A length for reading backwards: seven bits in a byte, the highest first, all but the first marked."""
    width = bisect_left(BACK_LENGTHS, length) + 1
    return bytes(length >> 7 * at & 0x7F | (0x80 if at < width - 1 else 0) for at in range(width - 1, -1, -1))


def pack_intset(numbers: list[int], least: int = 2) -> bytes:
    r"""An intset of these numbers, which are in order; each takes `least` bytes or more.

    >>> pack_intset([-1, 7])
    b'\x02\x00\x00\x00\x02\x00\x00\x00\xff\xff\x07\x00'
    """
    width = max(width_of(numbers), least)
    return struct.pack(f"<II{len(numbers)}{WIDTHS_OF_INTSET[width]}", width, len(numbers), *numbers)


def pack_quicklist(elements: Collection[bytes], fill: int) -> Iterable[Item]:
    """What a list consists of in a snapshot: the number of its nodes, and the nodes, each with its type.

    They are those that RPUSH makes. `fill` is the most elements in a node; if it is negative, it stands for a number
    of bytes (`quicklist.c`).
    """
    most_bytes = 1 << 11 + min(-fill, 5) if fill < 0 else SAFE
    most = fill if fill >= 0 else SAFE
    if len(elements) <= min(most, FEW):
        node = pack_listpack(elements)
        if len(node) + OVERHEAD <= most_bytes:
            return 1, PACKED, node
    return nodes(elements, most, most_bytes)


def nodes(elements: Iterable[bytes], most: int, most_bytes: int) -> Iterator[Item]:
    """The same, for a list of several nodes, perhaps. After each node, Raw(): this may take long."""
    full: list[bytes] = []
    parts: list[bytes] = []
    size = EMPTY
    for element in elements:
        if parts and (size + len(element) + OVERHEAD > most_bytes or len(parts) >= most):
            full.append(listpack_of(parts))
            parts, size = [], EMPTY
            yield Raw()
        part = packed(element)
        parts.append(part)
        size += len(part)
    full.append(listpack_of(parts))
    yield len(full)
    for node in full:
        yield PACKED
        yield node


def ziplist(data: bytes) -> Iterator[bytes]:
    r"""The elements of a ziplist, which Redis wrote up to 6.2: its length in bytes (4 bytes), the offset of the last
    element (4), the number of elements (2), the elements, END.

    An element is the length of the one before it, in one byte or, after 0xFE, in four; an encoding byte, which also
    holds a length or a part of an integer; and the data.

    >>> list(ziplist(b"\x12\0\0\0\x0e\0\0\0\x02\0" b"\0\x02hi" b"\x04\xfe\x80" b"\xff"))
    [b'hi', b'-128']
    """
    checked("ziplist", data, 10)
    place, last = 10, len(data) - 1
    while place < last:
        place += 5 if data[place] == 0xFE else 1
        first, header, length, number = data[place], 1, 0, None
        if first < 0x40:
            length = first
        elif first < 0x80:
            header, length = 2, (first & 0x3F) << 8 | data[place + 1]
        elif first == 0x80:
            header, length = 5, int.from_bytes(data[place + 1 : place + 5], "big")
        elif 0xF1 <= first <= 0xFD:
            number = first - 0xF1
        elif first in ZIPLIST_WIDTHS:
            header += ZIPLIST_WIDTHS[first]
            number = little(data[place + 1 : place + header], signed=True)
        else:
            raise ValueError("a ziplist with an element of an unknown encoding")
        yield data[place + header : place + header + length] if number is None else b"%d" % number
        place += header + length
    if place != last:
        raise ValueError("a ziplist whose last element is too long")


def intset(data: bytes) -> tuple[int, ...]:
    r"""The numbers of an intset: the bytes of each (4 bytes), their count (4), the numbers.

    >>> intset(b"\x02\0\0\0\x02\0\0\0" b"\xff\xff\x07\x00")
    (-1, 7)
    """
    width, count = little(data[:4]), little(data[4:8])
    if width not in WIDTHS_OF_INTSET or len(data) != 8 + width * count:
        raise ValueError("an intset with a wrong length")
    numbers: tuple[int, ...] = struct.unpack_from(f"<{count}{WIDTHS_OF_INTSET[width]}", data, 8)
    if not all(map(lt, numbers, numbers[1:])):
        raise ValueError("an intset that is not in order")
    return numbers
