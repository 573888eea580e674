"""Time limits and clocks for tests on a machine that also does other things."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

Clock = Callable[[], float]  # returns seconds


def within(seconds: float) -> float:
    """Return a time limit: `seconds` on an idle machine, more if several processes share each processor."""
    return seconds * (1 + os.getloadavg()[0] / (os.cpu_count() or 1))


def busy_time_of(process: int) -> Clock:
    """Return a clock of the processor time that a process, named by its id, has used.

    A measurement by it does not depend on the load of the machine. Outside Linux it is an ordinary clock.
    """
    if sys.platform != "linux":
        return time.perf_counter
    number = (~process << 3) | 2  # clock_getcpuclockid(3)
    return lambda: time.clock_gettime(number)
