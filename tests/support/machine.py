"""What a test may expect of the machine that it runs on, which others use too."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

Clock = Callable[[], float]  # gives seconds


def within(seconds: float) -> float:
    """Give a time limit: `seconds` on a quiet machine, more where several processes share each processor."""
    return seconds * (1 + os.getloadavg()[0] / (os.cpu_count() or 1))


def busy_time_of(process: int) -> Clock:
    """Give a clock that only runs while a process, named by its id, is on a processor.

    What is measured by it does not depend on what else the machine does. Outside Linux it is an ordinary clock.
    """
    if sys.platform != "linux":
        return time.perf_counter
    number = (~process << 3) | 2  # clock_getcpuclockid(3)
    return lambda: time.clock_gettime(number)
