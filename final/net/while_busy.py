"""Serving by hand: while a script does not end, the event loop has no turn, but somebody has to say SCRIPT KILL.

Redis calls `processEventsWhileBlocked` then. An asyncio loop cannot be called from within itself, so what it would do
is done here without it, as far as it is needed: read what has come, have it answered, let new clients in. Only a
client whom the loop was just about to let in when the script began has to wait until it ends.
"""

import asyncio
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .connection import Connection
    from .server import Server

CHUNK = 1 << 16  # bytes read at once


class Guest(asyncio.Transport):
    """What stands in for the loop's transport for a client that came while the loop had no turn."""

    def __init__(self, guest: socket.socket) -> None:
        super().__init__({"socket": guest, "peername": guest.getpeername(), "sockname": guest.getsockname()})
        self.socket = guest
        self.closing = False

    def write(self, data: Any) -> None:
        """Send what can be sent: an answer that says that we are busy is short."""
        with suppress(OSError):
            self.socket.send(data)

    def close(self) -> None:
        """Hang up."""
        self.closing = True
        self.socket.close()

    def abort(self) -> None:
        """Hang up."""
        self.close()

    def get_write_buffer_size(self) -> int:
        """Nothing waits here."""
        return 0

    def pause_reading(self) -> None:
        """Nothing is read from it but by hand: see `ByHand.read`."""

    def resume_reading(self) -> None:
        """The same."""

    def is_closing(self) -> bool:
        """Whether that was done."""
        return self.closing


class ByHand:
    """Reads and answers without the loop, each time that it is told to `listen`."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.guests: dict[Guest, Connection] = {}

    def listen(self) -> None:
        """Answer what has come by now, from clients that were there and from new ones.

        Also send what was answered in this turn of the loop before the script began: nobody else will.
        """
        for door in self.server.doors:
            self.let_in(door.fileno())
        for connection in [*self.server.connections]:
            transport = connection.transport
            known = transport.socket if isinstance(transport, Guest) else transport.get_extra_info("socket")
            self.read(connection, known.fileno())
        self.server.before_sleep()

    def let_in(self, door: int) -> None:
        """Accept who waits at the door; the loop gets them when it has a turn again."""
        with suppress(OSError), socket.socket(fileno=os.dup(door)) as listening:
            while True:
                accepted, _ = listening.accept()
                accepted.setblocking(False)
                guest = Guest(accepted)
                connection = self.server.welcome()
                connection.connection_made(guest)
                self.guests[guest] = connection
                asyncio.get_running_loop().call_soon(self.hand_over, guest)

    def read(self, connection: "Connection", number: int) -> None:
        """Have answered what a client has sent. That it has gone is for the loop to find out."""
        if number < 0 or connection.working or not connection.attentive or connection.transport.is_closing():
            return
        with suppress(OSError):
            if data := os.read(number, CHUNK):
                connection.data_received(data)

    def hand_over(self, guest: Guest) -> None:
        """The loop has a turn: let it have the client."""
        connection = self.guests.pop(guest)
        if guest.is_closing():
            connection.connection_lost(None)
            return
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.connect_accepted_socket(lambda: connection, guest.socket))
        self.server.tasks.add(task)
        task.add_done_callback(self.server.tasks.discard)
