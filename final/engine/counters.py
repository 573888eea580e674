"""The statistics that INFO shows, and that CONFIG RESETSTAT resets."""

from collections import deque
from dataclasses import dataclass, field

from ..protocol.errors import ReplyError

MAX_ERRORS = 128  # first words of errors that are told apart: scripts may invent them
SAMPLES = 16  # the last 1.6 seconds (STATS_METRIC_SAMPLES)


@dataclass
class Counters:
    """What was counted since the start, or since the last CONFIG RESETSTAT."""

    connections_received: int = 0
    connections_rejected: int = 0  # because `maxclients` were connected already
    commands_processed: int = 0
    error_replies: int = 0
    errors: dict[str, int] = field(default_factory=dict)  # the first word of an error reply -> how many
    expired: int = 0  # keys
    evicted: int = 0  # keys
    samples: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=SAMPLES))  # time, commands_processed

    def reset(self) -> None:
        """Set all counts to zero."""
        vars(self).update(vars(Counters()))

    def error(self, reply: object) -> None:
        """Count a reply, if it is an error."""
        if isinstance(reply, ReplyError):
            self.error_replies += 1
            code = str(reply).partition(" ")[0]
            if code in self.errors or len(self.errors) < MAX_ERRORS:
                self.errors[code] = self.errors.get(code, 0) + 1

    def sample(self, now: int) -> None:
        """Record the number of commands at the time `now`, in milliseconds. Called some ten times a second."""
        self.samples.append((now, self.commands_processed))

    @property
    def commands_per_second(self) -> int:
        """The number of commands in a second, on average over the samples.

        >>> counters = Counters()
        >>> counters.sample(1000); counters.commands_processed = 50; counters.sample(1500); counters.commands_per_second
        100
        """
        if len(self.samples) < 2:
            return 0
        (began, first), (ended, last) = self.samples[0], self.samples[-1]
        return max(last - first, 0) * 1000 // max(ended - began, 1)
