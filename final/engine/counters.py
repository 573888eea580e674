"""The statistics that INFO shows, and that CONFIG RESETSTAT resets."""

from collections import deque
from dataclasses import dataclass, field

from ..data.memory import memory_in_use
from ..protocol.errors import ReplyError
from .call_stats import CallStats
from .command import Command, look_up

MAX_ERRORS = 128  # first words of errors that are told apart: scripts may invent them
SAMPLES = 16  # the last 1.6 seconds (STATS_METRIC_SAMPLES)


@dataclass
class Counters:
    """What was counted since the start, or since the last CONFIG RESETSTAT."""

    startup_memory: int = field(default_factory=memory_in_use, compare=False)  # bytes of the process without data
    connections_received: int = 0
    connections_rejected: int = 0  # because `maxclients` were connected already
    calls: CallStats = field(default_factory=CallStats, compare=False)
    error_replies: int = 0
    blamed: int = field(default=0, compare=False)  # of these, those that are counted as failures of a command
    repeated: int = field(default=0, compare=False)  # errors of commands in the reply of a script
    errors: dict[str, int] = field(default_factory=dict)  # the first word of an error reply -> how many
    expired: int = 0  # keys
    stale: int = 0  # … of them, deleted before anybody asked for them
    evicted: int = 0  # keys
    evicted_clients: int = 0
    exceeded: int = 0  # milliseconds for which the keys took more than `maxmemory`, in spite of eviction …
    exceeded_since: int | None = None  # … and, while they do, since when, by the steady clock
    unfinished_expiry: int = 0  # how often there were more expired keys than could be deleted at once
    expiry_seconds: float = field(default=0.0, compare=False)  # for deleting expired keys before they are accessed
    received: list[int] = field(default_factory=list, compare=False)  # the lengths of chunks from clients …
    sent: list[int] = field(default_factory=list, compare=False)  # … and of those to them, until `add_chunks`
    input: int = 0  # bytes from clients before these
    output: int = 0  # bytes to clients
    replica_input: int = 0  # bytes from the primary
    replica_output: int = 0  # bytes to replicas
    reads: int = 0  # chunks from clients
    writes: int = 0  # chunks to clients
    samples: deque[tuple[int, ...]] = field(default_factory=lambda: deque(maxlen=SAMPLES))  # see `sample`

    def reset(self) -> None:
        """Set all counts to zero."""
        self.calls.reset()
        self.add_chunks()
        kept = {"calls": self.calls, "received": self.received, "sent": self.sent}
        vars(self).update(vars(Counters(startup_memory=self.startup_memory, **kept)))  # type: ignore[arg-type]

    def note_excess(self, exceeds: bool, now: int) -> None:
        """Note whether the keys take more than `maxmemory`, now that there is nothing more to evict."""
        if exceeds and self.exceeded_since is None:
            self.exceeded_since = now
        elif not exceeds:
            self.exceeded += self.excess(now)
            self.exceeded_since = None

    def excess(self, now: int) -> int:
        """Return for how many milliseconds they have done so up to now."""
        return 0 if self.exceeded_since is None else now - self.exceeded_since

    def add_chunks(self) -> None:
        """Count the bytes of the chunks so far. Called some ten times a second, and when somebody asks."""
        self.reads += len(self.received)
        self.input += sum(self.received)
        self.writes += len(self.sent)
        self.output += sum(self.sent)
        self.received.clear()
        self.sent.clear()

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
        """Count a call that has waited, and was answered; it has taken this many microseconds."""
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
        """Record the time, in milliseconds, and what `rate` tells. Called some ten times a second."""
        self.add_chunks()
        bytes_so_far = (self.input, self.output, self.replica_input, self.replica_output)
        self.samples.append((now, self.commands_processed, *bytes_so_far))
        self.calls.round_long()

    def rate(self, number: int) -> float:
        """How much a count has grown in a second, on average over the samples: the calls (1), and the bytes (2 to 5).

        >>> counters = Counters()
        >>> counters.sample(1000); counters.calls.add("get", 1e-3, 50); counters.sample(1500)
        >>> counters.rate(1), counters.rate(2)
        (100.0, 0.0)
        """
        if len(self.samples) < 2:
            return 0.0
        first, last = self.samples[0], self.samples[-1]
        return max(last[number] - first[number], 0) * 1000 / max(last[0] - first[0], 1)
