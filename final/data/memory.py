"""How much memory a key takes, by the sizes of its Python objects, and how much the process takes."""

import resource
import sys
from collections.abc import Callable, Collection, Reversible
from itertools import islice
from pathlib import Path
from sys import getsizeof
from typing import Any

from .kinds import KINDS

SAMPLES = 5  # elements that are measured, from which the size of all is estimated
SLOT = 64  # average bytes of an entry in a large dictionary, with its free space: 42 to 84 (Python 3.11)


def size_of(key: bytes, value: Any, samples: int = SAMPLES) -> int:
    """Bytes of a key with its value; in a collection `samples` elements are measured (0: all).

    Counted are the key and its dictionary entry, the container with its free space, and the elements with their
    object headers: `b""` is 33 bytes. Not counted is the overhead of the allocator; elements that several containers
    share are counted in each.

    >>> size_of(b"k", b"v" * 1000) - size_of(b"k", b"")
    1000
    """
    return SLOT + getsizeof(key) + KINDS[type(value)].size(value, samples)


def estimate(elements: Collection[Any], samples: int, size: Callable[[Any], int] = getsizeof) -> int:
    """The total size of the elements, estimated from the last `samples`; with 0 the exact sum.

    Not from the first: a queue leaves holes at the beginning of a dictionary, 400 000 of which take 0.2 ms to pass.

    >>> estimate([b"", b"long"], 1, len), estimate({b"": 1, b"long": 2}.keys(), 0, len)
    (8, 4)
    """
    chosen = reversed(elements) if isinstance(elements, Reversible) else elements
    measured = [size(element) for element in islice(chosen, samples or None)]
    return sum(measured) * len(elements) // max(len(measured), 1)


def pair_size(pair: tuple[bytes, bytes | float]) -> int:
    """Bytes of a field and its value, or of a member and its score."""
    return getsizeof(pair[0]) + getsizeof(pair[1])


def memory_in_use() -> int:
    """Return the resident size of the process in bytes; on systems without /proc, its peak."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return memory_peak()


def memory_peak() -> int:
    """Return the peak resident size of the process in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
