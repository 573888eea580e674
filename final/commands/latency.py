"""LATENCY: events that took long, and how long the calls of each command take."""

from ..engine.call_stats import cumulative
from ..engine.command import ADMIN, COMMANDS, LOADING, NOSCRIPT, STALE
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..latency import Series, graph
from ..protocol.errors import ReplyError, shown
from ..protocol.writer import Value, Verbatim
from .command_info import named

DISABLED = (
    "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Redis instance. You may use "
    '"CONFIG SET latency-monitor-threshold <milliseconds>." in order to enable it. If we weren\'t in a deep space '
    "mission I'd suggest to take a look at https://redis.io/topics/latency-monitor.\n"
)
QUIET = (
    "Dave, no latency spike was observed during the lifetime of this Redis instance, not in the slightest bit. I "
    "honestly think you ought to sit down calmly, take a stress pill, and think things over.\n"
)
OBSERVED = (
    "Dave, I have observed latency spikes in this Redis instance. You don't mind talking about it, do you Dave?\n\n"
)
ADVICE = {  # what to do about events whose names begin like this
    "command": "SLOWLOG GET shows the slow requests. Ask for less at once: SCAN for KEYS, UNLINK for DEL.",
    "fast-command": "These commands take microseconds: the machine or another process keeps this one waiting.",
    "fork": "A fork copies the page table of the process: it takes longer with more memory.",
    "aof": "The disk is slow, or others use it. A local disk, or `appendfsync everysec` in place of `always`, helps.",
    "expire": "Many keys expire at once: give them deadlines that differ by some random seconds.",
    "eviction": "The keys take more than `maxmemory`, and large ones are deleted: allow more, or smaller values.",
}
PLACES = "request_policy:all_nodes response_policy:special"


@command()
def latency(subcommand: bytes, *arguments: bytes) -> Value:
    """LATENCY subcommand [argument ...]: inspect what took long; see the subcommands."""


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="latency", tips=f"nondeterministic_output {PLACES}")
def latency_latest(engine: Engine) -> Value:
    """LATENCY LATEST: answer with name, time, milliseconds and greatest milliseconds of each event's last sample."""
    return [[name.encode(), *each.samples[-1], each.most] for name, each in engine.latency.events.items()]


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="latency", tips=f"nondeterministic_output {PLACES}")
def latency_history(engine: Engine, event: bytes) -> Value:
    """LATENCY HISTORY event: answer with the samples of an event: Unix time and milliseconds, the oldest first."""
    series = engine.latency.events.get(shown(event, None), Series())
    return [list(each) for each in series.samples]


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="latency", tips="request_policy:all_nodes response_policy:all_succeeded")
def latency_reset(engine: Engine, *events: bytes) -> Value:
    """LATENCY RESET [event ...]: forget these events, or all; answer with how many there were."""
    known = engine.latency.events
    named = {shown(each, None).lower() for each in events}
    gone = [name for name in known if not events or name in named]
    for name in gone:
        del known[name]
    return len(gone)


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="latency", tips=f"nondeterministic_output {PLACES}")
def latency_graph(engine: Engine, event: bytes) -> Value:
    """LATENCY GRAPH event: answer with a drawing of the samples of an event."""
    name = shown(event, None)
    if name not in engine.latency.events:
        raise ReplyError(f"ERR No samples available for event '{name}'")
    return Verbatim(graph(name, engine.latency.events[name], engine.unit.clock() // 1000).encode())


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="latency", tips=f"nondeterministic_output {PLACES}")
def latency_doctor(engine: Engine) -> Value:
    """LATENCY DOCTOR: answer with a report about the events, and with advice."""
    events = engine.latency.events
    if not events:
        return Verbatim((QUIET if engine.options.latency_monitor_threshold else DISABLED).encode())
    now = engine.unit.clock() // 1000
    lines = [f"{number}. {name}: {report(each, now)}\n" for number, (name, each) in enumerate(events.items(), 1)]
    advice = [f"- {text}\n" for start, text in ADVICE.items() if any(name.startswith(start) for name in events)]
    return Verbatim("".join([OBSERVED, *lines, "\nI have a few advices for you:\n\n", *advice]).encode())


def report(series: Series, now: int) -> str:
    """Return the line of the report about an event."""
    values = [took for _, took in series.samples]
    average = sum(values) // len(values)
    deviation = sum(abs(average - each) for each in values) // len(values)
    period = max(now - series.samples[0][0], 1) / len(values)
    spikes = (
        f"{len(values)} latency spikes (average {average}ms, mean deviation {deviation}ms, period {period:.2f} sec)"
    )
    return f"{spikes}. Worst all time event {series.most}ms."


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="latency", tips=f"nondeterministic_output {PLACES}")
@complexity("O(N) for N commands")
def latency_histogram(engine: Engine, *commands: bytes) -> Value:
    """LATENCY HISTOGRAM [command ...]: answer with how many calls of each command took at most how long.

    The limits are in microseconds, and grow twofold. Only commands that were called are in the answer.
    """
    stats = engine.counters.calls
    entries = [entry for name in commands if (entry := named(name))] if commands else COMMANDS.values()
    names = [each.name for entry in entries for each in (entry, *entry.subcommands.values())]
    found = {name.encode(): calls for name in names if (calls := stats.distribution(name))}
    return {
        name: {b"calls": sum(calls.values()), b"histogram_usec": dict(cumulative(calls))}
        for name, calls in found.items()
    }
