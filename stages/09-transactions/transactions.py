"""Commands for transactions: queue requests, execute them as one unit; or not, if a watched key has changed."""

from client import Client
from command import command
from engine import Engine
from errors import ReplyError
from writer import NULL_ARRAY, Value


@command
def multi(client: Client) -> Value:
    """MULTI: begin a transaction; answer OK. From now on the engine queues this client's requests (`client.queue`).

    If the client has a queue already, raise `ReplyError("ERR MULTI calls can not be nested")`: its transaction goes on.
    """
    if client.queue is not None:
        raise ReplyError("ERR MULTI calls can not be nested")
    client.queue = []
    return "OK"


@command
def exec_(engine: Engine, client: Client) -> Value:
    """EXEC: execute what was queued, and answer with an array of the answers. The transaction ends, whatever comes.

    Call `call` of the engine for each command in `client.queue`. One that fails is answered with its error, and the
    others are executed: there is no rollback. Nothing is executed, and the answer is

    - `ReplyError("ERR EXEC without MULTI")` if there is no transaction, and nothing ends,
    - `ReplyError("EXECABORT Transaction discarded because of previous errors.")` if the client is `broken`,
    - NULL_ARRAY if it is `dirty`: a key that it watches has changed since; or if such a key has expired by now, which
      `expired` of the store tells.

    First look at `queue`, `broken`, `dirty` and the watched keys, then call `end`, and only then execute: from `end` on
    the client watches nothing, so what it changes itself does not count.
    """
    if client.queue is None:
        raise ReplyError("ERR EXEC without MULTI")
    queue, broken = client.queue, client.broken
    dirty = client.dirty or any([engine.db.expired(key) for key in client.watched])
    end(engine, client)
    if broken:
        raise ReplyError("EXECABORT Transaction discarded because of previous errors.")
    return NULL_ARRAY if dirty else [engine.call(client, *queued) for queued in queue]


def end(engine: Engine, client: Client) -> None:
    """End a client's transaction: it queues nothing, is not `broken`, and watches nothing."""
    client.queue = None
    client.broken = False
    engine.watching.unwatch(client)


@command
def discard(engine: Engine, client: Client) -> Value:
    """DISCARD: end the transaction, execute nothing; answer OK. Raises `ReplyError("ERR DISCARD without MULTI")`."""
    if client.queue is None:
        raise ReplyError("ERR DISCARD without MULTI")
    end(engine, client)
    return "OK"


@command
def watch(engine: Engine, client: Client, key: bytes, *keys: bytes) -> Value:
    """WATCH key [key ...]: let the next EXEC do nothing if one of the keys changes before it; answer OK.

    First remove the keys that have expired (`expired` of the store), and call `serve` of the engine, which tells those
    who watch them already. For this client it is no change: they are gone before it watches. Raises
    `ReplyError("ERR WATCH inside MULTI is not allowed")`.
    """
    if client.queue is not None:
        raise ReplyError("ERR WATCH inside MULTI is not allowed")
    for each in (key, *keys):
        engine.db.expired(each)
    engine.serve()
    for each in (key, *keys):
        engine.watching.watch(client, each)
    return "OK"


@command
def unwatch(engine: Engine, client: Client) -> Value:
    """UNWATCH: watch nothing any more; answer OK."""
    engine.watching.unwatch(client)
    return "OK"
