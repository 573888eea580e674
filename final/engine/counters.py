"""What INFO counts, and CONFIG RESETSTAT sets back to zero."""

from collections import deque
from dataclasses import dataclass, field

from ..data.store import Store
from .command import Command

SAMPLES = 16  # as many as Redis takes: the last 1.6 seconds


@dataclass
class Counters:
    """The counts, from the start or from the last CONFIG RESETSTAT."""

    connections_received: int = 0
    connections_rejected: int = 0  # there were `maxclients` already
    commands_processed: int = 0
    error_replies: int = 0
    hits: int = 0  # keys that a command wanted to read and that were there …
    misses: int = 0  # … and that were not
    expired: int = 0  # keys whose deadline had passed
    evicted: int = 0  # keys that had to make room
    samples: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def reset(self) -> None:
        """Set all counts back to zero, as CONFIG RESETSTAT does."""
        vars(self).update(vars(Counters()))

    def sample(self, now: int) -> None:
        """Remember how many commands there were at this time; some ten times a second."""
        self.samples.append((now, self.commands_processed))

    def look_up(self, db: Store, command: Command, args: list[bytes]) -> None:
        """Count the keys that a command has read as hits or misses, if it is one that counts.

        A key that had expired is not there any more: the command has found that out.
        """
        if command.only_key:  # by far the most commands
            if db.held(args[command.only_key]) is not None:
                self.hits += 1
            else:
                self.misses += 1
            return
        for at, access in command.uses_of_keys(args):
            if not access.startswith("RO"):
                continue
            if db.held(args[at]) is not None:
                self.hits += 1
            else:
                self.misses += 1

    @property
    def commands_per_second(self) -> int:
        """How many commands there were in a second, lately.

        >>> counters = Counters()
        >>> counters.sample(1000); counters.commands_processed = 50; counters.sample(1500); counters.commands_per_second
        100
        """
        if len(self.samples) < 2:
            return 0
        (began, first), (ended, last) = self.samples[0], self.samples[-1]
        return max(last - first, 0) * 1000 // max(ended - began, 1)
