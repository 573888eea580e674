"""Applications of Redis run on `python -m final`; `tests/requirements-applications.txt` lists them."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from stages.harness.server import Server
from tests.support.application_tasks import add, count_up, fail, total_of
from tests.support.oracle import final_server
from tests.support.shared import Shared

pytest.importorskip("lupa")
pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.filterwarnings("ignore"),  # of the applications, not ours
]


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    with Shared(final_server) as shared:
        yield shared


@pytest.fixture
def server(shared: Shared) -> Server:
    """Return a server without data."""
    return shared.clean()


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    """Yield a client of a server without data."""
    with Redis(port=server.port) as client:
        client.flushall()
        yield client


def eventually(holds: Callable[[], object], seconds: float = 100) -> None:
    """Wait until `holds()` is true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_rq_runs_jobs_in_order(client: Any, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    rq = pytest.importorskip("rq")
    monkeypatch.setattr(sys.modules[count_up.__module__], "PORT", server.port)
    low, high = (rq.Queue(name, connection=client) for name in ("low", "high"))
    first = low.enqueue(count_up, "n")
    low.enqueue(count_up, "n", result_ttl=0)
    high.enqueue_many([rq.Queue.prepare_data(count_up, ("many",)) for _ in range(20)])
    gone = low.enqueue(count_up, "gone")
    gone.cancel()
    assert len(low) == 2 and high.count == 20
    rq.SimpleWorker([high, low], connection=client).work(burst=True)
    assert client.mget("n", "many", "gone") == [b"2", b"20", None]
    assert low.is_empty() and high.is_empty() and len(low.failed_job_registry) == 0
    assert first.return_value() == 1 and len(high.finished_job_registry) == 20
    assert client.type(f"rq:results:{first.id}") == b"stream"


def test_rq_keeps_the_results_of_each_run_and_retries(client: Any) -> None:
    rq = pytest.importorskip("rq")
    queue = rq.Queue("default", connection=client)
    added, failing = queue.enqueue(add, 20, 22), queue.enqueue(fail, retry=rq.Retry(max=2))
    rq.SimpleWorker([queue], connection=client).work(burst=True)
    assert added.latest_result().return_value == 42 and added.latest_result().type.name == "SUCCESSFUL"
    assert "this task always fails" in failing.latest_result().exc_string
    failing.refresh()
    assert [each.type.name for each in failing.results()] == ["FAILED"] and failing.retries_left == 0
    queue.enqueue_job(added)
    rq.SimpleWorker([queue], connection=client).work(burst=True)
    assert [each.return_value for each in added.results()] == [42, 42] and failing.is_failed


def test_taskiq_runs_tasks_from_a_stream_and_takes_over_those_of_a_dead_worker(client: Any, server: Server) -> None:
    taskiq_api = pytest.importorskip("taskiq.api")
    taskiq_redis = pytest.importorskip("taskiq_redis")
    url = f"redis://127.0.0.1:{server.port}"

    def broker(**options: Any) -> Any:
        results = taskiq_redis.RedisAsyncResultBackend(url)
        return taskiq_redis.RedisStreamBroker(url, xread_block=10, **options).with_result_backend(results)

    async def main() -> None:
        dead, living = broker(), broker(idle_timeout=1)
        added, failed = (each.task(task_name="add")(add) for each in (dead, living))
        await dead.startup()
        lost = await added.kiq(20, 22)
        listening = dead.listen()
        await anext(listening)  # the worker takes the task, and dies without acknowledging it
        await living.startup()
        worker = asyncio.create_task(taskiq_api.run_receiver_task(living))
        tasks = [await failed.kiq(number, 1) for number in range(20)]
        assert [(await each.wait_result(timeout=60)).return_value for each in tasks] == list(range(1, 21))
        assert (await lost.wait_result(timeout=60)).return_value == 42
        while client.xpending("taskiq", "taskiq")["pending"]:
            await asyncio.sleep(0.01)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        await listening.aclose()
        await dead.shutdown()
        await living.shutdown()

    asyncio.run(main())
    assert client.xlen("taskiq") == 21


def test_arq_runs_jobs_deferred_ones_retries_and_aborts(client: Any, server: Server) -> None:
    arq = pytest.importorskip("arq")
    jobs = pytest.importorskip("arq.jobs")
    tries: list[int] = []
    started = asyncio.Event()

    async def added(context: Any, first: int, second: int) -> int:
        return add(first, second)

    async def stubborn(context: Any) -> str:
        tries.append(context["job_try"])
        if len(tries) < 3:
            raise arq.Retry(defer=0.01)
        return "at last"

    async def failing(context: Any) -> None:
        fail()

    async def endless(context: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    async def main() -> None:
        pool = await arq.create_pool(arq.connections.RedisSettings(port=server.port))
        many = [await pool.enqueue_job("added", number, 1) for number in range(20)]
        named = await pool.enqueue_job("added", 20, 22, _job_id="once")
        assert await pool.enqueue_job("added", 1, 1, _job_id="once") is None
        later = await pool.enqueue_job("added", 1, 2, _defer_by=0.2)
        assert await later.status() is jobs.JobStatus.deferred and len(await pool.queued_jobs()) == 22
        retried, failed = await pool.enqueue_job("stubborn"), await pool.enqueue_job("failing")
        functions = [arq.func(each, name=each.__name__) for each in (added, stubborn, failing, endless)]
        options = {"poll_delay": 0.02, "handle_signals": False, "allow_abort_jobs": True}
        worker = arq.Worker(functions, redis_pool=pool, **options)
        running = asyncio.create_task(worker.main())
        assert [await each.result(60, poll_delay=0.01) for each in many] == list(range(1, 21))
        assert [await each.result(60, poll_delay=0.01) for each in (named, later, retried)] == [42, 3, "at last"]
        with pytest.raises(ValueError, match="always fails"):
            await failed.result(60, poll_delay=0.01)
        aborted = await pool.enqueue_job("endless")
        await started.wait()
        assert await aborted.abort(timeout=60, poll_delay=0.01) and tries == [1, 2, 3]
        assert len(await pool.all_job_results()) == 25 and await pool.queued_jobs() == []
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await worker.close()

    asyncio.run(main())
    assert client.keys("arq:in-progress:*") == []


def test_walrus_reads_streams_alone_and_in_groups(client: Any, server: Server) -> None:
    walrus = pytest.importorskip("walrus")
    database = walrus.Database(port=server.port)
    stream = database.Stream("events")
    ids = [stream.add({"n": number}) for number in range(10)]
    assert len(stream) == 10 and stream[ids[3]] == (ids[3], {b"n": b"3"})
    assert [id for id, _ in stream[ids[2] : ids[4]]] == ids[2:5] and next(iter(stream))[0] == ids[0]
    del stream[ids[0]]
    assert stream.trim(5, approximate=False) == 4 and stream.length() == 5
    group = database.consumer_group("g", ["events", "others"])
    group.create()
    group.set_id("0")
    database.Stream("others").add({"x": "y"})
    found = dict(group.read(count=2))
    assert [id for id, _ in found[b"events"]] == ids[5:7] and found[b"others"][0][1] == {b"x": b"y"}
    assert [each["message_id"] for each in group.events.pending()] == ids[5:7] and group.events.ack(*ids[5:7]) == 2
    second = group.consumer("second")
    (last,) = second.events.read(count=1)
    assert group.events.claim(last[0]) == [last] and second.others.read() == []
    series = database.time_series("series", ["events", "others"])
    series.create()
    series.set_id("0")
    assert [each.stream for each in series.read(count=1)] == ["events", "others"]
    group.destroy()


def test_walrus_keeps_bits_sketches_and_copies(client: Any, server: Server) -> None:
    walrus = pytest.importorskip("walrus")
    database = walrus.Database(port=server.port)
    filter = database.bloom_filter("seen", size=64 * 1024)
    for number in range(200):
        filter.add(f"user {number}")
    assert all(f"user {number}" in filter for number in range(200)) and "nobody" not in filter
    assert client.type("seen") == b"string" and len(filter) == 64 * 1024
    bits = database.bit_field("bits")
    bits[0:8] = 255
    assert list(bits.incrby("u8", 0, 10, "SAT").get("u4", "#1").set("i8", 8, -1)) == [255, 15, 0]
    assert list(bits.incrby("u8", 0, 10, "FAIL").incrby("u8", 0, 10, "WRAP").get("i8", "#1")) == [None, 9, -1]
    assert (bits.get_raw(), bits.bit_count(), bits.get_bit(7), bits[4:8]) == (b"\x09\xff", 10, 1, 9)
    visitors, others = database.HyperLogLog("visitors"), database.HyperLogLog("others")
    visitors.add(*range(1000))
    others.add(*range(500, 1500))
    both = visitors.merge("both", others)
    assert 980 <= len(visitors) <= 1020 and 1450 <= len(both) <= 1550
    copied = database.Hash("copied")
    database.Hash("h").update({"f": "v", "g": 1})
    client.restore("copied", 0, database.Hash("h").dump())
    assert copied.as_dict() == {b"f": b"v", b"g": b"1"}


def test_huey_runs_tasks_in_threads_and_on_schedule(client: Any, server: Server) -> None:
    huey_package = pytest.importorskip("huey")
    huey = huey_package.RedisHuey("tests", host="127.0.0.1", port=server.port)
    expiring = huey_package.PriorityRedisHuey("more", host="127.0.0.1", port=server.port)
    for each in (huey, expiring):
        task = each.task()(add)
        consumer = each.create_consumer(workers=2, initial_delay=0.01, max_delay=0.05, scheduler_interval=1)
        results = [task(number, 1) for number in range(10)]
        later = task.schedule((20, 22), delay=1)
        consumer.start()
        try:
            assert [result(blocking=True, timeout=60) for result in results] == list(range(1, 11))
            assert later(blocking=True, timeout=60) == 42
            with each.lock_task("one at a time"):
                assert each.is_locked("one at a time")
        finally:
            consumer.stop(graceful=True)


def test_celery_runs_tasks_chords_and_scheduled_tasks(client: Any, server: Server) -> None:
    celery = pytest.importorskip("celery")
    testing = pytest.importorskip("celery.contrib.testing.worker")
    url = f"redis://127.0.0.1:{server.port}"
    app = celery.Celery("tests", broker=f"{url}/1", backend=f"{url}/2")
    app.conf.update(task_serializer="json", result_serializer="json", broker_connection_retry_on_startup=False)
    add_task, fail_task = app.task(name="add")(add), app.task(name="fail")(fail)
    total = app.task(name="total")(total_of)
    with testing.start_worker(app, perform_ping_check=False, concurrency=2, pool="threads", loglevel="ERROR"):
        assert add_task.delay(2, 3).get(timeout=60) == 5
        assert celery.chord((add_task.s(number, number) for number in range(5)), total.s())().get(timeout=60) == 20
        assert celery.chain(add_task.s(1, 2), add_task.s(10))().get(timeout=60) == 13
        assert add_task.apply_async((1, 1), countdown=0.2).get(timeout=60) == 2
        with pytest.raises(ValueError, match="always fails"):
            fail_task.delay().get(timeout=60)


def test_dramatiq_runs_messages_delayed_ones_and_retries(client: Any, server: Server) -> None:
    dramatiq = pytest.importorskip("dramatiq")
    redis_broker = pytest.importorskip("dramatiq.brokers.redis")
    backends = pytest.importorskip("dramatiq.results.backends.redis")
    results = pytest.importorskip("dramatiq.results")
    broker = redis_broker.RedisBroker(host="127.0.0.1", port=server.port)
    broker.add_middleware(results.Results(backend=backends.RedisBackend(client=client)))
    done = threading.Event()
    tries: list[int] = []

    def stubborn() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise ValueError("not yet")
        done.set()

    add_actor = dramatiq.actor(add, broker=broker, store_results=True)
    stubborn_actor = dramatiq.actor(stubborn, broker=broker, min_backoff=10, max_backoff=20)
    messages = [add_actor.send(number, 1) for number in range(10)]
    later = add_actor.send_with_options(args=(20, 22), delay=100)
    stubborn_actor.send()
    worker = dramatiq.Worker(broker, worker_timeout=50, worker_threads=2)
    worker.start()
    try:
        found = [each.get_result(backend=backends.RedisBackend(client=client), block=True) for each in messages]
        assert found == list(range(1, 11))
        assert later.get_result(backend=backends.RedisBackend(client=client), block=True) == 42
        assert done.wait(10)
    finally:
        worker.stop()
        broker.close()


@pytest.mark.parametrize("name", ["FixedWindow", "MovingWindow", "SlidingWindowCounter"])
def test_limits_lets_ten_requests_through_and_no_more(client: Any, server: Server, name: str) -> None:
    limits = pytest.importorskip("limits")
    strategies = pytest.importorskip("limits.strategies")
    storage = limits.storage.storage_from_string(f"redis://127.0.0.1:{server.port}")
    limiter = getattr(strategies, f"{name}RateLimiter")(storage)
    rate = limits.parse("10/minute")
    assert [limiter.hit(rate, "someone") for _ in range(13)] == [True] * 10 + [False] * 3
    assert limiter.hit(rate, "someone else") and not limiter.test(rate, "someone")
    assert limiter.get_window_stats(rate, "someone").remaining == 0
    limiter.clear(rate, "someone")
    assert limiter.hit(rate, "someone")
    assert storage.check()


def test_python_redis_lock_is_held_by_one_client_at_a_time(client: Any) -> None:
    redis_lock = pytest.importorskip("redis_lock")
    inside, most = [0], [0]

    def work() -> None:
        for _ in range(10):
            with redis_lock.Lock(client, "door", expire=10, auto_renewal=True):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most == [1] and not redis_lock.Lock(client, "door").locked()
    lock = redis_lock.Lock(client, "door", expire=1)
    assert lock.acquire() and not redis_lock.Lock(client, "door").acquire(blocking=False)
    eventually(lambda: redis_lock.Lock(client, "door").acquire(blocking=False))
    with pytest.raises(redis_lock.NotAcquired):
        lock.release()


def test_django_redis_is_a_cache(client: Any, server: Server) -> None:
    pytest.importorskip("django_redis")
    settings = pytest.importorskip("django.conf").settings
    caches = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": f"redis://127.0.0.1:{server.port}/3"}}
    if not settings.configured:
        settings.configure(CACHES=caches)
    cache = pytest.importorskip("django.core.cache").cache
    cache.set("user", {"name": "Alice"}, timeout=100)
    assert cache.get("user") == {"name": "Alice"} and 0 < cache.ttl("user") <= 100
    assert cache.add("user", 1) is False and cache.add("other", 1) is True and cache.incr("other", 4) == 5
    cache.set_many({f"k{number}": number for number in range(50)})
    assert cache.get_many(["k1", "k49", "none"]) == {"k1": 1, "k49": 49}
    assert sorted(cache.iter_keys("k4*"))[0] == "k4" and cache.delete_pattern("k*") == 50
    assert cache.touch("user", 5) and cache.expire("user", 1000) and cache.persist("user") and cache.ttl("user") is None
    assert cache.get_or_set("made", lambda: "here") == "here"
    with cache.lock("door", timeout=5):
        assert cache.keys("door") == ["door"]
    with pytest.raises(ValueError, match="not found"):
        cache.incr("missing")
    cache.clear()
    assert client.dbsize() == 0


def test_pottery_stores_containers(client: Any) -> None:
    pottery = pytest.importorskip("pottery")
    users = pottery.RedisDict({"alice": 1}, redis=client, key="users")
    users["bob"] = [1, 2]
    assert dict(users) == {"alice": 1, "bob": [1, 2]} and len(users) == 2
    tags = pottery.RedisSet({"a", "b"}, redis=client, key="tags")
    assert list(tags.contains_many("a", "c", "b")) == [True, False, True]
    numbers = pottery.RedisList([1, 2, 3], redis=client, key="numbers")
    numbers.append(4)
    del numbers[0]
    numbers.insert(1, "x")
    assert list(numbers) == [2, "x", 3, 4]
    queue = pottery.RedisDeque(redis=client, key="deque")
    queue.extend("abc")
    queue.rotate(1)
    assert list(queue) == ["c", "a", "b"] and queue.pop() == "b"
    counter = pottery.RedisCounter("hello", redis=client, key="letters")
    assert counter.most_common(1) == [("l", 2)]
    ids = pottery.NextID(key="ids", masters={client})
    assert [next(ids), next(ids)] == [1, 2]
    lock = pottery.Redlock(key="door", masters={client}, auto_release_time=5)
    with lock:
        assert lock.locked()
    assert not lock.locked()


def test_pottery_filters_and_counts(client: Any) -> None:
    pottery = pytest.importorskip("pottery")
    seen = pottery.BloomFilter(num_elements=1000, false_positives=0.001, redis=client, key="seen")
    seen.update(f"user {number}" for number in range(500))
    assert all(seen.contains_many(*(f"user {number}" for number in range(500)))) and "nobody" not in seen
    assert 480 <= len(seen) <= 520
    visits = pottery.HyperLogLog((f"user {number}" for number in range(1000)), redis=client, key="visits")
    more = pottery.HyperLogLog((f"user {number}" for number in range(500, 1500)), redis=client, key="more")
    assert 980 <= len(visits) <= 1020 and list(visits.contains_many("user 1", "nobody")) == [True, False]
    assert 1450 <= len(visits.union(more, redis=client)) <= 1550
    visits.update(more)
    assert 1450 <= len(visits) <= 1550


def test_cashews_caches_counts_bits_and_locks(client: Any, server: Server) -> None:
    cashews = pytest.importorskip("cashews")
    calls: list[int] = []

    async def main() -> None:
        cache = cashews.Cache()
        cache.setup(f"redis://127.0.0.1:{server.port}/1")
        await cache.clear()

        @cache(ttl="1m", key="square:{number}", tags=["squares"])  # type: ignore[untyped-decorator]
        async def square(number: int) -> int:
            calls.append(number)
            return number * number

        assert [await square(number) for number in (2, 3, 2)] == [4, 9, 4] and calls == [2, 3]
        assert 0 < await cache.get_expire("square:2") <= 60
        await cache.delete_tags("squares")
        assert await square(2) == 4 and calls == [2, 3, 2]

        assert await cache.incr_bits("bits", 0, 3, 70) == (1, 1, 1) and await cache.get_bits("bits", 0, 1, 3) == (
            1,
            0,
            1,
        )
        assert await cache.incr_bits("wide", 0, 1, size=4, by=20) == (15, 15)  # four bits hold no more
        assert await cache.incr_bits("wide", 1, size=4, by=-5) == (10,)

        @cache.bloom(name="even:{number}", capacity=1000, false_positives=1, check_false_positive=False)  # type: ignore[untyped-decorator]
        async def even(number: int) -> bool:
            return number % 2 == 0

        for number in range(100):
            await even.set(number)
        assert all([await even(number) for number in range(0, 100, 2)])
        assert sum([await even(number) for number in range(1, 100, 2)]) <= 5

        @cache.slice_rate_limit(limit=3, period="1m")  # type: ignore[untyped-decorator]
        async def limited() -> bool:
            return True

        assert [await limited() for _ in range(3)] == [True] * 3
        with pytest.raises(cashews.RateLimitError):
            await limited()
        async with cache.transaction() as transaction:
            await cache.set("in", 1)
            await transaction.rollback()
        assert await cache.get("in") is None
        async with cache.lock("door", expire="10s"):
            assert not await cache.set_lock("door", "another", 10)
        await cache.set_many({f"many:{number}": number for number in range(50)})
        assert await cache.get_many("many:1", "none", "many:49") == (1, None, 49)
        await cache.delete_match("many:*")
        assert [key async for key in cache.scan("many:*")] == []
        await cache.close()

    asyncio.run(main())
