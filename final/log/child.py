"""A child process that writes a file with all data as it was when the process was forked.

The child shares the server's memory until one of the two writes to a page, which the kernel then copies
(copy-on-write). CPython writes even when it only reads an object, because it changes the object's reference count.
So while the child works, the memory of every object that it reads is used twice. There is at most one child at a time.
"""

import gc
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, NoReturn

from ..server_log import log
from .childinfo import ChildInfo
from .folder import private

Wanted = Callable[[], bool]  # whether the file is still wanted
Visit = Callable[[Iterator[Any]], Iterator[Any]]  # yields the keys and values that it gets, and counts them
Write = Callable[[Path, Wanted, Visit], None]  # writes the file at a path, as long as it is wanted; or raises OSError


class Child:
    """A child process that writes the data as it was at the fork: `pid` writes the file `draft`."""

    def __init__(self, pid: int, draft: Path, info: ChildInfo, took: float) -> None:
        self.pid = pid
        self.took = took  # seconds for the fork
        self.draft = draft
        self.info = info

    @classmethod
    def start(
        cls, write: Write, draft_of: Callable[[int], Path], prepare: Callable[[], None], keys: int, keep: int = -1
    ) -> "Child":
        """Fork a child that calls `prepare` and `write`, and exits. `draft_of` names its file. Raises OSError.

        `keys` is how many keys there are. `keep` is a file descriptor that stays open in the child, such as a pipe to
        which it writes instead.
        """
        server, info = os.getpid(), ChildInfo(keys)
        with warnings.catch_warnings():
            # Python 3.12 and later warn: a lock that a thread holds now is held in the child for ever. Our thread calls
            # fsync and holds `Log._syncing`, which the child never takes: it computes, writes, and leaves by _exit.
            warnings.simplefilter("ignore", DeprecationWarning)
            gc.freeze()  # until the child has ended: a collection writes to every container, which copies its page
            began = perf_counter()
            try:
                pid = os.fork()
            except OSError:
                gc.unfreeze()
                raise
        if pid == 0:
            run(write, draft_of(os.getpid()), server, prepare, info, keep)
        return cls(pid, draft_of(pid), info, perf_counter() - began)

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


def run(write: Write, draft: Path, server: int, prepare: Callable[[], None], info: ChildInfo, keep: int) -> NoReturn:
    """In the child: write the file, as long as the process `server` is the parent, and exit."""
    status = 1

    def wanted() -> bool:
        info.report()
        return os.getppid() == server

    try:
        gc.disable()  # the end of the process frees everything
        prepare()
        for first, last in ((3, keep), (max(keep + 1, 3), os.sysconf("SC_OPEN_MAX"))):
            os.closerange(first, last)  # else connections that the server closes would stay open
        write(draft, wanted, info.counted)
        info.report(at_the_end=True)
        status = 0
    except BaseException as error:
        log.error("%s cannot be written: %r", draft.name, error)
    finally:
        os._exit(status)


def write_file(path: Path, pieces: Iterable[bytes], wanted: Wanted = lambda: True) -> None:
    """Write the pieces to a new file, and fsync it. Raises OSError, also once `wanted` answers False.

    It is asked after each piece, so that a piece should be large. If the file is not complete, it is deleted.
    """
    try:
        with open(path, "wb", opener=private) as file:
            for piece in pieces:
                file.write(piece)
                if not wanted():
                    raise InterruptedError("the server has ended")
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def joined(parts: Iterable[bytes], size: int = 1 << 18) -> Iterable[bytes]:
    """Join small parts to pieces of at least `size` bytes, the last one excepted. An empty part ends a piece.

    So whoever makes parts slowly can let others do something in between.
    """
    piece = bytearray()
    for part in parts:
        piece += part
        if len(piece) >= size or not part:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)
