"""Checkpoint 13: a server that copies another one: its snapshot, its stream, what only the primary may decide.

Most checks play the primary themselves: they listen, and the server under test connects to them, as a replica.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from stages.harness.checkpoint import Dice, Modules, step
from stages.harness.server import Server
from stages.harness.target import Target
from stages.harness.wire import Client, Error, Mismatch, Patience, parse, request

Start = Callable[..., Server]
Connect = Callable[[], Client]
Values = Mapping[bytes, object]

OK, PONG, QUEUED, NULL = b"+OK\r\n", b"+PONG\r\n", b"+QUEUED\r\n", b"$-1\r\n"
READONLY = b"-READONLY You can't write against a read only replica.\r\n"
PING, GETACK, NO_ONE = request("PING"), request("REPLCONF", "GETACK", "*"), request("REPLICAOF", "NO", "ONE")
PAST, LATER = 1_000, 4_000_000_000_000  # moments in milliseconds since 1970: in that year, and in 2096


# The primary that the checks play


def crc64(data: bytes) -> int:
    """Return the checksum of a snapshot: CRC-64 as Redis computes it, bit by bit."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x95AC9329AC4BC9B5 if crc & 1 else 0)
    return crc


def length(number: int) -> bytes:
    """Write a length as a snapshot has it."""
    if number < 1 << 6:
        return bytes([number])
    return (number | 1 << 14).to_bytes(2) if number < 1 << 14 else b"\x80" + number.to_bytes(4)


def string(data: bytes) -> bytes:
    """Write a string as a snapshot has it."""
    return length(len(data)) + data


def value(of: object) -> tuple[bytes, bytes]:
    """Return the type of a value, and the value: bytes, a list, a set, a hash, or a dict of scores."""
    match of:
        case bytes():
            return b"\0", string(of)
        case list():
            return b"\1", length(len(of)) + b"".join(map(string, of))
        case set():
            return b"\2", length(len(of)) + b"".join(map(string, of))
        case dict() if all(isinstance(each, bytes) for each in of.values()):
            return b"\4", length(len(of)) + b"".join(string(each) for pair in of.items() for each in pair)
        case dict():
            return b"\5", length(len(of)) + b"".join(string(each) + struct.pack("<d", of[each]) for each in of)
    raise TypeError(of)


def snapshot(values: Values, deadlines: Mapping[bytes, int] | None = None) -> bytes:
    """Return a snapshot in plain forms, with its checksum."""
    parts = [b"REDIS0010\xfe\0"]
    for key, each in values.items():
        if deadlines and key in deadlines:
            parts.append(b"\xfc" + deadlines[key].to_bytes(8, "little"))
        kind, data = value(each)
        parts += [kind, string(key), data]
    data = b"".join([*parts, b"\xff"])
    return data + crc64(data).to_bytes(8, "little")


class Link(Client):
    """The connection of a replica to the primary that a check plays: a Client whose server has called."""

    def __init__(self, connection: socket.socket, patience: Patience) -> None:
        self.socket, self.patience = connection, patience
        self.sent, self.received = b"", b""
        self.ended = self.answered = False
        connection.setblocking(False)

    def receive(self) -> None:
        """Leave out the empty lines that a real Redis sends before a request, while it loads a snapshot."""
        super().receive()
        self.received = self.received.lstrip(b"\n")

    def next(self) -> list[bytes]:
        """Read the replica's next request."""
        args = parse(self.read_reply())[0]
        assert isinstance(args, list), f"a replica sends requests, arrays of bulk strings, and not {args!r}"
        assert all(type(arg) is bytes for arg in args), f"a replica sends requests, arrays of bulk strings: {args!r}"
        return args


class Primary:
    """A primary: it listens, answers the handshake, and keeps its stream for a replica that was cut off."""

    def __init__(self, patience: Patience, rng: Dice) -> None:
        self.patience = patience
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.id = b"".join(b"%02x" % rng.randrange(256) for _ in range(20))
        self.start = self.end = rng.randrange(1000, 100_000)  # offsets of what is in `stream`
        self.stream = b""
        self.link: Link | None = None

    @property
    def replica(self) -> Link:
        """The connection of the replica."""
        assert self.link is not None
        return self.link

    def accept(self) -> None:
        """Wait for the replica's next connection."""
        self.hang_up()
        self.listener.settimeout(self.patience.seconds)
        try:
            connection, _ = self.listener.accept()
        except TimeoutError:
            seconds = f"{self.patience.seconds:g}"
            self.patience.lost()
            raise AssertionError(f"the replica has not connected to its primary within {seconds} seconds") from None
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.link = Link(connection, self.patience)

    def greet(self) -> tuple[list[list[bytes]], list[bytes]]:
        """Accept a connection, and answer the handshake; return it, and the arguments of PSYNC, which has no answer."""
        self.accept()
        handshake = []
        while (args := self.replica.next())[0].upper() != b"PSYNC":
            handshake.append(args)
            assert len(handshake) < 10, f"the handshake does not end: {handshake}"
            self.replica.send(PONG if args[0].upper() == b"PING" else OK)
        assert len(args) == 3, f"PSYNC has two arguments, and not {args!r}"
        return handshake, args[1:]

    def synchronise(self, data: bytes) -> None:
        """Answer PSYNC with a snapshot; the stream begins."""
        self.start, self.stream = self.end, b""
        self.replica.send(b"+FULLRESYNC %b %d\r\n$%d\r\n%b" % (self.id, self.end, len(data), data))

    def serve(self, values: Values, deadlines: Mapping[bytes, int] | None = None) -> None:
        """Wait for a replica, and give it a snapshot."""
        self.greet()
        self.synchronise(snapshot(values, deadlines))

    def feed(self, *requests: bytes, pieces: int = 0) -> None:
        """Send requests of the stream, in pieces of so many bytes; 0: in one."""
        data = b"".join(requests)
        self.stream += data
        self.end += len(data)
        for start in range(0, len(data), pieces or len(data)):
            self.replica.send(data[start : start + (pieces or len(data))])
            if pieces:
                time.sleep(0.001)  # the next piece has to be a chunk of its own; if it is not, nothing fails

    def resume(self) -> int:
        """Wait for the replica's return, continue its stream, and return the offset that it has asked for."""
        _, (replid, wanted) = self.greet()
        assert replid == self.id, f"it has asked for the stream {replid!r}, and not for the one it has, {self.id!r}"
        offset = int(wanted) - 1
        assert self.start <= offset <= self.end, (
            f"it has asked for byte {offset + 1}; its stream has begun after byte {self.start}, and has {self.end}"
        )
        self.replica.send(b"+CONTINUE %b\r\n" % self.id + self.stream[offset - self.start :])
        return offset

    def acknowledged(self, *offsets: int) -> None:
        """Wait until the replica has acknowledged one of these offsets."""
        deadline = time.monotonic() + self.patience.seconds
        wanted = [[b"REPLCONF", b"ACK", b"%d" % offset] for offset in offsets]
        while (last := self.replica.next()) not in wanted:
            if time.monotonic() > deadline:
                self.patience.lost()
                expected, received = request(*wanted[0]), request(*last)
                raise Mismatch(self.replica.sent, expected, received, "This is what it has sent last.")

    def hang_up(self) -> None:
        """Close the connection to the replica."""
        if self.link is not None:
            self.link.close()
            self.link = None

    def close(self) -> None:
        """Close everything."""
        self.hang_up()
        self.listener.close()


# What checks do again and again


def until(client: Client, expected: object, *args: bytes | str | int) -> None:
    """Send a request again and again until its reply is as expected: a replica is a moment behind."""
    deadline = time.monotonic() + client.patience.seconds
    while (reply := client.ask(*args)) != expected:
        if time.monotonic() > deadline:
            client.patience.lost()
            what = " ".join(str(arg, "latin-1") if isinstance(arg, bytes) else str(arg) for arg in args)
            raise AssertionError(f"waited for {expected!r} as the reply to {what}; the last one was {reply!r}")
        time.sleep(0.005)


def about(client: Client) -> dict[str, str]:
    """Return what INFO replication tells."""
    reply = client.ask("INFO", "replication")
    assert isinstance(reply, bytes), f"INFO was answered with {reply!r}"
    return dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)


def linked(client: Client, status: str = "up") -> None:
    """Wait until INFO says that the link to the primary is up, or down."""
    deadline = time.monotonic() + client.patience.seconds
    while (found := about(client).get("master_link_status")) != status:
        if time.monotonic() > deadline:
            client.patience.lost()
            raise AssertionError(f"INFO says master_link_status:{found}, and should say {status}")
        time.sleep(0.005)


def follow(client: Client, primary: Primary) -> None:
    """Make the server the replica of the primary that the check plays."""
    client.check(request("REPLICAOF", "127.0.0.1", primary.port), OK)


def in_step(client: Client, primary: Primary, rng: Dice) -> None:
    """Wait until the replica has executed all of the stream."""
    mark, word = rng.key(), rng.key()
    primary.feed(request("SET", mark, word))
    until(client, word, "GET", mark)


def in_the_log(folder: Path, word: bytes, patience: Patience, what: str) -> None:
    """Wait until the files of the log that the manifest names, or the only one, have a word that no other key has."""
    deadline = time.monotonic() + patience.seconds
    manifest = folder / "appendonlydir" / "appendonly.aof.manifest"
    while True:
        lines = manifest.read_text().splitlines() if manifest.exists() else []
        files = [manifest.with_name(line.split()[1]) for line in lines] or [folder / "appendonly.aof"]
        if any(word in file.read_bytes() for file in files if file.exists()):
            return
        if time.monotonic() > deadline:
            patience.lost()
            raise AssertionError(f"{what} is not in the log of the replica")
        time.sleep(0.01)


@pytest.fixture
def primary(client: Client, patience: Patience, rng: Dice) -> Iterator[Primary]:
    """A primary; after the check the shared server follows nobody, and is empty."""
    primary = Primary(patience, rng)
    yield primary
    with suppress(AssertionError, OSError):
        client.ask("REPLICAOF", "NO", "ONE")
        client.ask("FLUSHALL")
    primary.close()


@pytest.fixture
def modules(modules: Modules, target: Target) -> Modules:
    """Look into the target's modules; not into those of `final/`, which have grown out of the form they have here."""
    if target.is_final:
        pytest.skip("final/ has grown out of the form that its modules have here")
    return modules


# What only the primary may decide

WRITING = """SET s v; APPEND s v; INCR n; INCRBY n 2; DECR n; DECRBY n 2; MSET s v n 1; GETDEL s; GETEX s PERSIST;
    DEL s; EXPIRE s 9; PEXPIRE s 9; EXPIREAT s 9; PEXPIREAT s 9; PERSIST t; FLUSHALL; HSET h f w; HDEL h f;
    LPUSH l w; RPUSH l w; LPOP l; RPOP l; LMOVE l l LEFT RIGHT; LREM l 0 a; LSET l 0 w; LTRIM l 1 0;
    BLPOP l 1; BRPOP l 1; BLMOVE l l LEFT RIGHT 1; SADD m w; SREM m a; SPOP m;
    ZADD z 5 a; ZINCRBY z 5 a; ZPOPMIN z; ZREM z a; set s v"""
READING = [
    (["GET", "s"], b"value"),
    (["MGET", "s", "n"], [b"value", b"1"]),
    (["EXISTS", "s", "l", "none"], 2),
    (["TTL", "s"], -1),
    (["HGET", "h", "f"], b"v"),
    (["LRANGE", "l", "0", "-1"], [b"a", b"b"]),
    (["SISMEMBER", "m", "a"], 1),
    (["ZSCORE", "z", "a"], b"1"),
    (["TYPE", "z"], "zset"),
    (["PING"], "PONG"),
    (["ECHO", "s"], b"s"),
    (["PUBLISH", "nobody", "listens"], 0),
    (["GET", "l"], Error("WRONGTYPE Operation against a key holding the wrong kind of value")),
    (["SET", "s"], Error("ERR wrong number of arguments for 'set' command")),
]


def fill(client: Client) -> None:
    """Have one key of each kind."""
    client.ask("FLUSHALL")
    client.check(request("MSET", "s", "value", "n", "1"), OK)
    client.check(request("SET", "t", "later", "PXAT", LATER), OK)
    client.check(request("HSET", "h", "f", "v"), b":1\r\n")
    client.check(request("RPUSH", "l", "a", "b"), b":2\r\n")
    client.check(request("SADD", "m", "a"), b":1\r\n")
    client.check(request("ZADD", "z", "1", "a"), b":1\r\n")


@step(1)
@pytest.mark.read("Step 1: one of two decides")
def test_replicaof_makes_a_replica_and_no_one_makes_a_primary_again(client: Client, primary: Primary) -> None:
    """REPLICAOF host port is answered with OK, and INFO says `role:slave`; after REPLICAOF NO ONE `role:master`.
    Here nobody answers at that address, so the link is down.

    Is there a KeyError in `Command.call`? INFO and REPLICAOF ask for the Replica: `Engine.run` has to hand it in.

    `more = {…, Replica: self.replica}`.
    """
    assert about(client).get("role") == "master"
    follow(client, primary)
    found = about(client)
    assert found.get("role") == "slave", f"INFO should say role:slave, and says {found}"
    assert (found.get("master_host"), found.get("master_port")) == ("127.0.0.1", str(primary.port)), found
    assert found.get("master_link_status") == "down", found
    client.check(request("replicaof", "no", "one"), OK)
    assert about(client).get("role") == "master", "REPLICAOF NO ONE makes it a primary again"
    for port in ("65536", "-1", "six"):
        client.check(request("REPLICAOF", "127.0.0.1", port), b"-ERR Invalid master port\r\n")


@step(1)
@pytest.mark.read("Step 1: one of two decides")
def test_a_replica_refuses_what_writes(client: Client, primary: Primary) -> None:
    """At a replica each command that writes is answered with READONLY, and changes nothing; after NO ONE it works.

    The names of these commands are in WRITES of replica.py, in lower case, as `command.name` has them.

    Raise `read_only()` in `answer`, where an unknown command is refused: inside the `try`.

    `if self.replica.address and command.name in WRITES and client is not self.loader:`
    """
    fill(client)
    follow(client, primary)
    for line in WRITING.split(";"):
        client.check(request(*line.split()), READONLY)
    client.check(NO_ONE, OK)
    for args, expected in READING:
        assert client.ask(*args) == expected, f"{' '.join(args)} shows that something was changed at the replica"
    client.check(request("SET", "s", "new"), OK)


@step(1)
@pytest.mark.read("Step 1: one of two decides")
def test_only_the_client_of_the_stream_writes_at_a_replica(modules: Modules) -> None:
    """At a replica `Engine.answer` gets the same SET from a client and from `engine.loader`, the client of the stream.
    The result: the reply to the client, then the reply to the loader.

    The primary's stream must change our data. In `answer` refuse only if `client is not self.loader`.
    """
    modules.check(
        """
        import server  # has all commands
        from client import Client
        from engine import Engine

        engine, request = Engine(), [b"SET", b"k", b"v"]
        engine.replica.address, engine.db.expires = ("127.0.0.1", 1), False
        result = [str(engine.answer(client, request)) for client in (Client(id=7), engine.loader)]
        """,
        [READONLY[1:-2].decode(), "OK"],
    )


@step(1)
@pytest.mark.read("Step 1: one of two decides")
def test_a_replica_answers_what_reads(client: Client, connect: Connect, primary: Primary) -> None:
    """At a replica commands that only read are answered as ever, also in a transaction, and errors are the same.

    Only what is in WRITES is refused. Is the number of arguments wrong? `find` says so before.
    """
    fill(client)
    follow(client, primary)
    for args, expected in READING:
        reply = client.ask(*args)
        assert reply == expected, f"{' '.join(args)} at a replica was answered with {reply!r}, not with {expected!r}"
    client.check(request("MULTI") + request("GET", "s") + request("EXEC"), OK + QUEUED + b"*1\r\n$5\r\nvalue\r\n")
    listener = connect()
    listener.check(request("SUBSCRIBE", "news"), b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n")


@step(1)
@pytest.mark.read("Step 1: one of two decides")
def test_a_write_in_a_transaction_is_refused_at_once_and_spoils_it(client: Client, primary: Primary) -> None:
    """Between MULTI and EXEC a command that writes is refused when it comes, and EXEC answers EXECABORT.

    An error of `find` makes a transaction `broken`. So must this one: raise it inside the same `try`.
    """
    fill(client)
    follow(client, primary)
    client.check(request("MULTI") + request("GET", "s") + request("INCR", "n"), OK + QUEUED + READONLY)
    client.send(request("EXEC"))
    client.expect_line(b"-EXECABORT ")
    client.check(request("GET", "n"), b"$1\r\n1\r\n")


@step(1)
@pytest.mark.read("Step 1: one of two decides")
def test_a_replica_hides_an_expired_key_and_keeps_it(client: Client, primary: Primary) -> None:
    """A key expires at a replica: GET answers null and EXISTS 0, but DBSIZE counts it still. When the server is a
    primary again, it is removed.

    Only the primary removes a key, and sends a DEL. Until it comes, the replica hides the key.

    In `expired`: after the deadline, `if not self.expires: return True`, before anything is removed or recorded.
    """
    client.ask("FLUSHALL")
    hidden = request("SET", "k", "v", "PX", 100) + request("SET", "l", "v", "PX", 100)
    client.check(hidden + request("REPLICAOF", "127.0.0.1", primary.port), OK * 3)
    until(client, None, "GET", "k")
    until(client, 0, "EXISTS", "l")
    for args, expected in ((["TTL", "k"], -2), (["GET", "k"], None), (["TYPE", "k"], "none"), (["KEYS", "*"], [])):
        reply = client.ask(*args)
        assert reply == expected, f"{' '.join(args)}, after its deadline, was answered with {reply!r}"
    size = client.ask("DBSIZE")
    assert size == 2, f"DBSIZE was answered with {size!r}: a replica keeps an expired key until its primary sends a DEL"
    client.check(NO_ONE, OK)
    until(client, 0, "DBSIZE")


@step(1)
@pytest.mark.read("Step 1: one of two decides")
def test_at_a_replica_expiry_removes_and_records_nothing(modules: Modules) -> None:
    """`Store.expired` and `Engine.expire` at a replica, `db.expires` is False, long after a deadline.
    The result: what `expired` returns for it and for a key that is missing, its records, what is touched, what `get`
    and `in` say; what `expire` returns, the log, the number of keys, the deadline, the offset of our stream. Then, at
    a primary again: what `expired` returns, and `expire`, the log, and the number of keys.

    `expired` says True and does nothing else. `expire` returns False at once: there is nothing to do here.
    """
    modules.check(
        """
        from engine import Engine

        log = []
        engine = Engine(clock=lambda: 20_000)
        engine.log = log
        db = engine.db
        db.put(b"k", b"v")
        db.expire_at(b"k", 9000)
        db.expires = False
        db.now = 20_000
        db.put(b"l", b"v")
        db.expire_at(b"l", 9500)
        result = [db.expired(b"k"), db.expired(b"none"), list(db.records), list(db.touched)]
        result += [db.get(b"k", bytes), b"k" in db]
        result += [engine.expire(), list(log), len(db), db.deadline(b"k"), engine.primary.offset]
        db.expires = True
        result += [db.expired(b"k"), engine.expire(), list(log), len(db)]
        """,
        [
            *(True, False, [], []),
            *(None, False),
            *(False, [], 2, 9000, 0),
            *(True, False, [[b"MULTI"], [b"DEL", b"k"], [b"DEL", b"l"], [b"EXEC"]], 0),
        ],
    )


@step(1)
@pytest.mark.read("Step 1: one of two decides")
def test_who_waits_for_an_element_is_told_when_the_server_becomes_a_replica(
    client: Client, connect: Connect, primary: Primary
) -> None:
    """A client waits in BLPOP. The server becomes a replica: the wait ends with an error, for it would write.

    `follow` does this. Does REPLICAOF fail? `Engine.run` hands the Replica in.
    """
    waiting = connect()
    waiting.check(PING + request("BLPOP", "none", 0), PONG)
    follow(client, primary)
    waiting.expect_line(b"-")


# Read a snapshot

LOADING = """
from rdb import read_snapshot
from sorted_set import SortedSet

def plain(value):
    if isinstance(value, SortedSet):
        return [(member, score) for score, member in value.entries(0, len(value))]
    return value if isinstance(value, (bytes, dict)) else sorted(value) if isinstance(value, set) else list(value)

db = read_snapshot(data)
result = [(key, type(value).__name__, plain(value), db.deadline(key)) for key, value in db.items()]
"""
"""Loads a snapshot, and shows the store as plain data."""

REFUSED = """
from rdb import read_snapshot

def tried(data):
    try:
        return len(read_snapshot(data))
    except ValueError:
        return "ValueError"

result = [tried(each) for each in snapshots]
"""


@step(2)
@pytest.mark.read("Step 2: read a snapshot")
@pytest.mark.parametrize("numbers", [[0, 5, 63], [64, 1000, 16383], [16384, 70000, 1 << 31]])
def test_a_length_is_read_as_it_was_written(modules: Modules, numbers: list[int]) -> None:
    """`Cursor.length` reads lengths of 1, 2 or 5 bytes, one behind the other, and stands behind the last one then.

    The first two bits: 00, the other 6 are the length; 01, these 6 and the next byte, the highest first.

    The byte 0x80: the next 4 bytes, the highest first. `int.from_bytes(self.take(4))`.
    """
    data = b"xy" + b"".join(map(length, numbers))
    modules.check(
        """
        from rdb import Cursor

        cursor = Cursor(data, 2)
        result = [[cursor.length() for _ in range(3)], cursor.place]
        """,
        [numbers, len(data)],
        data=data + b"more",
    )


@step(2)
@pytest.mark.read("Step 2: read a snapshot")
def test_an_empty_snapshot_is_an_empty_store(modules: Modules) -> None:
    """`read_snapshot` reads a snapshot without keys. The result is a list of what is in the store.

    After the version there is 0xfe, the number of the database, a length, and then 0xff, the end.
    """
    modules.check(LOADING, [], data=snapshot({}))


@step(2)
@pytest.mark.read("Step 2: read a snapshot")
def test_values_of_each_kind_are_read(modules: Modules, rng: Dice) -> None:
    """`read_snapshot` reads a value of each kind: for each the key, the kind, the value, no deadline.

    What is no sign is a type: the key follows, then the value, which `cursor.value` reads.

    `db.put(key, cursor.value(sign[0]))`
    """
    word, long = rng.key(), rng.key(200)
    scores = {b"c": 1.5, b"b": -2.0, b"a": 1e300}
    values: Values = {word: long, b"l": [b"b", b"a", word], b"m": {b"x"}, b"h": {b"f": word, b"g": b""}, b"z": scores}
    expected = [
        (word, "bytes", long, None),
        (b"l", "deque", [b"b", b"a", word], None),
        (b"m", "set", [b"x"], None),
        (b"h", "dict", {b"f": word, b"g": b""}, None),
        (b"z", "SortedSet", [(b"b", -2.0), (b"c", 1.5), (b"a", 1e300)], None),
    ]
    modules.check(LOADING, expected, data=snapshot(values))


@step(2)
@pytest.mark.read("Step 2: read a snapshot")
def test_a_deadline_belongs_to_the_key_behind_it(modules: Modules) -> None:
    """A deadline stands before its key, and belongs to that key only. One that has passed stays, too.

    Remember it when it comes: it is 8 bytes, the lowest first. When the key is in the store, set it, and forget it.
    """
    values = {b"a": b"1", b"b": b"2", b"c": b"3", b"d": [b"4"]}
    expected = [
        (b"a", "bytes", b"1", None),
        (b"b", "bytes", b"2", LATER),
        (b"c", "bytes", b"3", None),
        (b"d", "deque", [b"4"], PAST),
    ]
    modules.check(LOADING, expected, data=snapshot(values, {b"b": LATER, b"d": PAST}))


@step(2)
@pytest.mark.read("Step 2: read a snapshot")
def test_a_damaged_snapshot_is_refused(modules: Modules, rng: Dice) -> None:
    """The result: `read_snapshot` of a whole snapshot with two keys, then of damaged ones, each is a ValueError: one
    bit wrong in a value, one in the checksum, the last byte missing, half of it, bytes behind it, no bytes at all.

    Compare the checksum before you read anything. The last 8 bytes are that of all bytes before them, lowest first.

    `int.from_bytes(data[-8:], "little") != crc64(data[:-8])`
    """
    while not (data := snapshot({b"k": rng.key(), b"l": [rng.key()]}))[-1]:
        pass  # without a 0 at the end of its checksum a snapshot has a right one, and the same data
    place = data.index(b"\1k") + 5
    flipped = data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]
    wrong = data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]
    damaged = [flipped, wrong, data[:-1], data[: len(data) // 2], data + b"\r\n", b""]
    modules.check(REFUSED, [2, *["ValueError"] * 6], snapshots=[data, *damaged])


@step(2)
@pytest.mark.read("Step 2: read a snapshot")
def test_a_compact_form_is_refused_and_not_misread(modules: Modules) -> None:
    """A snapshot with a right checksum, and in it what is not read here: a string that is written as an integer
    (its length begins with the bits 11), a length of 8 bytes, a type that is not in TYPES. Each is a ValueError.

    `Cursor.length` raises it for every first byte above 0x80.
    """
    whole = []
    for part in (b"\0\1k\xc0\0\0\0\1v", b"\0\1k\x81\0\0\0\0\0\0\0\1v", b"\x12\1k\1v"):
        data = b"REDIS0010\xfe\0" + part + b"\xff"
        whole.append(data + crc64(data).to_bytes(8, "little"))
    modules.check(REFUSED, ["ValueError"] * 3, snapshots=whole)


# Introduce ourselves

PLAYED = """
import asyncio
import server  # has all commands
from engine import Engine

class Wire:
    "What `writer` is here: it keeps what is sent, and lets `reader` have the next answer."
    def __init__(self, *answers):
        self.reader, self.sent, self.answers = asyncio.StreamReader(), b"", list(answers)
    def write(self, data):
        self.sent += data
        if self.answers:
            self.reader.feed_data(self.answers.pop(0))
    async def drain(self):
        pass

async def tried(call):
    try:
        return await asyncio.wait_for(call, 1)
    except TimeoutError:
        return "it waits for ever"
    except (ValueError, EOFError) as error:
        return "EOFError" if isinstance(error, EOFError) else "ValueError"

replica = Engine().replica
"""
"""What the checks of a conversation with the primary begin with: `tried` names the error, if there is one."""


@step(3)
@pytest.mark.read("Step 3: introduce yourself")
def test_ask_sends_a_request_and_returns_the_answer(modules: Modules) -> None:
    """`Replica.ask` sends a request as an array of bulk strings, and returns a simple string without `+` and CRLF.
    The result: the answers to two requests, and all that was sent. The second answer comes in two pieces.

    `encode` of the writer makes the request, `reader.readuntil(b"\\n")` waits for the whole line.

    `line[1:].rstrip()`
    """
    modules.check(
        PLAYED
        + """
async def main():
    wire = Wire(b"+PONG\\r\\n", b"+OK th")
    first = await tried(replica.ask(wire.reader, wire, [b"PING"]))
    asyncio.get_running_loop().call_later(0.02, wire.reader.feed_data, b"en\\r\\n")
    second = await tried(replica.ask(wire.reader, wire, [b"REPLCONF", b"a", b"b"]))
    return [first, second, wire.sent]

result = asyncio.run(main())
""",
        [b"PONG", b"OK then", PING + request("REPLCONF", "a", "b")],
    )


@step(3)
@pytest.mark.read("Step 3: introduce yourself")
def test_what_is_no_simple_string_ends_the_connection(modules: Modules) -> None:
    """`Replica.ask` raises ValueError for an answer that is no simple string, and EOFError at the connection's end.
    The result is what it raises for each answer. (Then `run` closes the connection, and tries again a second later.)

    `if not line.startswith(b"+"): raise ValueError(…)`. The EOFError comes from `readuntil` itself: let it pass.
    """
    modules.check(
        PLAYED
        + """
async def main():
    found = []
    for answer in answers:
        wire = Wire(answer)
        if not answer.endswith(b"\\n"):
            asyncio.get_running_loop().call_later(0.02, wire.reader.feed_eof)
        found.append(await tried(replica.ask(wire.reader, wire, [b"PING"])))
    return found

result = asyncio.run(main())
""",
        ["ValueError"] * 3 + ["EOFError"] * 2,
        answers=[b"-ERR not now\r\n", b":1\r\n", b"$4\r\nPONG\r\n", b"+PO", b""],
    )


@step(3)
@pytest.mark.read("Step 3: introduce yourself")
def test_a_replica_introduces_itself_to_its_primary(start: Start, patience: Patience, rng: Dice) -> None:
    """A server is started with --replicaof. It connects, sends PING first, then tells the port on which it listens
    itself, `REPLCONF listening-port`, and that it knows CONTINUE with an id, `REPLCONF capa psync2`. Then it asks for
    the stream with `PSYNC ?`, for it has none.

    Does it not connect? Its standard error says what is wrong.

    `await self.ask(reader, writer, [b"REPLCONF", b"listening-port", b"%d" % self.port])`
    """
    primary = Primary(patience, rng)
    server = start(options=["--replicaof", "127.0.0.1", str(primary.port)])
    try:
        handshake, (replid, _) = primary.greet()
    finally:
        primary.close()
    assert handshake, "PSYNC came first: before it come PING and REPLCONF"
    assert handshake[0] == [b"PING"], f"the first request is PING, and not {handshake[0]!r}"
    options = [arg for args in handshake[1:] for arg in args[1:]]
    told = list(zip(options[::2], options[1::2], strict=False))
    port = dict(told).get(b"listening-port")
    assert (b"capa", b"psync2") in told, f"`REPLCONF capa psync2` is missing: {handshake}"
    assert port == b"%d" % server.port, f"the replica listens on port {server.port}, and says {port!r}: {handshake}"
    assert replid == b"?", f"a replica that has no stream asks for `?`, and not for {replid!r}"


@step(3)
@pytest.mark.read("Step 3: introduce yourself")
def test_who_has_a_stream_asks_for_its_next_byte(modules: Modules) -> None:
    """`Replica.handshake` returns the answer to PSYNC. The result is it, and the last request that was sent: first
    for a replica without a stream, then for one that has executed a stream up to its byte 100.

    Without a stream (`id` is `?`) the number is -1, and not `offset + 1`, which would be 0. With one: byte 100 is
    there, and the next one has the number 101.

    `wanted = -1 if self.id == b"?" else self.offset + 1`
    """
    modules.check(
        PLAYED
        + """
async def main():
    found = []
    for replica.id, replica.offset in ((b"?", -1), (b"5e" * 20, 100)):
        wire = Wire(b"+PONG\\r\\n", b"+OK\\r\\n", b"+OK\\r\\n", b"+CONTINUE " + b"5e" * 20 + b"\\r\\n")
        answer = await tried(replica.handshake(wire.reader, wire))
        found += [answer, wire.sent[wire.sent.rindex(b"*"):]]
    return found

result = asyncio.run(main())
""",
        [answer := b"CONTINUE " + b"5e" * 20, request("PSYNC", "?", -1), answer, request("PSYNC", "5e" * 20, 101)],
    )


PATIENT = """
from replica import TIMEOUT

class Loop(asyncio.SelectorEventLoop):
    "An event loop whose time runs only when all that is left is to wait: then it is at once the next moment."
    moment = 0.0
    def time(self):
        return self.moment
    def _run_once(self):
        moments = [each.when() for each in self._scheduled if not each.cancelled()]
        if moments and not self._ready:
            self.moment = max(self.moment, min(moments))
        super()._run_once()

async def patient(call):
    "Return the name of the error, or the result; and after how many TIMEOUTs."
    begin = asyncio.get_running_loop().time()
    try:
        reply = await asyncio.wait_for(call, 100 * TIMEOUT)
    except (OSError, EOFError, ValueError) as error:
        reply = type(error).__name__
    return reply, (asyncio.get_running_loop().time() - begin) / TIMEOUT

def run(main):
    loop = Loop()
    return loop.run_until_complete(main())
"""


@step(3)
@pytest.mark.read("Step 3: introduce yourself")
def test_ask_waits_for_an_answer_for_a_minute_and_no_longer(modules: Modules) -> None:
    """The primary has a request and says nothing. `Replica.ask` raises TimeoutError after TIMEOUT seconds, and returns
    an answer that comes a little sooner. (The clock of this check runs faster.) The result: the error, or the answer;
    and after how many TIMEOUTs. If it waited for ever, there is TimeoutError, too, but after 100.

    `await asyncio.wait_for(reader.readuntil(b"\\n"), TIMEOUT)`
    """
    modules.check(
        PLAYED
        + PATIENT
        + """
async def main():
    wire = Wire()
    silent = await patient(replica.ask(wire.reader, wire, [b"PING"]))
    wire = Wire()
    asyncio.get_running_loop().call_later(0.75 * TIMEOUT, wire.reader.feed_data, b"+PONG\\r\\n")
    return [silent, await patient(replica.ask(wire.reader, wire, [b"PING"]))]

result = run(main)
""",
        [("TimeoutError", 1.0), (b"PONG", 0.75)],
    )


# Take the snapshot

BEGINNING = (
    PLAYED
    + """
async def begin(answer, *data):
    wire, taken = Wire(), []
    replica.take = lambda data: taken.append((data, replica.id, replica.offset))
    for each in data:
        wire.reader.feed_data(each)
    wire.reader.feed_eof()
    reply = await tried(replica.begin(wire.reader, answer))
    return [reply, taken, replica.id, replica.offset, await wire.reader.read()]
"""
)
"""`begin` answers with: what `Replica.begin` returns or raises, what `take` was given and what was known then, the id
and the offset after it, and the bytes that are still to be read."""


@step(4)
@pytest.mark.read("Step 4: take the snapshot")
def test_the_snapshot_has_exactly_as_many_bytes_as_are_announced(modules: Modules) -> None:
    """After FULLRESYNC come empty lines, `$5`, 5 bytes, and the stream at once. The result: no error; `take` has got
    the 5 bytes, before the id and the offset were known; the id, the offset; what is left for the stream.

    This bulk string has no CRLF behind it: read no more than its bytes, or the stream has lost two.

    Read lines until one begins with `$`; then `self.take(await reader.readexactly(int(line[1:])))`.
    """
    modules.check(
        BEGINNING
        + """
stream = b"\\r\\n*1\\r\\n"
result = asyncio.run(begin(b"FULLRESYNC " + b"5e" * 20 + b" 100", b"\\n\\n", b"\\n$5\\r\\nREDIS" + stream))
""",
        [None, [(b"REDIS", b"?", -1)], b"5e" * 20, 100, b"\r\n*1\r\n"],
    )


@step(4)
@pytest.mark.read("Step 4: take the snapshot")
def test_begin_ends_after_a_minute_of_silence_and_a_long_snapshot_may_take_longer(modules: Modules) -> None:
    """Three primaries say FULLRESYNC. The first one says nothing more. The second one sends the first 5 of 9 bytes, and
    then nothing. For both `Replica.begin` raises TimeoutError after TIMEOUT seconds of silence. The third one sends
    PIECE bytes five times, each half a TIMEOUT after the other: that is no silence. (The clock of this check runs
    faster.) The result for each: the error; after how many TIMEOUTs; how many bytes `take` has got.

    Is a number 100? Nothing ended the wait. Put each `readuntil` and each `readexactly` into `asyncio.wait_for`.

    Has the third one a TimeoutError? One `wait_for` must not be for all of the snapshot: read it in pieces.

    `data += await asyncio.wait_for(reader.readexactly(min(PIECE, size - len(data))), TIMEOUT)`, in a loop.
    """
    modules.check(
        PLAYED
        + PATIENT
        + """
from replica import PIECE

async def begin(*later):
    wire, taken, full = Wire(), [], b"FULLRESYNC " + b"5e" * 20 + b" 100"
    replica.take = lambda data: taken.append(len(data))
    for number, data in enumerate(later):
        asyncio.get_running_loop().call_later(0.5 * TIMEOUT * number, wire.reader.feed_data, data)
    return *await patient(replica.begin(wire.reader, full)), taken

async def main():
    silent, cut = await begin(), await begin(b"$9\\r\\nREDIS")
    return [silent, cut, await begin(b"$%d\\r\\n" % (5 * PIECE), *[bytes(PIECE)] * 5)]

result = run(main)
""",
        [("TimeoutError", 1.0, []), ("TimeoutError", 1.0, []), (None, 2.5, [5 * 64 * 1024])],
    )


@step(4)
@pytest.mark.read("Step 4: take the snapshot")
def test_continue_goes_on_where_the_replica_is_and_may_have_a_new_id(modules: Modules) -> None:
    """After CONTINUE comes the stream at once. The result: no error, no snapshot, the id that CONTINUE has, the offset
    as before, and all bytes left for the stream.

    `match answer.split()`, and `case [b"CONTINUE", replid]`. Another server may have taken over, with an id of its own.
    """
    modules.check(
        BEGINNING
        + """
replica.id, replica.offset = b"5e" * 20, 100
result = asyncio.run(begin(b"CONTINUE " + b"f0" * 20, b"*1\\r\\n$4\\r\\nPING\\r\\n"))
""",
        [None, [], b"f0" * 20, 100, PING],
    )


@step(4)
@pytest.mark.read("Step 4: take the snapshot")
def test_what_is_no_beginning_is_an_error(modules: Modules) -> None:
    """Four beginnings that are wrong: another answer to PSYNC, an error instead of the snapshot, a snapshot that is cut
    off, and one that `take` refuses. The result: the error, the id and the offset after it, for each.

    Whatever is wrong, the replica has no stream then: set the id and the offset after `take`, not before.

    For a line that is neither empty nor begins with `$`, raise ValueError: more will not come.
    """
    modules.check(
        BEGINNING
        + """
def refuse(data):
    raise ValueError("damaged")

async def main():
    full = b"FULLRESYNC " + b"5e" * 20 + b" 100"
    found = []
    for answer, data in ((b"MAYBE", b""), (full, b"\\n-ERR no memory\\r\\n"), (full, b"$9\\r\\nREDIS")):
        reply, taken, *known, _ = await begin(answer, data)
        found += [(reply, taken, *known)]
    wire = Wire()
    wire.reader.feed_data(b"$5\\r\\nREDIS")
    replica.take = refuse
    found += [(await tried(replica.begin(wire.reader, full)), replica.id, replica.offset)]
    return found

result = asyncio.run(main())
""",
        [
            *[("ValueError", [], b"?", -1), ("ValueError", [], b"?", -1), ("EOFError", [], b"?", -1)],
            ("ValueError", b"?", -1),
        ],
    )


@step(4)
@pytest.mark.read("Step 4: take the snapshot")
def test_apply_is_a_unit_outside_of_time_that_is_logged_and_fed(modules: Modules) -> None:
    """`Engine.apply` executes requests of a stream, though this is a replica. The result: the replies; the log; whether
    our own stream has as many bytes; what the key holds; whether a client that watches it is `dirty`; what it is in.

    READONLY? Look at `answer`: the client is `self.loader`. Another number, or no key? Set `db.now` to 0, as `replay`
    does. No log, or records that are left: `settle`. Not dirty, or something is touched still: `serve`.

    `replay` throws away what it has recorded and touched. Here it is new: `settle` with the request, then `serve`.
    """
    modules.check(
        """
        import server  # has all commands
        from client import Client
        from engine import Engine
        from writer import encode

        engine, watcher, log = Engine(), Client(id=7), []
        engine.log = log
        engine.replica.address, engine.db.expires = ("127.0.0.1", 1), False
        engine.watching.watch(watcher, b"k")
        requests = [[b"SET", b"k", b"5", b"PXAT", b"1000"], [b"INCR", b"k"], [b"PERSIST", b"k"], [b"PING"], [b"SET"]]
        result = [str(engine.apply(args)) for args in requests]
        result += [log, engine.primary.offset == sum(len(encode(each)) for each in log), engine.db.get(b"k", bytes)]
        result += [watcher.dirty, list(engine.db.touched), engine.db.records]
        """,
        [
            *("OK", "6", "1", "PONG", "ERR wrong number of arguments for 'set' command"),
            [[b"SET", b"k", b"5", b"PXAT", b"1000"], [b"INCR", b"k"], [b"PERSIST", b"k"]],
            *(True, b"6", True, [], []),
        ],
    )


@step(4)
@pytest.mark.read("Step 4: take the snapshot")
def test_a_snapshot_is_one_unit_or_nothing(modules: Modules) -> None:
    """`Replica.take` gets a damaged snapshot, then a whole one. Before each, `loader` has half a transaction in its
    queue, which is broken. The result: the keys and the log after each.

    `read_snapshot` raises ValueError for the first one: call it before anything is changed.

    Do the old keys and an empty log stay after the second one? Give the engine a new `loader` before MULTI.

    The log has to have all of the second one or nothing: MULTI first, then FLUSHALL, at the end EXEC.
    """
    data = snapshot({b"k": b"v", b"d": b"w"}, {b"d": LATER})
    modules.check(
        PLAYED
        + """
engine, log = replica.engine, []
engine.apply([b"SET", b"before", b"1"])
engine.log = log

async def take(data):
    replica.take(data)

result = []
for each in (data[:-1] + b"?", data):
    engine.loader.queue, engine.loader.broken = [], True
    asyncio.run(tried(take(each)))
    result += [sorted(key for key, _ in engine.db.items()), list(log)]
""",
        [
            *([b"before"], []),
            [b"d", b"k"],
            [
                *([b"MULTI"], [b"FLUSHALL"], [b"SET", b"k", b"v"], [b"SET", b"d", b"w"]),
                *([b"PEXPIREAT", b"d", b"%d" % LATER], [b"EXEC"]),
            ],
        ],
        data=data,
    )


@step(4)
@pytest.mark.read("Step 4: take the snapshot")
def test_the_data_of_the_primary_replaces_all_other_data(client: Client, primary: Primary, rng: Dice) -> None:
    """A snapshot with a value of each kind, and keys with deadlines. The replica has all of it, and nothing else.
    The link is up only after it.

    `read_snapshot` makes a Store, `requests` of base.py the requests that make its data again. Between them and the
    old data stands a FLUSHALL.

    `for args in ([b"MULTI"], [b"FLUSHALL"], *requests(loaded), [b"EXEC"]): self.engine.apply(args)`
    """
    fill(client)
    follow(client, primary)
    word, long = rng.key(), rng.key(20_000)
    primary.greet()
    assert about(client).get("master_link_status") == "down", "the link is up before there is a snapshot"
    values: Values = {
        word: long,
        b"list": [b"%d" % each for each in range(70)],
        b"set": {b"x", b"y"},
        b"hash": {b"f": word, b"g": b""},
        b"zset": {b"b": 2.5, b"a": 1.0, b"c": -1.0},
        b"later": b"1",
    }
    primary.synchronise(snapshot(values, {b"later": LATER, b"list": LATER}))
    linked(client)
    for args, expected in (
        (["GET", word], long),
        (["LRANGE", "list", "0", "-1"], values[b"list"]),
        (["SISMEMBER", "set", "y"], 1),
        (["HGET", "hash", "f"], word),
        (["HGET", "hash", "g"], b""),
        (["ZRANGE", "zset", "0", "-1", "WITHSCORES"], [b"c", b"-1", b"a", b"1", b"b", b"2.5"]),
        (["TTL", word], -1),
        (["DBSIZE"], 6),
    ):
        reply = client.ask(*args)
        assert reply == expected, f"{args[0]!r} {args[1:]!r} was answered with {reply!r}, not with {expected!r}"
    for key in ("later", "list"):
        left = client.ask("TTL", key)
        assert isinstance(left, int), left
        assert left > 1_000_000, f"{key} has a deadline in the snapshot; TTL was answered with {left}"


@step(4)
@pytest.mark.read("Step 4: take the snapshot")
def test_a_key_of_the_snapshot_that_has_expired_is_hidden_and_kept(client: Client, primary: Primary) -> None:
    """A snapshot has a key whose deadline has passed: GET answers null, and DBSIZE counts it.

    For the primary it had not expired when the snapshot was made, and the stream may give it another deadline. `apply`
    executes at time 0.
    """
    follow(client, primary)
    primary.serve({b"old": b"v", b"new": b"w"}, {b"old": PAST})
    linked(client)
    client.check(request("MGET", "old", "new"), b"*2\r\n$-1\r\n$1\r\nw\r\n")
    client.check(request("DBSIZE"), b":2\r\n")


@step(4)
@pytest.mark.read("Step 4: take the snapshot")
@pytest.mark.not_redis("a real Redis has deleted its data before it sees that a snapshot is damaged, and ends")
def test_a_damaged_snapshot_changes_nothing(client: Client, primary: Primary, rng: Dice) -> None:
    """A snapshot comes in with a wrong byte: the replica closes the connection, and has the data that it had.

    `read_snapshot` raises ValueError. Let it pass, and call `read_snapshot` before anything is changed.
    """
    word = rng.key()
    client.check(request("SET", "k", word), OK)
    follow(client, primary)
    primary.greet()
    data = snapshot({b"k": b"other", b"l": b"more"})
    primary.synchronise(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    deadline = time.monotonic() + client.patience.seconds
    while primary.replica.more(deadline):
        pass
    assert primary.replica.ended, "a damaged snapshot has come in, and the connection is still there"
    client.check(request("GET", "k"), b"$10\r\n%b\r\n" % word)
    client.check(request("DBSIZE"), b":1\r\n")


@step(4)
@pytest.mark.read("Step 4: take the snapshot")
def test_who_is_cut_off_in_the_snapshot_has_nothing_to_continue(client: Client, primary: Primary, rng: Dice) -> None:
    """The connection ends in the middle of a snapshot. The replica has its old data, comes back a second later, and
    does not ask for that stream: it has no part of it. Then it takes the whole snapshot.

    Keep the id and the offset after `take`, not before it.
    """
    word = rng.key()
    client.check(request("SET", "k", word), OK)
    follow(client, primary)
    primary.greet()
    data = snapshot({b"k": b"from the primary"})
    primary.replica.send(b"+FULLRESYNC %b %d\r\n$%d\r\n%b" % (primary.id, primary.end, len(data), data[:20]))
    primary.hang_up()
    _, (replid, _) = primary.greet()
    assert replid != primary.id, "it was cut off in the middle of the snapshot, and asks to continue that stream"
    client.check(request("GET", "k"), b"$10\r\n%b\r\n" % word)
    primary.synchronise(data)
    until(client, b"from the primary", "GET", "k")


@step(4)
@pytest.mark.read("Step 4: take the snapshot")
def test_the_snapshot_is_in_the_log_of_the_replica(start: Start, patience: Patience, rng: Dice, tmp_path: Path) -> None:
    """A replica with a log takes a snapshot. As soon as the log has it, the replica is killed, and started without
    --replicaof. It has what was in the snapshot, with deadlines, and no key from before.

    `apply` settles what it executes, FLUSHALL too.
    """
    primary, word = Primary(patience, rng), rng.key()
    server = start(data=tmp_path)
    client = server.connect()
    client.check(request("MSET", "before", 1, "k", 2), OK)
    follow(client, primary)
    try:
        primary.serve({b"l": [b"a", b"b"], b"d": b"1", b"k": word}, {b"d": LATER})
        in_the_log(tmp_path, word, patience, "the snapshot")
        server.kill()
    finally:
        primary.close()
    again = start(data=tmp_path).connect()
    again.check(request("GET", "k"), b"$10\r\n%b\r\n" % word)
    again.check(request("LRANGE", "l", 0, -1), b"*2\r\n$1\r\na\r\n$1\r\nb\r\n")
    again.check(request("DBSIZE"), b":3\r\n")
    left = again.ask("TTL", "d")
    assert isinstance(left, int), left
    assert left > 1_000_000, f"the key d has a deadline in the snapshot; after the restart TTL was answered with {left}"


@step(4)
@pytest.mark.read("Step 4: take the snapshot")
def test_a_snapshot_changes_what_is_watched(client: Client, connect: Connect, primary: Primary) -> None:
    """Two clients of the replica watch keys: one that the snapshot removes, one that it changes. EXEC answers null.

    FLUSHALL as a command, by `apply`, touches all keys. `db.clear()` alone does not.
    """
    client.check(request("MSET", "gone", 1, "stays", 2), OK)
    watchers = {key: connect() for key in ("gone", "stays")}
    for key, watcher in watchers.items():
        watcher.check(request("WATCH", key), OK)
    follow(client, primary)
    primary.serve({b"stays": b"other"})
    linked(client)
    for watcher in watchers.values():
        watcher.check(request("MULTI") + request("PING") + request("EXEC"), OK + QUEUED + b"*-1\r\n")


# The stream


@step(5)
@pytest.mark.read("Step 5: the stream")
def test_offsets_count_the_bytes_of_executed_requests(modules: Modules) -> None:
    """`Replica.receive` gets chunks. The result is the offset after each: after a PING and the first half of another
    request; after the rest of that, which is an INCR; after a MULTI; and what the INCR has made.

    Feed each chunk to `stream`: that keeps half a request for the next time. Each request that it gives counts, also a
    PING, which changes nothing; half a request does not count.

    `self.offset += len(encode(args))`, in the loop, after the request.
    """
    modules.check(
        PLAYED
        + """
from reader import Reader
from store import STRING

async def main():
    wire, stream, found = Wire(), Reader(), []
    replica.id, replica.offset = b"5e" * 20, 1000
    for data in chunks:
        replica.receive(stream, data, wire)
        found.append(replica.offset)
    return [found, replica.id, replica.engine.db.get(b"n", STRING), wire.sent]

result = asyncio.run(main())
""",
        [[1014, 1035, 1050], b"5e" * 20, b"1", b""],
        chunks=[PING + request("INCR", "n")[:10], request("INCR", "n")[10:], request("MULTI")],
    )


@step(5)
@pytest.mark.read("Step 5: the stream")
@pytest.mark.parametrize("pieces", [0, 1])
def test_the_stream_is_executed_however_it_is_cut(client: Client, primary: Primary, rng: Dice, pieces: int) -> None:
    """After the snapshot the primary sends requests. They arrive in one chunk, or byte by byte.

    Feed each chunk to `stream`, the Reader, and take requests out of it as long as `next` has one.

    `while (args := stream.next()) is not None: self.engine.apply(args)`
    """
    follow(client, primary)
    primary.serve({b"n": b"41"})
    word = rng.key()
    primary.feed(
        request("INCR", "n"), request("RPUSH", "l", word, "b"), request("PING"), request("LPOP", "l"), pieces=pieces
    )
    in_step(client, primary, rng)
    client.check(request("GET", "n"), b"$2\r\n42\r\n")
    client.check(request("LRANGE", "l", 0, -1), b"*1\r\n$1\r\nb\r\n")
    client.check(request("SET", "n", 1), READONLY)


@step(5)
@pytest.mark.read("Step 5: the stream")
def test_a_transaction_of_the_stream_is_seen_whole_or_not_at_all(
    client: Client, connect: Connect, primary: Primary, rng: Dice
) -> None:
    """The primary sends MULTI and two changes, and later EXEC. Until EXEC a client of the replica sees neither; and it
    can have a transaction of its own meanwhile.

    The stream has a client of its own, `self.engine.loader`, with its own queue: `apply` executes for it.
    """
    follow(client, primary)
    primary.serve({b"a": b"1", b"b": b"1"})
    linked(client)
    primary.feed(request("MULTI"), request("INCR", "a"), request("INCR", "b"))
    client.check(request("MULTI") + request("MGET", "a", "b"), OK + QUEUED)
    client.check(request("EXEC"), b"*1\r\n*2\r\n$1\r\n1\r\n$1\r\n1\r\n")
    primary.feed(request("EXEC"))
    in_step(client, primary, rng)
    client.check(request("MGET", "a", "b"), b"*2\r\n$1\r\n2\r\n$1\r\n2\r\n")


@step(5)
@pytest.mark.read("Step 5: the stream")
def test_the_stream_is_executed_outside_of_time(client: Client, primary: Primary, rng: Dice) -> None:
    """By our clock a key has expired, but the primary has sent no DEL: its INCR and PERSIST find the key, and 5 becomes
    6. A DEL of another expired key does remove it.

    `apply` sets `db.now` to 0: then nothing has expired. Two clocks would make two truths.
    """
    follow(client, primary)
    primary.serve({b"gone": b"1"}, {b"gone": PAST})
    primary.feed(request("SET", "k", 5, "PXAT", PAST), request("INCR", "k"))
    in_step(client, primary, rng)
    client.check(request("MGET", "k", "gone"), b"*2\r\n$-1\r\n$-1\r\n")
    client.check(request("DBSIZE"), b":3\r\n")
    primary.feed(request("PERSIST", "k"), request("DEL", "gone"))
    in_step(client, primary, rng)
    client.check(request("GET", "k"), b"$1\r\n6\r\n")
    client.check(request("DBSIZE"), b":3\r\n")


@step(5)
@pytest.mark.read("Step 5: the stream")
def test_the_stream_is_in_the_log_of_the_replica(start: Start, patience: Patience, rng: Dice, tmp_path: Path) -> None:
    """A replica with a log executes a stream. As soon as the log has it, the replica is killed, and started without
    --replicaof: it has the data, also that of a transaction.

    `apply` settles, with the request, after each request.
    """
    primary, word = Primary(patience, rng), rng.key()
    server = start(data=tmp_path)
    client = server.connect()
    follow(client, primary)
    try:
        primary.serve({b"n": b"1"})
        primary.feed(request("INCR", "n"), request("MULTI"), request("INCR", "n"), request("SET", "k", word))
        primary.feed(request("EXEC"))
        in_the_log(tmp_path, word, patience, "what has come in the stream")
        server.kill()
    finally:
        primary.close()
    again = start(data=tmp_path).connect()
    again.check(request("MGET", "n", "k"), b"*2\r\n$1\r\n3\r\n$10\r\n%b\r\n" % word)


@step(5)
@pytest.mark.read("Step 5: the stream")
def test_the_stream_changes_what_is_watched(client: Client, connect: Connect, primary: Primary, rng: Dice) -> None:
    """A client of the replica watches a key, and the primary's stream changes it: EXEC answers null.

    `apply` calls `serve`, and that tells those who watch.
    """
    follow(client, primary)
    primary.serve({b"k": b"1"})
    until(client, b"1", "GET", "k")
    watcher = connect()
    watcher.check(request("WATCH", "k"), OK)
    primary.feed(request("INCR", "k"))
    in_step(client, primary, rng)
    watcher.check(request("MULTI") + request("GET", "k") + request("EXEC"), OK + QUEUED + b"*-1\r\n")


@step(5)
@pytest.mark.read("Step 5: the stream")
def test_if_a_request_fails_the_copy_is_given_up(modules: Modules) -> None:
    """The primary has executed INCR, and here it fails: our data is not the primary's. The result: ValueError; then the
    id and the offset, forgotten; and the key behind it, which was not executed any more.

    Without them the next connection begins with a snapshot. Set them before you raise.

    `isinstance(self.engine.apply(args), Exception)`
    """
    modules.check(
        PLAYED
        + """
from reader import Reader
from store import LIST, STRING

async def receive(data):
    replica.receive(Reader(), data, Wire())

replica.engine.apply([b"RPUSH", b"l", b"a"])
replica.id, replica.offset = b"5e" * 20, 1000
reply = asyncio.run(tried(receive(data)))
result = [reply, replica.id, replica.offset, replica.engine.db.get(b"k", STRING)]
""",
        ["ValueError", b"?", -1, None],
        data=PING + request("INCR", "l") + request("SET", "k", 1),
    )


@step(5)
@pytest.mark.read("Step 5: the stream")
def test_after_a_cut_the_stream_goes_on_where_it_has_ended(client: Client, primary: Primary, rng: Dice) -> None:
    """The connection ends in the middle of a request. The replica says that the link is down, answers on, comes back
    a second later, and asks for the first byte that it has not executed. Each INCR is executed once.

    Half a request does not count: it comes again, whole.

    Is `n` too small or too large? `offset + 1` is the number of the next byte.
    """
    follow(client, primary)
    primary.serve({b"n": b"0"})
    primary.feed(request("INCR", "n"), PING, request("INCR", "n"), request("INCR", "n")[:9])
    until(client, b"2", "GET", "n")
    executed = primary.end - 9
    primary.stream += request("INCR", "n")[9:] + request("INCR", "n")
    primary.end += len(request("INCR", "n")[9:] + request("INCR", "n"))
    primary.hang_up()
    linked(client, "down")
    client.check(request("GET", "n"), b"$1\r\n2\r\n")
    client.check(request("INCR", "n"), READONLY)
    asked = primary.resume()
    assert asked == executed, f"the stream was executed up to byte {executed}; PSYNC asks for byte {asked + 1}"
    in_step(client, primary, rng)
    client.check(request("GET", "n"), b"$1\r\n4\r\n")
    linked(client)


@step(5)
@pytest.mark.read("Step 5: the stream")
def test_a_transaction_that_is_cut_is_whole_after_it(client: Client, primary: Primary, rng: Dice) -> None:
    """The connection ends between MULTI and EXEC. The replica comes back and goes on, at the MULTI or behind it: the
    transaction is executed once, and whole.

    Who has counted MULTI asks for what is behind it. Then the queue must survive the cut: `loader` keeps it.
    """
    follow(client, primary)
    primary.serve({b"a": b"0", b"b": b"0"})
    primary.feed(request("INCR", "a"), request("MULTI"), request("INCR", "a"))
    until(client, b"1", "GET", "a")
    time.sleep(0.05)  # so that it has executed the rest, too; if not, nothing fails
    primary.stream += (rest := request("INCR", "b") + request("EXEC"))
    primary.end += len(rest)
    primary.hang_up()
    primary.resume()
    in_step(client, primary, rng)
    client.check(request("MGET", "a", "b"), b"*2\r\n$1\r\n2\r\n$1\r\n1\r\n")


@step(5)
@pytest.mark.read("Step 5: the stream")
def test_if_the_stream_cannot_go_on_there_is_another_snapshot(client: Client, primary: Primary, rng: Dice) -> None:
    """The stream ends in a transaction, in which a request has failed. Then the primary answers PSYNC with FULLRESYNC,
    as after a restart. The replica takes the snapshot, and nothing is left of the old stream.

    `take` gives the engine a new `loader`. The old one has a queue that is `broken`, and EXEC executes nothing of it.
    """
    follow(client, primary)
    primary.serve({b"k": b"1", b"old": b"1"})
    primary.feed(request("INCR", "k"), request("MULTI"), request("INCR", "k"), request("NOSUCH", "k"))
    until(client, b"2", "GET", "k")
    time.sleep(0.05)  # so that it has tried the rest, too; if not, nothing fails
    primary.id = primary.id[::-1]
    primary.serve({b"k": b"7"})
    primary.feed(request("INCR", "k"))
    until(client, b"8", "GET", "k")
    client.check(request("DBSIZE"), b":1\r\n")


# How far, and who is next


@step(6)
@pytest.mark.read("Step 6: how far we are")
def test_getack_is_answered_at_once_and_counts_after_that(client: Client, primary: Primary, rng: Dice) -> None:
    """`REPLCONF GETACK *` in the stream, in upper or lower case, is answered at once with `REPLCONF ACK` and the offset
    before it; its own 37 bytes count in the next one. Nothing else is answered.

    Our own REPLCONF would answer OK, to nobody: do not apply it. `receive` writes the `acknowledgement` itself.

    `if args[0].upper() == b"REPLCONF":`

    Add its bytes as for each other request, after the answer.
    """
    follow(client, primary)
    primary.serve({b"n": b"0"})
    linked(client)
    begin = time.monotonic()
    for ask in (GETACK, GETACK.lower()) * 5:
        primary.feed(request("INCR", "n"), ask)
        primary.acknowledged(primary.end - 37, primary.end)  # the answer of `final/` counts the 37 bytes already
    seconds = time.monotonic() - begin
    assert seconds < 3, f"ten answers took {seconds:.1f} seconds: some are only the acknowledgements of each second"
    client.check(request("GET", "n"), b"$2\r\n10\r\n")


@step(6)
@pytest.mark.read("Step 6: how far we are")
def test_the_offset_is_acknowledged_unasked(client: Client, primary: Primary) -> None:
    """Each second the replica says how far it is, `REPLCONF ACK offset`, without a GETACK. PING counts; half a request
    does not.

    `acknowledge` does it each second, and calls `acknowledgement`: the request, encoded, with `self.offset`.
    """
    follow(client, primary)
    primary.serve({b"n": b"0"})
    primary.feed(PING, request("INCR", "n"), request("INCR", "n")[:12])
    primary.acknowledged(primary.end - 12)
    found = about(client).get("slave_repl_offset")
    assert found == str(primary.end - 12), f"INFO says slave_repl_offset:{found}, and not {primary.end - 12}"


@step(6)
@pytest.mark.read("Step 6: how far we are")
def test_a_replica_is_promoted(client: Client, primary: Primary, rng: Dice) -> None:
    """REPLICAOF NO ONE: the connection to the primary ends, the data stays, and the server takes writes again. What the
    old primary had sent before is there; it has no more to say.

    `follow` cancels the task that copies, and `run` closes the connection then.
    """
    follow(client, primary)
    primary.serve({b"n": b"1"})
    primary.feed(request("INCR", "n"), GETACK)
    primary.acknowledged(primary.end - 37, primary.end)
    client.check(NO_ONE, OK)
    assert about(client).get("role") == "master"
    client.check(request("INCR", "n"), b":3\r\n")
    deadline = time.monotonic() + client.patience.seconds
    while primary.replica.more(deadline):
        pass
    assert primary.replica.ended, "after REPLICAOF NO ONE the connection to the primary is still there"
    client.check(request("SET", "k", 1, "PX", 1), OK)
    until(client, 1, "DBSIZE")


@step(6)
@pytest.mark.read("Step 6: how far we are")
def test_a_replica_changes_to_another_primary(client: Client, primary: Primary, patience: Patience, rng: Dice) -> None:
    """REPLICAOF with another address: the replica leaves the first primary and copies the second, all of it, and
    acknowledges that one's offsets.

    `follow` forgets the id and the offset: they belong to the first one's stream.
    """
    follow(client, primary)
    primary.serve({b"k": b"first", b"only": b"first"})
    primary.feed(GETACK)
    primary.acknowledged(primary.end - 37, primary.end)
    second = Primary(patience, rng)
    try:
        follow(client, second)
        second.serve({b"k": b"second"})
        second.feed(GETACK)
        second.acknowledged(second.end - 37, second.end)
        client.check(request("MGET", "k", "only"), b"*2\r\n$6\r\nsecond\r\n$-1\r\n")
        client.check(NO_ONE, OK)
    finally:
        second.close()


@step(6)
@pytest.mark.read("Step 6: how far we are")
def test_of_two_servers_one_is_killed_and_the_other_goes_on(start: Start, rng: Dice, tmp_path: Path) -> None:
    """Two servers of yours. The second copies the first, and WAIT on the first says that it has all. The first is
    killed, the second becomes the primary. The first comes back as its replica, and has what it has missed.

    Here the primary is your own, too. WAIT needs the answer to GETACK.
    """
    word, (one, two) = rng.key(), (tmp_path / "one", tmp_path / "two")
    one.mkdir()
    two.mkdir()
    first = start(data=one, appendfsync="no")
    client = first.connect()
    client.ask("CONFIG", "SET", "repl-diskless-sync-delay", "0")  # so that a real Redis does not wait for more replicas
    client.check(request("MSET", "k", word, "n", 0), OK)
    client.check(request("RPUSH", "l", "a", "b"), b":2\r\n")
    second = start(data=two, appendfsync="no", options=["--replicaof", "127.0.0.1", str(first.port)])
    copy = second.connect()
    copy.ask("CONFIG", "SET", "repl-diskless-sync-delay", "0")
    linked(copy)
    client.check(request("MULTI") + request("INCR", "n") * 2 + request("EXEC"), OK + QUEUED * 2 + b"*2\r\n:1\r\n:2\r\n")
    client.check(request("SET", "soon", 1, "PX", 30), OK)
    client.check(request("WAIT", 1, 5000), b":1\r\n")
    copy.check(request("MGET", "k", "n"), b"*2\r\n$10\r\n%b\r\n$1\r\n2\r\n" % word)
    until(copy, 3, "DBSIZE")
    first.kill()
    copy.check(NO_ONE, OK)
    copy.check(request("INCR", "n"), b":3\r\n")
    again = start(data=one, appendfsync="no", options=["--replicaof", "127.0.0.1", str(second.port)]).connect()
    until(again, b"3", "GET", "n")
    again.check(request("LRANGE", "l", 0, -1), b"*2\r\n$1\r\na\r\n$1\r\nb\r\n")
    again.check(request("INCR", "n"), READONLY)
    copy.check(request("INCR", "n"), b":4\r\n")
    until(again, b"4", "GET", "n")
