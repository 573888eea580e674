"""Transactions: commands that are queued and then run as one unit, unless a watched key has changed."""

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
    """MULTI: queue the requests that follow, up to EXEC."""
    if client.queue is not None:
        raise ReplyError("ERR MULTI calls can not be nested")
    client.queue, client.spoiled = [], False
    return "OK"


@command(NOSCRIPT, LOADING, STALE, SKIP_SLOWLOG, UNQUEUED, RUNS_QUEUE)
def exec_(engine: Engine, client: Client) -> Value:
    """EXEC: run what was queued, at one instant and with nothing in between; answer with all the answers.

    Where a request could not be queued, nothing is run, and the answer is an error. Where a watched key has
    changed since WATCH, or its time was up, nothing is run, and the answer is null.
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
    """DISCARD: forget what was queued, and what is watched."""
    if client.queue is None:
        raise ReplyError("ERR DISCARD without MULTI")
    discard_queue(engine, client)
    return "OK"


def discard_queue(engine: Engine, client: Client) -> None:
    """Leave the transaction."""
    client.queue, client.spoiled = None, False
    engine.watching.unwatch(client)


@command(NOSCRIPT, LOADING, STALE, FAST, ALLOW_BUSY, UNQUEUED, UNCOUNTED, keys="RO")
def watch(engine: Engine, client: Client, key: bytes, *keys: bytes) -> Value:
    """WATCH key [key ...]: have EXEC do nothing if one of the keys changes before it."""
    if client.queue is not None:
        raise ReplyError("ERR WATCH inside MULTI is not allowed")
    for each in (key, *keys):
        engine.watching.watch(client, each)
    return "OK"


@command(NOSCRIPT, LOADING, STALE, FAST, ALLOW_BUSY)
def unwatch(engine: Engine, client: Client) -> Value:
    """UNWATCH: forget what is watched."""
    engine.watching.unwatch(client)
    return "OK"
