"""HyperLogLog in the bytes that Redis uses: an estimate of how many different elements were added, in at most 12 kB.

Each element is hashed to 64 bits. The lowest 14 choose one of 16 384 registers; of the other 50, the number of zeros
before the first one, plus 1, is the element's *rank*. A register keeps the highest rank it has seen. High ranks are
rare, so they tell how many different elements there must have been (Flajolet et al. 2007; the estimator is Ertl's,
arXiv:1702.01284).

The value is a string (Redis: hyperloglog.c):

    HYLL | encoding: 0 dense, 1 sparse | 3 unused bytes | 8 bytes: the last estimate, little-endian | registers

Its highest bit says that the estimate is out of date. `hll_registers.py` has the two encodings of the registers.
"""

from math import inf, sqrt

from .hll_registers import (
    DENSE,
    DENSE_SIZE,
    HEADER,
    REGISTERS,
    SPARSE,
    set_dense,
    set_sparse,
    zeros,
)

HIGHEST = 50  # bits of a hash that are not used to choose the register; ranks go up to one more
MASK = 2**64 - 1
MULTIPLIER = 0xC6A4A7935BD1E995


def murmur64a(data: bytes) -> int:
    """Hash to 64 bits: MurmurHash64A, with the seed that Redis uses.

    >>> hex(murmur64a(b"hello"))
    '0xf656f01eecfe400'
    """
    size = len(data)
    hash = 0xADC83B19 ^ (size * MULTIPLIER & MASK)
    whole = size & ~7
    for at in range(0, whole, 8):
        part = int.from_bytes(data[at : at + 8], "little") * MULTIPLIER & MASK
        hash = (hash ^ ((part ^ part >> 47) * MULTIPLIER & MASK)) * MULTIPLIER & MASK
    if size > whole:
        hash = (hash ^ int.from_bytes(data[whole:], "little")) * MULTIPLIER & MASK
    hash = (hash ^ hash >> 47) * MULTIPLIER & MASK
    return hash ^ hash >> 47


def place_and_rank(element: bytes) -> tuple[int, int]:
    """Return the register that an element belongs to, and its rank."""
    hash = murmur64a(element)
    rest = hash >> 14 | 1 << HIGHEST  # so that there always is a one
    return hash & (REGISTERS - 1), (rest & -rest).bit_length()


def empty() -> bytearray:
    """Return a new value, sparse, with all registers 0."""
    return bytearray(b"HYLL" + bytes([SPARSE]) + bytes(11) + zeros(REGISTERS))


def is_valid(value: bytes) -> bool:
    """Return whether the header is that of a HyperLogLog. The registers may still be corrupted."""
    if len(value) < HEADER or value[:4] != b"HYLL" or value[4] > SPARSE:
        return False
    return value[4] == SPARSE or len(value) == DENSE_SIZE


def forget_estimate(value: bytearray) -> None:
    """Mark the stored estimate as out of date."""
    value[15] |= 0x80


def known_estimate(value: bytes) -> int | None:
    """Return the stored estimate, or None if it is out of date."""
    return None if value[15] & 0x80 else int.from_bytes(value[8:16], "little")


def add(value: bytearray, element: bytes, sparse_most: int) -> bool:
    """Add an element; return whether a register changed. A sparse value above `sparse_most` bytes becomes dense."""
    place, rank = place_and_rank(element)
    return set_dense(value, place, rank) if value[4] == DENSE else set_sparse(value, place, rank, sparse_most)


def estimate(ranks: bytes) -> int:
    """Estimate how many different elements gave these registers."""
    counts = [ranks.count(rank) for rank in range(HIGHEST + 2)]
    total = REGISTERS * tau((REGISTERS - counts[HIGHEST + 1]) / REGISTERS)
    for rank in range(HIGHEST, 0, -1):
        total = (total + counts[rank]) * 0.5
    total += REGISTERS * sigma(counts[0] / REGISTERS)
    return int(0.721347520444481703680 * REGISTERS * REGISTERS / total + 0.5)  # the constant is 1 / (2 ln 2)


def sigma(x: float) -> float:
    """Return x + x² + 2x⁴ + 4x⁸ + …, as far as a float changes."""
    if x == 1:
        return inf
    total, last, factor = x, -1.0, 1.0
    while total != last:
        x *= x
        last, total = total, total + x * factor
        factor += factor
    return total


def tau(x: float) -> float:
    """Return a third of 1 - x - (1 - √x)²/2 - (1 - ∜x)²/4 - …, as far as a float changes."""
    if x in (0, 1):
        return 0.0
    total, last, factor = 1 - x, -1.0, 1.0
    while total != last:
        x = sqrt(x)
        factor *= 0.5
        last, total = total, total - (1 - x) ** 2 * factor
    return total / 3
