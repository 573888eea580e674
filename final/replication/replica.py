"""The replica's side of replication: how this server follows a primary (`replication.c`, the part on replicas).

    this server                                       its primary
    -----------                                       -----------
    PING, AUTH, REPLCONF                     →        answers each
    PSYNC replid offset                      →
                                             ←        +CONTINUE, if it still has the stream from that offset on; or
                                             ←        +FULLRESYNC replid offset, and a snapshot of all its data
    loads it beside the present data, which
    answers clients meanwhile and is replaced
    in one step, if the snapshot is valid
                                             ←        the stream: every change from then on
    executes it, passes it on
    REPLCONF ACK offset, each second         →

A connection that breaks is opened again after a second. The offset then says what is missing.
"""

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from ..log.rdb.cursor import BadSnapshot
from ..log.split import Malformed
from ..protocol.errors import ReplyError
from ..protocol.writer import encode_request
from ..server_log import log
from .handshake import Broken, Full, Handshake, Partial, answer_to_psync, shown
from .outgoing import Line
from .replica_needs import Data, ReplicaNeeds
from .replica_state import TRANSITIONS, Event, State
from .stream import Stream
from .transfer import Transfer

SLICE = 0.002  # seconds of loading or executing in one iteration of the event loop
SECOND = 1000  # milliseconds: between two tries to connect, and between two acknowledgements
MAX_LINE = 16 * 1024  # bytes


class Replica:
    """Follows the primary at an address, until `leave`. The event loop calls its methods, which never wait."""

    def __init__(self, engine: ReplicaNeeds, data: Data, host: str, port: int, takes_over: bool = False) -> None:
        """`takes_over`: the other server is a replica of this one, and is to become its primary (FAILOVER)."""
        self.engine, self.data = engine, data
        self.host, self.port = host, port
        self.takes_over = takes_over
        self.refused = False  # it refuses to take over
        self.afresh = not engine.primary.feeding  # what is missing is not known, or not to be trusted
        self.state = State.WAITING
        self.line: Line | None = None
        self.problem = ""  # with the last connection, and in the server log
        self.failures = 0  # snapshots in a row that could not be stored or loaded
        self.heard = self.spoken = self.retry_at = engine.steady()  # by the steady clock, in milliseconds
        self.down_since: int | None = None  # None: there was no connection yet
        self.transfer: Transfer | None = None
        self.stream = Stream(engine.options.client_query_buffer_limit)
        self.asked = False  # for an acknowledgement, by REPLCONF GETACK in the stream
        self._buffer = bytearray()  # received, and not used yet
        self.handshake = Handshake(engine.options)
        self.coming = Full("", 0)  # the ID and the offset of the snapshot that comes
        self._loading: Iterator[None] | None = None

    @property
    def stale(self) -> bool:
        """Whether the data must not be shown, as the primary may have changed it (`replica-serve-stale-data`)."""
        return self.state is not State.CONNECTED and self.engine.options.replica_serve_stale_data == "no"

    @property
    def offset(self) -> int:
        """How much of the primary's stream is executed; -1: there is no connection."""
        return self.engine.primary.offset if self.state is State.CONNECTED else -1

    def move(self, event: Event) -> None:
        """Change the state by the table."""
        self.state = TRANSITIONS[self.state][event]

    # The life of a connection

    def tick(self, now: int) -> None:
        """Called some ten times a second: connect again, acknowledge, or give up a connection that is silent."""
        if self.state is State.WAITING:
            if now >= self.retry_at:
                self.move(Event.DIAL)
                self.heard = now
                self.engine.dial(self.host, self.port, self, self.engine.options.repl_timeout)
        elif self.state is not State.CONNECTING and now - self.heard > self.engine.options.repl_timeout * 1000:
            self.break_off("the primary is silent")
        elif now - self.spoken >= SECOND and self.line is not None:
            if self.state is State.CONNECTED:
                self.acknowledge()
            elif self.state is State.LOADING:
                self.write(b"\n")  # else the primary would take this replica for dead

    def opened(self, line: Line) -> None:
        """The primary has accepted the connection: begin the handshake."""
        if self.state is not State.CONNECTING:
            line.close()
            return
        self.line = line
        self.heard = self.engine.steady()
        self.move(Event.OPENED)
        self.handshake = Handshake(self.engine.options)
        assert self.handshake.request
        self.write(encode_request(self.handshake.request))

    def received(self, data: bytes) -> None:
        """The primary has sent these bytes. b"": go on with what was left in the last iteration."""
        if self.line is None:
            return
        if data:
            self.heard = self.engine.steady()
        self._buffer += data
        try:
            while self.step():
                pass
        except (Broken, OSError, ValueError) as error:
            if self.state is State.LOADING or isinstance(error, OSError):
                self.failures += 1  # each try has the primary write a snapshot: do not ask for one each second
            self.break_off(str(error))

    def closed(self, reason: str) -> None:
        """There is no connection."""
        self.line = None
        if self.state is not State.OVER:
            self.break_off(reason)

    def break_off(self, reason: str) -> None:
        """Close the connection, and have `tick` open the next one. The data is as it was after the last whole unit."""
        if reason != self.problem:
            log.warning("no replication from %s:%d: %s", self.host, self.port, reason)
        self.problem = reason
        self.retry_at = self.engine.steady() + SECOND * 2 ** min(self.failures, 6)
        self.disconnect()
        self.move(Event.BROKEN)

    def leave(self) -> None:
        """Follow this primary no longer."""
        self.disconnect()
        self.move(Event.LEFT)

    def disconnect(self) -> None:
        """Close the connection, and forget what has come over it and was not a whole unit."""
        if self.state is State.CONNECTED:
            self.down_since = self.engine.steady()
            self.data.end()
        line, self.line = self.line, None
        if line is not None:
            line.close()
        if self.transfer is not None:
            self.transfer.close()
        self.transfer = self._loading = None
        self._buffer.clear()
        self.stream = Stream(self.engine.options.client_query_buffer_limit)

    def write(self, data: bytes) -> None:
        """Send these bytes."""
        assert self.line is not None
        self.spoken = self.engine.steady()
        self.line.write(data)

    def acknowledge(self) -> None:
        """Tell the primary how much of its stream is executed."""
        self.asked = False
        if self.state is State.CONNECTED:
            self.write(encode_request([b"REPLCONF", b"ACK", b"%d" % self.engine.primary.offset]))

    # What comes over it

    def step(self) -> bool:
        """Use what has come, as the state says; return whether there may be more to do at once."""
        if self.state is State.RECEIVING:
            return self.receive()
        if self.state is State.LOADING:
            return self.load()
        if self.state is State.CONNECTED:
            return self.execute()
        line = self.take_line()
        if line is None:
            return False
        if self.state is State.INTRODUCING:
            self.introduce(line)
        elif self.state is State.ASKING and line:
            self.refused = self.takes_over and line.startswith(b"-")
            self.hear_answer(answer_to_psync(line))
            self.takes_over = False
        elif self.state is State.EXPECTING and line:  # an empty line only says that the primary is still at work
            if line.startswith(b"-"):
                raise Broken(f"the primary cannot send a snapshot: {shown(line)}")
            self.transfer = Transfer(line, Path(self.engine.options.dir))
            self.move(Event.HEADER)
        return True

    def take_line(self) -> bytes | None:
        """Take a line from the buffer; None: it is not complete."""
        end = self._buffer.find(b"\n", 0, MAX_LINE)
        if end < 0:
            if len(self._buffer) >= MAX_LINE:
                raise Broken("a line without an end")
            return None
        line = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        return line

    def introduce(self, line: bytes) -> None:
        """The answer to a request of the handshake: send the next one, at last PSYNC."""
        self.handshake.hear(line)
        if self.handshake.request:
            self.write(encode_request(self.handshake.request))
            return
        self.move(Event.INTRODUCED)
        primary = self.engine.primary
        known = [b"?", b"-1"] if self.afresh else [primary.replid.encode(), b"%d" % (primary.offset + 1)]
        self.write(encode_request([b"PSYNC", *known, *([b"FAILOVER"] if self.takes_over else [])]))

    def hear_answer(self, answer: Full | Partial) -> None:
        """The answer to PSYNC."""
        if isinstance(answer, Full):
            self.coming = answer
            self.move(Event.FULL)
            return
        if answer.replid not in ("", self.engine.primary.replid):
            self.engine.primary.branch(answer.replid)
        self.move(Event.CONTINUE)
        self.begin("it continues")

    def receive(self) -> bool:
        """A part of the snapshot."""
        assert self.transfer is not None
        rest = self.transfer.take(bytes(self._buffer))
        self._buffer.clear()
        if rest is None:
            return False
        self._buffer += rest
        self.move(Event.RECEIVED)
        self._loading = self.data.replace(self.transfer.requests())
        return True

    def load(self) -> bool:
        """Load the snapshot, for as long as one iteration may take."""
        assert self._loading is not None and self.transfer is not None
        deadline = perf_counter() + SLICE
        try:
            for _ in self._loading:
                if perf_counter() >= deadline:
                    self.go_on()
                    return False
        except (BadSnapshot, ReplyError) as error:
            raise Broken(f"the snapshot cannot be loaded: {error}") from None
        self.transfer.close()
        self.transfer = self._loading = None
        self.move(Event.LOADED)
        self.engine.primary.begin(*self.coming)
        self.begin("it is synchronised")
        return True

    def begin(self, how: str) -> None:
        """The stream comes next."""
        log.info("replication from %s:%d: %s", self.host, self.port, how)
        self.problem, self.failures = "", 0
        self.afresh = False
        self.data.begin(lambda: self.break_off("the connection was killed"))
        self.acknowledge()

    def execute(self) -> bool:
        """Execute what has come of the stream, for as long as one iteration may take, and pass it on."""
        deadline = perf_counter() + SLICE
        self.stream.feed(self._buffer)
        self._buffer.clear()
        try:
            for unit in self.stream.units():
                self.data.apply(unit)
                if perf_counter() >= deadline or self.state is not State.CONNECTED:
                    break
        except Malformed as error:
            self.afresh = True
            raise Broken(f"the stream is damaged: {error}") from None
        finally:
            self.engine.primary.append_raw(self.stream.taken())
        if self.asked:
            self.acknowledge()
        if self.stream.more and self.state is State.CONNECTED:
            self.go_on()
        return False

    def go_on(self) -> None:
        """Call `received` in the next iteration, and read nothing before."""
        assert self.line is not None
        self.heard = self.engine.steady()
        self.line.again()
