"""Where the server listens: addresses of this machine, with TLS or without it, and the path of a unix socket."""

import errno
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ..config.options import Options

BACKLOG = 511  # connections that may be pending while the event loop is busy (tcp-backlog)
EVERY = {"*": "0.0.0.0", "::*": "::"}  # how redis.conf names all addresses of this machine


class CannotListen(OSError):
    """Says where, and why."""


@dataclass(frozen=True)
class Endpoint:
    """One place to listen at."""

    host: str = ""  # as in the option `bind`; with a `-` before it, it need not be there
    port: int = 0  # 0: any free one, the same for all
    tls: bool = False
    path: str = ""  # of a unix socket, in place of host and port
    mode: int = 0  # its permissions; 0: as the umask says
    file: tuple[int, int] = field(default=(0, 0), compare=False)  # what identifies the socket's file, once it is there

    def __str__(self) -> str:
        return self.path or f"{self.host.removeprefix('-')}:{self.port}"


def endpoints(options: Options) -> list[Endpoint]:
    """Return where the options say to listen."""
    ports = [(port, tls) for port, tls in ((options.port, False), (options.tls_port, True)) if port]
    found = [Endpoint(host, port, tls) for port, tls in ports for host in hosts(options)]
    if options.unixsocket:
        found.append(Endpoint(path=options.unixsocket, mode=options.unixsocketperm))
    return found


def any_port(options: Options) -> list[Endpoint]:
    """Return where to listen if the options name no port and no path: at a free port of each address."""
    return [Endpoint(host) for host in hosts(options)]


def hosts(options: Options) -> list[str]:
    """Return the addresses in `bind`. Only spaces separate them, as in Redis."""
    return [host for host in options.bind.split(" ") if host]


Listening = dict[Endpoint, list[socket.socket]]  # where, with its port, and one socket for each address of the host


def listen_at_all(places: Iterable[Endpoint]) -> Listening:
    """Listen at all of these places. Raises CannotListen; then it listens at none of them."""
    opened: Listening = {}
    free = 0  # the port, if any will do
    try:
        for place in places:
            place = replace(place, port=place.port or free)
            try:
                for listening in listen_at(place):
                    free = place.port or (0 if place.path else listening.getsockname()[1])
                    place = replace(place, port=free, file=identity(place.path))
                    opened.setdefault(place, []).append(listening)
            except OSError as error:
                if not place.host.startswith("-") or error.errno == errno.EADDRINUSE:
                    raise CannotListen(f"cannot listen on {place}: {reason_of(error)}") from None
    except CannotListen:
        close_all(opened)
        raise
    return opened


def reason_of(error: OSError) -> str:
    """Return what the system calls an error; asyncio and `socket` add the address to that."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else error.strerror or str(error)  # negative: a name is not known


def close_all(listening: Listening) -> None:
    """Close the sockets."""
    for sockets in listening.values():
        for each in sockets:
            each.close()


def identity(path: str) -> tuple[int, int]:
    """Return what identifies the file with this path: its device and its inode; (0, 0) if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def remove_paths(listening: Iterable[Endpoint]) -> None:
    """Remove the files of unix sockets, but not one that another server has put in their place."""
    for place in listening:
        if place.path and identity(place.path) == place.file:
            with suppress(OSError):
                os.unlink(place.path)


def listen_at(place: Endpoint) -> Iterator[socket.socket]:
    """Yield a listening socket for each address of a place. Raises OSError."""
    if place.path:
        yield listen_on_path(place.path, place.mode)
        return
    host = place.host.removeprefix("-")
    for family, _, _, _, address in socket.getaddrinfo(EVERY.get(host, host), place.port, type=socket.SOCK_STREAM):
        listening = socket.create_server(address, family=family, backlog=BACKLOG)
        listening.setblocking(False)
        yield listening


def listen_on_path(path: str, mode: int) -> socket.socket:
    """Return a listening unix socket, with these permissions unless they are 0. Raises OSError.

    A file of that name is removed first, as in Redis: it is what a server has left that was killed.
    """
    with suppress(FileNotFoundError):
        os.unlink(path)
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(path)
        if mode:
            os.chmod(path, mode)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening
