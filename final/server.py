"""The server: sockets, timers and signals, and the only file that knows them. What requests mean is the engine's."""

import asyncio
import os
import signal
import socket
from asyncio.trsock import TransportSocket
from collections.abc import Sequence
from typing import Any

from .by_hand import ByHand
from .client import Client
from .engine import Engine
from .errors import ReplyError
from .options import Options
from .reader import ProtocolError, Reader
from .waiting import Parked
from .writer import Value, encode

FASTEST = 500  # rounds of removing expired keys in a second, however great `hz` is
LOOK_EVERY = 0.1  # seconds between two looks at the rewrite of the log


class Connection(asyncio.Protocol):
    """One client's connection. The event loop calls these methods; none of them ever waits."""

    transport: asyncio.Transport
    client: Client

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.reader = Reader(server.engine.options.proto_max_bulk_len)
        self.output = bytearray()  # replies that wait for the log
        self.working = False  # it is this client whose requests are being executed
        self.waits = False  # requests may wait behind one that has to wait …
        self.timer: asyncio.TimerHandle | None = None  # … and this is how long, if not for ever
        self.held: list[bytes] | None = None  # a request that has to wait until CLIENT PAUSE is over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected: keep `transport`, through which we answer, and join `server.connections`."""
        self.transport = transport  # type: ignore[assignment]  # as uvloop's is of no class of asyncio's
        if self in self.server.connections:
            return  # it was let in by hand, and this is its real transport
        ends = (transport.get_extra_info("peername"), transport.get_extra_info("sockname"))
        address, local_address = (f"{end[0]}:{end[1]}" if end else "?:0" for end in ends)
        engine = self.server.engine
        if len(engine.clients) >= engine.options.maxclients:
            self.turn_away()
            return
        self.client = engine.connect(address, local_address, self.deliver)
        self.client.hang_up, self.client.resume = self.hang_up, self.resume
        keep_alive(transport.get_extra_info("socket"), engine.options.tcp_keepalive)
        self.server.connections.add(self)

    def turn_away(self) -> None:
        """There are too many clients already."""
        engine = self.server.engine
        engine.counters.connections_rejected += 1
        self.client = Client(id=0, db=engine.stores[0], leaving=True)
        self.transport.write(encode(ReplyError("ERR max number of clients reached")))
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        """A chunk of bytes has come in: execute each request that is now complete.

        The replies are collected in `output`, in the order of the requests, and sent by `send`, once the log has
        what they claim. When the reader raises ProtocolError, the requests before it are answered as usual; then
        comes the error, `-ERR ` and its text, and the client counts as `leaving`: nothing more is read from it.
        """
        self.reader.feed(data)
        self.work()

    def work(self) -> None:
        """Execute the complete requests, up to one that has to wait: those behind it wait with it."""
        client, next_request, engine = self.client, self.reader.next, self.server.engine
        self.working = True
        try:
            while not client.leaving and client.parked is None and (words := self.held or next_request()) is not None:
                if engine.pause.until and engine.pause.holds(client, words, engine.clock()):
                    self.hold(words)
                    break
                self.held = None
                answer = engine.execute(client, words)
                if client.mute:
                    client.mute -= 1  # it does not want to hear
                else:
                    self.output += encode(answer, client.protocol)
        except ProtocolError as error:
            self.output += encode(ProtocolError(f"ERR {error}"))
            client.leaving = True
        self.working = False
        if client.parked is not None and not self.waits:
            self.wait(client.parked)
        self.server.send_soon(self)

    def hold(self, words: list[bytes]) -> None:
        """Keep a request until the pause is over, or ends before its time."""
        if self.timer is not None:
            self.timer.cancel()
        self.held = words
        seconds = (self.server.engine.pause.until - self.server.engine.clock()) / 1000
        self.timer = asyncio.get_running_loop().call_later(seconds, self.work)

    def hang_up(self) -> None:
        """Close the connection, whatever the client has still to read."""
        self.transport.abort()

    def resume(self) -> None:
        """The pause has ended before its time."""
        if self.held is not None:
            asyncio.get_running_loop().call_soon(self.work)

    def wait(self, parked: Parked) -> None:
        """The client's command waits: have it told when its time is up."""
        self.waits = True
        if parked.deadline is not None:
            seconds = (parked.deadline - self.server.engine.clock() + 1) / 1000  # whole milliseconds: never too short
            self.timer = asyncio.get_running_loop().call_later(seconds, self.server.engine.time_up, parked)

    def go_on(self) -> None:
        """The client's command waits no more: the requests behind it have their turn, after what is under way."""
        self.waits = False
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        asyncio.get_running_loop().call_soon(self.work)

    def deliver(self, value: Value) -> None:
        """Send the client what is no answer to a request under way: a message, or the answer to one that waited."""
        self.output += encode(value, self.client.protocol)
        self.server.send_soon(self)
        if self.waits and self.client.parked is None:
            self.go_on()

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

    def eof_received(self) -> None:
        """The client will send no more, and the loop will call `connection_lost` soon: not soon enough.

        If it waits for a list, another client may fill that in this very turn; the element would be lost.
        """
        self.forget_client()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, politely (`exc` is None) or not: leave `server.connections`."""
        self.server.connections.discard(self)
        self.forget_client()

    def forget_client(self) -> None:
        """Do nothing more for the client: `work` may still be on its way, and the time that it waits run out."""
        self.client.leaving = True
        self.server.engine.disconnect(self.client)
        if self.timer is not None:
            self.timer.cancel()


class Server:
    """The listening side: it accepts clients, lets the engine work, keeps the time, and stops cleanly."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.engine = Engine(options, on_stop=self.stop, while_busy=ByHand(self).listen, in_child=forget_signals)
        self.doors: Sequence[TransportSocket | socket.socket] = ()  # where we listen
        self.tasks: set[asyncio.Task[Any]] = set()  # short ones that somebody must remember
        self.connections: set[Connection] = set()
        self.unsent: list[Connection] = []  # those whose replies go out at the end of this turn of the loop
        self.stopping = asyncio.Event()
        self.failure: str | None = None  # why we stop, where it is not because we were asked to

    async def run(self) -> None:
        """Serve until `stop` is called or a signal asks for it. Raises OSError when the address cannot be had."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.interrupt(loop))
        listener = await loop.create_server(self.welcome, self.options.bind, self.options.port)
        self.doors = listener.sockets
        regular = (self.expire_regularly(), self.rewrite_when_due(), self.sync_every_second(), self.part_with_idle())
        tickers = [asyncio.create_task(each) for each in regular]
        host, self.options.port = listener.sockets[0].getsockname()[:2]
        print(f"listening on {host}:{self.options.port}", flush=True)
        await self.stopping.wait()
        listener.close()
        for ticker in tickers:
            ticker.cancel()
        self.engine.rewriter.cancel()
        if self.failure is None:
            self.before_sleep()
        for connection in self.connections:
            connection.transport.close()

    def welcome(self) -> Connection:
        """Make a connection for a client that has come."""
        return Connection(self)

    def interrupt(self, loop: asyncio.AbstractEventLoop) -> None:
        """A signal asks us to end: in the loop's next turn, or, where a script leaves it none, at once."""
        if self.engine.scripts.busy:
            self.stop()
        loop.call_soon_threadsafe(self.stop)

    def stop(self, failure: str | None = None) -> None:
        """Let `run` come to its end, because we were asked to, or because of a `failure`."""
        if self.engine.scripts.busy:
            os._exit(0)  # the script would not let the loop have another turn; what was answered is in the log
        self.failure = self.failure or failure
        self.stopping.set()

    def send_soon(self, connection: Connection) -> None:
        """Have this connection's replies sent at the end of this turn of the event loop, by `before_sleep`."""
        if not self.unsent:
            asyncio.get_running_loop().call_soon(self.before_sleep)
        self.unsent.append(connection)

    def before_sleep(self) -> None:
        """The turn is over, everything that had come in is executed: flush the log, then send the replies.

        All requests of one turn, of whatever clients, share one write to the log and, under `always`, one fsync.
        When the log cannot be written then, nobody gets a reply: `stop` with the reason.
        """
        try:
            if self.engine.log is not None:
                self.engine.log.flush()
        except OSError as error:
            self.stop(f"cannot write the log: {error}")
            return
        unsent, self.unsent = self.unsent, []
        for connection in unsent:
            connection.send()

    async def expire_regularly(self) -> None:
        """Remove keys that have expired and that nobody asks for, a few at a time, so that clients do not wait."""
        while True:
            more = self.engine.expire()
            self.before_sleep()
            await asyncio.sleep(0 if more else 1 / min(max(self.options.hz, 1), FASTEST))

    async def part_with_idle(self) -> None:
        """Each second, hang up on clients that have asked nothing for longer than `timeout` says, and do not wait."""
        while True:
            await asyncio.sleep(1)
            if not self.options.timeout:
                continue
            oldest = self.engine.clock() - self.options.timeout * 1000
            for connection in list(self.connections):
                client = connection.client
                if client.active < oldest and not (client.parked or client.listening or client.monitoring):
                    connection.transport.close()

    async def rewrite_when_due(self) -> None:
        """Look after the rewrite of the log: begin one that is due, and go over to what a child has written."""
        while True:
            self.engine.rewriter.tick()
            await asyncio.sleep(LOOK_EVERY)

    async def sync_every_second(self) -> None:
        """Under `everysec`, sync the log each second, in a thread: the loop does not wait for the disk."""
        while True:
            await asyncio.sleep(1)
            log = self.engine.log
            if log is None or self.options.appendfsync != "everysec":
                continue
            try:
                await asyncio.to_thread(log.sync)
            except OSError as error:
                self.stop(f"cannot sync the log: {error}")


def keep_alive(connected: socket.socket, seconds: int) -> None:
    """Have the system find out, after so many seconds of silence, whether the other end is still there."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(seconds > 0))
    if seconds and hasattr(socket, "TCP_KEEPIDLE"):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, min(seconds, 32767))


def forget_signals() -> None:
    """In a child process: let signals end it. They must not reach the server's event loop, whose files it shares."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
