"""MONITOR and SLOWLOG: see the requests of all clients."""

from itertools import islice

from ..engine.client import Client
from ..engine.command import ADMIN, LOADING, NOSCRIPT, STALE
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError
from ..protocol.numeric import parse_integer
from ..protocol.writer import NO_REPLY, Value


@command(ADMIN, NOSCRIPT, LOADING, STALE)
@complexity("")
def monitor(engine: Engine, client: Client) -> Value:
    """MONITOR: receive every request of every client, but for administrators' commands, until RESET."""
    if client.deny_blocking:
        raise ReplyError("ERR MONITOR isn't allowed for DENY BLOCKING client")
    if client.replica is not None or client.monitoring:
        return NO_REPLY
    engine.monitors.add(client)
    return "OK"


@command()
def slowlog(subcommand: bytes, *arguments: bytes) -> Value:
    """SLOWLOG subcommand [argument ...]: inspect the slow requests; see the subcommands."""


@command(ADMIN, LOADING, STALE, of="slowlog", tips="request_policy:all_nodes nondeterministic_output")
@complexity("O(N) for N entries")
def slowlog_get(engine: Engine, count: bytes = b"10") -> Value:
    """SLOWLOG GET [count]: answer with the newest `count` entries (default 10, -1: all), newest first.

    An entry is its ID, the Unix time in seconds, the duration in microseconds, the arguments, and the client's address
    and name.
    """
    number = parse_integer(count)
    if number is None or number < -1:
        raise ReplyError("ERR count should be greater than or equal to -1")
    chosen = islice(engine.slowlog.entries, None if number == -1 else number)
    return [[each.id, each.when, each.took, each.args, each.address.encode(), each.name] for each in chosen]


@command(
    ADMIN, LOADING, STALE, of="slowlog", tips="request_policy:all_nodes response_policy:agg_sum nondeterministic_output"
)
def slowlog_len(engine: Engine) -> Value:
    """SLOWLOG LEN: answer with the number of entries."""
    return len(engine.slowlog.entries)


@command(ADMIN, LOADING, STALE, of="slowlog", tips="request_policy:all_nodes response_policy:all_succeeded")
@complexity("O(N) for N entries")
def slowlog_reset(engine: Engine) -> Value:
    """SLOWLOG RESET: remove all entries."""
    engine.slowlog.entries.clear()
    return "OK"
