"""The queue of deadlines gives out each key in time, stays small, and never does much at once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from final.data import deadlines as module
from final.data.deadlines import MOVED, SLACK, DeadlineQueue
from tests.support.sequences import EXAMPLES

KEYS = st.sampled_from([b"a", b"b", b"c"])
STEPS = st.lists(
    st.tuples(st.just("expire"), KEYS, st.integers(1000, 1005))
    | st.tuples(st.just("persist"), KEYS, st.just(0))
    | st.tuples(st.just("pass"), st.just(b""), st.integers(1000, 1006)),
    max_size=60,
)


class Counted(dict[bytes, int]):
    """Deadlines that count how often they are looked at."""

    looks = 0

    def get(self, key: bytes, default: object = None) -> object:  # type: ignore[override]
        self.looks += 1
        return super().get(key, default)


@settings(max_examples=5 * EXAMPLES, deadline=None)
@given(STEPS, st.integers(0, 4))
def test_each_key_comes_out_when_its_deadline_has_passed(steps: list[tuple[str, bytes, int]], slack: int) -> None:
    deadlines: dict[bytes, int] = {}
    queue = DeadlineQueue(deadlines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SLACK", slack)
        for step, key, when in [*steps, ("pass", b"", 2000)]:
            if step == "expire":
                deadlines[key] = when
                queue.push(when, key)
            elif step == "persist":
                deadlines.pop(key, None)
            else:
                while (found := queue.pop(when)) is not None:
                    if deadlines.get(found, when) < when:
                        del deadlines[found]
                assert all(each >= when for each in deadlines.values())
    assert not deadlines


@pytest.mark.parametrize("way", ["later", "the same", "the same object"])
def test_outdated_deadlines_are_sorted_out_a_few_at_a_time(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way != "the same object":
        monkeypatch.setattr(module, "heapify", None)  # nothing is done at once
    deadlines, keys, largest, most = Counted(), [b"%d" % number for number in range(2000)], 0, 0
    queue = DeadlineQueue(deadlines)
    kept = {key: 10**12 for key in keys}
    for step in range(10):
        for key in keys:
            when = 10**12 + step if way == "later" else kept[key] if way == "the same object" else int("1" + "0" * 12)
            deadlines[key], before = when, deadlines.looks
            queue.push(when, key)
            largest, most = max(largest, sum(map(len, queue.parts))), max(most, deadlines.looks - before)
    assert most == MOVED
    assert largest < 4 * len(keys) + 2 * SLACK
