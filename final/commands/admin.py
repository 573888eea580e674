"""Commands for administrators: CONFIG, TIME, BGREWRITEAOF, SAVE, BGSAVE, LASTSAVE, SHUTDOWN."""

import time
from collections.abc import Iterable
from typing import Any

from ..config import file as config_file
from ..config.options import NAMES, config_failed
from ..data.announcing_store import announce
from ..engine.acl.describe import definition
from ..engine.client import Client
from ..engine.command import ADMIN, ALLOW_BUSY, FAST, IN_ADMIN, IN_DANGEROUS, LOADING, NO_MULTI, NOSCRIPT, STALE
from ..engine.context import Engine
from ..engine.following import leave_expiry
from ..engine.open_files import adjust_open_files_limit
from ..engine.packing import limit_packing
from ..engine.signature import command, complexity
from ..engine.slowlog import slow_after
from ..engine.wait import wait_outside
from ..protocol.errors import ReplyError, syntax_error
from ..protocol.pattern import matcher
from ..protocol.writer import NO_REPLY, Value
from ..server_log import LEVELS, log

SENSITIVE = {  # options whose values SLOWLOG does not show
    *(b"requirepass", b"masterauth", b"masteruser", b"tls-key-file-pass", b"tls-client-key-file-pass")
}


@command()
def config(subcommand: bytes, *arguments: bytes) -> Value:
    """CONFIG subcommand [argument ...]: read and change the server's options; see the subcommands."""


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="config")
@complexity("O(N) for N options")
def config_get(engine: Engine, parameter: bytes, *parameters: bytes) -> Value:
    """CONFIG GET parameter [parameter ...]: answer with the options whose names match a pattern, and their values."""
    names = [name.encode() for name in NAMES]
    found: dict[bytes, bytes] = {}  # each name as it came first: in lower case, or as the client typed it
    for pattern in (parameter, *parameters):
        wanted = [pattern] if pattern.lower() in names else filter(matcher(pattern.lower()), names)
        for name in wanted:
            found.setdefault(name.lower(), name)
    return {name: engine.options.get(lower.decode()) for lower, name in found.items()}


def passwords(args: list[bytes]) -> list[int]:
    """Return the indexes of the passwords in a CONFIG SET request."""
    return [at + 1 for at, each in enumerate(args) if each.lower() in SENSITIVE]


@command(
    ADMIN,
    NOSCRIPT,
    LOADING,
    STALE,
    of="config",
    secrets=passwords,
    tips="request_policy:all_nodes response_policy:all_succeeded",
)
@complexity("O(N) for N options")
def config_set(engine: Engine, client: Client, parameter: bytes, value: bytes, *more: bytes) -> Value:
    """CONFIG SET parameter value [parameter value ...]: set the options; if one of them is refused, set none."""
    args = [arg.decode(errors="surrogateescape") for arg in (parameter, value, *more)]
    if len(args) % 2:
        raise syntax_error()
    values = [arg.partition("\0")[0] for arg in args[1::2]]  # as C reads a text
    before = engine.options.set(list(zip(args[::2], values, strict=True)))
    if where_to_listen(before):
        try:
            engine.listen()
        except (OSError, ValueError) as error:
            log.error("%s", error)
            set_back(engine, before)
            raise cannot_listen(error, before) from None
    switched = before.get("appendonly", engine.options.appendonly) != engine.options.appendonly
    if switched and not engine.rewriter.switch(now=not in_transaction(client)):
        set_back(engine, before)
        raise config_failed("appendonly", "Unable to turn on AOF. Check server logs.")
    supported = (
        adjust_open_files_limit(engine.options.maxclients) if "maxclients" in before else engine.options.maxclients
    )
    if supported < engine.options.maxclients:
        set_back(engine, before)
        reason = "The operating system is not able to handle the specified number of clients, try with"
        raise config_failed("maxclients", f"{reason} {supported}")
    if "loglevel" in before:
        log.setLevel(LEVELS[engine.options.loglevel])
    if "requirepass" in before:
        engine.users.require_password(engine.options.requirepass)
    leave_expiry(engine)
    announce(engine.stores, engine.options.notify_keyspace_events)
    engine.slow_after = slow_after(engine.options)
    limit_packing(engine.options, engine.stores)
    engine.counters.calls.track(engine.options.latency_tracking == "yes")
    if {"maxmemory", "maxmemory_policy"} & before.keys():
        engine.eviction.forget_all()
        engine.eviction.counted()
    return "OK"


def where_to_listen(changed: Iterable[str]) -> list[str]:
    """Return the options that say where to listen, and with which certificates, of those that are changed."""
    return [name for name in changed if name in ("bind", "port") or name.startswith("tls_")]


def set_back(engine: Engine, before: dict[str, Any]) -> None:
    """Give options their old values again; listen where they say."""
    vars(engine.options).update(before)
    if where_to_listen(before):
        engine.listen()


def cannot_listen(error: Exception, changed: Iterable[str]) -> ReplyError:
    """The reply to a CONFIG SET of addresses, ports or certificates that cannot be used."""
    if isinstance(error, ValueError):
        name = next(name for name in changed if name.startswith("tls_"))
        return config_failed(name.replace("_", "-"), "Unable to update TLS configuration. Check server logs.")
    if "bind" in changed:
        return config_failed("bind", "Failed to bind to specified addresses.")
    return config_failed(
        "port" if "port" in changed else "tls-port", "Unable to listen on this port. Check server logs."
    )


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="config")
def config_resetstat(engine: Engine) -> Value:
    """CONFIG RESETSTAT: set the counters that INFO shows to zero."""
    engine.counters.reset()
    engine.latency.forks, engine.latency.last_fork = 0, 0.0
    engine.stores[0].unit.hits = engine.stores[0].unit.misses = 0
    return "OK"


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="config")
def config_rewrite(engine: Engine) -> Value:
    """CONFIG REWRITE: write the present options into the configuration file."""
    if not engine.options.config_file:
        raise ReplyError("ERR The server is running without a config file")
    try:
        config_file.rewrite(engine.options, () if engine.options.aclfile else map(definition, engine.users))
    except OSError as error:
        log.warning("CONFIG REWRITE failed: %s", error)
        raise ReplyError(f"ERR Rewriting config file: {error.strerror}") from None
    log.info("CONFIG REWRITE executed with success.")
    return "OK"


@command(LOADING, STALE, FAST, tips="nondeterministic_output")
def time_() -> Value:
    """TIME: answer with the Unix time: whole seconds, and the microseconds since the last of them."""
    seconds, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
    return [b"%d" % seconds, b"%d" % microseconds]


@command(ADMIN, NOSCRIPT, LOADING, STALE, NO_MULTI, ALLOW_BUSY)
@complexity("O(N) for N keys in all databases if it saves, else O(1)")
def shutdown(engine: Engine, client: Client, *options: bytes) -> Value:
    """SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]: stop the server, without a reply.

    First, unless NOW is given, writes wait, and replicas have `shutdown-timeout` seconds to execute the last changes;
    ABORT ends that. The log is flushed and fsynced. With SAVE, or if there are save points and no NOSAVE, a snapshot
    is written; if that fails, the server does not stop, unless FORCE is given.
    """
    args = {option.lower() for option in options}
    if args - {b"nosave", b"save", b"now", b"force", b"abort"} or {b"nosave", b"save"} <= args:
        raise syntax_error()
    if b"abort" in args:
        if len(args) > 1:
            raise syntax_error()
        engine.shutdown.abort()
        return "OK"
    if engine.scripts.busy:
        if b"nosave" not in args:
            raise engine.scripts.busy_error
        engine.stop()
        return NO_REPLY

    def begin() -> None:
        assert client.parked is not None
        engine.shutdown.parked.append(client.parked)
        save = False if b"nosave" in args else True if b"save" in args else None
        engine.shutdown.begin(save, now=b"now" in args, force=b"force" in args)

    return wait_outside(begin, NO_REPLY)


@command(ADMIN, NOSCRIPT, "no_async_loading", NO_MULTI)
@complexity("O(N) for N keys in all databases")
def save(engine: Engine) -> Value:
    """SAVE: write a snapshot; answer when it is complete."""
    if engine.snapshots.worker is not None:
        raise ReplyError("ERR Background save already in progress")
    if not engine.snapshots.save():
        raise ReplyError("ERR")
    return "OK"


@command(ADMIN, NOSCRIPT, "no_async_loading")
def bgsave(engine: Engine, client: Client, *options: bytes) -> Value:
    """BGSAVE [SCHEDULE]: start to write a snapshot in a child process; answer at once."""
    if options and [option.lower() for option in options] != [b"schedule"]:
        raise syntax_error()
    return engine.snapshots.ask(now=not in_transaction(client), schedule=bool(options))


@command(LOADING, STALE, FAST, IN_ADMIN, IN_DANGEROUS, tips="nondeterministic_output")
def lastsave(engine: Engine) -> Value:
    """LASTSAVE: answer with the Unix time of the last snapshot, or of the server's start."""
    return engine.snapshots.saved_at // 1000


@command(ADMIN, NOSCRIPT, "no_async_loading")
def bgrewriteaof(engine: Engine, client: Client) -> Value:
    """BGREWRITEAOF: start to rewrite the log in a child process; answer at once."""
    return engine.rewriter.ask(now=not in_transaction(client))


def in_transaction(client: Client) -> bool:
    """Return whether EXEC runs this command. If so, no child may be forked: it would have half of the transaction."""
    return client.last_command == "exec"
