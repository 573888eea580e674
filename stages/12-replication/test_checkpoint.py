"""Checkpoint 12: a replica gets all data, then each change; it is cut off, and goes on. The replica is played here."""

from __future__ import annotations

import math
import re
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from stages.harness.checkpoint import Dice, Modules, step
from stages.harness.log import logged, records, settle
from stages.harness.server import Server
from stages.harness.target import Target, Unavailable, redis
from stages.harness.wire import Client, Incomplete, Mismatch, Patience, parse, request

Start = Callable[..., Server]
Connect = Callable[[], Client]
Args = list[bytes]

OK, PONG, QUEUED = b"+OK\r\n", b"+PONG\r\n", b"+QUEUED\r\n"
PING = request("PING")
MIB = 1 << 20
GETACK = [b"REPLCONF", b"GETACK", b"*"]
QUIET = ([b"PING"], [b"ping"], [b"SELECT", b"0"], GETACK)  # a primary may send these at any time; Redis sends `ping`


# What a replica reads: a snapshot, in all forms that Redis writes


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x95AC9329AC4BC9B5 if byte & 1 else 0)
    return byte


REMAINDERS = [_remainder(byte) for byte in range(256)]


def checksum(data: bytes) -> int:
    """Return the CRC-64 of data, as Redis calculates it."""
    crc = 0
    for byte in data:
        crc = REMAINDERS[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc


class Snapshot:
    """A snapshot that was read: `values`, and for some keys `deadlines`. A hash or sorted set becomes a dict."""

    def __init__(self, data: bytes, complete: bool = True) -> None:
        """Read all of it; without `complete` there is no checksum at its end. Raise AssertionError if it is damaged."""
        self.data, self.place = data, 9
        self.values: dict[bytes, Any] = {}
        self.deadlines: dict[bytes, int] = {}
        version = data[5:9]
        assert data[:5] == b"REDIS" and version.isdigit(), (
            f"a snapshot begins with REDIS0010, this one with {data[:9]!r}"
        )
        assert 1 <= int(version) <= 12, f"there is no version {version!r} of the format"
        while (code := self.take(1)[0]) != 0xFF:
            self.entry(code)
        if complete:
            right = checksum(data[: self.place]).to_bytes(8, "little")
            assert self.take(8) == right, f"the checksum is {right!r}, lowest byte first; it says {data[-8:]!r}"
        rest = data[self.place :]
        assert not rest, f"behind the end of the snapshot, the byte 0xff and the checksum, there is {rest[:50]!r}"

    def entry(self, code: int) -> None:
        """Read what begins with this byte: a key, or something about the database."""
        if code in (0xFC, 0xFD):
            deadline = int.from_bytes(self.take(8), "little") if code == 0xFC else self.number(4) * 1000
            code = self.take(1)[0]
            self.deadlines[self.key(code)] = deadline
        elif code == 0xFA:
            self.string(), self.string()
        elif code in (0xF5, 0xFB, 0xFE):
            assert code != 0xFE or self.data[self.place] == 0, "there is only database 0"
            for _ in range(2 if code == 0xFB else 1):
                self.string() if code == 0xF5 else self.length()
        else:
            self.key(code)

    def key(self, code: int) -> bytes:
        """Read a key and its value, of this type."""
        start = self.place - 1
        read = FORMS.get(code)
        if read is None:
            raise AssertionError(
                f"at byte {start} of the snapshot is {code:#04x}: no type of a value, nor anything else"
            )
        key = self.string()
        assert key not in self.values, f"the key {key!r} is in the snapshot twice"
        self.values[key] = read(self)
        return key

    def take(self, count: int) -> bytes:
        """Read so many bytes."""
        start, self.place = self.place, self.place + count
        if self.place > len(self.data):
            left = len(self.data) - start
            raise AssertionError(f"at byte {start} of the snapshot {count} bytes should follow, and there are {left}")
        return self.data[start : self.place]

    def number(self, size: int) -> int:
        """Read an integer of so many bytes, lowest first."""
        return int.from_bytes(self.take(size), "little", signed=True)

    def length(self) -> int:
        """Read a length."""
        length, special = self.header()
        if special:
            raise AssertionError(f"no length begins with the bits 11, as the one at byte {self.place - 1} does")
        return length

    def header(self) -> tuple[int, bool]:
        """Read a length; or, if its first two bits are 11, which compact form of a string follows."""
        first = self.take(1)[0]
        if first in (0x80, 0x81):
            return int.from_bytes(self.take(4 if first == 0x80 else 8)), False
        if first >> 6 == 2:
            raise AssertionError(f"no length begins with {first:#04x}, as the one at byte {self.place - 1} does")
        if first >> 6 == 1:
            return (first & 63) << 8 | self.take(1)[0], False
        return first & 63, first >> 6 == 3

    def string(self) -> bytes:
        """Read a string; it may be an integer, or compressed."""
        length, special = self.header()
        if not special:
            return self.take(length)
        if length < 3:
            return b"%d" % self.number(1 << length)
        packed, size = self.length(), self.length()
        return decompressed(self.take(packed), size)

    def strings(self, each: int = 1) -> list[bytes]:
        """Read a length, and so many strings, or pairs of them."""
        return [self.string() for _ in range(each * self.length())]

    def scores(self) -> dict[bytes, float]:
        """Read a length, and so many members with their scores."""
        return {self.string(): struct.unpack("<d", self.take(8))[0] for _ in range(self.length())}

    def integers(self) -> set[bytes]:
        """Read a set of integers, in one string."""
        data = self.string()
        size = data[0]
        return {b"%d" % int.from_bytes(data[at : at + size], "little", signed=True) for at in range(8, len(data), size)}

    def nodes(self) -> list[bytes]:
        """Read a list in pieces: each a string, or several in a listpack."""
        return [
            each
            for _ in range(self.length())
            for each in ([self.string()] if self.length() == 1 else unpacked(self.string()))
        ]


def pairs(items: list[bytes]) -> dict[bytes, bytes]:
    """Make a dictionary of a list in which keys and values alternate."""
    return dict(zip(items[::2], items[1::2], strict=True))


FORMS: dict[int, Callable[[Snapshot], Any]] = {
    0: Snapshot.string,
    1: Snapshot.strings,
    2: lambda snapshot: set(snapshot.strings()),
    4: lambda snapshot: pairs(snapshot.strings(2)),
    5: Snapshot.scores,
    11: Snapshot.integers,
    16: lambda snapshot: pairs(unpacked(snapshot.string())),
    17: lambda snapshot: {member: float(score) for member, score in pairs(unpacked(snapshot.string())).items()},
    18: Snapshot.nodes,
    20: lambda snapshot: set(unpacked(snapshot.string())),
}
"""The types of values, each with what reads it; those from 11 on are compact forms of Redis."""


def unpacked(data: bytes) -> list[bytes]:
    """Return the items of a listpack: many short strings and integers in one."""
    items, at = [], 6
    while (first := data[at]) != 0xFF:
        size = {0xF1: 2, 0xF2: 3, 0xF3: 4, 0xF4: 8}.get(first)
        if first < 0x80:
            item, end = b"%d" % first, at + 1
        elif first >> 5 == 6:
            number = (first & 31) << 8 | data[at + 1]
            item, end = b"%d" % (number - 8192 if number > 4095 else number), at + 2
        elif size:
            end = at + 1 + size
            item = b"%d" % int.from_bytes(data[at + 1 : end], "little", signed=True)
        else:
            start, length = at + 5, int.from_bytes(data[at + 1 : at + 5], "little")
            if first >> 6 == 2:
                start, length = at + 1, first & 63
            elif first >> 4 == 14:
                start, length = at + 2, (first & 15) << 8 | data[at + 1]
            end = start + length
            item = data[start:end]
        items.append(item)
        back = 1 + sum(end - at > most for most in (127, 16383, 2097151, 268435455))
        at = end + back
    return items


def decompressed(data: bytes, size: int) -> bytes:
    """Return what LZF has compressed."""
    out, at = bytearray(), 0
    while at < len(data):
        first, at = data[at], at + 1
        if first < 32:
            out += data[at : at + first + 1]
            at += first + 1
            continue
        count = first >> 5
        if count == 7:
            count, at = count + data[at], at + 1
        back = len(out) - ((first & 31) << 8) - data[at] - 1
        at += 1
        for place in range(back, back + count + 2):
            out.append(out[place])
    assert len(out) == size
    return bytes(out)


# The replica that is played here


class Follower:
    """A replica: `id` of the stream, `offset` up to which it has it, and `snapshot`, with which it began.

    `vain` counts the snapshots in a row that have not come: after two of them the others are hardly waited for.
    """

    vain: ClassVar[int] = 0

    def __init__(self, server: Server) -> None:
        self.client = Client(server.port, server.patience, server.host)
        self.id, self.offset = "", -1
        self.told = b""  # what it has sent to the primary, if that is what a failure should show
        self.snapshot = Snapshot(b"REDIS0010\xff", complete=False)

    def line(self, wanted: str, times: float = 1) -> str:
        """Read a line, with so many times the patience; empty ones, which may come before a snapshot, are left out."""
        deadline = time.monotonic() + times * self.client.patience.seconds
        while True:
            self.client.received = self.client.received.lstrip(b"\n")
            line, end, rest = self.client.received.partition(b"\r\n")
            if end:
                self.client.received = rest
                return line.decode(errors="replace")
            if not self.client.more(deadline):
                self.client.fail(wanted, deadline)

    def ask(self, replid: str | bytes, offset: int) -> str:
        """Send PSYNC; return the line that answers it. Keep the id and the offset of a FULLRESYNC."""
        self.client.send(request("PSYNC", replid, offset))
        line = self.line("+FULLRESYNC or +CONTINUE")
        words = line.split()
        if words[:1] == ["+FULLRESYNC"]:
            form = "the answer is +FULLRESYNC, an id of 40 hexadecimal digits, and an offset"
            assert len(words) == 3 and len(words[1]) == 40 and words[2].isdigit(), f"{form}, not {line!r}"
            assert not set(words[1]) - set("0123456789abcdef"), f"{form}, not {line!r}"
            self.id, self.offset = words[1], int(words[2])
        return line

    def begin(self) -> None:
        """Ask for everything."""
        line = self.ask("?", -1)
        assert line[:12] == "+FULLRESYNC ", f"a new replica gets +FULLRESYNC, not {line!r}"

    def take(self) -> Snapshot:
        """Receive the snapshot that follows FULLRESYNC, and read it."""
        self.snapshot = Snapshot(self.receive())
        return self.snapshot

    def receive(self) -> bytes:
        """Receive the snapshot."""
        times = (2, 1, 0.2)[min(Follower.vain, 2)]  # on a busy machine it is written slowly
        Follower.vain += 1
        line = self.line("$ and the length of a snapshot", times)
        Follower.vain = 0
        assert line[:1] == "$" and line[1:].isdigit(), (
            f"instead of `$` and the snapshot's length there is {line[:100]!r}"
        )
        size = int(line[1:])
        data = bytearray(self.client.received)
        self.client.received = b""
        deadline = time.monotonic() + self.client.patience.seconds
        while len(data) < size:
            if not self.client.more(deadline):
                raise AssertionError(f"of {size} bytes of the snapshot only {len(data)} have come")
            data += self.client.received
            self.client.received = b""
        self.client.received = bytes(data[size:])
        return bytes(data[:size])

    def follow(self) -> Follower:
        """Ask for everything, and receive the snapshot."""
        self.begin()
        self.take()
        return self

    def next(self, wanted: bytes | str) -> Args:
        """Return the next request of the stream, and count its bytes."""
        deadline = time.monotonic() + self.client.patience.seconds
        while True:
            try:
                args, end = parse(self.client.received)
                if not isinstance(args, list) or self.client.received[:end] != request(*args):
                    raise ValueError
                break
            except Incomplete:
                if self.client.more(deadline):
                    continue
            except ValueError:
                pass
            try:
                self.client.fail(wanted, deadline)
            except Mismatch as error:
                error.sent = self.told or (b"" if isinstance(wanted, str) else wanted)
                error.why = f"This is what the replica reads in the stream. {error.why}"
                raise
        self.client.received = self.client.received[end:]
        self.offset += end
        return args

    def expect(self, *wanted: Args) -> None:
        """Read these requests of the stream. Requests in QUIET may be between them."""
        for args in wanted:
            found = self.next(request(*args))
            while found in QUIET and found != args:
                found = self.next(request(*args))
            if found != args:
                why = "This is the next request in the stream."
                raise Mismatch(self.told or request(*args), request(*args), request(*found), why)

    def until(self, last: Args) -> list[Args]:
        """Read the stream up to this request; return the requests before it, without those in QUIET."""
        found = []
        while (args := self.next(request(*last))) != last:
            found.append(args)
        return [args for args in found if args not in QUIET]

    def reaches(self, offset: int) -> None:
        """Read the stream up to an offset that the primary tells."""
        while self.offset < offset:
            self.next(f"the stream up to offset {offset}; the replica has got to {self.offset}")
        what = f"the stream has {self.offset} bytes so far: the offset of FULLRESYNC, and what came since"
        assert self.offset == offset, f"{what}; INFO says {offset}"

    def acknowledge(self, offset: int | None = None) -> None:
        """Tell how far it is."""
        self.client.send(request("REPLCONF", "ACK", self.offset if offset is None else offset))

    def continues(self, server: Server, wanted: int | None = None) -> Follower:
        """Return the same replica over a new connection; it asks for what follows, and must get it."""
        again = Follower(server)
        again.id, again.offset = self.id, self.offset if wanted is None else wanted - 1
        again.client.check(request("REPLCONF", "capa", "psync2"), OK)  # else Redis leaves out the id
        again.told = request("PSYNC", self.id, again.offset + 1)
        why = f"This is the answer to PSYNC. The replica has the first {again.offset} bytes of the stream."
        line, right = again.ask(self.id, again.offset + 1), f"+CONTINUE {self.id}"
        if line != right:
            raise Mismatch(again.told, f"{right}\r\n".encode(), f"{line}\r\n".encode(), why)
        return again


def about(client: Client) -> dict[str, str]:
    """Return what INFO tells about replication."""
    text = client.ask("INFO", "replication")
    assert isinstance(text, bytes), f"INFO was answered with {text!r}"
    return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)


def offset_of(client: Client) -> int:
    """Return how long the stream is."""
    return int(about(client)["master_repl_offset"])


def eventually(client: Client, ask: Callable[[], object], expected: object, why: str) -> None:
    """Ask until the answer is the expected one; fail if it is still another one when the client's patience is over."""
    deadline = time.monotonic() + client.patience.seconds
    while (found := ask()) != expected and time.monotonic() < deadline:
        time.sleep(0.005)
    assert found == expected, f"{why}: {found!r}, not {expected!r}"


def count_replicas(client: Client) -> str:
    """Return how many replicas INFO counts."""
    return about(client)["connected_slaves"]


def acknowledged(client: Client) -> set[str]:
    """Return the offsets that INFO tells of the replicas."""
    lines = [text for name, text in about(client).items() if name.startswith("slave") and "offset=" in text]
    return {field.removeprefix("offset=") for line in lines for field in line.split(",") if field.startswith("offset=")}


def counted(client: Client, replica: Follower, number: int) -> object:
    """Return the answer of `WAIT number 30` after the replica has acknowledged the stream, up to a PING just now."""
    replica.reaches(offset_of(client))
    replica.acknowledge()
    return client.ask("WAIT", number, 30)


def drafts(folder: Path) -> list[str]:
    """Return the names of the temporary files in a folder."""
    return [each.name for each in folder.glob("temp-*")]


@pytest.fixture
def follow(server: Server) -> Iterator[Callable[[], Follower]]:
    """A function that makes a replica of the shared server, which has all data, and only waits for changes."""
    made: list[Follower] = []

    def follow() -> Follower:
        made.append(Follower(server))
        return made[-1].follow()

    yield follow
    for each in made:
        each.client.close()


@pytest.fixture
def modules(modules: Modules, target: Target) -> Modules:
    """Look into the target's modules; not into those of `final/`, which have grown out of the form they have here."""
    if target.is_final:
        pytest.skip("final/ has grown out of the form that its modules have here")
    return modules


# Checksum and lengths


@step(1)
@pytest.mark.read("Step 1: a checksum, and lengths")
def test_the_checksum_is_the_one_that_redis_calculates(modules: Modules, rng: Dice) -> None:
    """`crc64` of nothing, of one byte, of b"123456789", and of 200 random bytes.

    In Python `>>` and `&` bind more tightly than `^`: `a ^ b >> 8` is `a ^ (b >> 8)`, and `a ^ b & 0xFF` is
    `a ^ (b & 0xFF)`.

    For each byte: `TABLE[(crc ^ byte) & 0xFF]`, and the old crc without its lowest 8 bits. `^` puts the two together.
    """
    data = rng.randbytes(200)
    pieces = [b"", b"\x01", b"123456789", data]
    source = """
        from rdb import crc64

        result = [crc64(each) for each in pieces]
        """
    modules.check(source, [checksum(each) for each in pieces], pieces=pieces)


@step(1)
@pytest.mark.read("Step 1: a checksum, and lengths")
def test_a_checksum_goes_on_where_it_ended(modules: Modules, rng: Dice) -> None:
    """`crc64` of a second part, begun with the checksum of the first, is that of both. So a snapshot needs not be in
    memory as a whole. The result has the checksum of both in two parts, in one, and of nothing more.

    The second argument is the `crc` to begin with.
    """
    data = rng.randbytes(60)
    source = """
        from rdb import crc64

        result = [crc64(data[20:], crc64(data[:20])), crc64(data), crc64(b"", crc64(data))]
        """
    modules.check(source, [checksum(data)] * 3, data=data)


@step(1)
@pytest.mark.read("Step 1: a checksum, and lengths")
def test_a_length_takes_one_two_or_five_bytes(modules: Modules) -> None:
    """`length` writes a number below 64 as one byte, below 16 384 as two, and others as five.
    The result has, for some numbers, what it has written.

    Are there too many bytes, or too few? 6 bits can say 0 to 63, and 14 bits 0 to 16 383. Are they in the wrong order?
    The highest byte comes first, in two bytes and in five.

    `number.to_bytes(2)` has the highest byte first; `0x4000 |` sets the first two bits to 01.
    """
    expected = [
        (0, b"\x00"),
        (63, b"\x3f"),
        (64, b"\x40\x40"),
        (255, b"\x40\xff"),
        (256, b"\x41\x00"),
        (16383, b"\x7f\xff"),
        (16384, b"\x80\x00\x00\x40\x00"),
        (0xFEDCBA98, b"\x80\xfe\xdc\xba\x98"),
    ]
    source = """
        from rdb import length

        result = [(number, length(number)) for number in numbers]
        """
    modules.check(source, expected, numbers=[number for number, _ in expected])


# The snapshot

STORE = """
from rdb import snapshot
from store import HASH, LIST, SET, SORTED_SET, STRING, Store

db = Store()
"""
"""What the checks of a snapshot begin with."""


def snapshot_of(modules: Modules, source: str, **names: Any) -> Snapshot:
    """Run source that fills a Store, and read its snapshot."""
    data = modules.run(f'{STORE}{source}\nresult = b"".join(snapshot(db))', **names)
    assert isinstance(data, bytes), f"`snapshot` yields bytes, not {data!r}"
    return Snapshot(data, complete=False)


@step(2)
@pytest.mark.read("Step 2: everything at one moment")
def test_a_snapshot_of_nothing_has_a_beginning_and_an_end(modules: Modules) -> None:
    """Without keys, a snapshot is `REDIS0010`, which database follows, and the byte of the end.

    `yield` the first part before the keys, and END behind them.
    """
    assert snapshot_of(modules, "").values == {}


@step(2)
@pytest.mark.read("Step 2: everything at one moment")
def test_a_snapshot_has_strings_of_all_lengths(modules: Modules, rng: Dice) -> None:
    """Strings of 0, 1, 63, 64, 16383 and 16384 bytes, under keys that are short and long.

    A string is the byte 0, the key, and the value: `string` writes each with its length.

    What follows a string is found only if the length of that one is right.
    """
    values = {rng.key(10 + length // 100): rng.randbytes(length) for length in (0, 1, 63, 64, 16383, 16384)}
    source = "for key in values: db.put(key, values[key])"
    assert snapshot_of(modules, source, values=values).values == values


@step(2)
@pytest.mark.read("Step 2: everything at one moment")
@pytest.mark.parametrize("kind", ["list", "set", "hash"])
def test_a_snapshot_has_the_elements_of_containers(modules: Modules, rng: Dice, kind: str) -> None:
    """A list in its order, a set, a hash with its fields and values, of 3 and of 100 elements.

    Before the elements stands how many there are, written by `length`; of a hash how many fields.

    Each element is a string, also one that looks like a number.
    """
    small, large = [b"b", b"", b"7"], [rng.key() for _ in range(100)]
    source = {
        "list": "for key in items: db.make(key, LIST).extend(items[key])",
        "set": "for key in items: db.make(key, SET).update(items[key])",
        "hash": "for key in items: db.make(key, HASH).update((each, each * 2) for each in items[key])",
    }[kind]
    items = {rng.key(): small, rng.key(): large}
    expected: dict[bytes, object] = {}
    for key, each in items.items():
        expected[key] = each if kind == "list" else set(each) if kind == "set" else {one: one * 2 for one in each}
    assert snapshot_of(modules, source, items=items).values == expected


@step(2)
@pytest.mark.read("Step 2: everything at one moment")
def test_a_snapshot_has_the_exact_scores_of_a_sorted_set(modules: Modules, rng: Dice) -> None:
    """A score is 8 bytes, as the processor has it: -inf, -2.5, 0.1, a third, 1e300 and inf.

    `struct.pack("<d", score)` behind each member. A score written as text is another type.

    `value.scores.items()` has the members with their scores.
    """
    key, scores = rng.key(), [-math.inf, -2.5, 0.1, 1 / 3, 1e300, math.inf]
    members = [rng.key() for _ in scores]
    source = "for member, score in pairs: db.make(key, SORTED_SET).add(member, float(score))"
    pairs = [(member, repr(score)) for member, score in zip(members, scores, strict=True)]
    found = snapshot_of(modules, source, key=key, pairs=pairs).values
    assert found == {key: dict(zip(members, scores, strict=True))}


@step(2)
@pytest.mark.read("Step 2: everything at one moment")
def test_a_deadline_stands_before_its_key_and_no_other(modules: Modules, rng: Dice) -> None:
    """Of three keys two have a deadline: milliseconds since 1970, 8 bytes, the lowest first.

    Is it another number? The lowest byte comes first, and `db.deadline(key)` has the milliseconds as they are written.
    Has a key one too many? For a key without one that is None, and nothing stands before the key.

    `deadline.to_bytes(8, "little")` behind DEADLINE, then the type and the key.
    """
    one, two, three = rng.key(), rng.key(), rng.key()
    when = rng.randrange(10**12, 10**13)
    source = """
db.put(one, b"1")
db.put(two, b"2")
db.make(three, HASH)[b"f"] = b"v"
db.expire_at(one, when)
db.expire_at(three, 77)
"""
    found = snapshot_of(modules, source, one=one, two=two, three=three, when=when)
    assert set(found.values) == {one, two, three}
    assert found.deadlines == {one: when, three: 77}


@step(2)
@pytest.mark.read("Step 2: everything at one moment")
def test_a_snapshot_changes_nothing(modules: Modules) -> None:
    """Whoever writes a snapshot only looks: a key whose deadline has passed is neither removed nor recorded.
    The result has what was recorded, and whether the key is there for one whose clock is at 0.

    `db.get`, and `in`, remove a key that has expired, and record a DEL. `db.items()` and `db.deadline` only look.
    """
    source = """
db.put(b"k", b"v")
db.expire_at(b"k", 1000)
db.now = 2000
list(snapshot(db))
db.now = 0
result = [db.records, db.get(b"k", STRING)]
"""
    modules.check(STORE + source, [[], b"v"])


@step(2)
@pytest.mark.read("Step 2: everything at one moment")
@pytest.mark.needs("redis-check-rdb")
def test_redis_check_rdb_accepts_the_snapshot(modules: Modules, tmp_path: Path) -> None:
    """Redis's own tool reads a snapshot with a key of each kind, and finds nothing wrong.

    What it prints says at which byte it could not go on.
    """
    source = """
from pathlib import Path
from rdb import write_snapshot

for key, kind in ((b"l", LIST), (b"s", SET)):
    getattr(db.make(key, kind), "extend" if kind is LIST else "update")([b"a", b"7", b"x" * 20000])
db.make(b"h", HASH)[b"f"] = b"v"
db.make(b"z", SORTED_SET).add(b"m", 0.1)
db.put(b"k", b"v")
db.expire_at(b"k", 4102444800000)
write_snapshot(Path(path), db)
result = True
"""
    path = tmp_path / "dump.rdb"
    modules.check(STORE + source, True, path=str(path))
    done = subprocess.run(["redis-check-rdb", str(path)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and "RDB looks OK" in done.stdout, done.stdout


# The stream


@step(3)
@pytest.mark.read("Step 3: the stream")
def test_raw_bytes_are_sent_as_they_are(modules: Modules) -> None:
    """`encode` writes a Raw as it is, in both protocols, and inside Replies; other bytes are bulk strings. All other
    types are written as before: the last two of the result are a dict of them, in RESP2 and in RESP3.

    Is it a Raw? That is bytes, too, and the first `case` that fits is taken: ask for `Raw()` before `bytes()`. Is it
    one of the last two? Nothing but the Raw is new; the table in the docstring has the others.
    """
    source = """
        from writer import NULL_ARRAY, Push, Raw, Replies, encode

        value = Raw(b"$3\\r\\nabc")
        result = [encode(value), encode(value, 3), encode(Replies(["OK", value, b"k"])), encode(Raw()), encode(b"k")]
        others = {True: None, 0.5: NULL_ARRAY, "e": ValueError("ERR"), b"p": Push([7]), (8,): [frozenset([9])]}
        result += [encode(others), encode(others, 3)]
        """
    raw = b"$3\r\nabc"
    resp2 = b"*10\r\n:1\r\n$-1\r\n$3\r\n0.5\r\n*-1\r\n+e\r\n-ERR\r\n$1\r\np\r\n*1\r\n:7\r\n"
    resp3 = b"%5\r\n#t\r\n_\r\n,0.5\r\n_\r\n+e\r\n-ERR\r\n$1\r\np\r\n>1\r\n:7\r\n"
    resp2, resp3 = (one + b"*1\r\n:8\r\n*1\r\n%b1\r\n:9\r\n" % sign for one, sign in ((resp2, b"*"), (resp3, b"~")))
    modules.check(source, [raw, raw, OK + raw + b"$1\r\nk\r\n", b"", b"$1\r\nk\r\n", resp2, resp3])


PRIMARY = """
from blocking import Waiting
from client import Client
from primary import BACKLOG, Primary, Replica
from store import Store

primary, heard = Primary(Store(), Waiting()), []
"""
"""What the checks of the stream begin with; `heard` has what was delivered."""


@step(3)
@pytest.mark.read("Step 3: the stream")
def test_the_stream_is_counted_in_bytes_and_kept_without_a_replica(modules: Modules) -> None:
    """`feed` appends a request to the stream, although nobody is there to hear it.
    The result has the offset and the backlog after one request, and after another one.

    Is it empty? A replica that was cut off will ask for just this, so keep it whether there is one or not.

    `encode` of a list of bytes is what a request looks like. `offset` grows by its length, in bytes.
    """
    source = """
primary.feed([b"SET", b"k", b"v"])
result = [primary.offset, bytes(primary.backlog)]
primary.feed([b"DEL", b"k"])
result += [primary.offset, bytes(primary.backlog)]
"""
    one, two = request("SET", "k", "v"), request("DEL", "k")
    modules.check(PRIMARY + source, [len(one), one, len(one + two), one + two])


@step(3)
@pytest.mark.read("Step 3: the stream")
def test_only_the_last_bytes_of_the_stream_are_kept(modules: Modules) -> None:
    """After some requests of 300 KiB the backlog has BACKLOG bytes, the last ones; the offset counts all.
    The result has the lengths of the backlog after each of five requests, its length after one more, its last 20 bytes,
    and the offset.

    `del self.backlog[:-BACKLOG]` deletes all but the last ones; and nothing, if there are not so many.
    """
    source = """
lengths = []
for number in range(5):
    primary.feed([b"SET", b"key%d" % number, b"x" * 300 * 1024])
    lengths.append(len(primary.backlog))
primary.feed([b"DEL", b"the-last-key"])
result = [lengths, len(primary.backlog), bytes(primary.backlog[-20:]), primary.offset]
"""
    size = len(request("SET", "key0", "x" * 300 * 1024))
    last = request("DEL", "the-last-key")
    expected = [[min(size * count, MIB) for count in range(1, 6)], MIB, last[-20:], 5 * size + len(last)]
    modules.check(PRIMARY + source, expected)


@step(3)
@pytest.mark.read("Step 3: the stream")
def test_the_stream_goes_to_those_who_have_their_snapshot_and_waits_for_the_others(modules: Modules) -> None:
    """Two replicas; the snapshot of the second is still being written: for it, the stream is held.
    The result has what was delivered, its type, and what is held for each.

    Is it of the type bytes? `client.deliver(Raw(…))`: as bytes it would be sent as a bulk string. Has it gone to the
    second one, too? `replica.child` is the number of the process that writes; 0 if there is none.
    """
    source = """
for number, child in ((1, 0), (2, 4711)):
    hear = lambda reply, number=number: heard.append((number, type(reply).__name__, bytes(reply)))
    client = Client(id=number, deliver=hear)
    primary.replicas[client] = Replica(client, child)
primary.feed([b"DEL", b"k"])
primary.feed([b"DEL", b"l"])
result = [heard, [bytes(each.held) for each in primary.replicas.values()]]
"""
    one, two = request("DEL", "k"), request("DEL", "l")
    modules.check(PRIMARY + source, [[(1, "Raw", one), (1, "Raw", two)], [b"", one + two]])


@step(3)
@pytest.mark.read("Step 3: the stream")
@pytest.mark.parametrize("log", ["log", "no-log"])
def test_a_unit_goes_into_the_stream_as_it_goes_into_the_log(modules: Modules, log: str) -> None:
    """A change, a read, an error, a unit with two records, a transaction. The result has the stream, and the log.

    `settle` goes through the records once: each goes to the log, if there is one, and to `self.primary.feed`.

    None in the records stands for the request; several records stand between MULTI and EXEC, in both.
    """
    source = """
from client import Client
from engine import Engine
import hashes, keys, sets, strings, transactions

engine, client = Engine(clock=lambda: 1000), Client(id=1)
engine.log = [] if log == "log" else None
for line in ("SET k v", "GET k", "INCR k", "SADD s a"):
    engine.execute(client, line.encode().split())
engine.db.records = [[b"DEL", b"expired"], None]
engine.settle([b"INCR", b"visits"])
for line in ("MULTI", "SET k w", "GET k", "SPOP s", "EXEC"):
    engine.execute(client, line.encode().split())
result = [bytes(engine.primary.backlog), engine.log]
"""
    lines = [
        "SET k v",
        "SADD s a",
        "MULTI",
        "DEL expired",
        "INCR visits",
        "EXEC",
        "MULTI",
        "SET k w",
        "SREM s a",
        "EXEC",
    ]
    requests = [line.encode().split() for line in lines]
    expected = [b"".join(request(*args) for args in requests), requests if log == "log" else None]
    modules.check(source, expected, log=log)


@step(3)
@pytest.mark.read("Step 3: the stream")
def test_commands_that_ask_for_the_primary_get_it(client: Client) -> None:
    """INFO, which is given, asks for the Primary, and tells the id of the stream and its offset. Asked again, it tells
    the same id.

    Is there a KeyError in `Command.call`? `Engine.run` has to hand the Primary in, by its type, as the PubSub. Is there
    another id each time? The engine has one Primary, and makes it when it begins.

    `{…, Primary: self.primary}`
    """
    found = about(client)
    assert re.fullmatch("[0-9a-f]{40}", found.get("master_replid", "")), f"INFO has no master_replid: {found}"
    assert found.get("master_repl_offset", "").isdecimal(), f"INFO has no master_repl_offset: {found}"
    again, first = about(client)["master_replid"], found["master_replid"]
    assert again == first, f"INFO says another master_replid the second time: {again}, after {first}"


# All of it


@step(4)
@pytest.mark.read("Step 4: all of it")
def test_psync_is_answered_with_an_id_and_an_offset(
    client: Client, server: Server, follow: Callable[[], Follower]
) -> None:
    """`PSYNC ? -1` is answered with FULLRESYNC, the id of the stream, 40 hexadecimal digits, and its offset; a second
    replica is told the same id. Behind the answer comes the snapshot.

    Does no snapshot come? `attach` has the child `work`: it does `write_snapshot`, to the file `draft(os.getpid())`. Is
    it another id? `primary.id` is the server's, and is made when it starts. Is it no answer at all? Return the text
    `FULLRESYNC`, the id and `primary.offset`: `encode` makes a simple string of a str.
    """
    one, two = follow(), follow()
    assert one.id == two.id, "the second replica was told another id than the first"
    assert one.id == about(client)["master_replid"], "INFO says another master_replid than FULLRESYNC"


@step(4)
@pytest.mark.read("Step 4: all of it")
def test_a_snapshot_has_all_data_of_all_kinds(start: Start, rng: Dice) -> None:
    """A replica gets the data as a snapshot, a bulk string: strings, a list, a set, a hash, a sorted set, a deadline.
    The server is new, so nothing else is in it.

    Is there no snapshot? `tick` looks ten times a second whether the child has ended, and calls `send_snapshot`.

    Has the child failed? What it was to do is the argument of `work`: a function without arguments.

    Is the connection closed? The traceback in the server's output says why.
    """
    server = start()
    client, keys = server.connect(), [rng.key() for _ in range(8)]
    text, empty, counter, items, members, fields, scores, doomed = keys
    client.ask("SET", text, b"a\r\n\x00\xff" * 40)
    client.ask("SET", empty, b"")
    for _ in range(300):
        client.ask("INCR", counter)
    elements = [b"%d" % number for number in range(200)] + [rng.key(500)]
    client.ask("RPUSH", items, *elements)
    client.ask("SADD", members, *elements)
    client.ask("HSET", fields, *(each for name in elements for each in (name, name + b"!")))
    client.ask("ZADD", scores, *(each for number, name in enumerate(elements) for each in (f"{number / 8}", name)))
    client.ask("SET", doomed, "x", "PXAT", 4102444800123)
    found = Follower(server).follow().snapshot
    expected = {text: b"a\r\n\x00\xff" * 40, empty: b"", counter: b"300", items: elements, members: set(elements)}
    expected[fields] = {name: name + b"!" for name in elements}
    expected[scores] = {name: number / 8 for number, name in enumerate(elements)}
    expected[doomed] = b"x"
    assert set(found.values) == set(expected), "these are the keys in the snapshot"
    for key, value in expected.items():
        assert found.values[key] == value
    assert found.deadlines == {doomed: 4102444800123}


@step(4)
@pytest.mark.read("Step 4: all of it")
def test_the_stream_follows_the_snapshot_with_nothing_between(
    client: Client, follow: Callable[[], Follower], rng: Dice
) -> None:
    """What comes behind the last byte of the snapshot is the first change.

    Is there CRLF? The snapshot looks like a bulk string, and has none behind it. A replica would read it as a part of
    the stream.

    Is there `$` and a length? Deliver it as Raw.
    """
    replica, key = follow(), rng.key()
    client.check(request("SET", key, "v"), OK)
    replica.expect([b"SET", key, b"v"])


@step(4)
@pytest.mark.read("Step 4: all of it")
def test_a_replica_hears_each_change_of_all_clients_in_their_order(
    client: Client, connect: Connect, follow: Callable[[], Follower], rng: Dice
) -> None:
    """The stream has what changes data, of all clients, in order; no reads, no errors, nothing that changed nothing.

    `settle` feeds what it appends to the log, and nothing else.

    Is the connection closed after some writes? What is sent to a replica is one stream: `deliver` of its client.
    """
    replica, key, user, other = follow(), rng.key(), rng.key(), connect()
    client.ask("SET", key, "1"), other.ask("INCR", key), client.ask("GET", key), client.ask("DEL", user)
    other.ask("LPUSH", key, "x"), other.ask("APPEND", key, "3"), client.ask("HSET", user, "f", "v")
    replica.expect([b"SET", key, b"1"], [b"INCR", key], [b"APPEND", key, b"3"], [b"HSET", user, b"f", b"v"])


@step(4)
@pytest.mark.read("Step 4: all of it")
def test_a_replica_hears_results_not_intentions(start: Start, tmp_path: Path, rng: Dice) -> None:
    """The stream has the same requests as the log: a moment instead of a span, SREM for SPOP, and a transaction between
    MULTI and EXEC.

    They are the records of a unit: `settle` gives each of them to both.
    """
    server = start(data=tmp_path)
    client, key, other = server.connect(), rng.key(), rng.key()
    client.ask("SADD", other, "a", "b", "c", "d")
    replica = Follower(server).follow()
    before = len(logged(tmp_path))
    for args in (["SET", key, "v", "EX", 1000], ["SPOP", other], ["SPOP", other, 2], ["MULTI"], ["APPEND", key, "w"]):
        client.ask(*args)
    client.ask("SREM", other, "a", "b", "c", "d"), client.ask("GET", key), client.ask("EXEC")
    client.check(request("SET", key, "last"), OK)
    settle(client)
    expected = records(logged(tmp_path)[before:])
    assert len(expected) >= 7 and b"PXAT" in [arg.upper() for arg in expected[0]], f"the log has {expected}"
    replica.expect(*expected)


@step(4)
@pytest.mark.read("Step 4: all of it")
def test_the_primary_tells_its_replicas_that_a_key_has_expired(
    client: Client, follow: Callable[[], Follower], rng: Dice
) -> None:
    """When a key has expired, its DEL comes in the stream: the primary decides, not the replica's clock.

    `Engine.expire` settles what it removes, so this comes by itself.
    """
    replica, key = follow(), rng.key()
    client.check(request("SET", key, "v", "PX", 60), OK)
    found = replica.until([b"DEL", key])
    assert [args[:4] for args in found] == [[b"SET", key, b"v", b"PXAT"]], f"before its DEL the stream has {found}"


@step(4)
@pytest.mark.read("Step 4: all of it")
def test_both_sides_count_the_same_bytes(client: Client, follow: Callable[[], Follower], rng: Dice) -> None:
    """The offset of FULLRESYNC, and the bytes of the stream that have come since, make the offset that INFO tells.

    Everything that is sent to replicas behind the snapshot is counted: `feed` does both.
    """
    replica = follow()
    for length in (1, 10, 1000):
        client.check(request("SET", rng.key(), rng.key(length)), OK)
        replica.reaches(offset_of(client))


@step(4)
@pytest.mark.read("Step 4: all of it")
def test_what_happens_while_the_snapshot_is_written_comes_after_it(client: Client, server: Server, rng: Dice) -> None:
    """A counter is incremented before and after `PSYNC`: what is not in the snapshot is in the stream, once.
    And the offset of FULLRESYNC is that of the snapshot's moment.

    Is something missing? What is fed while the child works has to wait, in `held`, and is sent behind the snapshot.

    Is something there twice? The child has the data of the moment of the fork; the offset must be that of this moment.
    """
    key, replica = rng.key(), Follower(server)
    for _ in range(20):
        client.ask("INCR", key)
    replica.begin()
    for _ in range(30):
        client.ask("INCR", key)
    began = replica.take().values[key]
    for _ in range(10):
        client.ask("INCR", key)
    client.ask("DEL", key)
    since = len(replica.until([b"DEL", key]))
    assert (began, since) == (b"20", 40), f"the snapshot has {began!r} and the stream {since} more; 20 + 40 were sent"
    replica.reaches(offset_of(client))
    replica.client.close()


@step(4)
@pytest.mark.read("Step 4: all of it")
def test_two_replicas_at_once_each_get_everything(client: Client, server: Server, rng: Dice) -> None:
    """A second replica asks while the snapshot of the first is written; each has a snapshot and the stream since it.

    Each Replica has its own `child`, its own `draft`, and its own `held`.
    """
    key, one, two = rng.key(), Follower(server), Follower(server)
    one.begin()
    client.ask("INCR", key)
    two.begin()
    for _ in range(3):
        client.ask("INCR", key)
    for each in (one, two):
        each.take()
    client.ask("DEL", key)
    for each in (one, two):
        began = int(each.snapshot.values.get(key, 0))
        assert began + len(each.until([b"DEL", key])) == 4
        each.reaches(offset_of(client))
        each.client.close()


@step(4)
@pytest.mark.read("Step 4: all of it")
@pytest.mark.not_redis("it is too quick to be measured")
def test_the_server_goes_on_while_a_snapshot_is_written(start: Start, rng: Dice) -> None:
    """While a snapshot of 8 MiB is written, PING is answered, and a client that says QUIT is hung up on, at once.

    Is QUIT not followed by the end of the connection? The child has copies of all sockets: `work` closes them. Is PING
    answered only with the snapshot? A forked child writes it; `os.fork` returns in the server at once.
    """
    server = start()
    client, leaves, replica = server.connect(), server.connect(), Follower(server)
    for _ in range(8):
        client.check(request("SET", rng.key(), rng.randbytes(MIB)), OK)
    for each in (client, leaves):
        each.check(PING, PONG)
    began = time.monotonic()
    replica.begin()
    client.check(PING, PONG)
    answered = time.monotonic() - began
    leaves.check(request("QUIT"), OK)
    leaves.expect_closed()
    left = time.monotonic() - began
    if not replica.client.received:
        replica.client.more(time.monotonic() + replica.client.patience.seconds)
    written = time.monotonic() - began  # its first bytes have come: how long the others take does not matter
    replica.receive()
    most = max(written / 2, 0.15)
    assert answered < most, f"PING was answered after {answered:.2f} s; the snapshot took {written:.2f} s"
    assert left < most, f"the connection ended {left:.2f} s after PSYNC; the snapshot took {written:.2f} s"


@step(4)
@pytest.mark.read("Step 4: all of it")
def test_who_has_gone_is_no_replica_and_leaves_no_file(start: Start, tmp_path: Path, rng: Dice) -> None:
    """INFO counts the replicas that are connected: one; none when it has gone, also during its snapshot, for which it
    has asked twice. And no temporary file is left.

    Is the file of a snapshot left that was sent? `send_snapshot` deletes it. Is it that of a replica that has gone?
    `psync` begins with `detach`: the client may be a replica already, and have a child. Does INFO count one that has
    gone? `connection_lost` calls `Engine.disconnect`, which has to `detach` the client, too.
    """
    server = start(data=tmp_path)
    client, replica = server.connect(), Follower(server).follow()
    eventually(client, lambda: count_replicas(client), "1", "a replica is connected; INFO counts")
    eventually(client, lambda: drafts(tmp_path), [], "the snapshot was sent, and its file is left")
    replica.client.close()
    eventually(client, lambda: count_replicas(client), "0", "the replica has gone; INFO counts")
    replica = Follower(server)
    replica.client.send(request("PSYNC", "?", -1) * 2)
    replica.line("+FULLRESYNC")
    replica.client.close()
    eventually(client, lambda: count_replicas(client), "0", "the replica has gone during its snapshot; INFO counts")
    eventually(client, lambda: drafts(tmp_path), [], "the replica has gone, and the file with its snapshot is left")
    client.check(request("SET", rng.key(), "v"), OK)


@step(4)
@pytest.mark.read("Step 4: all of it")
def test_who_has_gone_is_forgotten_everywhere(modules: Modules) -> None:
    """`Engine.disconnect`, for a client that waits for a key, watches one, is subscribed to a channel, and is a
    replica. The result says what of this is left: nothing.

    `disconnect` grows by one line, `detach` of the primary. The other three stay: `unpark`, `unwatch`, `leave`.
    """
    source = """
from blocking import Wait
from client import Client
from engine import Engine
from primary import Replica

engine, client = Engine(), Client(id=1)
engine.waiting.park(client, Wait((b"k",), list, 0, bytes.upper))
engine.watching.watch(client, b"k")
engine.pubsub.subscribe(client, (b"channel", b"k"))
engine.primary.replicas[client] = Replica(client)
engine.disconnect(client)
left = {"waits": engine.waiting.queues, "watches": engine.watching.watchers}
left.update({"is subscribed": engine.pubsub.subscribers, "is a replica": engine.primary.replicas})
result = [what for what in left if left[what]]
"""
    modules.check(source, [])


@step(4)
@pytest.mark.read("Step 4: all of it")
def test_a_replica_whose_snapshot_has_failed_is_sent_away(modules: Modules, tmp_path: Path) -> None:
    """If the child has not succeeded, the replica is hung up on, without a byte, and its file is deleted: it will try
    again. The result, for a child that has not begun its file and one that has: is the client `leaving`, what was
    delivered; then `child`, what is still held, is the file there.

    Is it one of the last three? Whether the child has succeeded or not, at the end there is no child, nothing is held,
    and there is no file. Is it one of the first two? `client.leaving`, and `deliver` of an empty Replies: the
    connection is closed when it has been sent.

    `unlink(missing_ok=True)`: the child may have failed before there was a file.
    """
    source = """
from pathlib import Path
from writer import encode

primary.folder, result = Path(path), []
for number in (99999998, 99999999):
    client = Client(id=1, deliver=lambda reply: heard.append(encode(reply)))
    primary.replicas = {client: Replica(client, number)}
    primary.feed([b"DEL", b"k"])
    if number == 99999999:
        primary.draft(number).write_bytes(b"REDIS0010 and so")
    replica = primary.replicas[client]
    primary.send_snapshot(replica, succeeded=False)
    result += [("leaving", client.leaving), ("delivered", heard.copy())]
    result += [("child", replica.child), ("held", bytes(replica.held)), ("file", primary.draft(number).exists())]
    heard.clear()
"""
    right = [("leaving", True), ("delivered", [b""]), ("child", 0), ("held", b""), ("file", False)]
    modules.check(PRIMARY + source, right * 2, path=str(tmp_path))


@step(4)
@pytest.mark.read("Step 4: all of it")
def test_psync_is_refused_inside_a_transaction(client: Client) -> None:
    """PSYNC between MULTI and EXEC is an error, and not queued: it would be answered inside the array of EXEC.

    `client.queue` is not None between MULTI and EXEC.
    """
    client.check(request("MULTI"), OK)
    client.check(request("PSYNC", "?", -1), b"-ERR Command not allowed inside a transaction\r\n")
    client.check(request("DISCARD"), OK)


# What a replica tells


@step(5)
@pytest.mark.read("Step 5: what a replica tells")
def test_what_a_replica_tells_about_itself_is_answered_with_ok(server: Server, connect: Connect, rng: Dice) -> None:
    """The handshake of a real replica: PING, REPLCONF with its port, and with what it can; then PSYNC.

    Return "OK" for each option but ACK, also for two in one request.

    The option may be in upper or lower case: `option.lower()`.
    """
    replica = Follower(server)
    replica.client.check(PING, PONG)
    replica.client.check(request("REPLCONF", "listening-port", 7000), OK)
    replica.client.check(request("replconf", "CAPA", "psync2", "capa", "psync2"), OK)
    replica.follow()
    replica.client.close()


@step(5)
@pytest.mark.read("Step 5: what a replica tells")
@pytest.mark.parametrize("option", ["ACK", "ack"])
def test_an_acknowledgement_has_no_answer(
    client: Client, follow: Callable[[], Follower], rng: Dice, option: str
) -> None:
    """`REPLCONF ACK offset` is not answered, in upper or lower case: the next bytes that the replica receives are a
    change.

    Is there an answer, as to other options? `option.lower() == b"ack"`: it may be in upper or lower case. Else return
    `Replies()`, an empty one. `None` is null, and that is an answer, too.
    """
    replica, key = follow(), rng.key()
    replica.told = request("REPLCONF", option, replica.offset)
    for _ in range(3):
        replica.client.send(replica.told)
    client.check(request("SET", key, "v"), OK)
    replica.expect([b"SET", key, b"v"])
    replica.told = request("REPLCONF", option, replica.offset)
    replica.client.send(replica.told)
    client.check(request("INCRBY", key + b"n", 7), b":7\r\n")
    replica.expect([b"INCRBY", key + b"n", b"7"])


@step(5)
@pytest.mark.read("Step 5: what a replica tells")
def test_who_is_no_replica_acknowledges_nothing(client: Client, follow: Callable[[], Follower]) -> None:
    """ACK of a client that has not sent PSYNC, and an ACK without a number, have no answer, and change nothing.

    Is `ACK 100` answered? `primary.replicas.get(client)` is None for who is no replica. Is `ACK x` answered, maybe with
    an error? `parse_integer` returns None for what is no integer. In both cases there is no answer, `Replies()`.
    """
    client.check(request("REPLCONF", "ACK", 100) + PING, PONG)
    replica = follow()
    replica.client.send(request("REPLCONF", "ACK", "much"))
    client.check(request("REPLCONF", "ACK", "x") + PING, PONG)
    eventually(client, lambda: counted(client, replica, 1), 1, "the replica has all; WAIT 1 30 counts")


@step(5)
@pytest.mark.read("Step 5: what a replica tells")
def test_info_tells_how_far_each_replica_is(start: Start, rng: Dice) -> None:
    """INFO has a line for each replica, with the offset of its last ACK; 0 before the first.

    Keep the offset in `acknowledged` of the Replica. Until then it has told nothing, and `attach` leaves 0 there.
    """
    server = start()
    client = server.connect()
    client.check(request("SET", rng.key(), "v"), OK)
    replica = Follower(server).follow()
    eventually(client, lambda: acknowledged(client), {"0"}, "the replica has sent no ACK; INFO tells of")
    for _ in range(2):
        client.check(request("SET", rng.key(), "v"), OK)
        replica.reaches(offset_of(client))
        replica.acknowledge()
        why = f"the replica has sent `REPLCONF ACK {replica.offset}`; INFO tells of"
        eventually(client, lambda: acknowledged(client), {str(replica.offset)}, why)


@step(5)
@pytest.mark.read("Step 5: what a replica tells")
def test_wait_is_answered_when_a_replica_has_all_that_was_written(
    client: Client, connect: Connect, follow: Callable[[], Follower], rng: Dice
) -> None:
    """WAIT asks by `REPLCONF GETACK *` in the stream; an ACK before the write does not count, one of all of it does.

    Call `primary.wake()` when an ACK has come: it answers those whose number is reached.

    Its 37 bytes belong to the stream, and count: `wait`, which is given, feeds them.
    """
    replica, key, other = follow(), rng.key(), connect()
    client.check(request("SET", key, "1"), OK)
    replica.expect([b"SET", key, b"1"])
    before = replica.offset
    client.check(request("SET", key, "2"), OK)
    client.send(request("WAIT", 1, 0))
    replica.expect([b"SET", key, b"2"], GETACK)
    replica.acknowledge(before)
    eventually(client, lambda: str(before) in acknowledged(other), True, f"INFO tells of an ACK of {before}")
    client.expect_nothing()
    replica.acknowledge()
    client.expect(b":1\r\n")
    eventually(client, lambda: counted(client, replica, 1), 1, "the replica has all; WAIT 1 30 counts")


# Cut off, and back


@step(6)
@pytest.mark.read("Step 6: cut off, and back")
def test_since_returns_the_rest_of_the_stream(modules: Modules) -> None:
    """`since(n)` returns what comes behind the first n bytes of the stream: all, a part, nothing; None for what is not
    there. The stream has 14 bytes here; the result is for 0, 10, 14, 15 and -1.

    The backlog begins at `self.offset - len(self.backlog)`.

    A negative index counts from the end: ask first whether the backlog has it.
    """
    source = """
primary.feed([b"PING"])
result = [primary.since(offset) for offset in (0, 10, 14, 15, -1)]
"""
    modules.check(PRIMARY + source, [request("PING"), b"NG\r\n", b"", None, None])


@step(6)
@pytest.mark.read("Step 6: cut off, and back")
def test_since_returns_nothing_that_the_backlog_has_lost(modules: Modules) -> None:
    """After two requests of 600 KiB the backlog has the last BACKLOG bytes. The result has how many bytes `since`
    returns for the first of them, for the byte before, and for the beginning.

    `first <= offset <= self.offset`, else None.
    """
    source = """
for number in range(2):
    primary.feed([b"SET", b"k%d" % number, b"x" * 600 * 1024])
first = primary.offset - BACKLOG
result = [each and len(each) for each in map(primary.since, (first, first - 1, 0))]
"""
    modules.check(PRIMARY + source, [MIB, None, None])


@step(6)
@pytest.mark.read("Step 6: cut off, and back")
@pytest.mark.parametrize("writes", [1, 0, 30])
def test_who_was_cut_off_gets_what_it_has_missed(
    client: Client, server: Server, follow: Callable[[], Follower], rng: Dice, writes: int
) -> None:
    """A replica has gone, some writes follow while nobody is there (1, none, 30), and it is back: CONTINUE and the id,
    exactly what it has missed, and then what follows.

    Is the answer FULLRESYNC? `replid` is bytes, and `primary.id` a str: `primary.id.encode()`. Is it that only if
    nothing was written? An empty rest is a rest, too: `is not None`. Is there a byte too many or too few? The replica
    asks for the byte *behind* those that it has: `since(offset - 1)`. Does nothing follow? Make it a Replica again,
    without a child.

    Is something missing? The stream goes on without replicas: `feed` keeps it, whoever is there.
    """
    replica, key = follow(), rng.key()
    client.ask("SET", key, "0")
    replica.expect([b"SET", key, b"0"])
    replica.client.close()
    eventually(client, lambda: count_replicas(client), "0", "the replica has gone; INFO counts")
    for number in range(writes):
        client.ask("APPEND", key, f"{number}")
    again = replica.continues(server)
    again.expect(*([b"APPEND", key, b"%d" % number] for number in range(writes)))
    client.ask("APPEND", key, "live")
    again.expect([b"APPEND", key, b"live"])
    eventually(client, lambda: counted(client, again, 1), 1, "the replica has all; WAIT 1 30 counts")
    again.client.close()


@step(6)
@pytest.mark.read("Step 6: cut off, and back")
def test_a_replica_goes_on_in_the_middle_of_a_request(
    client: Client, server: Server, follow: Callable[[], Follower], rng: Dice
) -> None:
    """A replica that was cut off inside a request, and has kept its first half, gets the other half.

    The backlog has bytes, not requests: any of them may be the next.
    """
    replica, key, value = follow(), rng.key(), rng.key(50)
    client.check(request("SET", key, value), OK)
    replica.expect([b"SET", key, value])
    again = replica.continues(server, wanted=replica.offset + 1 - 20)
    again.client.expect(request("SET", key, value)[-20:])
    client.check(request("SET", key, "next"), OK)
    again.expect([b"SET", key, b"next"])
    again.client.close()


@step(6)
@pytest.mark.read("Step 6: cut off, and back")
@pytest.mark.parametrize("why", ["another-stream", "no-text", "not-so-long", "no-longer-there"])
def test_who_cannot_go_on_gets_everything_again(
    client: Client, server: Server, follow: Callable[[], Follower], rng: Dice, why: str
) -> None:
    """FULLRESYNC is the answer to another id, to one that is no text (not UTF-8), to an offset behind the end of the
    stream, and to one that the backlog does not reach back to.

    Another id is another stream: the same offset means other bytes there. Compare bytes with bytes: `replid` cannot
    always be decoded, `primary.id.encode()` is always possible.

    `since` returns None for what the backlog does not have; with `attach` the replica begins again.
    """
    replica, key, again = follow(), rng.key(), Follower(server)
    replid, offset = replica.id.encode(), replica.offset + 1
    if why == "another-stream":
        replid = rng.randbytes(20).hex().encode()
    elif why == "no-text":
        replid = b"\xff" * 40
    elif why == "not-so-long":
        offset += 100_000
    else:
        for _ in range(3):
            client.check(request("SET", key, rng.randbytes(MIB // 2)), OK)
    client.check(request("SET", key, "v"), OK)
    line = again.ask(replid, offset)
    assert line[:12] == "+FULLRESYNC ", f"PSYNC {replid!r} {offset} was answered with {line!r}: {why}"
    assert again.take().values[key] == b"v"
    client.check(request("SET", key, "w"), OK)
    again.expect([b"SET", key, b"w"])
    again.client.close()


@step(6)
@pytest.mark.read("Step 6: cut off, and back")
def test_who_gets_the_rest_needs_no_snapshot_any_more(modules: Modules, tmp_path: Path) -> None:
    """A client whose snapshot is being written sends a second PSYNC, with the id and the next byte: it is answered with
    CONTINUE, and the child and its file are gone. The result has the first word of the answer, the `child` of the
    Replica, and whether the file is there.

    `psync` begins with `detach`, whatever it answers: the client may be a replica already, and have a child.
    """
    source = """
import os
import time
from pathlib import Path
from blocking import Waiting
from client import Client
from primary import Primary, Replica, psync
from store import Store

primary, client = Primary(Store(), Waiting()), Client(id=1)
primary.folder = Path(path)
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
primary.draft(child).write_bytes(b"REDIS0010 and so")
primary.replicas[client] = Replica(client, child)
answers = psync(primary, client, primary.id.encode(), primary.offset + 1)
result = [answers[0].split()[0], primary.replicas[client].child, primary.draft(child).exists()]
"""
    modules.check(source, ["CONTINUE", 0, False], path=str(tmp_path))


# Wait, and be patient


@step(7)
@pytest.mark.read("Step 7: who waits, and who is slow")
def test_wait_answers_with_the_number_of_replicas_when_its_time_is_over(
    client: Client, follow: Callable[[], Follower], rng: Dice
) -> None:
    """After its timeout WAIT is answered with how many replicas have it: 0, then 1, when 3 are asked for. A BLPOP that
    waits in vain is answered with null, as before.

    Is it the wrong answer? `wait.late()` says what it is: of WAIT a number, of BLPOP null. Is the next request not
    answered? The client waits still: `unpark` it first.
    """
    key = rng.key()
    client.check(request("SET", key, "1"), OK)
    client.check(request("WAIT", 1, 30), b":0\r\n")
    replica = follow()
    client.check(request("SET", key, "2"), OK)
    replica.expect([b"SET", key, b"2"])
    eventually(client, lambda: counted(client, replica, 3), 1, "one replica has all; WAIT 3 30 counts")
    client.check(request("BLPOP", rng.key(), "0.03"), b"*-1\r\n")


@step(7)
@pytest.mark.read("Step 7: who waits, and who is slow")
def test_a_timeout_ends_only_its_own_wait(modules: Modules) -> None:
    """A client has waited, was served, and waits again. `time_out`, called for the first Wait, does nothing; for the
    second it delivers what `late` returns, here 7. The result has `output` and whether the client waits, after each.

    Has the first one ended it? Ask `is`, as before: `self.server.engine.waiting.waits.get(self.client) is wait`.

    `self.deliver(wait.late())`, after `unpark`.
    """
    source = """
import asyncio
from blocking import Wait
from server import Connection, Server

class Wire(asyncio.Transport):
    def write(self, data):
        pass
    def get_write_buffer_size(self):
        return 0
    def is_closing(self):
        return False

async def main():
    connection, found = Connection(Server()), []
    connection.connection_made(Wire())
    waiting = connection.server.engine.waiting
    first, second = (Wait((), int, 1, lambda key: None, late=lambda: 7) for _ in range(2))
    waiting.park(connection.client, second)
    for name, wait in (("first", first), ("second", second)):
        connection.time_out(wait)
        found.append((name, bytes(connection.output), connection.client in waiting))
    return found

result = asyncio.run(main())
"""
    modules.check(source, [("first", b"", True), ("second", b":7\r\n", False)])


@step(7)
@pytest.mark.read("Step 7: who waits, and who is slow")
def test_wait_in_a_transaction_does_not_wait(client: Client, rng: Dice) -> None:
    """In a transaction WAIT is answered at once with how many replicas have it, and BLPOP with null. Other answers are
    copies, as before: HGETALL shows what was there, and not what HSET has made of it later.

    `answer.late()`, for a Wait that `run` returns; `copy(answer)` for others.
    """
    key = rng.key()
    client.check(request("MULTI") + request("SET", key, "v"), OK + QUEUED)
    client.check(request("WAIT", 5, 0) + request("BLPOP", key + b"l", 0), QUEUED * 2)
    client.check(request("EXEC"), b"*3\r\n" + OK + b":0\r\n*-1\r\n")
    user = rng.key()
    client.check(request("HSET", user, "f", "1") + request("MULTI"), b":1\r\n" + OK)
    client.check(request("HGETALL", user) + request("HSET", user, "f", "2"), QUEUED * 2)
    client.check(request("EXEC"), b"*2\r\n" + request("f", "1") + b":0\r\n")


@step(7)
@pytest.mark.read("Step 7: who waits, and who is slow")
def test_a_replica_that_reads_late_is_not_cut_off(
    client: Client, connect: Connect, follow: Callable[[], Follower], rng: Dice
) -> None:
    """40 MiB of changes wait for a replica that does not read: that is more than other clients may have, and it gets
    them all.

    A replica is in `primary.replicas` of the engine; 32 times LIMIT may wait for it. Who is cut off needs all data
    again.
    """
    replica, key, value = follow(), rng.key(), b"x" * MIB
    for _ in range(40):
        client.check(request("SET", key, value), OK)
    client.check(request("SET", key, "end"), OK)
    for number in range(40):
        args = replica.next(f"40 changes of 1 MiB; {number} have come")
        while args in QUIET:
            args = replica.next(f"40 changes of 1 MiB; {number} have come")
        assert args[:2] == [b"SET", key] and len(args[2]) == MIB
    replica.expect([b"SET", key, b"end"])


@step(7)
@pytest.mark.read("Step 7: who waits, and who is slow")
def test_a_replica_has_32_times_as_much_and_no_more(modules: Modules) -> None:
    """`deliver`, while so many MiB wait in the transport: the result says for 31 and 33 MiB whether another client is
    cut off, then for 1023 and 1025 MiB whether a replica is. (LIMIT is 32 MiB.) At last it has what is kept for a
    connection that is closing already: nothing, as before.

    Does a replica stay at 1025? A limit of 32 times LIMIT is one, too: without it, a replica that has stopped reading
    would take all memory. Does another client stay at 33? For it the limit is LIMIT, as before. Is it the last? Ask
    `is_closing()` first.

    `limit = 32 * LIMIT if self.client in self.server.engine.primary.replicas else LIMIT`
    """
    source = """
import asyncio
from primary import Replica
from server import Connection, Server
from writer import Raw

class Wire(asyncio.Transport):
    "A transport in which `size` bytes wait."
    size, aborted = 0, False
    def write(self, data):
        pass
    def get_write_buffer_size(self):
        return self.size
    def is_closing(self):
        return self.aborted
    def abort(self):
        self.aborted = True

async def main():
    found = []
    for replica, size in ((False, 31), (False, 33), (True, 1023), (True, 1025)):
        connection, wire = Connection(Server()), Wire()
        connection.connection_made(wire)
        if replica:
            connection.server.engine.primary.replicas[connection.client] = Replica(connection.client)
        wire.size = size * 1024 * 1024
        connection.deliver(Raw(b"x"))
        found.append(("a replica" if replica else "another client", size, "cut off" if wire.aborted else "stays"))
    wire.aborted, connection.output = True, bytearray()
    connection.deliver(Raw(b"x"))
    return [*found, ("closing already", bytes(connection.output))]

result = asyncio.run(main())
"""
    ends = [("another client", 31, "stays"), ("another client", 33, "cut off")]
    ends += [("a replica", 1023, "stays"), ("a replica", 1025, "cut off")]
    modules.check(source, [*ends, ("closing already", b"")])


@step(7)
@pytest.mark.read("Step 7: who waits, and who is slow")
@pytest.mark.needs("redis-server")
def test_a_real_redis_follows_continues_and_takes_over(start: Start, patience: Patience, tmp_path: Path) -> None:
    """A real redis-server copies this one, is cut off and continues, and goes on when this one is killed.

    What it thinks of this server is in its output, from `MASTER` on.
    """
    server = start()
    client = server.connect()
    client.ask("CONFIG", "SET", "repl-diskless-sync-delay", 0)  # Redis waits 5 seconds for more replicas
    client.ask("SET", "name", "Alice"), client.ask("RPUSH", "list", "b", "a"), client.ask("ZADD", "board", "0.5", "Bob")
    try:
        program = redis()
    except Unavailable as error:
        pytest.skip(str(error))
    real = Server(program, patience, tmp_path, options=("--replicaof", server.host, str(server.port)))
    try:
        real.await_ready()
        copy = real.connect()
        eventually(client, lambda: about(copy)["master_link_status"], "up", "the link of a real replica is")
        client.ask("SET", "name", "Bob")
        assert client.ask("WAIT", 1, 5000) == 1, "WAIT 1 5000, with a real replica"
        found = [copy.ask("GET", "name"), copy.ask("LRANGE", "list", 0, -1), copy.ask("ZSCORE", "board", "Bob")]
        assert found == [b"Bob", [b"b", b"a"], b"0.5"], f"the real replica has {found}"
        copy.ask("CLIENT", "KILL", "TYPE", "master")
        client.ask("SET", "name", "Carol")
        eventually(client, lambda: copy.ask("GET", "name"), b"Carol", "after it was cut off, the real replica has")
        success = "Successful partial resynchronization"
        eventually(client, lambda: success in real.output, True, f"the real replica says {success!r}:")
        server.kill()
        assert copy.ask("REPLICAOF", "NO", "ONE") == "OK"
        assert [copy.ask("APPEND", "name", "!"), copy.ask("GET", "name")] == [6, b"Carol!"]
    finally:
        real.close()
