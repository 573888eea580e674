"""Random members of a collection, as HRANDFIELD, SRANDMEMBER, ZRANDMEMBER and RANDOMKEY choose them.

Python's dictionaries and sets have no n-th member: one has to iterate up to it, which takes 3 ms to the middle of a
dictionary of a million, and 15 ms in a set, whose members lie scattered in memory. So of a small collection all members
of an answer are collected in one iteration. Of a large dictionary, random positions in its table are looked up, and
holes are left out: see `drawn`. Of a large set, members are chosen from a window: see `window`.
"""

import random
from collections.abc import Collection
from itertools import islice, repeat, starmap
from typing import Any, TypeVar

from ..protocol.errors import ReplyError
from .dict_entries import end_of, has_positions, keys_at

MOST = 2**63 - 1
MOST_REPEATED = 2**20  # members in a reply with repetitions; it is built in memory as a whole
LARGE = 10_000  # members of a collection that is not iterated over: that would take more than 0.1 ms
MANY = 80  # of a dictionary, more than one member in so many is found faster by iterating over all
HOLES = 4  # a table of more positions for each member is iterated over: too many would be drawn in vain
WIDTH = 64  # members of which one is chosen, at most
T = TypeVar("T")


def one_of(members: Collection[T]) -> T:
    """A random member of a collection that is not empty."""
    if len(members) > LARGE:
        return sample(members, -1)[0]
    return next(islice(members, random.randrange(len(members)), None))


def sample(members: Collection[T], count: int) -> list[T]:
    """`count` different members, or all if there are fewer; with a negative count, -`count` members with repetitions.

    Raises a ReplyError for more than `MOST_REPEATED` with repetitions.

    >>> sorted(sample([1, 2, 3], 5)), sample([7], -3), sample([], -3)
    ([1, 2, 3], [7, 7, 7], [])
    """
    if not members:
        return []
    if -count > MOST_REPEATED:
        raise ReplyError("ERR value is out of range")
    few = len(members) > LARGE and 4 * abs(count) < len(members)
    very_few = len(members) > max(LARGE, MANY * abs(count))
    if very_few and has_positions(members) and (end := end_of(members, HOLES * len(members))) is not None:
        return drawn(members, end, count)
    all_places = range(len(members))
    places = random.sample(all_places, min(count, len(members))) if count >= 0 else random.choices(all_places, k=-count)
    wanted = sorted(set(places))
    if few and isinstance(members, set):
        some = window(members, 2 * len(wanted) + random.randint(0, WIDTH))
        found = dict(zip(wanted, random.sample(some, len(wanted)), strict=True))
    else:
        found, passed, way = {}, 0, iter(members)
        for place in wanted:
            found[place] = next(islice(way, place - passed, None))
            passed = place + 1
    return [found[place] for place in places]


def drawn(table: dict[T, Any], end: int, count: int) -> list[T]:
    """What `sample` returns, from random positions before `end` in the table of a dictionary, for a small count.

    A position that is a hole is drawn again, and one that was drawn before, if members may not be repeated. So each
    member is as likely, whatever else is drawn. Positions are looked up in ascending order, as `keys_at` passes a row
    of holes only once then.
    """
    found: list[T] = []
    while (missing := abs(count) - len(found)) > 0:
        places = random.choices(range(end), k=missing * end // len(table) + 1)
        keys = keys_at(table, sorted(set(places)))
        found += [keys[place] for place in places if place in keys]
        if count > 0:
            found = list(dict.fromkeys(found))
    return found[: abs(count)]


def window(members: set[T], count: int) -> list[T]:
    """Some of the members of a large set, those that come next in its table.

    `set.pop` goes on where it stopped the last time, so this takes 0.5 µs for each, wherever they are. The table is in
    the order of the hashes, which a secret number makes random in each process: to clients, one member is as likely as
    another. But until the end of the table is reached none comes twice. Redis promises no uniform distribution either.
    """
    popped = list(starmap(members.pop, repeat((), count)))
    members.update(popped)
    return popped
