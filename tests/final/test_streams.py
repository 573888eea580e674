"""Streams: nodes that are those of Redis, large streams, and what a restart, a rewrite and a snapshot keep of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from final.data.stream import Stream, radix_tree_nodes
from final.data.stream_groups import Consumer, Delivery, Pending
from final.data.stream_node import make_id, packed, packed_number
from final.engine.clocks import wall_clock
from final.log.base import requests
from stages.harness.wire import parse, request
from tests.support.folders import await_rewrite, everything, flush, opened, told_of, write_log
from tests.support.oracle import InProcess, OverTheWire, args_of, final_server, redis_server, shown
from tests.support.sequences import EXAMPLES, SEQUENCES
from tests.support.shared import Shared
from tests.support.snapshots.contents import STREAMS


@pytest.fixture(scope="module")
def redis() -> Iterator[Shared]:
    with Shared(redis_server) as redis:
        yield redis


@pytest.fixture
def real(redis: Shared) -> OverTheWire:
    """A new client of a real Redis that holds nothing."""
    return OverTheWire(redis.clean().connect())


# Nodes: what `~` removes, and XINFO shows


LENGTHS = [0, 1, 5, 62, 63, 64, 65, 125, 126, 127, 128, 300, 4000, 4095, 4096, 5000, 16376, 16377, 16378, 20_000]


SIZES = [
    *((b"entries", most) for most in (0, 1, 2, 10, 127, 128, 129, 1000)),
    *((b"bytes", most) for most in (0, 1, 100, 1000, 5000, 70_000, 1 << 40)),
]


def element(chance: random.Random, short: bool) -> bytes:
    """A text or an integer, of any form that a listpack has; or a `short` one, of which a hundred fit into a node."""
    if short:
        return chance.choice((b"", b"1", b"-1", b"text", b"4095", b"x" * 16))
    kind = chance.random()
    if kind < 0.45:
        return b"%d" % (chance.choice((1, -1)) * (1 << chance.randrange(64)) + chance.choice((-1, 0, 1)))
    if kind < 0.9:
        return b"x" * chance.randrange(20)
    return b"y" * chance.choice(LENGTHS)


def a_life(chance: random.Random, short: bool, resized: bool) -> Iterator[list[bytes]]:
    """Requests that add entries of all forms, delete some, and trim; and look at the nodes each time.

    `resized`: now and then the options change how large a node may be.
    """
    ms, seq = 0, 0
    fields = [b"f"]
    for _ in range(700):
        if chance.random() < 0.5:
            seq += chance.choice((1, 1, 1, 1 << chance.randrange(60)))
        else:
            ms, seq = ms + chance.choice((1, 1, 300, 1 << chance.randrange(40))), chance.choice((0, 0, 5, 1 << 33))
        if chance.random() < 0.05:
            fields = [element(chance, short) for _ in range(chance.randrange(1, 4))]
        yield [b"XADD", b"s", b"%d-%d" % (ms, seq), *(arg for each in fields for arg in (each, element(chance, short)))]
        if chance.random() < 0.3:
            yield [b"XDEL", b"s", b"%d-%d" % (ms, seq)]
        if chance.random() < 0.03:
            yield chance.choice(
                [
                    [b"XTRIM", b"s", b"MAXLEN", b"~", b"%d" % chance.randrange(200)],
                    [b"XTRIM", b"s", b"MAXLEN", b"~", b"50", b"LIMIT", b"%d" % chance.randrange(200)],
                    [b"XTRIM", b"s", b"MAXLEN", b"%d" % chance.randrange(100, 400)],
                    [b"XTRIM", b"s", b"MINID", b"~", b"%d-%d" % (chance.randrange(ms + 1), seq)],
                    [b"XTRIM", b"s", b"MINID", b"%d" % (ms * 3 // 4)],
                ]
            )
        if resized and chance.random() < 0.03:
            option, value = chance.choice(SIZES)
            yield [b"CONFIG", b"SET", b"stream-node-max-" + option, b"%d" % value]
        yield [b"XINFO", b"STREAM", b"s"]


@pytest.mark.parametrize("seed", range(12))
def test_nodes_end_where_those_of_redis_do(real: OverTheWire, seed: int) -> None:
    requests = list(a_life(random.Random(seed), short=seed % 2 == 0, resized=seed >= 8))
    ours, theirs = InProcess().ask_all(requests), real.ask_all(requests)
    for args, one, other in zip(requests, ours, theirs, strict=True):
        assert one == other, f"{args}: {shown(one)}, but Redis: {shown(other)}"


def test_the_number_of_entries_takes_more_bytes_as_it_grows(real: OverTheWire) -> None:
    requests = [[b"CONFIG", b"SET", b"stream-node-max-entries", b"0"]]
    for most in range(2500, 2512):
        requests.append([b"CONFIG", b"SET", b"stream-node-max-bytes", b"%d" % most])
        for number in range(1, 300):
            requests.append([b"XADD", b"%d" % most, b"1-%d" % number, b"f", b"1"])
            if number % 4 == 0:
                requests.append([b"XDEL", b"%d" % most, b"1-%d" % number])
            requests.append([b"XINFO", b"STREAM", b"%d" % most])
    for args, one, other in zip(requests, InProcess().ask_all(requests), real.ask_all(requests), strict=True):
        assert one == other, f"{args}: {shown(one)}, but Redis: {shown(other)}"


# Large streams


def test_a_radix_tree_has_a_node_for_shared_bytes_each_fork_and_each_key() -> None:
    assert [radix_tree_nodes(keys) for keys in ([], [5], [0, 1], [0, 256], [1, 2, 2**64, 2**127])] == [1, 2, 4, 6, 11]


def test_ranges_and_deletions_anywhere_are_those_of_a_sorted_list() -> None:
    chance = random.Random(5)
    stream, expected = Stream(), {}
    for number in range(5000):
        id = make_id(number // 3, chance.randrange(10) + 10 * (number % 3) + 1)
        stream.append(id, [b"f", b"%d" % number])
        expected[id] = [b"f", b"%d" % number]
    for _ in range(2000):
        id = chance.choice([*expected]) if chance.random() < 0.9 else make_id(chance.randrange(2000), 7)
        assert stream.delete(id) == (expected.pop(id, None) is not None)
    ids = sorted(expected)
    for _ in range(300):
        start, stop = (make_id(chance.randrange(1700), chance.randrange(40)) for _ in range(2))
        wanted = [(id, expected[id]) for id in ids if start <= id <= stop]
        assert list(stream.entries(start, stop)) == wanted
        assert list(stream.entries(start, stop, reverse=True)) == wanted[::-1]
    assert len(stream) == len(ids) and stream.first_id == ids[0] and stream.top == ids[-1]
    before = ids[len(ids) // 2]
    copy = stream.copy()
    assert stream.trim(before=before) == len(ids) // 2 and stream.first_id == before
    assert len(copy) == len(ids) == len([*copy.entries()]) and copy.get(ids[0]) == (ids[0], expected[ids[0]])


def test_pending_entries_stay_in_order_however_they_come_and_go() -> None:
    chance = random.Random(6)
    pending, expected = Pending(), set[int]()
    delivery = Delivery(Consumer(b"alice", 0), 0, 1)
    for _ in range(20_000):
        id = chance.randrange(3000)
        if chance.random() < 0.6:
            pending.put(id, delivery)
            expected.add(id)
        else:
            assert (pending.pop(id) is delivery) == (id in expected)
            expected.discard(id)
    assert list(pending.since(0)) == sorted(expected)
    assert list(pending.since(1500)) == sorted(id for id in expected if id >= 1500)
    assert (pending.first, pending.last, len(pending)) == (min(expected), max(expected), len(expected))


def test_a_size_in_a_listpack_is_that_of_its_integer_or_its_text() -> None:
    assert [packed(text) for text in (b"", b"1", b"01", b"-1", b"127", b"128", b"x" * 63)] == [2, 2, 4, 3, 2, 3, 65]
    assert [packed(b"x" * length) for length in (64, 125, 126, 4095)] == [67, 128, 130, 4099]
    assert [packed_number(number) for number in (-1, 4095, 4096, 2**15, 2**23, 2**31, 2**63 - 1)] == [
        *(3, 3, 4, 5, 6, 10, 10)
    ]


# What is kept


def told_in_process(peer: InProcess) -> list[Any]:
    """All that XINFO tells of the streams that the sequences use, without what a log does not keep."""
    keys = [(database, key) for database in (b"0", b"1") for key in (b"a", b"b", b"c", b"", b"same")]
    looks = [[[b"SELECT", database], [b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"]] for database, key in keys]
    return [told_of(parse(peer.ask_all(look)[1])[0]) for look in looks]


def told_over_the_wire(real: OverTheWire) -> list[Any]:
    """The same, of a real server."""
    peer = InProcess()
    peer.ask_all = real.ask_all  # type: ignore[method-assign]
    return told_in_process(peer)


def test_any_stream_in_a_snapshot_of_redis_is_read_as_it_was(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("real")
    with redis_server("--dir", str(folder)) as server:
        real = OverTheWire(server.connect())

        @settings(max_examples=max(EXAMPLES // 5, 10), deadline=None)
        @given(SEQUENCES["mostly streams"])
        def holds(asked: list[list[bytes]]) -> None:
            real.ask_all([[b"SELECT", b"0"], [b"FLUSHALL"], *asked, [b"SAVE"]])
            target = tmp_path_factory.mktemp("ours")
            write_log(target, base=(folder / "dump.rdb").read_bytes())
            assert told_in_process(opened(target, now=wall_clock())) == told_over_the_wire(real)

        holds()


@settings(max_examples=EXAMPLES, deadline=None)
@given(SEQUENCES["mostly streams"])
def test_any_stream_is_after_a_rewrite_and_a_restart_what_it_was(
    tmp_path_factory: pytest.TempPathFactory, asked: list[list[bytes]]
) -> None:
    peer = InProcess()
    peer.ask_all(asked)
    base = b"".join(request(*args) for args in requests(peer.engine.stores))
    target = tmp_path_factory.mktemp("rewritten")
    write_log(target, base=base or request("SELECT", 0))
    assert told_in_process(opened(target)) == told_in_process(peer)


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_streams_in_a_folder_that_redis_has_rewritten_are_taken_over(tmp_path: Path, preamble: str) -> None:
    with redis_server("--aof-use-rdb-preamble", preamble, data=tmp_path) as server:
        client = server.connect()
        for args in STREAMS:
            client.ask(*args)
        client.ask("BGREWRITEAOF")
        await_rewrite(client)
        client.ask("XADD", "trimmed", "MAXLEN", "~", 100, "LIMIT", 1, "6-*", "f", "v")
        theirs = everything(client)
        server.stop()
    assert len(theirs) == 7
    with final_server(data=tmp_path) as ours:
        assert everything(ours.connect()) == theirs


@pytest.mark.parametrize("rewritten", [False, True])
def test_streams_in_our_folder_are_taken_over_by_redis(tmp_path: Path, rewritten: bool) -> None:
    with final_server(data=tmp_path) as server:
        client = server.connect()
        for args in STREAMS:
            client.ask(*args)
        client.ask("XACK", "long", "group0", "5-3", "6-1", "300-1")  # deleted: Redis forgets them when it reads a base
        if rewritten:
            client.ask("BGREWRITEAOF")
            await_rewrite(client)
        client.ask("XREADGROUP", "GROUP", "group5-3", "carol", "COUNT", 3, "STREAMS", "long", ">")
        client.ask("XADD", "trimmed", "MAXLEN", "~", 100, "LIMIT", 1, "6-*", "f", "v")
        ours = everything(client)
        server.stop()
    with redis_server(data=tmp_path) as theirs:
        assert everything(theirs.connect()) == ours


def test_after_a_restart_consumers_were_seen_just_now_and_deliveries_when_they_were(tmp_path: Path) -> None:
    peer = opened(tmp_path)
    for line in "XADD s 1-1 f v", "XGROUP CREATE s g 0", "XREADGROUP GROUP g alice STREAMS s >":
        peer.ask(line)
    flush(peer)
    again = opened(tmp_path, now=peer.now + 5000)
    assert again.ask("XPENDING s g - + 1") == "*1 *4 $3 1-1 $5 alice :5000 :1"
    assert again.ask("XINFO CONSUMERS s g").endswith("idle :0")


def test_when_a_consumer_was_seen_is_in_a_dump_and_in_a_snapshot(tmp_path: Path) -> None:
    peer = InProcess(dir=str(tmp_path), enable_debug_command="yes")
    for line in ("XADD s 1-1 f v", "XGROUP CREATE s g 0", "XREADGROUP GROUP g busy STREAMS s >",
                 "XGROUP CREATECONSUMER s g idle"):  # fmt: skip
        peer.ask(line)
    peer.now += 5000
    payload = parse(peer.sent(args_of("DUMP s")))[0]
    assert isinstance(payload, bytes)
    assert peer.sent([*args_of("RESTORE copy 0"), payload]) == b"+OK\r\n"
    assert peer.ask("DEBUG RELOAD") == "+OK"
    for name in "s", "copy":
        assert peer.ask(f"XINFO CONSUMERS {name} g").count("idle :5000") == 2


def test_counters_end_where_a_reply_and_the_log_can_still_hold_them(tmp_path: Path) -> None:
    peer = opened(tmp_path)
    most = 2**63 - 1
    for line in (
        "XADD s 1-1 f v",
        f"XSETID s 1-1 ENTRIESADDED {most}",
        f"XGROUP CREATE s g 0 ENTRIESREAD {most}",
        "XADD s 2-1 f v",
        "XREADGROUP GROUP g alice NOACK STREAMS s >",
        f"XCLAIM s g alice 0 1-1 FORCE RETRYCOUNT {most}",
        "XCLAIM s g bob 0 1-1",
        "XREADGROUP GROUP g bob STREAMS s 0",
    ):
        assert not peer.ask(line).startswith("-")
    assert f"entries-added :{most}" in peer.ask("XINFO STREAM s") and peer.ask("XPENDING s g - + 1").endswith(
        f":{most}"
    )
    assert f"entries-read :{most}" in peer.ask("XINFO GROUPS s")
    flush(peer)
    told = opened(tmp_path).ask("XINFO STREAM s FULL")
    assert told.count(f":{most}") == 4


def test_a_huge_count_takes_no_more_than_there_is() -> None:
    peer = InProcess()
    peer.ask_all([[b"XADD", b"s", b"*", b"f", b"v"] for _ in range(5)])
    most = 2**63 - 1
    peer.ask("XGROUP CREATE s g 0")
    assert peer.ask(f"XREADGROUP GROUP g alice COUNT {most} STREAMS s >").count("$1 f") == 5
    assert peer.ask(f"XAUTOCLAIM s g bob 0 0 COUNT {2**43 - 1} JUSTID").startswith("*3 $3 0-0 *5 ")
    assert peer.ask(f"XPENDING s g - + {most}").startswith("*5 ")
    assert peer.ask(f"XTRIM s MAXLEN ~ 0 LIMIT {most}") == ":5"
