"""The server: accepts clients, runs the timers, and stops. The engine executes the requests."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ssl import SSLContext
from typing import Any, NoReturn

from ..config.options import Options
from ..config.values import parse_replicaof
from ..data.garbage import settle_the_young
from ..engine.callbacks import Callbacks
from ..engine.engine import Engine
from ..engine.faults import out_of_memory
from ..engine.following import follow
from ..engine.open_files import adjust_open_files_limit
from ..protocol.errors import protected, too_many_clients
from ..protocol.reader import Reader
from ..protocol.writer import encode
from ..replication.outgoing import Conversation
from ..replication.replica import Replica
from ..server_log import announce, log
from .before_sleep import Iteration
from .certificates import for_clients, for_servers, in_use
from .client_memory import evict_clients
from .connection import Connection
from .daemon import remove_pidfile, write_pidfile
from .endpoints import Endpoint, any_port, endpoints, remove_paths
from .listener import Listener, keep_alive
from .outgoing import Outgoing
from .stopping import forget_signals
from .systemd import tell
from .while_busy import WhileBusy

RESERVE = 1 << 20  # bytes to free when memory is used up, for the line in the log that says so
CHILD_TICK = 0.1  # seconds between two checks whether a child process has ended, or is needed
PATIENCE = 0.6  # seconds that a clean stop may take


class Server:
    """Holds the engine, the listener and the connections; runs until a signal or SHUTDOWN."""

    def __init__(self, options: Options, new_reader: type[Reader] = Reader) -> None:
        """`new_reader` makes the reader of each connection."""
        self.options, self.new_reader = options, new_reader
        callbacks = Callbacks(
            stop=self.stop,
            while_busy=lambda: self.while_busy.serve(),
            in_child=forget_signals,
            broken=self.end,
            dial=self.dial,
            watch=self.watch,
            listen=self.listen,
        )
        self.engine = Engine(options, callbacks=callbacks)
        self.connections: set[Connection] = set()
        self.dialling: set[asyncio.Task[None]] = set()  # the event loop itself keeps only weak references to them
        self.iteration = Iteration(self.engine, self.stop, self.end)
        self.listener = Listener(self.create_connection, self.iteration.queue)
        self.to_servers: SSLContext | None = None  # for connections with TLS to other servers
        self.while_busy = WhileBusy(self.iteration, self.connections, self.listener)
        self.disk = ThreadPoolExecutor(1)  # the event loop's own threads may all wait for name servers
        self.stopping = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop | None = None  # None while the log is loading
        self.failure: str | None = None  # the reason to stop, unless somebody asked for it
        self.reserve = bytes(RESERVE)

    async def run(self) -> None:
        """Serve until `stop` is called. Raises CannotListen and BadTls."""
        loop = self.loop = asyncio.get_running_loop()
        loop.set_exception_handler(self.on_exception)
        asked = self.options.maxclients
        self.options.maxclients = adjust_open_files_limit(asked)
        if self.options.maxclients < asked:
            log.warning("the system allows too few open files: maxclients is %d", self.options.maxclients)
        self.listen(otherwise=any_port(self.options))
        if self.options.pidfile:
            write_pidfile(self.options.pidfile)
        if self.options.replicaof:
            follow(self.engine, *parse_replicaof(self.options.replicaof))
        timers = (self.expire_regularly(), self.save_when_due(), self.sync_every_second(), self.check_clients())
        tasks = [asyncio.create_task(self.guard(each)) for each in timers]
        announce(f"listening on {self.listener.first()}")
        if self.options.logfile or self.options.syslog_enabled == "yes":
            log.info("Ready to accept connections")
            if self.options.unixsocket:
                log.info("The server is now ready to accept connections at %s", self.options.unixsocket)
        tell(self.options.supervised, "READY=1", "STATUS=Ready to accept connections")
        await self.stopping.wait()
        tell(self.options.supervised, "STOPPING=1")
        self.forget_files()
        self.listener.close()
        for task in tasks:
            task.cancel()
        self.cancel_children()
        if self.failure is None:
            self.iteration.before_sleep()
        for connection in self.connections:
            connection.transport.close()

    def listen(self, otherwise: Sequence[Endpoint] = ()) -> None:
        """Listen where the options say, or else at these places, and no longer elsewhere.

        Raises CannotListen and BadTls; then nothing has changed.
        """
        options = self.options
        contexts = (for_clients(options), for_servers(options)) if in_use(options) else (None, None)
        self.listener.open(endpoints(options) or otherwise)
        self.listener.context, self.to_servers = contexts
        if otherwise and not endpoints(options):
            options.port = self.listener.first().port

    def create_connection(self, accepted: asyncio.Transport) -> Connection | None:
        """Create the connection of an accepted client, or send the client the reason for which it is refused."""
        engine, options = self.engine, self.options
        address = accepted.get_extra_info("peername")
        local = isinstance(address, str) or address[0].startswith("127.") or address[0] == "::1"
        if len(engine.clients) >= options.maxclients:
            refusal = too_many_clients()
        elif options.protected_mode == "yes" and engine.users.default.nopass and not local:
            refusal = protected()
        else:
            keep_alive(accepted.get_extra_info("socket"), options.tcp_keepalive)
            connection = Connection(self.iteration, self.connections, accepted, self.new_reader)
            self.connections.add(connection)
            return connection
        engine.counters.connections_rejected += 1
        accepted.write(encode(refusal))
        return None

    def dial(self, host: str, port: int, conversation: Conversation, timeout: float) -> None:
        """Open a connection to another server, for a conversation, within `timeout` seconds. Return at once."""
        outgoing, options = Outgoing(self.iteration, conversation), self.options
        chosen = options.tls_replication if isinstance(conversation, Replica) else options.tls_cluster
        tls = self.to_servers if chosen == "yes" else None
        task = asyncio.get_running_loop().create_task(outgoing.open(host, port, timeout, tls))
        self.dialling.add(task)
        task.add_done_callback(self.dialling.discard)

    def watch(self, descriptor: int, when_readable: Callable[[], None] | None) -> None:
        """Call a function whenever a file descriptor is readable; None: no longer."""
        loop = asyncio.get_running_loop()
        if when_readable is None:
            loop.remove_reader(descriptor)
        else:
            loop.add_reader(descriptor, when_readable)

    def interrupt(self) -> float | None:
        """Have the event loop stop the server, and return the seconds that it has. The signal thread calls this.

        None: it takes as long as it takes to write a snapshot, with save points, and to wait for replicas. The next
        signal ends the process.
        """
        if self.loop is None:
            log.info("told to stop while the data was loading")
            return 0
        engine = self.engine
        patient = bool(self.options.save or engine.primary.replicas)
        if engine.shutdown.told or (engine.scripts.busy and not patient):
            return 0
        engine.shutdown.told = patient
        with suppress(RuntimeError):  # the event loop is closed already
            self.loop.call_soon_threadsafe(engine.shutdown.begin)
        return None if patient else PATIENCE

    def leave(self, status: int = 0) -> None:
        """End the process at once. Every change that a client has a reply for is in the log."""
        try:
            self.forget_files()
            self.cancel_children()
        finally:
            os._exit(status)

    def forget_files(self) -> None:
        """Remove the unix socket and the file with the process id, if they are this server's."""
        remove_paths(self.listener.listening)
        remove_pidfile(self.options.pidfile)

    def cancel_children(self) -> None:
        """End the child process, if there is one."""
        self.engine.rewriter.cancel()
        self.engine.snapshots.cancel()
        self.engine.primary.full_sync.cancel()

    def stop(self, failure: str | None = None) -> None:
        """End `run`, because somebody asked for it, or because of a `failure`. No request is executed after this."""
        if self.engine.scripts.busy:  # the event loop has no further iteration
            if failure:
                log.critical("%s", failure)
            self.leave(1 if failure else 0)
        self.failure = self.failure or failure
        for client in self.engine.clients.values():
            client.closing = True
        self.stopping.set()

    def end(self, error: BaseException) -> NoReturn:
        """End the process at once, with status 1, as a change in memory may be incomplete: see `faults.py`.

        Every change that a client has a reply for is in the log. Nothing more is executed, written or sent.
        """
        try:
            self.reserve = b""
            if out_of_memory(error):
                log.critical("out of memory: the server ends")
            else:
                log.critical("a fault of the server's own: it ends", exc_info=error)
        finally:
            os._exit(1)

    def on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The event loop has caught an exception in a callback: log it, or end if memory is used up."""
        error = context.get("exception")
        if error is not None and out_of_memory(error):
            self.end(error)
        log.error("%s", context["message"], exc_info=error)

    async def guard(self, timer: Coroutine[None, None, None]) -> None:
        """Run a timer. If it fails, end the server: nothing else would show that its work is no longer done."""
        try:
            await timer
        except Exception as error:
            self.end(error)

    async def expire_regularly(self) -> None:
        """Remove expired keys that no command reads, and free garbage, a little at a time: clients do not wait."""
        while True:
            more = self.engine.expire() | self.engine.unit.garbage.free()
            self.engine.counters.evicted_clients += evict_clients(self.connections, self.options)
            for store in self.engine.stores:
                store.limit_uses(self.engine.unit.recently)
            self.iteration.before_sleep()
            await asyncio.sleep(0 if more else 1 / self.options.hz)

    async def check_clients(self) -> None:
        """Each second, close connections over the soft limit for too long, and idle ones (Redis: `clientsCron`)."""
        while True:
            await asyncio.sleep(1)
            self.check_output_limits()
            if self.options.timeout:
                self.close_idle()

    def check_output_limits(self) -> None:
        """Cut off clients that are over the soft limit for too long. Not in the timer: it would keep the last one."""
        for connection in list(self.connections):
            if connection.output_limit.over_since is not None:
                connection.check_output_limit()

    def close_idle(self) -> None:
        """Close connections that have sent nothing for `timeout` seconds and wait for nothing."""
        oldest = self.engine.steady() - self.options.timeout * 1000
        for connection in list(self.connections):
            client = connection.client
            if client.last_interaction < oldest and not (
                client.parked or client.subscribed or client.monitoring or client.replica
            ):
                connection.transport.close()

    async def save_when_due(self) -> None:
        """Some ten times a second: rewrite the log and write snapshots when they are due; keep up the replication."""
        while True:
            settle_the_young()
            self.engine.rewriter.tick()
            self.engine.snapshots.tick()
            self.engine.primary.tick()
            self.engine.shutdown.tick()
            for each in (self.engine.replica, self.engine.failover):
                if each is not None:
                    each.tick(self.engine.steady())
            await asyncio.sleep(CHILD_TICK)

    async def sync_every_second(self) -> None:
        """Each second, fsync the log under `everysec`, in a thread, and check that nobody has changed its files.

        If the fsync fails, the log refuses writes from then on, and the rewriter replaces it.
        """
        while True:
            await asyncio.sleep(1)
            log = self.engine.log
            if log is not None and self.options.appendfsync == "everysec":
                with suppress(OSError):
                    await asyncio.get_running_loop().run_in_executor(self.disk, log.sync)
            if log is not None:
                log.look()
