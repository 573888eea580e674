"""Tells systemd that the server is ready, and that it stops: the option `supervised`, for a unit with Type=notify."""

import os
import re
import socket

from ..server_log import log


def tell(supervised: str, *states: str) -> None:
    """Send lines such as READY=1 to the socket that systemd names in NOTIFY_SOCKET (sd_notify(3)). Never raises.

    `supervised` is the value of the option: systemd, or auto, which means systemd if it names a socket, or others.
    """
    address = re.sub("^@", "\0", os.environ.get("NOTIFY_SOCKET", ""))
    if supervised in ("no", "upstart") or (supervised == "auto" and not address):
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.settimeout(1)
            notify.sendto("\n".join(states).encode(), address)
    except OSError as error:
        log.warning("cannot tell systemd %s: %s", states[0], error if address else "NOTIFY_SOCKET not found")
