"""Commands that make this server a replica, or a primary again: REPLICAOF, SLAVEOF."""

from ..engine.client import Client
from ..engine.command import ADMIN, NOSCRIPT, STALE
from ..engine.context import Engine
from ..engine.following import follow, lead
from ..engine.signature import command
from ..protocol.errors import ReplyError
from ..protocol.numeric import parse_integer
from ..protocol.writer import Value


@command(ADMIN, NOSCRIPT, STALE, "no_async_loading")
def replicaof(engine: Engine, client: Client, host: bytes, port: bytes) -> Value:
    """REPLICAOF host port: copy the data of a primary, and follow its changes; NO ONE: become a primary."""
    if (host.lower(), port.lower()) == (b"no", b"one"):
        lead(engine)
        return "OK"
    number = parse_integer(port)
    if number is None or not 0 <= number <= 65535:
        raise ReplyError("ERR Invalid master port")
    name = host.decode(errors="replace")
    if engine.replica is not None and (engine.replica.host.lower(), engine.replica.port) == (name.lower(), number):
        return "OK Already connected to specified master"
    follow(engine, name, number)
    return "OK"


@command(ADMIN, NOSCRIPT, STALE, "no_async_loading")
def slaveof(engine: Engine, client: Client, host: bytes, port: bytes) -> Value:
    """SLAVEOF host port: the old name of REPLICAOF."""
    return replicaof(engine, client, host, port)
