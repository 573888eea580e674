"""The manifest: which files are the log. It is never changed in place, so at each moment there is one, and it is whole.

appendonlydir/appendonly.aof.manifest       file appendonly.aof.1.base.aof seq 1 type b
                                            file appendonly.aof.2.incr.aof seq 2 type i
appendonlydir/appendonly.aof.1.base.aof     the data at one moment …
appendonlydir/appendonly.aof.2.incr.aof     … and the changes since
"""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

NAME = "appendonly.aof"
_LINE = re.compile(r"file (\S+) seq ([1-9][0-9]*) type ([bih])")


@dataclass(frozen=True)
class Manifest:
    """The numbers of the files: a base, 0 if there is none, and the increments, the oldest first."""

    base: int = 0
    increments: tuple[int, ...] = (1,)

    @property
    def files(self) -> list[str]:
        """The names of the files, in the order in which they are to be read.

        >>> Manifest(2, (5, 6)).files
        ['appendonly.aof.2.base.aof', 'appendonly.aof.5.incr.aof', 'appendonly.aof.6.incr.aof']
        """
        base = [f"{NAME}.{self.base}.base.aof"] if self.base else []
        return [*base, *(f"{NAME}.{number}.incr.aof" for number in self.increments)]

    def with_increment(self) -> "Manifest":
        """Return the manifest with one more increment, whose number follows the last one.

        >>> Manifest(2, (5,)).with_increment()
        Manifest(base=2, increments=(5, 6))
        """
        return replace(self, increments=(*self.increments, self.increments[-1] + 1))

    def with_base(self) -> "Manifest":
        """Return the manifest with the next base, which replaces the old one and all increments but the last.

        >>> Manifest(2, (5, 6)).with_base()
        Manifest(base=3, increments=(6,))
        """
        return Manifest(self.base + 1, self.increments[-1:])

    def __str__(self) -> str:
        """Return the text: a line for each file, as above, each with a newline at its end."""
        base = [f"file {NAME}.{self.base}.base.aof seq {self.base} type b\n"] if self.base else []
        return "".join([*base, *(f"file {NAME}.{each}.incr.aof seq {each} type i\n" for each in self.increments)])


def parse(text: str) -> Manifest:
    """Read the text of a manifest. Raises ValueError for one that no server like this writes.

    Lines with type `h` are files that have been replaced, as Redis lists them; leave them out. The others have to be
    what `str` makes of the manifest: then no line is missing its end, and each name has its number.

    >>> parse(str(Manifest(2, (5, 6)))) == Manifest(2, (5, 6))
    True
    """
    lines = [line for line in text.splitlines(keepends=True) if not line.endswith("type h\n")]
    found = [match for line in lines if (match := _LINE.match(line))]
    bases = [int(match[2]) for match in found if match[3] == "b"]
    manifest = Manifest(max(bases, default=0), tuple(int(match[2]) for match in found if match[3] == "i"))
    if str(manifest) != "".join(lines) or not manifest.increments:
        raise ValueError("not as this server writes it")
    return manifest


def load(folder: Path) -> Manifest:
    """Read the manifest in a folder; if there is none, the log is one increment. Raises OSError and ValueError.

    If there is none, but other files are there that it should list, somebody has lost it: then do not guess.
    """
    path = folder / f"{NAME}.manifest"
    if not path.exists() and {each.name for each in parts(folder)} - {*Manifest().files}:
        raise ValueError(f"{path} is missing")
    try:
        return parse(path.read_text()) if path.exists() else Manifest()
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def save(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest in a folder in one step: write a draft, fsync it, and rename it over the old one.

    The draft is called `temp-appendonly.aof.manifest`. `Path.replace` renames; afterwards call `sync_folder`.
    """
    draft = folder / f"temp-{NAME}.manifest"
    with open(draft, "w") as file:
        file.write(str(manifest))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / f"{NAME}.manifest")
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """fsync a folder: until then a power failure can undo a new name in it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def tidy(folder: Path, manifest: Manifest) -> None:
    """Delete what a rewrite that was killed has left: drafts, and files of the log that the manifest does not list."""
    for path in (*folder.glob("temp-*"), *parts(folder)):
        if path.name not in manifest.files:
            path.unlink()


def parts(folder: Path) -> list[Path]:
    """Return the files in a folder that are named like those of a log."""
    return [*folder.glob(f"{NAME}.*.base.*"), *folder.glob(f"{NAME}.*.incr.aof")]
