"""SLOWLOG: the slowest requests, newest first. It knows no socket."""

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import Protocol

from ..config.options import Options
from ..latency import Latency
from .client import Client
from .command import FAST, SKIP_SLOWLOG, Command
from .monitor import redact

MAX_STRING, MAX_ARGC = 128, 32  # of a request: bytes of an argument, and arguments, that are kept (slowlog.h)


@dataclass(frozen=True)
class Entry:
    """A slow request."""

    id: int
    when: int  # seconds since 1970
    took: int  # microseconds
    args: list[bytes]
    address: str
    name: bytes  # of the client


class SlowLogNeeds(Protocol):
    """What `was_slow` needs of the engine: who is told of a slow request."""

    slowlog: "SlowLog"
    latency: Latency


def slow_after(options: Options) -> float:
    """Return the seconds from which on the slow log or the latency monitor wants to know of a request."""
    slow, threshold = options.slowlog_log_slower_than, options.latency_monitor_threshold
    return min(slow / 1e6 if slow >= 0 else inf, threshold / 1e3 or inf)


def was_slow(engine: SlowLogNeeds, client: Client, command: Command, args: list[bytes], took: float) -> None:
    """Tell the slow log and the latency monitor of a request that has taken `took` microseconds."""
    engine.slowlog.keep(client, command, args, took)
    engine.latency.add("fast-command" if FAST in command.flags else "command", took / 1e6)


class SlowLog:
    """The requests that took longer than `slowlog-log-slower-than`, at most `slowlog-max-len` of them."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.entries: deque[Entry] = deque()  # the newest first
        self._next_id = 0

    def keep(self, client: Client, command: Command, args: list[bytes], took: float) -> None:
        """Add a request that took `took` microseconds, if that is slow; remove the oldest beyond `slowlog-max-len`."""
        if not 0 <= self.options.slowlog_log_slower_than <= took or SKIP_SLOWLOG in command.flags:
            return
        kept = shorten(redact(command, args))
        when = client.db.unit.clock() // 1000
        self.entries.appendleft(Entry(self._next_id, when, int(took), kept, client.address, client.name))
        self._next_id += 1
        while len(self.entries) > self.options.slowlog_max_len:
            self.entries.pop()


def shorten(args: list[bytes]) -> list[bytes]:
    """Return a request with long arguments cut, and with one line instead of those beyond MAX_ARGC.

    >>> shorten([b"SET", b"k", b"x" * 130])[2][-10:], shorten([b"w"] * 40)[-1]
    (b'ore bytes)', b'... (9 more arguments)')
    """
    kept = [
        arg if len(arg) <= MAX_STRING else arg[:MAX_STRING] + b"... (%d more bytes)" % (len(arg) - MAX_STRING)
        for arg in (args if len(args) <= MAX_ARGC else args[: MAX_ARGC - 1])
    ]
    return kept if len(args) <= MAX_ARGC else [*kept, b"... (%d more arguments)" % (len(args) - MAX_ARGC + 1)]
