"""What the engine has the server do for it. An engine without a server does without."""

from collections.abc import Callable
from dataclasses import dataclass

from ..replication.full_sync import Watch, unwatched
from ..replication.outgoing import Dial, unconnected
from .faults import reraise


@dataclass(frozen=True)
class Callbacks:
    """The functions that the engine calls."""

    stop: Callable[[], None] = lambda: None  # by SHUTDOWN
    while_busy: Callable[[], None] = lambda: None  # now and then, by a script that does not end
    in_child: Callable[[], None] = lambda: None  # in a forked process, first
    broken: Callable[[BaseException], None] = reraise  # an exception broke a request off: it should end the server
    dial: Dial = unconnected  # connect to another server
    watch: Watch = unwatched  # say when a file descriptor is readable
    listen: Callable[[], object] = lambda: None  # at other places; raises OSError and ValueError


NO_CALLBACKS = Callbacks()
