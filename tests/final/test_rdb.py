"""Snapshots (RDB): what real servers wrote is read, whatever form they chose; damage is told, with its place.

`tests/support/snapshots` has recorded ones, with which most of this runs where there is no Redis.
"""

from __future__ import annotations

import contextlib
import random
import struct
import time
import tracemalloc
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from final.log.rdb.crc import crc64
from final.log.rdb.cursor import BadSnapshot, Cursor
from final.log.rdb.lzf import decompress
from final.log.rdb.packed import intset, listpack, ziplist
from final.log.rdb.read import read_snapshot
from final.log.read import CorruptLog
from final.protocol.numeric import parse_integer
from stages.harness.course import ROOT
from stages.harness.wire import request
from tests.support.folders import data_of, everything, flush, opened, write_log
from tests.support.oracle import InProcess, OverTheWire, final_server, redis_server
from tests.support.sequences import EXAMPLES
from tests.support.snapshots.contents import CONTENTS, FEW, STREAM, STREAMS, Args

RECORDED = {path.name: path.read_bytes() for path in sorted((ROOT / "tests" / "support" / "snapshots").glob("*.rdb"))}
SMALL = RECORDED["7.0.15-lru.rdb"]


def expected(contents: list[Args]) -> dict[int, Any]:
    """The data that these requests make."""
    peer = InProcess()
    replies = peer.ask_all([[arg if type(arg) is bytes else str(arg).encode() for arg in each] for each in contents])
    assert not [reply for reply in replies if reply.startswith(b"-")]
    return data_of(peer)


def requests_of(data: bytes) -> list[list[bytes]]:
    """All that is read from a snapshot."""
    return [args for _, args in read_snapshot(Cursor(data))]


def unchecked(data: bytes) -> bytes:
    """The snapshot without its checksum."""
    return data[:-8] + bytes(8)


# What real servers wrote


@pytest.mark.parametrize("name", [name for name in RECORDED if "function" not in name])
def test_what_a_server_wrote_is_read(tmp_path: Path, name: str) -> None:
    write_log(tmp_path, base=RECORDED[name])
    contents = {"lru": FEW, "lfu": FEW, "stream": STREAM, "streams": STREAMS}
    assert data_of(opened(tmp_path)) == expected(contents.get(name.split("-")[-1].removesuffix(".rdb"), CONTENTS))


def test_the_recorded_snapshots_have_all_forms_that_their_servers_write() -> None:
    forms = {"7.0.15": {0, 2, 4, 5, 11, 16, 17, 18}, "6.2.14": {0, 2, 4, 5, 11, 12, 13, 14}}
    for name, wanted in {**forms, "valkey-9.1.2": forms["7.0.15"] | {20}}.items():
        data = RECORDED[f"{name}.rdb"]
        found = {data[start] for start, args in read_snapshot(Cursor(data)) if args[0] not in (b"SELECT", b"PEXPIREAT")}
        assert found == wanted


def test_what_a_server_keeps_by_when_it_was_used_comes_with_marks_that_are_skipped() -> None:
    assert b"\xf8" in RECORDED["7.0.15-lru.rdb"] and b"\xf9" in RECORDED["7.0.15-lfu.rdb"]


def test_a_log_of_redis_6_that_begins_with_a_snapshot_is_read_to_its_end(tmp_path: Path) -> None:
    tail = request("SELECT", 0) + request("SET", "tail", 1)
    whole = RECORDED["6.2.14-lru.rdb"] + tail
    base = write_log(tmp_path, base=whole)
    assert data_of(opened(tmp_path))[0] == expected(FEW)[0] | {b"tail": (b"1", None)}
    base.write_bytes(RECORDED["6.2.14-lru.rdb"] + tail + b"*1")
    with pytest.raises(
        CorruptLog, match=f"damaged at byte {len(RECORDED['6.2.14-lru.rdb'] + tail)}: .* half a request"
    ):
        opened(tmp_path)


def test_what_followed_the_snapshot_is_executed_on_it(tmp_path: Path) -> None:
    write_log(
        tmp_path, base=SMALL, incr1=request("SELECT", 0) + request("RPUSH", "list", "more"), incr2=request("DEL", "set")
    )
    peer = opened(tmp_path)
    assert peer.ask("LRANGE list 0 -1") == "*4 $1 a $1 1 $5 -1000 $4 more"
    peer.ask("SET new v")
    flush(peer)
    again = opened(tmp_path)
    assert again.ask("GET new") == "$1 v" and again.ask("EXISTS set") == ":0"


def test_a_key_whose_time_is_up_is_not_brought_back_to_life_by_what_followed(tmp_path: Path) -> None:
    incr = request("SELECT", 0) + request("APPEND", "deadline", "1")
    write_log(tmp_path, base=SMALL, incr1=incr)
    assert opened(tmp_path, 4_000_000_000_123).ask("GET deadline") == "$2 71"
    assert opened(tmp_path, 4_000_000_000_124).ask("GET deadline") == "$-1"


# A real server, now


def texts_and_integers() -> st.SearchStrategy[bytes]:
    """Texts that repeat themselves, and integers of every width."""
    pieces = st.lists(st.binary(max_size=20) | st.builds(bytes.__mul__, st.binary(max_size=3), st.integers(0, 3000)))
    bits = st.integers(0, 63).flatmap(lambda bits: st.integers(-(1 << bits), (1 << bits) - 1))
    return pieces.map(b"".join) | bits.map(b"%d".__mod__)


def test_any_data_that_a_real_redis_keeps_is_read_as_it_was(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("real")
    with redis_server("--dir", str(folder)) as server:
        client = server.connect()

        @settings(max_examples=max(EXAMPLES // 5, 10), deadline=None)
        @given(st.lists(texts_and_integers(), min_size=1, max_size=20), st.sampled_from([-5, -1, 3]))
        def holds(elements: list[bytes], piece: int) -> None:
            contents: list[Args] = [["RPUSH", "l", *elements], ["SADD", "s", *elements]]
            contents += [["SET", b"k" + element, element] for element in elements]
            contents += [["HSET", "h", element, element] for element in elements]
            contents += [["ZADD", "z", number * 0.7, element] for number, element in enumerate(elements)]
            client.ask("FLUSHALL")
            client.ask("CONFIG", "SET", "list-max-listpack-size", piece, "hash-max-listpack-value", 20_000)
            for args in contents:
                client.ask(*args)
            assert client.ask("SAVE") == "OK"
            target = tmp_path_factory.mktemp("ours")
            write_log(target, base=(folder / "dump.rdb").read_bytes())
            assert data_of(opened(target)) == expected(contents)

        holds()


def dumped(peer: InProcess | OverTheWire, keys: tuple[bytes, ...]) -> list[list[bytes]]:
    """What DUMP answers, for each key in a list of its own."""
    return [[reply[reply.index(b"\n") + 1 : -2]] for reply in peer.ask_all([b"DUMP", key] for key in keys)]


def test_any_value_is_dumped_in_the_bytes_of_redis_and_each_restores_what_the_other_dumps() -> None:
    """Large sets and hashes are hash tables, whose order is random: they are left out."""
    with redis_server() as server:
        real, ours = OverTheWire(server.connect()), InProcess()

        @settings(max_examples=max(EXAMPLES // 5, 10), deadline=None)
        @given(st.lists(texts_and_integers(), min_size=1, max_size=40), st.sampled_from([-9, -2, -1, 0, 1, 3, 99999]))
        def holds(elements: list[bytes], piece: int) -> None:
            numbers = [number for number in elements if parse_integer(number) is not None]
            scores = [b"%.17g" % (int(number) * 2.0 ** (place % 5 - 2)) for place, number in enumerate(numbers)]
            odd: list[bytes] = [b"-0", b"inf", b"-inf", b"4611686018427387904", b"4611686018427387905", b"-9e300"]
            scored = [arg for pair in zip(odd + scores, odd + numbers, strict=True) for arg in pair]
            limits = {"list-max-ziplist-size": piece, "hash-max-listpack-value": 90_000, "rdbcompression": "no"}
            made = [[b"FLUSHALL"], [b"CONFIG", b"SET", *(str(arg).encode() for pair in limits.items() for arg in pair)]]
            made += [[b"RPUSH", b"list", *elements, *elements], [b"SET", b"text", elements[0]]]
            made += [[b"HSET", b"hash", *elements, *elements], [b"ZADD", b"sorted set", *scored]]
            made += [[b"SADD", b"set", b"5", *numbers], [b"SREM", b"set", *numbers[1::2], b"7"]]
            made += [[b"XADD", b"stream", b"5-%d" % (place + 1), each, each] for place, each in enumerate(elements)]
            keys = (b"list", b"text", b"hash", b"sorted set", b"set", b"stream")
            for peer in (real, ours):
                assert not [reply for reply in peer.ask_all(made) if reply.startswith(b"-")]
            dumps = dumped(ours, keys)
            assert dumps == dumped(real, keys)
            for peer in (real, ours):
                restored = [[b"RESTORE", key, b"0", *each, b"REPLACE"] for key, each in zip(keys, dumps, strict=True)]
                assert set(peer.ask_all(restored)) == {b"+OK\r\n"}
                assert dumped(peer, keys) == dumps

        holds()


# Encodings that the recorded servers rarely write, built here


def text(data: bytes) -> bytes:
    """A string in a snapshot."""
    return b"\x80" + struct.pack(">I", len(data)) + data


def snapshot(form: int, value: bytes, version: bytes = b"0010", before: bytes = b"") -> bytes:
    """A snapshot with one key, `k`."""
    body = b"REDIS" + version + b"\xfe\x00" + before + bytes([form]) + text(b"k") + value + b"\xff"
    return body + struct.pack("<Q", crc64(body))


def a_ziplist(*entries: bytes) -> bytes:
    """A ziplist of entries, each without the length of the one before it."""
    body, before = b"", 0
    for entry in entries:
        whole = (bytes([before]) if before < 254 else b"\xfe" + struct.pack("<I", before)) + entry
        body, before = body + whole, len(whole)
    return struct.pack("<IIH", 11 + len(body), 10 + len(body) - before, len(entries)) + body + b"\xff"


def a_listpack(*entries: bytes) -> bytes:
    """A listpack of short entries, each without its length at the end."""
    body = b"".join(entry + bytes([len(entry)]) for entry in entries)
    return struct.pack("<IH", 7 + len(body), len(entries)) + body + b"\xff"


A, B, ONE = b"\x01a", b"\x01b", b"\xf2"  # in a ziplist
LONG = b"\x41\x2c" + b"x" * 300
BY_HAND: dict[str, tuple[int, bytes, Any]] = {
    "set, intset": (
        11,
        text(struct.pack("<IIqq", 8, 2, -(2**63), 2**63 - 1)),
        {b"-9223372036854775808", b"%d" % (2**63 - 1)},
    ),
    "sorted set, ziplist": (12, text(a_ziplist(B, ONE, A, b"\x03inf")), [(b"1", b"b"), (b"inf", b"a")]),
    "hash, ziplist": (13, text(a_ziplist(A, b"\xfe\x80", B, b"\xf0\xff\xff\x7f")), {b"a": b"-128", b"b": b"8388607"}),
    "list, quicklist of ziplists": (
        14,
        b"\x02" + text(a_ziplist(A, LONG, B)) + text(a_ziplist(B)),
        deque([b"a", b"x" * 300, b"b", b"b"]),
    ),
    "set, listpack": (20, text(a_listpack(b"\x81a", b"\x07", b"\xf1\x00\x80")), {b"a", b"7", b"-32768"}),
}


def a_stream(since_7_0: bytes, read: bytes, since_7_2: bytes) -> bytes:
    """A stream of three entries, of which one is deleted, with a group of two consumers, of which one has an entry."""
    head = [b"\x02", b"\x01", b"\x01", b"\x81a", b"\x00"]
    same, deleted = [b"\x02", b"\x00", b"\x00", b"\x81v", b"\x04"], [b"\x03", b"\x00", b"\x01", b"\x81w", b"\x04"]
    other = [b"\x00", b"\x01", b"\xdf\xff", b"\x02", b"\x81b", b"\x07", b"\x81c", b"\x80", b"\x08"]
    first, time = struct.pack(">QQ", 1, 1), struct.pack("<q", 1_700_000_000_000)
    node = text(first) + text(a_listpack(*head, *same, *deleted, *other))
    pending = b"\x01" + first + time + b"\x05"
    consumers = b"\x02" + text(b"al") + time + since_7_2 + b"\x01" + first + text(b"bo") + time + since_7_2 + b"\x00"
    return (
        b"\x01" + node + b"\x02\x02\x00" + since_7_0 + b"\x01" + text(b"g") + b"\x01\x01" + read + pending + consumers
    )


def made(deleted: bytes, added: bytes) -> list[tuple[bytes, ...]]:
    """The requests that make it."""
    claim = "XCLAIM k g al 0 1-1 TIME 1700000000000 RETRYCOUNT 5 JUSTID FORCE"
    return [
        (b"XADD", b"k", b"1-1", b"a", b"v"),
        (b"XADD", b"k", b"2-0", b"b", b"7", b"c", b""),
        (b"XSETID", b"k", b"2-0", b"ENTRIESADDED", added, b"MAXDELETEDID", deleted),
        (b"XGROUP", b"CREATE", b"k", b"g", b"1-1", b"ENTRIESREAD", b"1"),
        tuple(claim.encode().split()),
        (b"XGROUP", b"CREATECONSUMER", b"k", b"g", b"bo"),
    ]


def a_node(*elements: bytes) -> bytes:
    """A snapshot of a stream of one node."""
    return snapshot(19, b"\x01" + text(bytes(16)) + text(a_listpack(*elements)))


SEVEN = b"\x01\x01" + b"\x01\x02" + b"\x03"
BY_HAND |= {
    "stream, 5.0": (15, a_stream(b"", b"", b""), made(b"0-0", b"2")),
    "stream, 7.0": (19, a_stream(SEVEN, b"\x01", b""), made(b"1-2", b"3")),
    "stream, 7.2": (21, a_stream(SEVEN, b"\x01", bytes(8)), made(b"1-2", b"3")),
}
PENDING = a_stream(b"", b"", b"")
OF_ONE = (
    struct.pack("<q", 1_700_000_000_000) + b"\x01" + struct.pack(">QQ", 1, 1)
)  # when a consumer was seen, its entry
NEWER = {"set, listpack", "stream, 7.2"}


def plain(value: Any) -> Any:
    """What `data_of` gives: a sorted set as the requests that make it."""
    if isinstance(value, list) and value[0][0] != b"XADD":
        return [(b"ZADD", b"k", *(arg for entry in value for arg in entry))]
    return value


@pytest.mark.parametrize("name", BY_HAND)
def test_an_older_or_newer_form_is_read(tmp_path: Path, name: str) -> None:
    form, value, wanted = BY_HAND[name]
    write_log(tmp_path, base=snapshot(form, value, b"0011"))
    assert data_of(opened(tmp_path)) == {0: {b"k": (plain(wanted), None)}}


@pytest.mark.parametrize("name", [name for name in BY_HAND if name not in NEWER])
def test_a_real_redis_reads_them_so_too(tmp_path: Path, name: str) -> None:
    form, value, _ = BY_HAND[name]
    write_log(tmp_path / "ours", base=snapshot(form, value))
    write_log(tmp_path / "theirs", base=snapshot(form, value))
    with redis_server(data=tmp_path / "theirs") as theirs, final_server(data=tmp_path / "ours") as ours:
        assert everything(ours.connect()) == everything(theirs.connect()) != {}


def test_a_deadline_is_read_in_milliseconds() -> None:
    data = snapshot(0, text(b"v"), before=b"\xfc" + struct.pack("<q", 4_000_000_000_123))
    assert requests_of(data)[1:] == [[b"SET", b"k", b"v"], [b"PEXPIREAT", b"k", b"4000000000123"]]


@pytest.mark.parametrize("server", ["7.0.15", "valkey-9.1.2"])
def test_a_library_of_functions_is_a_request_like_a_value(server: str) -> None:
    code = b"#!lua name=library\nredis.register_function('f', function() return 1 end)"
    assert requests_of(RECORDED[f"{server}-function.rdb"]) == [[b"FUNCTION", b"LOAD", code]]


# Refused


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (SMALL.replace(b"REDIS0010", b"REDIS0012"), "version REDIS0012"),
        (snapshot(7, b""), "the key b'k' is of a module's type"),
        (snapshot(0, b"", before=b"\xf7"), "it contains the data of a module"),
        (snapshot(99, b""), "99 is no known type of value"),
        (snapshot(0, b"\xc4"), "expected a string"),
        (snapshot(2, b"\xc0"), "expected a length"),
        (snapshot(18, b"\x01\x03" + text(b"x")), "a list node of an unknown type"),
        (snapshot(13, text(a_ziplist(A))), "an odd number of strings that should be pairs"),
        (snapshot(13, text(a_ziplist(b"\xf0\xff"))), "b'k' holds a ziplist whose last element is too long"),
        (snapshot(16, text(a_listpack(b"\x85a"))), "b'k' holds a collection that ends too early"),
        (
            snapshot(16, text(a_listpack(b"\x82a"))),
            "element that has another length than",
        ),
        (
            snapshot(16, text(a_listpack(b"\x81a")[:-2] + b"\x02")),
            "b'k' holds a listpack with a wrong length or end",
        ),
        (snapshot(16, text(a_listpack(b"\xf5"))), "element of an unknown encoding"),
        (snapshot(11, text(struct.pack("<IIq", 8, 2, 1))), "b'k' holds an intset with a wrong length"),
        (a_node(b"\x01", b"\x00"), "without a number where one has to be"),
        (a_node(b"\x01", b"\x00", b"\x00", b"\x00", b"\x81x"), "without a number where one has to be"),
        (a_node(*[b"\x00"] * 5), "another number of elements"),
        (
            snapshot(15, PENDING.replace(OF_ONE, OF_ONE[:9] + bytes(16))),
            "pending for two consumers, or not for its group",
        ),
        (snapshot(15, PENDING.replace(OF_ONE, OF_ONE[:8] + b"\x00")), "pending for no consumer"),
        *((snapshot(old, b""), f"{old} is no known type of value") for old in (3, 9, 10)),  # before Redis 4
        (snapshot(0, b"\xc3\x03\x09\x00a\x40"), "compressed text"),
        (SMALL[:-1] + bytes([SMALL[-1] ^ 1]), "the checksum does not match the data"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_nothing_is_changed(tmp_path: Path, data: bytes, reason: str) -> None:
    base = write_log(tmp_path, base=data)
    with pytest.raises(CorruptLog, match=r"byte \d+: .*" + reason):
        opened(tmp_path)
    assert base.read_bytes() == data


def test_a_snapshot_cut_off_anywhere_is_refused() -> None:
    for size in range(len(SMALL)):
        with pytest.raises(BadSnapshot) as refused:
            requests_of(SMALL[:size])
        assert refused.value.offset <= size


def test_a_flipped_bit_anywhere_is_found_by_the_checksum() -> None:
    for place in range(len(SMALL) - 8):
        with pytest.raises(BadSnapshot):
            requests_of(SMALL[:place] + bytes([SMALL[place] ^ 1 << place % 8]) + SMALL[place + 1 :])


def damaged() -> Iterator[bytes]:
    """Recorded snapshots, and streams, without their checksum, with a few bytes changed."""
    chance = random.Random(3)
    recorded = ("7.0.15-lru.rdb", "6.2.14-lru.rdb", "valkey-9.1.2-lru.rdb")
    streams = [snapshot(form, value) for form, value, _ in BY_HAND.values() if form in (15, 19, 21)]
    for data in (*(RECORDED[name] for name in recorded), *streams):
        for _ in range(1500):
            changed = bytearray(unchecked(data))
            for _ in range(chance.randrange(1, 4)):
                changed[chance.randrange(9, len(changed) - 8)] = chance.choice(
                    [0, 1, 0x7F, 0x80, 0x81, 0xC3, 0xFE, 0xFF, chance.randrange(256)]
                )
            yield bytes(changed)


def test_damage_that_no_checksum_tells_of_is_read_or_refused_and_costs_neither_time_nor_memory() -> None:
    read = refused = 0
    tracemalloc.start()
    began = time.process_time()
    for data in damaged():
        try:
            requests_of(data)
            read += 1
        except BadSnapshot:
            refused += 1
    assert read > 100 and refused > 100
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    assert time.process_time() - began < 30
    tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        snapshot(0, b"\x81" + b"\x7f" + b"\xff" * 7),
        snapshot(2, b"\x81" + b"\xff" * 8),
        snapshot(18, b"\x81" + b"\xff" * 8),
        snapshot(0, b"\xc3\x02\x81" + b"\xff" * 8 + b"\x00a"),
        snapshot(11, text(struct.pack("<II", 8, 2**32 - 1))),
        snapshot(16, text(b"\xff\xff\xff\xff\xff\xff\xff")),
    ],
)
def test_a_length_that_is_not_there_is_refused_before_it_is_believed(data: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(BadSnapshot):
        requests_of(data)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 60))
def test_random_bytes_are_refused_or_read_as_no_more_than_there_is(data: bytes, size: int) -> None:
    for read in (listpack, ziplist, intset):
        for prefix in (b"", struct.pack("<I", len(data) + 4)):
            with contextlib.suppress(ValueError, IndexError):  # which `read_value` turns into the error with its place
                items = list(read(prefix + data))
                assert all(type(item) is bytes for item in items) and len(items) <= len(prefix + data)
    with contextlib.suppress(ValueError):
        assert len(decompress(data, size)) == size
