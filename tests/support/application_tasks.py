"""What the task queues of `test_final_applications.py` work at; their workers import it by name."""

from redis import Redis

PORT = 6379  # a test puts in that of its server


def add(first: int, second: int) -> int:
    """A task that succeeds."""
    return first + second


def total_of(numbers: list[int]) -> int:
    """A task that waits for others."""
    return sum(numbers)


def fail() -> None:
    """A task that fails."""
    raise ValueError("this task always fails")


def count_up(key: str) -> int:
    """A task that leaves a trace."""
    with Redis(port=PORT) as client:
        return int(client.incr(key))
