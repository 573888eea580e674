"""TLS between a socket and the connection that it serves: encrypted bytes below, plain ones above.

Both event loops have TLS of their own. It is done here instead, by the standard library's `SSLObject`, because while a
script does not end, `while_busy` reads from sockets without the event loop; and so TLS is the same with both loops.
"""

import asyncio
import ssl
from contextlib import suppress
from typing import Any

from ..server_log import VERBOSE, log

HANDSHAKE = 10  # seconds that a client has for the handshake
CHUNK = 64 * 1024  # bytes that are read, decrypted and encrypted at once


class Tls(asyncio.Transport, asyncio.Protocol):
    """For the event loop, the protocol of a socket; for a `Connection`, the transport. No method blocks."""

    def __init__(self, below: asyncio.Transport, context: ssl.SSLContext) -> None:
        super().__init__()
        self.below = below
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()  # encrypted bytes
        self.object = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.above = asyncio.Protocol()  # the connection, from `begin` on
        self.timer: asyncio.TimerHandle | None = None
        self.ready = False  # the handshake is over
        self.reading = True  # the connection wants to read
        self.choked = False  # `below` holds many bytes that the client has not read
        self.closing = False
        self.ended = False  # the client will send no more
        self.unsent = bytearray()  # plain bytes that wait for the handshake, or for the client to read

    def begin(self, above: asyncio.Protocol) -> None:
        """Serve a connection, which is lost if the client takes too long for the handshake."""
        self.above = above
        self.timer = asyncio.get_running_loop().call_later(HANDSHAKE, self.fail, "the handshake takes too long")

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Use `transport`, which the event loop has made for the client, in place of the accepted one."""
        accepted, self.below = self.below, transport  # type: ignore[assignment]  # uvloop's is no asyncio.Transport
        if hasattr(transport, "max_size"):  # asyncio's own reads 256 KiB at once
            transport.max_size = CHUNK
        if not self.reading:
            self.below.pause_reading()
        accepted.hand_over(self.below)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """The client has sent encrypted bytes; b"": perhaps some of earlier chunks are left."""
        self.incoming.write(data)
        self.pump()

    def eof_received(self) -> bool:
        """The client has sent EOF. Return True: replies are still written."""
        self.incoming.write_eof()
        self.pump()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self.closing = True
        self.unsent.clear()
        if self.timer is not None:
            self.timer.cancel()
        self.above.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read."""
        self.choked = True
        self.above.pause_writing()

    def resume_writing(self) -> None:
        """It has read."""
        self.choked = False
        self.drain()
        if not self.choked:
            self.above.resume_writing()

    # In between

    def pump(self) -> None:
        """Hand on what the client has sent, until the connection does not want to read, or nothing is left."""
        try:
            if not self.ready and not self.closing:
                self.object.do_handshake()
                self.ready = True
                if self.timer is not None:
                    self.timer.cancel()
                self.drain()
            while self.reading and not (self.closing or self.ended):
                if data := self.decrypt():
                    self.above.data_received(data)
                else:
                    self.ended = True
                    self.above.eof_received()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.fail((error.reason or str(error)).replace("_", " ").lower())
        self.flush()

    def decrypt(self) -> bytes:
        """Return up to CHUNK plain bytes; b"" at EOF. Raises SSLWantReadError if there are none yet, and SSLError."""
        data = b""
        try:
            while len(data) < CHUNK:
                more = self.object.read(CHUNK - len(data))
                if not more:
                    break
                data = data + more if data else more
        except ssl.SSLEOFError:
            pass
        except ssl.SSLError:
            if not data:  # else it is raised again the next time
                raise
        return data

    def drain(self) -> None:
        """Encrypt and send what waits, as long as the client reads; then close, if that is due."""
        try:
            while self.unsent and self.ready and not self.choked:
                self.object.write(self.unsent[:CHUNK])
                del self.unsent[:CHUNK]
                self.flush()
        except ssl.SSLError as error:
            self.fail(str(error))
        if self.closing and not self.unsent:
            self.shut()

    def flush(self) -> None:
        """Send what is encrypted."""
        if self.outgoing.pending:
            self.below.write(self.outgoing.read())

    def shut(self) -> None:
        """Tell the client that nothing more comes, and close."""
        if self.ready:
            with suppress(ssl.SSLError):  # also SSLWantReadError: the answer is not awaited
                self.object.unwrap()
            self.flush()
        self.below.close()

    def fail(self, reason: str) -> None:
        """End the connection, as what the client has sent is no TLS, or not allowed; OpenSSL may have said why."""
        if self.ready:
            log.log(VERBOSE, "Error reading from a client: %s", reason)
        else:
            log.warning("Error accepting a client connection: %s", reason)
        self.closing = True
        self.unsent.clear()
        self.flush()
        self.below.close()

    # What the connection calls

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the transport below knows of the socket."""
        return self.below.get_extra_info(name, default)

    def write(self, data: Any) -> None:
        """Send these bytes, once the handshake is over and the client reads."""
        if not self.closing:
            self.unsent += data
            self.drain()

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that are not sent."""
        return len(self.unsent) + self.below.get_write_buffer_size()

    def pause_reading(self) -> None:
        """Hand nothing on, and read nothing from the socket."""
        self.reading = False
        self.below.pause_reading()

    def resume_reading(self) -> None:
        """Go on, also with what is left of earlier chunks."""
        self.reading = True
        self.below.resume_reading()
        asyncio.get_running_loop().call_soon(self.pump)

    def is_closing(self) -> bool:
        """Return whether the connection is closed, or will be once all is sent."""
        return self.closing or self.below.is_closing()

    def close(self) -> None:
        """Close the connection once all is sent."""
        if not self.closing:
            self.closing = True
            self.drain()

    def abort(self) -> None:
        """Close the connection at once."""
        self.closing = True
        self.unsent.clear()
        self.below.abort()
