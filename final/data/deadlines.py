"""The deadlines of a database's keys in order, the next one first."""

from heapq import heapify, heappop, heappush

SLACK = 1000  # outdated deadlines that are left alone, however few keys have one
MOVED = 4  # deadlines that are moved by each `push`, while the outdated ones are sorted out


class DeadlineQueue:
    """A heap of deadlines. One that was changed or removed stays in it, outdated, until it passes or is sorted out.

    A heap that is mostly outdated becomes `_mixed`, and a new one begins. Then each `push` looks at the last few of
    `_mixed`, and moves those that are not outdated to the new one: a heap without its last entry is still a heap. To
    look at a million at once would hold up all clients for half a second.

    >>> deadlines = {b"k": 1000}
    >>> queue = DeadlineQueue(deadlines)
    >>> queue.push(1000, b"k"), queue.push(2000, b"other")
    (None, None)
    >>> queue.pop(1500), queue.pop(1500)
    (b'k', None)
    """

    def __init__(self, deadlines: dict[bytes, int]) -> None:
        """`deadlines` has the keys that have a deadline. It is changed before `push`, or alone."""
        self._deadlines = deadlines
        self._heap: list[tuple[int, bytes]] = []
        self._mixed: list[tuple[int, bytes]] = []  # also a heap

    def push(self, deadline: int, key: bytes) -> None:
        """Add the deadline of `key`, the same object that `deadlines` has."""
        heappush(self._heap, (deadline, key))
        if self._mixed:
            for entry in self._mixed[: -MOVED - 1 : -1]:
                # Not `==`: a key may get the same deadline again and again, and only the last entry counts.
                if self._deadlines.get(entry[1]) is entry[0]:
                    heappush(self._heap, entry)
            del self._mixed[-MOVED:]
            if not self._mixed and self._overfull:  # the same objects are there many times, after many RENAMEs
                self._heap = [(when, key) for key, when in self._deadlines.items()]
                heapify(self._heap)
        elif self._overfull:
            self._mixed, self._heap = self._heap, []

    @property
    def _overfull(self) -> bool:
        """Whether most of the heap is outdated."""
        return len(self._heap) > 2 * len(self._deadlines) + SLACK

    def pop(self, now: int) -> bytes | None:
        """Remove the first deadline before `now`, and return its key; None: there is none. It may be outdated."""
        heaps = [heap for heap in (self._heap, self._mixed) if heap and heap[0][0] < now]
        return heappop(min(heaps))[1] if heaps else None

    @property
    def parts(self) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
        """What it consists of, to be freed a little at a time."""
        return self._heap, self._mixed
