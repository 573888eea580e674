"""Replication, as a replica or an administrator asks a primary for it: REPLCONF, PSYNC, SYNC, WAIT, ROLE."""

from ..engine.args import integer
from ..engine.client import Client
from ..engine.command import (
    ADMIN,
    ALLOW_BUSY,
    FAST,
    IN_ADMIN,
    IN_CONNECTION,
    IN_DANGEROUS,
    LOADING,
    NO_MULTI,
    NOSCRIPT,
    STALE,
    SYSTEM,
)
from ..engine.context import Engine
from ..engine.following import lead
from ..engine.signature import command, complexity
from ..engine.wait import Wait
from ..protocol.errors import ReplyError, shown, syntax_error
from ..protocol.inline import split_inline
from ..protocol.numeric import parse_integer
from ..protocol.writer import NO_REPLY, Value
from ..replication.attached import Announced, AttachedReplica, State


@command(ADMIN, NOSCRIPT, LOADING, STALE, ALLOW_BUSY, SYSTEM)
def replconf(engine: Engine, client: Client, *options: bytes) -> Value:
    """REPLCONF [option value ...]: a replica says what it is, before PSYNC; and then, how much of the stream it has.

    The options are LISTENING-PORT, IP-ADDRESS, CAPA, RDB-ONLY and RDB-FILTER-ONLY; and ACK, which has no reply.
    """
    if len(options) % 2:
        raise syntax_error()
    announced = client.announced = client.announced or Announced()
    for option, value in zip(options[::2], options[1::2], strict=True):
        match option.lower():
            case b"listening-port":
                announced.port = integer(value)
            case b"ip-address":
                announced.address = value.decode(errors="replace")
            case b"capa":
                announced.capabilities.add(value.lower())
            case b"ack":
                if client.replica is not None and (offset := parse_integer(value)) is not None:
                    client.replica.acknowledge(offset)
                    engine.waiting.look()
                return NO_REPLY
            case b"getack":
                if client.is_primary and engine.replica is not None:
                    engine.replica.asked = True
                return NO_REPLY
            case b"rdb-only":
                announced.rdb_only = flag(value)
            case b"rdb-filter-only":
                announced.keys, announced.functions = False, wants_functions(value)
            case _:
                raise ReplyError(f"ERR Unrecognized REPLCONF option: {shown(option, None)}")
    return "OK"


def flag(arg: bytes) -> bool:
    """Parse 0 or 1. Raises ReplyError."""
    if integer(arg) not in (0, 1):
        raise ReplyError("ERR value is out of range, value must between 0 and 1")
    return integer(arg) == 1


def wants_functions(arg: bytes) -> bool:
    """Parse all that a snapshot is to have: `functions`, or nothing. Raises ReplyError."""
    try:
        wanted = split_inline(arg)
    except ValueError:
        raise ReplyError("ERR Missing rdb-filter-only values") from None
    for each in wanted:
        if each.lower() != b"functions":
            raise ReplyError(f"ERR Unsupported rdb-filter-only option: {shown(each, None)}")
    return bool(wanted)


@command(ADMIN, NOSCRIPT, "no_async_loading", NO_MULTI)
@complexity("")
def sync(engine: Engine, client: Client) -> Value:
    """SYNC: be sent all data, and then the stream of changes."""
    return attach(engine, client, greeted=False)


@command(ADMIN, NOSCRIPT, "no_async_loading", NO_MULTI)
@complexity("")
def psync(engine: Engine, client: Client, replicationid: bytes, offset: bytes, *options: bytes) -> Value:
    """PSYNC replicationid offset [FAILOVER]: be sent the stream from an offset on, or else all data first.

    The answer is CONTINUE, or FULLRESYNC with the ID and the offset of the stream. Offsets are counted from 1.
    """
    following = integer(offset)
    if client.replica is not None or client.monitoring or client.is_primary:
        return NO_REPLY
    if [option.lower() for option in options[:1]] == [b"failover"]:
        take_over(engine, replicationid.decode(errors="replace").lower())
    replica = record(engine, client, greeted=True)
    if engine.primary.resume(replica, replicationid.decode(errors="replace").lower(), following):
        client.replica = replica
        return f"CONTINUE {engine.primary.replid}" if b"psync2" in replica.announced.capabilities else "CONTINUE"
    return attach(engine, client, greeted=True)


def take_over(engine: Engine, replid: str) -> None:
    """PSYNC with FAILOVER: this server's primary asks to become its replica. Raises ReplyError."""
    if engine.replica is None:
        raise ReplyError("ERR PSYNC FAILOVER can't be sent to a master.")
    if replid != engine.primary.replid:
        raise ReplyError("ERR PSYNC FAILOVER replid must match my replid.")
    lead(engine)


def attach(engine: Engine, client: Client, greeted: bool) -> Value:
    """Make a client a replica that is sent all data. What it is sent comes from its record, so there is no reply."""
    if client.replica is not None or client.monitoring or client.is_primary:
        return NO_REPLY
    client.replica = record(engine, client, greeted)
    engine.primary.attach(client.replica)
    return NO_REPLY


def record(engine: Engine, client: Client, greeted: bool) -> AttachedReplica:
    """Return the record of a client that asks for the stream. Raises ReplyError if it is one for which it is not."""
    announced = client.announced or Announced()
    if engine.failover is not None:
        raise ReplyError("NOMASTERLINK Can't SYNC while failing over")
    if engine.replica is not None and engine.replica.offset < 0:
        raise ReplyError("NOMASTERLINK Can't SYNC while not connected with my master")
    if announced.filtered and b"eof" not in announced.capabilities:
        raise ReplyError("ERR Filtered replica requires EOF capability")

    def finish() -> None:
        client.closing = True

    return AttachedReplica(
        engine.primary,
        announced,
        client.address.rpartition(":")[0],
        engine.steady,
        wake=client.wake,
        finish=finish,
        hang_up=client.hang_up,
        spoke=lambda: client.last_interaction,
        greeted=greeted,
    )


@command(NOSCRIPT, IN_CONNECTION, tips="request_policy:all_shards response_policy:agg_min")
def wait(engine: Engine, client: Client, numreplicas: int, timeout: bytes) -> Value:
    """WAIT numreplicas timeout: answer when that many replicas have executed what this client has changed.

    `timeout` is in milliseconds, 0 for none. The answer is the number of replicas that have.
    """
    if engine.replica is not None:
        raise ReplyError(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is "
            "configured to be writable (which is not the default) writes to replicas are just local and are not "
            "propagated."
        )
    milliseconds = parse_integer(timeout)
    if milliseconds is None:
        raise ReplyError("ERR timeout is not an integer or out of range")
    if milliseconds < 0:
        raise ReplyError("ERR timeout is negative")
    primary = engine.primary
    offset = int(min(client.write_offset, primary.offset))

    def count() -> int:
        return primary.acknowledged(offset)

    if count() >= numreplicas:
        return count()
    primary.ask_for_acks()
    return Wait((), bytes, milliseconds, count(), lambda _: count(), lambda _: count() >= numreplicas, timed_out=count)


@command(NOSCRIPT, LOADING, STALE, FAST, IN_ADMIN, IN_DANGEROUS)
def role(engine: Engine) -> Value:
    """ROLE: answer with the role; the offset of the stream, and each replica with what it has of it; or the primary."""
    if (replica := engine.replica) is not None:
        return [b"slave", replica.host.encode(), replica.port, replica.state.role, replica.offset]
    online = [each for each in engine.primary.replicas if each.state is State.ONLINE]
    return [b"master", engine.primary.offset, [list(described(each)) for each in online]]


def described(replica: AttachedReplica) -> tuple[bytes, bytes, bytes]:
    """Return the address, the port and the offset of a replica."""
    announced = replica.announced
    address = announced.address or replica.address
    return address.encode(), b"%d" % announced.port, b"%d" % replica.acknowledged
