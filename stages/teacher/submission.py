"""What a student handed in, taken into a clean folder: plain files only, no way out, not too much of it."""

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
    """It cannot be graded; the message says why."""


def take(source: Path, folder: Path, stage: int) -> Path:
    """Copy or unpack a submission into the folder; answer with the folder in it that has the stage's code."""
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
    """Copy plain files; links, pipes and devices are left out, and so is what is no code."""
    left = Allowance()
    for path in walk(source):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode):
            left.use(status.st_size)
            there = folder / path.relative_to(source)
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, there, follow_symlinks=False)


def walk(folder: Path) -> Iterator[Path]:
    """List what is below a folder; links are not followed."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            if path.name not in NOT_CODE:
                yield from walk(path)
        else:
            yield path


def unpack(source: Path, folder: Path) -> None:
    """Unpack a zip file all of whose names stay inside it; its sizes are counted, not believed."""
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
    """How much one submission may hold."""

    def __init__(self) -> None:
        self.bytes, self.files = MOST_BYTES, MOST_FILES

    def use(self, size: int, files: int = 1) -> None:
        """Count a file, or a piece of one."""
        self.bytes -= size
        self.files -= files
        if self.bytes < 0 or self.files < 0:
            raise Refused(f"It is more than {MOST_BYTES >> 20} MB or {MOST_FILES} files.")


def readable(folder: Path) -> None:
    """Let every user read it; the one who runs it is not the one who owns it."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def folders(folder: Path) -> Iterator[Path]:
    """List where the code may be: here, in work/, or, where there is one folder only, in there."""
    yield folder
    yield folder / "work"
    inside = [path for path in folder.iterdir() if path.is_dir()]
    if len(inside) == 1:
        yield from folders(inside[0])
