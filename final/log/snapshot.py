"""Snapshots (RDB): all data in one file, now and then. This file says when, and how; `rdb/write.py` writes the bytes.

A snapshot is one file, smaller than a log, but what has changed since is lost when the server dies. So it serves those
who can do without that, or who want copies of the data. If there is a log, only the log is loaded.

The data is written to a temporary file, which replaces the last snapshot when it is complete and on the disk. So there
is always a complete one. SAVE makes everyone wait; BGSAVE, and the save points, leave the work to a child process.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Protocol

from ..config.options import Options
from ..data.store import Store
from ..data.unit import Unit
from ..latency import Latency
from ..protocol.errors import ReplyError
from ..server_log import log
from .child import Child, Visit, Wanted, joined, write_file
from .folder import freed_by_a_thread, sync_names
from .rdb.cursor import BadSnapshot
from .rdb.write import snapshot, with_checksum
from .read import Batch, Block, Progress, batched, read_rdb, unusable

RETRY = 5_000  # milliseconds after a failure before the next automatic try (CONFIG_BGSAVE_RETRY_DELAY)
OTHER_CHILD = (
    "Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE "
    "whenever possible."
)


class Functions(Protocol):
    """The libraries of functions: with the databases, they are the data."""

    @property
    def codes(self) -> list[bytes]:
        """Their texts."""


class ForkNeeds(Protocol):
    """What whoever forks a child that writes all data needs of the engine."""

    options: Options
    latency: Latency
    stores: list[Store]

    @property
    def functions(self) -> Functions:
        """The libraries of functions."""

    @property
    def forked(self) -> bool:
        """Whether a child process runs, for a rewrite, a snapshot or a replica."""


class SnapshotNeeds(ForkNeeds, Protocol):
    """What snapshots need of the engine."""

    unit: Unit
    steady: Callable[[], int]


class Snapshots:
    """Writes snapshots: on request, at the save points, and at the end. `prepare` is called first in the child."""

    def __init__(self, engine: SnapshotNeeds, prepare: Callable[[], None] = lambda: None) -> None:
        self.engine = engine
        self.prepare = prepare
        self.about: Callable[[], dict[bytes, bytes]] = dict  # what a snapshot says about the stream to replicas
        self.on_end: Callable[[str], None] = lambda problem: (
            None
        )  # is called when a child has ended, with a problem or ""
        self.worker: Child | None = None  # while a child writes a snapshot
        self.scheduled = False  # a snapshot begins as soon as possible
        self.failed = False  # the last try in the background
        self.saves = 0
        self.seconds = -1  # that the last one in the background took
        self.copied = 0  # bytes of memory that it copied on write
        self.saved_at = engine.unit.clock()  # the time of the last snapshot; at first, of the start
        self.loading = False  # the data is being restored
        self.loaded = self.expired = 0  # keys of the snapshot that was loaded at the start
        self.loaded_about: dict[bytes, bytes] = {}  # what it says about the server that wrote it
        self._saved = self._tried = engine.steady()  # when the last one was written, and the last one began
        self._changes = 0  # that the child has

    @property
    def path(self) -> Path:
        """The path of the snapshot."""
        return Path(self.engine.options.dir) / self.engine.options.dbfilename

    @property
    def refuses_writes(self) -> bool:
        """Return whether writes are refused because the last snapshot failed."""
        options = self.engine.options
        return self.failed and bool(options.save) and options.stop_writes_on_bgsave_error == "yes"

    def save(self) -> bool:
        """Write a snapshot now; return whether that succeeded."""
        self.saves += 1
        draft = self.draft(os.getpid())
        try:
            self.write(draft)
            self.replace(draft)
        except OSError as error:
            log.error("the snapshot cannot be written: %s", error)
            return False
        self.succeed(self.engine.unit.changes)
        return True

    def ask(self, now: bool, schedule: bool) -> str:
        """BGSAVE: begin a snapshot in the background, or schedule it; return Redis's answer. Raises ReplyError."""
        if self.worker is not None:
            raise ReplyError("ERR Background save already in progress")
        if not now or self.engine.forked:
            if now and not schedule:
                raise ReplyError(f"ERR {OTHER_CHILD}")
            self.scheduled = True
            return "Background saving scheduled"
        if not self.begin():
            raise ReplyError("ERR")
        return "Background saving started"

    def begin(self) -> bool:
        """Begin a snapshot in the background, and return True; or log why not, and return False."""
        self.saves += 1
        self._tried = self.engine.steady()
        self._changes = self.engine.unit.changes
        try:
            self.worker = Child.start(self.write, self.draft, self.prepare, sum(map(len, self.engine.stores)))
            self.engine.latency.add_fork(self.worker.took)
        except OSError as error:
            self.fail(str(error))
            return False
        self.scheduled = False
        return True

    def tick(self) -> None:
        """Finish the snapshot whose child has ended, or begin one that is due. Called about ten times a second."""
        if self.worker is not None:
            problem = self.worker.result()
            if problem is not None:
                self.finish(problem)
        elif self.due() and not self.engine.forked:
            self.begin()

    def due(self) -> bool:
        """Return whether a snapshot is scheduled, or a save point is reached. After a failure both have to wait."""
        now, changes = self.engine.steady(), self.engine.unit.changes
        if self.failed and now - self._tried <= RETRY:
            return False
        passed = now - self._saved
        points = self.engine.options.save
        return self.scheduled or any(changes >= least and passed > seconds * 1000 for seconds, least in points)

    def finish(self, problem: str) -> None:
        """The child has ended, with a problem or without (""): its file becomes the snapshot, or nothing is changed."""
        assert self.worker is not None
        child, self.worker = self.worker, None
        draft = child.draft
        self.copied = 0 if problem else child.info.copied
        self.seconds = (self.engine.steady() - self._tried) // 1000
        try:
            if not problem:
                self.replace(draft)
            with self.engine.latency.timed("rdb-unlink-temp-file"):
                draft.unlink(missing_ok=True)
        except OSError as error:
            problem = str(error)
        if problem:
            self.fail(problem)
        else:
            self.succeed(self._changes)
        self.on_end(problem)

    def succeed(self, changes: int) -> None:
        """A snapshot is complete, with this many of the changes since the one before."""
        self.engine.unit.changes -= changes
        self.saved_at, self._saved = self.engine.unit.clock(), self.engine.steady()
        self.failed = False

    def fail(self, problem: str) -> None:
        """A snapshot in the background cannot be written."""
        log.error("the snapshot cannot be written: %s", problem)
        self.failed = True

    def flushed(self) -> None:
        """All keys were removed: end the child, whose data is obsolete; with save points, write a snapshot."""
        if not self.loading:
            self.cancel()
            if self.engine.options.save:
                self.save()

    def save_at_end(self) -> bool:
        """Write a snapshot because the server stops; return whether that succeeded."""
        self.cancel()
        return self.save()

    def cancel(self) -> None:
        """End the child, and delete what is not complete."""
        if self.worker is not None:
            with self.engine.latency.timed("rdb-unlink-temp-file"):
                self.worker.cancel()
            self.worker = None
            self.on_end("it was cancelled")
        self.draft(os.getpid()).unlink(missing_ok=True)

    def give_way(self) -> None:
        """End the child, if one runs, because the log needs a rewrite; begin again as soon as possible."""
        if self.worker is not None:
            log.warning("the snapshot is given up for now, because the log must be rewritten")
            self.cancel()
            self.scheduled = True

    def draft(self, pid: int) -> Path:
        """The file that the process `pid` writes, named as in Redis."""
        return self.path.with_name(f"temp-{pid}.rdb")

    def write(self, draft: Path, wanted: Wanted = lambda: True, visit: Visit = iter) -> None:
        """Write the data to a file, as long as it is wanted. Raises OSError."""
        options = self.engine.options
        compressed, engine = options.rdbcompression == "yes", self.engine
        pieces = joined(snapshot(engine.stores, compressed, self.about(), visit, engine.functions.codes))
        write_file(draft, with_checksum(pieces, options.rdbchecksum == "yes"), wanted)

    def replace(self, draft: Path) -> None:
        """Replace the last snapshot by a file that is complete and on the disk. Raises OSError."""
        try:
            with freed_by_a_thread(self.path):
                draft.rename(self.path)
            sync_names(self.path.parent)
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    def load(self) -> Iterator[Batch]:
        """Yield the requests of the snapshot, if there is one, each with a function that refuses it.

        Raises OSError, and CorruptLog if the snapshot is damaged, at the latest at its end.
        """
        if not self.path.exists():
            return
        progress = Progress(self.path.stat().st_size, "the snapshot")
        for block in batched(read_rdb(self.path, self.loaded_about)):
            yield block.requests, partial(self._refuse, block)
            progress.count(len(block.requests), block.starts[-1])

    def _refuse(self, block: Block, index: int, reason: str) -> NoReturn:
        """Refuse a request that cannot be executed."""
        raise unusable(self.path, BadSnapshot(block.starts[index], reason))

    def state(self) -> dict[str, Any]:
        """The fields of INFO about snapshots."""
        now = self.engine.steady()
        return {
            "rdb_changes_since_last_save": self.engine.unit.changes,
            "rdb_bgsave_in_progress": int(self.worker is not None),
            "rdb_last_save_time": self.saved_at // 1000,
            "rdb_last_bgsave_status": "err" if self.failed else "ok",
            "rdb_last_bgsave_time_sec": self.seconds,
            "rdb_current_bgsave_time_sec": (now - self._tried) // 1000 if self.worker is not None else -1,
            "rdb_saves": self.saves,
            "rdb_last_cow_size": self.copied,
            "rdb_last_load_keys_expired": self.expired,
            "rdb_last_load_keys_loaded": self.loaded,
        }
