"""Serving by hand: while a script does not end, the event loop has no turn, but somebody has to say SCRIPT KILL.

Redis calls `processEventsWhileBlocked` then. An asyncio loop cannot be called from within itself, so what it would do
is done here without it, as far as it is needed: read what has come, have it answered, let new clients in.
"""

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .connection import Connection
    from .server import Server
CHUNK = 1 << 16  # bytes read at once


class ByHand:
    """Reads and answers without the loop, each time that it is told to `listen`."""

    def __init__(self, server: "Server") -> None:
        self.server = server

    def listen(self) -> None:
        """Answer what has come by now, from clients that were there and from new ones.

        Also send what was answered in this iteration of the loop before the script began: nobody else will.
        """
        for listening in self.server.door.listening:
            self.server.door.accept(listening)
        self.server.catch_up()
        for connection in [*self.server.connections]:
            self.read(connection, connection.transport.get_extra_info("socket").fileno())
        self.server.before_sleep()

    def read(self, connection: "Connection", number: int) -> None:
        """Have answered what a client has sent, unless it has not yet taken what we sent. That it has gone is for the
        loop to find out.
        """
        transport = connection.transport
        if number < 0 or connection.working or transport.is_closing():
            return
        if not connection.attentive or transport.get_write_buffer_size():
            return
        with suppress(OSError):
            if data := os.read(number, CHUNK):
                try:
                    connection.data_received(data)
                except Exception:
                    connection.fail()
