"""The server: sockets, timers and signals, and the only file that knows them. What requests mean is the engine's."""

import asyncio
import os
import signal
from collections import deque
from contextlib import suppress
from time import perf_counter

from .by_hand import ByHand
from .connection import Connection, keep_alive
from .door import Door, Guest
from .engine import Engine
from .errors import protected, too_many_clients
from .limits import room_for
from .options import Options
from .server_log import log
from .writer import encode

FASTEST = 500  # rounds of removing expired keys in a second, however great `hz` is
SLICE = 0.002  # seconds of executing in one iteration of the event loop, then the others have their turn …
LOOK_EVERY = 0.1  # seconds between two looks at the rewrite of the log


class Server:
    """The listening side: it accepts clients, lets the engine work, keeps the time, and stops cleanly."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.engine = Engine(options, on_stop=self.stop, while_busy=ByHand(self).listen, in_child=forget_signals)
        self.connections: set[Connection] = set()
        self.unsent: dict[Connection, None] = {}  # those whose replies go out at the end of this turn of the loop
        self.behind: deque[Connection] = deque()  # those who have more to execute, in the order of their turns
        self.door = Door(self.welcome, self.behind)
        self.scheduled = False  # `next_iteration` will be called
        self.slice = SLICE  # seconds of executing in one iteration …
        self.deadline = 0.0  # … and when those are over; 0: nothing was executed in it so far
        self.over: set[Connection] = set()  # those for whom more waits than their soft limit allows
        self.stopping = asyncio.Event()
        self.failure: str | None = None  # why we stop, where it is not because we were asked to

    async def run(self) -> None:
        """Serve until `stop` is called or a signal asks for it. Raises OSError when the address cannot be had."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.interrupt(loop))
        asked = self.options.maxclients
        self.options.maxclients = room_for(asked)
        if self.options.maxclients < asked:
            log.warning("the system allows too few open files: maxclients is %d", self.options.maxclients)
        host, self.options.port = self.door.open(self.options.bind, self.options.port)
        regular = (self.expire_regularly(), self.rewrite_when_due(), self.sync_every_second(), self.part_with_some())
        tickers = [asyncio.create_task(each) for each in regular]
        print(f"listening on {host}:{self.options.port}", flush=True)
        await self.stopping.wait()
        self.door.close()
        for ticker in tickers:
            ticker.cancel()
        self.engine.rewriter.cancel()
        if self.failure is None:
            self.before_sleep()
        for connection in self.connections:
            connection.transport.close()

    def welcome(self, guest: Guest) -> Connection | None:
        """Make a connection for a client that has come, or tell it why it cannot come in."""
        engine, options = self.engine, self.options
        host = guest.get_extra_info("peername")[0]
        from_here = host.startswith("127.") or host == "::1"
        if len(engine.clients) >= options.maxclients:
            refusal = too_many_clients()
        elif options.protected_mode == "yes" and not (options.requirepass or from_here):
            refusal = protected()
        else:
            keep_alive(guest.socket, options.tcp_keepalive)
            connection = Connection(self, guest)
            self.connections.add(connection)
            return connection
        engine.counters.connections_rejected += 1
        guest.write(encode(refusal))
        return None

    def interrupt(self, loop: asyncio.AbstractEventLoop) -> None:
        """A signal asks us to end: in the loop's next turn, or, where a script leaves it none, at once."""
        if self.engine.scripts.busy:
            self.stop()
        loop.call_soon_threadsafe(self.stop)

    def stop(self, failure: str | None = None) -> None:
        """Let `run` come to its end, because we were asked to, or because of a `failure`."""
        if self.engine.scripts.busy:  # it would not let the loop have another turn; what was answered is in the log
            if failure:
                log.critical("%s", failure)
            os._exit(1 if failure else 0)
        self.failure = self.failure or failure
        self.stopping.set()

    def send_soon(self, connection: Connection) -> None:
        """Have this connection's replies sent at the end of this turn of the event loop, by `before_sleep`."""
        if not self.scheduled:
            self.schedule()
        self.unsent[connection] = None

    def wait_for_turn(self, connection: Connection) -> None:
        """Have this connection's requests executed in a coming iteration, by `catch_up`, after those that wait now."""
        if not self.scheduled:
            self.schedule()
        self.behind.append(connection)

    def schedule(self) -> None:
        """Have `next_iteration` called when all that has come in is executed, or the time for that is over."""
        self.scheduled = True
        asyncio.get_running_loop().call_soon(self.next_iteration)

    def next_iteration(self) -> None:
        """An iteration of the event loop begins: first comes what the last one has left to do."""
        self.scheduled = False
        self.before_sleep()
        self.deadline = 0.0
        if self.behind:
            self.catch_up()

    def begin(self) -> float:
        """Something is executed in this iteration: tell until when."""
        self.deadline = perf_counter() + self.slice
        return self.deadline

    def catch_up(self) -> None:
        """Execute requests of clients that fell behind, each its share, as long as the time is not over.

        Then those who have sent something in this iteration get as much time. So an iteration is bounded, however
        many clients have however much to execute, and nobody who sends little waits for all those who sent a lot.
        """
        deadline = self.begin()
        for _ in range(len(self.behind)):
            if not self.behind or perf_counter() >= deadline:
                break
            connection = self.behind.popleft()
            try:
                connection.catch_up()
            except Exception:
                connection.fail()
        if self.behind and not self.scheduled:
            self.schedule()
        self.deadline = 0.0

    def before_sleep(self) -> None:
        """The turn is over, everything that had come in is executed: flush the log, then send the replies.

        All requests of one turn, of whatever clients, share one write to the log and, under `always`, one fsync.
        When the log cannot be written then, nobody gets a reply: `stop` with the reason. Where that takes long, more
        is executed in an iteration, or most of the time would be spent on it.
        """
        try:
            if self.engine.log is not None:
                began = perf_counter()
                self.engine.log.flush()
                self.slice = max(SLICE, perf_counter() - began)
        except OSError as error:
            self.stop(f"cannot write the log: {error}")
            return
        unsent, self.unsent = self.unsent, {}
        for connection in unsent:
            try:
                connection.send()
            except Exception:
                connection.fail()

    async def expire_regularly(self) -> None:
        """Remove keys that have expired and that nobody asks for, a few at a time, so that clients do not wait."""
        while True:
            more = self.engine.expire()
            self.before_sleep()
            await asyncio.sleep(0 if more else 1 / min(max(self.options.hz, 1), FASTEST))

    async def part_with_some(self) -> None:
        """Each second, hang up on clients who have let too much wait for too long, or asked nothing for too long."""
        while True:
            await asyncio.sleep(1)
            for connection in list(self.over):
                connection.mind_limit()
            if self.options.timeout:
                self.part_with_idle()

    def part_with_idle(self) -> None:
        """Hang up on clients that have asked nothing for longer than `timeout` says, and do not wait for anything."""
        oldest = self.engine.steady() - self.options.timeout * 1000
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
        """Each second, see whether the log is in its place; under `everysec` sync it, in a thread, as that takes long.

        Where the disk fails, the log itself sees to it that writes are refused, and the rewriter that it is mended.
        """
        while True:
            await asyncio.sleep(1)
            log = self.engine.log
            if log is not None and self.options.appendfsync == "everysec":
                with suppress(OSError):
                    await asyncio.to_thread(log.sync)
            elif log is not None:
                log.look()


def forget_signals() -> None:
    """In a child process: let signals end it. They must not reach the server's event loop, whose files it shares."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
