"""Listens, and accepts clients, a few in each iteration of the event loop.

asyncio's `create_server` accepts all pending connections at once, and logs thousands of lines when no file descriptors
are left; uvloop does neither. So the event loop is only asked to say when a connection is pending, and to serve a
socket that is accepted here.
"""

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import suppress
from ssl import SSLContext
from time import monotonic
from typing import Any

from ..server_log import log
from .endpoints import CannotListen, Endpoint, Listening, close_all, listen_at_all
from .tls import Tls

ACCEPTS = 4  # connections accepted in one iteration of the event loop; only one while other clients wait for a turn
RETRY = 1  # seconds until the next attempt, after a connection could not be accepted


class AcceptedTransport(asyncio.Transport):
    """The transport of an accepted socket until the event loop serves it, two iterations later.

    While a script does not end there are no iterations: then `while_busy` serves the client with this one.
    """

    def __init__(self, accepted: socket.socket) -> None:
        """Raises OSError if the client has reset the connection already: then it has no address any more."""
        ends = {"peername": accepted.getpeername(), "sockname": accepted.getsockname()}
        if accepted.family == socket.AF_UNIX:
            ends["peername"] = ends["sockname"]  # a client has no path of its own
        super().__init__({"socket": accepted, **ends})
        self.socket = accepted
        self.unsent = bytearray()  # what the socket's buffer had no space for
        self.closing = False

    def write(self, data: Any) -> None:
        """Send as much as the socket takes, and keep the rest."""
        sent = 0
        if not self.unsent:
            with suppress(OSError):
                sent = self.socket.send(data)
        self.unsent += data[sent:]

    def close(self) -> None:
        """Shut the connection down. The event loop closes the socket, once it has it."""
        self.closing = True
        if not self.unsent:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)

    def abort(self) -> None:
        """Shut the connection down, and drop what is not sent."""
        self.unsent.clear()
        self.close()

    def hand_over(self, transport: asyncio.Transport) -> None:
        """The event loop serves the client now: let `transport` write the rest, and close it if this is closing."""
        if self.unsent:
            transport.write(bytes(self.unsent))
        if self.closing:
            transport.close()

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that are not sent."""
        return len(self.unsent)

    def pause_reading(self) -> None:
        """Do nothing: only `WhileBusy.read` reads from it."""

    def resume_reading(self) -> None:
        """Do nothing: only `WhileBusy.read` reads from it."""

    def is_closing(self) -> bool:
        """Return whether `close` was called."""
        return self.closing


class Listener:
    """The listening sockets. `connect` makes the protocol that serves an accepted connection, or None to refuse it.

    `waiting` holds the clients that wait for a turn: while there are any, fewer connections are accepted.
    """

    def __init__(self, connect: Callable[[asyncio.Transport], asyncio.Protocol | None], waiting: Sized) -> None:
        self.connect = connect
        self.waiting = waiting
        self.listening: Listening = {}
        self.context: SSLContext | None = None  # for connections with TLS
        self.tasks: set[asyncio.Task[None]] = set()  # the event loop itself keeps only weak references to them
        self.suspended_until = 0.0

    def open(self, places: Sequence[Endpoint]) -> None:
        """Listen at these places, and no longer elsewhere. Raises CannotListen; then it listens where it did before.

        Where it listens already it goes on, so that no pending connection is lost.
        """
        kept = {place: sockets for place, sockets in self.listening.items() if place in places}
        dropped = {place: sockets for place, sockets in self.listening.items() if place not in places}
        missing = [place for place in places if place not in kept]
        clash = {place.port for place in dropped} & {place.port for place in missing}  # 127.0.0.1, now all addresses
        self.forget(self.listening)
        if clash:
            close_all(dropped)
        try:
            added = listen_at_all(missing)
            if not (kept or added) and places:
                raise CannotListen(f"cannot listen on {places[0]}: Cannot assign requested address")
        except CannotListen:
            self.listening = kept
            self.listening = kept | (listen_at_all(dropped) if clash else dropped)
            raise
        else:
            close_all(dropped)
            self.listening = kept | added
        finally:
            self.watch()

    def first(self) -> Endpoint:
        """Return the first place where it listens, with its port."""
        return next(iter(self.listening))

    def sockets(self) -> Iterator[tuple[socket.socket, bool]]:
        """Yield the listening sockets, and whether their clients use TLS."""
        for place, sockets in self.listening.items():
            for each in sockets:
                yield each, place.tls

    def watch(self) -> None:
        """Have `accept` called when a connection is pending."""
        for each, tls in self.sockets():
            asyncio.get_running_loop().add_reader(each, self.accept, each, tls)

    def forget(self, listening: Listening) -> None:
        """Have `accept` called for these sockets no longer."""
        for sockets in listening.values():
            for each in sockets:
                asyncio.get_running_loop().remove_reader(each)

    def close(self) -> None:
        """Stop listening."""
        self.forget(self.listening)
        close_all(self.listening)
        self.listening = {}

    def accept(self, listening: socket.socket, tls: bool = False) -> None:
        """Accept a few pending connections. The others wait for the next iteration, so that clients are served between.

        If one cannot be accepted, for example because no file descriptors are left, none is for RETRY seconds.
        Redis tries again at once, and logs a line each time.
        """
        for _ in range(0 if monotonic() < self.suspended_until else 1 if self.waiting else ACCEPTS):
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return  # none is pending, or the client has closed it
            except OSError as error:
                log.warning("cannot accept clients: %s", error.strerror)
                self.suspend()
                return
            self.start(accepted, tls)

    def suspend(self) -> None:
        """Accept nothing for RETRY seconds."""
        self.suspended_until = monotonic() + RETRY
        self.forget(self.listening)
        asyncio.get_running_loop().call_later(RETRY, self.watch)

    def start(self, accepted: socket.socket, tls: bool) -> None:
        """Make the protocol for an accepted socket and have the event loop serve it, or close the socket."""
        protocol, secure = None, None
        with suppress(OSError):  # the client has closed the connection already
            accepted.setblocking(False)
            if accepted.family != socket.AF_UNIX:
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a reply may wait 40 ms for an ACK
            transport = AcceptedTransport(accepted)
            secure = Tls(transport, self.context) if tls and self.context is not None else None
            protocol = self.connect(secure or transport)
        if protocol is None:
            accepted.close()
            return
        if secure is not None:
            secure.begin(protocol)
            protocol = secure
        task = asyncio.get_running_loop().create_task(serve(protocol, transport))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


async def serve(protocol: asyncio.BaseProtocol, accepted: AcceptedTransport) -> None:
    """Have the event loop serve an accepted connection by this protocol. If it cannot, the connection is lost."""
    try:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, accepted.socket)
    except Exception as error:
        log.warning("cannot serve a client: %s", error)
        accepted.socket.close()
        protocol.connection_lost(error)


def keep_alive(connected: socket.socket, seconds: int) -> None:
    """Have the system probe a connection after `seconds` of silence (tcp-keepalive); 0: never."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(seconds > 0))
    if connected.family != socket.AF_UNIX and seconds and hasattr(socket, "TCP_KEEPIDLE"):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, min(seconds, 32767))


def format_address(address: Any) -> str:
    """Format a socket's address as Redis does (`anetFormatAddr`).

    >>> format_address(("127.0.0.1", 6379)), format_address(("::1", 6379, 0, 0)), format_address("/run/redis.sock")
    ('127.0.0.1:6379', '[::1]:6379', '/run/redis.sock:0')
    """
    if isinstance(address, str):
        return f"{address}:0"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
