"""`client-output-buffer-limit`: how many bytes may wait until the client reads them, and for how long."""

from dataclasses import replace

from ..config.options import Options
from ..config.values import Limit
from ..engine.client import Client


class OutputLimit:
    """Whether one client's output is over its limit (Redis: `checkClientOutputBufferLimits`)."""

    def __init__(self) -> None:
        self.over_since: int | None = None  # milliseconds; None: not more than the soft limit waits

    def exceeded(self, waiting: int, limit: Limit | None, now: int) -> bool:
        """Return whether more bytes wait than the hard limit, or than the soft limit for longer than its seconds.

        >>> output_limit, limit = OutputLimit(), Limit(hard=100, soft=50, seconds=10)
        >>> [output_limit.exceeded(60, limit, now) for now in (0, 10_000, 10_001)]
        [False, False, True]
        >>> output_limit.exceeded(40, limit, 10_002), output_limit.exceeded(101, limit, 10_003)
        (False, True)
        """
        if limit is None or not waiting > limit.soft > 0:
            self.over_since = None
        elif self.over_since is None:
            self.over_since = now
        if limit is None:
            return False
        too_long = self.over_since is not None and now - self.over_since > limit.seconds * 1000
        return too_long or waiting > limit.hard > 0


def output_of(client: Client, options: Options) -> tuple[Limit | None, int]:
    """Return the limit for a client's class, and how many bytes wait for it that its connection does not have yet.

    For a replica, these are in the backlog; a hard limit below the size of that would not save memory.
    """
    limits = options.client_output_buffer_limit
    if client.replica is not None:
        limit = limits.replica
        if limit is not None and 0 < limit.hard < options.repl_backlog_size:
            limit = replace(limit, hard=options.repl_backlog_size)
        return limit, client.replica.waiting
    return limits.pubsub if client.subscribed else limits.normal, 0
