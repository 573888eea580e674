"""A large argument is made before all of it has come, and what comes is copied to its place in it, once.

A string is `bytes`, which nobody can change. Collected in a `bytearray`, an argument has to be copied when it is
complete, so that there are two copies in memory. CPython's C API allows to write into a `bytes` object that was just
made and that nobody else has seen: the documentation of PyBytes_AsString says that the data "must not be modified in
any way, unless the object was just created using `PyBytes_FromStringAndSize(NULL, size)`".

With it SET of 200 MB takes 210 ms of processor time, without it 300; redis-server takes 125.
"""

import sys
from collections.abc import Callable
from typing import Any

Function = Callable[..., Any]

LARGE = 64 * 1024  # bytes; a longer argument is made before all of it has come …
PART = 32  # … but not before one 32nd has: a length that is only announced takes no memory

try:
    from ctypes import PYFUNCTYPE, c_char_p, c_int, c_ssize_t, c_void_p, py_object, pythonapi

    # Not as attributes of `pythonapi`, whose types all users of ctypes in this process would share.
    _new: Function = PYFUNCTYPE(py_object, c_char_p, c_ssize_t)(("PyBytes_FromStringAndSize", pythonapi))
    _address: Function = PYFUNCTYPE(c_void_p, py_object)(("PyBytes_AsString", pythonapi))
    _view: Function = PYFUNCTYPE(py_object, c_void_p, c_ssize_t, c_int)(("PyMemoryView_FromMemory", pythonapi))
except (ImportError, AttributeError, OSError):  # this Python was built without libffi, or is not CPython
    LARGE = sys.maxsize  # so no argument is large

WRITABLE = 0x200  # PyBUF_WRITE


def may_begin(length: int, come: int) -> bool:
    """Return whether to make an argument of this length now that `come` bytes of it have come.

    Redis takes the memory as soon as it knows the length. Most of it stays unused until it is written to, but where
    address space is limited, clients that send a length and nothing else could take all of it.
    """
    return length > LARGE and come >= length // PART


class LargeArgument:
    """An argument of a known length, filled from its start. `value` must not be used before it is full.

    >>> argument = LargeArgument(6)
    >>> argument.fill(b"ab"), argument.fill(b"cdefgh"), argument.value
    (2, 4, b'abcdef')
    """

    def __init__(self, length: int) -> None:
        """Make the argument, of two bytes at least. Raises MemoryError. Most of its pages are taken when written to."""
        self.value: bytes = _new(None, length)
        self._room: memoryview = _view(_address(self.value), length, WRITABLE)  # the part of `value` that is not filled

    def fill(self, data: bytes | bytearray) -> int:
        """Copy bytes from the start of `data`, as many as there is room for; return how many."""
        count = min(len(data), len(self._room))
        with memoryview(data) as source:
            self._room[:count] = source[:count]
        self._room = self._room[count:]
        return count
