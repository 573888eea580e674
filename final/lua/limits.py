"""What a script may use: Lua, if it is installed, and how much; and what becomes of one that needs more."""

import sys
from typing import Any

from ..protocol.errors import ReplyError

STEPS = 100_000  # instructions of Lua between two calls of `check`
FRAMES = 5000  # of Python's stack: tables may be nested 1000 deep, and each level needs up to three frames
DEEPEST = 1000  # levels of nested tables in the result of a script
MOST_MEMORY = 512 << 20  # bytes that a script may use, and so the limit for its reply
RESERVE = 1 << 20  # of these, for what lupa allocates for a call, outside of any Lua function
SHORT = 1024  # bytes of an argument or a reply that need not be counted
VALUE = 48  # bytes of a value at least: its slot in a table, and an object in Python
LOOK_EVERY = 1 << 17  # bytes of converted values between two calls of `check`
KILLED = "ERR Script killed by user with SCRIPT KILL..."
sys.setrecursionlimit(max(FRAMES, sys.getrecursionlimit()))


class Killed(Exception):
    """SCRIPT KILL ends the script, during the conversion of a value."""


class NoLua(ReplyError):
    """There is no Lua here."""

    def __init__(self) -> None:
        super().__init__("ERR scripts need the Python package lupa: pip install lupa")


def lupa() -> Any:
    """Return the library, for Lua 5.1, as Redis has it. Raises NoLua."""
    try:
        from lupa import lua51
    except ImportError:
        raise NoLua from None
    return lua51


# What a script or its conversion is told that ends in one of these.
ENDED = {MemoryError: "ERR not enough memory", Killed: KILLED, RecursionError: "ERR reached lua stack limit"}


def never(*_: object) -> None:
    """An attribute filter that refuses everything, in case that Lua ever gets a Python object."""
    raise AttributeError("scripts have no access to Python objects")
