"""Runs the requests of a log, or of a snapshot, by which the data is loaded."""

from collections.abc import Iterable

from ..data.loading_store import loading
from ..log.read import Batch
from ..protocol.errors import ReplyError
from ..protocol.writer import Value
from .client import Client
from .command import ADMIN, LOADED, PUBSUB, WRITE, find
from .context import Engine

LONGEST_RUN = 128  # requests


def replay(engine: Engine, batches: Iterable[Batch]) -> None:
    """Run the requests.

    The clock is stopped at 0: a key whose deadline has passed must not expire before all its changes are repeated.
    Commands for the server or its clients, such as SHUTDOWN, are skipped: they change no data.
    """
    engine.unit.stopped = 0
    engine.snapshots.loading = True
    for store in engine.stores:
        store.forget_uses(engine.steady(), tracking=False)
    try:
        with loading(engine.stores):
            run_all(engine, batches)
    finally:
        engine.unit.notes.clear()
        engine.unit.changes = 0
        for store in engine.stores:
            store.forget_uses(engine.steady(), tracking=True)
        engine.snapshots.loading = False


def run_all(engine: Engine, batches: Iterable[Batch]) -> None:
    """Run the requests as those of one client, whom nobody sees."""
    nobody = Client(id=0, db=engine.stores[0])
    for requests, refuse in batches:
        at = 0
        while at < len(requests):
            done, answer = run(engine, nobody, requests, at)
            if isinstance(answer, ReplyError) and matters(requests[at]):
                refuse(at, f"{requests[at][0]!r} was answered with {answer}")
            at += done


def run(engine: Engine, nobody: Client, requests: list[list[bytes]], at: int) -> tuple[int, Value]:
    """Run the requests from `at` on that are a run (`engine/runs.py`), or else one; return how many, and its answer.

    Not `Engine.run`: it would also count errors and lookups, fill the slow log and notify, for no client.
    """
    args = requests[at]
    if not args:  # an annotation
        return 1, None
    try:
        command = find(args, LOADED)
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
        command = find(args, LOADED)
    except ReplyError:
        return True
    return WRITE in command.flags or command.group.name == "scripting" or command.name == "select"
