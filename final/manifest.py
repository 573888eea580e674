"""The log's folder: which files make up the log, and who may write there. It knows names, not what the files contain.

    appendonly.aof.manifest       the list of the files; the log is what it says, at every moment
    appendonly.aof.2.base.aof     the data as it was at one moment (.rdb: a snapshot that Redis has written) …
    appendonly.aof.5.incr.aof     … and what has changed since: one increment, or several

The list is never changed in place. A draft is written beside it and renamed over it, which is one step: whatever
happens, one list is there, the old or the new, and the files that it names are complete.
"""

import fcntl
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from .reader import ProtocolError, split_inline

PATIENCE = 1.0  # seconds: so long may the child of a server that was killed take to let go of the folder


@dataclass(frozen=True)
class Entry:
    """One line of the list: a file, its number among those of its kind, and the kind.

    The kinds are b, the base; i, an increment; h, history: replaced by a new base, and to be deleted.

    >>> print(Entry("appendonly.aof.1.incr.aof", 1, "i"), Entry('my "log".1.base.rdb', 1, "b"), sep="; ")
    file appendonly.aof.1.incr.aof seq 1 type i; file "my \\"log\\".1.base.rdb" seq 1 type b
    """

    name: str
    number: int
    kind: str

    def __str__(self) -> str:
        plain = all(letter not in "\\\"' #" and letter.isprintable() for letter in self.name)
        name = self.name if plain else '"' + self.name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return f"file {name} seq {self.number} type {self.kind}"


@dataclass(frozen=True)
class Manifest:
    """The list: a base, or none, then the increments in their order. Never changed: each step gives a new one.

    >>> first = Manifest().with_increment("log")
    >>> print(first.with_increment("log").with_base("log", keep=1), end="")
    file log.1.base.aof seq 1 type b
    file log.1.incr.aof seq 1 type h
    file log.2.incr.aof seq 2 type i
    """

    base: Entry | None = None
    history: tuple[Entry, ...] = ()
    increments: tuple[Entry, ...] = ()

    @property
    def files(self) -> list[str]:
        """The names of the files that are to be read, in this order."""
        return [each.name for each in (self.base, *self.increments) if each is not None]

    def with_increment(self, filename: str) -> "Manifest":
        """One more increment, behind the others; its name is none that stands in the list already."""
        number = max((each.number for each in (*self.history, *self.increments)), default=0) + 1
        return replace(self, increments=(*self.increments, Entry(f"{filename}.{number}.incr.aof", number, "i")))

    def with_base(self, filename: str, keep: int) -> "Manifest":
        """A new base, which takes the place of the old one and of all increments but the last `keep`."""
        number = self.base.number + 1 if self.base else 1
        split = len(self.increments) - keep
        replaced = [each for each in (self.base, *self.increments[:split]) if each is not None]
        return Manifest(
            base=Entry(f"{filename}.{number}.base.aof", number, "b"),
            history=(*self.history, *(replace(each, kind="h") for each in replaced)),
            increments=self.increments[split:],
        )

    def __str__(self) -> str:
        entries = (self.base, *self.history, *self.increments)
        return "".join(f"{each}\n" for each in entries if each is not None)


def parse(text: str) -> Manifest:
    """Read a manifest. Raises ValueError with the number of a line that is none."""
    entries = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("#"):
            try:
                entries.append(parse_line(line))
            except (KeyError, ValueError, ProtocolError):
                raise ValueError(f"line {number} is no line of a manifest") from None
    bases = [each for each in entries if each.kind == "b"]
    increments = tuple(each for each in entries if each.kind == "i")
    numbers = [each.number for each in increments]
    if len(bases) > 1:
        raise ValueError("it names more than one base")
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        raise ValueError("its increments are not in order")
    history = tuple(each for each in entries if each.kind == "h")
    return Manifest(bases[0] if bases else None, history, increments)


def parse_line(line: str) -> Entry:
    """Read a line of a manifest; raises KeyError, ValueError or ProtocolError where it is none."""
    words = [os.fsdecode(word) for word in split_inline(os.fsencode(line))]
    told = dict(zip(words[::2], words[1::2], strict=True))
    entry = Entry(told["file"], int(told["seq"]), told["type"])
    if "/" in entry.name or entry.kind not in ("b", "i", "h") or entry.number < 0:
        raise ValueError(line)
    return entry


class Folder:
    """The log's folder. Between `enter` and `leave` it belongs to this server, and to no other one."""

    def __init__(self, path: Path, filename: str) -> None:
        self.path = path
        self.filename = filename
        self.list = path / f"{filename}.manifest"
        self.manifest = Manifest()
        self._lock: int | None = None

    def enter(self) -> None:
        """Make the folder where there is none, lock it, read the manifest, and delete what a crash has left over.

        Raises OSError, also where another server is at work here, and ValueError where the manifest is damaged,
        or missing while the files that it should list are there.
        """
        self.make()
        self.lock()
        try:
            if self.list.exists():
                self.manifest = parse(self.list.read_text(errors="surrogateescape"))
            elif lost := [name for name in self.names(self.filename, ".aof", ".rdb") if self.size(name)]:
                raise ValueError(f"there is no such file, but there is {min(lost)}, which it should list")
            self.forget_history()
            self.remove(self.leftovers())
        except BaseException:
            self.leave()
            raise

    def make(self) -> None:
        """Make the folder where there is none, and see its name onto the disk: else a power cut can take all of it."""
        missing = [each for each in (self.path, *self.path.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(mode=0o700, exist_ok=True)
            sync_names(each.parent)
        self.path.mkdir(exist_ok=True)  # raises where it is a file

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

    def leftovers(self) -> Iterable[str]:
        """The names that unfinished work may have left: drafts, and what the next manifest would have listed."""
        following = self.manifest.with_increment(self.filename).with_base(self.filename, keep=1)
        bases = self.names("temp-rewriteaof-", ".aof")
        return [*bases, self.draft("manifest"), self.draft("incr"), following.files[0], following.files[-1]]

    def size(self, name: str) -> int:
        """How many bytes a file has."""
        return (self.path / name).stat().st_size

    def draft(self, what: str) -> str:
        """The name of a file that does not count yet, as Redis calls it."""
        return f"temp-{self.filename}.{what}"

    def write(self, manifest: Manifest) -> None:
        """Let this be the manifest from now on. Raises OSError; `self.manifest` is what the file says also then.

        The names of new files come onto the disk before the list that mentions them, and the list before anything
        that relies on it.
        """
        draft = self.path / self.draft("manifest")
        with open(draft, "wb", opener=private) as file:
            file.write(str(manifest).encode(errors="surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
        self.sync()
        draft.rename(self.list)
        self.manifest = manifest
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
