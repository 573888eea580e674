"""Connections that the server itself opens, to other servers. What is said there is the conversation's affair."""

import asyncio
import os
import ssl

from ..replication.outgoing import TIMED_OUT, Conversation
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
        self.silence = 0  # milliseconds without a byte, after which the connection is ended
        self.moved = 0  # when a byte has last come or gone, by the steady clock, in milliseconds
        self.waited = 0  # how many bytes waited to be sent when that was last checked
        self.timer: asyncio.TimerHandle | None = None  # checks it

    async def open(self, host: str, port: int, timeout: float, tls: ssl.SSLContext | None = None) -> None:
        """Connect within `timeout` seconds, perhaps with TLS, or end the conversation with the reason."""
        try:
            if port < 0:
                raise ValueError("a negative port")  # uvloop would add 65536
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().create_connection(lambda: self, host, port, ssl=tls)
        except TimeoutError:
            self.end(TIMED_OUT)
        except OSError as error:
            self.end(reason_of(error))
        except (ValueError, OverflowError) as error:  # no name of a host, or no port
            self.end(str(error))

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
        self.moved = self.iteration.engine.steady()
        if self.conversation is not None:
            if self.conversation is self.iteration.engine.replica:
                self.iteration.engine.counters.replica_input += len(data)
            try:
                self.conversation.received(data)
            except Exception as error:
                self.fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side has closed the connection, or it broke."""
        self.end(reason_of(exc) if exc else "the connection was closed")

    def end(self, reason: str) -> None:
        """Tell the conversation, once, that there is no connection."""
        self.limit_silence(0)
        conversation, self.conversation = self.conversation, None
        if conversation is not None:
            self.iteration.send_soon(self)
            conversation.closed(reason)

    @property
    def unsent(self) -> int:
        """The number of bytes that the other server has not taken yet."""
        return len(self.output) + (self.transport.get_write_buffer_size() if self.transport is not None else 0)

    def write(self, data: bytes) -> None:
        """Send these bytes at the end of this iteration."""
        self.output += data
        self.iteration.send_soon(self)

    def close(self) -> None:
        """Close the connection at once, without a word to the conversation."""
        self.limit_silence(0)
        self.conversation = None
        self.output.clear()
        if self.transport is not None:
            self.transport.abort()

    def send(self) -> None:
        """Write what waited for the log."""
        if self.output and self.transport is not None and not self.transport.is_closing():
            self.transport.write(self.output)
        self.output = bytearray()

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

    def limit_silence(self, milliseconds: int) -> None:
        """End the connection when for so long nothing comes, and nothing goes that waited to be sent; 0: never."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if milliseconds and self.conversation is not None:
            self.silence, self.moved, self.waited = milliseconds, self.iteration.engine.steady(), self.unsent
            self.timer = asyncio.get_running_loop().call_later(milliseconds / 1000, self.check_silence)

    def check_silence(self) -> None:
        """End the connection if nothing has moved for too long; else look again when that may be so."""
        now = self.iteration.engine.steady()
        if self.unsent < self.waited:
            self.moved = now
        self.waited = self.unsent
        left = self.moved + self.silence - now
        if left > 0:
            self.timer = asyncio.get_running_loop().call_later(left / 1000, self.check_silence)
        else:
            self.end(TIMED_OUT)
            self.close()

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
    """Return what the system, or OpenSSL, calls an error."""
    if isinstance(error, ssl.SSLError):
        return str(error)
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number and number > 0 else str(error)  # negative: the name of a host is not known
