"""One client's connection: bytes in, requests to the engine, replies out. It knows asyncio's transport, and no command.

It is also here that no client gets more than its share, of a turn of the loop and of our memory.
"""

import asyncio
import socket
from typing import TYPE_CHECKING

from ..engine.client import Client, Parked
from ..protocol.errors import ReplyError, protected, too_many_clients
from ..protocol.reader import ProtocolError, Reader
from ..protocol.writer import Value, encode
from ..server_log import log

if TYPE_CHECKING:
    from .server import Server

SHARE = 128  # requests of one client in one turn of the loop, then the others have theirs: some tenths of a millisecond
ROOM = 1 << 20  # bytes of replies to one client in one turn: more are made when it has taken these
LITTLE = 16 * 1024  # bytes that nobody minds: of a chunk, or waiting for a client, for which Redis has a buffer anyway


class Connection(asyncio.Protocol):
    """One client's connection. The event loop calls these methods; none of them ever waits."""

    transport: asyncio.Transport
    client: Client

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.reader = Reader(server.engine.options.proto_max_bulk_len)
        self.output = bytearray()  # replies that wait for the log
        self.working = False  # it is this client whose requests are being executed
        self.behind = False  # it has had its share of this turn, and there is more to execute
        self.choked = False  # it does not take what we send
        self.over_since: int | None = None  # since when more waits for it than the soft limit allows
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
        engine, options = self.server.engine, self.server.options
        if len(engine.clients) >= options.maxclients:
            self.turn_away(too_many_clients())
        elif options.protected_mode == "yes" and not options.requirepass and not address.startswith(("127.", "::1:")):
            self.turn_away(protected())
        else:
            self.client = engine.connect(address, local_address, self.deliver)
            self.client.hang_up, self.client.resume = self.hang_up, self.resume
            self.reader.trusted = self.client.admitted(options.requirepass)
            keep_alive(transport.get_extra_info("socket"), options.tcp_keepalive)
            self.server.connections.add(self)

    def turn_away(self, reason: ReplyError) -> None:
        """Say why it cannot come in, and hang up."""
        engine = self.server.engine
        engine.counters.connections_rejected += 1
        self.client = Client(id=0, db=engine.stores[0], leaving=True)
        self.transport.write(encode(reason))
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        """A chunk of bytes has come in: execute each request that is now complete.

        The replies are collected in `output`, in the order of the requests, and sent by `send`, once the log has
        what they claim. When the reader raises ProtocolError, the requests before it are answered as usual; then
        comes the error, `-ERR ` and its text, and the client counts as `leaving`: nothing more is read from it.
        """
        self.client.active = self.server.engine.recently
        try:
            self.reader.feed(data)
        except MemoryError:
            self.refuse()
            return
        self.work()
        if self.reader.held > self.server.options.client_query_buffer_limit:
            self.cut_off("max query buffer length")
        elif len(data) > LITTLE and self.attentive:
            self.fall_behind()  # uvloop reads many chunks in a turn from one who sends much

    def work(self) -> None:
        """Execute the complete requests, up to one that has to wait: those behind it wait with it.

        After its share of a turn a client waits for the next one, so that the others have theirs.
        """
        client, reader, engine = self.client, self.reader, self.server.engine
        self.working, share = True, SHARE
        try:
            while share > 0 and len(self.output) < ROOM and self.free:
                if reader.ready and self.held is None:
                    share -= self.server.fast_path.take(client, reader.ready, self.output, share, ROOM)
                reader.trusted = client.admitted(engine.options.requirepass)
                try:
                    words = self.held or reader.next()
                except MemoryError:
                    self.refuse()
                    break
                if words is None or (engine.pause.until and self.hold(words)):
                    break
                self.held = None
                share -= 1
                answer = engine.execute(client, words)
                if client.mute:
                    client.mute -= 1  # it does not want to hear
                else:
                    self.output += encode(answer, client.protocol)
            else:
                if self.free:
                    self.fall_behind()
        except ProtocolError as error:
            self.output += encode(ProtocolError(f"ERR {error}"))
            client.leaving = True
        except Exception as error:  # a bug of ours, or no memory
            engine.mishaps.in_request(error)
            log.error("client %d from %s is cut off: its request has failed", client.id, client.address, exc_info=error)
            client.leaving = True
        finally:
            self.working = False
        if client.parked is not None and not self.waits:
            self.wait(client.parked)
        self.server.send_soon(self)

    @property
    def free(self) -> bool:
        """Whether the client's next request may be executed now."""
        client = self.client
        return not client.leaving and client.parked is None and not self.choked

    def hold(self, words: list[bytes]) -> bool:
        """Keep a request until the pause is over, or ends before its time; tell whether it has to wait for that."""
        engine = self.server.engine
        if not engine.pause.holds(self.client, words, engine.steady()):
            return False
        if self.timer is not None:
            self.timer.cancel()
        self.held = words
        seconds = (engine.pause.until - engine.steady()) / 1000
        self.timer = asyncio.get_running_loop().call_later(seconds, self.work)
        return True

    def fall_behind(self) -> None:
        """The client has had its share: let the others have theirs, and read nothing more from it until then."""
        self.behind = True
        self.attend()
        asyncio.get_running_loop().call_soon(self.catch_up)

    def catch_up(self) -> None:
        """It is the client's turn again."""
        self.behind = False
        self.work()
        self.attend()

    @property
    def attentive(self) -> bool:
        """Whether we read from the client: not while it has more to execute, or does not take what we send."""
        return not (self.behind or self.choked)

    def attend(self) -> None:
        """Read from the client, or do not, as it should be now."""
        if self.transport.is_closing():
            return
        if self.attentive:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def hang_up(self) -> None:
        """Close the connection, whatever the client has still to read."""
        self.transport.abort()

    def cut_off(self, limit: str) -> None:
        """Hang up on a client that takes more of our memory than it may."""
        log.warning("client %d from %s is cut off: %s", self.client.id, self.client.address, limit)
        self.forget_client()
        self.hang_up()

    def refuse(self) -> None:
        """There is no memory for the client's request, of which nothing is executed yet: it has to go, nobody else."""
        self.reader = Reader()  # first: what it has sent may be large
        self.cut_off("no memory for its request")

    def resume(self) -> None:
        """The pause has ended before its time."""
        if self.held is not None:
            asyncio.get_running_loop().call_soon(self.work)

    def wait(self, parked: Parked) -> None:
        """The client's command waits: have it told when its time is up."""
        self.waits = True
        if parked.deadline is not None:
            seconds = (parked.deadline - self.server.engine.steady() + 1) / 1000  # whole ones: never too short
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
        self.client.active = self.server.engine.recently
        self.server.send_soon(self)
        if self.waits and self.client.parked is None:
            self.go_on()
        if len(self.output) > ROOM:
            self.mind_limit()

    def send(self) -> None:
        """Send the replies that waited, all in one write, and hang up on a client that is leaving."""
        if self.client.channels or self.client.patterns or self.server.options.client_output_buffer_limit.normal:
            self.mind_limit()
        if not self.transport.is_closing():
            large = len(self.output) > LITTLE  # a part of a view is no copy, and asyncio will want a part
            self.transport.write(memoryview(self.output) if large else self.output)
            if self.client.leaving:
                self.transport.close()
        self.output = bytearray()

    def mind_limit(self) -> None:
        """Hang up on a client for which more waits than its hard limit allows, or its soft one, for too long."""
        client, limits = self.client, self.server.options.client_output_buffer_limit
        limit = limits.pubsub if client.channels or client.patterns else limits.normal
        if limit is None:
            return
        waiting = len(self.output) + self.transport.get_write_buffer_size() - LITTLE
        now = self.server.engine.steady()
        if not waiting > limit.soft > 0:
            self.over_since = None
            self.server.over.discard(self)
        elif self.over_since is None:
            self.over_since = now
            self.server.over.add(self)
        if waiting > limit.hard > 0 or (self.over_since is not None and now - self.over_since > limit.seconds * 1000):
            self.cut_off("output buffer limits")

    def pause_writing(self) -> None:
        """Too much of what we wrote is still waiting: this client sends and does not read. Stop reading from it.

        The loop calls this when some 64 KiB wait in the transport. Without it, one client that never reads
        would fill our memory with what it does not take.
        """
        self.choked = True
        self.attend()

    def resume_writing(self) -> None:
        """The client has caught up: execute what it has sent meanwhile, and read from it again."""
        self.choked = False
        self.attend()
        asyncio.get_running_loop().call_soon(self.work)

    def eof_received(self) -> bool:
        """The client will send no more. Forget it at once, but keep the connection until it has its last replies.

        If it waits for a list, another client may fill that in this very turn; the element would be lost.
        """
        self.forget_client()
        self.server.send_soon(self)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, politely (`exc` is None) or not: leave `server.connections`."""
        self.server.connections.discard(self)
        self.forget_client()

    def forget_client(self) -> None:
        """Do nothing more for the client: `work` may still be on its way, and the time that it waits run out."""
        self.client.leaving = True
        self.server.over.discard(self)
        self.server.engine.disconnect(self.client)
        self.client.let_go()
        if self.timer is not None:
            self.timer.cancel()


def keep_alive(connected: socket.socket, seconds: int) -> None:
    """Have the system find out, after so many seconds of silence, whether the other end is still there."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(seconds > 0))
    if seconds and hasattr(socket, "TCP_KEEPIDLE"):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, min(seconds, 32767))
