"""What a test sees of a running server from outside: the numbers of INFO, and whether a condition becomes true."""

from __future__ import annotations

import time
from collections.abc import Callable

from stages.harness.wire import Client


def info_number(client: Client, field: str) -> int:
    """Return a field of INFO that is a number."""
    text = client.ask("INFO", "everything")
    assert isinstance(text, bytes)
    return int(dict(line.split(":", 1) for line in text.decode().split("\r\n") if ":" in line)[field])


def await_true(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait until `condition()` is true; fail after `seconds`, naming `what` did not become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not true after {seconds:g} seconds: {what}"
        time.sleep(0.01)
