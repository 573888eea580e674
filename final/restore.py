"""Bringing the data back at the start: the log is read, and what it tells is executed. It knows no file."""

from .engine.client import Client
from .engine.command import ADMIN, PUBSUB, WRITE, find
from .engine.engine import Engine
from .log.aof import Log
from .protocol.errors import ReplyError


def restore(engine: Engine) -> None:
    """Open the log, when the options ask for one, after bringing back the data that it tells of.

    Raises CorruptLog and OSError.
    """
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
    """Execute what the log tells.

    The clock stands at zero meanwhile: a key whose deadline has passed must not expire before all that was done to
    it has been repeated. What only concerns a server or its clients, such as SHUTDOWN, is passed over: it is no data,
    and who wrote it into the log is not who runs the server now.
    """
    engine.unit.stopped = 0
    nobody = Client(id=0, db=engine.stores[0])
    for args, refuse in log.load():
        try:
            command = find(args)
            if ADMIN in command.flags or PUBSUB in command.flags:
                continue
            answer = command.run(engine, nobody, args)  # nobody listens, counts, or has a slow log now
        except ReplyError as error:
            answer = error
        if isinstance(answer, ReplyError) and matters(args):
            refuse(f"{args[0]!r} was answered with {answer}")
        engine.unit.notes.clear()


def matters(args: list[bytes]) -> bool:
    """Whether an error shows that the log is damaged, or that what it tells later would go wrong.

    Redis minds only commands that it does not know. But a change that is refused was made once, to other data than
    are there now; and after a SELECT that is refused, the changes that follow would reach the wrong database.
    """
    try:
        command = find(args)
    except ReplyError:
        return True
    return WRITE in command.flags or command.group.name == "scripting" or command.name == "select"
