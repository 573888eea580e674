"""Random members of a collection, as HRANDFIELD, SRANDMEMBER and ZRANDMEMBER choose them.

Python's dictionaries and sets have no n-th member: one has to iterate up to it, which takes 3 ms to the middle of a
dictionary of a million, and 15 ms in a set, whose members lie scattered in memory. So all members of an answer are
collected in one iteration: 7 ms for a million. So of a long dictionary they are drawn from one half, the first or the
last; and of a large set from a window: see `window`. Each member is as likely as another, but they come from one part.
"""

import random
from collections.abc import Collection, Reversible
from itertools import islice, repeat, starmap
from typing import TypeGuard, TypeVar

from ..protocol.errors import ReplyError

MOST = 2**63 - 1
MOST_REPEATED = 2**20  # members in a reply with repetitions; it is built in memory as a whole
LARGE = 10_000  # members of a set that is not iterated over: that would take more than 0.1 ms
LONG = 100_000  # members of a dictionary of which only half is iterated over
WIDTH = 64  # members of which one is chosen, at most
T = TypeVar("T")


def one_of(members: Collection[T]) -> T:
    """A random member of a collection that is not empty."""
    if is_large(members):
        return random.choice(window(members, random.randint(1, WIDTH)))
    place, way = random.randrange(len(members)), iter(members)
    if isinstance(members, Reversible) and place > len(members) // 2:
        place, way = len(members) - 1 - place, reversed(members)
    return next(islice(way, place, None))


def sample(members: Collection[T], count: int) -> list[T]:
    """`count` different members, or all if there are fewer; with a negative count, -`count` members with repetitions.

    Raises a ReplyError for more than `MOST_REPEATED` with repetitions.

    >>> sorted(sample([1, 2, 3], 5)), sample([7], -3), sample([], -3)
    ([1, 2, 3], [7, 7, 7], [])
    """
    if not members:
        return []
    all_places, way = range(len(members)), iter(members)
    if len(members) > LONG and 4 * abs(count) < len(members) and isinstance(members, Reversible):
        all_places, way = range((len(members) + 1) // 2), random.choice((iter, reversed))(members)
    if count >= 0:
        places = random.sample(all_places, min(count, len(all_places)))
    elif -count <= MOST_REPEATED:
        places = random.choices(all_places, k=-count)
    else:
        raise ReplyError("ERR value is out of range")
    wanted = sorted(set(places))
    if is_large(members) and 2 * len(wanted) + WIDTH < len(members):
        drawn = window(members, 2 * len(wanted) + random.randint(0, WIDTH))
        found = dict(zip(wanted, random.sample(drawn, len(wanted)), strict=True))
    else:
        found, passed = {}, 0
        for place in wanted:
            found[place] = next(islice(way, place - passed, None))
            passed = place + 1
    return [found[place] for place in places]


def is_large(members: Collection[T]) -> TypeGuard[set[T]]:
    """Return whether this is a set that is better not iterated over."""
    return isinstance(members, set) and len(members) > LARGE


def window(members: set[T], count: int) -> list[T]:
    """Some of the members of a large set, those that come next in its table.

    `set.pop` goes on where it stopped the last time, so this takes 0.5 µs for each, wherever they are. The table is in
    the order of the hashes, which a secret number makes random in each process: to clients, one member is as likely as
    another. But until the end of the table is reached none comes twice. Redis promises no uniform distribution either.
    """
    popped = list(starmap(members.pop, repeat((), count)))
    members.update(popped)
    return popped
