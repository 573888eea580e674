"""The rewrite of the log: the data as it is takes the place of the story of how it became so. It knows when, and how.

    the server                                            its child (base.py)
    ----------                                            -------------------
    ends the increment, and begins another one
    forks                                                 has all data as it was at that moment
    goes on, and logs into the new increment              writes it to temp-rewriteaof-bg-PID.aof, fsyncs, exits
    sees that the child has ended
    renames its file to be the new base, and then
    the manifest: this one step is the switch
    deletes what was replaced

Up to the switch the old files tell all, together with the new increment; after it the new base does, with the same.
"""

import os
import time
from collections.abc import Callable
from typing import Any, Protocol

from ..data.store import Store
from ..options import Options
from ..protocol.errors import ReplyError
from ..server_log import log as server_log
from .aof import Log
from .base import Child, Copier
from .read import CorruptLog

PATIENT_FAILURES = 3  # after so many in a row the next automatic try waits: a minute, then two, four … (as Redis)
CANNOT = "Can't execute an AOF background rewriting. Please check the server logs for more information."


class Engine(Protocol):
    """What the rewriter must know of the server, and change: the engine is one."""

    options: Options
    stores: list[Store]
    log: Log | None


class Rewriter:
    """Rewrites the log when it is asked to, when it has grown too much, and when it is turned on.

    `prepare` is called in the child before anything else: who has set signals up takes them back there.
    """

    def __init__(self, engine: Engine, prepare: Callable[[], None] = lambda: None) -> None:
        self.engine = engine
        self.prepare = prepare
        self.worker: Child | Copier | None = None  # there while a rewrite is under way …
        self.log: Log | None = None  # … of this log
        self.scheduled = False  # one is to begin when it can
        self.problem = ""  # of the last one
        self.failures = 0  # in a row
        self.rewrites = 0
        self.seconds = -1  # that the last one took
        self.began = self.not_before = 0.0

    def ask(self, now: bool) -> str:
        """BGREWRITEAOF: begin, or see to it that `tick` does; answer with what Redis says. Raises ReplyError."""
        if self.worker is not None:
            raise ReplyError("ERR Background append only file rewriting already in progress")
        if not now:
            self.schedule()
            return "Background append only file rewriting scheduled"
        if not self.begin():
            raise ReplyError(f"ERR {CANNOT}")
        return "Background append only file rewriting started"

    def switch(self, now: bool) -> bool:
        """The option appendonly has changed: turn the log on or off. Tell whether that could be done, or begun."""
        if self.engine.options.appendonly == "yes":
            return self.turn_on(now)
        self.turn_off()
        return True

    def turn_on(self, now: bool) -> bool:
        """Rewrite, and log from then on; tell whether that could be begun."""
        self.cancel()
        if not now:
            self.schedule()
        elif not self.begin():
            self.turn_off()
            return False
        return True

    def turn_off(self) -> None:
        """Log nothing from now on. What was logged stays."""
        self.cancel()
        log, self.engine.log = self.engine.log, None
        if log is not None:
            try:
                log.close()
            except OSError as error:
                server_log.error("cannot write the log, its last changes are lost: %s", error)

    def schedule(self) -> None:
        """Have `tick` begin a rewrite as soon as it can."""
        self.scheduled, self.failures = True, 0

    def begin(self) -> bool:
        """Begin a rewrite; tell whether that could be done. If not, a line says why, and the log is as it was."""
        self.began = time.monotonic()
        self.rewrites += 1
        try:
            log = self.log = self.engine.log or Log(self.engine.options)
            if self.engine.log is None:
                self.enter(log)
            if self.engine.log is not None:
                log.branch()
            worker = Child if hasattr(os, "fork") else Copier
            self.worker = worker(self.engine.stores, log.folder.path, self.prepare)
        except (OSError, CorruptLog) as error:
            self.note(str(error))
            return False
        self.scheduled = False
        return True

    def enter(self, log: Log) -> None:
        """The server keeps no log. Turn this one on, or only have its folder, to leave the data there as it is."""
        log.enter()
        if self.engine.options.appendonly == "yes":
            log.open()  # so that there is a whole log, the old one or an empty one, until the new one is complete
            log.apart = True
            self.engine.log = log
        else:
            log.folder.tidy()

    def tick(self) -> None:
        """Called some ten times a second: see whether the rewrite under way is done, or whether one is due."""
        if self.worker is not None:
            problem = self.worker.result()
            if problem is not None:
                self.finish(problem)
        elif (self.scheduled or self.in_doubt or self.grown()) and time.monotonic() >= self.not_before:
            self.begin()

    @property
    def in_doubt(self) -> bool:
        """Whether nobody knows what of the log is on the disk, so that only a new one can be relied on."""
        return self.engine.log is not None and bool(self.engine.log.doubt)

    def grown(self) -> bool:
        """Whether the log has grown so much since it was last rewritten that it is time to do it again."""
        log, options = self.engine.log, self.engine.options
        if log is None or not options.auto_aof_rewrite_percentage or log.size <= options.auto_aof_rewrite_min_size:
            return False
        return log.size * 100 // (log.base_size or 1) - 100 >= options.auto_aof_rewrite_percentage

    def finish(self, problem: str) -> None:
        """The worker has ended, well or with a problem: switch to the new base, or leave all as it is."""
        assert self.worker is not None and self.log is not None
        draft, self.worker = self.worker.draft, None
        try:
            if not problem:
                self.log.rebase(draft)
            draft.unlink(missing_ok=True)
        except OSError as error:
            problem = str(error)
        self.seconds = int(time.monotonic() - self.began)
        self.note(problem)

    def note(self, problem: str) -> None:
        """A rewrite is over: keep how it went. One that should have turned the log on is tried again."""
        self.problem = problem
        self.failures = self.failures + 1 if problem else 0
        if problem:
            server_log.error("the log was not rewritten: %s", problem)
            self.scheduled |= self.engine.log is not None and self.engine.log.apart
        if self.failures >= PATIENT_FAILURES:
            unit = 1 if self.in_doubt else 60  # seconds: writes are refused meanwhile
            self.not_before = time.monotonic() + unit * min(2 ** (self.failures - PATIENT_FAILURES), 60)
        self.let_go()

    def cancel(self) -> None:
        """Give up a rewrite that is under way, and one that is scheduled."""
        self.scheduled = False
        if self.worker is not None:
            self.worker.cancel()
            self.worker = None
        self.let_go()

    def let_go(self) -> None:
        """Forget the log that was rewritten, and let go of its folder where it is not kept on."""
        if self.log is not None and self.log is not self.engine.log:
            self.log.folder.leave()
        self.log = None

    def state(self) -> dict[str, Any]:
        """What INFO says about the log."""
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
            "aof_current_size": log.size if log is not None else 0,
            "aof_base_size": log.base_size if log is not None else 0,
        }
