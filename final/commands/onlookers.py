"""MONITOR and SLOWLOG: looking on while others ask."""

from itertools import islice

from ..client import Client
from ..command import ADMIN, LOADING, NOSCRIPT, STALE, Server, command
from ..errors import ReplyError, unknown_subcommand, wrong_subcommand
from ..reader import parse_integer
from ..writer import Value


@command(ADMIN, NOSCRIPT, LOADING, STALE)
def monitor(server: Server, client: Client) -> Value:
    """MONITOR: hear of every request from now on, until RESET, but for what administrators ask."""
    server.onlookers.join(client)
    return "OK"


@command()
def slowlog(subcommand: bytes, *arguments: bytes) -> Value:
    """SLOWLOG subcommand [argument ...]: the requests that took long. See the subcommands below."""
    raise unknown_subcommand("SLOWLOG", subcommand)


@command(ADMIN, LOADING, STALE, of="slowlog")
def slowlog_get(server: Server, *count: bytes) -> Value:
    """SLOWLOG GET [count]: answer with the last 10 of them, or so many; -1: all. The newest comes first.

    Each is its number, when it was, its microseconds, its words, and the client's address and name.
    """
    if len(count) > 1:
        raise wrong_subcommand("SLOWLOG", b"GET")
    number = parse_integer(count[0]) if count else 10
    if number is None or number < -1:
        raise ReplyError("ERR count should be greater than or equal to -1")
    chosen = islice(server.onlookers.slow, None if number == -1 else number)
    return [[each.id, each.when, each.took, each.words, each.address.encode(), each.name] for each in chosen]


@command(ADMIN, LOADING, STALE, of="slowlog")
def slowlog_len(server: Server) -> Value:
    """SLOWLOG LEN: answer with how many there are."""
    return len(server.onlookers.slow)


@command(ADMIN, LOADING, STALE, of="slowlog")
def slowlog_reset(server: Server) -> Value:
    """SLOWLOG RESET: forget them."""
    server.onlookers.slow.clear()
    return "OK"
