"""The table of commands, and the look-up in it. It knows no command by name, no server and no client."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..protocol.errors import unknown_command, unknown_subcommand, wrong_number_of_arguments
from ..protocol.writer import Value
from .key_specs import KeySpec

# Flags, as COMMAND shows them.
WRITE, READONLY, DENYOOM, FAST, ADMIN = "write", "readonly", "denyoom", "fast", "admin"
NOSCRIPT, LOADING, STALE, NO_AUTH, ALLOW_BUSY = "noscript", "loading", "stale", "no_auth", "allow_busy"
NO_MULTI, PUBSUB, BLOCKING, MOVABLEKEYS = "no_multi", "pubsub", "blocking", "movablekeys"
SKIP_MONITOR, SKIP_SLOWLOG, NO_MANDATORY_KEYS = "skip_monitor", "skip_slowlog", "no_mandatory_keys"

# Flags that only this server looks at: what Redis compares with the function of a command.
UNQUEUED = "unqueued"  # it runs at once, also after MULTI
RUNS_QUEUE = "runs_queue"  # it runs what was queued: EXEC
WHILE_SUBSCRIBED = "while_subscribed"  # in RESP2 a client that is subscribed may send it
NO_TOUCH = "no_touch"  # it looks at a key from outside, which does not count as a use of the key
UNCOUNTED = "uncounted"  # that it looks at a key counts neither as a hit nor as a miss
MAY_REPLICATE = "may_replicate"  # it may have effects elsewhere, though it does not write
REFUSED_LIKE_WRITES = "refused_like_writes"  # while the log cannot be written: PING, so that others notice
INTERNAL = {
    *(UNQUEUED, RUNS_QUEUE, WHILE_SUBSCRIBED, NO_TOUCH, UNCOUNTED, MAY_REPLICATE, REFUSED_LIKE_WRITES),
}


class Group(NamedTuple):
    """A family of commands."""

    name: str  # as COMMAND DOCS calls it
    category: str  # as ACL rules call it
    letter: str  # as notify-keyspace-events calls what they bring about


SERVER = Group("server", "", "g")  # of a module in `commands` that names no other


FindKeys = Callable[[list[bytes]], Iterable[tuple[int, str]]]


@dataclass
class Command:
    """One command: the function, and what its signature says, worked out once."""

    name: str  # in lower case; "client|setname" for a subcommand
    function: Callable[..., Value]
    run: Callable[[Any, Any, list[bytes]], Value]  # of the server, the client and the request; see `signature.py`
    fewest: int  # words in a request, those of the name among them
    most: float  # the same; infinite where the function takes *args. What is longer is refused: see `fits` and `bind`
    flags: tuple[str, ...] = ()
    key_specs: tuple[KeySpec, ...] = ()
    find_keys: FindKeys | None = None  # where the specifications do not say it all
    secrets: Callable[[list[bytes]], Iterable[int]] | None = None  # the indexes of passwords in a request
    plain: bool = False  # it is handed nothing but the data, and never waits
    subcommands: dict[bytes, "Command"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        reads = any(each.access.startswith("RO") for each in self.key_specs)
        self.counts_lookups = reads and UNCOUNTED not in self.flags
        only = self.key_specs[0] if len(self.key_specs) == 1 else None
        self.only_key = only.begin if only and not (only.last or only.counted) else 0  # its index; 0: there may be more

    def uses_of_keys(self, args: list[bytes]) -> Iterator[tuple[int, str]]:
        """The index of each key that a request names, and how the command uses it."""
        if self.find_keys is not None:
            yield from self.find_keys(args)
        else:
            yield from ((at, spec.access) for spec in self.key_specs for at in spec.positions(args))

    def keys_in(self, args: list[bytes]) -> list[bytes]:
        """The keys that a request names."""
        return [args[at] for at, _ in self.uses_of_keys(args)]

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


def find(args: list[bytes]) -> Command:
    """Look up the command that a request names, and check its arity.

    Raises what `look_up` raises, and `wrong_number_of_arguments`.
    """
    found = look_up(args)
    if not found.fits(len(args)):
        raise wrong_number_of_arguments(found.name)
    return found


def look_up(args: list[bytes]) -> Command:
    """Look up the command that a request names, in capitals or not: by one word, or by two for a subcommand.

    Raises `unknown_command` and `unknown_subcommand`.

    >>> greet = Command("greet", print, print, fewest=1, most=9)
    >>> greet.subcommands[b"politely"] = Command("greet|politely", print, print, fewest=2, most=2)
    >>> COMMANDS[b"greet"] = greet
    >>> look_up([b"GREET"]).name, look_up([b"greet", b"Politely"]).name
    ('greet', 'greet|politely')
    >>> del COMMANDS[b"greet"]
    """
    found = COMMANDS.get(args[0]) or COMMANDS.get(args[0].lower())
    if found is None:
        raise unknown_command(args)
    if not found.subcommands or len(args) == 1:
        return found
    if (subcommand := found.subcommands.get(args[1].lower())) is None:
        raise unknown_subcommand(found.name.upper(), args[1])
    return subcommand
