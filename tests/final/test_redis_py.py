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

from stages.harness.server import Server
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
    for call in lambda: r.xadd("s", {"f": "v"}, id="1-1"), lambda: r.xreadgroup("g", "c", {"s": ">"}):
        with pytest.raises(redis.ResponseError) as refused:
            call()  # type: ignore[no-untyped-call]
        yield str(refused.value)


def test_streams(r: Any, real: Any) -> None:
    calls = enumerate(zip(use_streams(r), use_streams(real), strict=True))
    for number, (ours, theirs) in calls:
        assert ours == theirs, f"result {number}"


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
