"""MONITOR and SLOWLOG: looking on while others ask."""

from itertools import islice

from ..engine.client import Client
from ..engine.command import ADMIN, LOADING, NOSCRIPT, STALE
from ..engine.context import Engine
from ..engine.signature import command
from ..protocol.errors import ReplyError
from ..protocol.numeric import parse_integer
from ..protocol.writer import Value


@command(ADMIN, NOSCRIPT, LOADING, STALE)
def monitor(engine: Engine, client: Client) -> Value:
    """MONITOR: hear of every request from now on, until RESET, but for what administrators ask."""
    engine.monitors.join(client)
    return "OK"


@command()
def slowlog(subcommand: bytes, *arguments: bytes) -> Value:
    """SLOWLOG subcommand [argument ...]: the requests that took long. See the subcommands below."""


@command(ADMIN, LOADING, STALE, of="slowlog")
def slowlog_get(engine: Engine, count: bytes = b"10") -> Value:
    """SLOWLOG GET [count]: answer with the last 10 of them, or so many; -1: all. The newest comes first.

    Each is its number, when it was, its microseconds, its words, and the client's address and name.
    """
    number = parse_integer(count)
    if number is None or number < -1:
        raise ReplyError("ERR count should be greater than or equal to -1")
    chosen = islice(engine.slowlog.entries, None if number == -1 else number)
    return [[each.id, each.when, each.took, each.args, each.address.encode(), each.name] for each in chosen]


@command(ADMIN, LOADING, STALE, of="slowlog")
def slowlog_len(engine: Engine) -> Value:
    """SLOWLOG LEN: answer with how many there are."""
    return len(engine.slowlog.entries)


@command(ADMIN, LOADING, STALE, of="slowlog")
def slowlog_reset(engine: Engine) -> Value:
    """SLOWLOG RESET: forget them."""
    engine.slowlog.entries.clear()
    return "OK"
