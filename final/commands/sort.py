"""SORT: the elements of a list, a set or a sorted set, in an order that other keys may decide."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..data.sorted_set import SortedSet
from ..data.store import Store
from ..engine.args import Options
from ..engine.command import DENYOOM, MOVABLEKEYS, READONLY, WRITE, Group
from ..engine.signature import command
from ..protocol.errors import ReplyError, syntax_error, wrong_type
from ..protocol.numeric import strtod
from ..protocol.writer import Value
from .hashes import HASH
from .lists import LIST
from .sets import SET

GROUP = Group("generic", "@keyspace", "g")


@dataclass
class Request:
    """What SORT was asked for."""

    by: bytes | None = None  # a pattern: the keys whose values decide the order
    get: list[bytes] = field(default_factory=list)  # patterns: the keys whose values are given
    alpha: bool = False  # compare bytes, not numbers
    descending: bool = False
    offset: int = 0
    count: int = -1  # -1: all
    destination: bytes | None = None

    @property
    def unsorted(self) -> bool:
        """Whether the elements stay in the order that they are in: BY a pattern without a star asks for that."""
        return self.by is not None and b"*" not in self.by


def keys_of_sort(args: list[bytes]) -> Iterator[tuple[int, str]]:
    """The indexes of SORT's key and of the last that STORE names, and how they are used."""
    yield 1, "RO access"
    yield from [(at + 1, "OW update") for at, each in enumerate(args[:-1]) if at > 1 and each.lower() == b"store"][-1:]


@command(WRITE, DENYOOM, MOVABLEKEYS, keys="RO access, RO access, OW update", find_keys=keys_of_sort)
def sort(db: Store, key: bytes, *options: bytes) -> Value:
    """SORT key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA] [STORE destination]: answer with the elements in order.

    BY takes the order from the values at other keys, GET answers with such values: the first star in a pattern
    stands for the element, `*->field` is for hashes, `#` the element itself. With STORE, keep the answer as a list.
    """  # noqa: E501  (the first line is what redis-cli shows)
    wanted = parse(options, storing=True)
    answer = answer_of(db, key, wanted)
    return answer if wanted.destination is None else store(db, wanted.destination, answer)


@command(READONLY, MOVABLEKEYS, keys="RO access, RO access")
def sort_ro(db: Store, key: bytes, *options: bytes) -> Value:
    """SORT_RO key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]: SORT without STORE."""  # noqa: E501
    return answer_of(db, key, parse(options, storing=False))


def parse(args: Sequence[bytes], storing: bool) -> Request:
    """Read the options. Of one that is given twice the second counts, but for GET."""
    wanted = Request()
    options = Options(args)
    for option in options:
        match option:
            case b"asc" | b"desc":
                wanted.descending = option == b"desc"
            case b"alpha":
                wanted.alpha = True
            case b"limit":
                wanted.offset, wanted.count = options.limit()
            case b"by":
                wanted.by = options.value()
            case b"get":
                wanted.get.append(options.value())
            case b"store" if storing:
                wanted.destination = options.value()
            case _:
                raise syntax_error()
    return wanted


def answer_of(db: Store, key: bytes, wanted: Request) -> list[bytes | None]:
    """The elements, or what GET asks for in their place, in order."""
    elements = in_order(db, elements_at(db, key), wanted)
    start = max(wanted.offset, 0)
    chosen = elements[start:] if wanted.count < 0 else elements[start : start + wanted.count]
    patterns = wanted.get or [b"#"]
    return [look_up(db, pattern, element) for element in chosen for pattern in patterns]


def elements_at(db: Store, key: bytes) -> list[bytes]:
    """The elements of whatever is at the key; a set's as if sorted, so that unsorted ones are the same everywhere."""
    value: Any = db.peek(key)
    if value is None:
        return []
    if isinstance(value, SortedSet):
        return [member for _, member in value.entries()]
    if not isinstance(value, LIST | SET):
        raise wrong_type()
    return sorted(value) if isinstance(value, SET) else list(value)


def in_order(db: Store, elements: list[bytes], wanted: Request) -> list[bytes]:
    """Sort the elements. What has no value to be sorted by counts as zero, and comes before all letters."""
    if wanted.unsorted:
        return elements[::-1] if wanted.descending else elements
    weights = [look_up(db, wanted.by or b"#", element) for element in elements]
    if wanted.alpha:
        order = sorted(zip(weights, elements, strict=True), key=lambda pair: pair[0] or b"", reverse=wanted.descending)
        return [element for _, element in order]
    numbers = (0.0 if weight is None else number(weight) for weight in weights)
    return [element for _, element in sorted(zip(numbers, elements, strict=True), reverse=wanted.descending)]


def number(weight: bytes) -> float:
    """Read what is sorted by, where it is no text."""
    value = strtod(weight)
    if value is None:
        raise ReplyError("ERR One or more scores can't be converted into double")
    return value


def look_up(db: Store, pattern: bytes, element: bytes) -> bytes | None:
    """The value that a pattern leads to from an element; None where there is none, or where it is no string."""
    if pattern == b"#":
        return element
    before, star, after = pattern.partition(b"*")
    if not star:
        return None
    after, arrow, name = after.partition(b"->")
    if not name:
        after, arrow = after + arrow, b""  # an arrow to nowhere is a part of the key
    value = db.peek(before + element + after)
    if arrow:
        return value.get(name) if isinstance(value, HASH) else None
    return value if isinstance(value, bytes) else None


def store(db: Store, key: bytes, elements: list[bytes | None]) -> int:
    """Set `key` to a list of the elements; without any it removes the key. Return their number."""
    db.put_result(key, LIST(element or b"" for element in elements), event="sortstore")
    return len(elements)
