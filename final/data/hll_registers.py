"""The registers of a HyperLogLog, in the two encodings of Redis: dense, and sparse, which becomes dense when it grows.

A value has a header of 16 bytes, whose fifth byte is the encoding. Dense: 6 bits for each register, the lowest first.
Sparse: runs of equal registers, which take few bytes while most registers are 0:

    00llllll             l + 1 zeros
    01llllll llllllll    l + 1 zeros
    1vvvvvll             l + 1 registers of v + 1
"""

import re
from collections.abc import Iterator

HEADER = 16
REGISTERS = 1 << 14
DENSE_SIZE = HEADER + REGISTERS * 6 // 8
DENSE, SPARSE = 0, 1
SPARSE_HIGHEST = 32  # the highest rank that the sparse encoding can express
LONGEST_ZEROS, LONGEST_RUN = 64, 4  # registers in a run of one byte


class Corrupted(Exception):
    """The registers of a value are not encoded as they should be."""


def registers(value: bytes | bytearray) -> bytes:
    """Return the registers, a byte each. Raises Corrupted."""
    if value[4] == DENSE:
        return unpacked(bytes(value[HEADER:]))
    result = bytearray()
    for rank, length in runs(value):
        result += bytes([rank]) * length
        if len(result) > REGISTERS:
            raise Corrupted
    if len(result) != REGISTERS:
        raise Corrupted
    return bytes(result)


def merged(one: bytes, other: bytes) -> bytes:
    """Return the higher of each two registers."""
    return bytes(map(max, one, other))


def raise_all(value: bytearray, ranks: bytes, sparse_most: int) -> None:
    """Raise each register to its rank in `ranks`. Raises Corrupted."""
    if value[4] == DENSE:
        value[HEADER:] = packed(merged(registers(value), ranks))
        return
    at, first = HEADER, 0
    for place, rank in enumerate(ranks):
        if rank and value[4] == DENSE:
            set_dense(value, place, rank)
        elif rank:
            at, first = raise_sparse(value, place, rank, sparse_most, at, first) or (at, first)


# Dense


def set_dense(value: bytearray, place: int, rank: int) -> bool:
    """Raise a register of a dense value to `rank`; return whether it was lower."""
    at, shift = HEADER + place * 6 // 8, place * 6 % 8
    both = int.from_bytes(value[at : at + 2], "little")
    if both >> shift & 63 >= rank:
        return False
    both = both & ~(63 << shift) | rank << shift
    value[at : at + 2] = both.to_bytes(len(value[at : at + 2]), "little")
    return True


def make_dense(value: bytearray) -> None:
    """Encode a sparse value as dense."""
    value[HEADER:] = packed(registers(value))
    value[4] = DENSE


def packed(ranks: bytes) -> bytes:
    """Pack registers, a byte each, into 6 bits each: four registers in three bytes."""
    number = int.from_bytes(ranks, "little")
    low, odd = (int.from_bytes(bytes(mask) * (REGISTERS // 4), "little") for mask in ([63, 0, 63, 0], [0, 63, 0, 63]))
    pairs = number & low | (number & odd) >> 2  # 12 bits in each 16
    first, second = (
        int.from_bytes(bytes(mask) * (REGISTERS // 4), "little") for mask in ([255, 15, 0, 0], [0, 0, 255, 15])
    )
    fours = (pairs & first | (pairs & second) >> 4).to_bytes(REGISTERS, "little")  # 24 bits in each 32
    result = bytearray(REGISTERS * 3 // 4)
    for byte in range(3):
        result[byte::3] = fours[byte::4]
    return bytes(result)


def unpacked(packed: bytes) -> bytes:
    """Unpack registers of 6 bits into a byte each."""
    first, second, third = (packed[byte::3] for byte in range(3))
    result = bytearray(REGISTERS)
    result[0::4] = first.translate(LOW_SIX)
    result[1::4] = either(first.translate(HIGH_TWO), second.translate(LOW_FOUR))
    result[2::4] = either(second.translate(HIGH_FOUR), third.translate(LOW_TWO))
    result[3::4] = third.translate(HIGH_SIX)
    return bytes(result)


LOW_SIX, HIGH_SIX = bytes(byte & 63 for byte in range(256)), bytes(byte >> 2 for byte in range(256))
LOW_FOUR, HIGH_FOUR = bytes((byte & 15) << 2 for byte in range(256)), bytes(byte >> 4 for byte in range(256))
LOW_TWO, HIGH_TWO = bytes((byte & 3) << 4 for byte in range(256)), bytes(byte >> 6 for byte in range(256))


def either(one: bytes, other: bytes) -> bytes:
    """Return the bitwise *or* of two strings of the same length."""
    return (int.from_bytes(one) | int.from_bytes(other)).to_bytes(len(one))


# Sparse

PIECE = re.compile(rb"[^\x40-\x7f]{1,32}|[\x40-\x7f].", re.DOTALL)  # runs of one byte, or one of two
LENGTHS = bytes((code & 3 if code & 0x80 else code & 63) + 1 for code in range(256))  # registers in runs of one byte


def zeros(length: int) -> bytes:
    """Encode a run of zeros.

    >>> zeros(64), zeros(65)
    (b'?', b'@@')
    """
    if length <= LONGEST_ZEROS:
        return bytes([length - 1])
    return bytes([0x40 | (length - 1) >> 8, (length - 1) & 0xFF])


def run(rank: int, length: int) -> bytes:
    """Encode a run of registers of one rank."""
    return bytes([0x80 | (rank - 1) << 2 | length - 1])


def runs(value: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Yield the runs of a sparse value: rank and length."""
    codes = iter(value[HEADER:])
    for code in codes:
        if code & 0x80:
            yield (code >> 2 & 31) + 1, (code & 3) + 1
        elif code & 0x40:
            yield 0, ((code & 63) << 8 | next(codes, 0)) + 1
        else:
            yield 0, code + 1


def set_sparse(value: bytearray, place: int, rank: int, most: int) -> bool:
    """Raise a register of a sparse value to `rank`; return whether it was lower.

    The value becomes dense if it would have more than `most` bytes, or if the rank is too high for this encoding.
    """
    return raise_sparse(value, place, rank, most, *near(value, place)) is not None


def near(value: bytearray, place: int) -> tuple[int, int]:
    """Return the index of a run that is not far before that with register `place`, and the first register of it.

    To walk over a thousand runs takes 0.2 ms; so most of the way goes over many of them at once, in 0.04 ms.
    """
    before = at, first = HEADER, 0
    for match in PIECE.finditer(bytes(value), HEADER):
        codes = match.group()
        many = sum(codes.translate(LENGTHS)) if codes[0] & 0xC0 != 0x40 else ((codes[0] & 63) << 8 | codes[1]) + 1
        if first + many > place:
            break
        before, at, first = (at, first), match.end(), first + many
    return before


def raise_sparse(value: bytearray, place: int, rank: int, most: int, at: int, first: int) -> tuple[int, int] | None:
    """Do what `set_sparse` does, from a run on; return where to go on for a higher place, or None if nothing changed.

    The run at index `at` begins with register `first`. The steps are those of Redis's hllSparseSet, so that the same
    elements in the same order give the same bytes. Raises Corrupted.
    """
    if rank > SPARSE_HIGHEST:
        make_dense(value)
        set_dense(value, place, rank)
        return HEADER, 0
    end, before, before_first = len(value), at, first
    while True:
        if at >= end:
            raise Corrupted
        code = value[at]
        size, held = 1, 0
        if code & 0x80:
            held, length = (code >> 2 & 31) + 1, (code & 3) + 1
        elif code & 0x40:
            size, length = 2, ((code & 63) << 8 | (value[at + 1] if at + 1 < end else 0)) + 1
        else:
            length = code + 1
        if place < first + length:
            break
        before, before_first = at, first
        at, first = at + size, first + length
    if held >= rank:
        return None
    left, right = place - first, first + length - 1 - place
    outer = (lambda count: run(held, count)) if held else zeros
    codes = (outer(left) if left else b"") + run(rank, 1) + (outer(right) if right else b"")
    if len(codes) > size and end + len(codes) - size > most:
        make_dense(value)
        set_dense(value, place, rank)
        return HEADER, 0
    value[at : at + size] = codes
    join_runs(value, before)
    return before, before_first


def join_runs(value: bytearray, at: int) -> None:
    """Join neighbouring runs of the same rank, in five steps from `at` on."""
    for _ in range(5):
        if at >= len(value):
            return
        code = value[at]
        if not code & 0x80:
            at += 2 if code & 0x40 else 1
            continue
        following = value[at + 1] if at + 1 < len(value) else 0
        length = (code & 3) + (following & 3) + 2
        if following & 0xFC == code & 0xFC and length <= LONGEST_RUN:
            value[at : at + 2] = bytes([code & 0xFC | length - 1])
        else:
            at += 1
