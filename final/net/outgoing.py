"""Connections that the server itself opens, to other servers. What is said there is the conversation's affair."""

import asyncio
import os

from ..replication.outgoing import Conversation
from ..server_log import log
from .before_sleep import Iteration


class Outgoing(asyncio.Protocol):
    """A connection to another server. Its output is written after the log is flushed, like replies to clients.

    An exception that the conversation does not expect closes the connection, or ends the server: `Faults` decides.
    """

    def __init__(self, iteration: Iteration, conversation: Conversation) -> None:
        self.iteration = iteration
        self.conversation: Conversation | None = conversation  # None: it is over
        self.transport: asyncio.Transport | None = None
        self.output = bytearray()

    async def open(self, host: str, port: int, timeout: float) -> None:
        """Connect within `timeout` seconds, or end the conversation with the reason."""
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().create_connection(lambda: self, host, port)
        except TimeoutError:
            self.end("timed out")
        except OSError as error:
            self.end(reason_of(error))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the conversation."""
        self.transport = transport  # type: ignore[assignment]  # uvloop's is no asyncio.Transport
        if self.conversation is not None:
            try:
                self.conversation.opened(self)
            except Exception as error:
                self.fail(error)

    def data_received(self, data: bytes) -> None:
        """Hand over what has come. The iteration ends as after requests: the log is flushed."""
        self.iteration.send_soon(self)
        if self.conversation is not None:
            try:
                self.conversation.received(data)
            except Exception as error:
                self.fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side has closed the connection, or it broke."""
        self.end(reason_of(exc) if exc else "the connection was closed")

    def end(self, reason: str) -> None:
        """Tell the conversation, once, that there is no connection."""
        conversation, self.conversation = self.conversation, None
        if conversation is not None:
            self.iteration.send_soon(self)
            conversation.closed(reason)

    def write(self, data: bytes) -> None:
        """Send these bytes at the end of this iteration."""
        self.output += data
        self.iteration.send_soon(self)

    def close(self) -> None:
        """Close the connection at once, without a word to the conversation."""
        self.conversation = None
        self.output.clear()
        if self.transport is not None:
            self.transport.abort()

    def send(self) -> None:
        """Write what waited for the log."""
        if self.output and self.transport is not None and not self.transport.is_closing():
            self.transport.write(bytes(self.output))
        self.output.clear()

    def again(self) -> None:
        """Let the conversation go on in a later iteration, and read nothing before."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()
            self.iteration.wait_for_turn(self)

    def take_turn(self) -> None:
        """It is the turn of a conversation that has asked for it."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()
            self.data_received(b"")

    def fail(self, error: Exception) -> None:
        """Close the connection after an unexpected error."""
        self.iteration.engine.faults.in_request(error)
        log.error("the connection to another server is closed: it has failed", exc_info=error)
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connection, and say so to the conversation."""
        self.end("it has failed")
        self.close()


def reason_of(error: Exception) -> str:
    """Return what the system calls an error."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number and number > 0 else str(error)  # negative: the name of a host is not known
