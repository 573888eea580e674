"""Those who look on: clients that MONITOR what others ask, and the log of slow requests. It knows no socket."""

import time
from collections import deque
from dataclasses import dataclass

from ..options import Options
from .client import Client
from .command import ADMIN, Command

SKIP_MONITOR = "skip_monitor"  # the flag of scripts
LONGEST, MOST = 128, 32  # what SLOWLOG keeps of a request: so many bytes of a word, so many words
ESCAPES = {byte: f"\\x{byte:02x}" for byte in range(256) if not 32 <= byte < 127}
ESCAPES |= {ord(sign): "\\" + letter for sign, letter in zip('\\"\n\r\t\a\b', '\\"nrtab', strict=True)}
SECRET = b"(redacted)"


@dataclass(frozen=True)
class Slow:
    """A request that took long."""

    id: int
    when: int  # seconds since 1970
    took: int  # microseconds
    words: list[bytes]
    address: str
    name: bytes


class Onlookers:
    """Who hears of each request that is run, and which of them took too long."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.monitors: dict[Client, None] = {}
        self.slow: deque[Slow] = deque()  # the newest first
        self._next = 0

    def join(self, client: Client) -> None:
        """Have a client hear of what others ask."""
        client.monitoring = True
        self.monitors[client] = None

    def leave(self, client: Client) -> None:
        """Have it hear no more of that."""
        client.monitoring = False
        self.monitors.pop(client, None)

    def before(self, client: Client, command: Command, words: list[bytes]) -> None:
        """A request is going to be run: those who monitor hear of a script before they hear what it does."""
        if SKIP_MONITOR in command.flags:
            self._tell(client, command, words)

    def after(self, client: Client, command: Command, words: list[bytes], took: int) -> None:
        """A request was run, and took so many microseconds. What an administrator does is not shown to others."""
        if took >= self.options.slowlog_log_slower_than >= 0 and "skip_slowlog" not in command.flags:
            self._keep(client, command, words, took)
        if ADMIN not in command.flags and SKIP_MONITOR not in command.flags:
            self._tell(client, command, words)

    def _tell(self, client: Client, command: Command, words: list[bytes]) -> None:
        """Tell those who monitor, with what is secret left out."""
        if not self.monitors:
            return  # it was a slow request that brought us here: a large one would take long to write out
        said = " ".join(quoted(word) for word in without_secrets(command.name, words))
        line = f"{time.time():.6f} [{client.db.index} {'lua' if client.scripted else client.address}] {said}"
        for each in list(self.monitors):  # who does not read is cut off meanwhile
            each.deliver(line)

    def _keep(self, client: Client, command: Command, words: list[bytes], took: int) -> None:
        """Keep a request in the slow log, and forget the oldest ones that are too many."""
        kept = shortened(without_secrets(command.name, words))
        when = client.db.unit.now // 1000
        self.slow.appendleft(Slow(self._next, when, took, kept, client.address, client.name))
        self._next += 1
        while len(self.slow) > self.options.slowlog_max_len:
            self.slow.pop()


def without_secrets(name: str, words: list[bytes]) -> list[bytes]:
    """A request without the passwords that are in it.

    >>> without_secrets("auth", [b"AUTH", b"sesame"]), without_secrets("hello", [b"HELLO", b"3", b"AUTH", b"me", b"x"])
    ([b'AUTH', b'(redacted)'], [b'HELLO', b'3', b'AUTH', b'(redacted)', b'(redacted)'])
    """
    hidden: set[int] = set()
    if name == "auth":
        hidden = set(range(1, len(words)))
    elif name == "hello":
        hidden = {place + step for place, word in enumerate(words) if word.lower() == b"auth" for step in (1, 2)}
    elif name == "config|set":
        hidden = {place + 1 for place, word in enumerate(words) if word.lower() == b"requirepass"}
    return [SECRET if place in hidden else word for place, word in enumerate(words)]


def shortened(words: list[bytes]) -> list[bytes]:
    """As much of a request as the slow log keeps.

    >>> shortened([b"SET", b"k", b"x" * 130])[2][-10:], shortened([b"w"] * 40)[-1]
    (b'ore bytes)', b'... (9 more arguments)')
    """
    kept = [
        word if len(word) <= LONGEST else word[:LONGEST] + b"... (%d more bytes)" % (len(word) - LONGEST)
        for word in (words if len(words) <= MOST else words[: MOST - 1])
    ]
    return kept if len(words) <= MOST else [*kept, b"... (%d more arguments)" % (len(words) - MOST + 1)]


def quoted(word: bytes) -> str:
    r"""A word as MONITOR shows it, and redis-cli takes it.

    >>> print(quoted(b'a\x00b\n"q"\xff'))
    "a\x00b\n\"q\"\xff"
    """
    return f'"{word.decode("latin-1").translate(ESCAPES)}"'
