"""The cursors of SCAN, HSCAN, SSCAN and ZSCAN: iteration in steps over a collection that changes in between.

The guarantee: a member that is there from the first call to the last is returned at least once, whatever is written in
between. So a cursor cannot be a position, which shifts when a member before it is removed. It is a hash: members are
returned in the order of their hashes, and each call continues with the next hashes.

To sort a million members takes half a second, and no client should wait for that. So the first calls put the members
into drawers, by the first bits of their hashes, STEP in each call; such a call returns some of the members that it has
put away, which are returned again when their turn comes. A drawer is sorted when it is opened. Which members come next,
a walk over the table of a dictionary finds out; of a set, there is a snapshot.
"""

import gc
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterable
from weakref import ref

from .dict_entries import has_positions, keys_at, keys_from
from .garbage import Garbage
from .sorted_set import SortedSet

REMEMBERED = 16  # scans whose order is cached between two calls, also those that nobody continues
STEP = 6000  # members that one call puts into drawers, in some 3 ms, or returns at most
WITNESSES = 64  # of these, by which the next call knows where it is
BITS = 30  # of a hash: they sort faster than 48
MASK = (1 << BITS) - 1
DRAWER = 256  # members in a drawer, about
FILLING = 2  # the cursor until all are in drawers; ranks are odd
SCANS = 1 << 20  # numbers of scans, which are the upper bits of a cursor


class Walk:
    """The keys of a dictionary in the order of its table, some in each step. It may change between two steps.

    A key that is removed and set again goes to the end, which the walk still reaches. But when the table is built again
    without its holes, keys move to lower positions, also below that of the walk. So it remembers the last keys that it
    has passed, as witnesses. If one of them is still the same object at the same position, then no key has moved from
    behind it to before it: the walk continues behind it. If none is, the table was built again, or there is another
    dictionary now, or all of them have been removed: the walk begins again. What makes a witness reliable is that a key
    that is set again is another object, from another request.
    """

    def __init__(self, members: Collection[bytes]) -> None:
        self._left = 2 * len(members)  # keys that it passes before it gives up: others may be added as fast as it goes
        self._witnesses: dict[int, bytes] = {}  # keys by their positions
        self._of: object = None

    def step(self, members: Collection[bytes]) -> list[bytes] | None:
        """The next STEP keys; fewer: these are the last; None: it gives up."""
        of: object = id(members)
        if isinstance(members, SortedSet):  # one made of this one may have its keys in another order, and its address
            of, members = ref(members), members.scores
        if not has_positions(members) or self._left <= 0:
            return None
        place = self._last_place(members) if of == self._of else 0
        found, place = keys_from(members, place, STEP - WITNESSES)
        self._of, self._witnesses = of, {}
        for _ in range(WITNESSES):
            one, place = keys_from(members, place, 1)
            if one and len(one[0]) > 1:  # there is only one b"a", and one b""
                self._witnesses[place - 1] = one[0]
            found += one
        self._left -= len(found)
        return found

    def _last_place(self, table: dict[bytes, object]) -> int:
        """The position behind the last witness that is where it was; 0: none is."""
        there = keys_at(table, self._witnesses)
        return max((place + 1 for place, key in there.items() if key is self._witnesses[place]), default=0)


class Snapshot:
    """The members of any collection as they were at one moment, some in each step."""

    def __init__(self, members: Collection[bytes]) -> None:
        if large := len(members) > STEP:
            gc.collect(1)  # else garbage would be frozen, too
        self.waiting = list(members)  # for a step
        if large:
            gc.freeze()  # the garbage collector would look at each member, which takes longer than all of this

    def step(self, _: Collection[bytes]) -> list[bytes]:
        """The next STEP members; fewer: these are the last."""
        some = self.waiting[-STEP:]
        del self.waiting[-STEP:]
        return some


class Drawers:
    """The members of a collection in the order of their hashes: at least those that stay in it from now on."""

    def __init__(self, members: Collection[bytes]) -> None:
        self._shift = max(BITS - max(len(members) // DRAWER, 1).bit_length(), 0)
        self._drawers: list[list[bytes]] = [[] for _ in range(1 << BITS - self._shift)]
        self._sorted = bytearray(len(self._drawers))  # 1 for a drawer that is
        self._source: Walk | Snapshot = Walk(members) if len(members) >= STEP else Snapshot(members)
        self._filled = False

    def fill(self, members: Collection[bytes], count: int) -> list[bytes] | None:
        """Put STEP members away, and return up to `count` of them; None: all are in their drawers."""
        if self._filled:
            return None
        some = self._source.step(members)
        if some is None:
            self._source = Snapshot(members)
            some = self._source.step(members)
        drawers, shift = self._drawers, self._shift
        for member in some:
            drawers[(hash(member) & MASK) >> shift].append(member)
        self._filled = len(some) < STEP
        return None if self._filled else some[: min(count, STEP - WITNESSES)]

    def fill_at_once(self, members: Collection[bytes]) -> None:
        """Put all members away."""
        if isinstance(self._source, Walk) and not self._filled:
            self._source = Snapshot(members)  # which is faster
        while self.fill(members, 0) is not None:
            pass

    def page(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """The next cursor, 0 at the end, and `count` members from `cursor` on; those with the same hash together."""
        found: list[bytes] = []
        for number in range(cursor >> self._shift, len(self._drawers)):
            if not self._sorted[number]:
                self._drawers[number] = sorted(set(self._drawers[number]), key=rank)
                self._sorted[number] = 1
            drawer = self._drawers[number]
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
        return [*self._drawers, self._source.waiting] if isinstance(self._source, Snapshot) else self._drawers


class Order:
    """The members of collections in the order of their hashes, cached so that not every call has to sort.

    A cached order may be outdated: it is begun when a scan begins, so it has all members that were there then and are
    still there. Each scan has its own, so that others, which begin again and again, cannot keep it from its end.
    """

    def __init__(self, garbage: Garbage) -> None:
        self._garbage = garbage
        self._orders: OrderedDict[Hashable, Drawers] = OrderedDict()
        self._begun = 0  # scans

    def page(self, place: Hashable, members: Collection[bytes], cursor: int, count: int) -> tuple[int, list[bytes]]:
        """The next cursor (0: the end) and some `count` members from `cursor` (0: the beginning) on, at most STEP.

        `place` identifies the collection. Members with the same hash are returned together. Some may no longer exist.
        """
        count = min(count, STEP)
        number, cursor = divmod(cursor, MASK + 1) if cursor else (self._begun % SCANS, 0)
        this = place, number
        order = self._orders.get(this) if cursor else None
        at_once = order is None and cursor != 0  # it was forgotten: begin no second time, which might never end
        if order is None:
            self._begun += cursor == 0
            order = self._orders[this] = Drawers(members)
        self._orders.move_to_end(this)
        if len(self._orders) > REMEMBERED:
            self._forget(next(iter(self._orders)))
        if cursor not in (0, FILLING) or at_once:
            order.fill_at_once(members)
        elif (some := order.fill(members, count)) is not None:
            return number * (MASK + 1) + FILLING, some
        following, found = order.page(0 if cursor == FILLING else cursor, count)
        if following == 0:
            self._forget(this)
            return 0, found
        return number * (MASK + 1) + following, found

    def _forget(self, scan: Hashable) -> None:
        """Forget the order of a scan, if there is one; a large one is freed a little at a time."""
        order = self._orders.pop(scan, None)
        for part in order.parts() if order is not None else ():
            self._garbage.take_apart(part)


def rank(member: bytes) -> int:
    """The hash by which a member is sorted; never 0 or 2, the cursors at the beginning."""
    return hash(member) & MASK | 1
