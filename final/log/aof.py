"""The log: every change, appended to a file before anyone hears of it. It knows files; not what commands do.

It lies as Redis 7 lays it out, so that a real Redis can take over the folder: `folder.py` says which files there
are. Each is a row of requests, which bring the data back when they are executed again.
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
from .folder import Displaced, Folder, private, size_in_place, touched
from .read import CorruptLog, Progress, Refusable, read_file

Record = tuple[int, Sequence[bytes]]  # the database, and the words of a request


class Log:
    """The log's folder. `load` what is there, `open` it, then `append` for every unit and `flush` once a turn.

    `appendfsync` says when the operating system must have the log on the disk, and so what a power cut can cost.
    `always`: before any reply, nothing; `everysec`: once a second, so a second or two; `no`: when the system
    likes to. When only the server dies, even by `kill -9`, nothing is lost with any of them.

    To rewrite it, `branch`, write the data as it is at this moment into a file of its own, and `rebase` on that.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.folder = Folder(Path(options.dir) / options.appenddirname, options.appendfilename)
        self.failure = ""  # why writes are refused: the last one could not be put into the file, or there is `doubt`
        self.doubt = ""  # why nobody knows what is on the disk: fsync failed, or the file has gone; `rebase` ends it
        self.displaced = False  # the `doubt` comes from somebody else's work on our files; the disk is well
        self.base_size = 0  # bytes in the log when it was last rewritten; before that, in the base
        self.apart = False  # what is appended counts only from the next `rebase` on
        self._file: FileIO | None = None  # the last increment, to which we append …
        self._path = Path()  # … and where it is
        self._earlier = 0  # bytes in the files before it
        self._written = 0  # bytes in it
        self._waiting = bytearray()  # appended, and not yet in the file
        self._unsynced = False  # in the file, and perhaps not yet on the disk
        self._lost = False  # what is in the file may never come onto the disk, whatever a later fsync says
        self._syncing = threading.Lock()  # held while `sync` works, perhaps in a thread
        self._database = -1  # the one that the last record was for; -1: not said yet

    def enter(self, upgrade: bool = False) -> None:
        """Make the folder ours. Raises OSError, and CorruptLog where it has no right list of the log's files.

        `upgrade`: move an old-style log in, where there is one.
        """
        try:
            self.folder.enter(upgrade)
        except ValueError as error:
            remedy = "then mend that, or put it back, or move the whole folder away"
            raise CorruptLog(self.folder.list, 0, str(error), remedy) from None

    def load(self) -> Iterator[Refusable]:
        """Read the log, in order: each request, and a function that refuses it as damage, for a reason.

        What is torn off at the end of the last file, which is half a request or a transaction without its EXEC,
        is cut off, and a line says so. Anything else that is no request raises CorruptLog and changes nothing.
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
        self._unsynced = bool(files)  # who was killed may not have come to see onto the disk what it promised

    def open(self) -> None:
        """Open the last increment to append to it; make it, and the manifest, where there are none. Raises OSError.

        What a crash has left over is deleted only now, when the log is known to be right.
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
        """Go on in a new increment, so that a new base can take the place of all that was logged up to now.

        Where the log stands `apart`, the increment starts from nothing, and is not in the manifest. So it is where
        there is `doubt`: nothing that was written up to now will count.
        Raises OSError: then the log goes on as it was, and still tells all.
        """
        if self.doubt:
            with suppress(OSError):
                self.flush()
            self.folder.come_back()
            self.apart = True
        else:
            self.flush()
            if self._waiting:
                raise OSError(self.failure)
            self.sync()  # else a power cut could take changes from an increment and not those from the next one
        if self.apart:
            file = self._create(self.folder.draft("incr"))
            self._waiting.clear()  # the new base tells it
            self._go_on_in(file)
            return
        self.folder.forget_history()  # where the last rewrite could not
        manifest = self.folder.manifest.with_increment(self.folder.filename)
        file = self._create(manifest.increments[-1].name)
        try:
            self.folder.write(manifest)
        finally:
            if self.folder.manifest is manifest:
                self._go_on_in(file)
            else:
                file.close()

    def rebase(self, draft: Path) -> None:
        """Let the file `draft`, which tells all up to the last `branch`, take the place of all files before that.

        Raises OSError: then either the log is as it was, or it is the new one and something is left over.
        """
        folder, manifest = self.folder, self.folder.manifest
        if self.apart:
            self.sync()
            manifest = manifest.with_increment(folder.filename, ahead=2)
        elif self._file is None:
            manifest = manifest.with_increment(folder.filename)
            self._create(manifest.increments[-1].name).close()
        manifest = manifest.with_base(folder.filename)
        assert manifest.base is not None
        draft.rename(folder.path / manifest.base.name)
        if self.apart:
            with self._syncing:
                self._path = self._path.rename(folder.path / manifest.increments[-1].name)
        try:
            folder.write(manifest)
        finally:
            if folder.manifest is manifest:
                self.apart, self.doubt, self.displaced = False, "", False
                self._earlier = folder.size(manifest.base.name)
                self.base_size = self.size
        folder.forget_history()

    def _create(self, name: str) -> FileIO:
        """Make an empty file in the folder, to append to it. Raises OSError where one is there that is not a draft."""
        if name == self.folder.draft("incr"):
            self.folder.remove([name])
        file = FileIO(self.folder.path / name, "ab", opener=private)
        if os.fstat(file.fileno()).st_size == 0:
            return file
        file.close()
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)

    def _go_on_in(self, file: FileIO) -> None:
        """Append to this file from now on, which is empty. What is in the one before is synced, or does not count."""
        with self._syncing:
            if self._file is not None:
                self._file.close()
            self._file, self._path = file, Path(os.fsdecode(file.name))
            self._unsynced = self._lost = False
            self._earlier, self._written = self.size, 0
        self._database = -1

    @property
    def size(self) -> int:
        """Bytes in all files that the log consists of, those on their way among them."""
        return self._earlier + self._written + len(self._waiting)

    def append(self, records: Sequence[Record]) -> None:
        """Note what one unit changed. It reaches the file with the next `flush`.

        Several records stand between MULTI and EXEC: they come back together or not at all. SELECT stands before
        a record for another database than the last one. All of it is added in one step: where memory runs out in
        between, nothing is.
        """
        unit, database = bytearray(), self._database
        if len(records) > 1:
            unit += b"*1\r\n$5\r\nMULTI\r\n"
        for index, args in records:
            if index != database:
                unit += encode_request([b"SELECT", b"%d" % index])
                database = index
            unit += encode_request(args)
        if len(records) > 1:
            unit += b"*1\r\n$4\r\nEXEC\r\n"
        self._waiting += unit
        self._database = database

    def append_one(self, index: int, args: Sequence[bytes]) -> None:
        """Note what a unit changed that is one request, in the database of this number: `append` for the fast path."""
        if index != self._database:
            self.append([(index, args)])
        else:
            self._waiting += encode_request(args)

    def flush(self) -> None:
        """Write to the file what was appended, and under `always` see it onto the disk.

        Raises OSError when the disk is full or fails and the policy is `always`: then no reply may be sent. Under
        the other policies the reason is kept in `failure`, and the next `flush` goes on where this one stopped.
        """
        assert self._file is not None
        try:
            while self._waiting:
                written = self._file.write(self._waiting)
                self._written += written
                del self._waiting[:written]
                self._unsynced = True
            self._refuse(self.doubt)
        except OSError as error:
            if self.options.appendfsync == "always":
                raise
            self._refuse(self.doubt or str(error.strerror))
        if self.options.appendfsync == "always":
            self.sync()

    def _refuse(self, failure: str) -> None:
        """Have writes refused for this reason, or, when it is empty, accepted; say so where that is new."""
        if bool(failure) != bool(self.failure):
            said = f"cannot be written, and so writes are refused: {failure}" if failure else "can be written again"
            log.warning("the log %s", said)
        self.failure = failure

    def sync(self) -> None:
        """See what was written onto the disk, if there is anything new. This can take many milliseconds.

        Raises OSError where the disk fails, or the file is not in its place any more, and from then on always: what
        did not come onto the disk is not known, and the system may have forgotten it, so that the next fsync would
        call good what is not. Writes are refused then, until the log was written anew: see `branch`.
        """
        with self._syncing:
            if self._lost:
                raise OSError(self.doubt)
            if self._unsynced and self._file is not None:
                self._unsynced = False  # first: what is written while fsync works needs another one
                try:
                    os.fsync(self._file.fileno())
                    self._find(self._file)
                except OSError as error:
                    self._give_up(error)
                    raise

    def look(self) -> None:
        """Notice where somebody has touched a file of the log. Call it where `append` and `branch` are called."""
        with self._syncing:
            if self._file is not None and not self._lost:
                try:
                    self._find(self._file)
                    if not self.apart and (name := self.folder.changed()):
                        raise touched(name)
                except OSError as error:
                    self._give_up(error)

    def _find(self, file: FileIO) -> None:
        """Raise Displaced where the file is not in its place, or not as long as we left it.

        Another thread may write meanwhile. So the file has at least the bytes that were counted before the look,
        and at most those that wait after it and those counted then: asked in this order, none is left out.
        """
        least = self._written
        size = size_in_place(file.fileno(), self._path)
        if not least <= size <= len(self._waiting) + self._written:
            raise touched(self._path.name)

    def _give_up(self, error: OSError) -> None:
        """What is in the file is lost, or may be."""
        self._lost, self.doubt, self.displaced = True, str(error.strerror), isinstance(error, Displaced)
        self._refuse(self.doubt)

    def close(self) -> None:
        """Write and sync what is left and let go of file and folder. Raises OSError where the disk does not take it."""
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
