"""Random members of a collection, as HRANDFIELD, SRANDMEMBER and ZRANDMEMBER choose them.

Python's dictionaries and sets cannot be asked for their n-th member: one has to walk to it, 15 ms to the middle of a
million. So all that are wanted are met on one walk, and nothing is copied.
"""

import random
from collections.abc import Collection
from itertools import islice
from typing import TypeVar

from ..protocol.errors import ReplyError

MOST = 2**63 - 1
MOST_REPEATED = 2**20  # members in one answer that may name some more than once: it is made as a whole, in memory
T = TypeVar("T")


def one_of(members: Collection[T]) -> T:
    """A random member of a collection that has some."""
    return next(islice(members, random.randrange(len(members)), None))


def sample(members: Collection[T], count: int) -> list[T]:
    """Some `count` different members; or, where it is negative, as many as that, some perhaps more than once.

    Raises a ReplyError for more than `MOST_REPEATED` of the latter.

    >>> sorted(sample([1, 2, 3], 5)), sample([7], -3), sample([], -3)
    ([1, 2, 3], [7, 7, 7], [])
    """
    if not members:
        return []
    everywhere = range(len(members))
    if count >= 0:
        places = random.sample(everywhere, min(count, len(members)))
    elif -count <= MOST_REPEATED:
        places = random.choices(everywhere, k=-count)
    else:
        raise ReplyError("ERR value is out of range")
    met, rest, walked = {}, iter(members), 0
    for place in sorted(set(places)):
        met[place] = next(islice(rest, place - walked, None))
        walked = place + 1
    return [met[place] for place in places]
