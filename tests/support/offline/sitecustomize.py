"""Allows connections to this machine only. Python imports it at the start if its folder is on PYTHONPATH."""

import sys
from typing import Any


def stay_here(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse to resolve, or connect to, any address but the loopback."""
    host = None
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    name = host.decode() if isinstance(host, bytes) else host
    if name and name not in ("localhost", "0.0.0.0", "::1") and not name.startswith("127."):
        raise PermissionError(f"this must run offline, but connects to {host!r}")


sys.addaudithook(stay_here)
