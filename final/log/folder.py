"""The log's folder: who may write there, and what of it belongs to the log. It knows names, not what the files contain.

    appendonly.aof.manifest       the list of the files (manifest.py); the log is what it says, at every moment
    appendonly.aof.2.base.aof     the data as it was at one moment (.rdb: a snapshot that Redis has written) …
    appendonly.aof.5.incr.aof     … and what has changed since: one increment, or several

The list is never changed in place. A draft is written beside it and renamed over it, which is one step: whatever
happens, one list is there, the old or the new, and the files that it names are complete.

Nothing is deleted before the list is known to be whole. A file with data that the list should name, and does not, stops
the start, unless a rewrite that was cut short explains it: see `Folder.prove`.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ..server_log import log
from .manifest import Entry, Manifest, named, parse

PATIENCE = 1.0  # seconds: so long may the child of a server that was killed take to let go of the folder


class Displaced(OSError):
    """Somebody has moved, deleted, cut or changed a file of the log under the running server."""


class Folder:
    """The log's folder. Between `enter` and `leave` it belongs to this server, and to no other one."""

    def __init__(self, path: Path, filename: str) -> None:
        self.path = path
        self.filename = filename
        self.list = path / f"{filename}.manifest"
        self.manifest = Manifest()
        self._lock: int | None = None
        self._seen: dict[str, tuple[int, int, int] | None] = {}

    def enter(self, upgrade: bool = False) -> None:
        """Make the folder where there is none, lock it, and read the list. Nothing is deleted; see `tidy`.

        `upgrade`: where there is a log as Redis had it before version 7, one file beside the folder, move it in.
        Raises OSError, also where another server is at work here, and ValueError where the list is damaged,
        or missing while the files that it should list are there.
        """
        self.make()
        self.lock()
        try:
            manifest = Manifest()
            if os.path.lexists(self.list):
                manifest = parse(self.list.read_bytes())
            elif lost := [each.name for each in self.found() if self.size(each.name)]:
                raise ValueError(f"there is no such file, but there is {min(lost)}, which it should list")
            begun = manifest == self.upgraded and not (self.path / self.filename).exists()
            if upgrade and self.old.is_file() and (begun or manifest == Manifest()):
                self.upgrade()
                manifest = self.manifest
            self.prove(manifest)
            self.manifest = manifest
            self.remember()
        except BaseException:
            self.leave()
            raise

    @property
    def old(self) -> Path:
        """Where an old-style log is, if there is one."""
        return self.path.parent / self.filename

    @property
    def upgraded(self) -> Manifest:
        """The list after an upgrade: an old-style log becomes the base, and keeps its name."""
        return Manifest(base=Entry(self.filename, 1, "b"))

    def upgrade(self) -> None:
        """Move an old-style log into the folder, as Redis does (`aofUpgradePrepare`). The list comes first."""
        self.write(self.upgraded)
        self.old.rename(self.path / self.filename)
        self.sync()
        sync_names(self.path.parent)
        log.warning("the old-style log %s was moved into %s", self.old, self.path)

    def prove(self, manifest: Manifest) -> None:
        """Raise ValueError where the list names a file that is not there, or a line of it may be missing.

        An increment with data always has a line, and so has the base that the increments need. A rewrite that was
        cut short leaves a base with the next number, and where the log was being turned on, an increment too, whose
        number is two ahead; as it is only one ahead where the last line is missing.
        """
        for name in manifest.files:
            if not (self.path / name).is_file():
                raise ValueError(f"it lists {name}, which is not there")
        number, apart = self.unfinished(manifest)
        bases = [each for each in self.unlisted(manifest) if each.is_base]
        rewritten = any(each.number == number for each in bases)
        for each in self.unlisted(manifest):
            explained = each.is_base or (rewritten and each.name == apart)
            if each.is_base and manifest.base is None and manifest.files:
                explained = each.number == number and self.rewrote_increments(manifest, apart)
            if not explained:
                raise ValueError(f"it does not list {each.name}, which holds data")

    def unfinished(self, manifest: Manifest) -> tuple[int, str]:
        """What a rewrite that was cut short may have left: the number of a base, and the name of an increment."""
        following = manifest.with_increment(self.filename, ahead=2).with_base(self.filename)
        assert following.base is not None
        return following.base.number, following.files[-1]

    def rewrote_increments(self, manifest: Manifest, apart: str) -> bool:
        """Whether an unlisted base can be what a rewrite of increments alone has left. Else it is the one they need."""
        if [each.number for each in manifest.increments[:1]] != [1]:
            return False
        traces = (self.draft("incr"), apart, aside(apart))
        return len(manifest.increments) > 1 or any((self.path / name).exists() for name in traces)

    def found(self) -> list[Entry]:
        """The files in the folder whose names are those of a log's file."""
        return [entry for name in sorted(os.listdir(self.path)) if (entry := named(name, self.filename))]

    def unlisted(self, manifest: Manifest) -> list[Entry]:
        """Those of them that hold data, and that the list does not name."""
        listed = {*manifest.files, *(each.name for each in manifest.history)}
        return [each for each in self.found() if each.name not in listed and self.size(each.name)]

    def tidy(self) -> None:
        """Delete what was replaced, and what unfinished work has left. An increment with data is set aside instead."""
        number, apart = self.unfinished(self.manifest)
        for each in self.unlisted(self.manifest):
            if each.name == apart:
                (self.path / apart).rename(self.path / aside(apart))
                log.warning("%s was written while the log was turned on, and never counted: it is now %s", apart,
                            aside(apart))  # fmt: skip
        left = [each.name for each in self.found() if each.name not in self.manifest.files]
        empty = [name for name in left if not self.size(name)]
        self.remove(name for name in left if name.startswith(f"{self.filename}.{number}.base."))
        self.remove([*empty, *self.names("temp-rewriteaof-", ".aof"), self.draft("manifest"), self.draft("incr")])
        self.forget_history()

    def remember(self) -> None:
        """Note how the files are that nobody changes any more: the list, and all that it names but the last one."""
        self._seen = {name: self.look_at(name) for name in (self.list.name, *self.manifest.files[:-1])}

    def changed(self) -> str:
        """The name of one of these files that somebody has changed, replaced or deleted since; "" where all are there.

        What was changed in place, and is as long as before, is not noticed.
        """
        return next((name for name, seen in self._seen.items() if self.look_at(name) != seen), "")

    def look_at(self, name: str) -> tuple[int, int, int] | None:
        """Which file has a name now, and its size; None: no file."""
        try:
            found = (self.path / name).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size

    def make(self) -> None:
        """Make the folder where there is none, and see its name onto the disk: else a power cut can take all of it."""
        missing = [each for each in (self.path, *self.path.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(mode=0o700, exist_ok=True)
        self.path.mkdir(exist_ok=True)  # raises where it is a file
        for each in missing:
            sync_names(each.parent)

    def come_back(self) -> None:
        """Where the folder was moved away or deleted, make it again, and make it ours. Raises OSError."""
        self.path.mkdir(mode=0o700, exist_ok=True)
        sync_names(self.path.parent)
        if self._lock is None or not os.path.samestat(os.fstat(self._lock), os.stat(self.path)):
            self.leave()
            self.lock(patience=0)

    def lock(self, patience: float = PATIENCE) -> None:
        """Lock the folder until `leave`, or the end of this process, however it comes. Raises OSError."""
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
        """Let another server have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def names(self, start: str, *ends: str) -> list[str]:
        """The names in the folder that start and end like this."""
        return [name for name in os.listdir(self.path) if name.startswith(start) and name.endswith(ends)]

    def size(self, name: str) -> int:
        """How many bytes a file has."""
        return (self.path / name).stat().st_size

    def draft(self, what: str) -> str:
        """The name of a file that does not count yet, as Redis calls it."""
        return f"temp-{self.filename}.{what}"

    def write(self, manifest: Manifest) -> None:
        """Let this be the list from now on. Raises OSError; `self.manifest` is what the file says also then.

        The names of new files come onto the disk before the list that mentions them, and the list before anything
        that relies on it.
        """
        draft = self.path / self.draft("manifest")
        with open(draft, "wb", opener=private) as file:
            file.write(os.fsencode(str(manifest)))
            file.flush()
            os.fsync(file.fileno())
        self.sync()
        draft.rename(self.list)
        self.manifest = manifest
        self.remember()
        self.sync()

    def forget_history(self) -> None:
        """Delete the files that were replaced, and then forget them."""
        if self.manifest.history:
            self.remove(each.name for each in self.manifest.history)
            self.write(replace(self.manifest, history=()))

    def remove(self, names: Iterable[str]) -> None:
        """Delete these files, those of them that are there."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def sync(self) -> None:
        """See the folder's names onto the disk: without it a power cut can take a new file away."""
        sync_names(self.path)


def sync_names(folder: Path) -> None:
    """See the names in a folder onto the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def private(path: str, flags: int) -> int:
    """Open a file that only its owner can read: it holds everyone's data."""
    return os.open(path, flags, 0o600)


def aside(name: str) -> str:
    """What a file is called that does not belong to the log, and that nobody may delete but its owner."""
    return f"{name}.aside"


def size_in_place(number: int, path: Path) -> int:
    """The size of an open file. Raises Displaced where it is not what is at the path: nobody would find it again."""
    ours = os.fstat(number)
    try:
        if os.path.samestat(ours, os.stat(path)):
            return ours.st_size
    except OSError as error:
        raise Displaced(error.errno, error.strerror) from None
    raise Displaced(errno.ENOENT, os.strerror(errno.ENOENT))


def touched(name: str) -> Displaced:
    """The error for a file that is not as we left it."""
    return Displaced(errno.EIO, f"{name} was changed by someone else")
