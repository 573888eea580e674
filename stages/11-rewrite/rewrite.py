"""The rewrite: the data as it is replaces the changes that led to it, while the server goes on.

    the server                                          its child
    closes the increment, and opens another one
    forks                                               has all data as it is at this moment
    serves on; logs to the new increment                writes it to temp-rewriteaof-bg-PID.aof, and ends
    sees that the child has ended
    renames the child's file to the new base
    saves the new manifest: this is the switch
    deletes what was replaced

Before the switch the log is the old files and the new increment, after it the new base and the new increment.
"""

import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, Protocol

from aof import Log, restore
from base import write_base
from manifest import NAME, Manifest, load, save, tidy
from store import Store
from writer import Value


class Engine(Protocol):
    """What a rewrite needs of the engine."""

    db: Store
    log: Log | None

    def replay(self, args: list[bytes]) -> Value:
        """Execute a request from the log."""


class Rewriter:
    """The log's folder: opens the log that is in it, and rewrites it.

    `tick` is called ten times a second, while there is something to do: a rewrite is `scheduled`, or a child works.
    """

    def __init__(self, engine: Engine, folder: Path, policy: str) -> None:
        self.engine, self.folder, self.policy = engine, folder, policy
        self.manifest = Manifest()
        self.scheduled = False  # somebody wants a rewrite
        self.child = 0  # the number of the process that writes the new base; 0: there is none

    def open(self) -> None:
        """Restore the data from the log, and open its last increment. Raises OSError, ValueError, CorruptLog.

        A log of stage 05, one file beside the folder, becomes the first increment.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        old = self.folder.parent / NAME
        self.manifest = load(self.folder)
        if old.exists() and not (self.folder / self.manifest.files[-1]).exists():
            old.replace(self.folder / self.manifest.files[-1])
        for name in self.manifest.files:
            path = self.folder / name
            if path.exists() or self.manifest != Manifest():
                restore(path, self.engine.replay, last=name == self.manifest.files[-1])
        tidy(self.folder, self.manifest)
        self.engine.log = Log(self.folder / self.manifest.files[-1], self.policy)
        save(self.folder, self.manifest)

    def tick(self) -> None:
        """Begin a rewrite that somebody wants, or `finish` the one whose child has ended. While it works, begin none.

        Never in the middle of a unit: half of it would be in the base, and all of it in the increment.
        `os.waitpid(self.child, os.WNOHANG)` returns (0, 0) while the child works; then its number and its status, which
        is 0 if it has succeeded.
        """
        if self.child:
            pid, status = os.waitpid(self.child, os.WNOHANG)
            if pid:
                self.finish(succeeded=status == 0)
        elif self.scheduled:
            self.begin()

    def begin(self) -> None:
        """Begin a rewrite: call `branch`, then fork a child; keep its number. Nothing is `scheduled` any more.

        In this order: if `branch` fails, there is no child that nobody waits for.

        `os.fork()` returns twice: 0 in the child, which calls `work`, and never returns; the child's number in the
        server. The child's task is `write_base` to `draft`, with its own number, `os.getpid()`. Before the fork call
        `gc.freeze()`: a garbage collection in the child would write to each container, and that copies it.
        """
        self.scheduled = False
        self.branch()
        gc.freeze()
        pid = os.fork()
        if pid == 0:
            work(lambda: write_base(self.draft(os.getpid()), self.engine.db))
        self.child = pid

    def branch(self) -> None:
        """Let new changes go to a new increment: the log is all files up to it.

        The old increment must be complete, on the disk too, before a manifest lists another one behind it: `flush` and
        `sync` it, whatever the policy is. Then open a Log of the new file, save the manifest, and keep both: the
        manifest here, the Log in the engine. (The old file is closed when nobody uses it any more: a thread may be
        inside its `sync`.)
        """
        manifest = self.manifest.with_increment()
        if self.engine.log is not None:
            self.engine.log.flush()
            self.engine.log.sync()
        log = Log(self.folder / manifest.files[-1], self.policy)
        save(self.folder, manifest)
        self.manifest, self.engine.log = manifest, log

    def finish(self, succeeded: bool) -> None:
        """The child has ended. If it has succeeded, rename its draft to the new base, save the manifest, and `tidy`.

        In this order: whenever the server is killed, the files that the manifest lists are there, and whole. Keep the
        new manifest. If the child has failed, say so on standard error, and delete its draft, if there is one: the log
        is longer than it could be, and nothing is lost. In both cases there is no child any more, and `gc.unfreeze()`
        undoes what `begin` has done.
        """
        draft, self.child = self.draft(self.child), 0
        gc.unfreeze()
        if not succeeded:
            print("the log was not rewritten: the child has failed", file=sys.stderr)
            draft.unlink(missing_ok=True)
            return
        manifest = self.manifest.with_base()
        draft.replace(self.folder / manifest.files[0])
        save(self.folder, manifest)
        self.manifest = manifest
        tidy(self.folder, manifest)

    def draft(self, pid: int) -> Path:
        """The file that a child writes."""
        return self.folder / f"temp-rewriteaof-bg-{pid}.aof"

    def close(self) -> None:
        """The server stops: so does its child."""
        if self.child:
            os.kill(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)


def work(task: Callable[[], None]) -> NoReturn:
    """In a child: do a task, and end the process, with status 0, or 1 if the task raises anything. Never return.

    The child has copies of all that the server has open. If it keeps them, a client whose connection the server closes
    does not notice, and the port stays taken: `os.closerange(3, os.sysconf("SC_OPEN_MAX"))` closes all but standard
    input, output and error. It has the server's signal handlers, too, and a signal to the child would wake the server's
    event loop: `signal.set_wakeup_fd(-1)` ends that. Then SIGINT and SIGTERM get back their default, `signal.SIG_DFL`.

    `os._exit(status)` ends a process at once. Call it in `finally`: if an exception left this function, the child would
    go on as a second server. `traceback.print_exc()` tells what it was.
    """
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        task()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
