"""Geohashes: a longitude and a latitude as one integer of 52 bits, so that a sorted set finds what is near.

Each of the two is halved 26 times; the bits say which half. They alternate in the geohash, the latitude's bit last. So
the first bits of a geohash name a cell of the world, and the members in a cell are neighbours in the sorted set. A
search covers its area with nine cells (Redis: geohash.c, geohash_helper.c). Degrees are floats, distances are meters.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import asin, cos, isfinite, nan, pi, sin, sqrt

STEPS = 26  # bits for each coordinate
MAX_LONGITUDE, MAX_LATITUDE = 180.0, 85.05112878  # as in the Mercator projection of web maps
EARTH_RADIUS, MERCATOR_MAX = 6372797.560856, 20037726.37
RADIAN = pi / 180.0
ALPHABET = "0123456789bcdefghjkmnpqrstuvwxyz"

Point = tuple[float, float]  # longitude, latitude
Cell = tuple[int, int]  # the number of a column, from west to east, and of a row, from south to north


def interleave(column: int, row: int) -> int:
    """Return the integer whose bits are alternately those of the column and the row.

    >>> bin(interleave(0b11, 0b00))
    '0b1010'
    """
    return spread(column) << 1 | spread(row)


def spread(number: int) -> int:
    """Put a zero in front of each bit of an integer of 32 bits."""
    for shift, mask in SPREAD:
        number = (number | number << shift) & mask
    return number


SPREAD = (
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)


def gather(number: int) -> int:
    """Return every second bit of an integer, from the lowest on: the reverse of `spread`."""
    number &= SPREAD[-1][1]
    for (shift, _), (_, mask) in zip(reversed(SPREAD), reversed(SPREAD[:-1]), strict=False):
        number = (number | number >> shift) & mask
    return (number | number >> SPREAD[0][0]) & 0xFFFFFFFF


def cell_of(point: Point, steps: int, most: float = MAX_LATITUDE) -> Cell:
    """Return the cell of a point in a world of 2 ** `steps` columns and rows, whose rows end at latitude `most`."""
    longitude, latitude = point
    column = (longitude + MAX_LONGITUDE) / (MAX_LONGITUDE + MAX_LONGITUDE)
    row = (latitude + most) / (most + most)
    return int(column * (1 << steps)), int(row * (1 << steps))


def encode(point: Point, most: float = MAX_LATITUDE) -> int:
    """Return the geohash of a point.

    >>> encode((13.361389, 38.115556))
    3479099956230698
    """
    return interleave(*cell_of(point, STEPS, most))


def of_score(score: float) -> int:
    """Return the geohash that a score is: any score, since ZADD can set it, as x86 converts it to 64 bits.

    >>> of_score(3479099956230698.0), of_score(float("inf")), hex(of_score(float("-inf")))
    (3479099956230698, 0, '0x8000000000000000')
    """
    if score >= 2**64:
        return 0
    return 2**63 if score < -(2**63) else int(score) % 2**64


def decode(hash: int) -> Point:
    """Return the point in the middle of a geohash's cell."""
    west, south, east, north = edges((gather(hash >> 1), gather(hash)), STEPS)
    longitude, latitude = (west + east) / 2, (south + north) / 2
    return (
        min(max(longitude, -MAX_LONGITUDE), MAX_LONGITUDE),
        min(max(latitude, -MAX_LATITUDE), MAX_LATITUDE),
    )


def edges(cell: Cell, steps: int) -> tuple[float, float, float, float]:
    """Return the west, south, east and north edge of a cell."""
    (column, row), size = cell, 1 << steps
    width, height = MAX_LONGITUDE + MAX_LONGITUDE, MAX_LATITUDE + MAX_LATITUDE
    return (
        -MAX_LONGITUDE + column * 1.0 / size * width,
        -MAX_LATITUDE + row * 1.0 / size * height,
        -MAX_LONGITUDE + (column + 1) * 1.0 / size * width,
        -MAX_LATITUDE + (row + 1) * 1.0 / size * height,
    )


def text(point: Point) -> str:
    """Return the geohash that other programs use: 11 letters and digits, for latitudes up to 90.

    >>> text((13.36138933897018433, 38.11555639549629859))
    'sqc8b49rny0'
    """
    hash = encode(point, most=90.0)
    return "".join(ALPHABET[hash >> (52 - 5 * (place + 1)) & 31] for place in range(10)) + ALPHABET[0]


def distance(one: Point, other: Point) -> float:
    """Return the distance between two points of a sphere, by the haversine formula."""
    across = sin((other[0] * RADIAN - one[0] * RADIAN) / 2)
    if across == 0.0:
        return distance_between_latitudes(one[1], other[1])
    first, second = one[1] * RADIAN, other[1] * RADIAN
    along = sin((second - first) / 2)
    return 2.0 * EARTH_RADIUS * asin(sqrt(along * along + cos(first) * cos(second) * across * across))


def distance_between_latitudes(one: float, other: float) -> float:
    """Return the distance between two points of the same longitude."""
    return EARTH_RADIUS * abs(other * RADIAN - one * RADIAN)


@dataclass
class Area:
    """The area that a search covers: a circle, or a rectangle, around a center. Width and height are in meters."""

    center: Point = (0.0, 0.0)
    radius: float | None = None  # None: a rectangle
    width: float = 0.0
    height: float = 0.0

    def distance_to(self, point: Point) -> float | None:
        """Return the distance from the center, or None if the point is outside of the area."""
        if self.radius is not None:
            far = distance(self.center, point)
            return far if far <= self.radius else None
        if distance_between_latitudes(point[1], self.center[1]) > self.height / 2:
            return None
        if distance(point, (self.center[0], point[1])) > self.width / 2:
            return None
        return distance(self.center, point)

    def bounds(self) -> tuple[float, float, float, float]:
        """Return the west, south, east and north edge of a rectangle around the area, in degrees."""
        longitude, latitude = self.center
        width, height = (self.radius, self.radius) if self.radius is not None else (self.width / 2, self.height / 2)
        along = height / EARTH_RADIUS / RADIAN
        wider = latitude - along if latitude < 0 else latitude + along  # the edge that is nearer to a pole
        narrower = cos(wider * RADIAN) if isfinite(wider) else nan  # as in C
        across = width / EARTH_RADIUS / narrower / RADIAN
        return longitude - across, latitude - along, longitude + across, latitude + along

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield ranges of geohashes, first and last plus one, that together cover the area.

        The order is that of Redis: the cell of the center, then north, south, east, west, and the four corners.
        """
        width, height = self.width / 2, self.height / 2
        far = self.radius if self.radius is not None else sqrt(width * width + height * height)
        steps = steps_for(far, self.center[1])
        bounds = self.bounds()
        if steps > 1 and not self.covered(steps, bounds):
            steps -= 1
        cell = cell_of(self.center, steps)
        left_out = self.needless(edges(cell, steps), bounds) if steps >= 2 else set()
        last = None
        for number, direction in enumerate(DIRECTIONS):
            neighbour = moved(cell, direction, steps)
            hash = interleave(*neighbour)
            if left_out & set(direction) or hash == last:
                continue
            if number:
                last = hash  # a very large area has the same neighbour on both sides
            yield hash << 52 - 2 * steps, (hash + 1) << 52 - 2 * steps

    def covered(self, steps: int, bounds: tuple[float, float, float, float]) -> bool:
        """Return whether the cell of the center and its neighbours reach the edges of `bounds`."""
        cell = cell_of(self.center, steps)
        west, south, east, north = (edges(moved(cell, each, steps), steps) for each in ("w", "s", "e", "n"))
        return north[3] >= bounds[3] and south[1] <= bounds[1] and east[2] >= bounds[2] and west[0] <= bounds[0]

    def needless(self, cell: tuple[float, float, float, float], bounds: tuple[float, float, float, float]) -> set[str]:
        """Return the directions in which the cell of the center reaches farther than the area."""
        return {
            *("s" if cell[1] < bounds[1] else ""),
            *("n" if cell[3] > bounds[3] else ""),
            *("w" if cell[0] < bounds[0] else ""),
            *("e" if cell[2] > bounds[2] else ""),
        }


DIRECTIONS = ("", "n", "s", "e", "w", "ne", "nw", "se", "sw")


def moved(cell: Cell, direction: str, steps: int) -> Cell:
    """Return a neighbour of a cell. East of the last column is the first one, and north of the last row, too."""
    column = cell[0] + ("e" in direction) - ("w" in direction)
    row = cell[1] + ("n" in direction) - ("s" in direction)
    return column % (1 << steps), row % (1 << steps)


def steps_for(meters: float, latitude: float) -> int:
    """Return how often to halve the world so that nine cells cover this distance. Near the poles, cells are narrow."""
    if meters == 0:
        return STEPS
    steps = 1
    while meters < MERCATOR_MAX:
        meters *= 2
        steps += 1
    steps -= 2 + (abs(latitude) > 66) + (abs(latitude) > 80)
    return min(max(steps, 1), STEPS)
