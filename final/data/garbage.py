"""Values that nobody needs any more, freed a little at a time, so that no client waits for it (`lazyfree.c`).

Redis has a thread for it. Here a thread would hold the interpreter's lock all the same, so large values are taken apart
between iterations of the event loop: a million elements take some 0.1 s in all, and a millisecond at a time.

Python's garbage collector frees what reference counts do not: objects that refer to each other, such as an error and
the frames that it went through. For that it looks at each element of a container, at three ages of it: at a million
members of a set for 80 ms, in the middle of some command. Here such objects die young, and what lives long is freed
without it. So it looks at young objects only: see `look_at_the_young_only` and `settle_the_young`.

What has been freed, the C library soon returns to the operating system, page by page, and has to ask for it again. For
replies of some kilobytes that takes longer than to write them: see `keep_freed_memory`.
"""

import gc
from itertools import repeat, starmap
from time import perf_counter
from typing import Any

from .kinds import KINDS

FEW = 1000  # elements that are freed at once: in 0.1 ms
SLICE = 0.001  # seconds of freeing at a time
NEVER = 1 << 30  # collections of young objects before one of all
KEPT = 8 << 20  # bytes of freed memory that stay with this process, to be used again


class Garbage:
    """Containers to be taken apart: dictionaries, sets, lists and deques.

    >>> garbage = Garbage()
    >>> garbage.take_apart(numbers := set(range(1500)))
    >>> garbage.free(0), len(numbers), garbage.free(0), garbage.free(0)
    (True, 500, True, False)
    """

    def __init__(self) -> None:
        self._containers: list[Any] = []
        self.freed = 0  # containers so far

    def __len__(self) -> int:
        """The number of containers that wait."""
        return len(self._containers)

    def add(self, value: Any) -> None:
        """Free a value of a key later, if it is large. It must not be used any more."""
        if type(value) is not bytes and len(value) > FEW:
            self._containers.extend(KINDS[type(value)].parts(value))

    def take_apart(self, container: Any) -> None:
        """Free a container later. It must not be used any more, and what else is in it must be values of keys."""
        self._containers.append(container)

    def free(self, seconds: float = SLICE) -> bool:
        """Free FEW elements, and more until the time is over; return whether anything is left."""
        end = perf_counter() + seconds
        while self._containers:
            container = self._containers[-1]
            if not container:
                self._containers.pop()
                self.freed += 1
                continue
            if isinstance(container, dict):
                gone = list(starmap(container.popitem, repeat((), min(FEW, len(container)))))
                for _, value in gone:
                    if type(value) is not bytes and type(value) in KINDS:
                        self.add(value)
            else:
                gone = list(starmap(container.pop, repeat((), min(FEW, len(container)))))
            del gone
            if perf_counter() >= end:
                break
        return bool(self._containers)


def look_at_the_young_only() -> None:
    """Let the garbage collector look at no object that has survived twice; MEMORY PURGE has it look at all."""
    gc.set_threshold(*gc.get_threshold()[:2], NEVER)


def keep_freed_memory() -> None:
    """Let the C library keep up to KEPT bytes at the end of its heap, and not 128 KB.

    The GNU library adapts that by itself: it keeps twice as much as the largest block that has been freed so far. So it
    is enough to free a block once, which is never written to and so takes no memory (`M_TRIM_THRESHOLD` in mallopt(3)).
    Other libraries do not care. Fifty replies of 42 KB that are sent together would need 500 pages, which on uvloop
    took a quarter of the time of an LRANGE.
    """
    bytes(KEPT // 2)


def settle_the_young() -> None:
    """Count what lives now as old. Called some ten times a second: containers are looked at while they are small."""
    gc.collect(1)
