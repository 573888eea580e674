"""Commands for who runs the server: options, the time, how it is doing, and its end."""

import os
import platform
import sys
import time
from collections.abc import Callable

from ..client import Client
from ..command import ADMIN, ALLOW_BUSY, FAST, LOADING, NO_MULTI, NOSCRIPT, STALE, Server, command
from ..errors import ReplyError, syntax_error, unknown_subcommand
from ..options import config_failed
from ..pattern import matcher
from ..writer import Replies, Value, Verbatim
from .connection import VERSION
from .persistence import in_transaction


@command()
def config(subcommand: bytes, *arguments: bytes) -> Value:
    """CONFIG subcommand [argument ...]: the server's options. See the subcommands below."""
    raise unknown_subcommand("CONFIG", subcommand)


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="config")
def config_get(server: Server, parameter: bytes, *parameters: bytes) -> Value:
    """CONFIG GET parameter [parameter ...]: answer with the options that the patterns match, and their values."""
    names = [name.replace("_", "-").encode() for name in vars(server.options)]
    found = {}
    for pattern in (parameter, *parameters):
        if pattern.lower() in names:
            found[pattern] = server.options.get(pattern.lower().decode())
        else:
            found |= {name: server.options.get(name.decode()) for name in filter(matcher(pattern.lower()), names)}
    return found


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="config")
def config_set(server: Server, client: Client, parameter: bytes, value: bytes, *more: bytes) -> Value:
    """CONFIG SET parameter value [parameter value ...]: change options: all of them, or, after an error, none."""
    words = [word.decode(errors="surrogateescape") for word in (parameter, value, *more)]
    if len(words) % 2:
        raise syntax_error()
    before = server.options.set(list(zip(words[::2], words[1::2], strict=True)))
    switched = before.get("appendonly", server.options.appendonly) != server.options.appendonly
    if switched and not server.rewriter.switch(now=not in_transaction(client)):
        vars(server.options).update(before)
        raise config_failed("appendonly", "Unable to turn on AOF. Check server logs.")
    return "OK"


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="config")
def config_resetstat(server: Server) -> Value:
    """CONFIG RESETSTAT: count from zero again what INFO counts."""
    server.commands_processed = server.connections_received = 0
    return "OK"


@command(LOADING, STALE, FAST)
def time_() -> Value:
    """TIME: answer with the Unix time: seconds, and the microseconds of the present one."""
    seconds, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
    return [b"%d" % seconds, b"%d" % microseconds]


@command(LOADING, STALE)
def info(server: Server, *sections: bytes) -> Value:
    """INFO [section ...]: answer with how the server is doing, as text: `# Section`, and `field:value` in lines."""
    wanted = {section.lower().decode(errors="replace") for section in sections}
    everything = not wanted or wanted & {"all", "default", "everything"}
    parts = [
        f"# {name}\r\n" + "".join(f"{field}:{value}\r\n" for field, value in fields(server).items())
        for name, fields in SECTIONS.items()
        if everything or name.lower() in wanted
    ]
    return Verbatim("\r\n".join(parts).encode())


def about_server(server: Server) -> dict[str, object]:
    """What is running, where, since when."""
    uptime = (server.stores[0].unit.now - server.started) // 1000
    return {
        "redis_version": VERSION.decode(),
        "redis_mode": "standalone",
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "arch_bits": 64 if sys.maxsize > 2**32 else 32,
        "python_version": platform.python_version(),
        "process_id": os.getpid(),
        "tcp_port": server.options.port,
        "uptime_in_seconds": uptime,
        "uptime_in_days": uptime // 86400,
    }


def about_keyspace(server: Server) -> dict[str, object]:
    """How many keys each database holds, and how many of them have a deadline."""
    return {
        f"db{each.index}": f"keys={len(each)},expires={each.deadlines},avg_ttl=0" for each in server.stores if len(each)
    }


SECTIONS: dict[str, Callable[[Server], dict[str, object]]] = {
    "Server": about_server,
    "Clients": lambda server: {"connected_clients": len(server.clients)},
    "Persistence": lambda server: {"loading": 0, **server.rewriter.state()},
    "Stats": lambda server: {
        "total_connections_received": server.connections_received,
        "total_commands_processed": server.commands_processed,
    },
    "Replication": lambda server: {"role": "master", "connected_slaves": 0},
    "Cluster": lambda server: {"cluster_enabled": 0},
    "Keyspace": about_keyspace,
}


@command(ADMIN, NOSCRIPT, LOADING, STALE, NO_MULTI, ALLOW_BUSY)
def shutdown(server: Server, *options: bytes) -> Value:
    """SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]: stop the server, the log in good order. No answer."""
    words = {option.lower() for option in options}
    if words - {b"nosave", b"save", b"now", b"force", b"abort"} or {b"nosave", b"save"} <= words:
        raise syntax_error()
    if b"abort" in words:
        raise syntax_error() if len(words) > 1 else ReplyError("ERR No shutdown in progress.")
    server.stop()
    return Replies()
