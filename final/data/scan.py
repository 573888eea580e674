"""Going through a collection in steps while others change it: the cursors of SCAN and its kin.

The promise: what is there from the first call to the last is given at least once, whatever is written meanwhile.
So a cursor cannot be a position, which moves when something before it is removed. It is a place in the order of
the members' hashes, which nothing moves: each call gives the members whose hashes come next.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator

REMEMBERED = 16  # collections whose order is kept between two calls


class Order:
    """The members of collections in the order of their hashes, remembered so that not every call has to sort.

    An order that is a little old is good enough to go on with: who was there when a scan began is in it, as it is
    made anew at each beginning.
    """

    def __init__(self) -> None:
        self._orders: OrderedDict[Hashable, list[bytes]] = OrderedDict()

    def page(
        self, place: Hashable, members: Callable[[], Iterator[bytes]], cursor: int, count: int
    ) -> tuple[int, list[bytes]]:
        """The next cursor (0: that was all) and some `count` members, from `cursor` (0: the beginning) on.

        `place` names the collection. Members with the same hash come together. Some may be gone by now.
        """
        order = self._orders.get(place)
        if order is None or cursor == 0:
            order = self._orders[place] = sorted(members(), key=rank)
        self._orders.move_to_end(place)
        if len(self._orders) > REMEMBERED:
            self._orders.popitem(last=False)
        start = bisect_left(order, cursor, key=rank)
        end = start + count
        while 0 < end < len(order) and rank(order[end]) == rank(order[end - 1]):
            end += 1
        if end < len(order):
            return rank(order[end]), order[start:end]
        del self._orders[place]
        return 0, order[start:]


def rank(member: bytes) -> int:
    """Where a member stands in the order: never at 0, which is the beginning. 30 bits are sorted sooner than 48."""
    return hash(member) & 0x3FFFFFFF | 1
