"""Serving clients while a script does not end: the event loop has no iteration, but somebody has to say SCRIPT KILL.

Redis calls `processEventsWhileBlocked` then. An asyncio loop cannot be called from within itself, so what it would do
is done here without it, as far as it is needed: read what has come, have it answered, let new clients in.
"""

import os
from contextlib import suppress

from .before_sleep import Iteration
from .connection import CHUNK, Clients, Connection
from .door import Door


class WhileBusy:
    """Reads and answers without the event loop, each time that it is told to `listen`."""

    def __init__(self, iteration: Iteration, clients: Clients, door: Door) -> None:
        self.iteration = iteration
        self.clients = clients
        self.door = door

    def listen(self) -> None:
        """Answer what has come by now, from clients that were there and from new ones.

        Also send what was answered in this iteration of the loop before the script began: nobody else will.
        """
        for listening in self.door.listening:
            self.door.accept(listening)
        self.iteration.catch_up()
        for connection in [*self.clients.connections]:
            self.read(connection, connection.transport.get_extra_info("socket").fileno())
        self.iteration.before_sleep()

    def read(self, connection: Connection, number: int) -> None:
        """Have answered what a client has sent, unless it has not yet taken what we sent.

        That it has gone is for the loop to find out.
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
                except Exception as error:
                    connection.fail(error)
