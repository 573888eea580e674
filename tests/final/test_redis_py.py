"""redis-py on `python -m final`, as applications use it: sync and asyncio, both protocols."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from importlib.util import find_spec
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.cache import CacheConfig
from redis.connection import CacheProxyConnection

from stages.harness.server import Server
from tests.support.observing import await_true
from tests.support.oracle import final_server, redis_server
from tests.support.shared import Shared

needs_lua = pytest.mark.skipif(find_spec("lupa") is None, reason="locks are scripts")


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    with Shared(lambda: final_server("--notify-keyspace-events", "KEA")) as shared:
        yield shared


@pytest.fixture
def server(shared: Shared) -> Server:
    """Return a server without data."""
    return shared.clean()


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def r(server: Server, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Yield a client of a server without data, with replies as text."""
    with redis.Redis(port=server.port, protocol=request.param, decode_responses=True) as client:
        client.flushall()
        yield client


def message(pubsub: Any, seconds: float = 60) -> Any:
    """Wait for the next message and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := pubsub.get_message(timeout=0.1)) is not None:
            return found
    raise AssertionError("no message")


@pytest.fixture(scope="module")
def real_shared() -> Iterator[Shared]:
    with Shared(redis_server) as shared:
        yield shared


@pytest.fixture
def real(r: Any, real_shared: Shared) -> Iterator[Any]:
    """Yield a client like `r`, of a real Redis."""
    protocol = r.connection_pool.connection_kwargs["protocol"]
    with redis.Redis(port=real_shared.clean().port, protocol=protocol, decode_responses=True) as client:
        client.flushall()
        yield client


def test_strings(r: Any) -> None:
    assert r.set("k", "v", px=100_000, nx=True) and not r.set("k", "w", nx=True)
    assert 0 < r.pttl("k") <= 100_000 and r.getex("k", persist=True) == "v" and r.ttl("k") == -1
    assert r.mset({"a": 1, "b": 2}) and r.mget("a", "none", "b") == ["1", None, "2"] and not r.msetnx({"a": 1, "c": 1})
    assert (r.incr("a", 5), r.decr("a"), r.incrbyfloat("a", 0.5)) == (6, 5, 5.5)
    assert r.append("k", "w") == 2 and r.getrange("k", 1, -1) == "w" and r.setrange("k", 1, "xyz") == 4
    assert r.getdel("k") == "vxyz" and r.strlen("k") == 0 and r.getset("k", "n") is None
    assert r.psetex("k", 1000, "v") and r.setex("k", 10, "v") and r.setnx("new", 1)
    r.mset({"one": "ohmytext", "two": "mynewtext"})
    assert r.lcs("one", "two") == "mytext" and r.lcs("one", "two", len=True) == 6


def test_keys(r: Any) -> None:
    r.mset({f"key:{number}": number for number in range(50)})
    assert sorted(r.scan_iter("key:1*", count=3)) == sorted(r.keys("key:1*")) and r.dbsize() == 50
    assert set(r.scan_iter(_type="string")) == set(r.keys()) and list(r.scan_iter(_type="list")) == []
    assert r.exists("key:1", "key:1", "none") == 2 and r.delete("key:1", "none") == 1 and r.unlink("key:2") == 1
    assert r.rename("key:3", "moved") and not r.renamenx("key:4", "moved") and r.copy("moved", "copied")
    assert r.expire("moved", 100, nx=True) and not r.expire("moved", 50, gt=True) and r.persist("moved")
    assert r.expireat("moved", int(time.time()) + 100) and r.expiretime("moved") > time.time() and r.touch("moved") == 1
    assert r.type("moved") == "string" and r.randomkey() is not None and r.object("encoding", "moved") == "int"
    assert r.move("moved", 1) and not r.exists("moved") and r.memory_usage("copied") > 0
    r.rpush("numbers", 3, 1, 2)
    assert r.sort("numbers") == ["1", "2", "3"] and r.sort("numbers", desc=True, store="sorted") == 3
    with pytest.raises(redis.ResponseError, match="no such key"):
        r.rename("none", "x")


def test_hashes(r: Any) -> None:
    assert r.hset("h", "f", 1, mapping={"g": 2}) == 2 and r.hsetnx("h", "f", 2) == 0 and r.hincrby("h", "f", 2) == 3
    assert r.hgetall("h") == {"f": "3", "g": "2"} and r.hmget("h", "f", "x") == ["3", None] and r.hlen("h") == 2
    assert r.hexists("h", "f") and sorted(r.hkeys("h")) == ["f", "g"] and sorted(r.hvals("h")) == ["2", "3"]
    assert dict(r.hscan_iter("h")) == {"f": "3", "g": "2"} and r.hincrbyfloat("h", "g", 0.5) == 2.5
    assert r.hrandfield("h") in ("f", "g") and r.hstrlen("h", "f") == 1 and r.hdel("h", "f", "x") == 1


def test_lists(r: Any) -> None:
    assert r.rpush("l", *"abcd") == 4 and r.lpush("l", "z") == 5 and r.lrange("l", 0, -1) == list("zabcd")
    assert r.lindex("l", 1) == "a" and r.linsert("l", "before", "b", "x") == 6 and r.lpos("l", "b") == 3
    assert r.lset("l", 0, "y") and r.lrem("l", 1, "x") == 1 and r.ltrim("l", 1, -1) and r.llen("l") == 4
    assert r.lpop("l", 2) == ["a", "b"] and r.rpop("l") == "d" and r.rpoplpush("l", "m") == "c" and not r.exists("l")
    assert r.lmove("m", "l", "LEFT", "RIGHT") == "c" and r.lmpop(2, "m", "l", direction="LEFT") == ["l", ["c"]]
    assert r.lpushx("l", 1) == 0 and r.rpushx("l", 1) == 0


def test_sets(r: Any) -> None:
    assert r.sadd("s", *"abc") == 3 and r.sadd("t", *"bcd") == 3 and r.smembers("s") == set("abc")
    assert r.sinter("s", "t") == {"b", "c"} and r.sunion("s", "t") == set("abcd") and r.sdiff("s", "t") == {"a"}
    assert r.sinterstore("u", "s", "t") == 2 and r.sintercard(2, ["s", "t"], limit=1) == 1 and r.scard("u") == 2
    assert r.sismember("s", "a") and r.smismember("s", ["a", "x"]) == [1, 0] and r.smove("s", "t", "a")
    assert r.spop("u") in "bc" and r.srandmember("t") in "abcd" and r.srem("t", "a") == 1
    assert set(r.sscan_iter("t")) == set("bcd")


def test_sorted_sets(r: Any) -> None:
    assert r.zadd("z", {"a": 1, "b": 2, "c": 3}) == 3 and r.zadd("z", {"a": 5}, gt=True, ch=True) == 1
    assert r.zrange("z", 0, -1) == ["b", "c", "a"] and r.zscore("z", "b") == 2.0 and r.zincrby("z", 1, "b") == 3.0
    assert [tuple(pair) for pair in r.zrange("z", 0, 0, desc=True, withscores=True)] == [("a", 5.0)]
    assert r.zrangebyscore("z", "(3", "+inf") == ["a"] and r.zcount("z", 3, 3) == 2 and r.zrank("z", "a") == 2
    assert r.zrevrank("z", "a") == 0 and r.zmscore("z", ["a", "x"]) == [5.0, None] and r.zcard("z") == 3
    assert r.zunionstore("y", {"z": 2}) == 3 and r.zrangestore("x", "y", 0, 0) == 1
    assert r.zdiff(["z", "x"]) == ["c", "a"]
    assert dict(r.zscan_iter("x")) == {"b": 6.0} and r.zremrangebyscore("z", 5, 5) == 1 and r.zrem("z", "b") == 1
    r.zadd("w", dict.fromkeys("abc", 0))
    assert r.zrangebylex("w", "[a", "(c") == ["a", "b"] and r.zlexcount("w", "-", "+") == 3


def refusal(call: Callable[[], Any]) -> str:
    """Return the error that a call is answered with."""
    with pytest.raises(redis.ResponseError) as refused:
        call()
    return str(refused.value)


def as_bytes(client: Any) -> Any:
    """Connect a client of the same server that does not decode."""
    options = client.connection_pool.connection_kwargs
    return redis.Redis(port=options["port"], protocol=options["protocol"])


def use_streams(r: Any) -> Iterator[Any]:
    """Call all that redis-py has for streams; yield the results."""
    for number in range(1, 6):
        yield r.xadd("s", {"n": number, "text": "t" * number}, id=f"{number}-0")
    yield r.xadd("s", {"f": "v"}, id="6-*", maxlen=100, approximate=True, limit=10)
    yield r.xadd("s", {"f": "v"}, id="7-1", minid="2", approximate=False)
    yield r.xadd("none", {"f": "v"}, nomkstream=True)
    yield from (r.xlen("s"), r.xrange("s"), r.xrange("s", "(2-0", "4", count=1), r.xrevrange("s", "5", "-", count=2))
    yield from (r.xread({"s": "5-0"}), r.xread({"s": "0", "none": "0"}, count=1), r.xread({"s": "$"}, block=1))
    yield from (r.xgroup_create("s", "g", "2-0"), r.xgroup_create("new", "g", mkstream=True, entries_read=0))
    yield from (r.xgroup_createconsumer("s", "g", "idle"), r.xgroup_setid("new", "g", "5-5", entries_read=3))
    yield from (r.xreadgroup("g", "alice", {"s": ">"}, count=3), r.xreadgroup("g", "bob", {"s": ">"}, noack=True))
    yield from (r.xreadgroup("g", "alice", {"s": "0"}), r.xreadgroup("g", "bob", {"s": ">"}, block=1))
    yield from (r.xack("s", "g", "3-0", "99"), r.xpending("s", "g"), r.xpending("new", "g"))
    yield [each | {"time_since_delivered": 0} for each in r.xpending_range("s", "g", "-", "+", 10, "alice", idle=0)]
    yield from (r.xclaim("s", "g", "carol", 0, ["4-0"]), r.xclaim("s", "g", "carol", 0, ["5-0"], justid=True))
    yield from (r.xclaim("s", "g", "carol", 0, ["2-0"], force=True, retrycount=9, idle=100), r.xdel("s", "5-0", "99"))
    yield from (r.xautoclaim("s", "g", "dave", 0, count=2), r.xautoclaim("s", "g", "dave", 0, "5", justid=True))
    yield [each | {"idle": 0, "inactive": 0} for each in r.xinfo_consumers("s", "g")]
    yield from (r.xinfo_stream("s"), r.xinfo_groups("s"), r.xinfo_stream("new", full=True))
    yield from (r.xgroup_delconsumer("s", "g", "dave"), r.xgroup_destroy("s", "g"), r.xtrim("s", maxlen=3))
    yield from (r.xtrim("s", minid="6", approximate=False), r.type("s"), r.exists("s"))
    yield refusal(lambda: r.xadd("s", {"f": "v"}, id="1-1"))
    yield refusal(lambda: r.xreadgroup("g", "c", {"s": ">"}))


def test_streams(r: Any, real: Any) -> None:
    calls = enumerate(zip(use_streams(r), use_streams(real), strict=True))
    for number, (ours, theirs) in calls:
        assert ours == theirs, f"result {number}"


def use_bitmaps(r: Any, raw: Any) -> Iterator[Any]:
    """Call all that redis-py has for bitmaps; yield the results."""
    yield from (r.setbit("b", 7, 1), r.setbit("b", 7, 0), r.setbit("b", 100, 1), r.getbit("b", 100), r.getbit("x", 5))
    yield from (r.setbit("b", 2, 1), r.bitcount("b"), r.bitcount("b", 0, 1), r.bitcount("b", 2, 100, "BIT"))
    yield from (r.bitpos("b", 1), r.bitpos("b", 1, 1), r.bitpos("b", 0, 0, -1, "BIT"), r.bitpos("none", 1))
    yield from (r.mset({"one": "abc", "two": "cdefg"}), r.bitcount("one", -2, -1), r.bitpos("two", 0, 5))
    for operation in "AND", "OR", "XOR":
        yield from (r.bitop(operation, "to", "one", "two", "none"), raw.get("to"))
    yield from (r.bitop("NOT", "to", "b"), raw.get("to"), r.bitop("AND", "to", "none"), r.exists("to"))
    fields = r.bitfield("f").set("u8", 0, 200).set("i5", "#3", -3).incrby("u8", 0, 100).get("i5", "#3")
    yield from (fields.execute(), r.bitfield("f", "SAT").incrby("u8", 0, 255).incrby("i5", "#3", -99).execute())
    yield r.bitfield("f").incrby("u8", 0, 9, "FAIL").execute()
    yield r.bitfield("f").get("i64", 3).get("u63", 0).execute()
    yield from (r.bitfield_ro("f", "u4", "#1", [("i3", 2), ("u8", 900)]), raw.get("f"), r.strlen("f"))
    yield refusal(lambda: r.setbit("b", 2**32, 1))
    yield refusal(lambda: r.bitop("NOT", "to", "one", "two"))
    yield refusal(lambda: r.bitfield("f").get("u64", 0).execute())


def use_hyperloglogs(r: Any, raw: Any) -> Iterator[Any]:
    """Call all that redis-py has for HyperLogLogs; yield the results."""
    yield from (r.pfadd("h", *"abc"), r.pfadd("h", "a"), r.pfadd("empty"), r.pfadd("empty"), r.pfcount("h"))
    yield from (r.pfadd("many", *range(5000)), r.pfadd("h", *range(100)), r.pfcount("many"), r.pfcount("h", "many"))
    yield from (r.pfmerge("both", "h", "many"), r.pfcount("both"), r.pfmerge("none"), r.pfcount("none"))
    yield from (raw.get(key) for key in ("h", "empty", "many", "both", "none"))
    yield r.set("k", "v")
    yield refusal(lambda: r.pfadd("k", "a"))


def use_geo(r: Any, raw: Any) -> Iterator[Any]:
    """Call all that redis-py has for places on the earth; yield the results."""
    cities = [13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania", 12.758489, 38.788135, "edge"]
    yield from (r.geoadd("g", cities), r.geoadd("g", [13.4, 38.2, "Palermo"], xx=True, ch=True), r.zrange("g", 0, -1))
    yield from (r.geoadd("g", [0, 0, "edge"], nx=True), r.geodist("g", "Palermo", "Catania"), r.geodist("g", "x", "y"))
    yield from (r.geodist("g", "Palermo", "edge", unit) for unit in ("m", "km", "mi", "ft"))
    yield from (r.geohash("g", "Palermo", "none", "edge"), r.geopos("g", "Catania", "none"), r.zscore("g", "edge"))
    shown = {"withcoord": True, "withdist": True, "withhash": True, "sort": "ASC"}
    around = {"longitude": 15, "latitude": 37, "unit": "km"}
    yield from (r.geosearch("g", **around, radius=300, **shown), r.geosearch("g", "Palermo", radius=1, **shown))
    yield r.geosearch("g", **around, width=400, height=400, count=1, sort="DESC")
    yield r.geosearch("none", "a", radius=1)
    yield sorted(r.geosearch("g", **around, radius=9000, count=3, any=True))
    yield from (r.geosearchstore("to", "g", **around, radius=200), raw.zrange("to", 0, -1, withscores=True))
    yield r.geosearchstore("to", "g", **around, radius=200, storedist=True)
    yield raw.zrange("to", 0, -1, withscores=True)
    yield from (r.georadius("g", 15, 37, 200, "km", **shown), r.georadius("g", 15, 37, 200, "km", store="to"))
    yield from (r.georadiusbymember("g", "Catania", 200, "km", **shown), r.zrange("to", 0, -1))
    yield from (r.georadiusbymember("g", "Catania", 1, "m", store_dist="to"), r.zrange("to", 0, -1, withscores=True))
    yield refusal(lambda: r.geoadd("g", [181, 0, "x"]))
    yield refusal(lambda: r.execute_command("GEODIST", "g", "Palermo", "edge", "parsec"))
    yield refusal(lambda: r.geosearch("g", "none", radius=1))


def fill(r: Any) -> None:
    """Create a value of each type."""
    r.mset({"string": "v" * 99, "int": 42})
    r.setbit("bitmap", 99, 1)
    r.pfadd("sketch", *range(5000))
    r.rpush("list", *range(1000))
    r.sadd("ints", *range(9))
    r.sadd("set", *"abc")
    r.zadd("zset", {"a": 1.5, "b": -2})
    r.geoadd("geo", [13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"])
    r.hset("hash", mapping={"f": "v", "g": 1})
    r.xadd("stream", {"f": "v"}, id="1-1")
    r.xgroup_create("stream", "g", "0")


def held(raw: Any, key: bytes) -> tuple[str, Any]:
    """Return the type and the value of a key."""
    reads = {
        "string": raw.get, "set": raw.smembers, "hash": raw.hgetall, "list": lambda key: raw.lrange(key, 0, -1),
        "zset": lambda key: raw.zrange(key, 0, -1, withscores=True),
        "stream": lambda key: (raw.xrange(key), raw.xinfo_stream(key), raw.xinfo_groups(key)),
    }  # fmt: skip
    kind = raw.type(key).decode()
    return kind, reads[kind](key)


def use_dumps(r: Any, raw: Any) -> Iterator[Any]:
    """Dump a value of each type and restore it; yield the results."""
    fill(raw)
    yield r.dump("none")
    for key in sorted(raw.scan_iter()):
        dumped = raw.dump(key)
        yield from (key, raw.restore("copied", 0, dumped), held(raw, b"copied") == held(raw, key))
        yield from (r.object("encoding", "copied"), r.pttl("copied"))
        yield refusal(lambda: raw.restore("copied", 0, dumped))  # noqa: B023
        yield refusal(lambda: raw.restore("bad", 0, dumped[:-1] + bytes([dumped[-1] ^ 1])))  # noqa: B023
        yield from (raw.restore("copied", 100_000, dumped, replace=True, idletime=50), r.pttl("copied") > 90_000)
        yield from (raw.restore("copied", 1, dumped, replace=True, absttl=True), r.exists("copied"))
        yield refusal(lambda: raw.restore("copied", -1, dumped))  # noqa: B023


@pytest.mark.parametrize("use", [use_bitmaps, use_hyperloglogs, use_geo, use_dumps])
def test_bitmaps_hyperloglogs_geo_and_dumps(r: Any, real: Any, use: Callable[[Any, Any], Iterator[Any]]) -> None:
    with as_bytes(r) as raw, as_bytes(real) as real_raw:
        for number, (ours, theirs) in enumerate(zip(use(r, raw), use(real, real_raw), strict=True)):
            assert ours == theirs, f"result {number}"


def test_a_dump_travels_between_the_servers(r: Any, real: Any) -> None:
    with as_bytes(r) as ours, as_bytes(real) as theirs:
        for sender, receiver in (ours, theirs), (theirs, ours):
            ours.flushall()
            theirs.flushall()
            fill(sender)
            for key in sender.keys():  # noqa: SIM118  (the client is no dictionary)
                receiver.restore(key, 0, sender.dump(key))
                assert held(receiver, key) == held(sender, key)
            assert receiver.pfcount("sketch") == sender.pfcount("sketch")


def test_a_consumer_waits_for_entries(r: Any, server: Server) -> None:
    r.xgroup_create("s", "g", mkstream=True)
    with redis.Redis(port=server.port) as other:
        found: list[Any] = []
        reading = threading.Thread(target=lambda: found.append(r.xreadgroup("g", "alice", {"s": ">"}, block=100_000)))
        reading.start()
        while other.info("clients")["blocked_clients"] == 0:
            time.sleep(0.005)
        added = other.xadd("s", {"job": "1"})
        reading.join()
    assert added.decode() in str(found) and r.xpending("s", "g")["pending"] == 1


def test_blocking_pops(r: Any, server: Server) -> None:
    def later() -> None:
        with redis.Redis(port=server.port) as other:
            deadline = time.monotonic() + 60
            while other.info("clients")["blocked_clients"] == 0 and time.monotonic() < deadline:
                time.sleep(0.005)
            other.rpush("l", "x")

    pops: list[tuple[Callable[[], Any], Any]] = [
        (lambda: r.blpop(["none", "l"], timeout=10), ["l", "x"]), (lambda: r.brpop("l", timeout=10), ["l", "x"]),
        (lambda: r.blmove("l", "m", 10), "x"), (lambda: r.brpoplpush("l", "m", 10), "x"),
    ]  # fmt: skip
    for pop, expected in pops:
        thread = threading.Thread(target=later)
        thread.start()
        found = pop()
        assert (list(found) if isinstance(found, tuple | list) else found) == expected
        thread.join()
    r.zadd("z", {"a": 1})
    assert list(r.bzpopmin("z", timeout=1)) == ["z", "a", 1.0]
    assert r.blpop("l", timeout=0.01) is None and r.bzpopmax("z", timeout=0.01) is None


def test_pipelines_and_transactions(r: Any, server: Server) -> None:
    with r.pipeline(transaction=False) as pipe:
        assert pipe.set("a", 1).incr("a").lpush("a", 1).get("a").execute(raise_on_error=False)[::3] == [True, "2"]
    with r.pipeline() as pipe, pytest.raises(redis.ResponseError, match=r"Command # 2 .* WRONGTYPE"):
        pipe.set("a", 1).lpush("a", 1).execute()
    with r.pipeline() as pipe, redis.Redis(port=server.port) as other:
        pipe.watch("a")
        other.set("a", 10)
        pipe.multi()
        with pytest.raises(redis.WatchError):
            pipe.incr("a").execute()

    def increment(pipe: Any) -> None:
        value = int(pipe.get("n") or 0)
        pipe.multi()
        pipe.set("n", value + 1)

    threads = [threading.Thread(target=lambda: [r.transaction(increment, "n") for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert r.get("n") == "40"


def test_publish_and_subscribe(r: Any) -> None:
    heard: list[str] = []
    with r.pubsub() as pubsub:
        pubsub.subscribe("news", **{"own": lambda found: heard.append(found["data"])})
        pubsub.psubscribe("n?ws")
        assert [message(pubsub)["type"] for _ in range(3)] == ["subscribe", "subscribe", "psubscribe"]
        assert r.publish("news", "hello") == 2 and r.publish("own", "me") == 1 and r.publish("nobody", 1) == 0
        assert [(found["type"], found["data"]) for found in (message(pubsub), message(pubsub))] == [
            ("message", "hello"), ("pmessage", "hello"),
        ]  # fmt: skip
        pubsub.get_message(timeout=1)
        assert heard == ["me"]
        assert r.pubsub_numsub("news") == [("news", 1)] and set(r.pubsub_channels()) == {"news", "own"}
        assert r.pubsub_numpat() == 1
        pubsub.ping()
        pubsub.unsubscribe()
        pubsub.punsubscribe()
    with r.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.psubscribe("__keyspace@0__:k")
        pubsub.get_message(timeout=1)
        r.set("k", 1, ex=100)
        assert [message(pubsub)["data"] for _ in range(2)] == ["set", "expire"]


@needs_lua
def test_scripts_and_locks(r: Any) -> None:
    add = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert (add(["n"], [5]), add(["n"], [5])) == (5, 10)
    r.script_flush()
    assert add(["n"], [1]) == 11 and r.script_exists(add.sha) == [True]
    with r.pipeline() as pipe:
        add(["n"], [1], client=pipe)
        assert pipe.get("n").execute() == [12, "12"]
    with pytest.raises(redis.ResponseError, match="boom"):
        r.eval("error('boom')", 0)
    lock, rival = r.lock("door", timeout=10), r.lock("door", timeout=10, blocking_timeout=0.05)
    assert lock.acquire() and lock.locked() and lock.owned() and not rival.acquire()
    assert lock.extend(20, replace_ttl=True) and lock.reacquire() and r.ttl("door") <= 10
    lock.release()
    with rival, pytest.raises(redis.exceptions.LockNotOwnedError):
        lock.local.token = b"another"
        lock.release()


def test_the_server_as_redis_py_shows_it(r: Any, server: Server) -> None:
    assert r.ping() and r.echo("hi") == "hi" and r.client_setname("me") and r.client_getname() == "me"
    (mine,) = [each for each in r.client_list() if each["name"] == "me"]
    assert mine["id"] == str(r.client_id()) and r.client_info()["name"] == "me"
    assert r.config_set("slowlog-max-len", 10) and r.config_get("slowlog-max-len") == {"slowlog-max-len": "10"}
    assert r.info("server")["tcp_port"] == server.port and r.time()[0] > 0 and r.slowlog_len() >= 0
    assert r.command_count() > 150 and r.select(1) and r.swapdb(0, 1) and r.flushdb()


def run(server: Server, protocol: int, body: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine with an asyncio client."""

    async def main() -> None:
        async with redis.asyncio.Redis(port=server.port, protocol=protocol, decode_responses=True) as client:
            await client.flushall()
            await body(client)

    asyncio.run(main())


@pytest.mark.parametrize("protocol", [2, 3], ids=["RESP2", "RESP3"])
def test_asyncio(server: Server, protocol: int) -> None:
    async def body(r: Any) -> None:
        waiting = asyncio.create_task(r.blpop("l", timeout=10))
        while (await r.info("clients"))["blocked_clients"] == 0:
            await asyncio.sleep(0.005)
        await r.rpush("l", "x")
        assert list(await waiting) == ["l", "x"]
        async with r.pipeline() as pipe:
            assert await pipe.set("a", 1).incr("a").hset("h", mapping={"f": 1}).execute() == [True, 2, 1]

        async def increment(pipe: Any) -> None:
            value = int(await pipe.get("n") or 0)
            pipe.multi()
            pipe.set("n", value + 1)

        await asyncio.gather(*(r.transaction(increment, "n") for _ in range(10)))
        assert await r.get("n") == "10"
        assert sorted([key async for key in r.scan_iter(count=1)]) == ["a", "h", "n"]
        async with r.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe("news")
            await pubsub.get_message(timeout=1)
            await r.publish("news", "hello")
            found = None
            while found is None:
                found = await pubsub.get_message(timeout=1)
            assert found["data"] == "hello"

    run(server, protocol, body)


def test_client_side_cache(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """redis-py wants Redis 7.4 for it, though nothing in it is newer than 6.0."""
    monkeypatch.setattr(CacheProxyConnection, "MIN_ALLOWED_VERSION", "7.0.0")
    with (
        redis.Redis(port=server.port, protocol=3, cache_config=CacheConfig(), decode_responses=True) as cached,
        redis.Redis(port=server.port, decode_responses=True) as other,
    ):
        other.mset({"a": 1, "b": 1})
        assert [cached.get("a"), cached.mget("a", "b"), cached.hgetall("h")] == ["1", ["1", "1"], {}]
        before = other.info("stats")["keyspace_hits"]
        assert [cached.get("a") for _ in range(10)] == ["1"] * 10
        assert other.info("stats")["keyspace_hits"] == before  # they came from the cache
        other.mset({"a": 2, "b": 3})
        await_true(lambda: cached.get("a") == "2", "the new value")
        await_true(lambda: cached.mget("a", "b") == ["2", "3"], "the new values")
        cached.set("a", 4)
        assert cached.get("a") == "4"
        other.flushall()
        await_true(lambda: cached.get("a") is None, "no value")
        assert other.info("clients")["tracking_clients"] == 1


@needs_lua
@pytest.mark.parametrize("protocol", [2, 3], ids=["RESP2", "RESP3"])
def test_asyncio_locks(server: Server, protocol: int) -> None:
    async def body(r: Any) -> None:
        inside, most = 0, 0

        async def work() -> None:
            nonlocal inside, most
            async with r.lock("door", timeout=10, sleep=0.001):
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(work() for _ in range(10)))
        assert most == 1 and not await r.exists("door")

    run(server, protocol, body)
