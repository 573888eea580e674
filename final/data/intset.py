"""An intset, as which Redis keeps a small set of integers: all of them have the same width (`intset.c`).

If an integer needs more bytes than those before it, all get them, and keep them when it is removed. `Objects.remember`
has what a set does not show any more.
"""

from collections.abc import Collection

from ..protocol.numeric import parse_integer

WIDTHS = {2: "h", 4: "i", 8: "q"}  # bytes of an integer, and how `struct` calls it


def integers(members: Collection[bytes]) -> list[int] | None:
    """The integers that these members are, or None if any of them is none."""
    found = []
    for member in members:
        number = parse_integer(member) if member[:1] <= b"9" else None
        if number is None:
            return None
        found.append(number)
    return found


def width_of(numbers: Collection[int]) -> int:
    """The bytes that each of these integers takes, if there were no others before."""
    lowest, highest = min(numbers), max(numbers)
    return next(width for width in WIDTHS if -1 << 8 * width - 1 <= lowest and highest < 1 << 8 * width - 1)


def least_of(width: int) -> int:
    """The least positive integer that takes this many bytes.

    >>> least_of(4), width_of([least_of(8)]), width_of([least_of(8) - 1])
    (32768, 8, 4)
    """
    return 1 << 4 * width - 1


def least_width(remembered: str | None) -> int:
    """The bytes that each takes at least, from what is remembered of the encoding.

    >>> least_width("intset-8"), least_width("intset"), least_width(None)
    (8, 2, 2)
    """
    return int((remembered or "").partition("-")[2] or 2)
