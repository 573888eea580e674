"""The sending half of a client's connection: replies wait for the log; a replica is fed from its own record."""

import asyncio
from functools import partial

from ..engine.client import Client
from ..protocol.reader import Reader
from ..replication.attached import AttachedReplica
from .before_sleep import Iteration
from .client_memory import usage_of
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
        client.usage = partial(usage_of, self)
        self.output = bytearray()  # replies that wait until the log is flushed
        self.choked = False  # the client does not read its replies: `transport` holds more than 64 KiB of them
        self.output_limit = OutputLimit()

    def send(self) -> None:
        """Check the output limit, write `output`, and close the connection if `client.closing` is set."""
        client = self.client
        listens = client.channels or client.patterns or client.shard_channels  # `subscribed`, without a call
        if listens or client.replica or self.engine.options.client_output_buffer_limit.normal:
            self.check_output_limit()
        if not self.transport.is_closing():
            large = len(self.output) > SMALL  # asyncio keeps what it cannot write yet: a view avoids a copy
            self.transport.write(memoryview(self.output) if large else self.output)
            if client.replica is not None:
                self.feed(client.replica)
            if client.closing:
                self.transport.close()
        self.output = bytearray()

    def feed(self, replica: AttachedReplica) -> None:
        """Write what there is for a replica, as long as it reads that, and up to ROOM bytes."""
        for _ in range(ROOM // CHUNK):
            if self.choked or not (data := replica.take(CHUNK)):
                return
            self.transport.write(data)
            self.engine.counters.replica_output += len(data)
        self.client.wake()

    def check_output_limit(self) -> None:
        """Cut off the client if its output exceeds the limit for its class."""
        limit, waiting = output_of(self.client, self.engine.options)
        waiting += len(self.output) + self.transport.get_write_buffer_size() - SMALL
        if self.output_limit.exceeded(waiting, limit, self.engine.steady()):
            self.cut_off("output buffer limits")

    def cut_off(self, limit: str) -> None:
        """Close the connection at once and log why."""
        raise NotImplementedError
