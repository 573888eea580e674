"""The entries of a dictionary by their positions in its table, without iterating up to them.

A dictionary has its entries in an array, in the order in which they were inserted. A new entry goes to the end; one
that is removed leaves a hole. When the array is full, it is built again without holes: entries move to lower positions,
and keep their order. In Python one has to iterate to an entry, which takes 3 ms to the middle of a million. But the
function of the C API that iterates, `PyDict_Next`, is handed a position, and can begin at any; ctypes calls it in 0.2
µs, or in 1 if the entry is in no cache.

It is public, and a part of Python's stable interface. That a position is an index in the array is not documented, nor
that it may begin elsewhere than at 0; `tests/final/test_scan.py` would tell if a new Python did it in another way. A
position outside of the array is refused by the function itself. It lends the key that it answers with; `key.value`
makes that a reference of our own, before anything else can run. Where it cannot be called, `has_positions` is always
false, and callers iterate.
"""

from collections.abc import Iterable
from functools import partial
from itertools import islice
from sys import getsizeof
from typing import Any, TypeGuard, TypeVar

next_entry: Any = None  # of a table, a position that it moves on, and a place for the key; 0: there is none
try:
    from ctypes import byref, c_ssize_t, py_object, pythonapi

    next_entry = pythonapi["PyDict_Next"]
except (ImportError, AttributeError):  # Python was built without libffi, or without the names of its functions
    pass

ENTRY = 16  # bytes of an entry at least: two pointers
T = TypeVar("T")


def has_positions(members: Iterable[T]) -> TypeGuard[dict[T, Any]]:
    """Return whether this is a dictionary, for which the other functions can be called."""
    return next_entry is not None and isinstance(members, dict)


def keys_from(table: dict[T, Any], place: int, most: int) -> tuple[list[T], int]:
    """The keys at `place` and behind it, up to `most`; and the position behind the last one.

    >>> numbers = dict.fromkeys((b"one", b"two", b"three", b"four"))
    >>> del numbers[b"two"]
    >>> keys_from(numbers, 0, 2), keys_from(numbers, 1, 1), keys_from(numbers, 4, 9)
    (([b'one', b'three'], 3), ([b'three'], 3), ([], 4))
    """
    position, key = c_ssize_t(place), py_object()
    step = partial(next_entry, py_object(table), byref(position), byref(key), None)
    found = [key.value for _ in islice(iter(step, 0), most)]
    return found, position.value


def keys_at(table: dict[T, Any], places: Iterable[int]) -> dict[int, T]:
    """The keys at those of the positions, which come in ascending order, that are no holes.

    >>> numbers = dict.fromkeys((b"one", b"two", b"three", b"four"))
    >>> del numbers[b"two"]
    >>> keys_at(numbers, [0, 1, 2, 7])
    {0: b'one', 2: b'three'}
    """
    position, key = c_ssize_t(), py_object()
    step = partial(next_entry, py_object(table), byref(position), byref(key), None)
    found: dict[int, T] = {}
    following = 0  # the position of the last entry that was looked up: all between are holes
    for place in places:
        if place < following:
            continue
        position.value = place
        if not step():
            break
        following = position.value - 1
        if following == place:
            found[place] = key.value
    return found


def end_of(table: dict[T, Any], most: int) -> int | None:
    """A position behind all entries, by at most a fourth of their number; None: there are entries from `most` on.

    >>> numbers = dict.fromkeys(range(1000))
    >>> 1000 < end_of(numbers, 4000) <= 1250, end_of(numbers, 999)
    (True, None)
    """
    low, high = len(table), min(getsizeof(table) // ENTRY, most)
    if keys_from(table, high, 1)[0]:
        return None
    while high - low > len(table) // 4:
        middle = (low + high) // 2
        keys, behind = keys_from(table, middle, 1)
        low, high = (behind, high) if keys else (low, middle)
    return high
