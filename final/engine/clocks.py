"""The two clocks: one returns the time of day, the other measures how long something takes."""

import time


def wall_clock() -> int:
    """Return milliseconds since 1970, for expiry. This clock may be set forwards or backwards while the server runs."""
    return time.time_ns() // 1_000_000


def steady_clock() -> int:
    """Return milliseconds since an unspecified moment, for durations and timeouts. This clock is never set."""
    return time.monotonic_ns() // 1_000_000
