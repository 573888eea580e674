"""The sorted set: members with scores, kept in order, so that both a member's rank and the n-th member are cheap.

A dictionary knows each member's score. The order is kept in blocks: short sorted lists of (score, member), one
after the other, none longer than LONGEST.

    blocks    [(1, a) (2, b) (2, c)]  [(3, d) (5, e)]  [(8, f) (9, g) (9, h) (9, i)]
    firsts     (1, a)                  (3, d)           (8, f)
    counts     3                       2                4

To insert, find the block by its first entry (binary search), then the place in the block (binary search), and move
the few hundred entries behind it, which `list.insert` does in one go. A block that gets too long is cut in two. To
know a rank, add up the lengths of the blocks before it: not one by one, but from a Fenwick tree, whose n-th number is
the sum of a run of counts that ends at n and is as long as the lowest set bit of n. So a sum takes as many steps as
there are bits, and so does a change: a million members are a few thousand blocks, and a dozen steps.

Redis uses a skip list with widths, which does the same by pointers. In Python each pointer followed is a step of the
interpreter, while search and insertion in a short list are one call into C.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from itertools import chain, islice
from sys import getsizeof

Entry = tuple[float, bytes]  # a score and a member; tuples compare as Redis orders: by score, then by bytes

LONGEST = 512  # entries in a block, which is cut in two beyond that
SHORTEST = LONGEST // 8  # a block that gets shorter is joined to its neighbour


class SortedSet:
    """Members with scores, in order.

    >>> podium = SortedSet()
    >>> podium.add(b"bo", 2.0), podium.add(b"al", 1.0), podium.add(b"cy", 3.0), podium.add(b"al", 2.0)
    (True, True, True, False)
    >>> list(podium.entries())
    [(2.0, b'al'), (2.0, b'bo'), (3.0, b'cy')]
    >>> podium.rank(b"cy"), podium.remove(b"bo"), podium.rank(b"cy")
    (2, True, 1)
    """

    def __init__(self) -> None:
        self.scores: dict[bytes, float] = {}
        self._blocks: list[list[Entry]] = []
        self._firsts: list[Entry] = []
        self._tree: list[int] = []  # the Fenwick tree of the blocks' lengths, counted from 1; empty: to be made

    def __len__(self) -> int:
        return len(self.scores)

    def __contains__(self, member: bytes) -> bool:
        return member in self.scores

    def add(self, member: bytes, score: float) -> bool:
        """Give a member this score; tell whether it is new."""
        score += 0.0  # minus zero becomes zero
        old = self.scores.get(member)
        if old == score:
            return False
        if old is not None:
            self._take_out((old, member))
        self.scores[member] = score
        self._put_in((score, member))
        return old is None

    def remove(self, member: bytes) -> bool:
        """Remove a member; tell whether it was there."""
        score = self.scores.pop(member, None)
        if score is None:
            return False
        self._take_out((score, member))
        return True

    def rank(self, member: bytes) -> int | None:
        """How many members stand before this one; None: it is not there."""
        score = self.scores.get(member)
        return None if score is None else self.count_before((score, member))

    def count_before(self, entry: Entry) -> int:
        """How many entries are less than this one, which need not be there.

        >>> numbers = SortedSet()
        >>> for n in range(2000): _ = numbers.add(b"%d" % n, n)
        >>> numbers.count_before((1500.5, b"")), numbers.count_before((-1, b"")), numbers.count_before((9e9, b""))
        (1501, 0, 2000)
        """
        block = max(bisect_right(self._firsts, entry) - 1, 0)
        if block == len(self._blocks):
            return 0
        return self._sum(block) + bisect_left(self._blocks[block], entry)

    def entries(self, start: int = 0, stop: int | None = None, reverse: bool = False) -> Iterator[Entry]:
        """The entries from rank `start` up to, not including, `stop`; with `reverse` the same from the end.

        >>> numbers = SortedSet()
        >>> for n in range(2000): _ = numbers.add(b"%d" % n, n)
        >>> [member for _, member in numbers.entries(511, 514)], next(numbers.entries(1, reverse=True))
        ([b'511', b'512', b'513'], (1998.0, b'1998'))
        """
        stop = len(self) if stop is None else min(stop, len(self))
        start = max(start, 0)
        if start >= stop:
            return iter(())
        block, offset = self._find(len(self) - 1 - start if reverse else start)
        if reverse:
            first = islice(reversed(self._blocks[block]), len(self._blocks[block]) - 1 - offset, None)
            others = (reversed(self._blocks[index]) for index in range(block - 1, -1, -1))
        else:
            first = islice(self._blocks[block], offset, None)
            others = (iter(self._blocks[index]) for index in range(block + 1, len(self._blocks)))
        return islice(chain(first, chain.from_iterable(others)), stop - start)

    def copy(self) -> "SortedSet":
        """The same members and scores, to be changed apart from these."""
        other = SortedSet()
        other.scores = dict(self.scores)
        other._blocks = [list(block) for block in self._blocks]
        other._firsts = list(self._firsts)
        return other

    def own_size(self) -> int:
        """Bytes of the dictionary, the blocks and the tree, without what stands in them."""
        parts = (self.scores, self._blocks, self._firsts, self._tree, *self._blocks)
        return getsizeof(self) + sum(map(getsizeof, parts))

    def _put_in(self, entry: Entry) -> None:
        """Insert an entry that is not there."""
        index = max(bisect_right(self._firsts, entry) - 1, 0)
        if not self._blocks:
            self._blocks.append([])
            self._firsts.append(entry)
            self._tree = []
        block = self._blocks[index]
        insort(block, entry)
        self._firsts[index] = block[0]
        if len(block) <= LONGEST:
            self._count(index, 1)
            return
        half = len(block) // 2
        self._blocks.insert(index + 1, block[half:])
        self._firsts.insert(index + 1, block[half])
        del block[half:]
        self._tree = []

    def _take_out(self, entry: Entry) -> None:
        """Remove an entry that is there."""
        index = bisect_right(self._firsts, entry) - 1
        block = self._blocks[index]
        del block[bisect_left(block, entry)]
        if len(block) >= SHORTEST or (len(self._blocks) == 1 and block):
            self._firsts[index] = block[0]
            self._count(index, -1)
            return
        neighbour = index - 1 if index else index + 1
        del self._blocks[index], self._firsts[index]
        self._tree = []
        if block:
            target = min(neighbour, index)
            joined = self._blocks[target] + block if neighbour < index else block + self._blocks[target]
            self._blocks[target : target + 1] = [joined] if len(joined) <= LONGEST else _halves(joined)
            self._firsts = [each[0] for each in self._blocks]

    def _find(self, rank: int) -> tuple[int, int]:
        """The block in which the entry of this rank stands, and its place there. Goes down the Fenwick tree."""
        tree = self._tree or self._grow()
        block = 0
        step = 1 << (len(tree) - 1).bit_length() - 1
        while step:
            if block + step < len(tree) and tree[block + step] <= rank:
                block += step
                rank -= tree[block]
            step >>= 1
        return block, rank

    def _sum(self, block: int) -> int:
        """The number of entries in the blocks before this one."""
        tree = self._tree or self._grow()
        total = 0
        while block:
            total += tree[block]
            block &= block - 1
        return total

    def _count(self, block: int, change: int) -> None:
        """A block has become longer or shorter."""
        tree = self._tree
        place = block + 1
        while place < len(tree):
            tree[place] += change
            place += place & -place

    def _grow(self) -> list[int]:
        """Make the Fenwick tree anew: after a block was cut or joined, and not before someone asks for a rank."""
        tree = [0, *map(len, self._blocks)]
        for place in range(1, len(tree)):
            above = place + (place & -place)
            if above < len(tree):
                tree[above] += tree[place]
        self._tree = tree
        return tree


def _halves(entries: list[Entry]) -> list[list[Entry]]:
    """Cut a block in two."""
    half = len(entries) // 2
    return [entries[:half], entries[half:]]
