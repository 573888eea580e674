"""The server: many clients at once, and nobody hears of a change before the log has it. It knows sockets."""

import argparse
import asyncio
import itertools
import os
import signal
import sys
from pathlib import Path

import commands  # noqa: F401  (these four fill the table that `execute` looks into)
import hashes  # noqa: F401
import keys  # noqa: F401
import strings  # noqa: F401
from aof import CorruptLog, Log, load
from client import Client
from command import execute
from reader import ProtocolError, Reader
from store import Store
from writer import Value, encode


class Connection(asyncio.Protocol):
    """One client's connection. The event loop calls these methods; none of them ever waits."""

    transport: asyncio.Transport

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.client = Client(id=next(server.client_ids))
        self.reader = Reader()
        self.output = bytearray()  # replies that wait for the log

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected: keep `transport`, through which we answer, and join `server.connections`."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """A chunk of bytes has come in: execute each request that is now complete.

        The replies are collected in `output`, in the order of the requests, and sent by `send`, once the log has
        what they claim. When the reader raises ProtocolError, the requests before it are answered as usual; then
        comes the error, `-ERR ` and its text, and the client counts as `leaving`: nothing more is read from it.
        """
        client = self.client
        self.reader.feed(data)
        try:
            while not client.leaving and (args := self.reader.next()) is not None:
                self.output += encode(self.server.execute(client, args), client.protocol)
        except ProtocolError as error:
            self.output += encode(ProtocolError(f"ERR {error}"))
            client.leaving = True
        self.server.send_soon(self)

    def send(self) -> None:
        """Send the replies that waited, all in one write, and hang up on a client that is leaving."""
        self.transport.write(self.output)
        self.output = bytearray()
        if self.client.leaving:
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
    """The listening side, the data and the log: it accepts clients, executes, and stops cleanly."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.db = Store()
        self.log: Log | None = None  # without one, nothing is kept
        self.client_ids = itertools.count(1)
        self.unsent: list[Connection] = []  # those whose replies go out at the end of this turn of the loop
        self.stopping = asyncio.Event()
        self.failure: str | None = None  # why we stop, where it is not because we were asked to

    async def run(self, host: str, port: int) -> None:
        """Serve on `host` and `port` (0: any free one) until `stop` is called or a signal asks for it.

        Raises OSError when the address cannot be had, for example because another server has it.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        listener = await loop.create_server(lambda: Connection(self), host, port)
        ticker = asyncio.create_task(self.sync_every_second())
        host, port = listener.sockets[0].getsockname()[:2]
        print(f"listening on {host}:{port}", flush=True)
        await self.stopping.wait()
        listener.close()
        ticker.cancel()
        if self.failure is None:
            self.before_sleep()
        for connection in self.connections:
            connection.transport.close()

    def stop(self, failure: str | None = None) -> None:
        """Let `run` come to its end, because we were asked to, or because of a `failure`."""
        self.failure = self.failure or failure
        self.stopping.set()

    def execute(self, client: Client, args: list[bytes]) -> Value:
        """Answer one request; where it changed something (`db.changes` tells), append it to the log.

        A request that changed nothing, such as GET or the DEL of a missing key, is not logged: replaying it
        would change nothing either.
        """
        before = self.db.changes
        answer = execute(self.db, client, args)
        if self.log is not None and self.db.changes != before:
            self.log.append(args)
        return answer

    def send_soon(self, connection: Connection) -> None:
        """Have this connection's replies sent at the end of this turn of the event loop, by `before_sleep`."""
        if not self.unsent:
            asyncio.get_running_loop().call_soon(self.before_sleep)
        self.unsent.append(connection)

    def before_sleep(self) -> None:
        """The turn is over, everything that had come in is executed: flush the log, then send the replies.

        All requests of one turn, of whatever clients, share one write to the log and, with the policy `always`,
        one fsync. When the log cannot be written, nobody gets a reply: `stop` with the reason.
        """
        try:
            if self.log is not None:
                self.log.flush()
        except OSError as error:
            self.stop(f"cannot write the log: {error}")
            return
        unsent, self.unsent = self.unsent, []
        for connection in unsent:
            connection.send()

    async def sync_every_second(self) -> None:
        """With the policy `everysec`, sync the log each second, in a thread: the loop does not wait for the disk."""
        while self.log is not None and self.log.policy == "everysec":
            await asyncio.sleep(1)
            try:
                await asyncio.to_thread(self.log.sync)
            except OSError as error:
                self.stop(f"cannot sync the log: {error}")


def parse_options(args: list[str]) -> argparse.Namespace:
    """Read the command line: the options are named as in redis.conf."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=6379, help="port to listen on (default: %(default)s)")
    parser.add_argument("--dir", type=Path, default=Path(), help="folder of the log (default: the current one)")
    parser.add_argument("--appendonly", choices=["yes", "no"], default="no", help="keep a log (default: %(default)s)")
    parser.add_argument(
        "--appendfsync",
        choices=["always", "everysec", "no"],
        default="everysec",
        help="when the log must be on the disk (default: %(default)s)",
    )
    return parser.parse_args(args)


def restore(server: Server, path: Path) -> None:
    """Bring back what the log at `path` says, if there is one, and cut off half a request at its end.

    Raises CorruptLog where the log is damaged; then it is left as it is.
    """
    if not path.exists():
        return
    nobody = Client(id=0)
    end = load(path, lambda args: execute(server.db, nobody, args))
    torn = path.stat().st_size - end
    if torn:
        print(f"{path} ends in half a request: {torn} bytes cut off at byte {end}", file=sys.stderr, flush=True)
        os.truncate(path, end)


def main() -> None:
    """Run the server until it is told to stop; complain in one line where it cannot start or go on."""
    options = parse_options(sys.argv[1:])
    server = Server()
    try:
        if options.appendonly == "yes":
            path = options.dir / "appendonly.aof"
            restore(server, path)
            server.log = Log(path, options.appendfsync)
    except (CorruptLog, OSError) as error:
        sys.exit(f"cannot use the log: {error}")
    try:
        asyncio.run(server.run(options.host, options.port))
    except (OSError, OverflowError) as error:
        sys.exit(f"cannot listen on {options.host}:{options.port}: {error}")
    if server.failure:
        sys.exit(server.failure)
    if server.log is not None:
        server.log.close()


if __name__ == "__main__":
    main()
