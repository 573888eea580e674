"""The door: where the server listens, and how clients come in, a few in each iteration of the event loop.

With asyncio's loop, `create_server` accepts all who wait at once, and writes thousands of lines when there are no file
descriptors left; with uvloop it does neither. So the loop is only asked to say when somebody waits, and to serve a
socket that we have accepted.
"""

import asyncio
import socket
from collections.abc import Callable, Sized
from contextlib import suppress
from time import monotonic
from typing import Any

from ..server_log import log

BACKLOG = 511  # clients who may wait at the door while the loop is busy (tcp-backlog)
A_FEW = 4  # clients who are let in, in one iteration of the event loop; only one while others wait for their turn
REST = 1  # seconds without a new client, after one could not be accepted


class Guest(asyncio.Transport):
    """What stands in for the loop's transport until the loop serves the client, two iterations after it came.

    While a script does not end there are no iterations: then clients are served with this one, by hand.
    """

    def __init__(self, accepted: socket.socket) -> None:
        """Raises OSError where the client has reset its connection already: then it has no address any more."""
        ends = {"peername": accepted.getpeername(), "sockname": accepted.getsockname()}
        super().__init__({"socket": accepted, **ends})
        self.socket = accepted
        self.unsent = bytearray()  # what the client did not take yet
        self.closing = False

    def write(self, data: Any) -> None:
        """Send what can be sent, and keep the rest."""
        sent = 0
        if not self.unsent:
            with suppress(OSError):
                sent = self.socket.send(data)
        self.unsent += data[sent:]

    def close(self) -> None:
        """Hang up. The socket itself stays open until the loop has it."""
        self.closing = True
        if not self.unsent:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)

    def abort(self) -> None:
        """Hang up, whatever the client has still to read."""
        self.unsent.clear()
        self.close()

    def hand_over(self, transport: asyncio.Transport) -> None:
        """The loop serves the client: do with its transport what could not be done by hand."""
        if self.unsent:
            transport.write(bytes(self.unsent))
        if self.closing:
            transport.close()

    def get_write_buffer_size(self) -> int:
        """How many bytes the client did not take yet."""
        return len(self.unsent)

    def pause_reading(self) -> None:
        """Nothing is read from it but by hand: see `ByHand.read`."""

    def resume_reading(self) -> None:
        """The same."""

    def is_closing(self) -> bool:
        """Whether we have hung up."""
        return self.closing


class Door:
    """Listens, and lets in. `welcome` makes the protocol that serves a guest, or None: it was turned away.

    `behind` holds those who are in and wait for their turn: as long as there are any, fewer are let in.
    """

    def __init__(self, welcome: Callable[[Guest], asyncio.BaseProtocol | None], behind: Sized) -> None:
        self.welcome = welcome
        self.behind = behind
        self.listening: list[socket.socket] = []
        self.tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps no more than weak references to them
        self.resting_until = 0.0

    def open(self, host: str, port: int) -> tuple[str, int]:
        """Listen on every address that `host` stands for, and tell the first one. Raises OSError."""
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            listening = socket.create_server(address, family=family, backlog=BACKLOG)
            listening.setblocking(False)
            self.listening.append(listening)
        self.watch()
        found: tuple[str, int] = self.listening[0].getsockname()[:2]
        return found

    def watch(self) -> None:
        """Have `accept` called when somebody waits."""
        for each in self.listening:
            asyncio.get_running_loop().add_reader(each, self.accept, each)

    def close(self) -> None:
        """Listen no more."""
        for each in self.listening:
            asyncio.get_running_loop().remove_reader(each)
            each.close()
        self.listening.clear()

    def accept(self, listening: socket.socket) -> None:
        """Let in some who wait. The others wait for the next iteration: work for those who are in comes between.

        Where one cannot be accepted, because there are no file descriptors left for example, nobody is for some
        time. Redis tries again at once, with a line in its log each time, until there are.
        """
        for _ in range(0 if monotonic() < self.resting_until else 1 if self.behind else A_FEW):
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return  # nobody waits, or who did has gone
            except OSError as error:
                log.warning("cannot accept clients: %s", error.strerror)
                self.rest()
                return
            self.let_in(accepted)

    def rest(self) -> None:
        """Let in nobody for some time."""
        self.resting_until = monotonic() + REST
        loop = asyncio.get_running_loop()
        for each in self.listening:
            loop.remove_reader(each)
        loop.call_later(REST, self.watch)

    def let_in(self, accepted: socket.socket) -> None:
        """Welcome a client, and have the loop serve it. One that has gone by now is nobody, and costs little."""
        protocol = None
        with suppress(OSError):  # it has gone
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a reply may wait for an ACK, 40 ms
            guest = Guest(accepted)
            protocol = self.welcome(guest)
        if protocol is None:
            accepted.close()
            return
        task = asyncio.get_running_loop().create_task(serve(protocol, guest))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


async def serve(protocol: asyncio.BaseProtocol, guest: Guest) -> None:
    """Have the loop serve a guest, by this protocol; where it cannot, the connection is lost."""
    try:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, guest.socket)
    except Exception as error:
        log.warning("cannot serve a client: %s", error)
        guest.socket.close()
        protocol.connection_lost(error)


def shown(address: Any) -> str:
    """An address as Redis shows it.

    >>> shown(("127.0.0.1", 6379)), shown(("::1", 6379, 0, 0))
    ('127.0.0.1:6379', '[::1]:6379')
    """
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
