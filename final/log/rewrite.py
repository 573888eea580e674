"""The rewrite of the log: a copy of the data replaces the changes that led to it. This file says when, and how.

    the server                                            its child process (child.py, base.py)
    ----------                                            -------------------------------------
    closes the increment, and opens another one
    forks                                                 has all data as it is at that moment
    serves on, and appends to the new increment           writes it to temp-rewriteaof-bg-PID.aof, fsyncs, exits
    sees that the child has ended
    renames the child's file to the new base, and
    then the manifest: this one step is the switch
    deletes the files that were replaced

Before the switch the log is the old files and the new increment; after it, the new base and the new increment.
"""

import time
from collections.abc import Callable
from typing import Any, Protocol

from ..protocol.errors import ReplyError
from ..server_log import log as server_log
from .aof import Log
from .base import write_base
from .child import Child
from .read import CorruptLog
from .snapshot import ForkNeeds, Snapshots

PATIENT_FAILURES = 3  # after this many in a row the next automatic try waits 1, 2, 4 … minutes (as in Redis)
CANNOT = "Can't execute an AOF background rewriting. Please check the server logs for more information."


class RewriteNeeds(ForkNeeds, Protocol):
    """What the rewriter needs of the engine."""

    log: Log | None
    snapshots: Snapshots

    def give_way(self) -> None:
        """End the child that writes a snapshot, if one runs."""


class Rewriter:
    """Rewrites the log on request, when it has grown too much, and when it is turned on.

    `prepare` is called in the child before anything else, to reset signal handlers.
    """

    def __init__(self, engine: RewriteNeeds, prepare: Callable[[], None] = lambda: None) -> None:
        self.engine = engine
        self.prepare = prepare
        self.worker: Child | None = None  # during a rewrite …
        self.log: Log | None = None  # … of this log
        self.scheduled = False  # a rewrite begins as soon as possible
        self.problem = ""  # of the last rewrite; "": it succeeded
        self.failures = 0  # in a row
        self.rewrites = 0
        self.seconds = -1  # that the last rewrite took
        self.copied = 0  # bytes of memory that it copied on write
        self.began = self.not_before = 0.0

    def ask(self, now: bool) -> str:
        """BGREWRITEAOF: begin a rewrite, or schedule it; return Redis's answer. Raises ReplyError."""
        if self.worker is not None:
            raise ReplyError("ERR Background append only file rewriting already in progress")
        if not now or self.engine.forked:
            self.schedule()
            return "Background append only file rewriting scheduled"
        if not self.begin():
            raise ReplyError(f"ERR {CANNOT}")
        return "Background append only file rewriting started"

    def switch(self, now: bool) -> bool:
        """The option appendonly has changed: turn the log on or off. Return whether that succeeded, or began."""
        if self.engine.options.appendonly == "yes":
            return self.turn_on(now)
        self.turn_off()
        return True

    def turn_on(self, now: bool) -> bool:
        """Begin to rewrite, and to log; return whether that succeeded. With `now` False, `tick` begins."""
        self.cancel()
        if not now or self.engine.forked:
            self.schedule()
        elif not self.begin():
            self.turn_off()
            return False
        return True

    def start_over(self) -> None:
        """All data was replaced: begin the log again. Until that is complete, the folder holds the log before it."""
        self.turn_off()
        if self.engine.options.appendonly == "yes" and not self.turn_on(now=True):
            self.schedule()

    def turn_off(self) -> None:
        """Stop logging. The files stay."""
        self.cancel()
        log, self.engine.log = self.engine.log, None
        if log is not None:
            try:
                log.close()
            except OSError as error:
                server_log.error("cannot write the log, its last changes are lost: %s", error)

    def schedule(self) -> None:
        """Let `tick` begin a rewrite as soon as possible."""
        self.scheduled, self.failures = True, 0

    def begin(self) -> bool:
        """Begin a rewrite and return True. If that fails, log why and return False; the log is as before."""
        self.began = time.monotonic()
        self.rewrites += 1
        try:
            log = self.log = self.engine.log or Log(self.engine.options)
            if self.engine.log is None:
                self.enter(log)
            if self.engine.log is not None:
                log.branch()
            engine = self.engine
            self.worker = Child.start(
                lambda path, wanted, visit: write_base(path, engine.stores, wanted, engine.functions.codes, visit),
                lambda pid: log.folder.path / f"temp-rewriteaof-bg-{pid}.aof",  # as in Redis
                self.prepare,
                sum(map(len, self.engine.stores)),
            )
            self.engine.latency.add_fork(self.worker.took)
        except (OSError, CorruptLog) as error:
            self.record(str(error))
            return False
        self.scheduled = False
        return True

    def enter(self, log: Log) -> None:
        """The server has no log: turn this one on; if appendonly is no, only lock its folder for the rewrite."""
        log.enter()
        if self.engine.options.appendonly == "yes":
            log.open()  # so the folder holds a complete log, an old or an empty one, until the new one is complete
            log.waits_for_rewrite = True
            self.engine.log = log
        else:
            log.folder.tidy()

    def tick(self) -> None:
        """Finish the rewrite whose child has ended, or begin one that is due. Called about ten times a second.

        A snapshot, for the disk or for replicas, is finished first, unless the log is incomplete: then what counts is
        that writes are accepted again. If the rewrite has failed before, it may be all that will be left.
        """
        if self.worker is not None:
            problem = self.worker.result()
            if problem is not None:
                self.finish(problem)
        elif self.due():
            if self.needed and not self.failures:
                self.engine.give_way()
            if not self.engine.forked:
                self.begin()

    def due(self) -> bool:
        """Return whether a rewrite is scheduled, needed, or worth its while. After failures it has to wait."""
        return (self.scheduled or self.needed or self.grown()) and time.monotonic() >= self.not_before

    @property
    def needed(self) -> bool:
        """Whether the log may be incomplete on the disk, so that it must be rewritten."""
        return self.engine.log is not None and self.engine.log.health.needs_rewrite

    def grown(self) -> bool:
        """Whether the log has grown by auto-aof-rewrite-percentage since the last rewrite."""
        log, options = self.engine.log, self.engine.options
        if log is None or not options.auto_aof_rewrite_percentage or log.size <= options.auto_aof_rewrite_min_size:
            return False
        return log.size * 100 // (log.base_size or 1) - 100 >= options.auto_aof_rewrite_percentage

    def finish(self, problem: str) -> None:
        """The child has ended, with a problem or without (""): switch to the new base, or leave the log as it is."""
        assert self.worker is not None and self.log is not None
        child, self.worker = self.worker, None
        draft = child.draft
        self.copied = 0 if problem else child.info.copied
        try:
            if not problem:
                with self.engine.latency.timed("aof-rename"):
                    self.log.rebase(draft)
            draft.unlink(missing_ok=True)
        except OSError as error:
            problem = str(error)
        self.seconds = int(time.monotonic() - self.began)
        self.record(problem)

    def record(self, problem: str) -> None:
        """Record the result of a rewrite. One that should have turned the log on is tried again."""
        self.problem = problem
        self.failures = self.failures + 1 if problem else 0
        if problem:
            server_log.error("the log was not rewritten: %s", problem)
            self.scheduled |= self.engine.log is not None and self.engine.log.waits_for_rewrite
        if self.failures >= PATIENT_FAILURES:
            unit = 1 if self.needed else 60  # seconds: writes are refused while a rewrite is needed
            self.not_before = time.monotonic() + unit * min(2 ** (self.failures - PATIENT_FAILURES), 60)
        self.release()

    def cancel(self) -> None:
        """Cancel the rewrite that runs, and the one that is scheduled."""
        self.scheduled = False
        if self.worker is not None:
            self.worker.cancel()
            self.worker = None
        self.release()

    def release(self) -> None:
        """Forget the log that was rewritten, and unlock its folder unless the server logs there."""
        if self.log is not None and self.log is not self.engine.log:
            self.log.folder.leave()
        self.log = None

    def state(self) -> dict[str, Any]:
        """The fields of INFO about the log."""
        log = self.engine.log
        return {
            "aof_enabled": int(self.engine.options.appendonly == "yes"),
            "aof_rewrite_in_progress": int(self.worker is not None),
            "aof_rewrite_scheduled": int(self.scheduled),
            "aof_last_rewrite_time_sec": self.seconds,
            "aof_current_rewrite_time_sec": int(time.monotonic() - self.began) if self.worker else -1,
            "aof_last_bgrewrite_status": "err" if self.problem else "ok",
            "aof_rewrites": self.rewrites,
            "aof_rewrites_consecutive_failures": self.failures,
            "aof_last_write_status": "err" if log is not None and log.failure else "ok",
            "aof_last_cow_size": self.copied,
        }

    def state_of_log(self) -> dict[str, Any]:
        """The fields of INFO about the log itself, if there is one."""
        log = self.engine.log
        if log is None:
            return {}
        return {
            "aof_current_size": log.size,
            "aof_base_size": log.base_size,
            "aof_pending_rewrite": int(self.scheduled),
            "aof_buffer_length": log.waiting,
            "aof_pending_bio_fsync": int(log.syncing),
            "aof_delayed_fsync": 0,  # no write waits for an fsync
        }
