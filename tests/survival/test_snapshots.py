"""Snapshots and dumped values that are damaged are refused; one that a crash or a full disk interrupts changes nothing.

Longer: ROUNDS=50 python -m pytest tests/survival/test_snapshots.py
"""

from __future__ import annotations

import os
import random
import struct
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from final.log.rdb.crc import crc64
from final.log.rdb.packed import pack_listpack
from final.log.rdb.write import string
from final.log.read import CorruptLog
from final.restore import restore
from stages.harness.target import find
from stages.harness.wire import Client, Error, request
from tests.support.disk import Disk, on
from tests.support.folders import data_of
from tests.support.oracle import PATIENCE, InProcess, OverTheWire, args_of, final_server, redis_server

ROUNDS = int(os.environ.get("ROUNDS", "1"))
SIGNS = (0, 1, 0x7F, 0x80, 0x81, 0xC0, 0xC3, 0xFE, 0xFF)  # with which lengths and encodings begin
LINES = """
SET text aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbb
SET number -70000
RPUSH list a bb 300
SADD set a 1
SADD numbers 1 2 300000
ZADD sorted 1.5 a -inf b
HSET hash f v g 12
XADD stream 1-1 f v
XADD stream 2-1 g w x y
XGROUP CREATE stream group 0
XREADGROUP GROUP group alice COUNT 1 STREAMS stream >
""".strip().splitlines()
WRONG = "-ERR DUMP payload version or checksum are wrong"
BAD = "-ERR Bad data format"


@pytest.fixture(scope="module")
def real() -> Iterator[Client]:
    """A client of a real Redis."""
    with redis_server() as server:
        yield server.connect()


@pytest.fixture(scope="module")
def payloads(real: Client) -> list[bytes]:
    """What DUMP answers for a value of each type: ours, and the packed forms of a real Redis."""
    ours = InProcess(rdbcompression="yes")
    ours.ask_all(map(args_of, LINES))
    found: list[Any] = [ours.answer([b"DUMP", key]) for key in ours.engine.stores[0].names]
    OverTheWire(real).ask_all(map(args_of, LINES))
    keys: Any = real.ask("KEYS", "*")
    found += [real.ask("DUMP", key) for key in sorted(keys)]
    return found


def packed(*elements: bytes) -> bytes:
    """A listpack in a snapshot."""
    return string(pack_listpack(elements), compressed=False)


def sealed(data: bytes) -> bytes:
    """The payload with a right checksum, and of our version."""
    data = data[:-10] + b"\x0a\x00"
    return data + struct.pack("<Q", crc64(data))


def restored(peer: InProcess, payload: bytes) -> str:
    """RESTORE over a key that exists; check that it changes if, and only if, the answer is OK."""
    peer.ask("SET k before")
    peer.engine.unit.notes.clear()
    answer = peer.ask_all([[b"RESTORE", b"k", b"0", payload, b"REPLACE"]])[0].decode().strip()
    held = peer.engine.stores[0].held(b"k")
    assert answer == "+OK" or held == b"before", answer
    assert list(peer.engine.stores[0].names) == [b"k"]
    return answer


def test_a_dumped_value_with_any_byte_changed_or_cut_off_is_refused(payloads: list[bytes]) -> None:
    peer = InProcess()
    for payload in payloads:
        for place in range(len(payload)):
            changed = payload[:place] + bytes([payload[place] ^ 1 << place % 8]) + payload[place + 1 :]
            assert restored(peer, changed) == WRONG
            assert restored(peer, payload[:place]) == WRONG
        assert restored(peer, payload) == "+OK"


def test_damage_with_a_right_checksum_is_refused_or_another_value_and_takes_no_memory(payloads: list[bytes]) -> None:
    peer, answers = InProcess(), {"+OK": 0, BAD: 0}
    chance = random.Random(3)
    restored(peer, payloads[0])
    tracemalloc.start()
    try:
        for payload in payloads:
            for place in range(len(payload) - 10):
                for sign in chance.sample(SIGNS, min(2 * ROUNDS, len(SIGNS))):
                    answers[restored(peer, sealed(payload[:place] + bytes([sign]) + payload[place + 1 :]))] += 1
            for place in range(len(payload) - 10):
                answers[restored(peer, sealed(payload[:place] + bytes(10)))] += 1
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert min(answers.values()) > 50


@pytest.mark.parametrize(
    "value",
    [
        b"\x00\x81" + b"\xff" * 8,  # a string of 16 EB
        b"\x00\xc3\x05\x81" + b"\x7f" * 8 + b"\x00a\xe0\xff\x00",  # one that is compressed
        b"\x01\x81" + b"\xff" * 8,
        b"\x05\x7f\xff\x01a",
        b"\x05\x01\x01a" + struct.pack("<d", float("nan")),
        b"\x02\x00",  # an empty set
        b"\x04\x01\x01a",
        b"\x13\x81" + b"\xff" * 8,  # a stream
        b"\x07\x00",  # of a module
        b"\x02\x02\x01a\x01a",  # a set with a member that comes twice
        b"\x02\x02\xc0\x01\x011",
        b"\x04\x02\x01a\x011\x01a\x012",
        b"\x04\x42\x58" + b"".join(b"\x03%03d\x01x" % max(number, 1) for number in range(600)),
        b"\x05\x02\x01a" + struct.pack("<d", 1) + b"\x01a" + struct.pack("<d", 2),
        b"\x0b\x0c\x02\0\0\0\x02\0\0\0\x01\0\x01\0",  # an intset
        b"\x0b\x0c\x02\0\0\0\x02\0\0\0\x03\0\x01\0",  # … that is not in order
        b"\x10" + packed(b"a", b"1", b"a", b"2"),
        b"\x10" + packed(b"a", b"1", b"b"),
        b"\x11" + packed(b"a", b"1", b"a", b"1"),
        b"\x12\x01\x01\x00",  # a list whose only node is empty
        b"\x12\x01\x02" + packed(),
        b"\xff",
        b"",
    ],
)
def test_what_no_server_would_write_is_refused_as_by_redis(value: bytes, real: Client) -> None:
    real.ask("CONFIG", "SET", "sanitize-dump-payload", "yes")  # without it, it accepts some, and later breaks on them
    peer, payload = InProcess(), sealed(value + bytes(10))
    tracemalloc.start()
    answer = restored(peer, payload)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert real.ask("RESTORE", "k", 0, payload) == Error(answer[1:])


def test_a_snapshot_with_any_byte_changed_or_cut_off_is_refused(tmp_path: Path) -> None:
    peer = InProcess(dir=str(tmp_path))
    peer.ask_all(map(args_of, LINES))
    peer.ask("SAVE")
    path = tmp_path / "dump.rdb"
    whole = path.read_bytes()
    step = max(1, 4 // ROUNDS)
    for place in range(0, len(whole), step):
        for damaged in (whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :], whole[:place]):
            path.write_bytes(damaged)
            with pytest.raises(CorruptLog):
                restore(InProcess(dir=str(tmp_path)).engine)
            assert path.read_bytes() == damaged
    path.write_bytes(whole)
    again = InProcess(dir=str(tmp_path))
    restore(again.engine)
    assert len(data_of(again)[0]) == 8


# A crash


def test_a_server_that_is_killed_while_it_saves_has_what_it_last_said_was_saved(tmp_path: Path) -> None:
    chance = random.Random(os.environ.get("SEED"))
    saved = 0
    for _ in range(2 * ROUNDS):
        with final_server("--dir", str(tmp_path), "--save", "1 1") as server:
            client = server.connect()
            found = client.ask("GET", "counter")
            assert int(found) >= saved if isinstance(found, bytes) else saved == 0
            client.send(b"".join(request("SET", f"k{number}", "v" * 1000) for number in range(5000)))
            for _ in range(5000):
                client.expect(b"+OK\r\n")
            until = time.monotonic() + chance.random()
            while time.monotonic() < until:
                count = client.ask("INCR", "counter")
                if chance.random() < 0.2:
                    client.ask("BGSAVE")
                elif chance.random() < 0.2 and client.ask("SAVE") == "OK":
                    saved = int(str(count))
            client.send(request("INCR", "counter") + request("SAVE"))
            server.kill()


def test_what_was_saved_is_on_the_disk_after_a_power_cut(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk")
    for number in range(2 * ROUNDS):
        scratch = tmp_path / f"scratch{number}"
        scratch.mkdir()
        options = ("--dir", str(disk.root), "--appendonly", "no")
        server = on(disk)(find("final", 5, Path()), PATIENCE, scratch, options=options)
        try:
            server.await_ready()
            client = server.connect()
            assert client.ask("GET", "number") == (b"%d" % (number - 1) if number else None)
            client.ask("SET", "number", number)
            assert client.ask("SAVE") == "OK"
            client.ask("SET", "number", "lost")
            server.kill()
        finally:
            server.close()
        disk.cut(random.Random(number))
