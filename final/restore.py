"""Restores the data at the start, from the log or the snapshot. It knows no file."""

from .engine.engine import Engine
from .engine.replay import replay
from .log.aof import Log


def restore(engine: Engine) -> None:
    """Restore the data: from the log, and open it; without a log, from the snapshot. Raises CorruptLog and OSError."""
    if engine.options.appendonly == "no":
        restore_snapshot(engine)
        return
    log = Log(engine.options)
    try:
        replay(engine, log.load())
        log.open()
    except BaseException:
        log.folder.leave()
        raise
    engine.log = log


def restore_snapshot(engine: Engine) -> None:
    """Restore the data from the snapshot, and continue the stream to replicas, or from the primary, if it says which.

    Keys whose deadline has passed are removed, unless this is a replica: its primary may have given them another one.
    """
    snapshots = engine.snapshots
    replay(engine, snapshots.load())
    engine.unit.stopped = None
    following = bool(engine.options.replicaof)
    engine.primary.continue_from(snapshots.loaded_about, following)
    for store in () if following else engine.stores:
        more = True
        while more:
            more = store.expire_due(1000)
            snapshots.expired += len(engine.unit.notes)
            engine.settle()
    snapshots.loaded = sum(map(len, engine.stores))
