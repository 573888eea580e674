"""`maxmemory`: who is refused, who has to go, and what the books say."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from platform import libc_ver

import pytest

from final.config.options import POLICIES
from final.data.garbage import FEW
from final.data.kinds import KINDS
from final.data.memory import size_of
from final.engine.evict import EMPTY, Urn
from stages.harness.server import Server
from stages.harness.wire import Client, request
from tests.support.observing import await_true
from tests.support.oracle import InProcess, OverTheWire, args_of, final_server, redis_server, shown, skip_without_lua
from tests.support.sequences import shapes
from tests.support.shared import Shared
from tests.support.talk import arrived_bytes, read_requests

OOM = "-OOM command not allowed when used memory > 'maxmemory'."


@pytest.fixture(scope="module", params=[final_server, redis_server], ids=["final", "redis"])
def shared(request: pytest.FixtureRequest) -> Iterator[Shared]:
    with Shared(request.param) as shared:
        yield shared


@pytest.fixture
def server(shared: Shared) -> Server:
    """A server that holds nothing."""
    return shared.clean()


@pytest.fixture
def full(server: Server) -> Iterator[Client]:
    """A client of a server that has too little memory for what it holds, and may forget nothing."""
    client = server.connect()
    client.ask("CONFIG", "SET", "maxmemory", 0, "maxmemory-policy", "noeviction")
    client.ask("FLUSHALL")
    for args in (
        ["SET", "k", "v"],
        ["SADD", "s", 1],
        ["RPUSH", "l", 1],
        ["HSET", "h", "f", 1],
        ["ZADD", "z", 1, 1],
        ["XADD", "x", "1-1", "f", "v"],
    ):
        client.ask(*args)
    client.ask("CONFIG", "SET", "maxmemory", 1)
    yield client
    client.ask("CONFIG", "SET", "maxmemory", 0)


def ask(client: Client, *args: str | int) -> str:
    """A reply on one line."""
    client.send(request(*args))
    return shown(client.read_reply())


REQUESTS = {
    "SET k v": OOM, "APPEND k v": OOM, "LPUSH l 1": OOM, "HSET h f 1": OOM, "ZADD z 1 1": OOM, "INCR n": OOM,
    "XADD x * f v": OOM, "XGROUP CREATE x g 0": OOM, "XTRIM x MAXLEN 5": ":0",
    "COPY k j": OOM, "SORT l STORE j": OOM, "SINTERSTORE j s s": OOM, "LMOVE l l LEFT LEFT": OOM,
    "GET k": "$1 v", "DEL missing": ":0", "EXPIRE k 100": ":1", "RENAME k j": "+OK", "SREM s 2": ":0",
    "LPOP missing": "$-1", "PING": "+PONG", "CONFIG GET maxmemory": "*2 $9 maxmemory $1 1",
}  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), REQUESTS.items(), ids=REQUESTS)
def test_what_may_take_memory_is_refused_when_there_is_none(full: Client, line: str, expected: str) -> None:
    assert ask(full, *line.split()) == expected


def test_in_a_transaction_too(full: Client) -> None:
    full.ask("MULTI")
    assert ask(full, "SET", "k", 1) == OOM
    assert ask(full, "EXEC") == "-EXECABORT Transaction discarded because of previous errors."
    full.ask("CONFIG", "SET", "maxmemory", 0)
    full.ask("MULTI")
    full.ask("SET", "k", 1)
    full.ask("CONFIG", "SET", "maxmemory", 1)  # queued: it takes effect too late for this one
    assert ask(full, "EXEC") == "*2 +OK +OK"


def test_in_a_script_too(full: Client) -> None:
    pytest.importorskip("lupa")
    assert ask(full, "EVAL", "return redis.call('set', 'k', 1)", 0).startswith(OOM + " script: ")
    assert ask(full, "EVAL", "return redis.pcall('set', 'k', 1)", 0) == OOM
    assert ask(full, "EVAL", "return redis.call('get', 'k')", 0) == "$1 v"
    assert ask(full, "EVAL", "redis.call('del', 'missing') return redis.call('set', 'k', 1)", 0) == "+OK"
    assert ask(full, "EVAL", "#!lua flags=allow-oom\nreturn redis.call('set', 'k', 1)", 0) == "+OK"


@pytest.mark.parametrize(
    "args",
    [
        ["maxmemory", "1mb"], ["maxmemory", "-1"], ["maxmemory", "x"], ["maxmemory-policy", "nonsense"],
        ["maxmemory-policy", "ALLKEYS-LRU"], ["maxmemory-samples", "0"], ["maxmemory-samples", "7"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_options_take_what_redis_takes(args: list[str]) -> None:
    with redis_server() as redis:
        client, peer = redis.connect(), InProcess()
        for line in (["CONFIG", "SET", *args], ["CONFIG", "GET", args[0]]):
            (reply,) = peer.ask_all([[arg.encode() for arg in line]])
            assert shown(reply) == ask(client, *line)


@pytest.mark.parametrize("policy", POLICIES)
def test_evictions_reach_the_log_the_keyspace_and_info(policy: str, tmp_path: Path) -> None:
    if policy == "noeviction":
        pytest.skip("nothing is evicted")
    with final_server("--notify-keyspace-events", "EA", "--maxmemory-policy", policy, data=tmp_path) as server:
        client, listener = server.connect(), server.connect()
        for number in range(40):
            client.ask("SET", f"k{number}", "v" * 100, "EX", 1000)
        listener.ask("PSUBSCRIBE", "__keyevent*")
        used = taken(client)
        client.ask("CONFIG", "SET", "maxmemory", EMPTY + (used // 2 if used else 12_000))
        client.ask("SET", "last", "v", "EX", 1000)
        left = client.ask("DBSIZE")
        assert isinstance(left, int) and 5 < left < 35
        info = client.ask("INFO", "stats")
        assert isinstance(info, bytes) and f"evicted_keys:{41 - left}\r\n".encode() in info
        events = [args[2:] for args in read_requests(b"".join(arrived_bytes(listener)))]
        assert sum(channel.endswith(b":evicted") for channel, _ in events) == 41 - left
        log = b"".join(path.read_bytes() for path in tmp_path.glob("*/*.incr.aof"))
        assert sum(args[0] == b"DEL" for args in read_requests(log)) == 41 - left
        client.ask("CONFIG", "SET", "maxmemory", 0)
        keys = client.ask("KEYS", "*")
    with final_server(data=tmp_path) as server:
        again = server.connect().ask("KEYS", "*")
        assert isinstance(keys, list) and isinstance(again, list) and sorted(again) == sorted(keys)


def taken(client: Client) -> int:
    """What the keys take, as INFO says."""
    info = client.ask("INFO", "memory")
    assert isinstance(info, bytes)
    return int(info.split(b"used_memory_dataset:")[1].split()[0])


def limited(policy: str) -> InProcess:
    """An engine with keys k0 to k99, half of which have a deadline, that looks at all of them to find the worst."""
    peer = InProcess(maxmemory=10**9, maxmemory_policy=policy, maxmemory_samples=1000)
    for number in range(100):
        peer.now += 1000
        peer.ask(f"SET k{number} {'v' * 100}" + f" EX {10_000 - number}" * (number % 2))
    return peer


def squeeze(peer: InProcess, keep: int) -> set[int]:
    """Leave room for some of the keys; answer with those that are gone."""
    peer.ask("PING")  # the books are made by now
    engine = peer.engine
    engine.options.maxmemory = EMPTY + engine.eviction.used * keep // 100
    peer.now += 1
    peer.ask("PING")
    return {number for number in range(100) if f"k{number}".encode() not in engine.stores[0]}


def test_lru_forgets_what_was_not_used_for_longest() -> None:
    peer = limited("allkeys-lru")
    for number in range(50):
        peer.now += 1
        peer.ask(f"GET k{number}")
    assert squeeze(peer, 80) == set(range(50, 70))


def test_lfu_forgets_what_was_used_least() -> None:
    peer = limited("allkeys-lfu")
    for _ in range(100):
        for number in range(50):
            peer.ask(f"GET k{number}")
    gone = squeeze(peer, 80)
    assert len(gone) == 20 and min(gone) >= 50


def test_what_was_used_often_but_long_ago_is_forgotten_by_lfu() -> None:
    peer = limited("allkeys-lfu")
    for _ in range(100):
        peer.ask("GET k0")
    peer.now += 3_600_000
    for number in range(1, 100):
        for _ in range(10):
            peer.ask(f"GET k{number}")
    assert 0 in squeeze(peer, 95)


def test_ttl_forgets_what_would_expire_next() -> None:
    expected = set(range(99, 99 - 2 * 20, -2))
    peer = InProcess(maxmemory=10**9, maxmemory_policy="volatile-ttl", maxmemory_samples=1000)
    for number in range(100):
        peer.ask(f"SET k{number} {'v' * 100}" + f" EX {10_000 - number}" * (number % 2))
    assert squeeze(peer, 80) == expected


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"])
def test_a_volatile_policy_spares_what_has_no_deadline_and_then_refuses(policy: str) -> None:
    peer = limited(policy)
    for number in range(1, 30, 2):
        peer.ask(f"PERSIST k{number}")
    gone = squeeze(peer, 1)
    assert gone == set(range(31, 100, 2))
    assert peer.ask("SET more v") == OOM


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_an_allkeys_policy_spares_nobody(policy: str) -> None:
    peer = limited(policy)
    assert len(squeeze(peer, 50)) in (50, 51)


def test_the_books_say_what_a_fresh_count_says() -> None:
    peer = limited("noeviction")
    for line in ("DEL k1 k2", "RPUSH l a b c", "LPOP l 3", "HSET h f v", "RENAME k3 k4", "SELECT 1", "SET k v PX 5",
                 "SWAPDB 0 1", "MOVE k 3", "COPY k x", "EXPIRE k 1", "SADD s a b", "SPOP s", "SELECT 2", "SET a b",
                 "FLUSHDB", "SELECT 0"):  # fmt: skip
        peer.ask(line)
    peer.now += 10_000
    peer.ask("GET k")
    peer.engine.expire()
    eviction = peer.engine.eviction
    kept = eviction.used
    eviction.forget_all()
    eviction.counted()
    assert eviction.used == kept
    assert peer.ask("FLUSHALL") == "+OK" and eviction.used == 0


def test_info_says_for_how_long_there_was_too_little_memory() -> None:
    peer = InProcess()

    def exceeded() -> list[str]:
        return re.findall(r"exceeded_time:(\d+)", peer.ask("INFO stats"))  # in all, and now

    peer.ask("SET k v")
    assert exceeded() == ["0", "0"]
    peer.ask("CONFIG SET maxmemory 1")
    peer.ask("PING")
    peer.now += 300
    assert exceeded() == ["300", "300"]
    peer.ask("CONFIG SET maxmemory 1gb")
    peer.ask("PING")
    peer.now += 300
    assert exceeded() == ["300", "0"]
    peer.ask("CONFIG RESETSTAT")
    assert exceeded() == ["0", "0"]


def test_a_growing_collection_grows_in_the_books() -> None:
    peer = limited("noeviction")
    before = peer.engine.eviction.used
    for number in range(200):
        peer.ask(f"RPUSH l {'x' * 1000}{number}")
    assert 180_000 < peer.engine.eviction.used - before < 260_000
    value = peer.engine.stores[0].peek(b"l")
    assert peer.engine.eviction.used - before == pytest.approx(size_of(b"l", value), abs=1000)


def test_an_urn_gives_everything_and_nothing_else() -> None:
    urn = Urn()
    places = [(0, b"%d" % number) for number in range(10)]
    for place in places:
        urn.put(place)
        urn.put(place)
    for place in places[::2] * 2:
        urn.take(place)
    assert set(urn.draw(500)) == set(places[1::2])
    for place in places[1::2]:
        urn.take(place)
    assert urn.draw(3) == []


def test_without_memory_transactions_and_scripts_are_refused_as_by_redis() -> None:
    lines = [
        "SET x " + "y" * 1_000_000, "CONFIG SET maxmemory 1000000",
        "MULTI", "GET x", "EXEC", "MULTI", "DEL x", "DISCARD", "MULTI", "SET a 1", "EXEC",
        'EVAL "#!lua\\nreturn 1" 0', 'EVAL "#!lua flags=allow-oom\\nreturn redis.call(\'set\', \'z\', 1)" 0',
        'EVAL "#!lua flags=no-writes\\nreturn 1" 0', "EVAL 'return redis.pcall(\"set\", \"z\", 1)' 0", "GET z",
        "MULTI", "UNWATCH", "EXEC", "CONFIG SET maxmemory 0",
    ]  # fmt: skip
    skip_without_lua(lines)
    requests = [args_of(line) for line in lines]
    with redis_server() as server:
        assert InProcess().ask_all(requests) == OverTheWire(server.connect()).ask_all(requests)


# Memory that is freed later


LARGE = {"hash": "HSET k", "list": "RPUSH k", "set": "SADD k", "zset": "ZADD k", "stream": "XADD k"}


def large(kind: str) -> list[list[bytes]]:
    """Return the requests that make a large value of this kind at the key k."""
    name, key = LARGE[kind].encode().split()
    numbers = [b"%d" % number for number in range(3000)]
    if kind == "stream":
        return [[name, key, b"*", b"field", number] for number in numbers]
    return [[name, key, *numbers[start : start + 500]] for start in range(0, 3000, 500)]


@pytest.mark.parametrize("kind", LARGE)
@pytest.mark.parametrize("request_", ["UNLINK k", "FLUSHDB ASYNC", "FLUSHALL async"])
def test_a_large_value_is_freed_a_little_at_a_time(kind: str, request_: str) -> None:
    peer = InProcess()
    garbage, run = peer.engine.unit.garbage, peer.engine.execute
    for each in large(kind):
        run(peer.client, each)
    held = peer.engine.stores[0].peek(b"k")
    containers = list(KINDS[type(held)].parts(held))
    assert run(peer.client, request_.encode().split()) in (1, "OK")
    assert run(peer.client, [b"EXISTS", b"k"]) == 0
    run(peer.client, [b"SET", b"k", b"new"])
    sizes = [sum(map(len, containers))]
    while garbage.free(0):
        sizes.append(sum(map(len, containers)))
    assert sizes[0] > 0 and not any(containers) and run(peer.client, [b"GET", b"k"]) == b"new"
    assert all(before - after <= FEW for before, after in pairwise(sizes))


def test_a_large_value_that_expires_is_freed_later_and_a_small_one_never_waits() -> None:
    peer = InProcess()
    for each in (*large("set"), [b"PEXPIREAT", b"k", b"%d" % (peer.engine.unit.now + 1)], [b"SADD", b"small", b"a"]):
        peer.engine.execute(peer.client, each)
    peer.engine.execute(peer.client, [b"UNLINK", b"small"])
    assert len(peer.engine.unit.garbage) == 0
    peer.now += 2
    peer.engine.expire()
    assert len(peer.engine.unit.garbage) == 1


FAULTS = """
from resource import RUSAGE_SELF, getrusage
from final.data.garbage import keep_freed_memory
faults = lambda: getrusage(RUSAGE_SELF).ru_minflt
replies = lambda: [bytearray(b"x" * 42_000) for _ in range(50)].clear()
for prepare in (lambda: None, keep_freed_memory):
    prepare(), replies(), replies()
    before = faults()
    [replies() for _ in range(20)]
    print(faults() - before)
"""


@pytest.mark.skipif(libc_ver()[0] != "glibc", reason="other C libraries keep what they like")
def test_freed_memory_is_used_again_without_asking_for_it_page_by_page() -> None:
    output = subprocess.run([sys.executable, "-c", FAULTS], check=True, capture_output=True, text=True).stdout
    returned, kept = map(int, output.split())
    assert returned > 20 * 100 > kept


def test_a_running_server_frees_what_waits(server: Server) -> None:
    client = server.connect()
    for each in large("zset"):
        client.ask(*each)
    ask(client, "UNLINK", "k")
    await_true(lambda: "lazyfree_pending_objects:0" in ask(client, "INFO", "memory"), "everything is freed")


# How often keys are used


USES = """
    GET k | GET k | SET k w | APPEND k x | EXISTS k | TYPE k | TOUCH k | INCR k | MGET k k | STRLEN k
    HSET h a 1 | HGET h a | HSET h a 2 | SUNIONSTORE t s | MULTI | GET k | GET k | EXEC | SETEX k 9 v | DEL k
    SET k v | OBJECT ENCODING k
"""


def test_a_use_counts_as_often_as_the_options_say() -> None:
    """With the factor 0 each use counts, so that the counters are not random."""
    looks = [[b"OBJECT", b"FREQ", key] for key in (b"k", b"h", b"s", b"t")]
    requests = [args_of(each) for each in ("SET k v", "SADD s a", *shapes(USES))]
    asked = [each for args in requests for each in (args, *looks)]
    options = {"maxmemory_policy": "allkeys-lfu", "lfu_log_factor": 0}
    ours = InProcess(**options).ask_all(asked)  # type: ignore[arg-type]
    with redis_server("--maxmemory-policy", "allkeys-lfu", "--lfu-log-factor", "0") as server:
        theirs = OverTheWire(server.connect()).ask_all(asked)
    assert ours == theirs


@pytest.mark.parametrize(("decay", "left"), [(0, 8), (1, 5), (2, 7)])
def test_a_use_is_forgotten_after_minutes(decay: int, left: int) -> None:
    peer = InProcess(maxmemory_policy="allkeys-lfu", lfu_log_factor=0, lfu_decay_time=decay)
    for line in ("SET k v", "GET k", "GET k", "GET k"):
        peer.ask(line)
    peer.now += 3 * 60_000
    assert peer.ask("OBJECT FREQ k") == f":{left}"


def test_a_lower_limit_evicts_without_another_request_but_not_in_the_transaction(server: Server) -> None:
    client, listener = server.connect(), server.connect()
    for number in range(5):
        client.ask("SET", f"k{number}", 1)
    client.ask("CONFIG", "SET", "notify-keyspace-events", "Ee")
    listener.ask("SUBSCRIBE", "__keyevent@0__:evicted")
    client.ask("MULTI")
    client.ask("CONFIG", "SET", "maxmemory", 1, "maxmemory-policy", "allkeys-random")
    client.ask("DBSIZE")
    assert client.ask("EXEC") == ["OK", 5]
    for _ in range(5):
        assert listener.read_reply().startswith(b"*3\r\n$7\r\nmessage\r\n")
    assert client.ask("DBSIZE") == 0
    assert ask(client, "SET", "k", 1) == OOM  # an empty database takes memory, too
    client.ask("CONFIG", "SET", "maxmemory", 0, "maxmemory-policy", "noeviction", "notify-keyspace-events", "")
    assert ask(client, "SET", "k", 1) == "+OK"
