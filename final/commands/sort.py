"""SORT: sort the elements of a list, a set or a sorted set, by themselves or by the values of other keys."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..data.sorted_set import SortedSet
from ..data.store import Store
from ..engine.args import OptionCursor
from ..engine.client import Client
from ..engine.command import (
    DENYOOM,
    IN_DANGEROUS,
    IN_LIST,
    IN_SET,
    IN_SORTEDSET,
    MOVABLEKEYS,
    READONLY,
    RENAMED,
    WRITE,
    Group,
    find,
)
from ..engine.signature import Args, command, complexity
from ..protocol.errors import ReplyError, syntax_error, wrong_type
from ..protocol.numeric import out_of_range, strtod
from ..protocol.writer import Value
from .hashes import HASH
from .lists import LIST
from .sets import SET

GROUP = Group("generic", "", "g")
BY_OR_GET = (
    "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the key "
    "we sort"
)
STORE = (
    "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the argument "
    "array"
)
CATEGORIES = (IN_LIST, IN_SET, IN_SORTEDSET, IN_DANGEROUS)


@dataclass
class Request:
    """The parsed options of SORT."""

    by: bytes | None = None  # the pattern of the keys whose values are the weights
    get: list[bytes] = field(default_factory=list)  # the patterns of the keys whose values are returned
    alpha: bool = False  # compare bytes, not numbers
    descending: bool = False
    offset: int = 0
    count: int = -1  # negative: all elements after `offset`
    destination: bytes | None = None

    @property
    def unsorted(self) -> bool:
        """Return whether BY has a pattern without a star: then the elements are not sorted, and DESC reverses them."""
        return self.by is not None and b"*" not in self.by


def keys_of_sort(args: list[bytes]) -> Iterator[tuple[int, str]]:
    """Yield the index in `args` of each key of a request, with the flags of its use.

    The keys are the first argument and, if there is one, the destination of the last STORE.
    """
    yield 1, "RO access"
    yield from [(at + 1, "OW update") for at, each in enumerate(args[:-1]) if at > 1 and each.lower() == b"store"][-1:]


@command(
    WRITE,
    DENYOOM,
    MOVABLEKEYS,
    *CATEGORIES,
    keys="RO access, RO access, OW update",
    find_keys=keys_of_sort,
    notes=["", BY_OR_GET, STORE],
)
@complexity("O(N+M*log(M)) for N elements, M in the answer; O(N) without sorting")
def sort(db: Store, client: Client, args: Args, key: bytes, *options: bytes) -> Value:
    """SORT key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA] [STORE destination]: answer with the sorted elements.

    BY sorts by the values of other keys, GET answers with the values of other keys. The first star of a pattern stands
    for the element, `*->field` for a field of a hash, and the pattern `#` for the element itself. STORE stores the
    elements in a list, null as an empty string, and answers with their number.
    """  # noqa: E501  (the first line is what redis-cli shows)
    request = parse(options, may_read_all_keys(client, args), storing=True)
    result = run(db, key, request)
    return result if request.destination is None else store(db, request.destination, result)


@command(READONLY, MOVABLEKEYS, *CATEGORIES, keys="RO access, RO access", notes=["", BY_OR_GET])
@complexity("O(N+M*log(M)) for N elements, M in the answer; O(N) without sorting")
def sort_ro(db: Store, client: Client, args: Args, key: bytes, *options: bytes) -> Value:
    """SORT_RO key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]: SORT without STORE."""  # noqa: E501
    return run(db, key, parse(options, may_read_all_keys(client, args), storing=False))


def may_read_all_keys(client: Client, args: Args) -> bool:
    """Return whether the client's user may read the keys that BY and GET name, whichever they are."""
    return client.user.unlimited or client.user.may_read_all_keys(find(args, RENAMED), args)


def parse(args: Sequence[bytes], all_keys: bool, storing: bool) -> Request:
    """Parse the options. Each GET adds a pattern; if another option is repeated, the last one counts.

    `all_keys` says whether BY and GET may read any key, `storing` whether STORE is allowed. Raises ReplyError.
    """
    request = Request()
    options = OptionCursor(args)
    for option in options:
        match option:
            case b"asc" | b"desc":
                request.descending = option == b"desc"
            case b"alpha":
                request.alpha = True
            case b"limit":
                request.offset, request.count = options.limit()
            case b"by":
                request.by = options.value()
                if not (all_keys or request.unsorted):
                    raise denied("BY")
            case b"get":
                request.get.append(options.value())
                if not all_keys:
                    raise denied("GET")
            case b"store" if storing:
                request.destination = options.value()
            case _:
                raise syntax_error()
    return request


def denied(option: str) -> ReplyError:
    """For an option that could read keys to which the user has no access."""
    return ReplyError(f"ERR {option} option of SORT denied due to insufficient ACL permissions.")


def run(db: Store, key: bytes, request: Request) -> list[bytes | None]:
    """Return the elements that LIMIT selects, in order; with GET, one value for each element and each GET pattern."""
    elements = in_order(db, elements_at(db, key), request)
    start = max(request.offset, 0)
    chosen = elements[start:] if request.count < 0 else elements[start : start + request.count]
    patterns = request.get or [b"#"]
    return [look_up(db, pattern, element) for element in chosen for pattern in patterns]


def elements_at(db: Store, key: bytes) -> list[bytes]:
    """Return the elements of the list, set or sorted set at `key`. Raises ReplyError for another type.

    A list and a sorted set keep their order. The elements of a set, which has no order, are sorted by their bytes: so
    the same set always has the same result.
    """
    value: Any = db.peek(key)
    if value is None:
        return []
    if isinstance(value, SortedSet):
        value.small = False  # Redis makes it a skip list
        return [member for _, member in value.entries()]
    if not isinstance(value, LIST | SET):
        raise wrong_type()
    return sorted(value) if isinstance(value, SET) else list(value)


def in_order(db: Store, elements: list[bytes], request: Request) -> list[bytes]:
    """Return the elements, sorted by their weights. A missing weight is 0, with ALPHA an empty string.

    Elements with equal numbers are sorted by their bytes; with ALPHA, elements with equal weights keep their order.
    """
    if request.unsorted:
        return elements[::-1] if request.descending else elements
    weights = [look_up(db, request.by or b"#", element) for element in elements]
    if request.alpha:
        order = sorted(zip(weights, elements, strict=True), key=lambda pair: pair[0] or b"", reverse=request.descending)
        return [element for _, element in order]
    numbers = (0.0 if weight is None else number(weight) for weight in weights)
    return [element for _, element in sorted(zip(numbers, elements, strict=True), reverse=request.descending)]


def number(weight: bytes) -> float:
    """Parse a weight as a number. Raises ReplyError if it is not one."""
    value = strtod(weight)
    if value is None or out_of_range(weight, value):
        raise ReplyError("ERR One or more scores can't be converted into double")
    return value


def look_up(db: Store, pattern: bytes, element: bytes) -> bytes | None:
    """Replace the first star of `pattern` by `element`; return the value of that key, or of that field of a hash.

    Returns None if the key or field is missing or has another type, or if the pattern contains no star. The pattern
    `#` returns `element`.
    """
    if pattern == b"#":
        return element
    before, star, after = pattern.partition(b"*")
    if not star:
        return None
    after, arrow, name = after.partition(b"->")
    if not name:
        after, arrow = after + arrow, b""  # no field follows the arrow: it is part of the key
    value = db.peek(before + element + after)
    if arrow:
        return value.get(name) if isinstance(value, HASH) else None
    return value if isinstance(value, bytes) else None


def store(db: Store, key: bytes, elements: list[bytes | None]) -> int:
    """Set `key` to a list of the elements, or remove it if there are none; None is stored as an empty string.

    Returns the number of elements.
    """
    db.put_result(key, LIST(element or b"" for element in elements), event="sortstore", count=len(elements))
    return len(elements)
