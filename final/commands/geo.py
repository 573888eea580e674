"""Commands for places: sorted sets whose scores are geohashes. See `data/geohash.py`."""

from itertools import takewhile

from ..data import geohash
from ..data.geohash import Point
from ..data.sorted_set import SortedSet
from ..data.store import Store
from ..engine.command import DENYOOM, READONLY, REPLY_FIRST, WRITE, Group
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError, not_a_float, syntax_error
from ..protocol.numeric import parse_double
from ..protocol.writer import NULL_ARRAY, Digits, Value
from .zset import SORTED_SET, set_scores

GROUP = Group("geo", "@geo", "z")

UNITS = {b"m": 1.0, b"km": 1000.0, b"ft": 0.3048, b"mi": 1609.34}  # in meters


def parse_point(longitude: bytes, latitude: bytes) -> Point:
    """Parse a longitude and a latitude in degrees. Raises ReplyError."""
    point = parse_double(longitude), parse_double(latitude)
    if point[0] is None or point[1] is None:
        raise not_a_float()
    if not (abs(point[0]) <= geohash.MAX_LONGITUDE and abs(point[1]) <= geohash.MAX_LATITUDE):
        raise ReplyError(f"ERR invalid longitude,latitude pair {point[0]:f},{point[1]:f}")
    return point[0], point[1]


def parse_unit(arg: bytes) -> float:
    """Parse a unit of length; return it in meters. Raises ReplyError."""
    if arg.lower() not in UNITS:
        raise ReplyError("ERR unsupported unit provided. please use M, KM, FT, MI")
    return UNITS[arg.lower()]


def shown_distance(meters: float) -> Value:
    """Return a distance as replies show it: with four decimals, rounded after it is multiplied, as in Redis."""
    return b"%d.%04d" % divmod(round(meters * 10_000), 10_000)


def shown_point(point: Point) -> Value:
    """Return a point as replies show it: with 17 decimals, without zeros at the end."""
    return [Digits((b"%.17f" % degrees).rstrip(b"0").rstrip(b".")) for degrees in point]


def place(held: SortedSet | None, member: bytes) -> Point | None:
    """Return where a member is, or None."""
    score = held.scores.get(member) if held else None
    return None if score is None else geohash.decode(geohash.of_score(score))


@command(WRITE, DENYOOM, REPLY_FIRST, keys="RW update")
@complexity("O(log(N)) for each place added to N")
def geoadd(db: Store, key: bytes, longitude: bytes, latitude: bytes, member: bytes, *more: bytes) -> Value:
    """GEOADD key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]: set places; answer with the number of new members.

    NX: add new members only. XX: update existing members only. CH: count changed members, too.
    """  # noqa: E501  (the first line is what redis-cli shows)
    args = (longitude, latitude, member, *more)
    leading = list(takewhile(lambda each: each.lower() in (b"nx", b"xx", b"ch"), args))
    options, places = {each.lower() for each in leading}, args[len(leading) :]
    if len(places) % 3 or {b"nx", b"xx"} <= options:
        raise syntax_error()
    points = [parse_point(*pair) for pair in zip(places[::3], places[1::3], strict=True)]
    pairs = [(geohash.encode(point), name) for point, name in zip(points, places[2::3], strict=True)]
    scored = (arg for hash, name in pairs for arg in (b"%d" % hash, name))
    log = (b"zadd", key, *leading, *scored)  # as Redis: so that a replay needs no floating point
    return set_scores(db, key, [(float(hash), name) for hash, name in pairs], options, log)


@command(READONLY)
@complexity("O(N) for N members asked for")
def geopos(db: Store, key: bytes, *members: bytes) -> Value:
    """GEOPOS key [member [member ...]]: answer with the longitude and latitude of each member, or null."""
    held = db.get(key, SORTED_SET)
    points = [place(held, member) for member in members]
    return [NULL_ARRAY if point is None else shown_point(point) for point in points]


@command(READONLY)
@complexity("O(log(N)) for each member asked for, of N")
def geohash_(db: Store, key: bytes, *members: bytes) -> Value:
    """GEOHASH key [member [member ...]]: answer with the geohash of each member as text, or null."""
    held = db.get(key, SORTED_SET)
    points = [place(held, member) for member in members]
    return [None if point is None else geohash.text(point).encode() for point in points]


@command(READONLY)
@complexity("O(log(N)) for N members")
def geodist(db: Store, key: bytes, member1: bytes, member2: bytes, *unit: bytes) -> Value:
    """GEODIST key member1 member2 [M | KM | FT | MI]: answer with the distance, or null if a member does not exist."""
    if len(unit) > 1:
        raise syntax_error()
    meters = parse_unit(unit[0]) if unit else 1.0
    held = db.get(key, SORTED_SET)
    one, other = place(held, member1), place(held, member2)
    return None if one is None or other is None else shown_distance(geohash.distance(one, other) / meters)
