"""The sending half of a client's connection: replies wait for the log; a replica is fed from its own record."""

import asyncio
import socket
from collections import deque
from functools import partial

from ..engine.client import Client
from ..protocol.reader import Reader
from ..protocol.writer import LARGE, Value, encode
from ..replication.attached import AttachedReplica
from .before_sleep import Iteration
from .client_memory import unsent, usage_of
from .connection_state import State
from .output_limit import OutputLimit, output_of

ROOM = 1 << 20  # bytes of replies to one client, after which no request is executed in this iteration
CHUNK = 64 * 1024  # bytes that one read returns at most, and that are sent to a replica at once
LARGE_CHUNK = 1 << 19  # the same in the middle of a large argument, where nothing can be executed
SMALL = 16 * 1024  # a chunk, input or output of this size in bytes is not limited: Redis allocates as much per client


class Sending(asyncio.Protocol):
    """What a connection has to send, and whether the client reads it."""

    reader: Reader
    state: State

    def __init__(self, iteration: Iteration, transport: asyncio.Transport, client: Client) -> None:
        self.iteration = iteration
        self.engine = iteration.engine
        self.transport = transport
        self.client = client
        client.usage, client.descriptor = partial(usage_of, self), transport.get_extra_info("socket").fileno()
        self.output = bytearray()  # replies that wait until the log is flushed
        self.large: deque[memoryview] = deque()  # replies before those in `output`, which are sent in pieces
        self.socket: socket.socket | None = None  # written to without `transport`; None: only the transport knows how
        self.left = True  # `transport` may hold what the socket has not taken
        self.full = False  # `transport` holds more than 64 KiB that the client has not read yet
        self.choked = False  # the client does not read its replies: `transport` is full, or `large` waits
        self.output_limit = OutputLimit()

    def add(self, value: Value) -> None:
        """Add a reply. A large string is not copied: it waits in `large`, behind the replies before it."""
        if type(value) is bytes and len(value) > LARGE:
            self.output += b"$%d\r\n" % len(value)
            self.large += (memoryview(self.output), memoryview(value))
            self.engine.counters.output += len(self.output) + len(value)
            self.output = bytearray(b"\r\n")
        else:
            self.output += encode(value, self.client.protocol)

    def send(self) -> None:
        """Check the output limit, write `output`, and close the connection if `client.closing` is set."""
        client = self.client
        if client.subscribed or client.replica or self.engine.options.client_output_buffer_limit.normal:
            self.check_output_limit()
        if not self.transport.is_closing():
            if self.large or len(self.output) > LARGE:
                if self.output:
                    self.large.append(memoryview(self.output))
                self.send_large()
            else:  # asyncio keeps what it cannot write yet: a view avoids a copy
                self.write(memoryview(self.output) if len(self.output) > SMALL else self.output)
            if client.replica is not None:
                self.feed(client.replica)
            if client.closing and not self.large:
                self.transport.close()
        self.output = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write to the socket, if nothing is before it; what the socket does not take is left to `transport`.

        A reply takes 1.2 µs so, and 1.6 through asyncio's transport.
        """
        if self.socket is not None and data and not (self.left and self.transport.get_write_buffer_size()):
            try:
                sent = self.socket.send(data)
            except OSError:  # `transport` finds out, too, and knows what to do
                sent = 0
            self.left = sent < len(data)
            if not self.left:
                return
            data = memoryview(data)[sent:]
        self.transport.write(data)

    def send_large(self) -> None:
        """Write pieces of what waits in `large`, as long as the client reads them, and up to ROOM bytes.

        Handed over as a whole, a reply would be copied by asyncio, and read by the client in one long iteration.
        """
        self.client.last_interaction = self.engine.unit.recently
        for _ in range(ROOM // LARGE):
            if not self.large or self.full:
                break
            whole = self.large.popleft()
            if len(whole) > LARGE:
                self.large.appendleft(whole[LARGE:])
            self.write(whole[:LARGE])
        self.choke(bool(self.large) or self.full)
        if self.large and not self.full:
            self.send_soon()

    def pause_writing(self) -> None:
        """The transport holds more than 64 KiB of replies."""
        self.full = True
        self.choke(True)

    def resume_writing(self) -> None:
        """The client has read the replies that the transport held."""
        self.full = False
        self.choke(bool(self.large))
        self.send_soon()  # `large` or a replica may have more to get

    def send_soon(self) -> None:
        """Have `send` called at the end of this iteration."""
        raise NotImplementedError

    def choke(self, choked: bool) -> None:
        """Execute and read nothing until the client has read its replies, or go on with both."""
        raise NotImplementedError

    def feed(self, replica: AttachedReplica) -> None:
        """Write what there is for a replica, as long as it reads that, and up to ROOM bytes."""
        for _ in range(ROOM // CHUNK):
            if self.choked or not (data := replica.take(CHUNK)):
                return
            self.write(data)
            self.engine.counters.replica_output += len(data)
        self.client.wake()

    def check_output_limit(self) -> None:
        """Cut off the client if its output exceeds the limit for its class."""
        limit, waiting = output_of(self.client, self.engine.options)
        if self.output_limit.exceeded(waiting + sum(unsent(self)) - SMALL, limit, self.engine.steady()):
            self.cut_off("output buffer limits")

    def cut_off(self, limit: str) -> None:
        """Close the connection at once and log why."""
        raise NotImplementedError
