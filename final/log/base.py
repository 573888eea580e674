"""The log's new base, written beside the server: by a child that has all data as it was when it was born.

The child shares the server's memory, page by page, until one of the two writes to a page. Python does that also when
it only looks at an object, because it counts references there: so while the child works, the memory of all that it
looks at is there twice. Where the system cannot fork, a thread writes, from a copy.
"""

import copy
import gc
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ..data.store import KINDS, Args, Store
from ..protocol.writer import encode
from ..server_log import log
from .folder import private

Items = Iterable[tuple[bytes, Any, int | None]]  # keys with their values and deadlines
ALIVE_EVERY = 10_000  # requests after which the child looks whether the server is still there


def requests(data: Iterable[tuple[int, Items]]) -> Iterator[Args]:
    """The requests that make the data anew: `data` has the databases, each by its number."""
    for index, items in data:
        selected = False
        for key, value, deadline in items:
            if not selected:
                yield b"SELECT", b"%d" % index
                selected = True
            yield from KINDS[type(value)].dump(key, value)
            if deadline is not None:
                yield b"PEXPIREAT", key, b"%d" % deadline


def write_base(path: Path, data: Iterable[tuple[int, Items]], wanted: Callable[[], bool]) -> None:
    """Write the data to a new file, and see it onto the disk. Raises OSError; also when it is not `wanted` any more."""
    with open(path, "wb", opener=private) as file:
        for number, args in enumerate(requests(data)):
            file.write(encode(args))
            if number % ALIVE_EVERY == 0 and not wanted():
                raise InterruptedError("the server has gone")
        file.flush()
        os.fsync(file.fileno())


class Child:
    """A process that has the data as it was at the fork, and writes it."""

    def __init__(self, stores: list[Store], folder: Path, prepare: Callable[[], None]) -> None:
        server = os.getpid()
        with warnings.catch_warnings():
            # From Python 3.12 on: a thread may hold a lock now, for ever in the child. Ours makes an fsync, holds
            # `Log._syncing`, and the child does not ask for that: it only computes, writes, and leaves by _exit.
            warnings.simplefilter("ignore", DeprecationWarning)
            gc.freeze()  # until the child has ended: a collection writes to each container, and so copies its page
            try:
                self.pid = os.fork()
            except OSError:
                gc.unfreeze()
                raise
        self.draft = folder / f"temp-rewriteaof-bg-{self.pid or os.getpid()}.aof"
        if self.pid == 0:
            status = 1
            try:
                gc.disable()  # what it would free, the end frees
                prepare()
                os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # else clients that the server leaves would not notice
                write_base(self.draft, all_of(stores), lambda: os.getppid() == server)
                status = 0
            except BaseException as error:
                log.error("the log's new base cannot be written: %r", error)
            finally:
                os._exit(status)

    def result(self) -> str | None:
        """None while it works; then "", or what went wrong. Never waits."""
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # who started the server ignores SIGCHLD, so the system has forgotten the child
            pid, status = self.pid, 1
        if pid == 0:
            return None
        gc.unfreeze()
        code = os.waitstatus_to_exitcode(status)
        return "" if code == 0 else f"the child was killed by signal {-code}" if code < 0 else "the child has failed"

    def cancel(self) -> None:
        """End it, and wait until it has ended."""
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        gc.unfreeze()
        self.draft.unlink(missing_ok=True)


class Copier:
    """Where there is no fork: a copy of all data, made while everyone waits, and a thread that writes it."""

    def __init__(self, stores: list[Store], folder: Path, prepare: Callable[[], None]) -> None:
        log.warning("there is no os.fork here: the server stands still while its data is copied")
        copied = [(index, copy.deepcopy(list(items))) for index, items in all_of(stores)]
        self.draft = folder / f"temp-rewriteaof-bg-{os.getpid()}.aof"
        self.wanted = True
        self.problem = ""
        self.thread = threading.Thread(target=self.write, args=[copied])
        self.thread.start()

    def write(self, data: Iterable[tuple[int, Items]]) -> None:
        """What the thread does."""
        try:
            write_base(self.draft, data, lambda: self.wanted)
        except Exception as error:  # whatever it is: what there is of the new base must not count
            self.problem = str(error) or repr(error)

    def result(self) -> str | None:
        """None while it works; then "", or what went wrong. Never waits."""
        return None if self.thread.is_alive() else self.problem

    def cancel(self) -> None:
        """End it, and wait until it has ended."""
        self.wanted = False
        self.thread.join()
        self.draft.unlink(missing_ok=True)


def all_of(stores: list[Store]) -> Iterator[tuple[int, Items]]:
    """The databases, each by its number, with all that they hold."""
    return ((store.index, store.items()) for store in stores)
