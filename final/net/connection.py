"""One client's connection: bytes in, requests to the engine, replies out. It knows asyncio's transports, no command.

It also limits each client: how much of an iteration of the event loop it may use, and how much memory.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from time import perf_counter

from ..protocol.reader import ProtocolError, Reader
from ..protocol.writer import NO_REPLY, Value, encode
from ..server_log import log
from .before_sleep import Iteration
from .connection_state import (
    BLOCK,
    BLOCKED,
    CLOSE,
    CLOSING,
    DONE,
    DRAINED,
    ENDING,
    EOF,
    LATER,
    NEXT,
    PAUSE,
    PAUSED,
    QUEUED,
    READY,
    RUN,
    UNBLOCK,
    UNPAUSE,
    Event,
    State,
)
from .listener import AcceptedTransport, format_address
from .reading import Reading
from .sending import ROOM, SMALL

SHARE = 128  # requests of one client in one iteration: they take some tenths of a millisecond


class Connection(Reading):
    """One client's connection, in the set `connections` until it is lost. No method blocks: the event loop calls it."""

    def __init__(
        self, iteration: Iteration, connections: "set[Connection]", accepted: asyncio.Transport,
        new_reader: type[Reader] = Reader,
    ) -> None:  # fmt: skip
        engine = iteration.engine
        address, local_address = (format_address(accepted.get_extra_info(name)) for name in ("peername", "sockname"))
        super().__init__(iteration, accepted, engine.connect(address, local_address, self.deliver))
        self.connections = connections
        self.client.hang_up, self.client.resume = self.hang_up, self.unpause
        self.client.wake = partial(iteration.send_soon, self)
        self.reader = new_reader(lambda: engine.options.proto_max_bulk_len)
        self.reader.trusted = not self.client.auth_required
        self.state: State = READY
        self.timer: asyncio.TimerHandle | None = None  # calls the function that ends the state BLOCKED or PAUSED

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Use `transport`, which the event loop has made for the client, in place of `accepted`."""
        accepted, self.transport = self.transport, transport  # type: ignore[assignment]  # uvloop's is no asyncio.Transport
        assert isinstance(accepted, AcceptedTransport)
        accepted.hand_over(self.transport)
        self.socket = accepted.socket
        self.set_chunk()
        self.reading = True
        self.update_reading()

    def data_received(self, data: bytes) -> None:
        """The client has sent `data`: execute the complete requests, or keep them for the client's turn.

        They are kept if the state is not READY, or if the time of this iteration is over; in CLOSING `data` is ignored.
        The replies are collected in `output`, in order; `send` writes them once the log holds the changes that they
        confirm. If the reader raises ProtocolError, it is sent behind the last reply, and the state becomes CLOSING.
        """
        if self.state is CLOSING:
            return
        self.client.last_interaction = self.engine.unit.recently
        self.iteration.received.append(len(data))
        in_time = self.state is READY and perf_counter() < (self.iteration.deadline or self.iteration.begin())
        try:
            args = self.reader.only(data) if in_time else None
            if args is None:
                (self.reader.feed if in_time else self.reader.keep)(data)
        except MemoryError:
            self.refuse()
            return
        if args is not None:
            self.run_alone(args)
            return
        if in_time:
            if self.run_all_plain() and len(data) <= SMALL:
                return
            self.run()
        else:
            self.move(LATER)
        held = self.reader.held
        if held > self.engine.options.client_query_buffer_limit:
            self.cut_off("max query buffer length")
        elif len(data) > SMALL:  # limit the client to one large chunk per iteration: uvloop would read many
            self.move(LATER)
            self.set_chunk()
            self.iteration.wait_for_turn(self)  # also if it is BLOCKED or PAUSED: `take_turn` reads again
            self.update_reading()
        elif held > SMALL:
            self.update_reading()

    def run_alone(self, args: list[bytes]) -> None:
        """Execute a request before which nothing waits, in the shortest way if the fast path takes it."""
        client, iteration = self.client, self.iteration
        try:
            barred = self.choked or client.closing or len(self.output) >= ROOM
            if barred or not iteration.fast_path.answer(client, args, self.output):
                self.reader.ready = [args]
                self.run()
                return
        except Exception as error:
            self.fail(error)
        iteration.send_soon(self)

    def run_all_plain(self) -> bool:
        """Do what `run` does if all that has come takes the fast path; return whether it did: 4.6 µs, else 5.1."""
        ready, iteration = self.reader.ready, self.iteration
        if not 0 < len(ready) <= SHARE or self.reader.held or self.choked or self.client.closing:
            return False
        try:
            iteration.fast_path.take(self.client, ready, self.output, SHARE, ROOM, iteration.deadline)
        except Exception as error:
            self.fail(error)
        if not iteration.scheduled:
            iteration.schedule()
        iteration.unsent[self] = None  # `send_soon`, without a call
        return not ready

    def run(self) -> None:
        """Execute the complete requests, in order, until none is left or the next one may not be executed now.

        After SHARE requests or ROOM bytes of replies, or when the time of the iteration is over, the rest waits for the
        client's turn. The loop also ends if it is choked, blocked or closing, or if CLIENT PAUSE holds the next one.
        """
        client, reader, engine = self.client, self.reader, self.engine
        deadline = self.iteration.deadline or self.iteration.begin()
        self.state = NEXT[self.state][RUN]
        outcome, share = DONE, SHARE
        try:
            while not (client.closing or client.parked is not None or self.choked):
                if share <= 0 or len(self.output) >= ROOM:
                    outcome = LATER
                    break
                if reader.ready:
                    share -= self.iteration.fast_path.take(client, reader.ready, self.output, share, ROOM, deadline)
                reader.trusted = not client.auth_required
                try:
                    args = reader.next()
                except MemoryError:
                    self.refuse()
                    break
                if args is None:
                    break
                if engine.pause.until and engine.pause.holds(client, args, engine.steady()):
                    reader.ready.append(args)  # `ready` is in reverse order: this request is the next one again
                    outcome = PAUSE
                    break
                share -= 1
                replica, before = client.replica, len(self.output)
                answer = engine.execute(client, args)
                if replica is not None and (
                    answer is not NO_REPLY or (len(self.output) > before and not client.monitoring)
                ):
                    engine.primary.drop(replica, f"a reply to {client.last_command} would be in its stream")
                    break
                if not client.muted:
                    self.add(answer)
                if client.parked is None:
                    client.end_request()
                if perf_counter() >= deadline:
                    share = 0
        except ProtocolError as error:
            self.output += encode(ProtocolError(f"ERR {error}"))
            client.closing = True
        except Exception as error:  # a bug in the server, or no memory
            self.fail(error)
        if client.closing:
            outcome = CLOSE
        elif client.parked is not None:
            outcome = BLOCK
        self.move(outcome)
        self.iteration.send_soon(self)

    def move(self, event: Event) -> None:
        """Change the state by the table in `connection_state`; queue the client or start a timer if necessary."""
        before = self.state
        state = self.state = NEXT[before][event]
        if state is READY or state is before:
            return
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if state is QUEUED:
            self.iteration.wait_for_turn(self)
            if self.reader.held > SMALL:
                self.update_reading()
        elif state is PAUSED:
            self.start_timer(self.engine.pause.until, self.unpause)
        elif state is BLOCKED:
            parked = self.client.parked
            if parked is not None and parked.deadline is not None:
                self.start_timer(parked.deadline + 1, self.engine.waiting.time_out, parked)  # + 1: not too early

    def start_timer(self, when: int, callback: Callable[..., None], *args: object) -> None:
        """Call `callback` at the time `when` of the steady clock, in milliseconds, unless the state changes before."""
        seconds = (when - self.engine.steady()) / 1000
        self.timer = asyncio.get_running_loop().call_later(seconds, callback, *args)

    def take_turn(self) -> None:
        """It is the client's turn: execute more requests and read again; after EOF, close when none is left."""
        ending = self.state is ENDING
        if ending or self.state is QUEUED:
            self.run()
        if ending:
            self.eof_received()
        elif not self.reading:
            self.update_reading()

    def fail(self, error: Exception) -> None:
        """Close the connection after an unexpected error, once the replies to earlier requests are sent."""
        self.engine.faults.in_request(error)
        client = self.client
        log.error("client %d from %s is cut off: its request has failed", client.id, client.address, exc_info=error)
        client.closing = True
        self.move(CLOSE)

    def refuse(self) -> None:
        """Cut off the client because there is no memory to read its next request. That request is not executed."""
        self.reader = Reader()  # before `cut_off`: frees the input that the old one holds
        self.cut_off("no memory for its request")

    def hang_up(self) -> None:
        """Close the connection at once; replies that are not sent yet are lost."""
        self.move(CLOSE)
        self.transport.abort()

    def cut_off(self, limit: str) -> None:
        """Close the connection at once and log why: `limit` is the limit that the client exceeds, or another reason."""
        log.warning("client %d from %s is cut off: %s", self.client.id, self.client.address, limit)
        self.forget_client()
        self.hang_up()

    def unpause(self) -> None:
        """CLIENT PAUSE is over: the request that it delayed is executed at the client's turn."""
        self.move(UNPAUSE)

    def deliver(self, value: Value) -> None:
        """Send a push, a line of MONITOR, a reply in EXEC, or that to a blocked command, whose wait ends."""
        if value is not NO_REPLY:  # as CLIENT REPLY OFF leaves it
            self.add(value)
            self.client.last_interaction = self.engine.unit.recently
            self.iteration.send_soon(self)
        if self.state is BLOCKED and self.client.parked is None:
            self.move(UNBLOCK)
        if len(self.output) > ROOM:
            self.check_output_limit()

    def send_soon(self) -> None:
        """Have `send` called at the end of this iteration."""
        self.iteration.send_soon(self)

    def choke(self, choked: bool) -> None:
        """Execute and read nothing until the client has read its replies; then execute what is left at its turn."""
        if choked is not self.choked:
            self.choked = choked
            if not choked:
                self.move(DRAINED)
            self.update_reading()

    def eof_received(self) -> bool:
        """The client has sent EOF. Return True, to keep the connection open until the last replies are written.

        Requests that wait for the client's turn are still executed, and then the connection is closed. One that a pause
        delays is not. A blocked command ends without a reply: else it could pop an element for a client that has gone.
        """
        self.move(EOF)
        if self.state is CLOSING:
            self.forget_client()
            self.iteration.send_soon(self)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by an error if `exc` is not None: remove it, and its client from the engine."""
        self.connections.discard(self)
        self.forget_client()

    def forget_client(self) -> None:
        """Remove the client from the engine. If `run` is executing, its loop ends, as `client.closing` is set."""
        self.client.closing = True
        self.move(CLOSE)
        self.engine.disconnect(self.client)
        self.client.detach()
