"""The end of a command that waited: its client is answered. `conclude` is for what is outside of the data."""

from collections.abc import Callable
from time import perf_counter

from ..protocol.errors import ReplyError, paused
from ..protocol.writer import NO_REPLY, Value
from .client import Parked
from .context import Engine


def conclude(engine: Engine, parked: Parked, end: Callable[[ReplyError | None], Value]) -> None:
    """End a command that waited for something outside of the data (`wait_outside`), as a unit of its own.

    `end` returns the answer. It takes the error with which the command would be refused if it came now. The client is
    answered if it is still there.
    """
    client, began = parked.client, perf_counter()
    engine.unit.stopped = None
    answer = end(refusal(engine, parked))
    if client.parked is parked:
        engine.waiting.unpark(client)
        answer_parked(engine, parked, answer, began)
    else:
        engine.complete(client, parked.command, parked.args, NO_REPLY)
    engine.settle()
    client.write_offset = engine.primary.offset


def answer_parked(engine: Engine, parked: Parked, answer: Value, began: float) -> None:
    """Answer a client whose wait is over, and complete what its command has changed since `began`."""
    client, command, args = parked.client, parked.command, parked.args
    client.say(engine.complete(client, command, args, answer))
    client.end_request()
    served = perf_counter() - began
    took = parked.took + served * 1e6
    engine.latency.add("command-unblocking", served)
    engine.counters.served(command.name, took, answer)
    engine.slowlog.keep(client, command, args, took)


def refusal(engine: Engine, parked: Parked) -> ReplyError | None:
    """Return the error with which a command would be refused now; None: it would run."""
    try:
        engine.admission.check(parked.client, parked.command, parked.args)
    except ReplyError as error:
        return error
    held = engine.pause.until and engine.pause.holds(parked.client, parked.args, engine.steady())
    return paused() if held else None
