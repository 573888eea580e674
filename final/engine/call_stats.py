"""How often each command was called, and how long that took: INFO commandstats and latencystats, LATENCY HISTOGRAM.

What is noted of a call is its duration in microseconds: one entry of a dictionary counts the calls that took as long.
The number of calls and their total time are sums over these entries, so nothing else is counted while commands run.
Redis keeps a histogram of nanoseconds with two significant digits (`hdr_histogram.c`). What is shown is rounded in the
same way; so are long durations, some times a second, or there could be too many different ones.

Several GETs, or SETs, that are executed together (`runs.py`) share two readings of the clock: each call is counted, and
their time is divided equally among them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import accumulate
from math import floor

EXACT = 256  # durations below this are not rounded, in the unit in which they are counted
MOST = 600  # different durations of a command, from which on long ones are rounded
LONGEST = 10**9  # nanoseconds: longer calls count as this long (LATENCY_HISTOGRAM_MAX_VALUE)
FIRST = 1024  # nanoseconds: the first limit in LATENCY HISTOGRAM; each further one is twice as long

Durations = dict[int, int]  # a duration -> how many calls took as long


class CallStats:
    """The calls of all commands since the start, or since CONFIG RESETSTAT.

    >>> stats = CallStats()
    >>> stats.took["get"][3] += 1; stats.add("get", 10e-6, 4)
    >>> stats.calls("get"), stats.microseconds("get"), sorted(stats.took["get"].items())
    (5, 13, [(2, 2), (3, 3)])
    """

    def __init__(self) -> None:
        self.tracked: dict[str, Durations] = defaultdict(lambda: defaultdict(int))  # of each command, in microseconds
        self.untracked: dict[str, Durations] = defaultdict(lambda: defaultdict(int))  # while `latency-tracking` is off
        self.took: dict[str, Durations] = self.tracked  # the one of them in which calls are counted now
        self.waiting: Counter[str] = Counter()  # calls that wait, so that their durations are not known
        self.rejected: Counter[str] = Counter()  # requests that were not executed
        self.failed: Counter[str] = Counter()  # errors in replies
        self._lost: Counter[str] = Counter()  # microseconds that were lost when durations were rounded

    def track(self, on: bool) -> None:
        """Show how long calls take from now on, or do not."""
        self.took = self.tracked if on else self.untracked

    def add(self, name: str, seconds: float, count: int = 1) -> None:
        """Count calls that have taken so many seconds together."""
        took, each = self.took[name], floor(seconds * 1e6 + 0.5)
        if count == 1:
            took[each] += 1
        elif count:
            each, longer = divmod(each, count)
            took[each] += count - longer
            if longer:
                took[each + 1] += longer

    def end_wait(self, name: str, took: float) -> None:
        """A call that was counted in `waiting` has taken so many microseconds."""
        self.waiting[name] -= 1
        self.add(name, took / 1e6)

    def reset(self) -> None:
        """Forget all calls."""
        for each in (self.tracked, self.untracked, self.waiting, self.rejected, self.failed, self._lost):
            each.clear()

    @property
    def total(self) -> int:
        """The number of calls of all commands."""
        counted = (each.values() for table in (self.tracked, self.untracked) for each in table.values())
        return sum(map(sum, counted)) + sum(self.waiting.values())

    @property
    def names(self) -> list[str]:
        """The commands that were called or refused, in alphabetical order."""
        known = self.tracked.keys() | self.untracked.keys() | self.waiting.keys() | self.rejected.keys()
        return [each for each in sorted(known) if self.calls(each) or self.rejected[each] or self.failed[each]]

    @property
    def counts(self) -> dict[str, tuple[int, int, int]]:
        """How often each command was called, refused and has failed, without the durations."""
        return {each: (self.calls(each), self.rejected[each], self.failed[each]) for each in self.names}

    def calls(self, name: str) -> int:
        """How often a command was called."""
        return sum(sum(table[name].values()) for table in self._tables(name)) + self.waiting[name]

    def microseconds(self, name: str) -> int:
        """How long all calls of a command took together."""
        spent = sum(took * count for table in self._tables(name) for took, count in table[name].items())
        return spent + self._lost[name]

    def _tables(self, name: str) -> list[dict[str, Durations]]:
        return [table for table in (self.tracked, self.untracked) if name in table]

    def round_long(self) -> None:
        """Round the long durations of commands that have too many different ones. Called some ten times a second."""
        for name, took in self.took.items():
            if len(took) > MOST:
                for each in [each for each in took if each >= EXACT]:
                    count = took.pop(each)
                    took[rounded := lowest(each)] += count
                    self._lost[name] += (each - rounded) * count

    def distribution(self, name: str) -> Durations:
        """Return the calls of a command by their durations in nanoseconds, rounded as in Redis, in order."""
        found: Durations = {}
        for microseconds, count in sorted(self.tracked.get(name, {}).items()):
            each = lowest(min(max(microseconds * 1000, 1), LONGEST))
            found[each] = found.get(each, 0) + count
        return found


def lowest(value: int) -> int:
    """Return the lowest value that a histogram with two significant digits does not distinguish from this one.

    >>> lowest(255), lowest(1003), lowest(1_000_000)
    (255, 1000, 999424)
    """
    bits = max(value.bit_length() - 8, 0)
    return value >> bits << bits


def highest(value: int) -> int:
    """Return the highest such value.

    >>> highest(255), highest(1000), highest(1_000_000)
    (255, 1003, 1003519)
    """
    return lowest(value) + (1 << max(value.bit_length() - 8, 0)) - 1


def percentile(calls: Durations, percent: float) -> float:
    """Return the microseconds that so many percent of the calls in a distribution took at most.

    >>> percentile({1000: 99, 5000: 1}, 50), percentile({1000: 99, 5000: 1}, 100), percentile({1000: 1}, 0)
    (1.003, 5.023, 1.0)
    """
    wanted = max(int(percent / 100 * sum(calls.values()) + 0.5), 1)
    sums = accumulate(calls.values())
    found = next(each for each, count in zip(calls, sums, strict=True) if count >= wanted)
    return (highest(found) if percent else found) / 1000


def cumulative(calls: Durations) -> Iterator[tuple[int, int]]:
    """Yield limits in microseconds and how many calls in a distribution took at most as long, without empty steps.

    >>> list(cumulative({1000: 2, 1024: 1, 40000: 1}))
    [(1, 3), (66, 4)]
    """
    limit, count = FIRST, 0
    left = sorted(calls.items())
    while left:
        before = count
        while left and left[0][0] <= highest(limit):
            count += left.pop(0)[1]
        if count > before:
            yield highest(limit) // 1000, count
        limit *= 2
