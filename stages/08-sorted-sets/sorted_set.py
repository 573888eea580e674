"""The sorted set: members in the order of their scores. Python has none, so here it is."""

from bisect import bisect_left, insort
from operator import itemgetter

Entry = tuple[float, bytes]  # a score and a member; tuples compare as Redis orders: by score, then by bytes

LONGEST = 1000  # entries in a block


class SortedSet:
    """Members with scores. A dictionary knows the score of a member; blocks keep all entries in order.

    One sorted list would do, but to insert into it moves all that follows: half a million entries, if it has a million.
    So the list is cut into blocks, none longer than LONGEST and none empty:

        [(1.0, b"a"), (2.0, b"b")]  [(2.0, b"c"), (3.0, b"d")]  [(8.0, b"e")]

    >>> podium = SortedSet()
    >>> podium.add(b"bo", 2.0), podium.add(b"al", 1.0), podium.add(b"cy", 3.0)
    (True, True, True)
    >>> podium.add(b"al", 2.0)
    False
    >>> podium.entries(0, 3), podium.rank(b"cy"), podium.remove(b"bo"), podium.rank(b"cy")
    ([(2.0, b'al'), (2.0, b'bo'), (3.0, b'cy')], 2, True, 1)
    """

    def __init__(self) -> None:
        self.scores: dict[bytes, float] = {}
        self.blocks: list[list[Entry]] = []

    def add(self, member: bytes, score: float) -> bool:
        """Set the score of a member, and return whether it is new. An old entry has to be deleted from its block first.

        If the score is the one that it has, nothing changes: -0.0 equals 0.0, so 0.0 stays.
        """
        old = self.scores.get(member)
        if old == score:
            return False
        if old is not None:
            self._delete((old, member))
        self.scores[member] = score
        self._insert((score, member))
        return old is None

    def remove(self, member: bytes) -> bool:
        """Remove a member; return whether it was there."""
        score = self.scores.pop(member, None)
        if score is None:
            return False
        self._delete((score, member))
        return True

    def rank(self, member: bytes) -> int | None:
        """Return how many members come before this one; None if it is not there."""
        score = self.scores.get(member)
        return None if score is None else self.count_before((score, member))

    def count_before(self, entry: Entry) -> int:
        """Return the number of entries that are less than `entry`, which need not be in the set.

        These are all entries of the blocks before its own (`_find`), and those before it in its block.

        >>> numbers = SortedSet()
        >>> for number in range(3000):
        ...     _ = numbers.add(b"%d" % number, number)
        >>> [numbers.count_before((score, b"")) for score in (1500.5, -1, 9e9)]
        [1501, 0, 3000]
        """
        index = self._find(entry)
        before = sum(map(len, self.blocks[:index]))
        return before + (bisect_left(self.blocks[index], entry) if self.blocks else 0)

    def entries(self, start: int, stop: int) -> list[Entry]:
        """Return the entries with the ranks from `start` up to, but not including, `stop`.

        Go from block to block: one that is over before `start` is not looked into. In a block count `start` and `stop`
        from its beginning; a negative one would count from its end.

        >>> numbers = SortedSet()
        >>> for number in range(3000):
        ...     _ = numbers.add(b"%d" % number, number)
        >>> [member for _, member in numbers.entries(2499, 2502)], len(numbers.entries(500, 2600))
        ([b'2499', b'2500', b'2501'], 2100)
        """
        found: list[Entry] = []
        for block in self.blocks:
            if stop <= 0:
                break
            if start < len(block):
                found += block[max(start, 0) : stop]
            start, stop = start - len(block), stop - len(block)
        return found

    def _find(self, entry: Entry) -> int:
        """Return the index of the block to which `entry` belongs: the first one whose last entry is not less than it.

        If there is none, it is the last block; 0 if there are no blocks. The last entries are in order, too, so use
        `bisect_left(self.blocks, entry, key=itemgetter(-1))`: the key is taken of each block, and not of `entry`.
        """
        return max(min(bisect_left(self.blocks, entry, key=itemgetter(-1)), len(self.blocks) - 1), 0)

    def _insert(self, entry: Entry) -> None:
        """Insert `entry`, which is not there, at its place in its block. The first entry makes the first block.

        `insort` inserts into a sorted list. If the block is longer than LONGEST then, cut it in two.
        """
        if not self.blocks:
            self.blocks.append([entry])
            return
        index = self._find(entry)
        block = self.blocks[index]
        insort(block, entry)
        if len(block) > LONGEST:
            half = len(block) // 2
            self.blocks[index : index + 1] = block[:half], block[half:]

    def _delete(self, entry: Entry) -> None:
        """Delete `entry`, which is there; and its block, if that is empty then."""
        index = self._find(entry)
        block = self.blocks[index]
        del block[bisect_left(block, entry)]
        if not block:
            del self.blocks[index]

    def __len__(self) -> int:
        return len(self.scores)
