"""The end of a unit: its changes go to the log, the replicas, and the clients that watch the keys or wait for them."""

from collections import deque
from collections.abc import KeysView
from math import inf
from time import perf_counter

from ..data.unit import Place
from ..protocol.errors import ReplyError
from .conclude import answer_parked
from .context import Engine
from .propagate import propagate


def settle(engine: Engine) -> None:
    """End the unit. Each waiting command that is served is a unit of its own, and may change what others wait for."""
    unit, watching, waiting = engine.unit, engine.watching, engine.waiting
    ready: deque[Place] = deque()
    while True:
        notes, unit.notes = unit.notes, []
        engine.tracking.settled()
        if engine.eviction.keeping:
            engine.eviction.changed(notes)
        if engine.log is not None or engine.primary.feeding:
            propagate(notes, engine.log, engine.primary)
        if watching or waiting:
            for note in notes:
                index, keys = note.store.index, note.keys
                if isinstance(keys, KeysView):  # all keys of a database: look only at those that matter to somebody
                    keys = [key for at, key in {*watching, *waiting} if at == index and key in note.keys]
                for place in ((index, key) for key in keys):
                    watching.touch(place, note.store, note.touch)
                    if note.wake and place in waiting:
                        ready.append(place)
        while ready and not unit.notes:
            if not serve(engine, ready[0]):
                ready.popleft()
        if not unit.notes:
            return


def serve(engine: Engine, place: Place) -> bool:
    """Serve the first command that waits for the value at a place; return whether there was one."""
    index, key = place
    parked = engine.waiting.first(place, engine.stores[index].kind(key))
    if parked is None:
        return False
    began = perf_counter()
    engine.waiting.unpark(parked.client)
    try:
        answer = parked.wait.serve(key)
    except ReplyError as error:
        answer = error
    parked.client.write_offset = inf  # its change is not in the stream yet
    answer_parked(engine, parked, answer, began)
    return True
