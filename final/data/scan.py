"""The cursors of SCAN, HSCAN, SSCAN and ZSCAN: iteration in steps over a collection that changes in between.

The guarantee: a member that is there from the first call to the last is returned at least once, whatever is written in
between. So a cursor cannot be a position, which shifts when a member before it is removed. It is a hash: members are
returned in the order of their hashes, and each call continues with the next hashes.

To sort a million members takes half a second, and no client should wait for that. So the first calls put the members
into drawers, by the first bits of their hashes, STEP in each call; such a call returns some of the members that it has
put away, which are returned again when their turn comes. A drawer is sorted when it is opened.
"""

import gc
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable

from .garbage import Garbage

REMEMBERED = 16  # collections whose order is cached between two calls
STEP = 10_000  # members that one call puts into drawers, in some 3 ms
BITS = 30  # of a hash: they sort faster than 48
MASK = (1 << BITS) - 1
DRAWER = 256  # members in a drawer, about
FILLING = 2  # the cursor until all are in drawers; ranks are odd


class Drawers:
    """The members of a collection as they were at one moment, in the order of their hashes."""

    def __init__(self, members: Collection[bytes]) -> None:
        self._shift = max(BITS - max(len(members) // DRAWER, 1).bit_length(), 0)
        self._drawers: list[list[bytes]] = [[] for _ in range(1 << BITS - self._shift)]
        self._sorted = bytearray(len(self._drawers))  # 1 for a drawer that is
        if large := len(members) > STEP:
            gc.collect(1)  # else garbage would be frozen, too
        self._waiting = list(members)  # those that are in no drawer yet
        if large:
            gc.freeze()  # the garbage collector would look at each member, which takes longer than all of this

    def fill(self, count: int) -> list[bytes] | None:
        """Put STEP members away, and return up to `count` of them; None: all are in their drawers."""
        some = self._waiting[-STEP:]
        del self._waiting[-STEP:]
        drawers, shift = self._drawers, self._shift
        for member in some:
            drawers[(hash(member) & MASK) >> shift].append(member)
        return some[:count] if self._waiting else None

    def page(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """The next cursor, 0 at the end, and `count` members from `cursor` on; those with the same hash together."""
        found: list[bytes] = []
        for number in range(cursor >> self._shift, len(self._drawers)):
            drawer = self._drawers[number]
            if not self._sorted[number]:
                drawer.sort(key=rank)
                self._sorted[number] = 1
            start = bisect_left(drawer, cursor, key=rank)
            end = start + count - len(found)
            while 0 < end < len(drawer) and rank(drawer[end]) == rank(drawer[end - 1]):
                end += 1
            found += drawer[start:end]
            if end < len(drawer):
                return rank(drawer[end]), found
        return 0, found

    def parts(self) -> Iterable[list[bytes]]:
        """The lists that hold members, to be freed."""
        return [self._waiting, *self._drawers]


class Order:
    """The members of collections in the order of their hashes, cached so that not every call has to sort.

    A cached order may be outdated: it is made when a scan begins, so it has all members that were there then.
    """

    def __init__(self, garbage: Garbage) -> None:
        self._garbage = garbage
        self._orders: OrderedDict[Hashable, Drawers] = OrderedDict()

    def page(
        self, place: Hashable, members: Callable[[], Collection[bytes]], cursor: int, count: int
    ) -> tuple[int, list[bytes]]:
        """The next cursor (0: the end) and about `count` members from `cursor` (0: the beginning) on.

        `place` identifies the collection. Members with the same hash are returned together. Some may no longer exist.
        """
        if cursor == 0:
            self._forget(place)
        order = self._orders.get(place)
        at_once = order is None and cursor != 0  # it was forgotten: begin no second time, which might never end
        if order is None:
            order = self._orders[place] = Drawers(members())
        self._orders.move_to_end(place)
        if len(self._orders) > REMEMBERED:
            self._forget(next(iter(self._orders)))
        while (some := order.fill(count)) is not None:
            if cursor in (0, FILLING) and not at_once:
                return FILLING, some
        following, found = order.page(0 if cursor == FILLING else cursor, count)
        if following == 0:
            self._forget(place)
        return following, found

    def _forget(self, place: Hashable) -> None:
        """Forget the order of a collection, if there is one; a large one is freed a little at a time."""
        order = self._orders.pop(place, None)
        for part in order.parts() if order is not None else ():
            self._garbage.take_apart(part)


def rank(member: bytes) -> int:
    """The hash by which a member is sorted; never 0 or 2, the cursors at the beginning."""
    return hash(member) & MASK | 1
