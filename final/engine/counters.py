"""The statistics that INFO shows, and that CONFIG RESETSTAT resets."""

from collections import deque
from dataclasses import dataclass, field

from ..protocol.errors import ReplyError
from .call_stats import CallStats
from .command import Command, look_up

MAX_ERRORS = 128  # first words of errors that are told apart: scripts may invent them
SAMPLES = 16  # the last 1.6 seconds (STATS_METRIC_SAMPLES)


@dataclass
class Counters:
    """What was counted since the start, or since the last CONFIG RESETSTAT."""

    connections_received: int = 0
    connections_rejected: int = 0  # because `maxclients` were connected already
    calls: CallStats = field(default_factory=CallStats, compare=False)
    error_replies: int = 0
    blamed: int = field(default=0, compare=False)  # of these, those that are counted as failures of a command
    repeated: int = field(default=0, compare=False)  # errors of commands in the reply of a script
    errors: dict[str, int] = field(default_factory=dict)  # the first word of an error reply -> how many
    expired: int = 0  # keys
    evicted: int = 0  # keys
    evicted_clients: int = 0
    samples: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=SAMPLES))  # time, number of calls

    def reset(self) -> None:
        """Set all counts to zero."""
        self.calls.reset()
        vars(self).update(vars(Counters(calls=self.calls)))

    def error(self, reply: object) -> None:
        """Count a reply, if it is an error."""
        if isinstance(reply, ReplyError):
            self.error_replies += 1
            code = str(reply).partition(" ")[0]
            if code in self.errors or len(self.errors) < MAX_ERRORS:
                self.errors[code] = self.errors.get(code, 0) + 1

    def blame(self, name: str) -> None:
        """Count it as a failure of a command if there were errors since this was called last (`prev_err_count`)."""
        if self.error_replies > self.blamed or self.repeated:
            self.calls.failed[name] += int(self.error_replies > self.blamed) + self.repeated
        self.blamed, self.repeated = self.error_replies, 0

    def served(self, name: str, took: float, answer: object) -> None:
        """Count a call that has waited, and was answered; it has taken so many microseconds."""
        self.calls.end_wait(name, took)
        if isinstance(answer, ReplyError):
            self.error(answer)
            self.calls.failed[name] += 1

    def refuse(self, args: list[bytes], error: ReplyError) -> Command | None:
        """Count a request that is not executed, but answered with an error; return its command, if there is one."""
        self.error(error)
        self.blamed = self.error_replies
        try:
            command = look_up(args)
        except ReplyError:
            return None
        self.calls.rejected[command.name] += 1
        return command

    @property
    def commands_processed(self) -> int:
        """The number of calls."""
        return self.calls.total

    def sample(self, now: int) -> None:
        """Record the number of calls at the time `now`, in milliseconds. Called some ten times a second."""
        self.samples.append((now, self.commands_processed))
        self.calls.round_long()

    @property
    def commands_per_second(self) -> int:
        """The number of commands in a second, on average over the samples.

        >>> counters = Counters()
        >>> counters.sample(1000); counters.calls.add("get", 1e-3, 50); counters.sample(1500)
        >>> counters.commands_per_second
        100
        """
        if len(self.samples) < 2:
            return 0
        (began, first), (ended, last) = self.samples[0], self.samples[-1]
        return max(last - first, 0) * 1000 // max(ended - began, 1)
