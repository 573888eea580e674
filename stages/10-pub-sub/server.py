"""The server: many clients at once, and no reply is sent before the log has the change. It knows sockets."""

import argparse
import asyncio
import itertools
import signal
import sys
from pathlib import Path

import commands  # noqa: F401  (these ten fill the table that `find` looks into)
import expire  # noqa: F401
import hashes  # noqa: F401
import keys  # noqa: F401
import lists  # noqa: F401
import pubsub  # noqa: F401
import sets  # noqa: F401
import strings  # noqa: F401
import transactions  # noqa: F401
import zset  # noqa: F401
from aof import CorruptLog, Log, restore
from blocking import Wait
from client import Client
from engine import Engine
from reader import ProtocolError, Reader
from writer import NULL_ARRAY, Value, encode

LIMIT = 32 * 1024 * 1024  # bytes that may wait for one client that does not read


class Connection(asyncio.Protocol):
    """One client's connection. The event loop calls these methods; none of them ever waits."""

    transport: asyncio.Transport

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.client = Client(id=next(server.client_ids), deliver=self.deliver)
        self.reader = Reader()
        self.output = bytearray()  # replies that wait for the log

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected: keep `transport`, through which we answer, and join `server.connections`."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """A chunk of bytes has come in: execute each request that is now complete, with `execute` of the engine.

        Append the replies to `self.output`, in the order of the requests. If the reader raises ProtocolError, append
        the error, `-ERR ` and its text; then the client is `leaving`. After the request of a client that is `leaving`,
        read no more of its requests. At the end call `self.server.send_soon(self)`: nothing is sent here.

        If the engine returns a Wait, there is no reply yet: give it to `self.wait`. While the client is in
        `waiting` of the engine, read no more of its requests, for they come after the one that waits.
        """
        client, engine = self.client, self.server.engine
        self.reader.feed(data)
        try:
            while not client.leaving and client not in engine.waiting and (args := self.reader.next()) is not None:
                reply = engine.execute(client, args)
                if isinstance(reply, Wait):
                    self.wait(reply)
                else:
                    self.output += encode(reply, client.protocol)
        except ProtocolError as error:
            self.output += encode(ProtocolError(f"ERR {error}"))
            client.leaving = True
        self.server.send_soon(self)

    def wait(self, wait: Wait) -> None:
        """The client waits; if it has a timeout, have `time_out` called when it is over."""
        if wait.timeout:
            asyncio.get_running_loop().call_later(wait.timeout, self.time_out, wait)

    def time_out(self, wait: Wait) -> None:
        """The timeout of a Wait is over. If the client still waits for just this: unpark it, and deliver NULL_ARRAY."""
        if self.server.engine.waiting.waits.get(self.client) is wait:
            self.server.engine.waiting.unpark(self.client)
            self.deliver(NULL_ARRAY)

    def deliver(self, reply: Value) -> None:
        """Append a message, or a reply that the client has waited for, to `self.output`; go on with its requests.

        Not at once, for another client's request is being executed: have `call_soon` of the event loop call
        `data_received`, with no more bytes. That sends the reply, too.

        Nobody slows a publisher down, so what a client does not read piles up: in `self.output`, and in the transport,
        which says how much by `get_write_buffer_size()`. If both together are more than LIMIT, end the connection with
        `abort()` of the transport: `close()` would wait until the client has read it all. Do nothing if the transport
        `is_closing()` already.
        """
        if self.transport.is_closing():
            return
        self.output += encode(reply, self.client.protocol)
        if len(self.output) + self.transport.get_write_buffer_size() > LIMIT:
            self.transport.abort()
        asyncio.get_running_loop().call_soon(self.data_received, b"")

    def send(self) -> None:
        """Send `self.output` in one write, and close the connection of a client that is `leaving`.

        The transport may keep the bytearray until the client reads it, so do not change it, by `clear` for example:
        take a new one.
        """
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
        """The client has gone, politely (`exc` is None) or not: leave `server.connections`, and the engine.

        Set `leaving` of the client, so that none of its requests is executed any more: `deliver` may have asked for
        `data_received`.
        """
        self.client.leaving = True
        self.server.connections.discard(self)
        self.server.engine.disconnect(self.client)


class Server:
    """The listening side: it accepts clients, has the engine work, sends the replies, and stops cleanly."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.engine = Engine()
        self.client_ids = itertools.count(1)
        self.unsent: list[Connection] = []  # `before_sleep` sends their replies
        self.stopping = asyncio.Event()

    async def run(self, host: str, port: int) -> None:
        """Serve on `host` and `port` (0: any free one) until `stop` is called or a signal asks for it.

        Raises OSError when the address cannot be had, for example because another server has it.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        listener = await loop.create_server(lambda: Connection(self), host, port)
        tickers = [asyncio.create_task(each) for each in (self.sync_every_second(), self.expire_often())]
        host, port = listener.sockets[0].getsockname()[:2]
        print(f"listening on {host}:{port}", flush=True)
        await self.stopping.wait()
        listener.close()
        for ticker in tickers:
            if not ticker.done():  # one that has failed: asyncio writes its traceback
                ticker.cancel()
        for connection in self.connections:
            connection.transport.close()

    def stop(self) -> None:
        """Let `run` come to its end."""
        self.stopping.set()

    def send_soon(self, connection: Connection) -> None:
        """Have this connection's replies sent by `before_sleep`, when this iteration of the event loop is over."""
        if not self.unsent:
            asyncio.get_running_loop().call_soon(self.before_sleep)
        self.unsent.append(connection)

    def before_sleep(self) -> None:
        """Flush the engine's log, if there is one, then call `send` of each connection in `unsent`; empty that list.

        All requests of one iteration of the event loop, of all clients, share this one flush. If it raises OSError,
        nothing may be sent: end the server with `sys.exit(f"cannot write the log: {error}")`.
        """
        try:
            if self.engine.log is not None:
                self.engine.log.flush()
        except OSError as error:
            sys.exit(f"cannot write the log: {error}")
        unsent, self.unsent = self.unsent, []
        for connection in unsent:
            connection.send()

    async def sync_every_second(self) -> None:
        """With the policy `everysec`, call `sync` each second, in a thread: the event loop does not wait for it."""
        log = self.engine.log
        while log is not None and log.policy == "everysec":
            await asyncio.sleep(1)
            try:
                await asyncio.to_thread(log.sync)
            except OSError as error:  # exit from a callback: from a task it would leave a traceback
                asyncio.get_running_loop().call_soon(sys.exit, f"cannot sync the log: {error}")

    async def expire_often(self) -> None:
        """Ten times a second, have the engine remove expired keys: some of them, then other work, then more."""
        while True:
            await asyncio.sleep(0.1)
            while self.engine.expire():
                await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(self.before_sleep)  # their DELs have to go into the log


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


def main() -> None:
    """Run the server until it is told to stop; say in one line why it cannot start or go on."""
    options = parse_options(sys.argv[1:])
    server = Server()
    if options.appendonly == "yes":
        path = options.dir / "appendonly.aof"
        try:
            if path.exists():
                restore(path, server.engine.replay)
            server.engine.log = Log(path, options.appendfsync)
        except (CorruptLog, OSError) as error:
            sys.exit(f"cannot use the log: {error}")
    try:
        asyncio.run(server.run(options.host, options.port))
    except (OSError, OverflowError) as error:
        sys.exit(f"cannot listen on {options.host}:{options.port}: {error}")
    if server.engine.log is not None:
        server.engine.log.close()


if __name__ == "__main__":
    main()
