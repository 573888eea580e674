"""Random members of a collection, as HRANDFIELD, SRANDMEMBER and ZRANDMEMBER choose them.

Python's dictionaries and sets have no n-th member: one has to iterate up to it, which takes 15 ms to the middle of a
million. So all members of an answer are collected in one iteration, and nothing is copied.
"""

import random
from collections.abc import Collection
from itertools import islice
from typing import TypeVar

from ..protocol.errors import ReplyError

MOST = 2**63 - 1
MOST_REPEATED = 2**20  # members in a reply with repetitions; it is built in memory as a whole
T = TypeVar("T")


def one_of(members: Collection[T]) -> T:
    """A random member of a collection that is not empty."""
    return next(islice(members, random.randrange(len(members)), None))


def sample(members: Collection[T], count: int) -> list[T]:
    """`count` different members, or all if there are fewer; with a negative count, -`count` members with repetitions.

    Raises a ReplyError for more than `MOST_REPEATED` with repetitions.

    >>> sorted(sample([1, 2, 3], 5)), sample([7], -3), sample([], -3)
    ([1, 2, 3], [7, 7, 7], [])
    """
    if not members:
        return []
    all_places = range(len(members))
    if count >= 0:
        places = random.sample(all_places, min(count, len(members)))
    elif -count <= MOST_REPEATED:
        places = random.choices(all_places, k=-count)
    else:
        raise ReplyError("ERR value is out of range")
    found, rest, passed = {}, iter(members), 0
    for place in sorted(set(places)):
        found[place] = next(islice(rest, place - passed, None))
        passed = place + 1
    return [found[place] for place in places]
