"""The full synchronisation: replicas get all data as it is at one moment, from a child process, then the stream.

The child writes its snapshot to a file, the one of BGSAVE, and then the file is sent. Or it writes to a pipe, and what
it has written is sent at once to all replicas that waited when it was forked (`repl-diskless-sync`). The stream from
that moment on stays in the backlog until they have read it.
"""

import os
from collections.abc import Callable, Iterator
from itertools import chain
from secrets import token_hex
from typing import Protocol

from ..data.store import Store
from ..log.child import Child, Visit, Wanted, joined
from ..log.rdb.write import snapshot, with_checksum
from ..log.snapshot import ForkNeeds, Snapshots
from ..server_log import log
from .attached import AttachedReplica, State

CHUNK = 64 * 1024  # bytes that are read from the pipe at once
AHEAD = 4 * CHUNK  # bytes that a replica has not read, with which the pipe waits
FAILED = b"-BGSAVE failed, replication can't continue\r\n"

Watch = Callable[[int, Callable[[], None] | None], None]  # calls a function while a file descriptor is readable


def unwatched(descriptor: int, when_readable: Callable[[], None] | None) -> None:
    """Watch nothing, in an engine without a server."""


class FullSyncNeeds(ForkNeeds, Protocol):
    """What the full synchronisation needs of the engine."""

    snapshots: Snapshots
    steady: Callable[[], int]
    watch: Watch


class Primary(Protocol):
    """What it needs of the primary."""

    replid: str
    replicas: list[AttachedReplica]

    @property
    def offset(self) -> int:
        """The number of bytes in the stream so far."""

    def select_again(self) -> None:
        """Let the next record begin with SELECT."""

    def drop(self, replica: AttachedReplica, reason: str) -> None:
        """Close the connection of a replica."""


class FullSync:
    """Starts a child process for replicas that wait, and hands on what it writes. `prepare` is called in the child."""

    def __init__(self, engine: FullSyncNeeds, primary: Primary, prepare: Callable[[], None]) -> None:
        self.engine = engine
        self.primary = primary
        self.prepare = prepare
        self.worker: Child | None = None  # the child that writes into the pipe
        self._pipe = -1  # the end of it that is read from; -1: it is closed
        self.reading = False  # that end is watched
        engine.snapshots.on_end = self.send_file

    def find(self, state: State) -> list[AttachedReplica]:
        """Return the replicas in a state."""
        return [each for each in self.primary.replicas if each.state is state]

    def needs(self, replica: AttachedReplica) -> tuple[bool, bool, bool]:
        """Return whether a replica takes the data from a pipe, and whether it wants keys, and functions."""
        announced = replica.announced
        diskless = announced.filtered or self.engine.options.repl_diskless_sync == "yes"
        return diskless and b"eof" in announced.capabilities, announced.keys, announced.functions

    def join(self, replica: AttachedReplica) -> None:
        """A replica has attached: let it share the file that a child writes for another one, or else wait."""
        others = self.find(State.WRITING)
        if others and self.worker is None and not replica.announced.filtered:
            self.greet(replica, others[0].position)
        elif not self.patience or not self.needs(replica)[0]:
            self.begin_if_due()

    @property
    def patience(self) -> int:
        """How many milliseconds a replica waits for others that need the same, if no disk is used."""
        options = self.engine.options
        return options.repl_diskless_sync_delay * 1000 if options.repl_diskless_sync == "yes" else 0

    def begin_if_due(self) -> None:
        """Fork a child for the replicas that wait, unless another child runs, or more of them may come soon.

        One child serves all those that need the same as the first.
        """
        waiting = self.find(State.WAITING)
        if not waiting or self.engine.forked:
            return
        diskless, keys, functions = needs = self.needs(waiting[0])
        served = [each for each in waiting if self.needs(each) == needs]
        patience = self.patience if diskless else 0
        many = 0 < self.engine.options.repl_diskless_sync_max_replicas <= len(served)
        if many or self.engine.steady() - served[0].since >= patience:
            self.begin(served, diskless, keys, functions)

    def begin(self, served: list[AttachedReplica], diskless: bool, keys: bool, functions: bool) -> None:
        """Fork a child for these replicas; their part of the stream begins now. If that fails, they are sent away."""
        if not (self.fork(keys, functions) if diskless else self.engine.snapshots.begin()):
            for each in served:
                each.output += FAILED
                each.state = State.LEAVING
                each.wake()
            return
        log.info("a snapshot for replicas begins: %d, %s the disk", len(served), "without" if diskless else "through")
        self.primary.select_again()
        for each in served:
            self.greet(each, self.primary.offset)

    def greet(self, replica: AttachedReplica, offset: int) -> None:
        """Tell a replica the stream and the offset at which the snapshot is that it will get."""
        replica.state, replica.position, replica.moved = State.WRITING, offset, replica.clock()
        if replica.greeted:
            replica.output += b"+FULLRESYNC %b %d\r\n" % (self.primary.replid.encode(), offset)
            replica.wake()

    def fork(self, keys: bool, functions: bool) -> bool:
        """Fork a child that writes keys, functions, or both into a pipe; return whether that succeeded."""
        stores = self.engine.stores if keys else []
        libraries = self.engine.functions.codes if functions else []
        try:
            self._pipe, end = os.pipe()
        except OSError as error:
            log.error("there is no pipe to a child process: %s", error)
            return False
        try:
            self.worker = Child.start(
                lambda _, wanted, visit: write_all(end, self.payload(stores, libraries, visit), wanted),
                self.engine.snapshots.draft,
                self.prepare,
                sum(map(len, stores)),
                keep=end,
            )
            self.engine.latency.add_fork(self.worker.took)
        except OSError as error:
            log.error("cannot fork for a replica: %s", error)
            self.close()
            return False
        finally:
            os.close(end)
        os.set_blocking(self._pipe, False)
        self.pace()
        return True

    def payload(self, stores: list[Store], libraries: list[bytes], visit: Visit) -> Iterator[bytes]:
        """Yield a snapshot between two marks, as its length is not known before its end."""
        options, mark = self.engine.options, token_hex(20).encode()
        about = self.engine.snapshots.about()
        parts = snapshot(stores, options.rdbcompression == "yes", about, visit, libraries)
        pieces = with_checksum(joined(parts), options.rdbchecksum == "yes")
        return chain([b"$EOF:%b\r\n" % mark], pieces, [mark])

    def pace(self) -> None:
        """Read from the pipe while all replicas have read what was read before, or nearly."""
        slow = any(len(each.output) > AHEAD for each in self.find(State.WRITING))
        if self._pipe >= 0 and self.reading is slow:
            self.reading = not slow
            self.engine.watch(self._pipe, None if slow else self.read)

    def read(self) -> None:
        """The child has written to the pipe, or closed it: hand that on."""
        try:
            data = os.read(self._pipe, CHUNK)
        except BlockingIOError:
            return
        if not data:
            self.close()
        for each in self.find(State.WRITING):
            each.output += data
            each.moved = each.clock()
            each.wake()
        self.pace()

    def close(self) -> None:
        """Close the pipe."""
        if self._pipe >= 0:
            if self.reading:
                self.engine.watch(self._pipe, None)
            os.close(self._pipe)
        self._pipe, self.reading = -1, False

    def tick(self) -> None:
        """Finish what a child has done, or fork one that is due. Called about ten times a second."""
        if self.worker is not None and self._pipe < 0:
            problem = self.worker.result()
            if problem is not None:
                self.engine.snapshots.copied = 0 if problem else self.worker.info.copied
                self.worker = None
                self.finish(problem)
        self.begin_if_due()

    def finish(self, problem: str) -> None:
        """The child that wrote to the pipe has ended.

        A replica looks for the mark at the end of what it has read. So the stream waits until it has said something.
        """
        for each in self.find(State.WRITING):
            if problem:
                self.primary.drop(each, problem)
            else:
                each.held = True
                each.complete()

    def send_file(self, problem: str) -> None:
        """The child that wrote a file has ended: send the file to those that wait for it."""
        for each in self.find(State.WRITING) if self.worker is None else ():
            try:
                if problem:
                    raise OSError(problem)
                each.file = self.engine.snapshots.path.open("rb")
                each.output += b"$%d\r\n" % os.fstat(each.file.fileno()).st_size
            except OSError as error:
                self.primary.drop(each, str(error))
            else:
                each.state = State.SENDING
                each.wake()

    def give_way(self) -> None:
        """End the child that writes to the pipe, if one runs: its replicas ask again."""
        if self.worker is not None:
            self.cancel()
            self.finish("the log must be rewritten first")

    def cancel(self) -> None:
        """End the child that writes to the pipe."""
        self.close()
        if self.worker is not None:
            self.worker.cancel()
            self.worker = None


def write_all(descriptor: int, pieces: Iterator[bytes], wanted: Wanted) -> None:
    """In the child: write the pieces to the pipe, as long as they are wanted. Raises OSError."""
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if not wanted():
            raise InterruptedError("the server has ended")
