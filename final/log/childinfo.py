"""What a child process has done so far, in memory that it shares with the server (`childinfo.c`, which uses a pipe)."""

import struct
import time
from collections.abc import Iterator
from mmap import mmap
from typing import Any, TypeVar

T = TypeVar("T")

FORM = struct.Struct("=QQQd")  # keys, bytes copied, the most of them so far, and when that was read
DUTY_CYCLE = 100  # reading the bytes takes the child at most one part in this many of its time (CHILD_COW_DUTY_CYCLE)


class ChildInfo:
    """How many of `total` keys a child has written, and how much memory was copied because of it.

    >>> info = ChildInfo(total=4)
    >>> list(info.counted(iter("ab"))), info.report(), info.state()["current_fork_perc"]
    (['a', 'b'], None, '50.00')
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._shared = mmap(-1, FORM.size)
        self._keys = 0  # in the child
        self._next_reading = 0.0

    def counted(self, items: Iterator[T]) -> Iterator[T]:
        """In the child: yield the items, and count those that are done."""
        for item in items:
            yield item
            self._keys += 1

    def report(self, at_the_end: bool = False) -> None:
        """In the child: tell the server how far it is."""
        _, copied, most, when = FORM.unpack(self._shared)
        began = time.monotonic()
        if at_the_end or began >= self._next_reading:
            copied, when = private_dirty(), time.monotonic()
            most = max(most, copied)
            self._next_reading = when + DUTY_CYCLE * (when - began)
        FORM.pack_into(self._shared, 0, self._keys, copied, most, when)

    @property
    def copied(self) -> int:
        """In the server: the bytes of memory that were copied on write, as far as the child has told."""
        return int(FORM.unpack(self._shared)[1])

    def state(self) -> dict[str, Any]:
        """In the server: the fields of INFO about the child."""
        keys, copied, most, when = FORM.unpack(self._shared)
        return {
            "current_cow_peak": most,
            "current_cow_size": copied,
            "current_cow_size_age": int(time.monotonic() - when) if when else 0,
            "current_fork_perc": f"{100 * keys / self.total if self.total else 0:.2f}",
            "current_save_keys_processed": keys,
            "current_save_keys_total": self.total,
        }


def private_dirty() -> int:
    """Return how many bytes of this process are shared with no other: after a fork, those that were copied on write.

    They are what the child has written to, and what the server has. Without /proc it is 0.
    """
    try:
        with open("/proc/self/smaps_rollup", "rb") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith(b"Private_Dirty:"))
    except OSError:
        return 0
