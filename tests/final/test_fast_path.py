"""The short way of final/ and the long one answer, change, log and count the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from final.data.string_runs import QUICK
from final.engine import fast_path
from final.engine.client import Client
from final.engine.command import PLAIN
from final.engine.engine import Engine
from final.engine.fast_path import FastPath
from final.log.health import Event
from final.protocol.writer import LARGE, SHORT
from stages.harness.wire import request
from tests.support.folders import data_of, flush, log_in, opened
from tests.support.oracle import InProcess, args_of
from tests.support.sequences import ANY, EXAMPLES

SET, GET = args_of("SET k v"), args_of("GET k")
MUCH = 1 << 30


def the_long_way(peer: InProcess, requests: list[list[bytes]]) -> bytes:
    """Execute requests one by one."""
    return b"".join(peer.ask_all(requests))


def the_short_way(peer: InProcess, requests: list[list[bytes]]) -> bytes:
    """Execute requests as a connection does: as many as can go the short way, then one the long way, and so on."""
    output, left = bytearray(), requests[::-1]
    while left:
        FastPath(peer.engine).take(peer.client, left, output, len(left), MUCH)
        if left:
            output += peer.sent(left.pop())
    return bytes(output)


def the_lone_way(peer: InProcess, requests: list[list[bytes]]) -> bytes:
    """Execute requests as connections do if each comes alone."""
    output, fast_path = bytearray(), FastPath(peer.engine)
    for args in requests:
        if not fast_path.answer(peer.client, args, output):
            output += the_short_way(peer, [args])
    return bytes(output)


def answered(engine: Engine, client: Client, args: list[bytes]) -> bool:
    """Whether this request goes the way of those that come alone."""
    return FastPath(engine).answer(client, args, bytearray())


def taken(engine: Engine, client: Client, *requests: list[bytes], most: int = 100, room: int = MUCH) -> int:
    """How many of these requests go the short way."""
    return FastPath(engine).take(client, list(requests)[::-1], bytearray(), most, room)


Way = Callable[[InProcess, list[list[bytes]]], bytes]
WAYS = st.sampled_from([the_short_way, the_lone_way])


def test_both_ways_do_the_same(tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=EXAMPLES, deadline=None)
    @given(st.lists(st.lists(ANY, max_size=8), max_size=4), st.sampled_from(["", "KEA", "KEAnm"]), st.booleans(), WAYS)
    def holds(batches: list[list[list[bytes]]], events: str, watched: bool, short: Way) -> None:
        folder = tmp_path_factory.mktemp("ways")
        peers = [opened(folder / way) for way in ("long", "short")]
        answers: list[list[bytes]] = [[], []]
        heard: list[list[object]] = [[], []]
        for peer, way, answered, told in zip(peers, (the_long_way, short), answers, heard, strict=True):
            random.seed(0)  # SPOP draws
            peer.ask(f"CONFIG SET notify-keyspace-events '{events}'")
            listener, watcher = peer.connect(), peer.connect()
            listener.deliver = told.append
            peer.engine.execute(listener, args_of("PSUBSCRIBE *"))
            if watched:
                peer.engine.execute(watcher, args_of("WATCH a b c"))
            for batch in batches:
                answered.append(way(peer, batch))
                peer.now += 1500
            told.append(watcher.dirty_cas)
            flush(peer)
        assert answers[0] == answers[1]
        assert heard[0] == heard[1]
        assert data_of(peers[0]) == data_of(peers[1])
        assert log_in(folder / "long").read_bytes() == log_in(folder / "short").read_bytes()
        counted = [peer.engine.counters for peer in peers]
        assert counted[0] == counted[1]
        assert counted[0].calls.counts == counted[1].calls.counts
        assert (peers[0].engine.unit.hits, peers[0].engine.unit.misses) == (
            peers[1].engine.unit.hits,
            peers[1].engine.unit.misses,
        )

    holds()


KEYS = st.sampled_from([b"a", b"b", b"c"])
VALUES = st.sampled_from([b"1", b"", b"x" * (SHORT - 1), b"x" * SHORT, b"x" * (QUICK - 1), b"x" * QUICK])
READ, WRITTEN = (st.sampled_from([name, name.lower()]) for name in (b"GET", b"SET"))
SIMPLE = st.tuples(READ, KEYS) | st.tuples(WRITTEN, KEYS, VALUES)
DISTURBING = st.sampled_from(
    ["SET a v PX 1000", "SET b v NX", "EXPIRE a 2", "DEL a b", "DEL c", "FLUSHALL", "SWAPDB 0 1", "SELECT 1", "HELLO 3",
     "LPUSH a x", "SADD b 1", "GET", "SET a", "GET a b", "Get a", "INCR a", "APPEND b x", "PFADD c x", "HSET c f x",
     "SETRANGE a 0 1", "INCRBYFLOAT b 1", "PING", "OBJECT IDLETIME a", "CONFIG SET notify-keyspace-events KEA",
     "CONFIG SET maxmemory 1gb", "CONFIG SET maxmemory 0", "CONFIG SET slowlog-log-slower-than 0", "MULTI", "EXEC"]
)  # fmt: skip
RUNS = st.lists(
    st.lists(SIMPLE, max_size=3).map(lambda some: [list(each) for each in some * 3])
    | DISTURBING.map(lambda line: [args_of(line)]),
    max_size=12,
).map(lambda parts: [args for part in parts for args in part])


def test_a_run_does_the_same_as_its_requests_one_by_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=EXAMPLES, deadline=None)
    @given(st.lists(RUNS, max_size=3), st.booleans(), st.booleans(), WAYS)
    def holds(batches: list[list[list[bytes]]], logged: bool, replicated: bool, short: Way) -> None:
        folder = tmp_path_factory.mktemp("runs")
        peers = [opened(folder / way) if logged else InProcess() for way in ("long", "short")]
        seen = []
        for peer, way in zip(peers, (the_long_way, short), strict=True):
            engine = peer.engine
            engine.primary.feeding = replicated
            peer.ask("CONFIG SET slowlog-log-slower-than 1000000000")  # what a busy machine makes slow is not compared
            answers = []
            for batch in batches:
                answers.append(way(peer, batch))
                peer.now += 700
                engine.unit.recently = peer.now  # the long way reads the clock each time; the timer does for the short
                answers.append(bytes(engine.primary.backlog.read(0, engine.primary.offset)))
                answers.append(bytes(engine.log._waiting) if engine.log else b"")
            unit, counted = engine.unit, (engine.counters, engine.counters.calls.counts)
            uses = [[db.used(key, 0) for key in sorted(db.names)] for db in engine.stores]
            slow = [each.args for each in engine.slowlog.entries]
            client = (peer.client.last_command, peer.client.write_offset)
            seen.append((answers, data_of(peer), unit.hits, unit.misses, unit.changes, uses, slow, client, counted))
        assert seen[0] == seen[1]

    holds()


PLAIN_REQUESTS = st.one_of(
    RUNS,
    st.lists(ANY, max_size=6),
    st.lists(st.tuples(st.sampled_from([b"INCR", b"incr"]), KEYS).map(list), max_size=5),
    st.sampled_from(["LPUSH l x", "LPOP l", "LPUSH l 1 2", "DEL l", "SET a 17", "SET a 9223372036854775807", "SET b 08",
                     "EXPIRE a 1", "INCRBY a 3", "SADD s 1", "SREM s 1", "ZADD z 1 m", "SPOP s", "GETDEL b", "PING",
                     "ECHO x", "PUBLISH c m", "XADD x 1-1 f v"]).map(lambda line: [args_of(line)]),
)  # fmt: skip
CALL_EACH = b"""
local replies, at = {}, 1
while at <= #ARGV do
    local last = at + tonumber(ARGV[at])
    local reply = redis.pcall(unpack(ARGV, at + 1, last))
    if type(reply) == 'table' then reply = reply.err or reply.ok or reply end
    replies[#replies + 1] = reply
    at = last + 1
end
return replies
"""


def as_transaction(requests: list[list[bytes]]) -> list[list[bytes]]:
    """Requests that execute these between MULTI and EXEC, as far as that is possible."""
    inside = [args for args in requests if args and args[0].upper() not in (b"MULTI", b"EXEC", b"HELLO", b"SELECT")]
    return [[b"MULTI"], *inside, [b"EXEC"]]


def as_script(requests: list[list[bytes]]) -> list[list[bytes]]:
    """A request that executes these in a script."""
    counted = [[b"%d" % len(args), *args] for args in requests if args]
    return [[b"EVAL", CALL_EACH, b"0", *(arg for args in counted for arg in args)]]


@pytest.mark.parametrize("unit", [as_transaction, as_script])
def test_a_unit_does_the_same_while_somebody_looks_at_each_command(
    unit: Callable[[list[list[bytes]]], list[list[bytes]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    if unit is as_script:
        pytest.importorskip("lupa")

    @settings(max_examples=EXAMPLES // 8, deadline=None)
    @given(st.lists(st.lists(PLAIN_REQUESTS, max_size=6), max_size=3), st.sampled_from([b"a", b"l", b"x"]))
    def holds(batches: list[list[list[list[bytes]]]], key: bytes) -> None:
        folder = tmp_path_factory.mktemp("units")
        peers = [opened(folder / way) for way in ("long", "short")]
        seen = []
        for peer, looked_at in zip(peers, (True, False), strict=True):
            engine, answers = peer.engine, list[object]()
            random.seed(0)
            engine.primary.feeding = True
            peer.ask("CONFIG SET slowlog-log-slower-than 1000000000")  # what a busy machine makes slow is not compared
            watcher, waiting, looking = peer.connect(), peer.connect(), peer.connect()
            if looked_at:
                engine.monitors.add(looking)
            waiting.deliver = answers.append
            for parts in batches:
                engine.execute(watcher, [b"WATCH", key, b"b"])
                engine.execute(waiting, [b"BLPOP", b"l", b"0"])
                answers += peer.ask_all(unit([args for part in parts for args in part]))
                answers.append(watcher.dirty_cas)
                engine.execute(watcher, [b"UNWATCH"])
                peer.now += 700
                engine.unit.recently = peer.now
            unit_, counted = engine.unit, (engine.counters, engine.counters.calls.counts)
            uses = [[db.used(key, 0) for key in sorted(db.names)] for db in engine.stores]
            stream = bytes(engine.primary.backlog.read(0, engine.primary.offset))
            flush(peer)
            counts = (unit_.hits, unit_.misses, unit_.changes, counted, peer.client.write_offset)
            seen.append((answers, data_of(peer), uses, stream, counts))
        assert seen[0] == seen[1]
        assert log_in(folder / "long").read_bytes() == log_in(folder / "short").read_bytes()

    holds()


def test_the_changes_of_a_long_unit_are_one_note() -> None:
    peer, settled = InProcess(), []
    peer.engine.settle = lambda: settled.append(list(peer.engine.unit.notes))  # type: ignore[method-assign]
    peer.ask_all([[b"MULTI"], *[[b"INCR", b"k"]] * 300, *[[b"RPUSH", b"l", b"x"]] * 300, [b"EXEC"]])
    assert [len(note.keys) for note in settled[-1]] == [1, 1, 2]


def test_a_lone_request_does_not_find_what_has_expired_since_the_one_before() -> None:
    peer = InProcess()
    peer.ask("SET k v PX 1000")
    assert answered(peer.engine, peer.client, GET)
    peer.now += 1500
    assert the_lone_way(peer, [GET]) == b"$-1\r\n"


def test_after_multi_requests_are_queued_until_one_that_is_not_plain() -> None:
    peer = InProcess()
    output, left = bytearray(), [args_of(line) for line in ("SET k v", "GET k", "PING", "GET k")][::-1]
    peer.ask("MULTI")
    assert FastPath(peer.engine).take(peer.client, left, output, 100, MUCH) == 2
    assert output == b"+QUEUED\r\n" * 2 and peer.engine.stores[0].get(b"k", bytes) is None
    assert FastPath(peer.engine).take(peer.client, [GET] * 5, output, 3, MUCH) == 3
    assert [args[0] for _, args in peer.client.queue or ()] == [b"SET", b"GET", b"GET", b"GET", b"GET"]
    assert peer.ask_all([[b"EXEC"]]) == [b"*5\r\n+OK\r\n" + b"$1\r\nv\r\n" * 4]


def test_a_run_that_was_held_up_is_in_the_slow_log(monkeypatch: pytest.MonkeyPatch) -> None:
    peer, times = InProcess(), count(0, 0.02)
    monkeypatch.setattr(fast_path, "perf_counter", lambda: next(times))
    assert taken(peer.engine, peer.client, SET, SET, GET, GET) == 4
    assert [(slow.args[0], slow.took) for slow in peer.engine.slowlog.entries] == [(b"GET", 20000), (b"SET", 20000)]


@pytest.mark.parametrize("line", ["SET k v", "GET k", "LPUSH l x", "LRANGE l 0 9"])
def test_a_lone_request_that_was_held_up_is_in_the_slow_log(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    peer, times = InProcess(), count(0, 0.02)
    monkeypatch.setattr(fast_path, "perf_counter", lambda: next(times))
    assert answered(peer.engine, peer.client, args_of(line))
    assert [(slow.args, slow.took) for slow in peer.engine.slowlog.entries] == [(args_of(line), 20000)]


def test_a_lone_request_serves_who_waits_after_it_is_in_the_slow_log() -> None:
    peer = InProcess()
    waiting = peer.connect()
    peer.ask("CONFIG SET slowlog-log-slower-than 0")
    peer.engine.execute(waiting, args_of("BLPOP l 0"))
    peer.ask("SLOWLOG RESET")
    assert answered(peer.engine, peer.client, args_of("LPUSH l x")) and waiting.parked is None
    assert [slow.args[0] for slow in peer.engine.slowlog.entries][:2] == [b"BLPOP", b"LPUSH"]


def test_what_a_run_replies_ends_it_when_the_room_is_full() -> None:
    peer = InProcess()
    peer.ask_all([[b"SET", b"k", b"x" * 1000]])
    output, requests = bytearray(), [GET] * 100
    FastPath(peer.engine).take(peer.client, requests, output, 100, 20_000)
    assert 20_000 <= len(output) < 21_100


def test_it_stops_at_a_command_that_is_handed_more_than_the_data() -> None:
    peer = InProcess()
    for line in ("PING", "MULTI", "BLPOP k 0", "SELECT 1", "CONFIG GET port", "NOSUCH", "GET", "COPY k l"):
        assert taken(peer.engine, peer.connect(), SET, GET, args_of(line), GET) == 2, line


def test_a_share_ends_it_and_so_do_replies_that_fill_the_room() -> None:
    peer = InProcess()
    peer.ask_all([[b"SET", b"k", b"x" * 1000]])
    assert taken(peer.engine, peer.client, *[GET] * 10, most=3) == 3
    assert taken(peer.engine, peer.client, *[GET] * 10, room=2500) == 3


def test_it_is_closed_to_who_needs_to_be_looked_at_and_while_somebody_looks() -> None:
    peer = InProcess(requirepass="sesame")
    assert taken(peer.engine, peer.client, GET) == answered(peer.engine, peer.client, SET) == 0
    peer.ask("AUTH sesame")
    assert taken(peer.engine, peer.client, GET) == answered(peer.engine, peer.client, SET) == 1
    for begin, end in [
        ("SUBSCRIBE c", "UNSUBSCRIBE c"),
        ("CLIENT REPLY OFF", "CLIENT REPLY ON"),
        ("CLIENT PAUSE 1000 WRITE", "CLIENT UNPAUSE"),
        ("CONFIG SET maxmemory 1gb", "CONFIG SET maxmemory 0"),
        ("MONITOR", "RESET"),
    ]:
        peer.ask(begin)
        assert taken(peer.engine, peer.client, GET) == answered(peer.engine, peer.client, SET) == 0, begin
        peer.ask(end)
        if end == "RESET":
            peer.ask("AUTH sesame")
        assert taken(peer.engine, peer.client, GET) == answered(peer.engine, peer.client, SET) == 1, end


def test_it_is_open_again_when_nobody_needs_to_be_looked_at_any_more() -> None:
    peer = InProcess()
    engine = peer.engine
    for ask, end in [
        ("MONITOR", engine.disconnect),
        ("BLPOP k 0", engine.disconnect),
        ("WATCH k", engine.disconnect),
        ("PSUBSCRIBE *", engine.disconnect),
        ("CLIENT PAUSE 0", lambda client: engine.pause.holds(client, GET, peer.now)),
        ("EVAL 'return 1' 0", engine.disconnect),
        ("OBJECT IDLETIME k", engine.disconnect),
        ("CONFIG SET maxmemory 1gb", lambda client: engine.execute(client, args_of("CONFIG SET maxmemory 0"))),
    ]:
        engine.execute(peer.client, SET)
        client = peer.connect()
        engine.execute(client, args_of(ask))
        end(client)
        assert taken(engine, peer.client, GET, SET) == 2, ask
        assert not (engine.waiting.lines or engine.watching.clients), ask


@pytest.mark.parametrize("way", [taken, answered])
def test_one_who_is_told_of_a_change_keeps_nobody_up_any_more(way: Callable[..., int]) -> None:
    """A client that watches a key is told once, and then requests are no longer looked at for it."""
    peer = InProcess()
    watcher = peer.connect()
    peer.engine.execute(watcher, args_of("WATCH k other"))
    assert way(peer.engine, peer.client, SET) == 1
    assert watcher.dirty_cas and not peer.engine.watching.clients


@pytest.mark.parametrize("way", [taken, answered])
def test_uses_are_counted_on_the_short_way_too(way: Callable[..., int]) -> None:
    peer = InProcess(maxmemory_policy="allkeys-lfu", lfu_log_factor=0)
    peer.ask("SET k v")
    before = int(peer.ask("OBJECT FREQ k")[1:])
    assert way(peer.engine, peer.client, GET) == way(peer.engine, peer.client, args_of("GETRANGE k 0 0")) == 1
    assert peer.ask("OBJECT FREQ k") == f":{before + 2}"


def test_a_large_reply_is_not_copied_on_the_short_way() -> None:
    peer, delivered = InProcess(), list[object]()
    peer.client.deliver = delivered.append
    peer.engine.stores[0].put(b"k", large := b"x" * (LARGE + 1))
    for way in (taken, answered):
        assert way(peer.engine, peer.client, GET) == 1
    assert [each is large for each in delivered] == [True, True]


def test_what_goes_the_short_way_is_a_use_of_its_keys_too(tmp_path: Path) -> None:
    peer = opened(tmp_path)
    for line in ("SET a 1", "SET b 1", "SET c 1", "SET d 1", "SADD s x"):
        peer.ask(line)
    peer.now += 5000
    peer.engine.expire()  # the server's timer, which reads the clock
    args = [args_of(line) for line in ("GET a", "SET b 2", "TTL d", "SET new 1", "DEL c", "SADD s x", "MSET n 1 m 1")]
    assert taken(peer.engine, peer.client, *args) == len(args)
    peer.now += 2000
    idle = [peer.ask(f"OBJECT IDLETIME {key}") for key in ("a", "b", "c", "d", "new", "s", "n")]
    assert idle == [":2", ":2", "$-1", ":7", ":2", ":2", ":2"]


def test_a_slow_request_on_the_short_way_is_in_the_slow_log() -> None:
    peer = InProcess(slowlog_log_slower_than=0)
    assert taken(peer.engine, peer.client, SET, GET) == 2
    assert [slow.args for slow in peer.engine.slowlog.entries] == [GET, SET]


def test_a_write_is_not_taken_while_the_log_cannot_be_written(tmp_path: Path) -> None:
    peer = opened(tmp_path)
    assert peer.engine.log
    peer.engine.log.health.happen(Event.WRITE_FAILED, OSError(28, "No space left on device"))
    assert taken(peer.engine, peer.client, SET) == answered(peer.engine, peer.client, SET) == 0


def test_what_is_plain_can_reach_nothing_but_the_data() -> None:
    assert {b"GET", b"get", b"SET", b"LPUSH", b"ZADD"} <= PLAIN.keys()
    assert not {b"BLPOP", b"PING", b"EVAL", b"MULTI", b"FLUSHALL", b"CONFIG", b"CLIENT"} & PLAIN.keys()


@pytest.mark.parametrize("way", [the_long_way, the_short_way, the_lone_way])
def test_a_key_that_is_found_expired_is_counted_and_logged(tmp_path: Path, way: Callable[..., bytes]) -> None:
    peer = opened(tmp_path)
    peer.ask("SET k v PX 100")
    peer.now += 101
    assert way(peer, [GET]) == b"$-1\r\n" and peer.engine.counters.expired == 1
    flush(peer)
    assert log_in(tmp_path).read_bytes().endswith(request("DEL", "k"))


@pytest.mark.parametrize("way", [the_long_way, the_short_way, the_lone_way])
def test_two_requests_that_a_command_logs_are_one_transaction(
    way: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def set_twice(engine: Engine, client: Client, args: list[bytes]) -> int:
        for value in b"a", b"ab":
            client.db.put(args[1], value)
            client.db.changed(args[1], log=(b"SET", args[1], value))
        return len(value)

    peer = opened(tmp_path)
    way(peer, [SET])  # the log gets a SELECT
    monkeypatch.setattr(PLAIN[b"SETNX"], "run", set_twice)
    assert way(peer, [args_of("SETNX k x")]) == b":2\r\n"
    flush(peer)
    transaction = request("MULTI") + request("SET", "k", "a") + request("SET", "k", "ab") + request("EXEC")
    assert log_in(tmp_path).read_bytes().endswith(transaction)
