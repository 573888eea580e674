"""One client's connection: bytes in, requests to the engine, replies out. It knows asyncio's transport, and no command.

It is also here that no client gets more than its share, of an iteration of the event loop and of our memory.
"""

import asyncio
import socket
from math import inf
from time import perf_counter

from ..engine.client import Parked
from ..protocol.reader import ProtocolError, Reader
from ..protocol.writer import Value, encode
from ..server_log import log
from .before_sleep import Iteration
from .door import Guest, shown

SHARE = 128  # requests of one client in one iteration, then the others have theirs: some tenths of a millisecond
ROOM = 1 << 20  # bytes of replies to one client in one iteration: more are made when it has taken these
CHUNK = 64 * 1024  # bytes that are read at once
LITTLE = 16 * 1024  # bytes that nobody minds: of a chunk, or waiting for a client, for which Redis has a buffer anyway


class Clients:
    """The connections that there are, and those for which more waits than their soft limit allows."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.over: set[Connection] = set()


class Connection(asyncio.Protocol):
    """One client's connection. The event loop calls these methods; none of them ever waits."""

    def __init__(self, iteration: Iteration, clients: Clients, guest: Guest) -> None:
        self.iteration = iteration
        self.clients = clients
        self.engine = engine = iteration.engine
        self.transport: asyncio.Transport = guest
        address, local_address = (shown(guest.get_extra_info(name)) for name in ("peername", "sockname"))
        self.client = engine.connect(address, local_address, self.deliver)
        self.client.hang_up, self.client.resume = self.hang_up, self.resume
        self.reader = Reader(engine.options.proto_max_bulk_len)
        self.reader.trusted = self.client.admitted(engine.options.requirepass)
        self.output = bytearray()  # replies that wait for the log
        self.working = False  # it is this client whose requests are being executed
        self.behind = False  # it waits for its turn, as it may have more to execute
        self.ended = False  # it will send no more, and what it sent is not yet executed
        self.deaf = False  # we do not read from it
        self.choked = False  # it does not take what we send
        self.over_since: int | None = None  # since when more waits for it than the soft limit allows
        self.waits = False  # requests may wait behind one that has to wait …
        self.timer: asyncio.TimerHandle | None = None  # … and this is how long, if not for ever
        self.held: list[bytes] | None = None  # a request that has to wait until CLIENT PAUSE is over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The event loop serves the client from now on, by way of `transport`."""
        guest, self.transport = self.transport, transport  # type: ignore[assignment]  # uvloop's is of no class of asyncio's
        assert isinstance(guest, Guest)
        guest.hand_over(self.transport)
        if hasattr(transport, "max_size"):  # asyncio's own: its 256 KiB would be a long time for the others
            transport.max_size = CHUNK
        self.attend()

    def data_received(self, data: bytes) -> None:
        """A chunk of bytes has come in: execute each request that is now complete.

        The replies are collected in `output`, in the order of the requests, and sent by `send`, once the log has
        what they claim. When the reader raises ProtocolError, the requests before it are answered as usual; then
        comes the error, `-ERR ` and its text, and the client counts as `leaving`: nothing more is read from it.
        """
        self.client.active = self.engine.recently
        late = self.behind or perf_counter() >= (self.iteration.deadline or inf)
        try:
            (self.reader.keep if late else self.reader.feed)(data)
        except MemoryError:
            self.refuse()
            return
        if late:
            self.fall_behind()
        else:
            self.work()
        if self.reader.held > self.engine.options.client_query_buffer_limit:
            self.cut_off("max query buffer length")
        elif len(data) > LITTLE and self.attentive:
            self.fall_behind()  # uvloop reads many chunks in an iteration from one who sends much

    def work(self) -> None:
        """Execute the complete requests, up to one that has to wait: those behind it wait with it.

        After its share of an iteration, or when the time is over, it waits for another, so that others have theirs.
        """
        client, reader, engine = self.client, self.reader, self.engine
        deadline = self.iteration.deadline or self.iteration.begin()
        self.working, share = True, SHARE
        try:
            while share > 0 and len(self.output) < ROOM and self.free:
                if reader.ready and self.held is None:
                    take = self.iteration.fast_path.take
                    share -= take(client, reader.ready, self.output, share, ROOM, deadline)
                reader.trusted = client.admitted(engine.options.requirepass)
                try:
                    args = self.held or reader.next()
                except MemoryError:
                    self.refuse()
                    break
                if args is None or (engine.pause.until and self.hold(args)):
                    break
                self.held = None
                share -= 1
                answer = engine.execute(client, args)
                if client.mute:
                    client.mute -= 1  # it does not want to hear
                else:
                    self.output += encode(answer, client.protocol)
                if perf_counter() >= deadline:
                    share = 0
            else:
                if self.free:
                    self.fall_behind()
        except ProtocolError as error:
            self.output += encode(ProtocolError(f"ERR {error}"))
            client.leaving = True
        except Exception as error:  # a bug of ours, or no memory
            self.fail(error)
        finally:
            self.working = False
        if client.parked is not None and not self.waits:
            self.wait(client.parked)
        self.iteration.send_soon(self)

    @property
    def free(self) -> bool:
        """Whether the client's next request may be executed now."""
        client = self.client
        return not client.leaving and client.parked is None and not self.choked

    def hold(self, args: list[bytes]) -> bool:
        """Keep a request until the pause is over, or ends before its time; tell whether it has to wait for that."""
        engine = self.engine
        if not engine.pause.holds(self.client, args, engine.steady()):
            return False
        if self.timer is not None:
            self.timer.cancel()
        self.held = args
        seconds = (engine.pause.until - engine.steady()) / 1000
        self.timer = asyncio.get_running_loop().call_later(seconds, self.fall_behind)
        return True

    def fall_behind(self) -> None:
        """The client may have more to execute than it may now: let it wait for its turn."""
        if not self.behind:
            self.behind = True
            self.iteration.wait_for_turn(self)
        if self.deaf or self.reader.held > LITTLE:
            self.attend()

    def catch_up(self) -> None:
        """It is the client's turn again."""
        self.behind = False
        self.work()
        if self.deaf:
            self.attend()
        if self.ended and not self.behind:
            self.eof_received()

    @property
    def attentive(self) -> bool:
        """Whether we read from the client: not while much waits to be executed, or it does not take what we send."""
        return not (self.choked or (self.behind and self.reader.held > LITTLE))

    def attend(self) -> None:
        """Read from the client, or do not, as it should be now."""
        self.deaf = not self.attentive
        if self.transport.is_closing():
            return
        if self.deaf:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def fail(self, error: Exception) -> None:
        """A bug of ours was met while something was done for the client: it has to go, if that is enough.

        Replies to earlier requests are sent.
        """
        self.engine.mishaps.in_request(error)
        client = self.client
        log.error("client %d from %s is cut off: its request has failed", client.id, client.address, exc_info=error)
        client.leaving = True

    def refuse(self) -> None:
        """There is no memory for the client's request, of which nothing is executed yet: it has to go, nobody else."""
        self.reader = Reader()  # first: what it has sent may be large
        self.cut_off("no memory for its request")

    def hang_up(self) -> None:
        """Close the connection, whatever the client has still to read."""
        self.transport.abort()

    def cut_off(self, limit: str) -> None:
        """Hang up on a client that takes more of our memory than it may."""
        log.warning("client %d from %s is cut off: %s", self.client.id, self.client.address, limit)
        self.forget_client()
        self.hang_up()

    def resume(self) -> None:
        """The pause has ended before its time."""
        if self.held is not None:
            self.fall_behind()

    def wait(self, parked: Parked) -> None:
        """The client's command waits: have it told when its time is up."""
        self.waits = True
        if parked.deadline is not None:
            seconds = (parked.deadline - self.engine.steady() + 1) / 1000  # whole ones: never too short
            self.timer = asyncio.get_running_loop().call_later(seconds, self.engine.waiting.time_out, parked)

    def go_on(self) -> None:
        """The client's command waits no more: the requests behind it have their turn, after what is under way."""
        self.waits = False
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.fall_behind()

    def deliver(self, value: Value) -> None:
        """Send the client what is no answer to a request under way: a message, or the answer to one that waited."""
        self.output += encode(value, self.client.protocol)
        self.client.active = self.engine.recently
        self.iteration.send_soon(self)
        if self.waits and self.client.parked is None:
            self.go_on()
        if len(self.output) > ROOM:
            self.mind_limit()

    def send(self) -> None:
        """Send the replies that waited, all in one write, and hang up on a client that is leaving."""
        if self.client.channels or self.client.patterns or self.engine.options.client_output_buffer_limit.normal:
            self.mind_limit()
        if not self.transport.is_closing():
            large = len(self.output) > LITTLE  # a part of a view is no copy, and asyncio will want a part
            self.transport.write(memoryview(self.output) if large else self.output)
            if self.client.leaving:
                self.transport.close()
        self.output = bytearray()

    def mind_limit(self) -> None:
        """Hang up on a client for which more waits than its hard limit allows, or its soft one, for too long."""
        client, limits = self.client, self.engine.options.client_output_buffer_limit
        limit = limits.pubsub if client.channels or client.patterns else limits.normal
        if limit is None:
            return
        waiting = len(self.output) + self.transport.get_write_buffer_size() - LITTLE
        now = self.engine.steady()
        if not waiting > limit.soft > 0:
            self.over_since = None
            self.clients.over.discard(self)
        elif self.over_since is None:
            self.over_since = now
            self.clients.over.add(self)
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
        self.fall_behind()

    def eof_received(self) -> bool:
        """The client will send no more. Forget it at once, but keep the connection until it has its last replies.

        If it waits for a list, another client may fill that in this very turn; the element would be lost. But what it
        has sent is executed first, where that has to wait for its turn.
        """
        self.ended = self.behind
        if self.ended:
            return True
        self.forget_client()
        self.iteration.send_soon(self)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, politely (`exc` is None) or not: leave the `clients`."""
        self.clients.connections.discard(self)
        self.forget_client()

    def forget_client(self) -> None:
        """Do nothing more for the client: `work` may still be on its way, and the time that it waits run out."""
        self.client.leaving = True
        self.clients.over.discard(self)
        self.engine.disconnect(self.client)
        self.client.let_go()
        if self.timer is not None:
            self.timer.cancel()


def keep_alive(connected: socket.socket, seconds: int) -> None:
    """Have the system find out, after so many seconds of silence, whether the other end is still there."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(seconds > 0))
    if seconds and hasattr(socket, "TCP_KEEPIDLE"):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, min(seconds, 32767))
