"""The log's folder: its lock, and which of its files belong to the log. It does not know what they contain.

    appendonly.aof.manifest       the list of the files (manifest.py); at every moment the log is what it lists
    appendonly.aof.2.base.aof     the data at one moment (.rdb: a snapshot that Redis wrote) …
    appendonly.aof.5.incr.aof     … and the changes since: one increment, or several

The manifest is never changed in place. A draft is written and renamed over it, in one step: whatever happens,
there is one manifest, the old or the new, and the files that it lists are complete.

Nothing is deleted before the manifest is known to be complete. If it does not list a file with data that it should
list, the server does not start, unless an unfinished rewrite explains that file: see `Folder.verify`.
"""

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ..server_log import log
from .manifest import Entry, Manifest, named, parse

PATIENCE = 1.0  # seconds in which the child of a server that was killed must end, and so unlock the folder


class Displaced(OSError):
    """Somebody moved, deleted, truncated or changed a file of the log while the server runs."""


class Folder:
    """The log's folder. Between `enter` and `leave` this server has it locked."""

    def __init__(self, path: Path, filename: str) -> None:
        self.path = path
        self.filename = filename
        self.manifest_path = path / f"{filename}.manifest"
        self.manifest = Manifest()
        self._lock: int | None = None
        self._seen: dict[str, tuple[int, int, int] | None] = {}

    def enter(self, upgrade: bool = False) -> None:
        """Create the folder if it is missing, lock it, and read the manifest. Nothing is deleted; see `tidy`.

        `upgrade`: move in a log of Redis before version 7, a single file beside the folder.
        Raises OSError, also if another server has the lock, and ValueError if the manifest is damaged, or missing
        although there are files that it should list.
        """
        self.make()
        self.lock()
        try:
            manifest = Manifest()
            if os.path.lexists(self.manifest_path):
                manifest = parse(self.manifest_path.read_bytes())
            elif lost := [each.name for each in self.log_files() if self.size(each.name)]:
                raise ValueError(f"there is no such file, but there is {min(lost)}, which it should list")
            begun = manifest == self.upgraded and not (self.path / self.filename).exists()
            if upgrade and self.old.is_file() and (begun or manifest == Manifest()):
                self.upgrade()
                manifest = self.manifest
            self.verify(manifest)
            self.manifest = manifest
            self.remember()
        except BaseException:
            self.leave()
            raise

    @property
    def old(self) -> Path:
        """The path of an old-style log."""
        return self.path.parent / self.filename

    @property
    def upgraded(self) -> Manifest:
        """The manifest after an upgrade: the old-style log is the base, and keeps its name."""
        return Manifest(base=Entry(self.filename, 1, "b"))

    def upgrade(self) -> None:
        """Move an old-style log into the folder, as Redis does (`aofUpgradePrepare`). The manifest is written first."""
        self.write(self.upgraded)
        self.old.rename(self.path / self.filename)
        self.sync()
        sync_names(self.path.parent)
        log.warning("the old-style log %s was moved into %s", self.old, self.path)

    def verify(self, manifest: Manifest) -> None:
        """Raise ValueError if the manifest lists a file that is missing, or may have lost a line.

        An increment with data always has a line, and so has the base that the increments need. An unfinished rewrite
        leaves a base with the next number. If it was to turn the log on, it may also leave an increment; the number
        of that one is two ahead, while a lost last line leaves an increment that is one ahead.
        """
        for name in manifest.files:
            if not (self.path / name).is_file():
                raise ValueError(f"it lists {name}, which does not exist")
        number, orphan = self.unfinished(manifest)
        bases = [each for each in self.unlisted(manifest) if each.is_base]
        rewritten = any(each.number == number for each in bases)
        for each in self.unlisted(manifest):
            explained = each.is_base or (rewritten and each.name == orphan)
            if each.is_base and manifest.base is None and manifest.files:
                explained = each.number == number and self.rewrote_increments(manifest, orphan)
            if not explained:
                raise ValueError(f"it does not list {each.name}, which holds data")

    def unfinished(self, manifest: Manifest) -> tuple[int, str]:
        """What an unfinished rewrite may have left: the number of a base, and the name of an increment."""
        following = manifest.with_increment(self.filename, ahead=2).with_base(self.filename)
        assert following.base is not None
        return following.base.number, following.files[-1]

    def rewrote_increments(self, manifest: Manifest, orphan: str) -> bool:
        """Whether an unlisted base may come from an unfinished rewrite. Else the increments cannot do without it."""
        if [each.number for each in manifest.increments[:1]] != [1]:
            return False
        traces = (self.draft("incr"), orphan, aside(orphan))
        return len(manifest.increments) > 1 or any((self.path / name).exists() for name in traces)

    def log_files(self) -> list[Entry]:
        """The files in the folder that are named like files of the log."""
        return [entry for name in sorted(os.listdir(self.path)) if (entry := named(name, self.filename))]

    def unlisted(self, manifest: Manifest) -> list[Entry]:
        """Those of them that hold data and that the manifest does not list."""
        listed = {*manifest.files, *(each.name for each in manifest.history)}
        return [each for each in self.log_files() if each.name not in listed and self.size(each.name)]

    def tidy(self) -> None:
        """Delete replaced files and those of an unfinished rewrite. An increment with data is renamed instead."""
        number, orphan = self.unfinished(self.manifest)
        for each in self.unlisted(self.manifest):
            if each.name == orphan:
                (self.path / orphan).rename(self.path / aside(orphan))
                log.warning("%s was written while the log was being turned on, and never became part of it: "
                            "it is now %s", orphan, aside(orphan))  # fmt: skip
        left = [each.name for each in self.log_files() if each.name not in self.manifest.files]
        empty = [name for name in left if not self.size(name)]
        self.remove(name for name in left if name.startswith(f"{self.filename}.{number}.base."))
        self.remove([*empty, *self.names("temp-rewriteaof-", ".aof"), self.draft("manifest"), self.draft("incr")])
        self.forget_history()

    def remember(self) -> None:
        """Note the state of the files that no longer change: the manifest, and all files in it but the last one."""
        self._seen = {name: self.identity(name) for name in (self.manifest_path.name, *self.manifest.files[:-1])}

    def changed(self) -> str:
        """The name of one of these files that somebody changed, replaced or deleted since; "" if there is none.

        A change in place that keeps the size is not noticed.
        """
        return next((name for name, seen in self._seen.items() if self.identity(name) != seen), "")

    def identity(self, name: str) -> tuple[int, int, int] | None:
        """The device, inode and size of the file with this name; None: there is no file."""
        try:
            found = (self.path / name).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size

    def make(self) -> None:
        """Create the folder if it is missing, and fsync its parent: else a power failure could remove the folder."""
        missing = [each for each in (self.path, *self.path.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(mode=0o700, exist_ok=True)
        self.path.mkdir(exist_ok=True)  # raises FileExistsError if it is a file
        for each in missing:
            sync_names(each.parent)

    def come_back(self) -> None:
        """If the folder was moved or deleted, create and lock it again. Raises OSError."""
        self.path.mkdir(mode=0o700, exist_ok=True)
        sync_names(self.path.parent)
        if self._lock is None or not os.path.samestat(os.fstat(self._lock), os.stat(self.path)):
            self.leave()
            self.lock(patience=0)

    def lock(self, patience: float = PATIENCE) -> None:
        """Lock the folder until `leave` or the end of this process; try for `patience` seconds. Raises OSError."""
        self._lock = os.open(self.path, os.O_RDONLY)
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self.leave()
                    raise OSError(f"another server is at work in {self.path}") from None
                time.sleep(PATIENCE / 50)

    def leave(self) -> None:
        """Unlock the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def names(self, start: str, *ends: str) -> list[str]:
        """The names in the folder that begin with `start` and end with one of `ends`."""
        return [name for name in os.listdir(self.path) if name.startswith(start) and name.endswith(ends)]

    def size(self, name: str) -> int:
        """The size of a file in bytes."""
        return (self.path / name).stat().st_size

    def draft(self, what: str) -> str:
        """The temporary name of a file that is not yet part of the log, as in Redis."""
        return f"temp-{self.filename}.{what}"

    def write(self, manifest: Manifest) -> None:
        """Replace the manifest. Raises OSError; `self.manifest` is what the file says even then.

        The folder is fsynced before the rename, for the names of the new files, and after it, for the manifest's.
        """
        draft = self.path / self.draft("manifest")
        with open(draft, "wb", opener=private) as file:
            file.write(os.fsencode(str(manifest)))
            file.flush()
            os.fsync(file.fileno())
        self.sync()
        draft.rename(self.manifest_path)
        self.manifest = manifest
        self.remember()
        self.sync()

    def forget_history(self) -> None:
        """Delete the files that were replaced, and then remove them from the manifest."""
        if self.manifest.history:
            self.remove(each.name for each in self.manifest.history)
            self.write(replace(self.manifest, history=()))

    def remove(self, names: Iterable[str]) -> None:
        """Delete these files, if they exist."""
        for path in map(self.path.joinpath, names):
            with freed_by_a_thread(path):
                path.unlink(missing_ok=True)

    def sync(self) -> None:
        """fsync the folder: else a power failure could remove a new file."""
        sync_names(self.path)


def sync_names(folder: Path) -> None:
    """fsync a folder, so that the names in it are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def freed_by_a_thread(path: Path) -> Iterator[None]:
    """Let the block delete or replace a file at once; the system then frees its blocks, for 50 ms if it has 100 MB.

    As long as the file is open it is not freed. So a thread closes it, as in Redis (`bg_unlink`).
    """
    descriptor = None
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
    try:
        yield
    finally:
        if descriptor is not None:
            threading.Thread(target=os.close, args=[descriptor], daemon=True).start()


def private(path: str, flags: int) -> int:
    """An opener for files that only their owner can read: they hold everyone's data."""
    return os.open(path, flags, 0o600)


def aside(name: str) -> str:
    """The new name of a file that is not part of the log, but holds data, so only its owner may delete it."""
    return f"{name}.aside"


def size_in_place(descriptor: int, path: Path) -> int:
    """The size of an open file. Raises Displaced if the file at `path` is another one, or missing."""
    ours = os.fstat(descriptor)
    try:
        if os.path.samestat(ours, os.stat(path)):
            return ours.st_size
    except OSError as error:
        raise Displaced(error.errno, error.strerror) from None
    raise Displaced(errno.ENOENT, os.strerror(errno.ENOENT))


def touched(name: str) -> Displaced:
    """The error for a file that is not as we left it."""
    return Displaced(errno.EIO, f"{name} was changed by someone else")
