"""A selector: some commands, with the keys and the channels that they may use. A user has one or more of them."""

from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cache, lru_cache
from typing import NamedTuple

from ...protocol.pattern import Glob, Test, matcher
from ..command import CHANNEL, CHANNEL_PATTERNS, CHANNELS, NO_AUTH, Command
from .categories import LATER, known

READ, WRITE = 1, 2  # what a pattern of keys allows, and what a command needs, as bits
WRITING = {"insert", "update", "delete"}  # among the words for the use of a key: see `KeySpec.access`


class Reason(IntEnum):
    """Why a request is refused. If several selectors refuse it, the greatest reason is told."""

    COMMAND = 1
    KEY = 2
    AUTH = 3  # a wrong password: only in ACL LOG
    CHANNEL = 4


class Denial(NamedTuple):
    """A refused request: the reason, and the index of the key or channel. For the reason COMMAND it is 0."""

    reason: Reason
    at: int


@cache
def need(access: str) -> int:
    """Return what a command needs of a key that it uses in this way.

    >>> need("RO access"), need("RW access delete"), need("OW update"), need("RO")
    (1, 3, 2, 0)
    """
    words = set(access.split())
    return READ * ("access" in words) | WRITE * bool(words & WRITING)


@lru_cache(maxsize=1024)
def compiled(pattern: bytes) -> Test:
    """Return a test for a pattern of keys or channels, with which no star matches an empty text."""
    return Glob(pattern) if pattern == b"*" else matcher(pattern)


@dataclass
class Selector:
    """What it allows: `commands` with keys of `keys` and channels of `channels`; `all_…` means any of them."""

    all_channels: bool = False
    all_commands: bool = False  # also those that no command table has yet, in place of `commands`
    all_keys: bool = False
    future_commands: bool = False  # `+@all` was said: only commands that were excluded since are not allowed
    commands: set[str] = field(default_factory=set)
    first_args: dict[str, list[bytes]] = field(default_factory=dict)  # of commands that are allowed only with these
    keys: dict[bytes, int] = field(default_factory=dict)  # patterns, with what they allow
    channels: dict[bytes, None] = field(default_factory=dict)  # patterns

    def copy(self) -> "Selector":
        """Return another one that allows the same."""
        first_args = {name: [*args] for name, args in self.first_args.items()}
        return replace(
            self, commands={*self.commands}, first_args=first_args, keys={**self.keys}, channels={**self.channels}
        )

    @property
    def unlimited(self) -> bool:
        """Whether it allows everything."""
        return self.all_commands and self.all_keys and self.all_channels

    @property
    def reads_all_keys(self) -> bool:
        """Whether it allows to read any key."""
        return self.all_keys or bool(self.keys.get(b"*", 0) & READ)

    def allow(self, *names: str) -> None:
        """Allow commands, with their subcommands (`ACLChangeSelectorPerm`)."""
        for name in names:
            self.commands |= {name, *known()[name].subcommands}
            self.first_args.pop(name, None)

    def forbid(self, *names: str) -> None:
        """Forbid commands, with their subcommands."""
        for name in names:
            self.commands -= {name, *known()[name].subcommands}
            self.first_args.pop(name, None)
            self.all_commands = False

    def denial(self, command: Command, args: list[bytes]) -> Denial | None:
        """Return why it does not allow a request; None: it does (`ACLSelectorCheckCmd`)."""
        name = LATER.get(command.name, command.name)
        if not (self.all_commands or name in self.commands or NO_AUTH in command.flags):
            allowed = self.first_args.get(name, ())
            if len(args) < 2 or args[1].lower() not in (each.lower() for each in allowed):
                return Denial(Reason.COMMAND, 0)
        if not self.all_keys:
            for at, access in command.uses_of_keys(args):
                if at < len(args) and not self._may_use(args[at], need(access)):  # too short: see `acl_check_cmd`
                    return Denial(Reason.KEY, at)
        if not self.all_channels:
            for at in channels_in(command, args):
                literal = CHANNEL_PATTERNS in command.flags
                if not (args[at] in self.channels if literal else self.may_hear(args[at])):
                    return Denial(Reason.CHANNEL, at)
        return None

    def may_hear(self, channel: bytes) -> bool:
        """Return whether it allows a channel."""
        return any(compiled(pattern)(channel) for pattern in self.channels)

    def _may_use(self, key: bytes, needed: int) -> bool:
        """Return whether it allows what a command needs of a key."""
        for pattern, given in self.keys.items():  # noqa: SIM110  (`any` takes four times as long)
            if given & needed == needed and compiled(pattern)(key):
                return True
        return False


def channels_in(command: Command, args: list[bytes]) -> range:
    """Return the indexes of the channels in a request to which a user needs access."""
    if CHANNEL in command.flags:
        return range(1, min(2, len(args)))
    return range(1, len(args)) if {CHANNELS, CHANNEL_PATTERNS} & {*command.flags} else range(0)
