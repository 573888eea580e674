"""The cursors of SCAN, HSCAN, SSCAN and ZSCAN: iteration in steps over a collection that changes in between.

The guarantee: a member that is there from the first call to the last is returned at least once, whatever is written in
between. So a cursor cannot be a position, which shifts when a member before it is removed. It is a hash: members are
returned in the order of their hashes, and each call continues with the next hashes.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator

REMEMBERED = 16  # collections whose order is cached between two calls


class Order:
    """The members of collections in the order of their hashes, cached so that not every call has to sort.

    A cached order may be outdated: it is made when a scan begins, so it has all members that were there then.
    """

    def __init__(self) -> None:
        self._orders: OrderedDict[Hashable, list[bytes]] = OrderedDict()

    def page(
        self, place: Hashable, members: Callable[[], Iterator[bytes]], cursor: int, count: int
    ) -> tuple[int, list[bytes]]:
        """The next cursor (0: the end) and about `count` members from `cursor` (0: the beginning) on.

        `place` identifies the collection. Members with the same hash are returned together. Some may no longer exist.
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
    """The hash by which a member is sorted; never 0, the first cursor. 30 bits sort faster than 48."""
    return hash(member) & 0x3FFFFFFF | 1
