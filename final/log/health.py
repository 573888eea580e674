"""The health of the log, as one table of states and transitions: are writes accepted, and what ends a failure?"""

import threading
from enum import Enum

from ..server_log import log
from .folder import Displaced


class State(Enum):
    """What is known of the file that the log appends to. Writes are refused in all states but SOUND."""

    SOUND = "every write reached the file"
    STUCK = "the last write failed, because the disk is full for example; the next flush tries again"
    LOST = "fsync failed, or somebody changed a file: what was written may never reach the disk"
    RESTARTED = "after LOST: the log appends to a new file, which counts from the next rebase on"


class Event(Enum):
    """What happens to the file."""

    WRITTEN = "flush wrote everything"
    WRITE_FAILED = "flush could not write, and keeps the rest"
    SYNC_FAILED = "fsync failed, or the file is not as the server left it"
    BRANCHED = "the log appends to a new file"
    REBASED = "a new base was written, and the manifest names it and the file that the log appends to"


# An event that is missing for a state does not change it. REBASED ends in STUCK because the next flush decides. It
# does not end LOST: the new base holds the data up to the last branch, and the file with the rest is still lost.
TRANSITIONS = {
    (State.SOUND, Event.WRITE_FAILED): State.STUCK,
    (State.SOUND, Event.SYNC_FAILED): State.LOST,
    (State.STUCK, Event.WRITTEN): State.SOUND,
    (State.STUCK, Event.WRITE_FAILED): State.STUCK,
    (State.STUCK, Event.SYNC_FAILED): State.LOST,
    (State.LOST, Event.BRANCHED): State.RESTARTED,
    (State.RESTARTED, Event.SYNC_FAILED): State.LOST,
    (State.RESTARTED, Event.REBASED): State.STUCK,
}


class Health:
    """The state of a log, and the error that led to it.

    >>> health = Health()
    >>> for event in (Event.SYNC_FAILED, Event.WRITTEN, Event.BRANCHED, Event.REBASED, Event.WRITTEN):
    ...     health.happen(event, OSError(5, "Input/output error"))
    ...     print(health.state.name, repr(health.failure))
    LOST 'Input/output error'
    LOST 'Input/output error'
    RESTARTED 'Input/output error'
    STUCK 'Input/output error'
    SOUND ''
    """

    def __init__(self) -> None:
        self.state = State.SOUND
        self.failure = ""  # why writes are refused; "" in SOUND
        self.displaced = False  # somebody changed a file, and the disk works; only in LOST and RESTARTED
        self._lock = threading.Lock()  # `sync` may run in a thread while `flush` runs in another one

    def happen(self, event: Event, error: OSError | None = None) -> None:
        """Take the transition for this event, if there is one, and log when writes begin or cease to be refused."""
        with self._lock:
            before, after = self.state, TRANSITIONS.get((self.state, event))
            if after is None:
                return
            self.state = after
            if event in (Event.WRITE_FAILED, Event.SYNC_FAILED):
                assert error is not None
                self.failure = str(error.strerror)
            elif after is State.SOUND:
                self.failure = ""
            if event is Event.SYNC_FAILED:
                self.displaced = isinstance(error, Displaced)
            elif event is Event.REBASED:
                self.displaced = False
            if before is State.SOUND:
                log.warning("the log cannot be written, and so writes are refused: %s", self.failure)
            elif after is State.SOUND:
                log.warning("the log can be written again")

    @property
    def needs_rewrite(self) -> bool:
        """Whether nobody knows what is on the disk, so that only a rewrite from memory makes the log whole."""
        return self.state in (State.LOST, State.RESTARTED)
