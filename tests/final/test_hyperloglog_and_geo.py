"""HyperLogLogs have the bytes that Redis gives them, places the digits: random ones are compared with a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from tests.support.oracle import InProcess, OverTheWire, redis_server
from tests.support.shared import Shared

Peers = tuple[InProcess, OverTheWire]


@pytest.fixture(scope="module")
def redis() -> Iterator[Shared]:
    with Shared(redis_server) as redis:
        yield redis


@pytest.fixture
def peers(redis: Shared) -> Peers:
    """An engine of final/ and a real Redis, both without data."""
    return InProcess(), OverTheWire(redis.clean().connect())


def same(peers: Peers, *requests: list[str]) -> list[bytes]:
    """Send requests to both, compare the replies, and return them."""
    ours, real = (peer.ask_all([[arg.encode() for arg in args] for args in requests]) for peer in peers)
    for args, reply, expected in zip(requests, ours, real, strict=True):
        assert reply == expected, args
    return ours


@pytest.mark.parametrize("elements", [30, 3000, 30000], ids="elements-of-{}".format)
def test_a_hyperloglog_has_the_bytes_that_redis_gives_it(peers: Peers, elements: int) -> None:
    random = Random(elements)
    for step in range(250):
        keys = random.choices("abc", k=3)
        added = [str(random.randrange(elements)) for _ in range(random.choice([1, 2, 20]))]
        request = ["PFADD", keys[0], *added]
        if step % 9 == 8:
            request = random.choice([["PFCOUNT", keys[0]], ["PFCOUNT", *keys], ["PFMERGE", *keys]])
        same(peers, request, *(["GET", key] for key in "abc"))


def test_a_hyperloglog_becomes_dense_with_the_element_with_which_it_does_in_redis(peers: Peers) -> None:
    for first in range(0, 2400, 8):
        same(peers, ["PFADD", "k", *map(str, range(first, first + 8))], ["GET", "k"])
    assert same(peers, ["PFDEBUG", "ENCODING", "k"]) == [b"+dense\r\n"]


def test_the_option_says_when_a_hyperloglog_becomes_dense(peers: Peers) -> None:
    limit = ["CONFIG", "SET", "hll-sparse-max-bytes"]
    same(peers, [*limit, "30"], ["PFADD", "k", "a", "b"], ["PFDEBUG", "ENCODING", "k"])
    same(peers, ["PFADD", "k", *"cdefgh"], ["PFDEBUG", "ENCODING", "k"], ["CONFIG", "GET", limit[2]], [*limit, "3000"])


def test_a_damaged_hyperloglog_is_refused_as_redis_refuses_it(peers: Peers) -> None:
    random = Random(1)
    same(peers, ["PFADD", "k", *map(str, range(40))])
    (reply,) = peers[0].ask_all([[b"GET", b"k"]])
    whole = reply.partition(b"\r\n")[2][:-2]
    for _ in range(400):
        value = bytearray(whole)
        place = random.randrange(len(value))
        value[place : place + random.randrange(2)] = random.randbytes(random.randrange(2))
        requests = [[b"SET", b"d", bytes(value)], [b"PFCOUNT", b"d", b"k"], [b"PFADD", b"d", b"1", b"new"]]
        requests += [[b"PFMERGE", b"other", b"d"], [b"GET", b"d"]]
        ours, real = (peer.ask_all(requests) for peer in peers)
        assert ours == real, bytes(value)


@pytest.mark.parametrize("seed", range(2))
def test_a_search_finds_what_redis_finds_in_the_same_order(peers: Peers, seed: int) -> None:
    random = Random(seed)

    def longitude() -> str:
        return str(random.choice([random.uniform(-180, 180), random.uniform(178, 180), random.uniform(-180, -179)]))

    def latitude() -> str:
        return str(random.choice([random.uniform(-85, 85), random.uniform(84, 85), random.uniform(-2, 2)]))

    def length() -> str:
        return str(random.choice([0.0, 10 ** random.uniform(0, 7.4)]))

    same(peers, *(["GEOADD", "k", longitude(), latitude(), f"m{number}"] for number in range(400)))
    for _ in range(300):
        one, other = (f"m{random.randrange(400)}" for _ in range(2))
        center = random.choice([["FROMMEMBER", one], ["FROMLONLAT", longitude(), latitude()]])
        unit = random.choice(["m", "km", "ft", "mi"])
        shape = random.choice([["BYRADIUS", length(), unit], ["BYBOX", length(), length(), unit]])
        count = ["COUNT", str(random.randrange(1, 20))]
        order = random.choice([[], ["ASC"], ["DESC"], count, [*count, "ANY"], [*count, "DESC"]])
        shows = random.choice([[], ["WITHDIST", "WITHHASH", "WITHCOORD"]])
        same(
            peers,
            ["GEOSEARCH", "k", *center, *shape, *order, *shows],
            ["GEOSEARCHSTORE", "stored", "k", *center, *shape, "STOREDIST"],
            ["ZRANGE", "stored", "0", "-1", "WITHSCORES"],
            *(["GEODIST", "k", one, other], ["GEOPOS", "k", one], ["GEOHASH", "k", one]),
        )
