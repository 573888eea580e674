"""The primary's side of replication: the stream of changes, and the replicas that are fed from it."""

from collections.abc import Sequence
from secrets import token_hex
from typing import Protocol

from ..log.aof import Record
from ..options import Options
from ..protocol.writer import encode_request
from .backlog import Backlog

NO_ID = "0" * 40


class Engine(Protocol):
    """What the primary needs of the engine."""

    options: Options


class Primary:
    """The stream of this server: its own changes, or, if the server is a replica, what its primary sends.

    `replid` and `offset` name a state of the data: two servers with the same pair have the same data.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.replid = token_hex(20)
        self.replid2 = NO_ID  # the ID of the stream that this one continues, …
        self.second_offset = -1  # … up to the byte before this one, counted from 1 as PSYNC does
        self.backlog = Backlog(1 << 20)
        self.feeding = False  # the stream is kept: there is, or was, a replica
        self._database = -1  # that the last record selected; -1: none

    @property
    def offset(self) -> int:
        """The number of bytes in the stream so far."""
        return self.backlog.end

    def append(self, index: int, args: Sequence[bytes], more: Sequence[Record] = ()) -> None:
        """Add one unit to the stream, as `Log.append` does to the log."""
        self.append_raw(encode_request(args))

    def append_raw(self, data: bytes) -> None:
        """Add bytes to the stream as they are: a replica passes on what its primary has sent."""
        self.backlog.append(data)

    def begin(self, replid: str, offset: int) -> None:
        """All data was replaced: the stream is another one, and is kept from this offset on. Replicas have to sync."""
        self.replid, self.replid2, self.second_offset = replid, NO_ID, -1
        self.backlog = Backlog(self.backlog.size, offset)
        self.feeding = True
        self._database = -1

    def branch(self, replid: str = "") -> None:
        """The stream goes on under another ID, by default a new one: this server, or its primary, was promoted.

        Replicas that followed the old one can continue with this one (Redis: `shiftReplicationId`).
        """
        self.replid2, self.second_offset = self.replid, self.offset + 1
        self.replid = replid or token_hex(20)
        self._database = -1
