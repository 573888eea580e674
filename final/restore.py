"""Restores the data at the start: reads the log, or the snapshot, and runs its requests. It knows no file."""

from collections.abc import Iterable

from .data.loading_store import loading
from .engine.client import Client
from .engine.command import ADMIN, PUBSUB, RENAMED, WRITE, find
from .engine.engine import Engine
from .log.aof import Log
from .log.read import Batch
from .protocol.errors import ReplyError
from .protocol.writer import Value

LONGEST_RUN = 128  # requests


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


def replay(engine: Engine, batches: Iterable[Batch]) -> None:
    """Run the requests.

    The clock is stopped at 0: a key whose deadline has passed must not expire before all its changes are repeated.
    Commands for the server or its clients, such as SHUTDOWN, are skipped: they change no data.
    """
    engine.unit.stopped = 0
    engine.snapshots.loading = True
    for store in engine.stores:
        store.forget_uses(engine.steady(), tracking=False)
    nobody = Client(id=0, db=engine.stores[0])
    with loading(engine.stores):
        for requests, refuse in batches:
            at = 0
            while at < len(requests):
                done, answer = run(engine, nobody, requests, at)
                if isinstance(answer, ReplyError) and matters(requests[at]):
                    refuse(at, f"{requests[at][0]!r} was answered with {answer}")
                at += done
    engine.unit.notes.clear()
    engine.unit.changes = 0
    for store in engine.stores:
        store.forget_uses(engine.steady(), tracking=True)
    engine.snapshots.loading = False


def run(engine: Engine, nobody: Client, requests: list[list[bytes]], at: int) -> tuple[int, Value]:
    """Run the requests from `at` on that are a run (`engine/runs.py`), or else one; return how many, and its answer.

    Not `Engine.run`: it would also count errors and lookups, fill the slow log and notify, for no client.
    """
    args = requests[at]
    if not args:  # an annotation
        return 1, None
    try:
        command = find(args, RENAMED)
        if WRITE not in command.flags and (ADMIN in command.flags or PUBSUB in command.flags):
            return 1, None
        if command.run_of is not None and (
            done := command.run_of(nobody, requests[at : at + LONGEST_RUN], bytearray())
        ):
            return done, None
        return 1, command.run(engine, nobody, args)
    except ReplyError as error:
        return 1, error


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
