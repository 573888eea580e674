"""The server: many clients at once, each request answered in order. It knows sockets; not RESP, not commands."""

import argparse
import asyncio
import itertools
import signal
import sys

from client import Client
from commands import execute
from reader import ProtocolError, Reader
from writer import encode


class Connection(asyncio.Protocol):
    """One client's connection. The event loop calls these methods; none of them ever waits."""

    transport: asyncio.Transport

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.client = Client(id=next(server.client_ids))
        self.reader = Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected: keep `transport`, through which we answer, and join `server.connections`."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """A chunk of bytes has come in: answer each request that is now complete. Nothing is printed any more.

        What one chunk brings is answered by one write, in the order of the requests. When the reader raises
        ProtocolError, the requests before it are answered as usual; then comes the error, `-ERR ` and its text,
        and the connection is closed. It is also closed after the answer to a client that is `leaving`.
        """
        client = self.client
        self.reader.feed(data)
        output = bytearray()
        try:
            while not client.leaving and (args := self.reader.next()) is not None:
                output += encode(execute(client, args), client.protocol)
        except ProtocolError as error:
            output += encode(ProtocolError(f"ERR {error}"))
            client.leaving = True
        self.transport.write(output)
        if client.leaving:
            self.transport.close()

    def pause_writing(self) -> None:
        """Too much of what we wrote is still waiting: this client sends and does not read. Stop reading from it.

        The loop calls this when some 64 KiB wait in the transport. Without it, one client that never reads
        would fill our memory with what it does not take. `self.transport.pause_reading()` makes it wait instead.
        """
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up: read from it again."""
        self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, politely (`exc` is None) or not: leave `server.connections`."""
        self.server.connections.discard(self)


class Server:
    """The listening side: it accepts clients, remembers who is connected, and stops cleanly."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.client_ids = itertools.count(1)
        self.stopping = asyncio.Event()

    async def run(self, host: str, port: int) -> None:
        """Serve on `host` and `port` (0: any free one) until `stop` is called or a signal asks for it.

        Raises OSError when the address cannot be had, for example because another server has it.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        listener = await loop.create_server(lambda: Connection(self), host, port)
        host, port = listener.sockets[0].getsockname()[:2]
        print(f"listening on {host}:{port}", flush=True)
        await self.stopping.wait()
        listener.close()
        for connection in self.connections:
            connection.transport.close()

    def stop(self) -> None:
        """Let `run` come to its end."""
        self.stopping.set()


def parse_options(args: list[str]) -> argparse.Namespace:
    """Read the command line: `--host` and `--port`, named as in redis.conf."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=6379, help="port to listen on (default: %(default)s)")
    return parser.parse_args(args)


def main() -> None:
    """Run the server until it is told to stop; complain in one line when the address cannot be had."""
    options = parse_options(sys.argv[1:])
    try:
        asyncio.run(Server().run(options.host, options.port))
    except (OSError, OverflowError) as error:
        sys.exit(f"cannot listen on {options.host}:{options.port}: {error}")


if __name__ == "__main__":
    main()
