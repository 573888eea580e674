"""Restores the data at the start: reads the log, or the snapshot, and runs its requests. It knows no file."""

from collections.abc import Iterable

from .data.loading_store import loading
from .engine.client import Client
from .engine.command import ADMIN, PUBSUB, RENAMED, WRITE, find
from .engine.engine import Engine
from .log.aof import Log
from .log.read import Refusable
from .protocol.errors import ReplyError


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


def replay(engine: Engine, requests: Iterable[Refusable]) -> None:
    """Run the requests.

    The clock is stopped at 0: a key whose deadline has passed must not expire before all its changes are repeated.
    Commands for the server or its clients, such as SHUTDOWN, are skipped: they change no data.
    """
    engine.unit.stopped = 0
    engine.snapshots.loading = True
    for store in engine.stores:
        store.forget_uses(engine.steady(), tracking=False)
    nobody = Client(id=0, db=engine.stores[0])
    known: tuple[bytes, int] | None = None  # name and length of the last request; mostly the next one has the same
    with loading(engine.stores):
        for args, refuse in requests:
            try:
                if (form := (args[0], len(args))) != known:
                    known = None
                    command = find(args, RENAMED)
                    if WRITE not in command.flags and (ADMIN in command.flags or PUBSUB in command.flags):
                        continue
                    if "|" not in command.name:  # of subcommands, all have one name
                        known = form
                # Not `Engine.run`: it would also count errors and lookups, fill the slow log and notify, for no client.
                answer = command.run(engine, nobody, args)
            except ReplyError as error:
                answer = error
            if isinstance(answer, ReplyError) and matters(args):
                refuse(f"{args[0]!r} was answered with {answer}")
    engine.unit.notes.clear()
    engine.unit.changes = 0
    for store in engine.stores:
        store.forget_uses(engine.steady(), tracking=True)
    engine.snapshots.loading = False


def matters(args: list[bytes]) -> bool:
    """Whether an error in answer to `args` shows that the log is damaged, or makes later requests go wrong.

    Redis stops only for unknown commands. But a change that fails now succeeded when it was logged, so the data was
    different then; and after a SELECT that fails, the next changes would reach the wrong database.
    """
    try:
        command = find(args, RENAMED)
    except ReplyError:
        return True
    return WRITE in command.flags or command.group.name == "scripting" or command.name == "select"
