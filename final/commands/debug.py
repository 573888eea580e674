"""DEBUG: a reply of each RESP type, and what test tools need.

As in Redis, `enable-debug-command` says which clients may use the latter.
"""

import time
from collections import deque
from ipaddress import ip_address
from typing import Any

from ..data.kinds import KINDS
from ..data.packing import LIMITS
from ..engine.client import Client
from ..engine.command import ADMIN, COMMANDS, LOADING, NOSCRIPT, STALE, SYSTEM
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..log.rdb import write
from ..protocol.errors import ReplyError, debug_not_allowed, no_such_key, wrong_subcommand
from ..protocol.numeric import parse_float
from ..protocol.writer import Attributed, BigNumber, Push, Replies, Value, Verbatim
from .command_help import help_about
from .debug_tools import TOOLS, run_tool
from .objects import references

BESIDE_VALUE = 11  # bytes in a dump: type, version, checksum
EXAMPLES: dict[bytes, Value] = {  # one value of each RESP type, as `DEBUG PROTOCOL` of Redis shows them
    b"string": b"Hello World",
    b"integer": 12345,
    b"double": 3.141,
    b"bignum": BigNumber(1234567999999999999999999999999999999),
    b"null": None,
    b"array": [0, 1, 2],
    b"set": {0, 1, 2},
    b"map": {0: False, 1: True, 2: False},
    b"attrib": Attributed(b"Some real reply following the attribute", {b"key-popularity": [b"key:123", 90]}),
    b"push": Replies([Push([b"server-cpu-usage", 42]), b"Some real reply following the push reply"]),
    b"verbatim": Verbatim(b"This is a verbatim\nstring"),
    b"true": True,
    b"false": False,
}


@command(ADMIN, NOSCRIPT, LOADING, STALE, SYSTEM)
@complexity("Depends on the subcommand.")
def debug(engine: Engine, client: Client, subcommand: bytes, *arguments: bytes) -> Value:
    """DEBUG PROTOCOL type: answer with a reply of the RESP type that `type` names, from EXAMPLES.

    Unlike Redis, this server allows it to every client: learners compare their stage with it. For the other subcommands
    see `run_guarded`. Raises ReplyError for an unknown subcommand or type, and for `push` in RESP2.
    """
    if subcommand.lower() != b"protocol":
        return run_guarded(engine, client, subcommand, arguments)
    if len(arguments) != 1:
        raise wrong_subcommand("DEBUG", subcommand)
    kind = arguments[0].lower()
    if kind not in EXAMPLES:
        raise ReplyError(
            "ERR Wrong protocol type name. Please use one of the following: "
            "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false"
        )
    if kind == b"push" and client.protocol < 3:
        raise ReplyError("ERR RESP2 is not supported by this command")
    return EXAMPLES[kind]


def allowed(engine: Engine, client: Client) -> bool:
    """Return whether this client may use the guarded subcommands: `yes` allows all clients, `local` loopback ones."""
    setting = engine.options.enable_debug_command
    return setting == "yes" or (setting == "local" and is_local(client.address))


def is_local(address: str) -> bool:
    """Return whether an address, `host:port`, is a loopback address.

    >>> is_local("127.0.0.1:50000"), is_local("::1:50000"), is_local("10.0.0.7:50000")
    (True, True, False)
    """
    try:
        return ip_address(address.rpartition(":")[0]).is_loopback
    except ValueError:
        return False


def about_nodes(value: Any) -> str:
    """Return what DEBUG OBJECT says of a list beside the rest; "" for other types."""
    if not isinstance(value, deque):
        return ""
    nodes = [len(item) for item in KINDS[deque].rdb(value, None)[1] if type(item) is bytes]
    average, most = len(value) / len(nodes), LIMITS.list_max_listpack_size
    return (
        f" ql_nodes:{len(nodes)} ql_avg_node:{average:.2f} ql_listpack_max:{most} ql_compressed:0 "
        f"ql_uncompressed_size:{sum(nodes)}"
    )


def run_guarded(engine: Engine, client: Client, subcommand: bytes, arguments: tuple[bytes, ...]) -> Value:
    """Run a subcommand that `enable-debug-command` must allow.

    SLEEP seconds blocks the whole server. OBJECT key tells how a value is kept. SET-ACTIVE-EXPIRE 0 | 1
    turns the active expiry off or on; while it is off, keys expire only on access. ERROR text answers with this error,
    which no counter notes: client libraries test with it what they do about LOADING or READONLY.
    """
    if not allowed(engine, client):
        raise debug_not_allowed()
    if subcommand.lower() in TOOLS:
        return run_tool(engine, client.db, subcommand, arguments)
    match subcommand.lower(), *arguments:
        case (b"help",):
            return help_about(COMMANDS[b"debug"])
        case b"sleep", seconds:
            time.sleep(max(parse_float(seconds) or 0.0, 0.0))
            return "OK"
        case b"object", key:
            value = client.db.peek(key)
            if value is None:
                raise no_such_key()
            compressed, remembered = engine.options.rdbcompression == "yes", client.db.remembered(key)
            length = len(write.dump(value, compressed, remembered)) - BESIDE_VALUE
            used = client.db.used(key, now := engine.steady())
            return (
                f"Value at:{id(value):#x} refcount:{references(engine, client.db, key)} "
                f"encoding:{client.db.encoding(key)} serializedlength:{length} lru:{used // 1000 % 2**24} "
                f"lru_seconds_idle:{(now - used) // 1000}{about_nodes(value)}"
            )
        case b"set-active-expire", setting:
            engine.active_expire = setting not in (b"0", b"")
            return "OK"
        case b"error", text:
            return ReplyError(text.decode(errors="surrogateescape"))
    raise wrong_subcommand("DEBUG", subcommand)
