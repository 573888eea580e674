"""The side that replicas copy: a snapshot of all data, then the stream of all that changes it.

the replica                                  the primary
PING, REPLCONF …                             +PONG, +OK
PSYNC ? -1                                   +FULLRESYNC id offset     forks a child, which writes a snapshot
                                             $length, CRLF, snapshot   no CRLF behind it
                                             the stream, from offset on: requests, as they go into the log
REPLCONF ACK offset, each second             no reply
cut off, and back: PSYNC id offset+1         +CONTINUE id, and the stream from offset on, if the backlog has it
"""

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

from blocking import Wait, Waiting
from client import Client
from command import command
from errors import ReplyError
from rdb import write_snapshot
from reader import parse_integer
from rewrite import work
from store import Store
from writer import Raw, Replies, Value, encode

BACKLOG = 1024 * 1024  # bytes of the stream that are kept for replicas that were cut off
PERIOD = 10  # seconds between two PINGs in the stream: a replica that hears nothing for a minute gives up
NOT_IN_MULTI = "ERR Command not allowed inside a transaction"


@dataclass(eq=False)
class Replica:
    """A client that has sent PSYNC."""

    client: Client
    child: int = 0  # the process that writes its snapshot; 0: it has it
    held: bytearray = field(default_factory=bytearray)  # the stream since the snapshot, as long as that is written
    acknowledged: int = 0  # the offset up to which it has executed the stream, as far as it has told


class Primary:
    """The stream and the replicas. An offset counts the bytes of the stream since the server's start."""

    def __init__(self, db: Store, waiting: Waiting) -> None:
        self.db = db
        self.waiting = waiting
        self.folder = Path()  # for snapshots
        self.id = token_hex(20)  # of this stream: another start, another stream
        self.offset = 0
        self.backlog = bytearray()  # the last bytes of the stream
        self.replicas: dict[Client, Replica] = {}
        self.waits: dict[Wait, tuple[Client, int, int]] = {}  # by WAIT: for how many replicas, and which offset
        self.pinged = time.monotonic()

    def feed(self, args: list[bytes]) -> None:
        """Append a request to the stream: count its bytes in `offset`, and keep the last BACKLOG bytes in `backlog`.

        Do it without replicas, too: one that was cut off will ask for what it has missed. `deliver` the bytes to each
        replica, as Raw. A replica whose snapshot is still being written (`child` is not 0) has them added to `held`.

        >>> primary, client = Primary(Store(), Waiting()), Client(id=1, deliver=print)
        >>> primary.feed([b"DEL", b"k"])
        >>> primary.replicas[client] = Replica(client)
        >>> primary.feed([b"DEL", b"l"])
        b'*2\\r\\n$3\\r\\nDEL\\r\\n$1\\r\\nl\\r\\n'
        >>> primary.offset, len(primary.backlog)
        (40, 40)
        """
        data = encode(args)
        self.offset += len(data)
        self.backlog += data
        del self.backlog[:-BACKLOG]
        for replica in self.replicas.values():
            if replica.child:
                replica.held += data
            else:
                replica.client.deliver(Raw(data))

    def since(self, offset: int) -> bytes | None:
        """Return the stream from `offset` on; None if the backlog does not have all of it, or it is not so long.

        `offset` is the number of bytes that a replica has.

        >>> primary = Primary(Store(), Waiting())
        >>> primary.feed([b"PING"])
        >>> primary.since(10), primary.since(14), primary.since(15)
        (b'NG\\r\\n', b'', None)
        """
        first = self.offset - len(self.backlog)
        return bytes(self.backlog[offset - first :]) if first <= offset <= self.offset else None

    def attach(self, client: Client) -> None:
        """Make a client a replica, and fork a child that writes its snapshot: the data as it is at `self.offset`.

        As in `Rewriter.begin`, without `gc`: `os.fork()` returns 0 in the child, which has `work` do `write_snapshot`,
        to the file `draft(its pid)`. Keep a Replica, in `replicas`, with the number of the child.
        """
        pid = os.fork()
        if pid == 0:
            work(lambda: write_snapshot(self.draft(os.getpid()), self.db))
        self.replicas[client] = Replica(client, pid)

    def detach(self, client: Client) -> None:
        """Forget a replica that has gone, and its child, if that works still."""
        replica = self.replicas.pop(client, None)
        if replica is not None and replica.child:
            os.kill(replica.child, signal.SIGKILL)
            os.waitpid(replica.child, 0)
            self.draft(replica.child).unlink(missing_ok=True)

    def draft(self, pid: int) -> Path:
        """The file that a child writes."""
        return self.folder / f"temp-{pid}.rdb"

    def tick(self) -> None:
        """Ten times a second: send snapshots that are complete; every PERIOD seconds PING, if there are replicas.

        And forget the WAITs that are over: their timeout is, or the client has gone.

        >>> primary = Primary(Store(), Waiting())
        >>> primary.waits[Wait((), int, 1, lambda key: None)] = Client(id=1), 1, 0
        >>> primary.tick()
        >>> primary.waits
        {}
        """
        for replica in list(self.replicas.values()):
            if replica.child:
                pid, status = os.waitpid(replica.child, os.WNOHANG)
                if pid:
                    self.send_snapshot(replica, succeeded=status == 0)
        if self.replicas and time.monotonic() - self.pinged > PERIOD:
            self.pinged = time.monotonic()
            self.feed([b"PING"])
        self.waits = {wait: each for wait, each in self.waits.items() if self.waiting.waits.get(each[0]) is wait}

    def send_snapshot(self, replica: Replica, succeeded: bool) -> None:
        """The child has ended: deliver the snapshot as a bulk string without CRLF behind it, then what is `held`.

        The snapshot is in the `draft` of the child. Deliver all as Raw. From now on the replica has no child, and
        nothing is held for it. Delete the file. If the child has not succeeded, end the connection instead: the client
        is `leaving`, and `deliver` an empty Replies, which sends it off. The replica will try again.
        """
        draft, replica.child = self.draft(replica.child), 0
        if succeeded:
            data = draft.read_bytes()
            replica.client.deliver(Raw(b"$%d\r\n%b%b" % (len(data), data, bytes(replica.held))))
        else:
            replica.client.leaving = True
            replica.client.deliver(Replies())
        replica.held = bytearray()
        draft.unlink(missing_ok=True)

    def wake(self) -> None:
        """Answer those that have waited, by WAIT, for what the replicas have acknowledged by now."""
        for wait, (client, number, offset) in list(self.waits.items()):
            if self.waiting.waits.get(client) is not wait:  # its timeout is over, or it has gone
                del self.waits[wait]
            elif self.reached(offset) >= number:
                del self.waits[wait]
                self.waiting.unpark(client)
                client.deliver(self.reached(offset))

    def reached(self, offset: int) -> int:
        """Return how many replicas have acknowledged the stream up to `offset`. Who has no snapshot yet has nothing.

        >>> primary, client = Primary(Store(), Waiting()), Client(id=1)
        >>> primary.replicas[client] = Replica(client, child=4711)
        >>> before = primary.reached(0)
        >>> primary.replicas[client].child = 0
        >>> before, primary.reached(0)
        (0, 1)
        """
        return sum(not replica.child and replica.acknowledged >= offset for replica in self.replicas.values())


@command
def replconf(primary: Primary, client: Client, option: bytes, value: bytes, *more: bytes) -> Value:
    """REPLCONF option value [option value ...]: what a replica tells about itself; answer OK.

    Only one option matters, in upper or lower case: `ACK offset` says how far a replica has got. It has *no* answer,
    `Replies()`: the replica does not expect one, and would take it for a part of the stream. Keep the offset in
    `acknowledged`, and call `wake`. If the client is no replica, or the offset no integer (`parse_integer`), do
    neither; there is no answer, either.
    """
    if option.lower() != b"ack":
        return "OK"
    replica, offset = primary.replicas.get(client), parse_integer(value)
    if replica is not None and offset is not None:
        replica.acknowledged = offset
        primary.wake()
    return Replies()


@command
def psync(primary: Primary, client: Client, replid: bytes, offset: int) -> Value:
    """PSYNC replid offset: become a replica, and go on with the stream `replid`, whose byte `offset` is the next.

    The first byte of a stream has the number 1, so a replica that has 100 bytes asks for 101. A new one has no stream,
    and sends `? -1`.

    If it is our stream, `primary.id` (a str), and the backlog has the rest of it (`since`): make the client a Replica
    that needs no snapshot, in `primary.replicas`. Answer with Replies: `CONTINUE` and the id, then that rest, as Raw.
    Else `attach` the client; the answer is `FULLRESYNC`, the id and our offset.

    If the client is between MULTI and EXEC, raise `ReplyError(NOT_IN_MULTI)`. Else begin with `detach`: it may be a
    replica already, and have a child.
    """
    if client.queue is not None:
        raise ReplyError(NOT_IN_MULTI)
    primary.detach(client)
    missed = primary.since(offset - 1) if replid == primary.id.encode() else None
    if missed is None:
        primary.attach(client)
        return f"FULLRESYNC {primary.id} {primary.offset}"
    primary.replicas[client] = Replica(client)
    return Replies([f"CONTINUE {primary.id}", Raw(missed)])


@command
def sync(primary: Primary, client: Client) -> Value:
    """SYNC: become a replica, as before there were offsets: a snapshot, then the stream. So does redis-cli."""
    if client.queue is not None:
        raise ReplyError(NOT_IN_MULTI)
    primary.detach(client)
    primary.attach(client)
    return Replies()


@command
def wait(primary: Primary, client: Client, numreplicas: int, timeout: int) -> Value:
    """WAIT numreplicas timeout: wait until so many replicas have all that was written; answer with how many have it.

    The timeout is in milliseconds, 0 means for ever. Ask the replicas how far they are, by `REPLCONF GETACK *` in the
    stream, unless there are enough already.
    """
    if timeout < 0:
        raise ReplyError("ERR timeout is negative")
    offset = primary.offset
    if primary.reached(offset) >= numreplicas:
        return primary.reached(offset)
    waits = Wait((), int, timeout / 1000, lambda key: None, late=lambda: primary.reached(offset))
    primary.waits[waits] = (client, numreplicas, offset)
    primary.feed([b"REPLCONF", b"GETACK", b"*"])
    return waits
