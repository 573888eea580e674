"""Serves clients while a script does not end, so that one of them can send SCRIPT KILL.

Redis calls `processEventsWhileBlocked` then. An asyncio event loop cannot be run from within itself, so the necessary
part of an iteration is done here without it: read what has come, have it answered, accept new clients.
"""

import os
from contextlib import suppress

from .before_sleep import Iteration
from .connection import Connection
from .connection_state import RUNNING
from .listener import Listener
from .sending import CHUNK
from .tls import Tls


class WhileBusy:
    """Reads and answers without the event loop, each time that `serve` is called."""

    def __init__(self, iteration: Iteration, connections: set[Connection], listener: Listener) -> None:
        self.iteration = iteration
        self.connections = connections
        self.listener = listener

    def serve(self) -> None:
        """Answer what old and new clients have sent by now.

        Also send the replies of this iteration from before the script: the event loop cannot do it. But those of an
        EXEC that the script is part of wait, because they answer requests that are not in the log yet.
        """
        for listening, tls in self.listener.sockets():
            self.listener.accept(listening, tls)
        self.iteration.serve_queue()
        for connection in [*self.connections]:
            self.read(connection, connection.transport.get_extra_info("socket").fileno())
        held = [each for each in self.iteration.unsent if isinstance(each, Connection) and each.state is RUNNING]
        for each in held:
            del self.iteration.unsent[each]
        self.iteration.before_sleep()
        for each in held:
            self.iteration.send_soon(each)

    def read(self, connection: Connection, descriptor: int) -> None:
        """Read one chunk from a client and have it answered, unless output still waits for the client to read it.

        EOF is left for the event loop to find.
        """
        transport = connection.transport
        if descriptor < 0 or connection.state is RUNNING or transport.is_closing():
            return
        if not connection.should_read or transport.get_write_buffer_size():
            return
        receiver, data = transport if isinstance(transport, Tls) else connection, b""
        with suppress(OSError):
            data = os.read(descriptor, CHUNK)
        if data or receiver is transport:  # which may have something left of earlier chunks
            try:
                receiver.data_received(data)
            except Exception as error:
                connection.fail(error)
