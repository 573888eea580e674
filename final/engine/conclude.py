"""The end of a command that waited for something outside of the data, such as another server (`wait_outside`)."""

from collections.abc import Callable

from ..protocol.errors import ReplyError, paused
from ..protocol.writer import Value
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
    engine.settle()
    client.write_offset = engine.primary.offset
    if client.parked is parked:
        engine.waiting.unblock(client, answer)


def refusal(engine: Engine, parked: Parked) -> ReplyError | None:
    """Return the error with which a command would be refused now; None: it would run."""
    try:
        engine.admission.check(parked.client, parked.command)
    except ReplyError as error:
        return error
    held = engine.pause.until and engine.pause.holds(parked.client, parked.args, engine.steady())
    return paused() if held else None
