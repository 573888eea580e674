"""The log's new base, written by a child process that has all data as it was at the fork.

The child shares the server's memory until one of the two writes to a page, which the kernel then copies
(copy-on-write). CPython writes even when it only reads an object, because it changes the object's reference count.
So while the child works, the memory of every object that it reads is used twice.
"""

import gc
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from ..data.store import KINDS, Args, Store
from ..protocol.writer import encode
from ..server_log import log
from .folder import private

Items = Iterable[tuple[bytes, Any, int | None]]  # keys with their values and deadlines
ALIVE_EVERY = 10_000  # requests after which the child checks whether the server still runs


def requests(data: Iterable[tuple[int, Items]]) -> Iterator[Args]:
    """The requests that recreate the data: databases by their index."""
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
    """Write the data to a new file, and fsync it. Raises OSError, also once `wanted` answers False."""
    with open(path, "wb", opener=private) as file:
        for number, args in enumerate(requests(data)):
            file.write(encode(args))
            if number % ALIVE_EVERY == 0 and not wanted():
                raise InterruptedError("the server has ended")
        file.flush()
        os.fsync(file.fileno())


class Child:
    """A child process that writes the data as it was at the fork: `pid` writes the file `draft`."""

    def __init__(self, pid: int, draft: Path) -> None:
        self.pid = pid
        self.draft = draft

    @classmethod
    def start(cls, stores: list[Store], folder: Path, prepare: Callable[[], None]) -> "Child":
        """Fork a child that calls `prepare`, writes the data of `stores`, and exits. Raises OSError."""
        server = os.getpid()
        with warnings.catch_warnings():
            # Python 3.12 and later warn: a lock that a thread holds now is held in the child for ever. Our thread calls
            # fsync and holds `Log._syncing`, which the child never takes: it computes, writes, and leaves by _exit.
            warnings.simplefilter("ignore", DeprecationWarning)
            gc.freeze()  # until the child has ended: a collection writes to every container, which copies its page
            try:
                pid = os.fork()
            except OSError:
                gc.unfreeze()
                raise
        if pid == 0:
            run(stores, folder, server, prepare)
        return cls(pid, draft_of(folder, pid))

    def result(self) -> str | None:
        """None while the child works; then "", or the problem. Never waits."""
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # the server was started with SIGCHLD ignored, so the kernel forgot the child
            pid, status = self.pid, 1
        if pid == 0:
            return None
        gc.unfreeze()
        code = os.waitstatus_to_exitcode(status)
        return "" if code == 0 else f"the child was killed by signal {-code}" if code < 0 else "the child has failed"

    def cancel(self) -> None:
        """Kill the child, wait until it has ended, and delete its file."""
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        gc.unfreeze()
        self.draft.unlink(missing_ok=True)


def run(stores: list[Store], folder: Path, server: int, prepare: Callable[[], None]) -> NoReturn:
    """In the child: write the base, as long as the process `server` is the parent, and exit."""
    status = 1
    try:
        gc.disable()  # the end of the process frees everything
        prepare()
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # else connections that the server closes would stay open
        write_base(draft_of(folder, os.getpid()), all_of(stores), lambda: os.getppid() == server)
        status = 0
    except BaseException as error:
        log.error("the log's new base cannot be written: %r", error)
    finally:
        os._exit(status)


def draft_of(folder: Path, pid: int) -> Path:
    """The file that the child process `pid` writes, named as in Redis."""
    return folder / f"temp-rewriteaof-bg-{pid}.aof"


def all_of(stores: list[Store]) -> Iterator[tuple[int, Items]]:
    """All databases with their items, by index."""
    return ((store.index, store.items()) for store in stores)
