"""DEBUG: what test tools want. Redis allows it only to who says `enable-debug-command`, and so does this."""

import time
from ipaddress import ip_address

from ..data.store import KINDS
from ..engine.client import Client
from ..engine.command import Server
from ..protocol.errors import debug_not_allowed, no_such_key, wrong_subcommand
from ..protocol.numeric import parse_float
from ..protocol.writer import Value

GUARDED = {b"sleep", b"object", b"set-active-expire"}


def allowed(server: Server, client: Client) -> bool:
    """Whether this client may use DEBUG: `yes` lets everyone, `local` those on this machine."""
    setting = server.options.enable_debug_command
    return setting == "yes" or (setting == "local" and is_local(client.address))


def is_local(address: str) -> bool:
    """Whether an address, host:port, is of this machine.

    >>> is_local("127.0.0.1:50000"), is_local("::1:50000"), is_local("10.0.0.7:50000")
    (True, True, False)
    """
    try:
        return ip_address(address.rpartition(":")[0]).is_loopback
    except ValueError:
        return False


def run(server: Server, client: Client, subcommand: bytes, arguments: tuple[bytes, ...]) -> Value:
    """Run one of the guarded subcommands.

    SLEEP seconds: do nothing, for anyone. OBJECT key: how a value is kept. SET-ACTIVE-EXPIRE 0 | 1: whether expired
    keys go by themselves, or only when someone finds them.
    """
    if not allowed(server, client):
        raise debug_not_allowed()
    match subcommand.lower(), *arguments:
        case b"sleep", seconds:
            time.sleep(max(parse_float(seconds) or 0.0, 0.0))
            return "OK"
        case b"object", key:
            value = client.db.peek(key)
            if value is None:
                raise no_such_key()
            return f"Value at:{id(value):#x} refcount:1 encoding:{KINDS[type(value)].encoding(value)}"
        case b"set-active-expire", setting:
            server.active_expire = setting not in (b"0", b"")
            return "OK"
    raise wrong_subcommand("DEBUG", subcommand)
