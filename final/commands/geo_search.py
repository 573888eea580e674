"""Commands that search for places in a circle or a rectangle. See `data/geohash.py`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..data import geohash
from ..data.geohash import Area, Point
from ..data.sorted_set import SortedSet
from ..data.store import Store
from ..engine.args import OptionCursor, integer
from ..engine.command import DENYOOM, MOVABLEKEYS, READONLY, WRITE, Group
from ..engine.signature import command, complexity
from ..protocol.errors import NamingError, ReplyError, syntax_error
from ..protocol.numeric import parse_double
from ..protocol.writer import Value
from .geo import parse_point, parse_unit, place, shown_distance, shown_point
from .zset import SORTED_SET
from .zset_ranges import store

GROUP = Group("geo", "@geo", "z")


def parse_length(arg: bytes, name: str) -> float:
    """Parse a radius, width or height, without its unit. Raises ReplyError."""
    length = parse_double(arg)
    if length is None:
        raise ReplyError(f"ERR need numeric {name}")
    return length


def parse_radius(arg: bytes, unit: bytes) -> tuple[float, float]:
    """Parse a radius; return it in meters, and its unit. Raises ReplyError."""
    radius = parse_length(arg, "radius")
    if radius < 0:
        raise ReplyError("ERR radius cannot be negative")
    meters = parse_unit(unit)
    return radius * meters, meters


def parse_box(width: bytes, height: bytes, unit: bytes) -> tuple[float, float, float]:
    """Parse the sides of a rectangle; return them in meters, and their unit. Raises ReplyError."""
    sides = parse_length(width, "width"), parse_length(height, "height")
    if min(sides) < 0:
        raise ReplyError("ERR height or width cannot be negative")
    meters = parse_unit(unit)
    return sides[0] * meters, sides[1] * meters, meters


@dataclass
class Found:
    """A member that a search has found."""

    member: bytes
    hash: int
    point: Point
    meters: float


@dataclass
class Search:
    """A parsed request for a search."""

    held: SortedSet | None
    area: Area = field(default_factory=Area)
    unit: float = 1.0
    centered: bool = False
    sized: bool = False
    options: set[bytes] = field(default_factory=set)  # withdist, withhash, withcoord, any
    order: bytes = b""  # asc or desc
    count: int = 0  # 0: all
    store: bytes | None = None
    store_distance: bool = False

    def from_member(self, member: bytes) -> None:
        """Search around a member."""
        if self.held is not None:
            center = place(self.held, member)
            if center is None:
                raise ReplyError("ERR could not decode requested zset member")
            self.area.center = center
        self.centered = True

    def by_radius(self, radius: bytes, unit: bytes) -> None:
        """Search in a circle."""
        self.area.radius, self.unit = parse_radius(radius, unit)
        self.sized = True

    def by_box(self, width: bytes, height: bytes, unit: bytes) -> None:
        """Search in a rectangle."""
        self.area.radius = None
        self.area.width, self.area.height, self.unit = parse_box(width, height, unit)
        self.sized = True

    def found(self) -> Iterator[Found]:
        """Yield the members in the area, unordered; with ANY, only as many as COUNT asks for."""
        held = self.held
        assert held is not None
        number = 0
        for low, high in self.area.ranges():
            start, stop = (held.count_before((float(hash), b"")) for hash in (low, high))
            for score, member in held.entries(start, stop):
                point = geohash.decode(int(score))
                meters = self.area.distance_to(point)
                if meters is not None:
                    yield Found(member, int(score), point, meters)
                    number += 1
                    if b"any" in self.options and number >= self.count:
                        return

    def results(self) -> list[Found]:
        """Return the members in the area, ordered and counted as the request asks."""
        found = list(self.found())
        order = self.order or (b"asc" if self.count and b"any" not in self.options else b"")
        if order:
            found.sort(key=lambda each: each.meters, reverse=order == b"desc")
        return found[: self.count] if self.count else found

    def shown(self, found: Found) -> Value:
        """Return a result as the reply shows it."""
        details: list[Value] = []
        if b"withdist" in self.options:
            details.append(shown_distance(found.meters / self.unit))
        if b"withhash" in self.options:
            details.append(found.hash)
        if b"withcoord" in self.options:
            details.append(shown_point(found.point))
        return [found.member, *details] if details else found.member


OPTIONS = (b"withdist", b"withhash", b"withcoord", b"any")


def parse_common(search: Search, option: bytes, options: OptionCursor) -> bool:
    """Parse an option that all searches have; return whether it was one."""
    if option in OPTIONS:
        search.options.add(option)
    elif option in (b"asc", b"desc"):
        search.order = option
    elif option == b"count" and options:
        search.count = integer(options.value())
        if search.count <= 0:
            raise ReplyError("ERR COUNT must be > 0")
    else:
        return False
    return True


def parse_geosearch(search: Search, args: Sequence[bytes], storing: bool) -> None:
    """Parse the options of GEOSEARCH, or, if `storing`, of GEOSEARCHSTORE. Raises ReplyError."""
    around = by = b""
    options = OptionCursor(args)
    for option in options:
        left = len(options)
        if option == b"frommember" and left and around != b"fromlonlat":
            search.from_member(options.value())
            around = option
        elif option == b"fromlonlat" and left > 1 and around != b"frommember":
            search.area.center, search.centered = parse_point(*options.values(2)), True
            around = option
        elif option == b"byradius" and left > 1 and by != b"bybox":
            search.by_radius(*options.values(2))
            by = option
        elif option == b"bybox" and left > 2 and by != b"byradius":
            search.by_box(*options.values(3))
            by = option
        elif option == b"storedist" and storing:
            search.store_distance = True
        elif not parse_common(search, option, options):
            raise syntax_error()


def parse_georadius(search: Search, args: Sequence[bytes], storing: bool) -> None:
    """Parse the options of GEORADIUS and GEORADIUSBYMEMBER; STORE only if `storing`. Raises ReplyError."""
    options = OptionCursor(args)
    for option in options:
        if option in (b"store", b"storedist") and storing and options:
            search.store, search.store_distance = options.value(), option == b"storedist"
        elif not parse_common(search, option, options):
            raise syntax_error()


def answer(db: Store, search: Search, event: str = "georadiusstore") -> Value:
    """Check what was parsed, search, and return the reply, or store the results and return their number."""
    if search.store is not None and search.options - {b"any"}:
        what = "GEOSEARCHSTORE" if event == "geosearchstore" else "STORE option in GEORADIUS"
        raise ReplyError(f"ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options")
    if not search.centered:
        raise NamingError("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {0}")
    if not search.sized:
        raise NamingError("ERR exactly one of BYRADIUS and BYBOX can be specified for {0}")
    if b"any" in search.options and not search.count:
        raise ReplyError("ERR the ANY argument requires COUNT argument")
    results = [] if search.held is None else search.results()
    if search.store is None:
        return [search.shown(each) for each in results]
    scored = ((each.member, each.meters / search.unit, float(each.hash)) for each in results)
    scores = {name: far if search.store_distance else hash for name, far, hash in scored}
    return store(db, search.store, scores, event, count=len(scores))


@command(READONLY)
@complexity("O(N+log(M)) for N members in the squares around the shape, M in it")
def geosearch(
    db: Store, key: bytes, origin: bytes, member: bytes, shape: bytes, size: bytes, unit: bytes, *options: bytes
) -> Value:
    """GEOSEARCH key <FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI>> [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]: answer with the members in a circle or a rectangle.

    ASC: the nearest first. COUNT: only the nearest ones; with ANY, the first ones that are found.
    """  # noqa: E501  (the first line is what redis-cli shows)
    search = Search(db.get(key, SORTED_SET))
    parse_geosearch(search, (origin, member, shape, size, unit, *options), storing=False)
    return answer(db, search)


@command(WRITE, DENYOOM, keys="OW update, RO access")
@complexity("O(N+log(M)) for N members in the squares around the shape, M in it")
def geosearchstore(
    db: Store, destination: bytes, source: bytes, origin: bytes, member: bytes, shape: bytes, size: bytes, unit: bytes,
    *options: bytes,
) -> Value:  # fmt: skip
    """GEOSEARCHSTORE destination source <FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI>> [ASC | DESC] [COUNT count [ANY]] [STOREDIST]: store the results of GEOSEARCH; answer with their number.

    The scores are geohashes, or with STOREDIST distances.
    """  # noqa: E501  (the first line is what redis-cli shows)
    search = Search(db.get(source, SORTED_SET), store=destination)
    parse_geosearch(search, (origin, member, shape, size, unit, *options), storing=True)
    return answer(db, search, event="geosearchstore")


def around_point(
    db: Store, key: bytes, point: tuple[bytes, bytes], size: tuple[bytes, bytes], args: Sequence[bytes], storing: bool
) -> Value:
    """Answer GEORADIUS."""
    search = Search(db.get(key, SORTED_SET))
    search.area.center, search.centered = parse_point(*point), True
    search.by_radius(*size)
    parse_georadius(search, args, storing)
    return answer(db, search)


def around_member(
    db: Store, key: bytes, member: bytes, size: tuple[bytes, bytes], args: Sequence[bytes], storing: bool
) -> Value:
    """Answer GEORADIUSBYMEMBER. As in Redis, a wrong radius is no error if the key does not exist."""
    search = Search(db.get(key, SORTED_SET))
    search.from_member(member)
    if search.held is not None:
        search.by_radius(*size)
    search.sized = True
    parse_georadius(search, args, storing)
    return answer(db, search)


STORES = "RO access, OW update after STORE from {0}, OW update after STOREDIST from {0}"


@command(WRITE, DENYOOM, MOVABLEKEYS, keys=STORES.format(6))
@complexity("O(N+log(M)) for N members in the square around the circle, M in all")
def georadius(
    db: Store, key: bytes, longitude: bytes, latitude: bytes, radius: bytes, unit: bytes, *options: bytes
) -> Value:
    """GEORADIUS key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] [STORE key] [STOREDIST key]: the older form of GEOSEARCH and GEOSEARCHSTORE."""  # noqa: E501
    return around_point(db, key, (longitude, latitude), (radius, unit), options, storing=True)


@command(READONLY)
@complexity("O(N+log(M)) for N members in the square around the circle, M in all")
def georadius_ro(
    db: Store, key: bytes, longitude: bytes, latitude: bytes, radius: bytes, unit: bytes, *options: bytes
) -> Value:
    """GEORADIUS_RO key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]: GEORADIUS that stores nothing."""  # noqa: E501
    return around_point(db, key, (longitude, latitude), (radius, unit), options, storing=False)


@command(WRITE, DENYOOM, MOVABLEKEYS, keys=STORES.format(5))
@complexity("O(N+log(M)) for N members in the square around the circle, M in all")
def georadiusbymember(db: Store, key: bytes, member: bytes, radius: bytes, unit: bytes, *options: bytes) -> Value:
    """GEORADIUSBYMEMBER key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] [STORE key] [STOREDIST key]: GEORADIUS around a member."""  # noqa: E501
    return around_member(db, key, member, (radius, unit), options, storing=True)


@command(READONLY)
@complexity("O(N+log(M)) for N members in the square around the circle, M in all")
def georadiusbymember_ro(db: Store, key: bytes, member: bytes, radius: bytes, unit: bytes, *options: bytes) -> Value:
    """GEORADIUSBYMEMBER_RO key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]: GEORADIUSBYMEMBER that stores nothing."""  # noqa: E501
    return around_member(db, key, member, (radius, unit), options, storing=False)
