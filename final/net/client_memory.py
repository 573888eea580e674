"""`maxmemory-clients`: which clients are disconnected when all together take too much memory (`evictClients`)."""

from collections import deque
from collections.abc import Iterable
from typing import Protocol

from ..config.options import Options
from ..engine.client import Client, Usage
from ..protocol.reader import Reader
from .connection_state import PAUSED, State

LEAST = 128 << 10  # bytes: with less, nobody could say CONFIG SET any more


class Transport(Protocol):
    """What writes for it: one of asyncio's."""

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the client has not read."""


class Connected(Protocol):
    """A connection, as it is seen here."""

    client: Client
    reader: Reader
    output: bytearray
    large: deque[memoryview]
    left: bool  # whether `transport` may hold anything
    state: State

    @property
    def transport(self) -> Transport:
        """Return what writes for it."""

    def cut_off(self, limit: str) -> None:
        """Close the connection at once, and log why."""


def usage_of(connection: Connected) -> Usage:
    """Return what a connection holds for its client."""
    return Usage(connection.reader.held, *unsent(connection), connection.state is PAUSED)


def unsent(connection: Connected) -> tuple[int, int]:
    """Return how many bytes of replies wait for the log, or for their turn, and how many the client has not read."""
    output = len(connection.output) + (sum(map(len, connection.large)) if connection.large else 0)
    return output, connection.transport.get_write_buffer_size() if connection.left else 0


def limit_of(options: Options) -> int | None:
    """Return how many bytes the clients may take; None: there is no limit."""
    share = options.maxmemory_clients
    percent = share.endswith("%")
    limit = options.maxmemory * int(share[:-1]) // 100 if percent else int(share)
    return max(limit, LEAST) if limit else None


def evict_clients(connections: Iterable[Connected], options: Options) -> int:
    """Disconnect the clients that take most, until the others take less than the limit; return how many.

    Replicas and the primary do not count. Clients with CLIENT NO-EVICT count, and stay.
    """
    limit = limit_of(options)
    if limit is None:
        return 0
    clients = [each for each in connections if not (each.client.replica or each.client.is_primary)]
    sizes = {each: each.client.memory(usage_of(each)) for each in clients if not each.client.closing}
    total, evicted = sum(sizes.values()), 0
    for each in sorted(sizes, key=lambda each: sizes[each], reverse=True):
        if total < limit:
            break
        if not each.client.no_evict:
            total -= sizes[each]
            each.cut_off("the clients take more memory than maxmemory-clients allows")
            evicted += 1
    return evicted
