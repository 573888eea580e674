"""Client-side caching: the same messages as a real Redis, no stale value, bounded memory."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec

import pytest

from final.engine.client import Client
from final.engine.evict import EMPTY
from final.engine.fast_path import FastPath
from final.protocol.writer import Push, encode
from stages.harness import wire
from stages.harness.server import Server
from stages.harness.wire import request
from tests.support.oracle import InProcess, args_of, final_server, redis_server, shown

ROUNDS = int(os.environ.get("ROUNDS", "1"))
SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
KEYS = ["a", "a1", "ab", "b", "b1", "c"]


# Random readers and writers, beside a real Redis

READS = [
    *(
        "GET {k}",
        "MGET {k} {k} {k}",
        "EXISTS {k}",
        "TTL {k}",
        "LRANGE {k} 0 -1",
        "HGET {k} f",
        "LRANGE {k} x 1",
        "TYPE {k}",
    ),
    *("STRLEN {k}", "SINTER {k} {k}", "EXPIRETIME {k}", "SORT_RO {k}", "XREAD STREAMS {k} 0", "GETEX {k}", "PFCOUNT p"),
]
WRITES = [
    *(
        "SET {k} {n}",
        "SET {k} {n}",
        "SET {k} {n}",
        "DEL {k} {k}",
        "MSET {k} 1 {k} 2",
        "APPEND {k} x",
        "INCR {k}",
        "RPUSH {k} 1",
    ),
    *("LPOP {k}", "HSET {k} f {n}", "HDEL {k} f", "EXPIRE {k} 100", "PERSIST {k}", "PEXPIREAT {k} 1", "RENAME {k} {k}"),
    *(
        "COPY {k} {k} REPLACE",
        "SETRANGE {k} 1 x",
        "GETDEL {k}",
        "SADD {k} {n}",
        "SMOVE {k} {k} 1",
        "ZADD {k} {n} m",
        "MOVE {k} 1",
    ),
    *(
        "SORT {k} STORE {k}",
        "PFADD p {n}",
        "PFMERGE p p",
        "LMOVE {k} {k} LEFT LEFT",
        "GETSET {k} {n}",
        "SUNIONSTORE {k} {k}",
    ),
    *(
        "XADD {k} {n}-1 f v",
        "SETNX {k} 1",
        "BITFIELD {k} SET u8 0 1",
        "SWAPDB 0 1",
        "SELECT 0",
        "SELECT 1",
        "FLUSHDB",
        "FLUSHALL",
    ),
]
SCRIPTS = [
    """EVAL "return redis.call('GET', KEYS[2])" 2 {k} {k}""",
    """EVAL "return redis.call('SET', KEYS[1], 1)" 1 {k}""",
    """EVAL "redis.call('GET', KEYS[1]) redis.call('SET', KEYS[1], 1) return redis.call('GET', 'a')" 1 {k}""",
    """EVAL_RO "return redis.call('EXISTS', 'a')" 1 {k}""",
]
TRACKING = [
    *("CLIENT TRACKING ON", "CLIENT TRACKING ON", "CLIENT TRACKING ON NOLOOP", "CLIENT TRACKING ON OPTIN"),
    *(
        "CLIENT TRACKING ON OPTOUT",
        "CLIENT TRACKING OFF",
        "CLIENT TRACKING OFF",
        "CLIENT CACHING YES",
        "CLIENT CACHING YES",
    ),
    *(
        "CLIENT CACHING NO",
        "CLIENT TRACKINGINFO",
        "CLIENT TRACKING ON BCAST",
        "CLIENT TRACKING ON BCAST NOLOOP PREFIX a",
    ),
    *(
        "CLIENT TRACKING ON BCAST PREFIX a PREFIX b",
        "CLIENT TRACKING ON BCAST PREFIX c",
    ),
]


def a_request(chance: random.Random) -> str:
    """Return a random request: a read, a write, or a script if there is Lua."""
    kinds = [READS, READS, WRITES] + ([SCRIPTS] if find_spec("lupa") else [])
    text = chance.choice(chance.choice(kinds))
    if text.startswith(("FLUSH", "SWAPDB", "SELECT", "MOVE")) and chance.random() < 0.7:
        text = "GET {k}"
    while "{k}" in text:
        text = text.replace("{k}", chance.choice(KEYS), 1)
    return text.replace("{n}", str(chance.randrange(1, 9)))


def some_requests(chance: random.Random) -> list[str]:
    """Return what a client sends in one piece: a request, a few, or a transaction."""
    match chance.randrange(8):
        case 0:
            return ["MULTI", *(a_request(chance) for _ in range(chance.randrange(4)) for _ in "."), "EXEC"]
        case 1:
            return ["CLIENT CACHING YES", *(a_request(chance) for _ in range(3))]
        case 2 | 3:
            return [chance.choice(TRACKING)]
    return [a_request(chance)]


class Room:
    """Clients of one server: A to D use RESP3, E and F RESP2; F is subscribed to a channel, X only asks for INFO."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.clients: dict[str, wire.Client] = {}
        self.ids: dict[str, int] = {}
        self.names: dict[int, str] = {}  # of all clients that were ever connected
        for name in "ABCDEFX":
            self.connect(name)
        self.clients["F"].ask("SUBSCRIBE", "channel")

    def connect(self, name: str) -> None:
        """Connect a client, in the place of one of this name, which has gone then."""
        if name in self.clients:
            self.clients[name].close()
            for _ in range(3):
                self.clients["X"].ask("PING")
        client = self.clients[name] = self.server.connect()
        self.ids[name] = number = int(str(client.ask("CLIENT", "ID")))
        self.names[number] = f"{name}{len(self.names)}"
        client.ask("CLIENT", "SETNAME", f"name-{name}")
        if name in "ABCD":
            client.send(request("HELLO", "3"))
            client.read_reply()

    def hear(self, name: str, requests: list[str]) -> dict[str, list[str]]:
        """Let a client send requests; return what all clients are sent then, in order."""
        if requests == ["RECONNECT"]:
            self.connect(name)
            requests = []
        asked = [args_of(text) for text in requests]
        for args in asked:
            if args[-1][:1] == b"@":
                args[-1] = b"%d" % self.ids[args[-1][1:].decode()]
        self.clients[name].send(b"".join(request(*args) for args in asked))
        answered = self.heard(name)  # what comes at the end of the iteration may follow
        heard = {each: self.heard(each) for each in "ABCDEFX"}
        heard[name] = answered + heard[name]
        in_one_iteration = len(asked) < 2 or asked[-1] == [b"EXEC"]
        return heard if in_one_iteration else {each: apart(frames) for each, frames in heard.items()}

    def heard(self, name: str) -> list[str]:
        """Return what a client has been sent by now: ask for its name, which no other reply is."""
        client, found = self.clients[name], list[str]()
        # CLIENT does not end CLIENT CACHING. A client that is subscribed may send only PING.
        client.send(request("PING") if name == "F" else request("CLIENT", "GETNAME"))
        while not found or found[-1] not in (f"$6 name-{name}", "*2 $4 pong $0"):
            found.append(shown(client.read_reply()))
        return [self.named(text) for text in found[:-1]]

    def named(self, text: str) -> str:
        """Replace the id of a client by its name where a client is told of one."""
        if "redir" in text or text.startswith("%3 $5 flags"):
            return re.sub(r":(\d+)", lambda found: self.names.get(int(found[1]), found[1]), text)
        return text

    def counts(self) -> list[bytes]:
        """Return what INFO says of tracking."""
        self.clients["X"].send(request("INFO", "everything"))
        lines = self.clients["X"].read_reply().split(b"\r\n")
        return [line for line in lines if line.startswith((b"tracking_clients", b"tracking_total"))]


def apart(frames: list[str]) -> list[str]:
    """Return the replies, and behind them each key that is invalid, once.

    This is for requests that need not be executed in one iteration of the event loop, so that messages may be divided.
    """
    keys = {key for text in frames if "invalidate" in text for key in re.split(r" \$\d+ ", text.partition("*")[2])[1:]}
    return [text for text in frames if "invalidate" not in text] + sorted(keys)


@pytest.fixture(scope="module")
def rooms() -> Iterator[tuple[Server, Server]]:
    with final_server() as ours, redis_server() as redis:
        yield ours, redis


def test_random_readers_and_writers_are_told_the_same_as_by_redis(rooms: tuple[Server, Server]) -> None:
    for round_ in range(ROUNDS):
        seed = SEED + round_
        chance = random.Random(seed)
        ours, redis = (Room(server) for server in rooms)
        ours.hear("X", ["FLUSHALL"]), redis.hear("X", ["FLUSHALL"])
        done = []
        for name, requests in [("A", ["CLIENT TRACKING ON"]), *steps(chance, 200)]:
            done.append(f"{name}: {' ; '.join(requests)}")
            heard, expected = ours.hear(name, requests), redis.hear(name, requests)
            assert heard == expected, f"SEED={seed}, after {len(done)} steps, the last of them:\n" + "\n".join(
                done[-40:]
            )
            assert ours.counts() == redis.counts(), f"SEED={seed}\n" + "\n".join(done[-40:])
        for each in (*ours.clients.values(), *redis.clients.values()):
            each.close()


def steps(chance: random.Random, count: int) -> Iterator[tuple[str, list[str]]]:
    """Yield clients, and what they send. A stays, so that the table is never forgotten."""
    for _ in range(count):
        name = chance.choice("AABBCCDDEX")
        requests = some_requests(chance)
        dice = chance.random()
        if name in "CD" and dice < 0.05:
            requests = [f"CLIENT TRACKING ON REDIRECT @{chance.choice('ABCD')}"]
        elif name == "E" and dice < 0.3:
            requests = [chance.choice(["CLIENT TRACKING ON", "CLIENT TRACKING ON BCAST PREFIX b"]) + " REDIRECT @F"]
        elif name in "BCD" and dice < 0.08:
            requests = ["RECONNECT"]
        if name == "X" and "TRACKING" in requests[0]:
            continue
        yield name, requests


# No stale value, and nothing for those who have not asked


@dataclass
class Cache:
    """A client that caches what it reads, and forgets what it is told of; it notes what it may be told of."""

    peer: InProcess
    mode: str = ""  # the options with which it tracks; "": it does not
    values: dict[tuple[int, bytes], object] = field(default_factory=dict)
    read: set[bytes] = field(default_factory=set)  # keys that it has read, and not been told of since
    reply: object = None
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.peer.engine.connect(deliver=self.hear)
        self.client.protocol = 3

    def hear(self, value: object) -> None:
        """Take a message, or a reply."""
        if not isinstance(value, Push):
            self.reply = value
            return
        assert self.mode, "it does not track any more"
        kind, keys = value
        assert kind == b"invalidate"
        if keys is None:
            self.values.clear()
            self.read.clear()
            return
        for key in keys:
            if "BCAST" in self.mode:
                assert key.startswith(b"a"), "not its prefix"
            else:
                assert key in self.read, "it has not read this key"
                self.read.remove(key)
            self.forget(key)

    def forget(self, key: bytes) -> None:
        """Drop the values of a key from the cache."""
        for place in [place for place in self.values if place[1] == key]:
            del self.values[place]

    def ask(self, line: str) -> object:
        """Send a request by the way that a connection takes."""
        requests = [args_of(line)]
        FastPath(self.peer.engine).take(self.client, requests, output := bytearray(), 1, 1 << 20)
        if not requests:
            return bytes(output)
        answer = self.peer.engine.execute(self.client, requests[0])
        return answer if type(answer).__name__ != "Replies" else self.reply

    def track(self, mode: str) -> None:
        """Track with these options, or not at all."""
        if self.mode:
            self.ask("CLIENT TRACKING OFF")
        self.mode = mode
        self.values.clear()
        if mode:
            assert self.ask(f"CLIENT TRACKING {mode}") == "OK"

    def get(self, key: str, asked: bool = False) -> None:
        """Read a key and keep it, if changes of it will be told; with OPTIN, if `asked`."""
        asked = asked and "OPTIN" in self.mode
        if asked:
            self.ask("CLIENT CACHING YES")
        value = self.ask(f"GET {key}")
        kept = self.mode and (key.startswith("a") if "BCAST" in self.mode else asked or "OPTIN" not in self.mode)
        if kept and not isinstance(value, Exception):
            self.values[self.client.db.index, key.encode()] = value
        if kept:
            self.read.add(key.encode())

    def change(self, line: str) -> None:
        """Change keys. With NOLOOP a client has to know itself what it has changed."""
        self.ask(line)
        if "NOLOOP" in self.mode:
            for key in args_of(line)[1:]:
                self.forget(key)

    def check(self) -> None:
        """Assert that all cached values are those that the server has."""
        for (index, key), value in self.values.items():
            store = self.peer.engine.stores[index]
            now = None if store.overdue(key) else store.held(key)
            assert now == value, f"{self.mode}: {key!r} in {index} is stale"


MODES = ["ON", "ON", "ON NOLOOP", "ON OPTIN", "ON BCAST PREFIX a", "ON BCAST NOLOOP PREFIX a", ""]
CHANGES = [
    "SET {k} {n}",
    "SET {k} {n} PX 50",
    "DEL {k}",
    "APPEND {k} x",
    "RENAME {k} {k}",
    "MSET {k} 1 {k} 2",
    "EXPIRE {k} 0",
]
MORE_CHANGES = ["FLUSHDB", "FLUSHALL", "COPY {k} {k} REPLACE", "SETRANGE {k} 100 x", "LPUSH {k} x", "GETDEL {k}"]


@pytest.mark.parametrize("memory", [0, EMPTY + 1300], ids=["all memory", "evicting"])
@pytest.mark.parametrize("number", range(8 * ROUNDS))
def test_no_value_is_stale_and_nobody_is_told_who_has_not_asked(number: int, memory: int) -> None:
    chance = random.Random(SEED + number)
    print(f"SEED={SEED}")
    peer = InProcess(maxmemory=memory, maxmemory_policy="allkeys-random")
    caches = [Cache(peer) for _ in range(4)]
    plain = Cache(peer)
    for _ in range(300):
        cache = chance.choice(caches)
        dice = chance.random()
        if dice < 0.1:
            cache.track(chance.choice(MODES))
        elif dice < 0.5:
            cache.get(chance.choice(KEYS), asked=chance.random() < 0.5)
        elif dice < 0.53:
            peer.now += 40
            peer.engine.expire()
        elif dice < 0.55:
            cache.ask(f"SELECT {chance.randrange(2)}")
        elif dice < 0.57:
            caches.remove(cache)
            peer.engine.disconnect(cache.client)
            cache.mode = ""
            caches.append(Cache(peer))
        else:
            line = chance.choice(CHANGES if chance.random() < 0.9 else MORE_CHANGES)
            while "{k}" in line:
                line = line.replace("{k}", chance.choice(KEYS), 1)
            chance.choice([cache, plain]).change(line.replace("{n}", str(chance.randrange(1000))))
        if chance.random() < 0.5:  # else the iteration of the event loop goes on
            peer.engine.tracking.broadcast()
        for each in caches:
            if "BCAST" not in each.mode or not peer.engine.tracking.changed:
                each.check()
    assert memory == 0 or peer.engine.counters.evicted > 5


# Bounded memory, hostile clients


def test_the_table_forgets_random_keys_beyond_its_limit_and_says_so() -> None:
    peer = InProcess(tracking_table_max_keys=300)
    cache = Cache(peer, "ON")
    cache.track("ON")
    for first in range(0, 1500, 100):
        for number in range(first, first + 100):
            cache.get(str(number))
    cache.ask("PING")
    tracking = peer.engine.tracking
    assert len(tracking.table) == tracking.items == len(cache.read) == 300
    assert set(tracking.table) == cache.read
    late = sum(int(key) >= 1200 for key in tracking.table)
    assert 60 < late < 300, "neither the oldest keys go first, nor the newest"
    peer.ask("CONFIG SET tracking-table-max-keys 10")
    for _ in range(9):
        peer.engine.expire()  # ten times a second; each time more keys
    assert len(tracking.table) == len(cache.read) == 10


def test_ids_of_clients_that_have_gone_do_not_fill_the_table() -> None:
    peer = InProcess()
    stays = Cache(peer)
    stays.track("ON")
    stays.get("k")
    for _ in range(500):
        goes = Cache(peer)
        goes.track("ON")
        goes.get("k")
        peer.engine.disconnect(goes.client)
    tracking = peer.engine.tracking
    assert tracking.items == len(tracking.table[b"k"]) < 100
    peer.ask("SET k 1")
    assert not stays.read
    peer.engine.disconnect(stays.client)
    stays.get("k")
    assert not (tracking.table or tracking.items or tracking.clients)


def test_a_hundred_thousand_prefixes_cost_a_change_no_more_than_one() -> None:
    peer = InProcess()
    cache = Cache(peer)
    prefixes = [b"a%06d" % number for number in range(100_000)]
    options = [each for prefix in prefixes for each in (b"PREFIX", prefix)]
    assert peer.engine.execute(cache.client, [b"CLIENT", b"TRACKING", b"ON", b"BCAST", *options]) == "OK"
    tracking = peer.engine.tracking
    assert len(tracking.prefixes) == 100_000
    assert tracking.lengths == {7: 100_000}  # `collect` looks once for each length
    cache.mode = "BCAST"
    cache.values = {(0, b"a000007x"): b"1", (0, b"b"): b"2"}
    peer.ask("MSET a000007x 1 b 2")
    tracking.broadcast()
    assert cache.values == {(0, b"b"): b"2"}
    more = [each for prefix in [*(b"b" + prefix for prefix in prefixes), b"a"] for each in (b"PREFIX", prefix)]
    answer = peer.engine.execute(cache.client, [b"CLIENT", b"TRACKING", b"ON", b"BCAST", *more])
    assert str(answer).startswith("ERR Prefix 'a' overlaps with an existing prefix 'a000000'.")
    peer.engine.disconnect(cache.client)
    assert not (tracking.prefixes or tracking.lengths)


def test_whoever_turns_tracking_on_again_loses_no_change_of_the_same_iteration() -> None:
    peer = InProcess()
    cache = Cache(peer)
    cache.track("ON BCAST PREFIX a")
    cache.values = {(0, b"a"): b"0"}
    peer.ask("SET a 1")
    cache.ask("CLIENT TRACKING ON BCAST PREFIX b")
    peer.engine.tracking.broadcast()
    assert not cache.values


def test_a_client_of_a_replica_is_told_of_what_its_primary_changes() -> None:
    with final_server("--repl-diskless-sync-delay", "0") as primary, final_server() as replica:
        assert primary.connect().ask("SET", "k", "1") == "OK"
        client = replica.connect()
        client.send(request("HELLO", "3"))
        client.read_reply()
        assert client.ask("CLIENT", "TRACKING", "ON") == "OK"
        client.ask("GET", "k")
        client.send(request("REPLICAOF", "127.0.0.1", primary.port))
        client.expect(b"+OK\r\n" + encode(Push([b"invalidate", None]), 3))  # all data are replaced
        assert client.ask("GET", "k") == b"1"
        primary.connect().ask("SET", "k", "2")
        client.expect(encode(Push([b"invalidate", [b"k"]]), 3))


def test_a_reader_may_be_disconnected_while_it_is_told() -> None:
    peer = InProcess(tracking_table_max_keys=2)
    told = []

    def reader(mode: str) -> Cache:
        cache = Cache(peer)
        cache.track(mode)
        cache.client.deliver = lambda value: (told.append(value), peer.engine.disconnect(cache.client))  # type: ignore[assignment,func-returns-value]
        return cache

    for happens in ("SET a 1", "FLUSHALL", "PING"):
        readers = [reader("ON"), reader("ON"), reader("ON BCAST PREFIX a PREFIX b")]
        for cache in readers[:2]:
            peer.engine.execute(cache.client, args_of("MGET a b c d"))
        peer.ask(happens)
        peer.ask("MSET a 1 b 1")
        peer.engine.tracking.broadcast()
        assert len(told) == 3 and not peer.engine.tracking.table and not peer.engine.tracking.prefixes
        told.clear()


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ("ON", "flags=t redir=0"),
        ("ON BCAST PREFIX a PREFIX b", "flags=tB redir=0"),
        ("ON REDIRECT @F", "flags=t redir=@F"),
        ("ON REDIRECT @GONE", "flags=tR redir=@GONE"),
        ("OFF", "flags=N redir=-1"),
    ],
)
def test_client_list_and_info_show_who_tracks(rooms: tuple[Server, Server], options: str, flags: str) -> None:
    for server in rooms:
        room = Room(server)
        gone = server.connect()
        ids = {**room.ids, "GONE": int(str(gone.ask("CLIENT", "ID")))}
        options_here = " ".join(str(ids[arg[1:]]) if arg[0] == "@" else arg for arg in options.split())
        before = room.counts()
        assert reply_of(room.clients["A"], f"CLIENT TRACKING {options_here}") == b"+OK\r\n"
        room.hear("A", ["GET k"])
        gone.close()
        room.hear("B", ["SET k 1"])
        line = reply_of(room.clients["A"], "CLIENT INFO").decode()
        found = dict(field.split("=", 1) for field in line.split() if "=" in field)
        names = {str(number): f"@{name}" for name, number in ids.items()}
        assert f"flags={found['flags']} redir={names.get(found['redir'], found['redir'])}" == flags
        assert (room.counts() == before) is (options == "OFF")
        for client in room.clients.values():
            client.close()


def reply_of(client: wire.Client, line: str) -> bytes:
    """Send a request and return the bytes of the reply."""
    client.send(request(*args_of(line)))
    return client.read_reply()


def test_with_bcast_a_client_is_told_of_a_key_that_expires_while_nothing_else_happens(
    rooms: tuple[Server, Server],
) -> None:
    client = rooms[0].connect()
    client.send(request("HELLO", "3"))
    client.read_reply()
    client.ask("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "soon")
    client.send(request("SET", "soon", "1", "PX", "100"))
    client.expect(b"+OK\r\n" + 2 * encode(Push([b"invalidate", [b"soon"]]), 3))
    client.close()


@pytest.mark.slow
def test_a_client_that_tracks_very_many_keys_and_never_reads_is_cut_off() -> None:
    with final_server("--client-output-buffer-limit", "normal 2mb 0 0", "--save", "") as server:
        writer, rude = server.connect(), server.connect()
        rude.send(request("HELLO", "3") + request("CLIENT", "TRACKING", "ON"))
        assert (rude.read_reply() is not None, rude.read_reply()) == (True, b"+OK\r\n")
        for first in range(0, 200_000, 10_000):
            rude.ask("EXISTS", *(f"key:{number}" for number in range(first, first + 10_000)))
        assert b"tracking_total_keys:200000" in info(writer)
        for first in range(0, 200_000, 10_000):
            writer.ask("MSET", *(arg for number in range(first, first + 10_000) for arg in (f"key:{number}", "v")))
        assert b"tracking_clients:0" in info(writer)
        assert b"tracking_total_keys:0" in info(writer)  # nobody is left who could be told


def info(client: wire.Client) -> bytes:
    """Return the reply to INFO."""
    return reply_of(client, "INFO everything")
