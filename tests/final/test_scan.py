"""SCAN and its relatives, on collections that change between two calls; and random members of large sets."""

from __future__ import annotations

import gc
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from final.data import random_members, scan
from final.data.garbage import Garbage, look_at_the_young_only, settle_the_young
from final.data.random_members import one_of, sample
from final.data.scan import REMEMBERED, Order
from tests.support.oracle import InProcess

CHANGES = st.lists(st.tuples(st.sampled_from(["add", "remove", "replace", "other", "forget"]), st.integers(0, 400)))


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "STEP", 20)
    monkeypatch.setattr(scan, "DRAWER", 8)


@pytest.mark.usefixtures("small_steps")
@settings(max_examples=60, deadline=None)
@given(st.lists(CHANGES, max_size=30), st.integers(1, 50), st.integers(0, 300))
def test_a_scan_returns_whoever_is_there_throughout(
    changes: list[list[tuple[str, int]]], count: int, size: int
) -> None:
    order = Order(Garbage())
    members = dict.fromkeys(b"%d" % number for number in range(size))
    staying, found, calls = set(members), set(), 0
    cursor = other = 0
    while calls == 0 or cursor:
        cursor, page = order.page("place", lambda: members, cursor, count)
        found.update(page)
        for change, number in changes[calls] if calls < len(changes) else ():
            name = b"%d" % number
            if change == "add":
                members[name] = None
            elif change == "remove":
                members.pop(name, None)
                staying.discard(name)
            elif change == "replace" and name in members:  # in one step: MULTI, DEL, SET, EXEC
                del members[name]
                members[name] = None
            elif change == "other":  # another scan of the same collection
                other, _ = order.page("place", lambda: members, other, number + 1)
            elif change == "forget":
                for place in range(REMEMBERED):
                    order.page(place, lambda: members, 0, 1)
        calls += 1
        assert calls < 1000
    assert staying <= found


@pytest.mark.usefixtures("small_steps")
def test_more_scans_than_are_remembered_come_to_an_end() -> None:
    order, members = Order(Garbage()), [b"%d" % number for number in range(200)]
    cursors: dict[int, int] = dict.fromkeys(range(2 * REMEMBERED), 0)
    for _ in range(100):
        for place, cursor in list(cursors.items()):
            cursors[place], _ = order.page(place, lambda: members, cursor, 10)
            if not cursors[place]:
                del cursors[place]
    assert not cursors


def test_no_call_of_a_scan_looks_at_more_than_some_members(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[bytes] = []

    def counting(member: bytes) -> int:
        hashed.append(member)
        return hash(member)

    monkeypatch.setattr(scan, "hash", counting, raising=False)
    peer = InProcess()
    peer.ask_all([[b"MSET", *(b"%d" % (number // 2) for number in range(60_000))]])
    found: set[bytes] = set()
    cursor, most = b"0", 0
    while not found or cursor != b"0":
        before = len(hashed)
        cursor, names = peer.engine.execute(peer.client, [b"SCAN", cursor, b"COUNT", b"500"])
        found.update(names)
        most = max(most, len(hashed) - before)
    assert len(found) == 30_000 and most < scan.STEP + 5000


def test_of_a_large_set_every_member_may_be_drawn_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_members, "LARGE", 100)
    held = set(range(1000))
    drawn = Counter(one_of(held) for _ in range(20_000))
    assert held == set(range(1000)) == set(drawn) and max(drawn.values()) < 100  # 20 each, about
    for count in (1, 50, 400, 999, 1000, 2000):
        some = sample(held, count)
        assert len(some) == len(set(some)) == min(count, 1000) and held.issuperset(some)
    some = sample(held, -500)
    assert len(some) == 500 and len(set(some)) < 500 and len(held) == 1000
    assert len({tuple(sample(held, 3)) for _ in range(100)}) > 90


@pytest.mark.parametrize("count", [10, -10])
def test_of_a_long_dictionary_every_member_is_as_likely(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_members, "LONG", 99)
    held = dict.fromkeys(range(100))
    times = Counter(member for _ in range(3000) for member in sample(held, count))  # 300 each, about
    assert set(times) == set(held) and min(times.values()) > 180 and max(times.values()) < 440
    assert len(set(sample(held, 80))) == 80 and len(set(sample(held, 200))) == 100


def test_a_large_scan_adds_nothing_that_the_garbage_collector_looks_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "STEP", 1000)
    members = dict.fromkeys(b"%d" % number for number in range(5000))
    order, before = Order(Garbage()), {id(each) for each in gc.get_objects()}
    cursor, _ = order.page("place", lambda: members, 0, 10)
    new = [each for each in gc.get_objects() if id(each) not in before and type(each) in (list, tuple)]
    assert cursor and not [each for each in new if len(each) > 10 and each[0] in members]
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


def test_the_garbage_collector_looks_at_no_old_objects() -> None:
    before, looked_at = gc.get_threshold(), set[int]()

    def note(phase: str, info: dict[str, int]) -> None:
        looked_at.add(info["generation"])

    gc.callbacks.append(note)
    try:
        look_at_the_young_only()
        kept = [[each] for each in range(200_000)]
        settle_the_young()
        assert looked_at == {0, 1}
        gc.set_threshold(*before)
        kept += [[each] for each in range(200_000)]
        assert 2 in looked_at
    finally:
        gc.callbacks.remove(note)
        gc.set_threshold(*before)


def test_a_random_member_may_be_any(monkeypatch: pytest.MonkeyPatch) -> None:
    for members in (dict.fromkeys(range(10)), dict.fromkeys(range(10)).keys(), set(range(10)), list(range(10))):
        counts = Counter(one_of(members) for _ in range(5000))
        assert set(counts) == set(range(10)) and min(counts.values()) > 300
