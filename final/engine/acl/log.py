"""ACL LOG: the requests that were refused, and the wrong passwords; the newest first."""

from collections import deque
from dataclasses import dataclass
from itertools import islice

from ...config.options import Options
from .selector import Reason

SAME = 60_000  # milliseconds in which the same event makes no new entry (`ACL_LOG_GROUPING_MAX_TIME_DELTA`)
SEARCHED = 10  # entries that are searched for the same event


@dataclass(eq=False)
class Entry:
    """Refused requests of the same kind."""

    reason: Reason
    context: str  # toplevel, multi or lua
    object: bytes  # the command, the key or the channel
    username: bytes
    when: int  # of the last one, by the wall clock, in milliseconds
    client: bytes  # that of the last one, as in CLIENT LIST
    count: int = 1

    def same(self, other: "Entry") -> bool:
        """Return whether another entry is about the same event."""
        mine, others = ((it.reason, it.context, it.object, it.username) for it in (self, other))
        return mine == others and abs(self.when - other.when) <= SAME


class AclLog:
    """At most `acllog-max-len` entries."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.entries: deque[Entry] = deque()

    def add(self, entry: Entry) -> None:
        """Add an entry, or count it with one that is about the same event (`addACLLogEntry`)."""
        for found in islice(self.entries, SEARCHED):
            if found.same(entry):
                entry.count = found.count + 1
                self.entries.remove(found)
                self.entries.appendleft(entry)
                return
        self.entries.appendleft(entry)
        while len(self.entries) > self.options.acllog_max_len:
            self.entries.pop()
