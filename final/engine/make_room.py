"""Evicts keys, so that they take no more memory than `maxmemory` allows, and refuses what would take more."""

from ..data.unit import Place
from ..protocol.errors import out_of_memory
from ..protocol.writer import NO_REPLY
from .client import Client, about_to_run
from .command import DENYOOM, UNQUEUED, Command
from .context import Engine


def make_room(engine: Engine, client: Client, command: Command, args: list[bytes]) -> None:
    """Evict keys before a request runs. Raises `out_of_memory` if too few can go, and the request may need memory."""
    if not over_limit(engine):
        if engine.counters.exceeded_since is not None:
            engine.counters.note_excess(False, engine.steady())
        return
    evict(engine)
    engine.complete(client, command, args, NO_REPLY)
    engine.settle()
    queued = client.queue is not None and UNQUEUED not in command.flags  # any queued request takes memory
    if engine.eviction.full and (queued or any(DENYOOM in each.flags for each in about_to_run(client, command))):
        raise out_of_memory()


def over_limit(engine: Engine) -> bool:
    """Return whether there is too little memory for the keys, and that matters: see `evict`."""
    return engine.eviction.full and engine.replica is None and not engine.pause.under_way(engine.steady())


def evict(engine: Engine) -> None:
    """Evict keys until `maxmemory` is kept.

    A replica has what its primary has, and in a pause, which is for a replica that takes over, the data stays, too.
    """
    if over_limit(engine):
        eviction = engine.eviction
        with engine.latency.timed("eviction-cycle"):
            while eviction.full and (place := eviction.victim()) is not None:
                remove(engine, place)
        engine.counters.note_excess(eviction.full, engine.steady())


def keep_limit(engine: Engine) -> None:
    """Evict keys if there are too many since CONFIG SET, and settle that. Called some ten times a second."""
    if over_limit(engine):
        evict(engine)
        engine.settle_expired()


def remove(engine: Engine, place: Place) -> None:
    """Evict a key."""
    index, key = place
    store = engine.stores[index]
    with engine.latency.timed("eviction-del"):
        gone = store.delete(key)
    if gone:
        store.changed(key, log=(b"DEL", key), event="evicted")
        engine.counters.evicted += 1
    engine.eviction.enter(place)
