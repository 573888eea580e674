"""The engine runs one request at a time, whole, at one instant, and hands on what it changed. It knows no socket."""

from collections import deque
from collections.abc import Callable
from itertools import count
from secrets import token_hex
from time import perf_counter

from .. import commands  # noqa: F401  (the commands enter themselves into the table)
from ..data.announcing_store import announce
from ..data.scan import Order
from ..data.store import UNLOGGED, Place, Store, Unit
from ..log.aof import Log
from ..log.rewrite import Rewriter
from ..log.snapshot import Snapshots
from ..options import Options
from ..protocol.errors import ReplyError, busy, log_failed, out_of_memory, snapshot_failed
from ..protocol.writer import NO_REPLY, Value
from .admit import admit
from .blocking import Waiting
from .client import Client, about_to_run, discard
from .clocks import steady_clock, wall_clock
from .command import ALLOW_BUSY, COMMANDS, DENYOOM, RUNS_QUEUE, UNQUEUED, Command, find
from .counters import Counters
from .evict import Eviction
from .faults import Faults, reraise
from .monitor import Monitors
from .notify import Notifications
from .pause import Pause
from .pubsub import PubSub
from .scripts import Scripts
from .security_warning import SecurityWarning
from .slowlog import SlowLog
from .wait import Wait
from .watch import Watching


class Engine:
    """The data, the log and the clients, and the way of a request through them: admit, run, settle.

    `clock` and `steady` return the time in milliseconds; a test may hand in its own. `on_stop` is called by SHUTDOWN,
    `while_busy` now and then by a script that does not end, `in_child` in a forked process, and `on_broken` with an
    exception that broke a request off in the middle: it should end the server.
    """

    def __init__(
        self,
        options: Options,
        clock: Callable[[], int] = wall_clock,
        steady: Callable[[], int] = steady_clock,
        on_stop: Callable[[], None] = lambda: None,
        while_busy: Callable[[], None] = lambda: None,
        in_child: Callable[[], None] = lambda: None,
        on_broken: Callable[[BaseException], None] = reraise,
    ) -> None:
        self.options = options
        self.steady = steady
        self.stop = on_stop
        self.unit = Unit(clock)
        self.stores = [Store(index, self.unit) for index in range(options.databases)]
        announce(self.stores, "n" in options.notify_keyspace_events)
        self.order = Order()
        self.counters = Counters()
        self.pubsub = PubSub()
        self.notifications = Notifications(options, self.pubsub, self.counters)
        self.waiting = Waiting()
        self.watching = Watching()
        self.clients: dict[int, Client] = {}
        self.log: Log | None = None  # None: nothing is logged
        self.rewriter = Rewriter(self, in_child)
        self.snapshots = Snapshots(self, in_child)
        self.monitors = Monitors()
        self.slowlog = SlowLog(options)
        self.pause = Pause()
        self.eviction = Eviction(options, self.stores, steady)
        self.scripts = Scripts(options, self.run, lambda: self.eviction.full, lambda: self.disk_failure, while_busy)
        self.faults = Faults(self.unit, on_broken, self.settle_expired)
        self.started = self.recently = steady()  # the latter is set some ten times a second
        self.run_id = token_hex(20)  # random for each start: a tool sees a restart by it
        self.active_expire = True  # remove expired keys before they are accessed; DEBUG SET-ACTIVE-EXPIRE sets it
        self.security_warning = SecurityWarning()
        self._ids = count(1)

    def connect(self, address: str = "", local_address: str = "", deliver: Callable[[Value], None] = discard) -> Client:
        """Register a client that has connected. `deliver` sends it messages that are not the reply to its request."""
        self.counters.connections_received += 1
        client = Client(next(self._ids), self.stores[0], address=address, local_address=local_address, deliver=deliver)
        client.authenticated = not self.options.requirepass
        client.connected_at = client.last_interaction = self.recently = self.steady()
        self.clients[client.id] = client
        return client

    def disconnect(self, client: Client) -> None:
        """Forget a client that has disconnected, and all that it waits for, watches and is subscribed to."""
        self.clients.pop(client.id, None)
        self.waiting.unpark(client)
        self.watching.unwatch(client)
        self.pubsub.unsubscribe_all(client)
        self.monitors.remove(client)

    def execute(self, client: Client, args: list[bytes]) -> Value:
        """Run one request of a client and settle what it changed; return the reply.

        If its command has to wait for a key, the client is `parked`, and there is no reply now.
        """
        if self.scripts.busy:
            return self.refuse(client, args)
        self.unit.stopped = None
        try:
            command = find(args)
            client.last_command = command.name
            admit(client, command, self.options.requirepass, self.disk_failure)
            if self.eviction.keeping:
                self.make_room(client, command, args)
        except ReplyError as error:
            self.security_warning.check(client, args, self.recently)
            return self.reject(client, args, error)
        if client.queue is not None and UNQUEUED not in command.flags:
            client.queue.append((command, args))
            return "QUEUED"
        answer = self.run(client, command, args)
        if self.unit.notes:
            self.settle()
        return answer

    def refuse(self, client: Client, args: list[bytes]) -> Value:
        """While a script does not end: answer BUSY, unless the command is one that may end it. Nothing is settled."""
        try:
            command = find(args)
            if ALLOW_BUSY not in command.flags:
                raise busy()
            admit(client, command, self.options.requirepass, self.disk_failure)
            return command.run(self, client, args)
        except ReplyError as error:
            return self.reject(client, args, error)

    def reject(self, client: Client, args: list[bytes], error: ReplyError) -> ReplyError:
        """Return the error for a request that must not run; the transaction that it belongs to, or runs, fails too."""
        client.dirty_exec = True  # EXEC will answer EXECABORT
        self.counters.error_replies += 1
        command = COMMANDS.get(args[0].lower())
        if command is None or RUNS_QUEUE not in command.flags:
            return error
        client.queue = None
        self.watching.unwatch(client)
        return ReplyError(f"EXECABORT Transaction discarded because of: {str(error).removeprefix('ERR ')}")

    @property
    def disk_failure(self) -> ReplyError | None:
        """The error for writes while changes cannot be kept on the disk; None: they can."""
        if self.snapshots.refuses_writes:
            return snapshot_failed()
        return log_failed(self.log.failure) if self.log is not None and self.log.failure else None

    @property
    def forked(self) -> bool:
        """Whether a child process runs, for a rewrite or a snapshot. There is at most one."""
        return self.rewriter.worker is not None or self.snapshots.worker is not None

    def make_room(self, client: Client, command: Command, args: list[bytes]) -> None:
        """Evict keys before a request runs, until `maxmemory` is kept.

        Raises `out_of_memory` if that fails and the request might need more memory.
        """
        self.eviction.touch(client.db.index, command, args)
        if not self.eviction.full:
            return
        while self.eviction.full and (place := self.eviction.victim()) is not None:
            store = self.stores[place[0]]
            if store.delete(place[1]):
                store.changed(place[1], log=(b"DEL", place[1]), event="evicted")
                self.counters.evicted += 1
            self.eviction.enter(place)
        self.complete(client, command, args, NO_REPLY)
        self.settle()
        if self.eviction.full and any(DENYOOM in each.flags for each in about_to_run(client, command)):
            raise out_of_memory()

    def run(self, client: Client, command: Command, args: list[bytes]) -> Value:
        """Run a command, complete its notes, and return its answer, unless it waits or the client was sent the answer.

        A ReplyError is returned, not raised.
        """
        start, began = len(self.unit.notes), perf_counter()
        if self.monitors.clients:
            self.monitors.before(client, command, args)
        answer = self.perform(client, command, args)
        if isinstance(answer, Wait):
            park, now = self.waiting.park, self.steady()
            answer = answer.otherwise if client.deny_blocking else park(client, command, args, answer, now)
        if len(self.unit.notes) > start or client.overhears:
            answer = self.complete(client, command, args, answer, start)
        took = (perf_counter() - began) * 1e6
        self.counters.commands_processed += 1
        if self.monitors.clients:
            self.monitors.after(client, command, args)
        if client.parked is not None:
            client.parked.took = took  # the slow log gets it when it is served
        elif took >= self.options.slowlog_log_slower_than:
            self.slowlog.keep(client, command, args, took)
        return answer

    def perform(self, client: Client, command: Command, args: list[bytes]) -> Value:
        """Call a command's function, and count the keys that it looked up: shared by `run` and the fast path."""
        try:
            answer = command.run(self, client, args)
        except ReplyError as error:
            self.counters.error_replies += 1
            answer = error.with_traceback(None)  # else the values in its frames live until the next collection
        except Exception as error:
            self.faults.in_command(command, error)
            raise
        if command.counts_lookups:
            self.counters.count_lookups(client.db, command, args)
        return answer

    def complete(self, client: Client, command: Command, args: list[bytes], answer: Value, start: int = 0) -> Value:
        """Replace AS_REQUESTED in the unit's notes from `start` on by the request, once, and publish their events.

        A client that overhears is sent the answer now, where Redis sends it. Return the answer if it is left to send.
        """
        logged, events = False, 0
        for note in self.unit.notes[start:]:  # not islice, which walks over all the notes before `start`
            if note.log is None:
                note.log = UNLOGGED if logged else args
                logged = True
            if note.event is not None:
                if note.event != "expired":
                    if events == command.events_before_reply and client.overhears:
                        answer = client.say(answer)
                    events += 1
                self.notifications.publish(note, command)
        return client.say(answer) if client.overhears else answer

    def settle(self) -> None:
        """End the unit: hand its changes to the log, to clients that watch the keys, and to those that wait for them.

        Whatever is raised here leaves half of that, so it ends the server.
        """
        try:
            self._settle()
        except Exception as error:
            self.faults.end(error)

    def _settle(self) -> None:
        """`settle`. Each waiting command that is served is a unit of its own, and may change what others wait for."""
        ready: deque[Place] = deque()
        while True:
            notes, self.unit.notes = self.unit.notes, []
            if self.eviction.keeping:
                self.eviction.changed(notes)
            if self.log is not None and (records := [(note.store.index, note.log) for note in notes if note.log]):
                self.log.append(*records[0], records[1:])
            if self.watching or self.waiting:
                for note in notes:
                    for place in ((note.store.index, key) for key in note.keys):
                        if note.touch:
                            self.watching.touch(place, note.store)
                        if note.wake and place in self.waiting:
                            ready.append(place)
            while ready and not self.unit.notes:
                if not self.serve(ready[0]):
                    ready.popleft()
            if not self.unit.notes:
                return

    def serve(self, place: Place) -> bool:
        """Serve the first command that waits for the value at a place; return whether there was one."""
        index, key = place
        parked = self.waiting.first(place, self.stores[index].kind(key))
        if parked is None:
            return False
        client, command, args, began = parked.client, parked.command, parked.args, perf_counter()
        self.waiting.unpark(client)
        try:
            answer = parked.wait.serve(key)
        except ReplyError as error:
            self.counters.error_replies += 1
            answer = error
        client.say(self.complete(client, command, args, answer))
        client.end_request()
        self.slowlog.keep(client, command, args, parked.took + (perf_counter() - began) * 1e6)
        return True

    def expire(self, most: int = 200) -> bool:
        """Remove up to `most` expired keys of each database; return whether there may be more."""
        self.unit.stopped = None
        self.recently = self.steady()
        self.counters.sample(self.recently)
        if not self.active_expire or self.recently < self.pause.until:
            return False
        more = any([store.expire_due(most) for store in self.stores if store.deadlines])
        self.settle_expired()
        return more

    def settle_expired(self) -> None:
        """End a unit in which nothing but the expiry of keys was noted."""
        for note in self.unit.notes:
            self.notifications.publish(note)
        self.settle()
