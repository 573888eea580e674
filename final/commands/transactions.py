"""Transactions: requests that are queued and then run as one unit, unless a watched key has changed."""

from ..engine import in_unit
from ..engine.acl.denials import no_longer_permitted
from ..engine.client import Client
from ..engine.command import (
    ALLOW_BUSY,
    FAST,
    LOADING,
    NO_TOUCH,
    NOSCRIPT,
    RUNS_QUEUE,
    SKIP_SLOWLOG,
    STALE,
    UNCOUNTED,
    UNQUEUED,
    Command,
    Group,
)
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError
from ..protocol.writer import NO_REPLY, NULL_ARRAY, ArrayHeader, Value

GROUP = Group("transactions", "@transaction", "g")


@command(NOSCRIPT, LOADING, STALE, FAST, ALLOW_BUSY, UNQUEUED)
def multi(client: Client) -> Value:
    """MULTI: begin a transaction, which queues requests until EXEC or DISCARD; answer OK."""
    if client.queue is not None:
        raise ReplyError("ERR MULTI calls can not be nested")
    client.queue, client.dirty_exec = [], False
    return "OK"


@command(NOSCRIPT, LOADING, STALE, SKIP_SLOWLOG, UNQUEUED, RUNS_QUEUE)
@complexity("Depends on the requests in the queue.")
def exec_(engine: Engine, client: Client) -> Value:
    """EXEC: run the queued requests as one unit; answer with an array of their replies.

    EXEC runs nothing if a request could not be queued, and answers with an error; else if a watched key has changed or
    expired since WATCH, and answers with null. In each case the transaction ends and no key is watched any more. An
    error in one request is its reply in the array; the other requests are run.

    As in Redis, each reply is sent when its request has run. So what the client is sent besides (pushes, MONITOR) is
    between them, and HELLO and CLIENT REPLY have effect from there on. Where nothing of that can be, there is a shorter
    way.
    """
    if client.queue is None:
        raise ReplyError("ERR EXEC without MULTI")
    queue = client.queue
    changed = client.dirty_cas or any(
        engine.stores[index].overdue(key) for (index, key), before in client.watched.items() if not before
    )
    dirty_exec = client.dirty_exec
    discard_queue(engine, client)
    if dirty_exec:
        raise ReplyError("EXECABORT Transaction discarded because of previous errors.")
    if changed:
        return NULL_ARRAY
    if client.user.unlimited and in_unit.open_to(engine, client) and all(queued.plain for queued, _ in queue):
        return in_unit.execute(engine, client, queue)
    client.deny_blocking = True
    client.say(ArrayHeader(len(queue)))
    for queued, args in queue:
        client.say(run(engine, client, queued, args))
    client.deny_blocking = False
    return NO_REPLY


def run(engine: Engine, client: Client, command: Command, args: list[bytes]) -> Value:
    """Run a queued request, if the client's user may still send it."""
    if not client.user.unlimited and (reason := engine.admission.denied(client, command, args, "multi")) is not None:
        engine.counters.error_replies += 1
        return no_longer_permitted(reason)
    return engine.run(client, command, args)


@command(NOSCRIPT, LOADING, STALE, FAST, ALLOW_BUSY, UNQUEUED)
@complexity("O(N) for N requests in the queue")
def discard(engine: Engine, client: Client) -> Value:
    """DISCARD: end the transaction without running it, and watch no key any more; answer OK."""
    if client.queue is None:
        raise ReplyError("ERR DISCARD without MULTI")
    discard_queue(engine, client)
    return "OK"


def discard_queue(engine: Engine, client: Client) -> None:
    """End the transaction: delete the queue, and watch no key any more."""
    client.queue, client.dirty_exec = None, False
    engine.watching.unwatch(client)


@command(NOSCRIPT, LOADING, STALE, FAST, ALLOW_BUSY, UNQUEUED, UNCOUNTED, NO_TOUCH, keys="RO")
@complexity("O(1) for each key")
def watch(engine: Engine, client: Client, key: bytes, *keys: bytes) -> Value:
    """WATCH key [key ...]: watch the keys: if one changes before EXEC, EXEC runs nothing; answer OK."""
    if client.queue is not None:
        raise ReplyError("ERR WATCH inside MULTI is not allowed")
    for each in (key, *keys):
        engine.watching.watch(client, each)
    return "OK"


@command(NOSCRIPT, LOADING, STALE, FAST, ALLOW_BUSY)
def unwatch(engine: Engine, client: Client) -> Value:
    """UNWATCH: watch no key any more; answer OK."""
    engine.watching.unwatch(client)
    return "OK"
