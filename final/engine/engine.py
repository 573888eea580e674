"""The engine runs one request at a time, whole, at one instant, and hands on what it changed. It knows no socket."""

from collections.abc import Callable
from functools import partial
from itertools import count
from secrets import token_hex
from time import perf_counter

from .. import commands  # noqa: F401  (the commands enter themselves into the table)
from ..config.options import Options
from ..data.announcing_store import announce
from ..data.events import AT_ONCE
from ..data.scan import Order
from ..data.store import Store
from ..data.unit import NO_EVENT, UNLOGGED, Unit
from ..latency import Latency
from ..log.aof import Log
from ..log.rewrite import Rewriter
from ..log.snapshot import Snapshots
from ..protocol.errors import NamingError, ReplyError, no_such_key
from ..protocol.writer import Value
from ..replication.failover import Failover
from ..replication.primary import Primary
from ..replication.replica import Replica
from ..replication.targets import Targets
from .acl.log import AclLog
from .acl.users import Users
from .admit import Admission
from .blocking import Waiting
from .callbacks import NO_CALLBACKS, Callbacks
from .client import Client, ignore
from .clocks import steady_clock, wall_clock
from .command import ALLOW_BUSY, RUNS_QUEUE, UNQUEUED, Command, find
from .counters import Counters
from .evict import Eviction
from .faults import Faults
from .functions import Functions
from .in_unit import steps
from .lookups import read_keys, use_keys
from .make_room import keep_limit, make_room
from .monitor import Monitors
from .notify import Notifications
from .packing import limit_packing
from .pause import Pause
from .pubsub import PubSub
from .scripts import Scripts
from .security_warning import SecurityWarning
from .settle import settle
from .shutdown import Shutdown
from .slowlog import SlowLog, slow_after, was_slow
from .tracking import Tracking
from .wait import Wait
from .watch import Watching


class Engine:
    """The data, the log and the clients, and the way of a request through them: admit, run, settle.

    `clock` and `steady` return the time in milliseconds; a test may hand in its own, as `callbacks`.
    """

    def __init__(
        self,
        options: Options,
        clock: Callable[[], int] = wall_clock,
        steady: Callable[[], int] = steady_clock,
        callbacks: Callbacks = NO_CALLBACKS,
    ) -> None:
        self.options, self.steady = options, steady
        self.stop, self.dial, self.watch = callbacks.stop, callbacks.dial, callbacks.watch
        self.listen, self.targets = callbacks.listen, Targets(callbacks.dial)
        self.unit = Unit(clock)
        self.stores = [Store(index, self.unit) for index in range(options.databases)]
        limit_packing(options, self.stores)
        announce(self.stores, options.notify_keyspace_events)
        self.order = Order(self.unit.garbage)
        self.counters, self.latency = Counters(), Latency(options, clock)
        self.counters.calls.track(options.latency_tracking == "yes")
        self.pubsub = PubSub()
        self.notifications = Notifications(options, self.pubsub, self.counters)
        self.waiting, self.watching = Waiting(self.counters), Watching()
        self.clients: dict[int, Client] = {}
        self.tracking = Tracking(options, self.clients, self.unit.garbage)
        self.log: Log | None = None  # None: nothing is logged
        self.rewriter = Rewriter(self, callbacks.in_child)
        self.snapshots = Snapshots(self, callbacks.in_child)
        self.primary = Primary(self, callbacks.in_child)
        self.monitors, self.slowlog, self.pause = Monitors(), SlowLog(options), Pause(self)
        self.slow_after = slow_after(options)
        self.eviction = Eviction(options, self.stores, steady)
        self.users, self.acl_log = Users(options), AclLog(options)
        self.admission = Admission(self)
        full = lambda: self.eviction.full  # noqa: E731
        self.scripts = Scripts(options, partial(steps, self), full, self.admission, callbacks.while_busy, self.counters)
        self.functions = Functions(self.scripts)
        self.faults = Faults(self.unit, callbacks.broken, self.settle_expired)
        self.started = self.unit.recently = steady()
        self.replica: Replica | None = None  # None: this server is a primary
        self.shutdown = Shutdown(self)
        self.failover: Failover | None = None  # while this primary hands over to a replica
        self.run_id = token_hex(20)  # random for each start: a tool sees a restart by it
        self.active_expire = True  # remove expired keys before they are accessed; DEBUG SET-ACTIVE-EXPIRE sets it
        self.security_warning = SecurityWarning()
        self._ids = count(1)

    def connect(self, address: str = "", local_address: str = "", deliver: Callable[[Value], None] = ignore) -> Client:
        """Register a client that has connected. `deliver` sends it messages that are not the reply to its request."""
        self.counters.connections_received += 1
        client = Client(next(self._ids), self.stores[0], address=address, local_address=local_address, deliver=deliver)
        client.be_unauthenticated(self.users.default)
        client.connected_at = client.last_interaction = self.unit.recently = self.steady()
        self.clients[client.id] = client
        return client

    def disconnect(self, client: Client) -> None:
        """Forget a client that has disconnected, and all that it waits for, watches and is subscribed to."""
        self.clients.pop(client.id, None)
        if client.replica is not None:
            self.primary.detach(client.replica)
        self.waiting.unpark(client)
        self.watching.unwatch(client)
        self.pubsub.unsubscribe_all(client)
        self.monitors.remove(client)
        self.tracking.gone(client)

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
            self.admission.check(client, command, args)
            if self.eviction.keeping:
                make_room(self, client, command, args)
            if self.tracking.table:
                self.tracking.keep_limit()
        except ReplyError as error:
            self.security_warning.check(client, args, self.unit.recently)
            return self.reject(client, args, error)
        if client.queue is not None and UNQUEUED not in command.flags:
            client.queue += [] if client.doomed else [(command, args)]
            return "QUEUED"
        answer = self.run(client, command, args)
        if self.unit.notes:
            self.settle()
        if self.primary.feeding:
            client.write_offset = self.primary.offset
        return answer

    def refuse(self, client: Client, args: list[bytes]) -> Value:
        """While a script does not end: answer BUSY, unless the command is one that may end it. Nothing is settled."""
        try:
            command = find(args)
            if ALLOW_BUSY not in command.flags:
                raise self.scripts.busy_error
            self.admission.check(client, command, args)
            began, answer = perf_counter(), command.run(self, client, args)
            self.counters.calls.add(command.name, perf_counter() - began)
            return answer
        except ReplyError as error:
            return self.reject(client, args, error)

    def reject(self, client: Client, args: list[bytes], error: ReplyError) -> ReplyError:
        """Return the error for a request that must not run; the transaction that it belongs to, or runs, fails too."""
        client.dirty_exec = True  # EXEC will answer EXECABORT
        command = self.counters.refuse(args, error)
        if client.tracking is not None:
            self.tracking.request_over(client, args)
        if command is None or RUNS_QUEUE not in command.flags:
            return error
        client.queue = None
        self.watching.unwatch(client)
        return ReplyError(f"EXECABORT Transaction discarded because of: {str(error).removeprefix('ERR ')}")

    @property
    def forked(self) -> bool:
        """Whether a child process runs, for a rewrite, a snapshot or a replica. There is at most one."""
        return any(each.worker is not None for each in (self.rewriter, self.snapshots, self.primary.full_sync))

    def give_way(self) -> None:
        """End the child that writes a snapshot, for the disk or for replicas: the log must be rewritten."""
        self.snapshots.give_way()
        self.primary.full_sync.give_way()

    def run(self, client: Client, command: Command, args: list[bytes]) -> Value:
        """Run a command, complete its notes, and return its answer, unless it waits or the client was sent the answer.

        A ReplyError is returned, not raised.
        """
        counters, start, began = self.counters, len(self.unit.notes), perf_counter()
        counters.blamed = counters.error_replies
        if self.monitors.clients:
            self.monitors.before(client, command, args)
        if self.eviction.keeping:
            self.eviction.touch(client.db.index, command, args)
        answer = self.perform(client, command, args)
        if isinstance(answer, Wait):
            park, now = self.waiting.park, self.steady()
            answer = answer.otherwise if client.deny_blocking else park(client, command, args, answer, now)
        if len(self.unit.notes) > start or client.channels or client.patterns or client.monitoring:
            answer = self.complete(client, command, args, answer, start)
        elif command.only_uses:
            use_keys(client.db, command, args)
        if client.tracking is not None:
            self.tracking.has_run(client, command, args)
        took = perf_counter() - began
        if counters.error_replies != counters.blamed or counters.repeated:
            counters.blame(command.name)
        if self.monitors.clients:
            self.monitors.after(client, command, args)
        if client.parked is not None:
            client.parked.took = took * 1e6  # it is counted, and the slow log gets it, when it is served
            counters.calls.waiting[command.name] += 1
            return answer
        counters.calls.add(command.name, took)
        if took >= self.slow_after:
            was_slow(self, client, command, args, took * 1e6)
        return answer

    def perform(self, client: Client, command: Command, args: list[bytes]) -> Value:
        """Call a command's function, and count the keys that it has read: shared by `run` and the fast path."""
        try:
            answer = command.run(self, client, args)
        except ReplyError as error:  # without its traceback: values in its frames would live until the next collection
            self.counters.error(error)
            self.counters.blame(command.name)
            answer = error.naming(args) if isinstance(error, NamingError) else error.with_traceback(None)
            if str(error).startswith("ERR ") and str(error) != str(no_such_key()):
                use_keys(client.db, command, args)
                return answer  # arguments are parsed before keys are read: nothing to count
        except Exception as error:
            self.faults.in_command(command, error)
            raise
        if command.counts_reads:
            if at := command.only_read:
                client.db.look_up(args[at])
            else:
                read_keys(client.db, command, args)
        return answer

    def complete(self, client: Client, command: Command, args: list[bytes], answer: Value, start: int = 0) -> Value:
        """Replace AS_REQUESTED in the unit's notes from `start` on by the request, once, and publish their events.

        A client that overhears is sent the answer now, where Redis sends it. Return the answer if it is left to send.
        """
        logged, events, overhears = False, 0, client.overhears
        for at, note in enumerate(self.unit.notes[start:], start):  # not islice, which walks over all the notes before
            if note.log is None:
                note.log = UNLOGGED if logged else args
                logged = True
            if note.event is not NO_EVENT and note.event not in AT_ONCE:
                if overhears and events == command.events_before_reply:
                    answer = client.say(answer)
                events += 1
            if self.tracking.clients:
                self.tracking.tell(at, note, client)
            if note.event is not NO_EVENT:
                self.notifications.publish(note, command)
        return client.say(answer) if overhears else answer

    def settle(self) -> None:
        """End the unit: hand its changes to the log, to clients that watch the keys, and to those that wait for them.

        Whatever is raised here leaves half of that, so it ends the server.
        """
        try:
            settle(self)
        except Exception as error:
            self.faults.end(error)

    def expire(self, most: int = 200) -> bool:
        """Remove up to `most` expired keys of each database; return whether there may be more."""
        self.unit.stopped = None
        now = self.unit.recently = self.steady()
        self.counters.sample(now)
        keep_limit(self)
        self.tracking.keep_limit()
        if self.pause.under_way(now) or not self.active_expire or self.unit.leaves_expiry:
            return False
        began, counters = perf_counter(), self.counters
        more = any([store.expire_due(most) for store in self.stores if store.deadlines])
        took = perf_counter() - began
        self.latency.add("expire-cycle", took)
        counters.expiry_seconds += took
        counters.unfinished_expiry += more
        self.settle_expired()
        return more

    def settle_expired(self) -> None:
        """End a unit in which nothing but the expiry of keys was noted."""
        for at, note in enumerate(self.unit.notes):
            if self.tracking.clients:
                self.tracking.tell(at, note, None)
            self.notifications.publish(note)
        self.settle()
