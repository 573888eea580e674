"""The sorted set against a plain sorted list, and how its cost grows.

What its commands answer, log and tell is held against Redis elsewhere: transcripts/sorted_sets.txt,
conversations/sorted_sets.txt and sequences.py.
"""

from __future__ import annotations

import random
import sys
from types import FrameType
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from final.data import sorted_set
from final.data.sorted_set import Entry, SortedSet
from tests.support.sequences import EXAMPLES

if TYPE_CHECKING:
    from _typeshed import TraceFunction

MEMBERS = [b"%d" % number for number in range(40)]
SCORES = [float("-inf"), -1.0, -0.0, 0.0, 0.5, 1.0, 2.0, float("inf")]
CHANGES = st.lists(
    st.tuples(st.sampled_from(MEMBERS), st.none() | st.sampled_from(SCORES)) | st.integers(0, 45), max_size=120
)


def expect(held: SortedSet, scores: dict[bytes, float]) -> None:
    """Compare all that can be asked with a plain sorted list."""
    order: list[Entry] = sorted((score, member) for member, score in scores.items())
    assert list(held.entries()) == order
    assert list(held.entries(reverse=True)) == order[::-1]
    assert len(held) == len(order)
    for rank, (score, member) in enumerate(order):
        assert held.rank(member) == rank
        assert held.count_before((score, member + b"\0")) == rank + 1
    assert held.rank(b"nosuch") is None
    for start, stop in ((0, 3), (5, 11), (len(order) - 2, 99), (7, 7), (8, 2), (-3, 2)):
        assert list(held.entries(start, stop)) == order[max(start, 0) : max(stop, 0)]
        assert list(held.entries(start, stop, reverse=True)) == order[::-1][max(start, 0) : max(stop, 0)]


@pytest.mark.parametrize("longest", [2, 8, 512])
def test_after_any_changes_it_is_what_a_sorted_list_is(longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With blocks so short, a few changes cut and join them often."""
    monkeypatch.setattr(sorted_set, "LONGEST", longest)
    monkeypatch.setattr(sorted_set, "SHORTEST", max(longest // 8, 1))

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(CHANGES)
    def holds(changes: list[tuple[bytes, float | None] | int]) -> None:
        held, scores = SortedSet(), dict[bytes, float]()
        for change in changes:
            if isinstance(change, int):  # a rank is asked for: the tree is made, and must be kept up from here on
                assert held.count_before((0.5, b"")) == sum(score < 0.5 for score in scores.values())
                continue
            member, score = change
            if score is None:
                assert held.remove(member) == (scores.pop(member, None) is not None)
            else:
                assert held.add(member, score) == (member not in scores)
                scores[member] = score + 0.0
        expect(held, scores)
        expect(held.copy(), scores)

    holds()


def test_a_copy_is_changed_apart() -> None:
    held = SortedSet()
    for member in MEMBERS:
        held.add(member, 1.0)
    copy = held.copy()
    copy.remove(MEMBERS[0])
    held.add(b"new", 0.0)
    assert (len(held), len(copy), copy.rank(b"new"), held.rank(b"new")) == (41, 39, None, 0)


def test_a_member_that_moves_is_kept_only_once() -> None:
    """The request that moves it has a copy of its own, which would take as much memory again."""
    held = SortedSet()
    for score in (1.0, 2.0):
        held.add(bytes(bytearray(b"member")), score)
    [(_, member)], [key] = held.entries(), held.scores
    assert member is key


# Growth: comparisons and steps of the interpreter, not seconds


class Counted(float):
    """A score that counts how often it is compared."""

    compared = 0

    def __lt__(self, other: float) -> bool:
        Counted.compared += 1
        return float.__lt__(self, other)

    def __gt__(self, other: float) -> bool:  # is asked where a score of the array is on the left
        Counted.compared += 1
        return float.__gt__(self, other)

    def __add__(self, other: float) -> Counted:
        return self  # the sorted set adds zero


def filled(size: int) -> SortedSet:
    """A sorted set of so many members, added in no order."""
    numbers = list(range(size))
    random.Random(size).shuffle(numbers)
    held = SortedSet()
    for number in numbers:
        held.add(b"%d" % number, Counted(number))
    return held


def cost(held: SortedSet) -> tuple[float, float]:
    """What it takes to add, to find by rank and to remove a member: comparisons, and steps of the interpreter."""
    steps = 0

    def trace(frame: FrameType, event: str, argument: object) -> TraceFunction:
        nonlocal steps
        frame.f_trace_opcodes = True
        steps += event == "opcode"
        return trace

    held.rank(b"1")  # have the tree made
    before, tracing = Counted.compared, sys.gettrace()
    sys.settrace(trace)
    try:
        for number in range(50):
            held.add(b"new", Counted(number * len(held) / 50 + 0.5))
            held.rank(b"new")
            next(held.entries(len(held) // 2))
            held.remove(b"new")
    finally:
        sys.settrace(tracing)
    return (Counted.compared - before) / 50, steps / 50


def test_a_hundred_times_as_many_members_cost_hardly_more() -> None:
    small, large = filled(1_000), filled(100_000)
    (few, short), (many, long) = cost(small), cost(large)
    assert few < many < few + 40  # three searches, each of log2(100) = 7 comparisons more
    assert long < 2.3 * short  # some 300 blocks in place of 3: a few more steps up or down the tree


def test_no_block_is_long_and_few_are_short_however_members_come_and_go() -> None:
    held = filled(20_000)
    for number in range(20_000):
        if number % 10:
            held.remove(b"%d" % number)
    lengths = [len(block) for block in held._blocks]
    assert sum(lengths) == len(held) == 2_000
    assert max(lengths) <= sorted_set.LONGEST
    assert len(lengths) <= 2_000 / sorted_set.SHORTEST + 1
