"""The append-only file (AOF): every change, written before anyone gets a reply. It does not know what commands do.

The files are those of Redis 7, so that a real Redis can take over the folder: `folder.py` lists them. Each file is a
sequence of requests, and to run them restores the data.
"""

import errno
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path

from ..options import Options
from ..protocol.writer import encode_request
from ..server_log import log
from .folder import Folder, private, size_in_place, touched
from .health import Event, Health, State
from .read import CorruptLog, Progress, Refusable, read_file

Record = tuple[int, Sequence[bytes]]  # the index of a database, and a request


class Log:
    """The log's folder. `load` what is there, `open` it, then `append` every unit; `flush` in every iteration.

    `appendfsync` says when the log must be on the disk, and so how much a power failure can lose. `always`: before
    any reply, so nothing; `everysec`: once a second, so one or two seconds; `no`: when the operating system decides.
    If only the server dies, even by `kill -9`, no policy loses anything.

    To rewrite the log, `branch`, write the data of this moment to a file, and `rebase` on that file.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.folder = Folder(Path(options.dir) / options.appenddirname, options.appendfilename)
        self.health = Health()  # whether writes are accepted
        self.waits_for_rewrite = False  # the last file is in no manifest until `rebase` (AOF_WAIT_REWRITE)
        self.base_size = 0  # bytes in the log after the last rewrite; before the first one, in the base
        self._file: FileIO | None = None  # the last increment, to which we append …
        self._path = Path()  # … and its path
        self._earlier = 0  # bytes in the files before it
        self._written = 0  # bytes in it
        self._waiting = bytearray()  # appended, and not yet written to the file
        self._unsynced = False  # the file has bytes that need an fsync
        self._syncing = threading.Lock()  # held while `sync` works, perhaps in a thread
        self._database = -1  # the database that the last record selected; -1: none

    @property
    def failure(self) -> str:
        """Why writes are refused; "" when they are accepted."""
        return self.health.failure

    @property
    def displaced(self) -> bool:
        """Whether writes are refused because somebody changed our files, while the disk works."""
        return self.health.displaced

    def enter(self, upgrade: bool = False) -> None:
        """Create and lock the folder, and read its manifest. Raises OSError, and CorruptLog for a wrong manifest.

        `upgrade`: move an old-style log into the folder, if there is one.
        """
        try:
            self.folder.enter(upgrade)
        except ValueError as error:
            remedy = "then fix it, restore it, or move the whole folder away"
            raise CorruptLog(self.folder.manifest_path, 0, str(error), remedy) from None

    def load(self) -> Iterator[Refusable]:
        """Read the log, in order: each request, and a function that refuses it as damage, for a reason.

        A request or transaction that is incomplete at the end of the last file is cut off, and the server log says
        so. Anything else that is no request raises CorruptLog and changes nothing.
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
        self._unsynced = bool(files)  # a server that was killed may not have synced what it promised

    def open(self) -> None:
        """Open the last increment for appending; create it, and the manifest, if they are missing. Raises OSError.

        What a crash left over is deleted only now, when the log is known to be right.
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
        """Append to a new increment from now on, so that a new base can replace everything before it.

        If the log waits for a rewrite, the increment gets a temporary name and is not in the manifest. So it is
        when the files were lost: nothing that was written up to now will count.
        Raises OSError: then the log continues as before, and is still complete.
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
            self.sync()  # else a power failure could take changes from one increment and leave those of the next
        if self.waits_for_rewrite:
            file = self._create(self.folder.draft("incr"))
            self._waiting.clear()  # the new base contains it
            self._continue_in(file)
            return
        self.folder.forget_history()  # if the last rewrite could not
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
        """Make the file `draft`, which holds the data up to the last `branch`, the base, in place of older files.

        Raises OSError: then either the log is as before, or it is the new one and old files are left over.
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
        """Create an empty file in the folder, for appending. Raises OSError if it exists and is not a draft."""
        if name == self.folder.draft("incr"):
            self.folder.remove([name])
        file = FileIO(self.folder.path / name, "ab", opener=private)
        if os.fstat(file.fileno()).st_size == 0:
            return file
        file.close()
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)

    def _continue_in(self, file: FileIO) -> None:
        """Append to this empty file from now on. The file before it is synced, or does not count."""
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
        """Bytes in all files of the log, with those that are not yet written."""
        return self._earlier + self._written + len(self._waiting)

    def append(self, index: int, args: Sequence[bytes], more: Sequence[Record] = ()) -> None:
        """Add what one unit changed: the request `args` in database `index`, then `more`. `flush` writes it.

        Several records are put between MULTI and EXEC: they are restored together or not at all. SELECT precedes
        a record for another database than the last one. A unit is added in one step: if memory runs out, nothing is.
        One record without SELECT, the most frequent case by far, takes 0.6 µs, nearly all of it in `encode_request`.
        """
        if index == self._database and not more:
            self._waiting += encode_request(args)
            return
        unit, database = bytearray(), self._database
        if more:
            unit += b"*1\r\n$5\r\nMULTI\r\n"
        for number, request in ((index, args), *more):
            if number != database:
                unit += encode_request([b"SELECT", b"%d" % number])
                database = number
            unit += encode_request(request)
        if more:
            unit += b"*1\r\n$4\r\nEXEC\r\n"
        self._waiting += unit
        self._database = database

    def flush(self) -> None:
        """Write what was appended to the file, and under `always` fsync it.

        Raises OSError when the disk is full or fails and the policy is `always`: then no reply may be sent. Under
        the other policies `failure` keeps the reason, and the next `flush` continues where this one stopped.
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
        """fsync what was written since the last call, if anything. This can take many milliseconds.

        Raises OSError if the disk fails, or the file was moved or changed, and from then on always: the kernel may
        have dropped what it could not write, and then the next fsync would succeed without it. Writes are refused
        until the log is rewritten: see `branch`.
        """
        with self._syncing:
            if self.health.state is State.LOST:
                raise OSError(self.failure)
            if self._unsynced and self._file is not None:
                self._unsynced = False  # first: what is written during fsync needs another one
                try:
                    os.fsync(self._file.fileno())
                    self._check_in_place(self._file)
                except OSError as error:
                    self.health.happen(Event.SYNC_FAILED, error)
                    raise

    def look(self) -> None:
        """Notice if somebody changed a file of the log. Call it in the thread that calls `append` and `branch`."""
        with self._syncing:
            if self._file is not None and self.health.state is not State.LOST:
                try:
                    self._check_in_place(self._file)
                    if not self.waits_for_rewrite and (name := self.folder.changed()):
                        raise touched(name)
                except OSError as error:
                    self.health.happen(Event.SYNC_FAILED, error)

    def _check_in_place(self, file: FileIO) -> None:
        """Raise Displaced if the file is not at its path, or does not have the size that we left.

        Another thread may write at the same time. So the file has at least the bytes counted before its size is
        read, and at most the waiting ones and those counted afterwards. In this order of reading none is missed.
        """
        least = self._written
        size = size_in_place(file.fileno(), self._path)
        if not least <= size <= len(self._waiting) + self._written:
            raise touched(self._path.name)

    def close(self) -> None:
        """Write and sync the rest, close the file and unlock the folder. Raises OSError if something is not saved."""
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
