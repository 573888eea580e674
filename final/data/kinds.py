"""What the other packages need to know of each type of value: `KINDS`, in which the types' modules enter themselves."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Args = Sequence[bytes]


class Raw(bytes):
    """Bytes of a snapshot that are written as they are."""


Item = bytes | int | float | Raw  # a part of a value in a snapshot: a string, a length, a double of 8 bytes, raw bytes
Form = tuple[int, Iterable[Item]]  # a value in a snapshot: its type (RDB_TYPE_…), and what it consists of


@dataclass(frozen=True)
class Kind:
    """What the other packages need to know of a type. The module of the type in `commands` adds it to `KINDS`."""

    name: str  # as TYPE calls it
    dump: Callable[[bytes, Any], Iterator[Args]]  # the requests that make the value at a key
    encoding: Callable[[Any], str]  # the encoding that Redis would use, for OBJECT ENCODING
    size: Callable[[Any, int], int]  # bytes of memory, estimated from that many elements (0: all); see `memory.py`
    copy: Callable[[Any], Any]  # a copy that can be changed independently
    rdb: Callable[[Any, str | None], Form]  # what it is in a snapshot; see `Objects.remembered` for the encoding
    parts: Callable[[Any], Iterable[Any]] = lambda value: (value,)  # the containers of its elements, to be freed


PIECE = 64  # elements in one request of a dump (Redis: AOF_REWRITE_ITEMS_PER_CMD)
KINDS: dict[type, Kind] = {}  # by the Python type of the value
