"""Inside a unit: a shorter way for the commands that EXEC or a script runs, beside `Engine.run`.

`Engine.run` asks of each command whether a client runs MONITOR or hears of its own requests, whether keyspace events
are published, and whether the command has to wait. Inside a unit no answer changes, as long as its commands are handed
neither the engine nor, in EXEC, the client. So they are asked once for a unit; and the queue of a transaction, where
nothing comes in between, is executed in runs (`runs.py`). A test holds that replies, data, log, events and counts are
the same on both ways.

Measured in CPU time, with all that is around it: an INCR in MULTI takes 2.8 to 3.6 µs, and took 7.4; in a script 4.3,
and took 6.8; a PING in a script 2.3, and took 3.7.
"""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Protocol

from ..config.options import Options
from ..data.unit import AS_REQUESTED, NO_EVENT, UNLOGGED, Note, Unit
from ..latency import Latency
from ..protocol.writer import Encoded, Value, encode
from .call_stats import EXACT
from .client import Client, Queued
from .command import Command
from .counters import Counters
from .evict import Eviction
from .lookups import use_keys
from .monitor import Monitors
from .slowlog import SlowLog, was_slow
from .tracking import Tracking

Step = Callable[[Command, list[bytes]], Value]  # runs a command as a part of the unit; an error is returned
LONGEST_RUN = 128  # requests
QUICK = 0.001  # seconds: if less is slow, somebody looks at each request, and there are no runs


class UnitNeeds(Protocol):
    """What the commands of a unit need of the engine."""

    options: Options
    unit: Unit
    counters: Counters
    monitors: Monitors
    slowlog: SlowLog
    slow_after: float  # seconds
    eviction: Eviction
    latency: Latency
    tracking: Tracking

    def run(self, client: Client, command: Command, args: list[bytes]) -> Value:
        """Run a command, complete its notes, and return its answer."""

    def perform(self, client: Client, command: Command, args: list[bytes]) -> Value:
        """Call a command's function, and count the keys that it has read."""

    def complete(self, client: Client, command: Command, args: list[bytes], answer: Value, start: int = 0) -> Value:
        """Complete the notes from `start` on, and publish their events."""


def open_to(engine: UnitNeeds, client: Client) -> bool:
    """Return whether nobody is told of each command of this client's unit: for the rest of the unit, nobody will be."""
    told = engine.monitors.clients or engine.tracking.clients or engine.eviction.keeping or client.overhears
    return not (told or engine.options.notify_keyspace_events)


def steps(engine: UnitNeeds, client: Client) -> Step:
    """Return a function that does what `Engine.run` does for commands of this client until the unit ends."""
    run = partial(engine.run, client)
    if not open_to(engine, client):
        return run
    unit, calls, perform, slow = engine.unit, engine.counters.calls, engine.perform, engine.slow_after

    def step(command: Command, args: list[bytes]) -> Value:
        if not command.contained:
            return run(command, args)
        start, began = len(unit.notes), perf_counter()
        answer = perform(client, command, args)
        if len(unit.notes) > start:
            note = unit.notes[-1]
            if len(unit.notes) - start == 1 and note.event != "expired":  # `publish` counts expired keys
                note.event = NO_EVENT
                if note.log is AS_REQUESTED:
                    note.log = args
                if start:
                    unit.join()
            else:
                engine.complete(client, command, args, answer, start)
        elif command.only_uses:
            use_keys(client.db, command, args)
        took = perf_counter() - began
        each = int(took * 1e6 + 0.5)
        if each < EXACT:
            calls.short[command.name][each] += 1
        else:
            calls.add(command.name, took)
        if took >= slow:
            was_slow(engine, client, command, args, took * 1e6)
        return answer

    return step


def execute(engine: UnitNeeds, client: Client, queue: list[Queued]) -> Encoded:
    """Execute the queue of a transaction, if all its commands are plain, and `open_to`; return the array of replies."""
    commands, requests = [command for command, _ in queue], [args for _, args in queue]
    step, slow, at = steps(engine, client), engine.slow_after, 0
    output = bytearray(b"*%d\r\n" % len(queue))
    while at < len(queue):
        command, done = commands[at], 0
        if command.run_of is not None and slow >= QUICK and commands[at + 1 : at + 2] == [command]:
            done = execute_run(engine, client, command, requests[at : at + LONGEST_RUN], output, slow)
        if not done:
            output += encode(step(command, requests[at]), client.protocol)
        at += done or 1
    return Encoded(output)


def execute_run(
    engine: UnitNeeds, client: Client, command: Command, requests: list[list[bytes]], output: bytearray, slow: float
) -> int:
    """Execute the requests that begin a list and are a run; add the replies to `output`; return how many they were."""
    assert command.run_of is not None
    began, unit = perf_counter(), engine.unit
    if command.only_uses:
        unit.notes.append(Note(client.db, (), UNLOGGED, NO_EVENT))  # a run that fails has changed something
    done = command.run_of(client, requests, output)
    if command.only_uses:
        unit.notes.pop()
        unit.note_run(client.db, requests[:done])
    took = perf_counter() - began
    engine.counters.calls.add(command.name, took, done)
    if done and took >= slow:
        was_slow(engine, client, command, requests[done - 1], took * 1e6)
    return done
