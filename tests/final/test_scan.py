"""SCAN and its relatives, on collections that change between two calls; and random members of large sets."""

from __future__ import annotations

import gc
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from final.data import dict_entries, random_members, scan
from final.data.dict_entries import end_of, has_positions, keys_at, keys_from
from final.data.garbage import Garbage, look_at_the_young_only, settle_the_young
from final.data.random_members import one_of, sample
from final.data.scan import REMEMBERED, Order
from final.data.sorted_set import SortedSet
from tests.support.oracle import InProcess

CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "replace", "shrink", "rebuild", "another", "other", "forget"]),
        st.integers(0, 400),
    ),
    max_size=4,
)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "STEP", 20)
    monkeypatch.setattr(scan, "WITNESSES", 4)
    monkeypatch.setattr(scan, "DRAWER", 8)


def name_of(number: int) -> bytes:
    """A new object each time, as in a request; but there is only one b"7"."""
    return b"%d" % number


class Changing:
    """A dictionary or a sorted set, which changes between the calls of a scan."""

    def __init__(self, numbers: Iterable[int], is_sorted: bool) -> None:
        self.is_sorted = is_sorted
        self.members: dict[bytes, object] | SortedSet = SortedSet() if is_sorted else {}
        for number in numbers:
            self.add(name_of(number))
        self.staying = set(self.members)

    def add(self, name: bytes) -> None:
        if isinstance(self.members, SortedSet):
            self.members.add(name, 0.0)
        else:
            self.members[name] = None

    def remove(self, name: bytes) -> None:
        if isinstance(self.members, SortedSet):
            self.members.remove(name)
        else:
            self.members.pop(name, None)

    def change(self, change: str, number: int) -> None:
        """Add or remove members, or change only how they are stored."""
        name = name_of(number)
        if change == "add":
            self.add(name)
        elif change == "remove":
            self.remove(name)
            self.staying.discard(name)
        elif change == "replace" and name in self.members:  # in one step: MULTI, DEL, SET, EXEC
            self.remove(name)
            self.add(name)
        elif change == "shrink":
            for gone in range(number, number + 100):
                self.change("remove", gone)
        elif change == "rebuild":  # the table gets full, and is built again without holes
            for temporary in range(1000, 1700):
                self.add(name_of(temporary))
                self.remove(name_of(temporary))
        elif change == "another":  # of the same objects: ZUNIONSTORE k 1 k, in another order; COPY and RENAME
            names = list(self.members)
            self.members = SortedSet() if self.is_sorted else {}
            for name in random.Random(number).sample(names, len(names)) if self.is_sorted else names:
                self.add(name)


@pytest.mark.usefixtures("small_steps")
@settings(max_examples=150, deadline=None)
@given(st.lists(CHANGES, max_size=30), st.integers(1, 50), st.integers(0, 300), st.booleans())
def test_a_scan_returns_whoever_is_there_throughout(
    changes: list[list[tuple[str, int]]], count: int, size: int, is_sorted: bool
) -> None:
    order, changing = Order(Garbage()), Changing(range(size), is_sorted)
    found, calls = set[bytes](), 0
    cursor = other = 0
    while calls == 0 or cursor:
        cursor, page = order.page("place", changing.members, cursor, count)
        found.update(page)
        for change, number in changes[calls] if calls < len(changes) else ():
            if change == "other":  # another scan of the same collection
                other, _ = order.page("place", changing.members, other, number + 1)
            elif change == "forget":
                for place in range(REMEMBERED):
                    order.page(place, changing.members, 0, 1)
            else:
                changing.change(change, number)
        calls += 1
        assert calls < 1000
    assert changing.staying <= found


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("is_sorted", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_no_change_of_its_table_hides_a_member_from_a_scan(seed: int, is_sorted: bool) -> None:
    """While a walk is on its way, much more happens than in the test above."""
    dice, changes = random.Random(seed), ("add", "remove", "replace", "shrink", "rebuild", "another")
    for _ in range(20):
        order, changing = Order(Garbage()), Changing(dice.sample(range(400), 300), is_sorted)
        cursor, page = order.page("place", changing.members, 0, 10)
        found = set(page)
        while cursor:
            for _ in range(dice.randrange(3)):
                changing.change(dice.choice(changes), dice.randrange(400))
            cursor, page = order.page("place", changing.members, cursor, 10)
            found.update(page)
        assert changing.staying <= found


KEPT = [
    ("HSCAN k", "HSET k", "MULTI|COPY k to|DEL k|RENAME to k|EXEC"),
    ("HSCAN k", "HSET k", "MULTI|DEL k|ALL|EXEC"),
    ("ZSCAN k", "ZADD k", "ZUNIONSTORE k 1 k|ZUNIONSTORE k 1 k|ZUNIONSTORE k 1 k"),
    ("ZSCAN k", "ZADD k", "MULTI|DEL k|ALL|EXEC"),
    ("SCAN", "MSET", "SWAPDB 0 1"),
    ("SCAN", "MSET", "MULTI|FLUSHALL|ALL|EXEC"),
    ("SCAN", "MSET", "MULTI|FLUSHALL ASYNC|ALL|EXEC"),
]


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize(("scanned", "filled", "changes"), KEPT)
@pytest.mark.parametrize("every", [1, 7])
def test_a_scan_goes_on_in_what_has_taken_the_place_of_its_collection(
    scanned: str, filled: str, changes: str, every: int
) -> None:
    """After each call or some the collection is replaced, and has the same members as before, in another order."""
    peer, dice = InProcess(hash_max_listpack_entries=0, zset_max_listpack_entries=0), random.Random(every)
    names = [b"%03d" % number for number in range(300)]

    def fill() -> None:
        dice.shuffle(names)
        peer.sent([*filled.encode().split(), *(arg for name in names for arg in (name, name))])

    fill()
    if "SWAPDB" in changes:
        peer.ask("SWAPDB 0 1")
        fill()
    found, cursor, calls = set[bytes](), b"0", 0
    while not calls or cursor != b"0":
        following, page = peer.engine.execute(peer.client, [*scanned.encode().split(), cursor, b"COUNT", b"30"])
        found.update(page)
        cursor, calls = following, calls + 1
        for change in changes.split("|") if calls % every == 0 else ():
            if change == "ALL":
                fill()
            else:
                assert "-ERR" not in peer.ask(change)
    assert found.issuperset(names) and calls < 200


@pytest.mark.usefixtures("small_steps")
def test_a_scan_ends_though_others_add_more_than_it_passes() -> None:
    order, members = Order(Garbage()), dict.fromkeys(map(name_of, range(200)))
    cursor, _ = order.page("place", members, 0, 10)
    calls = 1
    while cursor:
        members.update(dict.fromkeys(map(name_of, range(200 + 100 * calls, 300 + 100 * calls))))
        cursor, _ = order.page("place", members, cursor, 10)
        calls += 1
        assert calls < 600


@pytest.mark.usefixtures("small_steps")
def test_a_walk_does_not_begin_again_because_what_it_returns_is_deleted() -> None:
    order, members = Order(Garbage()), dict.fromkeys(map(name_of, range(10, 610)))
    cursor, page = order.page("place", members, 0, 1000)
    returned: list[bytes] = []
    while cursor == scan.FILLING:
        returned += page
        for name in page[-scan.WITNESSES :]:
            del members[name]
        cursor, page = order.page("place", members, cursor, 1000)
    assert len(returned) == len(set(returned)) > 400


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("length", [1, 2])
def test_a_key_that_was_set_again_is_no_witness(length: int) -> None:
    """Its position is the same by chance. A key of one byte is even the same object."""
    order, again = Order(Garbage()), [(b"-" + letter * length)[1:] for letter in (b"a", b"b", b"c", b"d")]
    members = dict.fromkeys([*map(name_of, range(16)), *again, *map(name_of, range(100, 116))])
    cursor, _ = order.page("place", members, 0, 10)
    for name in list(members)[:20]:
        del members[name]
    while keys_from(members, 0, 1) == ([b"100"], 21):
        members[b"temporary"] = None
        del members[b"temporary"]
    assert keys_from(members, 0, 1) == ([b"100"], 1)
    members.popitem()
    members |= dict.fromkeys([b"115", *((b"-" + name)[1:] for name in again)])
    assert keys_at(members, range(16, 20)) == dict(zip(range(16, 20), again, strict=True))
    found = set[bytes]()
    while cursor:
        cursor, page = order.page("place", members, cursor, 10)
        found.update(page)
    assert found >= set(members)  # and those that were there before


@pytest.mark.usefixtures("small_steps")
def test_another_sorted_set_at_the_same_address_is_walked_over_again() -> None:
    order, changing = Order(Garbage()), Changing(range(300), is_sorted=True)
    cursor, page = order.page("place", changing.members, 0, 10)
    names, found = sorted(changing.members, key=int), set(page)
    del changing.members
    changing.members = SortedSet()  # where the one before was
    for name in (*names[20:36], *names[16:20], *names[:16], *names[36:]):
        changing.add(name)
    while cursor:
        cursor, page = order.page("place", changing.members, cursor, 10)
        found.update(page)
    assert changing.staying == found


@pytest.mark.usefixtures("small_steps")
def test_more_scans_than_are_remembered_come_to_an_end() -> None:
    order, members = Order(Garbage()), dict.fromkeys(map(name_of, range(200)))
    cursors: dict[int, int] = dict.fromkeys(range(2 * REMEMBERED), 0)
    for _ in range(100):
        for place, cursor in list(cursors.items()):
            cursors[place], _ = order.page(place, members, cursor, 10)
            if not cursors[place]:
                del cursors[place]
    assert not cursors


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("kind", [dict, set])
def test_a_scan_ends_though_others_begin_again_and_again(kind: type[dict[bytes, None]]) -> None:
    """A client that looks at a few keys with SCAN 0, and never goes on, keeps no other from the end."""
    order, members = Order(Garbage()), kind(dict.fromkeys(map(name_of, range(200))))
    cursor, page = order.page("place", members, 0, 10)
    found, calls = set(page), 1
    while cursor:
        order.page("place", members, 0, 10)
        cursor, page = order.page("place", members, cursor, 10)
        found.update(page)
        calls += 1
        assert calls < 100
    assert found == set(members)


@pytest.mark.parametrize("count", [b"500", b"1000000"])
def test_no_call_of_a_scan_looks_at_more_than_some_members(count: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
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
        cursor, names = peer.engine.execute(peer.client, [b"SCAN", cursor, b"COUNT", count])
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


@pytest.mark.parametrize("holes", ["none", "some", "in front", "behind", "most"])
@pytest.mark.parametrize("count", [10, -10])
def test_of_a_large_dictionary_every_member_is_as_likely(
    count: int, holes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random_members, "LARGE", 99)
    monkeypatch.setattr(random_members, "MANY", 4)
    held = dict.fromkeys(range(400))
    left = {"none": range(400), "some": range(0, 400, 3), "in front": range(200, 400), "most": range(300)}.get(holes)
    for gone in set(range(400)).difference(left or range(200)):
        del held[gone]
    if holes == "most":
        held |= dict.fromkeys(range(300, 2000))
        for gone in range(1800):
            del held[gone]
    size = len(held)
    lists = [sample(held, count) for _ in range(30 * size)]
    for times in (Counter(member for each in lists for member in each), Counter(each[-1] for each in lists)):
        mean = times.total() / size
        assert set(times) == set(held) and all(abs(times[each] - mean) < 8 * mean**0.5 for each in held)
    assert any(len(set(each)) < 10 for each in lists) == (count < 0)
    assert len(set(sample(held, size // 2))) == size // 2 and len(set(sample(held, 2 * size))) == size
    assert {one_of(held) for _ in range(20 * size)} == set(held)


@pytest.mark.parametrize("sign", [1, -1])
def test_many_members_of_a_large_dictionary_are_found_in_one_iteration(
    sign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To draw 200 000 of a million takes twice as long as to iterate over them."""
    monkeypatch.setattr(random_members, "drawn", None)
    held = dict.fromkeys(range(20_000))
    some = sample(held, sign * 4000)
    assert len(some) == 4000 and held.keys() >= set(some)


def test_positions_in_the_table_of_a_dictionary_are_what_a_walk_takes_them_for() -> None:
    """What is not documented of PyDict_Next."""
    dice = random.Random(0)
    for size in (0, 1, 4, 300, 3000):  # with space for one more: no table is built again
        held = {b"key:%d" % number: number for number in dice.sample(range(size), size)}
        for gone in dice.sample(sorted(held), size // 3):
            del held[gone]
        end = end_of(held, 4 * size)
        assert end is not None and end <= max(1.3 * size, 4)
        places = keys_at(held, range(end))
        assert list(places.values()) == list(held) == keys_from(held, 0, size + 1)[0]
        for place in dice.sample(range(size + 1), min(size, 100)):
            behind = [key for where, key in places.items() if where >= place]
            assert keys_from(held, place, 9)[0] == behind[:9]
            assert keys_from(held, place, 1)[1] == next((where + 1 for where in places if where >= place), place)
        for nowhere in (-1, -(2**62), 2**62, 4 * size + 1000):
            assert keys_from(held, nowhere, 1) == ([], nowhere)
        for gone in list(held)[::5]:
            del held[gone]  # those that are left stay where they are
        held[b"new"] = size
        after = keys_at(held, range(2 * size + 1))
        assert list(after.values()) == list(held) and max(after) == size
        assert all(places.get(where) is key for where, key in after.items() if key != b"new")
    kept = sys.getrefcount(key := b"key:%d" % size)
    held = {key: 0}
    for _ in range(100):
        keys_from(held, 0, 1), keys_at(held, [0])
    assert sys.getrefcount(key) == kept + 1


def test_holes_are_passed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    held = dict.fromkeys(range(1000))
    for gone in range(100, 900):
        del held[gone]
    calls, call = list[int](), dict_entries.next_entry

    def counting(*args: object) -> int:
        calls.append(0)
        return int(call(*args))

    monkeypatch.setattr(dict_entries, "next_entry", counting)
    assert len(keys_at(held, range(1000))) == 200 and len(calls) == 201


def test_a_large_dictionary_is_not_iterated_over() -> None:
    class Table(dict[bytes, None]):
        def __iter__(self) -> Iterator[bytes]:
            raise AssertionError("somebody iterates over it")

    held = Table(dict.fromkeys(map(name_of, range(30_000))))
    assert one_of(held) in held and len(sample(held, 5)) == len(sample(held, -5)) == 5
    order, found = Order(Garbage()), set[bytes]()
    cursor, page = order.page("place", held, 0, 1000)
    while cursor:
        found.update(page)
        cursor, page = order.page("place", held, cursor, 1000)
        held[b"new" + page[0]] = None
    assert len(found.union(page)) >= 30_000


def test_without_the_c_api_dictionaries_are_iterated_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dict_entries, "next_entry", None)
    held = dict.fromkeys(map(name_of, range(30_000)))
    assert not has_positions(held) and one_of(held) in held
    assert len(set(sample(held, 100))) == 100 and len(sample(held, -100)) == 100
    order, found = Order(Garbage()), set[bytes]()
    cursor, page = order.page("place", held, 0, 1000)
    while cursor:
        found.update(page)
        cursor, page = order.page("place", held, cursor, 1000)
    assert found.union(page) == set(held)


def test_a_large_scan_adds_nothing_that_the_garbage_collector_looks_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "STEP", 1000)
    members = {b"%d" % number for number in range(5000)}
    order, before = Order(Garbage()), {id(each) for each in gc.get_objects()}
    cursor, _ = order.page("place", members, 0, 10)
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
