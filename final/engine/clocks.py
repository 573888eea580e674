"""The two clocks: one that tells what time it is, and one that tells how long something takes."""

import time


def wall_clock() -> int:
    """Milliseconds since 1970: when a key expires. Somebody may set this clock, forwards and backwards."""
    return time.time_ns() // 1_000_000


def steady_clock() -> int:
    """Milliseconds since some time or other: how long something waits, was idle, takes. Nobody sets this one."""
    return time.monotonic_ns() // 1_000_000
