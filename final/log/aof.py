"""The append-only file (AOF): every change, written before its reply is sent. It does not know what commands do.

The files are those of Redis 7, so a real Redis can load the folder; `folder.py` lists them. Each file is a sequence of
requests: the server runs them in order to restore the data. A base may instead begin with a snapshot (RDB).
"""

import errno
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path

from ..config.options import Options
from ..data.unit import Requests
from ..protocol.writer import encode_request
from ..server_log import log
from .folder import Folder, private, size_in_place, touched
from .health import Event, Health, State
from .read import Batch, CorruptLog, Progress, read_file
from .record import Change, Record, encode_unit


class Log:
    """The log in its folder. Call `load`, then `open`, `append` for every unit, and `flush` in every iteration.

    The option `appendfsync` is the policy: when the log is fsynced, and so what a power failure can lose. `always`:
    before each reply is sent, so nothing; `everysec`: once a second, so the last one or two seconds; `no`: when the
    operating system decides. If only the process dies, even by `kill -9`, no policy loses anything.

    To rewrite it, call `branch`, write the data as it is at that moment to a file, and call `rebase` with it.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.folder = Folder(Path(options.dir) / options.appenddirname, options.appendfilename)
        self.health = Health()  # its state says whether writes are accepted
        self.waits_for_rewrite = False  # no manifest lists the last file until `rebase` (AOF_WAIT_REWRITE)
        self.base_size = 0  # size of the log after the last rewrite; at the start, of its base
        self._file: FileIO | None = None  # the last increment, to which `flush` writes …
        self._path = Path()  # … and its path
        self._earlier = 0  # bytes in the files before the last increment
        self._written = 0  # bytes in the last increment
        self._waiting = bytearray()  # appended, and not yet written to the file
        self._unsynced = False  # the file has bytes that need an fsync
        self._syncing = threading.Lock()  # held while `sync` runs, which may be in a thread
        self._database = -1  # the database that the last record selected; -1: none

    @property
    def failure(self) -> str:
        """The reason why writes are refused; "" when they are accepted."""
        return self.health.failure

    @property
    def displaced(self) -> bool:
        """Return whether writes are refused because somebody changed a file of the log, while the disk works."""
        return self.health.displaced

    @property
    def waiting(self) -> int:
        """Return how many bytes are not written yet."""
        return len(self._waiting)

    @property
    def syncing(self) -> bool:
        """Return whether an fsync is under way."""
        return self._syncing.locked()

    def enter(self, upgrade: bool = False) -> None:
        """Create and lock the folder, and read its manifest. Raises OSError, and CorruptLog for a wrong manifest.

        `upgrade`: move an old-style log into the folder, if there is one.
        """
        try:
            self.folder.enter(upgrade)
        except ValueError as error:
            remedy = "then fix it, restore it, or move the whole folder away"
            raise CorruptLog(self.folder.manifest_path, 0, str(error), remedy) from None

    def load(self) -> Iterator[Batch]:
        """Call `enter`, then yield all requests in order, in batches, with a function that refuses one of them.

        An incomplete request or transaction at the end of the last file is cut off, with a warning in the server log.
        Other damage raises CorruptLog; no file is changed.
        """
        self.enter(upgrade=True)
        files = self.folder.manifest.files
        progress = Progress(sum(map(self.folder.size, files)))
        for number, name in enumerate(files, start=1):
            path = self.folder.path / name
            whole = yield from read_file(path, progress)
            torn = self.folder.size(name) - whole
            if torn and number < len(files):
                raise CorruptLog(path, whole, "it ends in half a request, and is not the last file")
            if torn:
                log.warning("%s ends in half a request: %d bytes cut off at byte %d", path, torn, whole)
                os.truncate(path, whole)
        self._unsynced = bool(files)  # a server that crashed may have written bytes without fsync

    def open(self) -> None:
        """Open the last increment for appending; create it, and the manifest, if they are missing. Raises OSError.

        Also deletes the files that a crash left over: not earlier, because `load` has to find the log valid first.
        """
        self.folder.tidy()
        manifest = self.folder.manifest
        if not manifest.increments:
            manifest = manifest.with_increment(self.folder.filename)
            self._create(manifest.increments[-1].name).close()
            self.folder.write(manifest)
        sizes = [self.folder.size(name) for name in manifest.files]
        self.base_size = sizes[0] if manifest.base else 0
        self._earlier, self._written = sum(sizes[:-1]), sizes[-1]
        self._path = self.folder.path / manifest.files[-1]
        self._file = FileIO(self._path, "ab", opener=private)
        self.folder.remember()

    def branch(self) -> None:
        """Append to a new increment from now on, so that a new base can replace all files before it.

        The manifest lists the increment at once, with two exceptions: if `waits_for_rewrite` is set, or if fsync failed
        or a file was changed. Then the increment has a temporary name, and `rebase` adds it to the manifest; if the
        server stops before, the increment is not loaded. Raises OSError: then the log is as complete as before, and
        appends to the old increment, or to the new one if the manifest lists it already.
        """
        if self.health.needs_rewrite:
            with suppress(OSError):
                self.flush()
            self.folder.come_back()
            self.waits_for_rewrite = True
        else:
            self.flush()
            if self._waiting:
                raise OSError(self.failure)
            self.sync()  # else a power failure could lose the end of one increment and keep the next
        if self.waits_for_rewrite:
            file = self._create(self.folder.draft("incr"))
            self._waiting.clear()  # the new base will contain these changes
            self._continue_in(file)
            return
        self.folder.forget_history()  # files that the last rewrite failed to delete
        manifest = self.folder.manifest.with_increment(self.folder.filename)
        file = self._create(manifest.increments[-1].name)
        try:
            self.folder.write(manifest)
        finally:
            if self.folder.manifest is manifest:
                self._continue_in(file)
            else:
                file.close()

    def rebase(self, draft: Path) -> None:
        """Make the file `draft` the new base, and delete the files that it replaces.

        `draft` holds the data as it was at the last `branch`. Before `open`, also creates an increment.
        Raises OSError: then the log either is as before, or has the new base but old files are not deleted yet.
        """
        folder, manifest = self.folder, self.folder.manifest
        if self.waits_for_rewrite:
            self.sync()
            manifest = manifest.with_increment(folder.filename, ahead=2)
        elif self._file is None:
            manifest = manifest.with_increment(folder.filename)
            self._create(manifest.increments[-1].name).close()
        manifest = manifest.with_base(folder.filename)
        assert manifest.base is not None
        draft.rename(folder.path / manifest.base.name)
        if self.waits_for_rewrite:
            with self._syncing:
                self._path = self._path.rename(folder.path / manifest.increments[-1].name)
        try:
            folder.write(manifest)
        finally:
            if folder.manifest is manifest:
                self.waits_for_rewrite = False
                self.health.happen(Event.REBASED)
                self._earlier = folder.size(manifest.base.name)
                self.base_size = self.size
        folder.forget_history()

    def _create(self, name: str) -> FileIO:
        """Create an empty file for appending, in place of a draft. Raises OSError if a file of this name holds data."""
        if name == self.folder.draft("incr"):
            self.folder.remove([name])
        file = FileIO(self.folder.path / name, "ab", opener=private)
        if os.fstat(file.fileno()).st_size == 0:
            return file
        file.close()
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)

    def _continue_in(self, file: FileIO) -> None:
        """Append to this empty file from now on. The file before it is synced, or a rewrite will replace it."""
        with self._syncing:
            if self._file is not None:
                self._file.close()
            self._file, self._path = file, Path(os.fsdecode(file.name))
            self._unsynced = False
            self.health.happen(Event.BRANCHED)
            self._earlier, self._written = self.size, 0
        self._database = -1

    @property
    def size(self) -> int:
        """Return the number of bytes in all files of the log, and of those that are not written yet."""
        return self._earlier + self._written + len(self._waiting)

    def append(self, index: int, change: Change, more: Sequence[Record] = ()) -> None:
        """Add one unit to what `flush` writes: the change in database `index`, then the records `more`.

        MULTI and EXEC enclose several requests: a restart runs all of them or none. SELECT is added before a record
        whose database is not that of the record before. If memory runs out, nothing is added. One request without
        SELECT, the most frequent case by far, takes 0.4 µs.
        """
        if index == self._database and not more and not isinstance(change, Requests):
            self._waiting += encode_request(change)
            return
        unit, database = encode_unit(self._database, (index, change), *more)
        self._waiting += unit
        self._database = database

    def flush(self) -> None:
        """Write the appended bytes to the file; if the policy is `always`, also fsync it.

        If a write fails, the bytes that are not written are kept. With the policy `always`, OSError is raised, also if
        fsync fails, and no reply may be sent. With the other policies, `failure` is set to the reason, and the next
        `flush` writes the rest.
        """
        assert self._file is not None
        always = self.options.appendfsync == "always"
        try:
            while self._waiting:
                written = self._file.write(self._waiting)
                self._written += written
                del self._waiting[:written]
                self._unsynced = True
        except OSError as error:
            if always:
                raise
            self.health.happen(Event.WRITE_FAILED, error)
        else:
            if self.failure:
                self.health.happen(Event.WRITTEN)
        if always:
            self.sync()

    def sync(self) -> None:
        """fsync the file if it was written since the last call. This can take many milliseconds.

        Raises OSError if fsync fails, or if the file was moved or changed. Every later call before `branch` raises it
        too: the kernel may have dropped what it could not write, and then the next fsync would succeed without it.
        Writes are refused until `rebase` and one successful `flush`.
        """
        with self._syncing:
            if self.health.state is State.LOST:
                raise OSError(self.failure)
            if self._unsynced and self._file is not None:
                self._unsynced = False  # before fsync: bytes written while it runs need another fsync
                try:
                    os.fsync(self._file.fileno())
                    self._check_in_place(self._file)
                except OSError as error:
                    self.health.happen(Event.SYNC_FAILED, error)
                    raise

    def look(self) -> None:
        """Refuse writes if somebody changed a file of the log. Call it in the thread of `append` and `branch`."""
        with self._syncing:
            if self._file is not None and self.health.state is not State.LOST:
                try:
                    self._check_in_place(self._file)
                    if not self.waits_for_rewrite and (name := self.folder.changed()):
                        raise touched(name)
                except OSError as error:
                    self.health.happen(Event.SYNC_FAILED, error)

    def _check_in_place(self, file: FileIO) -> None:
        """Raise Displaced if the file is not at its path, or its size is not the one that `flush` left.

        `flush` may run in another thread. So the size is at least `_written` before it is read, and at most `_waiting`
        and `_written` after that: `flush` increases `_written` before it shortens `_waiting`; here it is read last.
        """
        least = self._written
        size = size_in_place(file.fileno(), self._path)
        if not least <= size <= len(self._waiting) + self._written:
            raise touched(self._path.name)

    def close(self) -> None:
        """Write and fsync the rest, close the file and unlock the folder. Raises OSError if one of the two fails."""
        try:
            self.flush()
            if self.failure:
                raise OSError(self.failure)
            self.sync()
        finally:
            with self._syncing:
                if self._file is not None:
                    self._file.close()
                    self._file = None
            self.folder.leave()
