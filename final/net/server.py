"""The server: it listens, keeps the time, and stops. What requests mean is the engine's."""

import asyncio
import os
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, NoReturn

from ..engine.engine import Engine
from ..engine.mishaps import out_of_memory
from ..engine.open_files import room_for
from ..options import Options
from ..protocol.errors import protected, too_many_clients
from ..protocol.writer import encode
from ..server_log import announce, log
from .before_sleep import Iteration
from .connection import Clients, Connection, keep_alive
from .door import Door, Guest
from .stopping import forget_signals
from .while_busy import WhileBusy

FASTEST = 500  # rounds of removing expired keys in a second, however great `hz` is
RESERVE = 1 << 20  # bytes with which there is memory left to say that there is none
LOOK_EVERY = 0.1  # seconds between two looks at the rewrite of the log
PATIENCE = 0.6  # seconds that an orderly end may take


class Server:
    """The listening side: it accepts clients, lets the engine work, keeps the time, and stops cleanly."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.engine = Engine(
            options,
            on_stop=self.stop,
            while_busy=lambda: self.while_busy.listen(),
            in_child=forget_signals,
            on_broken=self.end,
        )
        self.clients = Clients()
        self.iteration = Iteration(self.engine, self.stop, self.end)
        self.door = Door(self.welcome, self.iteration.behind)
        self.while_busy = WhileBusy(self.iteration, self.clients, self.door)
        self.stopping = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop | None = None  # none while the log is loading
        self.failure: str | None = None  # why we stop, where it is not because we were asked to
        self.reserve = bytes(RESERVE)

    async def run(self) -> None:
        """Serve until `stop` is called or a signal asks for it. Raises OSError when the address cannot be had."""
        loop = self.loop = asyncio.get_running_loop()
        loop.set_exception_handler(self.notice)
        asked = self.options.maxclients
        self.options.maxclients = room_for(asked)
        if self.options.maxclients < asked:
            log.warning("the system allows too few open files: maxclients is %d", self.options.maxclients)
        host, self.options.port = self.door.open(self.options.bind, self.options.port)
        regular = (self.expire_regularly(), self.rewrite_when_due(), self.sync_every_second(), self.part_with_some())
        tickers = [asyncio.create_task(self.keep_up(each)) for each in regular]
        announce(f"listening on {host}:{self.options.port}")
        await self.stopping.wait()
        self.door.close()
        for ticker in tickers:
            ticker.cancel()
        self.engine.rewriter.cancel()
        if self.failure is None:
            self.iteration.before_sleep()
        for connection in self.clients.connections:
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
            connection = Connection(self.iteration, self.clients, guest)
            self.clients.connections.add(connection)
            return connection
        engine.counters.connections_rejected += 1
        guest.write(encode(refusal))
        return None

    def interrupt(self) -> float:
        """A signal asks us to end, in a thread: have the event loop do so. Give the seconds that it has for that."""
        if self.loop is None:
            log.info("told to stop while the log was loading")
            return 0
        if self.engine.scripts.busy:
            return 0
        with suppress(RuntimeError):  # the loop is closed already
            self.loop.call_soon_threadsafe(self.stop)
        return PATIENCE

    def leave(self, status: int = 0) -> None:
        """End at once, in the middle of whatever is done. What was acknowledged is in the log."""
        try:
            self.engine.rewriter.cancel()
        finally:
            os._exit(status)

    def stop(self, failure: str | None = None) -> None:
        """Let `run` come to its end, because we were asked to, or because of a `failure`."""
        if self.engine.scripts.busy:  # it would not let the event loop have another iteration
            if failure:
                log.critical("%s", failure)
            self.leave(1 if failure else 0)
        self.failure = self.failure or failure
        self.stopping.set()

    def end(self, error: BaseException) -> NoReturn:
        """End at once, with status 1: what is in memory may be half of something. What was acknowledged is in the log.

        Nothing more may be executed, written or sent, so there is no orderly way: see `mishaps.py`.
        """
        try:
            self.reserve = b""
            if out_of_memory(error):
                log.critical("out of memory: the server ends")
            else:
                log.critical("a fault of the server's own: it ends", exc_info=error)
        finally:
            os._exit(1)

    def notice(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The event loop has caught what a callback of ours, or one of its own, did not expect."""
        error = context.get("exception")
        if error is not None and out_of_memory(error):
            self.end(error)
        log.error("%s", context["message"], exc_info=error)

    async def keep_up(self, ticker: Coroutine[None, None, None]) -> None:
        """Run a ticker. One that fails ends the server: nobody would notice that its work is not done any more."""
        try:
            await ticker
        except Exception as error:
            self.end(error)

    async def expire_regularly(self) -> None:
        """Remove keys that have expired and that nobody asks for, a few at a time, so that clients do not wait."""
        while True:
            more = self.engine.expire()
            self.iteration.before_sleep()
            await asyncio.sleep(0 if more else 1 / min(max(self.options.hz, 1), FASTEST))

    async def part_with_some(self) -> None:
        """Each second, hang up on clients that have let too much wait for too long, or asked nothing for too long."""
        while True:
            await asyncio.sleep(1)
            for connection in list(self.clients.over):
                connection.mind_limit()
            if self.options.timeout:
                self.part_with_idle()

    def part_with_idle(self) -> None:
        """Hang up on clients that have asked nothing for longer than `timeout` says, and do not wait for anything."""
        oldest = self.engine.steady() - self.options.timeout * 1000
        for connection in list(self.clients.connections):
            client = connection.client
            if client.active < oldest and not (client.parked or client.listening or client.monitoring):
                connection.transport.close()

    async def rewrite_when_due(self) -> None:
        """Look after the rewrite of the log: begin one that is due, and go over to what a child has written."""
        while True:
            self.engine.rewriter.tick()
            await asyncio.sleep(LOOK_EVERY)

    async def sync_every_second(self) -> None:
        """Each second, see whether the log is as we left it; under `everysec` sync it, in a thread, as that takes long.

        Where the disk fails, the log itself sees to it that writes are refused, and the rewriter that it is mended.
        """
        while True:
            await asyncio.sleep(1)
            log = self.engine.log
            if log is not None and self.options.appendfsync == "everysec":
                with suppress(OSError):
                    await asyncio.to_thread(log.sync)
            if log is not None:
                log.look()
