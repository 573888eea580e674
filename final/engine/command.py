"""The table of commands, and the look-up in it. It knows no command by name, no server and no client."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..protocol.errors import unknown_command, unknown_subcommand, wrong_number_of_arguments
from ..protocol.writer import Value

# Flags, as COMMAND shows them. WRITE is refused while the log cannot be written, NO_AUTH goes before the password,
# NO_MULTI is refused after MULTI; the others are what clients and proxies want to know.
WRITE, READONLY, DENYOOM, FAST, ADMIN = "write", "readonly", "denyoom", "fast", "admin"
NOSCRIPT, LOADING, STALE, NO_AUTH, ALLOW_BUSY = "noscript", "loading", "stale", "no_auth", "allow_busy"
NO_MULTI, PUBSUB, BLOCKING, MOVABLEKEYS = "no_multi", "pubsub", "blocking", "movablekeys"


class Group(NamedTuple):
    """A family of commands."""

    name: str  # as COMMAND DOCS calls it
    category: str  # as ACL rules call it
    letter: str  # as notify-keyspace-events calls what they bring about


SERVER = Group("server", "", "g")  # of a module in `commands` that names no other


@dataclass
class Command:
    """One command: the function, and what its signature says, worked out once."""

    name: str  # in lower case; "client|setname" for a subcommand
    function: Callable[..., Value]
    run: Callable[[Any, Any, list[bytes]], Value]  # of the server, the client and the request; see `signature.py`
    fewest: int  # words in a request, those of the name among them
    most: float  # the same; infinite where the function takes *words. What is longer is refused: see `fits` and `bind`
    flags: tuple[str, ...] = ()
    keys: tuple[int, int, int] = (0, 0, 0)  # first key, last key (-1: the last word), step; zeros where there is none
    plain: bool = False  # it is handed nothing but the data, and never waits
    subcommands: dict[bytes, "Command"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.readonly = READONLY in self.flags

    @property
    def arity(self) -> int:
        """The number of words as COMMAND shows it: negative means at least so many."""
        return self.fewest if self.fewest == self.most else -self.fewest

    def fits(self, count: int) -> bool:
        """Whether the arity allows a request of so many arguments, its name among them.

        Redis knows no upper limit but an exact number. So a PING of three arguments is queued after MULTI, and refused
        when it runs.
        """
        return count == self.fewest if self.fewest == self.most else count >= self.fewest

    @property
    def group(self) -> Group:
        """The family it belongs to: its module says so by a `GROUP` of its own."""
        return getattr(sys.modules[self.function.__module__], "GROUP", SERVER)


COMMANDS: dict[bytes, Command] = {}  # name in lower case -> command
PLAIN: dict[bytes, Command] = {}  # those that are plain; name in lower case and in capitals, as clients send it


def find(words: list[bytes]) -> Command:
    """Look up the command that a request names, and check its arity.

    Raises what `look_up` raises, and `wrong_number_of_arguments`.
    """
    found = look_up(words)
    if not found.fits(len(words)):
        raise wrong_number_of_arguments(found.name)
    return found


def look_up(words: list[bytes]) -> Command:
    """Look up the command that a request names, in capitals or not: by one word, or by two for a subcommand.

    Raises `unknown_command` and `unknown_subcommand`.

    >>> greet = Command("greet", print, print, fewest=1, most=9)
    >>> greet.subcommands[b"politely"] = Command("greet|politely", print, print, fewest=2, most=2)
    >>> COMMANDS[b"greet"] = greet
    >>> look_up([b"GREET"]).name, look_up([b"greet", b"Politely"]).name
    ('greet', 'greet|politely')
    >>> del COMMANDS[b"greet"]
    """
    found = COMMANDS.get(words[0]) or COMMANDS.get(words[0].lower())
    if found is None:
        raise unknown_command(words)
    if not found.subcommands or len(words) == 1:
        return found
    if (subcommand := found.subcommands.get(words[1].lower())) is None:
        raise unknown_subcommand(found.name.upper(), words[1])
    return subcommand
