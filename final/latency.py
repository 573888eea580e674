"""The latency monitor: events that took long, for the command LATENCY (`latency.c`).

An event is kept if it took at least `latency-monitor-threshold` milliseconds; with 0, the default, none is. Of each
second the longest one is kept.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from time import perf_counter

from .config.options import Options

SAMPLES = 160  # of each event (LATENCY_TS_LEN)
COLUMNS, ROWS = 80, 4  # of a graph
STEPS = "_o#"  # what a row of a graph can show


@dataclass
class Series:
    """The samples of one event, the oldest first: the Unix time in seconds, and milliseconds."""

    samples: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    most: int = 0  # of all time

    def add(self, now: int, took: int) -> None:
        """Add a sample, or make the one of the same second greater."""
        self.most = max(self.most, took)
        if self.samples and self.samples[-1][0] == now:
            took = max(took, self.samples.pop()[1])
        self.samples.append((now, took))


class Latency:
    """The events, and what is known of the last fork."""

    def __init__(self, options: Options, clock: Callable[[], int]) -> None:
        """`clock` returns the milliseconds since 1970."""
        self.options, self.clock = options, clock
        self.events: dict[str, Series] = {}
        self.forks = 0  # since the start, or since CONFIG RESETSTAT
        self.last_fork = 0.0  # the seconds that the last one took

    @property
    def least(self) -> float:
        """The seconds from which on an event is kept."""
        return self.options.latency_monitor_threshold / 1000 or inf

    def add(self, event: str, seconds: float) -> None:
        """Keep an event if it took long."""
        if seconds >= self.least:
            self.events.setdefault(event, Series()).add(self.clock() // 1000, int(seconds * 1000))

    @contextmanager
    def timed(self, event: str) -> Iterator[None]:
        """Keep what the block does as an event, if it takes long."""
        began = perf_counter()
        yield
        self.add(event, perf_counter() - began)

    def add_fork(self, seconds: float) -> None:
        """A child process was forked, which took so long."""
        self.forks += 1
        self.last_fork = seconds
        self.add("fork", seconds)


def graph(name: str, series: Series, now: int) -> str:
    """Draw the samples of an event as columns, with their ages below; `now` is the Unix time in seconds.

    >>> series = Series()
    >>> for when, took in (97, 10), (98, 30), (99, 20): series.add(when, took)
    >>> [line.rstrip() for line in graph("fork", series, 100).split("\\n")[2:]]
    [' #', ' |_', ' ||', '_||', '', '321', 'sss', '']
    """
    values = [took for _, took in series.samples]
    lines = [f"{name} - high {max(values)} ms, low {min(values)} ms (all time high {series.most} ms)", "-" * COLUMNS]
    for start in range(0, len(values), COLUMNS):
        part = list(series.samples)[start : start + COLUMNS]
        lines += [""] if start else []
        steps = [height(took, min(values), max(values)) for _, took in part]
        lines += ["".join(drawn(each, row) for each in steps) for row in range(ROWS - 1, -1, -1)]
        labels = [age(now - when) for when, _ in part]
        lines.append(" " * len(part))
        for at in range(max(map(len, labels))):
            lines.append("".join(label[at : at + 1] or " " for label in labels))
    return "\n".join(lines) + "\n"


def height(value: int, least: int, most: int) -> int:
    """Return the height of a column, in steps from 0."""
    steps = ROWS * len(STEPS)
    return min((value - least) * steps // (most - least or 1), steps - 1)


def drawn(step: int, row: int) -> str:
    """Return what a row shows of a column of this height; row 0 is the lowest."""
    above = step - row * len(STEPS)
    return " " if above < 0 else STEPS[above] if above < len(STEPS) else "|"


def age(seconds: int) -> str:
    """Return an age in its largest unit.

    >>> age(59), age(60), age(7200), age(200000)
    ('59s', '1m', '2h', '2d')
    """
    for size, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{letter}"
    return f"{seconds}s"
