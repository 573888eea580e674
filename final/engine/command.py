"""The table of commands, and looking a command up. It knows no command by name, no server and no client."""

import sys
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

from ..protocol.errors import (
    module_not_allowed,
    unknown_command,
    unknown_subcommand,
    wrong_number_of_arguments,
)
from ..protocol.writer import Value
from .key_specs import NOT_KEY, KeySpec

# Flags of Redis, shown by COMMAND INFO, in this order.
WRITE, READONLY, DENYOOM, ADMIN, PUBSUB, NOSCRIPT = "write", "readonly", "denyoom", "admin", "pubsub", "noscript"
BLOCKING, LOADING, STALE, SKIP_MONITOR = "blocking", "loading", "stale", "skip_monitor"
SKIP_SLOWLOG, ASKING, FAST, NO_AUTH = "skip_slowlog", "asking", "fast", "no_auth"
NO_MANDATORY_KEYS, NO_MULTI, MOVABLEKEYS, ALLOW_BUSY = "no_mandatory_keys", "no_multi", "movablekeys", "allow_busy"
SHOWN = (
    *(WRITE, READONLY, DENYOOM, ADMIN, PUBSUB, NOSCRIPT, BLOCKING, LOADING, STALE, SKIP_MONITOR, SKIP_SLOWLOG),
    *(ASKING, FAST, NO_AUTH, NO_MANDATORY_KEYS, "no_async_loading", NO_MULTI, MOVABLEKEYS, ALLOW_BUSY),
)

# Flags of this server, not shown. Redis compares functions in their place, as in `c->cmd->proc == execCommand`.
UNQUEUED = "unqueued"  # after MULTI it runs at once, and is not queued
RUNS_QUEUE = "runs_queue"  # it runs the queued requests: EXEC
WHILE_SUBSCRIBED = "while_subscribed"  # it is allowed for a subscribed client that uses RESP2
NO_TOUCH = "no_touch"  # it does not count as a use of its keys
UNCOUNTED = "uncounted"  # its look-ups count neither as hits nor as misses
COUNTED = "counted"  # its look-up counts, though it changes the value
COUNTED_TWICE = "counted_twice"  # it looks each key up twice: XREAD
QUIET = "quiet"  # a key that it does not find makes no event `keymiss`
MAY_REPLICATE = "may_replicate"  # it may have effects on other clients or replicas, though it does not write
PROTECTED = "protected"  # nobody may use it, whoever asks, and wherever: MODULE LOAD
KEEPS_CACHING = "keeps_caching"  # CLIENT CACHING lasts until another command: CLIENT
SYSTEM = "syscmd"  # servers say it to each other, or tests; shown by COMMAND DOCS
REFUSED_LIKE_WRITES = "refused_like_writes"  # while the log cannot be written: PING, for health checks
# Where its reply comes among its keyspace events, for a client that is subscribed to them; without a flag, after them.
REPLY_FIRST, REPLY_SECOND = "reply_first", "reply_second"  # before them; after the first of them
# What of its arguments are channels to which the user needs access: the first; all; all, as patterns.
CHANNEL, CHANNELS, CHANNEL_PATTERNS = "channel", "channels", "channel_patterns"

# Categories of ACL rules, among the flags of a command that has more of them than its flags and its group imply.
IN_ADMIN, IN_DANGEROUS, IN_CONNECTION = "@admin", "@dangerous", "@connection"
IN_LIST, IN_SET, IN_SORTEDSET = "@list", "@set", "@sortedset"


class Group(NamedTuple):
    """A family of commands."""

    name: str  # in COMMAND DOCS
    category: str  # in ACL rules
    letter: str  # in notify-keyspace-events, for the events of these commands


SERVER = Group("server", "", "g")  # for the modules in `commands/` that define no GROUP


FindKeys = Callable[[list[bytes]], Iterable[tuple[int, str]]]


@dataclass(eq=False)
class Command:
    """A command: its function, and what `signature.py` derives from the function's signature."""

    name: str  # in lower case; a subcommand is "client|setname"
    function: Callable[..., Value]
    run: Callable[[Any, Any, list[bytes]], Value]  # takes engine, client and request; calls `function`
    fewest: int  # arguments of a request, with the name
    most: float  # the same; infinite if the function takes *args. `run` refuses a longer request
    flags: tuple[str, ...] = ()
    key_specs: tuple[KeySpec, ...] = ()
    complexity: str | None = None  # how long it takes, for COMMAND DOCS; None: O(1)
    tips: tuple[str, ...] = ()  # for the clients of a cluster, as in COMMAND INFO
    find_keys: FindKeys | None = None  # for commands whose keys no specification describes
    writes: Callable[[Any, list[bytes]], bool | None] | None = None  # see `signature.py`
    secrets: Callable[[list[bytes]], Iterable[int]] | None = None  # the indexes of passwords in a request
    plain: bool = False  # its function takes no client and no engine, and never waits; see `fast_path.py`
    contained: bool = False  # its function takes no engine, and never waits; see `in_unit.py`
    run_of: Callable[[Any, list[list[bytes]], bytearray], int] | None = None  # executes several requests: `runs.py`
    subcommands: dict[bytes, "Command"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.specs_of_keys = tuple(each for each in self.key_specs if each.access != NOT_KEY)
        reads = any(each.access.startswith("RO") for each in self.key_specs)
        self.protected = PROTECTED in self.flags
        self.events_before_reply = 0 if REPLY_FIRST in self.flags else 1 if REPLY_SECOND in self.flags else inf
        self.counts_reads = (reads and UNCOUNTED not in self.flags) or COUNTED in self.flags
        self.tracked = READONLY in self.flags and SKIP_MONITOR not in self.flags  # not a script itself
        self.only_uses = not self.counts_reads and WRITE in self.flags  # if it changes nothing, it has used its keys
        # If keys are counted behind others and their number is wrong, the request has no keys at all, as in Redis.
        self.counted_behind = next((each for each in self.key_specs[1:] if each.counted), None)
        only = self.key_specs[0] if len(self.key_specs) == 1 else None
        self.only_key = only.begin if only and not (only.last or only.counted) else 0  # index of the one key; else 0
        self.only_read = self.only_key if self.counts_reads and NO_TOUCH not in self.flags else 0  # if that is a use

    def uses_of_keys(self, args: list[bytes]) -> Iterator[tuple[int, str]]:
        """Yield the index of each key in a request, and how the command uses it: see `KeySpec.access`."""
        if self.find_keys is not None:
            yield from self.find_keys(args)
        elif self.counted_behind is None or self.counted_behind.positions(args):
            yield from ((at, spec.access) for spec in self.specs_of_keys for at in spec.positions(args))

    def keys_in(self, args: list[bytes]) -> list[bytes]:
        """Return the keys in a request."""
        return [args[at] for at, _ in self.uses_of_keys(args)]

    def keys_read(self, args: list[bytes]) -> list[bytes]:
        """Return the keys in a request that count as read."""
        read = [args[at] for at, access in self.uses_of_keys(args) if access.startswith("RO") or COUNTED in self.flags]
        return read * 2 if COUNTED_TWICE in self.flags else read

    @property
    def arity(self) -> int:
        """The number of arguments, with the name, as COMMAND shows it: -2 means two or more."""
        return self.fewest if self.fewest == self.most else -self.fewest

    def fits(self, count: int) -> bool:
        """Return whether the arity allows a request of `count` arguments, with the name.

        As in Redis, an arity is an exact number or a minimum, never a range. So after MULTI a PING of three arguments
        is queued, and fails only when EXEC runs it.
        """
        return count == self.fewest if self.fewest == self.most else count >= self.fewest

    @property
    def group(self) -> Group:
        """The group of the module that defines the function."""
        return getattr(sys.modules[self.function.__module__], "GROUP", SERVER)


COMMANDS: dict[bytes, Command] = {}  # name in lower case -> command
PLAIN: dict[bytes, Command] = {}  # the plain ones; names in lower case and in capitals, the two forms that clients use
READS: dict[bytes, Command] = {}  # those of them that do not write: all that a replica runs for its clients
RENAMED: dict[bytes, Command] = {}  # by their old names, those that clients know by another name or not at all
INTERNAL: dict[bytes, Command] = {}  # for what a snapshot says and no request of Redis can
LOADED = ChainMap(RENAMED, INTERNAL)  # what is executed beside COMMANDS while data is loaded
NOTHING: dict[bytes, Command] = {}


def rename(old: bytes, new: bytes) -> None:
    """Let clients and scripts know a command by a new name only; b"": not at all (`rename-command`).

    The log and the stream of a primary may have the old name too, as the server itself writes it.
    Raises ValueError with Redis's text.
    """
    old, new = old.lower(), new.lower()
    if old not in COMMANDS:
        raise ValueError("No such command in rename-command")
    if new in COMMANDS and new != old:
        raise ValueError("Target command name already exists")
    RENAMED[old] = COMMANDS[old]
    for table in (COMMANDS, PLAIN, READS):
        found = table.pop(old, None)
        table.pop(old.upper(), None)
        if found is not None and new:
            table |= {new: found} if table is COMMANDS else {new: found, new.upper(): found}


def find(args: list[bytes], renamed: Mapping[bytes, Command] = NOTHING) -> Command:
    """Return the command of a request, and check its arity; `renamed` has commands by further names.

    Raises `unknown_command`, `unknown_subcommand`, `wrong_number_of_arguments` and `module_not_allowed`.
    """
    found = look_up(args, renamed)
    if not found.fits(len(args)):
        raise wrong_number_of_arguments(found.name)
    if found.protected:
        raise module_not_allowed()
    return found


def look_up(args: list[bytes], renamed: Mapping[bytes, Command] = NOTHING) -> Command:
    """Return the command of a request; its name, and that of a subcommand, may be in upper or lower case.

    Raises `unknown_command` and `unknown_subcommand`.

    >>> greet = Command("greet", print, print, fewest=1, most=9)
    >>> greet.subcommands[b"politely"] = Command("greet|politely", print, print, fewest=2, most=2)
    >>> COMMANDS[b"greet"] = greet
    >>> look_up([b"GREET"]).name, look_up([b"greet", b"Politely"]).name
    ('greet', 'greet|politely')
    >>> del COMMANDS[b"greet"]
    """
    found = COMMANDS.get(args[0]) or COMMANDS.get(name := args[0].lower()) or renamed.get(name)
    if found is None:
        raise unknown_command(args)
    if not found.subcommands or len(args) == 1:
        return found
    if (subcommand := found.subcommands.get(args[1].lower())) is None:
        raise unknown_subcommand(args[0].decode(errors="replace").upper(), args[1])
    return subcommand
