"""Restores the data at the start: reads the log and runs its requests. It does not know the log's files."""

from .engine.client import Client
from .engine.command import ADMIN, PUBSUB, WRITE, find
from .engine.engine import Engine
from .log.aof import Log
from .protocol.errors import ReplyError


def restore(engine: Engine) -> None:
    """If the options ask for a log, restore the data from it and open it. Raises CorruptLog and OSError."""
    if engine.options.appendonly == "no":
        return
    log = Log(engine.options)
    try:
        replay(engine, log)
        log.open()
    except BaseException:
        log.folder.leave()
        raise
    engine.log = log


def replay(engine: Engine, log: Log) -> None:
    """Run the requests of the log.

    The clock is stopped at 0: a key whose deadline has passed must not expire before all its changes are repeated.
    Commands for the server or its clients, such as SHUTDOWN, are skipped: they change no data.
    """
    engine.unit.stopped = 0
    nobody = Client(id=0, db=engine.stores[0])
    for args, refuse in log.load():
        try:
            command = find(args)
            if ADMIN in command.flags or PUBSUB in command.flags:
                continue
            # Not `Engine.run`: it would also count errors and lookups, fill the slow log and notify, for no client.
            answer = command.run(engine, nobody, args)
        except ReplyError as error:
            answer = error
        if isinstance(answer, ReplyError) and matters(args):
            refuse(f"{args[0]!r} was answered with {answer}")
        engine.unit.notes.clear()


def matters(args: list[bytes]) -> bool:
    """Whether an error in answer to `args` shows that the log is damaged, or makes later requests go wrong.

    Redis stops only for unknown commands. But a change that fails now succeeded when it was logged, so the data was
    different then; and after a SELECT that fails, the next changes would reach the wrong database.
    """
    try:
        command = find(args)
    except ReplyError:
        return True
    return WRITE in command.flags or command.group.name == "scripting" or command.name == "select"
