"""The end of a command that waited for something outside of the data, such as another server (`wait_outside`)."""

from collections.abc import Callable

from ..protocol.errors import ReplyError, paused
from ..protocol.writer import Value
from .admit import admit
from .client import Parked
from .context import Engine


def conclude(engine: Engine, parked: Parked, end: Callable[[ReplyError | None], Value]) -> None:
    """End the command as a unit of its own, and answer its client, if that is still there.

    `end` returns the answer. It takes the error with which the command would be refused if it came now.
    """
    client = parked.client
    engine.unit.stopped = None
    answer = end(refusal(engine, parked))
    engine.counters.error_replies += isinstance(answer, ReplyError)
    engine.complete(parked.command, parked.args)
    if client.parked is parked:
        engine.waiting.unblock(client, answer)
    engine.settle()


def refusal(engine: Engine, parked: Parked) -> ReplyError | None:
    """Return the error with which a command would be refused now; None: it would run."""
    try:
        admit(parked.client, parked.command, engine.options.requirepass, engine.disk_failure)
    except ReplyError as error:
        return error
    held = engine.pause.until and engine.pause.holds(parked.client, parked.args, engine.steady())
    return paused() if held else None
