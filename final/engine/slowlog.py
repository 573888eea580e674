"""SLOWLOG: the requests that took long, the newest first. It knows no socket."""

from collections import deque
from dataclasses import dataclass

from ..options import Options
from .client import Client
from .command import SKIP_SLOWLOG, Command
from .monitor import without_secrets

LONGEST, MOST = 128, 32  # what is kept of a request: so many bytes of a word, so many words


@dataclass(frozen=True)
class Slow:
    """A request that took long."""

    id: int
    when: int  # seconds since 1970
    took: int  # microseconds
    args: list[bytes]
    address: str
    name: bytes


class SlowLog:
    """The requests that took longer than `slowlog-log-slower-than`, at most `slowlog-max-len` of them."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.entries: deque[Slow] = deque()  # the newest first
        self._next = 0

    def keep(self, client: Client, command: Command, args: list[bytes], took: int) -> None:
        """Keep a request that took so many microseconds, and forget the oldest ones that are too many."""
        if SKIP_SLOWLOG in command.flags:
            return
        kept = shortened(without_secrets(command, args))
        when = client.db.unit.now // 1000
        self.entries.appendleft(Slow(self._next, when, took, kept, client.address, client.name))
        self._next += 1
        while len(self.entries) > self.options.slowlog_max_len:
            self.entries.pop()


def shortened(args: list[bytes]) -> list[bytes]:
    """As much of a request as the slow log keeps.

    >>> shortened([b"SET", b"k", b"x" * 130])[2][-10:], shortened([b"w"] * 40)[-1]
    (b'ore bytes)', b'... (9 more arguments)')
    """
    kept = [
        arg if len(arg) <= LONGEST else arg[:LONGEST] + b"... (%d more bytes)" % (len(arg) - LONGEST)
        for arg in (args if len(args) <= MOST else args[: MOST - 1])
    ]
    return kept if len(args) <= MOST else [*kept, b"... (%d more arguments)" % (len(args) - MOST + 1)]
