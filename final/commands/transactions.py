"""Transactions: requests that are queued and then run as one unit, unless a watched key has changed."""

from ..engine.client import Client
from ..engine.command import (
    ALLOW_BUSY,
    FAST,
    LOADING,
    NOSCRIPT,
    RUNS_QUEUE,
    SKIP_SLOWLOG,
    STALE,
    UNCOUNTED,
    UNQUEUED,
    Group,
)
from ..engine.context import Engine
from ..engine.signature import command
from ..protocol.errors import ReplyError
from ..protocol.writer import NULL_ARRAY, Value

GROUP = Group("transactions", "@transaction", "g")


@command(NOSCRIPT, LOADING, STALE, FAST, ALLOW_BUSY, UNQUEUED)
def multi(client: Client) -> Value:
    """MULTI: queue the following requests, up to EXEC or DISCARD; answer OK."""
    if client.queue is not None:
        raise ReplyError("ERR MULTI calls can not be nested")
    client.queue, client.spoiled = [], False
    return "OK"


@command(NOSCRIPT, LOADING, STALE, SKIP_SLOWLOG, UNQUEUED, RUNS_QUEUE)
def exec_(engine: Engine, client: Client) -> Value:
    """EXEC: run the queued requests as one unit; answer with an array of their replies.

    If a request could not be queued, EXEC runs nothing and answers with an error. If a watched key has changed or
    expired since WATCH, it runs nothing and answers with null.
    """
    if client.queue is None:
        raise ReplyError("ERR EXEC without MULTI")
    queue = client.queue
    changed = client.touched or any(
        engine.stores[index].overdue(key) for (index, key), before in client.watched.items() if not before
    )
    spoiled = client.spoiled
    discard_queue(engine, client)
    if spoiled:
        raise ReplyError("EXECABORT Transaction discarded because of previous errors.")
    if changed:
        return NULL_ARRAY
    return [engine.call(client, command, args) for command, args in queue]


@command(NOSCRIPT, LOADING, STALE, FAST, ALLOW_BUSY, UNQUEUED)
def discard(engine: Engine, client: Client) -> Value:
    """DISCARD: drop the queue and the watched keys; answer OK."""
    if client.queue is None:
        raise ReplyError("ERR DISCARD without MULTI")
    discard_queue(engine, client)
    return "OK"


def discard_queue(engine: Engine, client: Client) -> None:
    """End the transaction: drop the queue and the watched keys."""
    client.queue, client.spoiled = None, False
    engine.watching.unwatch(client)


@command(NOSCRIPT, LOADING, STALE, FAST, ALLOW_BUSY, UNQUEUED, UNCOUNTED, keys="RO")
def watch(engine: Engine, client: Client, key: bytes, *keys: bytes) -> Value:
    """WATCH key [key ...]: make the next EXEC run nothing if one of the keys changes before it; answer OK."""
    if client.queue is not None:
        raise ReplyError("ERR WATCH inside MULTI is not allowed")
    for each in (key, *keys):
        engine.watching.watch(client, each)
    return "OK"


@command(NOSCRIPT, LOADING, STALE, FAST, ALLOW_BUSY)
def unwatch(engine: Engine, client: Client) -> Value:
    """UNWATCH: drop the watched keys; answer OK."""
    engine.watching.unwatch(client)
    return "OK"
