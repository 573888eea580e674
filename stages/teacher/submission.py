"""Copies or unpacks a submission into a new folder: plain files only, none outside the folder, and not too many."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from stages.harness.course import NEW_FILE

MOST_BYTES = 64 << 20
MOST_FILES = 2000
NOT_CODE = {"__MACOSX", "__pycache__", ".git", ".venv", "venv", "stages", "notebooks"}


class Refused(Exception):
    """The submission cannot be graded; the message says why."""


def take(source: Path, folder: Path, stage: int) -> Path:
    """Copy or unpack a submission into the new folder; return the folder in it that has the stage's code.

    Raise Refused when it cannot be read, is too large, or has no code of the stage.
    """
    folder.mkdir()
    try:
        if source.is_dir() and not source.is_symlink():
            copy(source, folder)
        elif source.suffix == ".zip" and source.is_file():
            unpack(source, folder)
        else:
            raise Refused(f"{source.name} is neither a folder nor a zip file.")
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise Refused(f"{source.name} cannot be read: {error}") from None
    readable(folder)
    for candidate in folders(folder):
        if (candidate / NEW_FILE[stage]).is_file():
            return candidate
    raise Refused(f"There is no {NEW_FILE[stage]} in {source.name}, nor in a folder work/ in it.")


def copy(source: Path, folder: Path) -> None:
    """Copy the plain files; not links, pipes and devices, and not the folders in NOT_CODE."""
    left = Allowance()
    for path in walk(source):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode):
            left.use(status.st_size)
            there = folder / path.relative_to(source)
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, there, follow_symlinks=False)


def walk(folder: Path) -> Iterator[Path]:
    """Yield everything below a folder that is not a folder; links are not followed."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            if path.name not in NOT_CODE:
                yield from walk(path)
        else:
            yield path


def unpack(source: Path, folder: Path) -> None:
    """Unpack a zip file. Raise Refused when a name leads out of the folder, or when the unpacked bytes are too many."""
    left = Allowance()
    with zipfile.ZipFile(source) as archive:
        names = [PurePosixPath(each.filename.replace("\\", "/")) for each in archive.infolist()]
        if out := [name for name in names if name.is_absolute() or ".." in name.parts]:
            raise Refused(f"{source.name} has a name that leads out of it: {out[0]}")
        for entry, name in zip(archive.infolist(), names, strict=True):
            if entry.is_dir() or NOT_CODE & set(name.parts):
                continue
            there = folder / name
            there.parent.mkdir(parents=True, exist_ok=True)
            left.use(0)
            with archive.open(entry) as packed, there.open("wb") as file:
                while piece := packed.read(1 << 20):
                    left.use(len(piece), files=0)
                    file.write(piece)


class Allowance:
    """How many bytes and files a submission may still have."""

    def __init__(self) -> None:
        self.bytes, self.files = MOST_BYTES, MOST_FILES

    def use(self, size: int, files: int = 1) -> None:
        """Count `size` bytes and a number of files; raise Refused when they are too many."""
        self.bytes -= size
        self.files -= files
        if self.bytes < 0 or self.files < 0:
            raise Refused(f"It is more than {MOST_BYTES >> 20} MB or {MOST_FILES} files.")


def readable(folder: Path) -> None:
    """Make the folder readable for every user: the submission runs as another user than the owner."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def folders(folder: Path) -> Iterator[Path]:
    """Yield the folders that may have the code: this one, work/ in it, and the same in a folder that is alone in it."""
    yield folder
    yield folder / "work"
    inside = [path for path in folder.iterdir() if path.is_dir()]
    if len(inside) == 1:
        yield from folders(inside[0])
