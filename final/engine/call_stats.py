"""How often each command was called, and how long that took: INFO commandstats and latencystats, LATENCY HISTOGRAM.

What is noted of a call is its duration in microseconds: a list counts the calls that took so few, and a dictionary
those that took longer. The number of calls and their total time are sums over these, so nothing else is counted while
commands run. Redis keeps a histogram of nanoseconds with two significant digits (`hdr_histogram.c`). What is shown is
rounded in the same way; so are long durations, some times a second, or there could be too many different ones.

Several GETs, or SETs, that are executed together (`runs.py`) share two readings of the clock: each call is counted, and
their time is divided equally among them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import accumulate

EXACT = 256  # durations below this are not rounded, in the unit in which they are counted
MOST = 3000  # different long durations of a command, from which on they are rounded
LONGEST = 10**9  # nanoseconds: longer calls count as this long (LATENCY_HISTOGRAM_MAX_VALUE)
FIRST = 1024  # nanoseconds: the first limit in LATENCY HISTOGRAM; each further one is twice as long

Durations = dict[int, int]  # a duration -> how many calls took as long


class CallStats:
    """The calls of all commands since the start, or since CONFIG RESETSTAT.

    >>> stats = CallStats()
    >>> stats.short["get"][3] += 1; stats.add("get", 10e-6, 4); stats.add("get", 0.5)
    >>> stats.calls("get"), stats.microseconds("get"), stats.durations("get")
    (6, 500013, {2: 2, 3: 3, 500000: 1})
    """

    def __init__(self) -> None:
        self.tracked, self.untracked = Table(), Table()  # calls while `latency-tracking` is on, and while it is off
        self.track(True)
        self.waiting: Counter[str] = Counter()  # calls that wait, or have timed out, whose durations are not shown
        self.rejected: Counter[str] = Counter()  # requests that were not executed
        self.failed: Counter[str] = Counter()  # errors in replies
        self._lost: Counter[str] = Counter()  # microseconds that are in no duration

    def track(self, on: bool) -> None:
        """Show how long calls take from now on, or do not."""
        table = self.tracked if on else self.untracked
        self.short, self.long = table.short, table.long  # where calls are counted now

    def add(self, name: str, seconds: float, count: int = 1) -> None:
        """Count calls that have taken this many seconds together."""
        if not count:
            return
        each, longer = divmod(int(seconds * 1e6 + 0.5), count)
        for took, calls in (each, count - longer), (each + 1, longer):
            if took < EXACT:
                self.short[name][took] += calls
            elif calls:
                self.long[name][took] += calls

    def end_wait(self, name: str, took: float) -> None:
        """A call that was counted in `waiting` has taken this many microseconds."""
        self.waiting[name] -= 1
        self.add(name, took / 1e6)

    def end_in_vain(self, name: str, took: float) -> None:
        """A call that was counted in `waiting` has timed out. It stays there: its duration is in no histogram."""
        self._lost[name] += int(took)

    def reset(self) -> None:
        """Forget all calls."""
        tables = (each for table in (self.tracked, self.untracked) for each in (table.short, table.long))
        for each in (*tables, self.waiting, self.rejected, self.failed, self._lost):
            each.clear()

    @property
    def total(self) -> int:
        """The number of calls of all commands."""
        return self.tracked.total + self.untracked.total + sum(self.waiting.values())

    @property
    def names(self) -> list[str]:
        """The commands that were called or refused, in alphabetical order."""
        known = self.tracked.names | self.untracked.names | self.waiting.keys() | self.rejected.keys()
        return [each for each in sorted(known) if self.calls(each) or self.rejected[each] or self.failed[each]]

    @property
    def counts(self) -> dict[str, tuple[int, int, int]]:
        """How often each command was called, refused and has failed, without the durations."""
        return {each: (self.calls(each), self.rejected[each], self.failed[each]) for each in self.names}

    def durations(self, name: str) -> Durations:
        """How long the calls of a command took, those that were tracked and the others."""
        return dict(Counter(self.tracked.durations(name)) + Counter(self.untracked.durations(name)))

    def calls(self, name: str) -> int:
        """How often a command was called."""
        return sum(self.durations(name).values()) + self.waiting[name]

    def microseconds(self, name: str) -> int:
        """How long all calls of a command took together."""
        return sum(took * count for took, count in self.durations(name).items()) + self._lost[name]

    def round_long(self) -> None:
        """Round the long durations of commands that have too many different ones. Called some ten times a second."""
        for name, took in self.long.items():
            if len(took) > MOST:
                for each in list(took):
                    count = took.pop(each)
                    took[rounded := lowest(each)] += count
                    self._lost[name] += (each - rounded) * count

    def distribution(self, name: str) -> Durations:
        """Return the tracked calls of a command by their durations in nanoseconds, rounded as in Redis, in order."""
        found: Durations = {}
        for microseconds, count in sorted(self.tracked.durations(name).items()):
            each = lowest(min(max(microseconds * 1000, 1), LONGEST))
            found[each] = found.get(each, 0) + count
        return found


class Table:
    """How long the calls of each command took, in microseconds."""

    def __init__(self) -> None:
        self.short: dict[str, list[int]] = defaultdict(lambda: [0] * EXACT)  # how many took 0, 1, 2 …
        self.long: dict[str, Durations] = defaultdict(lambda: defaultdict(int))  # and how many took longer

    @property
    def names(self) -> set[str]:
        """The commands that were called."""
        return {*self.short, *self.long}

    @property
    def total(self) -> int:
        """The number of calls."""
        return sum(map(sum, self.short.values())) + sum(sum(each.values()) for each in self.long.values())

    def durations(self, name: str) -> Durations:
        """How long the calls of a command took."""
        short = enumerate(self.short.get(name, ()))
        return {each: count for each, count in short if count} | self.long.get(name, {})


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
    """Return the microseconds that this percentage of the calls in a distribution took at most.

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
