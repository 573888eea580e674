"""A replica, as its primary sees it: what it can do, what it has, and which bytes it gets next. It knows no socket."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import BinaryIO, Protocol

from .backlog import Backlog


class State(Enum):
    """How far a replica is (SLAVE_STATE_…)."""

    WAITING = "no child process writes the data for it yet"
    WRITING = "a child process does"
    SENDING = "it is sent the file that the child has written"
    ONLINE = "it has the data, and is sent the stream"
    LEAVING = "all that it gets is on its way, and then its connection is closed"

    @property
    def shown(self) -> str:
        """Its name in INFO."""
        return {State.SENDING: "send_bulk", State.ONLINE: "online"}.get(self, "wait_bgsave")


class Stream(Protocol):
    """What a replica needs of its primary."""

    backlog: Backlog

    def request_acks(self) -> None:
        """Add the question for acknowledgements to the stream, if somebody waits for them."""

    def taken(self) -> None:
        """A replica has been sent a part of the snapshot."""


@dataclass
class Announced:
    """What a replica says about itself before it asks for the data: REPLCONF. A client that says nothing is none."""

    port: int = 0  # at which it listens
    address: str = ""  # if it wants to be known under another one than that of its connection
    capabilities: set[bytes] = field(default_factory=set)  # `eof`, `psync2`
    rdb_only: bool = False  # it wants no stream, but a snapshot: redis-cli --rdb
    keys: bool = True  # that has the keys …
    functions: bool = True  # … and the libraries of functions

    @property
    def filtered(self) -> bool:
        """Whether it does not want all."""
        return not (self.keys and self.functions)


@dataclass(eq=False)
class AttachedReplica:
    """A replica, from its request for the data on. Times are by the steady clock, in milliseconds.

    The connection calls `take` when it can send, and sends what that returns. `wake` has it do so soon.
    """

    stream: Stream
    announced: Announced
    address: str
    clock: Callable[[], int]
    wake: Callable[[], None]  # something may be there to `take`
    finish: Callable[[], None]  # close the connection when what it has taken is sent
    hang_up: Callable[[], None]  # close it at once
    spoke: Callable[[], int]  # when it last sent anything: an empty line each second while it loads the snapshot
    greeted: bool = True  # it is told the ID and the offset of the stream first: PSYNC, not SYNC
    since: int = 0  # when it attached
    state: State = State.WAITING
    held: bool = False  # the stream waits for its first acknowledgement: it looks for the end of the snapshot
    position: int = -1  # the offset of the next byte of the stream that it is sent; -1: not known yet
    acknowledged: int = 0  # the offset up to which it has executed the stream
    answered: int = 0  # when it last said so, or went online
    moved: int = 0  # when it was last sent a part of the snapshot
    output: bytearray = field(default_factory=bytearray)  # what it is sent before the file and the stream
    file: BinaryIO | None = None  # the snapshot that it is sent

    def take(self, most: int) -> bytes:
        """Return what it is sent next, about `most` bytes, or b"" if there is nothing now."""
        if self.output:
            data = bytes(self.output[:most])
            del self.output[:most]
            self.stream.taken()
            return data
        if self.file is not None:
            if data := self.file.read(most):
                return data
            self.close()
            self.complete()
        if self.state is State.LEAVING:
            self.finish()
        if self.state is not State.ONLINE or self.held:
            return b""
        self.stream.request_acks()
        data = self.stream.backlog.read(self.position, most)
        self.position += len(data)
        return data

    def complete(self) -> None:
        """It has got, or will get before anything else, the whole snapshot."""
        self.state = State.LEAVING if self.announced.rdb_only else State.ONLINE
        self.answered = self.clock()
        self.wake()

    def acknowledge(self, offset: int) -> None:
        """It has executed the stream up to an offset."""
        self.acknowledged, self.answered = max(self.acknowledged, offset), self.clock()
        if self.held:
            self.held = False
            self.wake()

    @property
    def waiting(self) -> int:
        """The number of bytes that wait until it reads them."""
        unsent = self.stream.backlog.end - self.position if self.position >= 0 else 0
        return len(self.output) + unsent

    @property
    def heard(self) -> int:
        """When it last showed that it is there."""
        return max(self.answered, self.spoke())

    def lost(self, oldest: int) -> bool:
        """Return whether it has neither been heard of nor read anything since that time."""
        if self.state is State.ONLINE:
            return self.greeted and self.heard < oldest
        return self.state is State.WRITING and bool(self.output) and self.moved < oldest

    @property
    def shown(self) -> str:
        """Its address, for people."""
        return f"{self.announced.address or self.address}:{self.announced.port}"

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()
            self.file = None
