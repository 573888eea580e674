"""Commands that make this server a replica, or a primary again: REPLICAOF, SLAVEOF, FAILOVER."""

from ..engine.args import OptionCursor
from ..engine.client import Client
from ..engine.command import ADMIN, NOSCRIPT, STALE
from ..engine.context import Engine
from ..engine.following import fail_over, follow, lead
from ..engine.signature import command
from ..protocol.errors import ReplyError, syntax_error
from ..protocol.numeric import parse_integer
from ..protocol.writer import Value
from ..replication.attached import State
from ..replication.failover import Address, address_of


@command(ADMIN, NOSCRIPT, STALE, "no_async_loading")
def replicaof(engine: Engine, client: Client, host: bytes, port: bytes) -> Value:
    """REPLICAOF <host port | NO ONE>: copy the data of a primary, and follow its changes; NO ONE: become a primary."""
    if engine.failover is not None:
        raise ReplyError("ERR REPLICAOF not allowed while failing over.")
    if (host.lower(), port.lower()) == (b"no", b"one"):
        lead(engine)
        return "OK"
    if client.replica is not None:
        raise ReplyError("ERR Command is not valid when client is a replica.")
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
    """SLAVEOF <host port | NO ONE>: the old name of REPLICAOF."""
    return replicaof(engine, client, host, port)


@command(ADMIN, NOSCRIPT, STALE)
def failover(engine: Engine, *options: bytes) -> Value:
    """FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]: hand over to a replica, and become its replica.

    The replica is the one at TO, or the first that has all changes; until then writes wait. After TIMEOUT that is given
    up, or with FORCE the replica takes over with the changes that it has.
    """
    cursor = OptionCursor(options)
    target: Address | None = None
    timeout, force = 0, False
    for option in cursor:
        if option == b"abort" and len(options) == 1:
            if engine.failover is None:
                raise ReplyError("ERR No failover in progress.")
            engine.failover.abort("it was aborted")
            return "OK"
        if option == b"timeout" and not timeout and cursor:
            timeout = cursor.integer()
            if timeout <= 0:
                raise ReplyError("ERR FAILOVER timeout must be greater than 0")
        elif option == b"to" and target is None and len(cursor) >= 2:
            target = cursor.value().decode(errors="replace"), cursor.integer()
        elif option == b"force" and not force:
            force = True
        else:
            raise syntax_error()
    if engine.failover is not None:
        raise ReplyError("ERR FAILOVER already in progress.")
    if engine.replica is not None:
        raise ReplyError("ERR FAILOVER is not valid when server is a replica.")
    if not engine.primary.replicas:
        raise ReplyError("ERR FAILOVER requires connected replicas.")
    if force and not (timeout and target):
        raise ReplyError("ERR FAILOVER with force option requires both a timeout and target HOST and IP.")
    if target is not None:
        check_target(engine, target)
    fail_over(engine, target, engine.steady() + timeout if timeout else None, force)
    return "OK"


def check_target(engine: Engine, target: Address) -> None:
    """Raise ReplyError unless a replica at this address is online."""
    found = [each for each in engine.primary.replicas if address_of(each) == target]
    if not found:
        raise ReplyError("ERR FAILOVER target HOST and PORT is not a replica.")
    if found[0].state is not State.ONLINE:
        raise ReplyError("ERR FAILOVER target replica is not online.")
