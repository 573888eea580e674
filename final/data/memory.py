"""How much memory a key takes, as Python says: the sizes of the objects that it is made of."""

from collections.abc import Callable, Collection
from itertools import islice
from sys import getsizeof
from typing import Any

from .store import KINDS

SAMPLES = 5  # so many elements are looked at, and the others taken to be like them
SLOT = 64  # bytes of an entry in a large dictionary, on the average of the room that it keeps: 42 to 84 (Python 3.11)


def size_of(key: bytes, value: Any, samples: int = SAMPLES) -> int:
    """Bytes of a key with its value; of a collection `samples` elements are measured, 0: all.

    It counts the key's name and its place among the keys, the container as Python made it, with the room that it keeps
    for growth, and its elements with their headers: `b""` is 33 bytes. It does not count what the allocator adds, nor
    that elements may be shared with what holds them elsewhere.

    >>> size_of(b"k", b"v" * 1000) - size_of(b"k", b"")
    1000
    """
    return SLOT + getsizeof(key) + KINDS[type(value)].size(value, samples)


def estimate(elements: Collection[Any], samples: int, size: Callable[[Any], int] = getsizeof) -> int:
    """The sizes of all elements together, from those of the first `samples`, or with 0 of each of them."""
    looked_at = [size(element) for element in islice(elements, samples or None)]
    return sum(looked_at) * len(elements) // max(len(looked_at), 1)


def pair_size(pair: tuple[bytes, bytes | float]) -> int:
    """Bytes of a field and its value, or of a member and its score."""
    return getsizeof(pair[0]) + getsizeof(pair[1])
