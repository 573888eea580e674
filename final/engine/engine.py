"""The heart: one request at a time, whole, at one instant, and its changes to the log. It knows no socket, no loop."""

from collections import deque
from collections.abc import Callable
from itertools import count
from secrets import token_hex
from time import perf_counter

from .. import commands  # noqa: F401  (the commands enter themselves into the table)
from ..data.events import messages
from ..data.scan import Order
from ..data.store import Note, Place, Store, Unit
from ..log.aof import Log
from ..log.rewrite import Rewriter
from ..options import Options
from ..protocol.errors import ReplyError, busy, log_failed, not_authenticated, only_while_listening
from ..protocol.writer import NULL_ARRAY, Replies, Value
from ..server_log import log
from .blocking import Waiting
from .client import Client, Parked, about_to_run, nowhere
from .clocks import steady_clock, wall_clock
from .command import (
    ALLOW_BUSY,
    COMMANDS,
    NO_AUTH,
    NO_MULTI,
    REFUSED_LIKE_WRITES,
    RUNS_QUEUE,
    UNQUEUED,
    WHILE_SUBSCRIBED,
    WRITE,
    Command,
    find,
)
from .counters import Counters
from .evict import Eviction
from .mishaps import Mishaps, fatal, reraise
from .monitor import Monitors
from .pause import Pause
from .pubsub import Hub
from .scripts import Scripts
from .slowlog import SlowLog
from .wait import Wait
from .watch import Watching

NOTHING = Replies()  # no answer, for now
FROM_A_BROWSER = {b"post", b"host:"}  # how requests of HTTP begin, and the lines in them
MINUTE = 60_000  # milliseconds


class Engine:
    """The data, the log and the clients, and the way a request takes through them.

    `clock` and `steady` tell the time in milliseconds; a test may hand in its own. `on_stop` is called by SHUTDOWN,
    `while_busy` now and then by a script that does not end, `in_child` in a process that was forked, and `on_broken`
    with what broke a request off that may have changed half of something: it should end the server.
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
        self.order = Order()
        self.hub = Hub()
        self.scripts = Scripts(self, while_busy)
        self.waiting = Waiting()
        self.watching = Watching()
        self.clients: dict[int, Client] = {}
        self.log: Log | None = None  # without one, nothing is kept
        self.rewriter = Rewriter(self, in_child)
        self.monitors = Monitors()
        self.slowlog = SlowLog(options)
        self.pause = Pause()
        self.eviction = Eviction(self)
        self.mishaps = Mishaps(self, on_broken)
        self.started = self.recently = steady()  # the latter is set some ten times a second
        self.run_id = token_hex(20)  # of this start; tools see by it that the server was started anew
        self.counters = Counters()
        self.active_expire = True  # remove expired keys that nobody asks for; DEBUG SET-ACTIVE-EXPIRE 0: do not
        self.warned: int | None = None  # when we last said that somebody speaks HTTP to us
        self._ids = count(1)

    def connect(self, address: str = "", local_address: str = "", deliver: Callable[[Value], None] = nowhere) -> Client:
        """A client has come: remember it. `deliver` sends it what is no answer to a request under way."""
        self.counters.connections_received += 1
        client = Client(next(self._ids), self.stores[0], address=address, local_address=local_address, deliver=deliver)
        client.authenticated = not self.options.requirepass
        client.since = client.active = self.recently = self.steady()
        self.clients[client.id] = client
        return client

    def disconnect(self, client: Client) -> None:
        """A client has gone: forget it, and all that it waited for, watched and listened to."""
        self.clients.pop(client.id, None)
        self.unpark(client)
        self.watching.unwatch(client)
        self.hub.leave(client)
        self.monitors.leave(client)

    def execute(self, client: Client, args: list[bytes]) -> Value:
        """Answer one request of a client, and see to what follows from it: time stops, it runs, it is settled.

        Where its command has to wait, there is no answer now: the client is `parked`.
        """
        if self.scripts.busy:
            return self.refuse(client, args)
        self.unit.stopped = None
        self.counters.commands_processed += 1
        try:
            command = find(args)
            client.last_command = command.name
            self.admit(client, command)
            if self.eviction.keeping:
                self.eviction.admit(client, command, args)
        except ReplyError as error:
            if args[0].lower() in FROM_A_BROWSER:
                self.cut_off(client)
            return self.reject(client, args, error)
        if client.queue is not None and UNQUEUED not in command.flags:
            client.queue.append((command, args))
            return "QUEUED"
        answer = self.run(client, command, args)
        if isinstance(answer, Wait):
            self.park(client, command, args, answer)
            answer = NOTHING
        if self.unit.notes:
            self.settle()
        return answer

    def refuse(self, client: Client, args: list[bytes]) -> Value:
        """A script does not end: answer that we are busy, unless this is what may end it. Nothing is settled."""
        try:
            command = find(args)
            if ALLOW_BUSY not in command.flags:
                raise busy()
            self.admit(client, command)
            return command.run(self, client, args)
        except ReplyError as error:
            return self.reject(client, args, error)

    def reject(self, client: Client, args: list[bytes], error: ReplyError) -> ReplyError:
        """A request must not be run: neither must the transaction be that it belongs to, or that it should run."""
        client.spoiled = True  # EXEC will refuse
        self.counters.error_replies += 1
        command = COMMANDS.get(args[0].lower())
        if command is None or RUNS_QUEUE not in command.flags:
            return error
        client.queue = None
        self.watching.unwatch(client)
        return ReplyError(f"EXECABORT Transaction discarded because of: {str(error).removeprefix('ERR ')}")

    def cut_off(self, client: Client) -> None:
        """A web page has its reader's browser send us requests in disguise: hang up before one of them is executed."""
        client.leaving = True
        client.hang_up()
        if self.warned is None or self.recently - self.warned >= MINUTE:
            self.warned = self.recently
            log.warning("a client that speaks HTTP was cut off: possibly an attack by way of a browser")

    def admit(self, client: Client, command: Command) -> None:
        """Raise a ReplyError where this client must not run this command now."""
        if not client.admitted(self.options.requirepass) and NO_AUTH not in command.flags:
            raise not_authenticated()
        if client.listening and client.protocol == 2 and WHILE_SUBSCRIBED not in command.flags:
            raise only_while_listening(command.name)
        if client.queue is not None and NO_MULTI in command.flags:
            raise ReplyError("ERR Command not allowed inside a transaction")
        if (
            self.log is not None
            and self.log.failure
            and (
                REFUSED_LIKE_WRITES in command.flags
                or any(WRITE in each.flags for each in about_to_run(client, command))
            )
        ):
            raise log_failed(self.log.failure)

    def run(self, client: Client, command: Command, args: list[bytes]) -> Value:
        """Run a command and complete the notes that it made. A ReplyError, whoever raised it, is the answer."""
        start = len(self.unit.notes)
        began = perf_counter()
        if self.monitors.clients:
            self.monitors.before(client, command, args)
        try:
            answer = command.run(self, client, args)
        except ReplyError as error:
            self.counters.error_replies += 1
            answer = error.with_traceback(None)  # else what the command held lives until the next collection
        except Exception as error:
            self.mishaps.in_command(command, error)
            raise
        if len(self.unit.notes) > start:
            self.complete(command, args, start)
        if command.counts_lookups:
            self.counters.look_up(client.db, command, args)
        microseconds = (perf_counter() - began) * 1e6
        if self.monitors.clients:
            self.monitors.after(client, command, args)
        if microseconds >= self.options.slowlog_log_slower_than >= 0:
            self.slowlog.keep(client, command, args, int(microseconds))
        return answer

    def complete(self, command: Command, args: list[bytes], start: int = 0) -> None:
        """Fill in what the notes from `start` on leave open: the request as it came goes to the log, but once."""
        logged = False
        for note in self.unit.notes[start:]:  # not islice, which walks over all the notes before `start`
            if note.log is None:
                note.log = () if logged else args
                logged = True
            if note.event is not None:
                self.notify(note, command)

    def call(self, client: Client, command: Command, args: list[bytes]) -> Value:
        """Run a command as a part of the one under way, as EXEC and EVAL do: errors are values, nothing waits."""
        answer = self.run(client, command, args)
        return answer.otherwise if isinstance(answer, Wait) else answer

    @fatal
    def settle(self) -> None:
        """The unit is over: what it changed goes to the log, to watchers, and to those who wait for these keys.

        Each of the latter that can be served is a unit of its own, and may change what others wait for.
        """
        ready: deque[Place] = deque()
        while True:
            notes, self.unit.notes = self.unit.notes, []
            if self.eviction.keeping:
                self.eviction.changed(notes)
            if self.log is not None and (records := [(note.store.index, note.log) for note in notes if note.log]):
                self.log.append(*records[0], records[1:])
            if self.watching or self.waiting:
                for place in ((note.store.index, key) for note in notes for key in note.keys):
                    self.watching.touch(place, self.stores[place[0]])
                    if place in self.waiting:
                        ready.append(place)
            while ready and not self.unit.notes:
                if not self.serve(ready[0]):
                    ready.popleft()
            if not self.unit.notes:
                return

    def serve(self, place: Place) -> bool:
        """Serve the first who waits for what is at a place now; tell whether there was one."""
        index, key = place
        parked = self.waiting.first(place, self.stores[index].kind(key))
        if parked is None:
            return False
        self.unpark(parked.client)
        try:
            answer = parked.wait.serve(key)
        except ReplyError as error:
            answer = error
        self.complete(parked.command, parked.args)
        parked.client.deliver(answer)
        return True

    def park(self, client: Client, command: Command, args: list[bytes], wait: Wait) -> None:
        """Let a client's command wait for its keys."""
        places = tuple((client.db.index, key) for key in dict.fromkeys(wait.keys))
        deadline = self.steady() + wait.timeout if wait.timeout else None
        client.parked = Parked(client, command, args, wait, places, deadline)
        self.waiting.park(client.parked)

    def unpark(self, client: Client) -> None:
        """The client waits no more."""
        if client.parked is not None:
            self.waiting.leave(client.parked)
            client.parked = None

    def time_up(self, parked: Parked) -> None:
        """A parked command's time is up: answer with null, an array's even where a MULTI would have the other one."""
        if parked.client.parked is parked:
            self.unblock(parked.client, NULL_ARRAY)

    def unblock(self, client: Client, answer: Value) -> bool:
        """Let a client wait no more, and answer it like this; tell whether it did wait."""
        if client.parked is None:
            return False
        self.unpark(client)
        client.deliver(answer)
        return True

    def notify(self, note: Note, command: Command | None = None) -> None:
        """Publish what happened to keys, where the options ask for it."""
        self.counters.expired += note.event == "expired"
        if setting := self.options.notify_keyspace_events:
            event = note.event or (command.name if command else "")
            group = command.group.letter if command else "g"
            for key in note.keys:
                for channel, message in messages(setting, note.store.index, key, event, group):
                    self.hub.publish(channel, message)
        note.event = None

    def expire(self, most: int = 200) -> bool:
        """Remove keys whose deadline has passed and that nobody asked for; tell whether there may be more."""
        self.unit.stopped = None
        self.recently = self.steady()
        self.counters.sample(self.recently)
        if not self.active_expire or self.recently < self.pause.until:
            return False
        more = any([store.expire_due(most) for store in self.stores if store.deadlines])
        for note in self.unit.notes:
            self.notify(note)
        self.settle()
        return more
