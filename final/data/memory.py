"""How much memory a key takes, as Python says: the sizes of the objects that it is made of."""

from collections.abc import Callable, Iterable
from itertools import islice
from sys import getsizeof
from typing import Any

from .sorted_set import SortedSet

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
    return SLOT + getsizeof(key) + value_size(value, samples)


def value_size(value: Any, samples: int) -> int:
    """Bytes of a value."""
    if isinstance(value, bytes):
        return getsizeof(value)
    if isinstance(value, dict):
        return getsizeof(value) + average(value.items(), len(value), samples, pair_size)
    if isinstance(value, SortedSet):
        return value.own_size() + average(value.scores.items(), len(value), samples, pair_size)
    return getsizeof(value) + average(value, len(value), samples, getsizeof)


def average(elements: Iterable[Any], count: int, samples: int, size: Callable[[Any], int]) -> int:
    """The sizes of all elements, from those of the first few."""
    looked_at = [size(element) for element in islice(elements, samples or None)]
    return sum(looked_at) * count // max(len(looked_at), 1)


def pair_size(pair: tuple[bytes, bytes | float]) -> int:
    """Bytes of a field and its value, or of a member and its score."""
    return getsizeof(pair[0]) + getsizeof(pair[1])
