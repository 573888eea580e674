"""Random members of a collection, as HRANDFIELD, SRANDMEMBER and ZRANDMEMBER choose them."""

import random
from collections.abc import Sequence
from typing import TypeVar

from .command import integer
from .errors import ReplyError

MOST = 2**63 - 1
MOST_REPEATED = 2**20  # members in one answer that may name some more than once: it is made as a whole, in memory
T = TypeVar("T")


def parse_count(word: bytes) -> int:
    """Read how many are wanted."""
    count = integer(word)
    if count < -MOST:
        raise ReplyError(f"ERR value is out of range, value must between {-MOST} and {MOST}")
    return count


def check_paired(count: int, paired: bool) -> None:
    """Refuse a count whose answer, each member with its value, would be too long to be counted."""
    if paired and abs(count) > MOST // 2:
        raise ReplyError("ERR value is out of range")


def sample(members: Sequence[T], count: int) -> list[T]:
    """Some `count` different members; or, where it is negative, as many as that, some perhaps more than once.

    Raises a ReplyError for more than `MOST_REPEATED` of the latter.

    >>> sorted(sample([1, 2, 3], 5)), sample([7], -3), sample([], -3)
    ([1, 2, 3], [7, 7, 7], [])
    """
    if count >= 0:
        return random.sample(members, min(count, len(members)))
    if members and -count > MOST_REPEATED:
        raise ReplyError("ERR value is out of range")
    return random.choices(members, k=-count) if members else []
