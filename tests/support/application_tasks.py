"""The tasks of the task queues in `tests/final/test_applications.py`; the workers import this module by its name."""

from redis import Redis

PORT = 6379  # a test sets it to the port of its server


def add(first: int, second: int) -> int:
    """A task that succeeds."""
    return first + second


def total_of(numbers: list[int]) -> int:
    """A task that uses the results of others."""
    return sum(numbers)


def fail() -> None:
    """A task that fails."""
    raise ValueError("this task always fails")


def count_up(key: str) -> int:
    """A task that increments a key, so that a test sees that it ran."""
    with Redis(port=PORT) as client:
        return int(client.incr(key))
