"""Copies or unpacks a submission into a new folder: plain files only, none outside the folder, and not too many."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from pathlib import Path, PurePath, PurePosixPath

from stages.harness.course import NEW_FILE

MOST_BYTES = 64 << 20
MOST_FILES = 2000
DEEPEST = 20  # folders in folders
NOT_CODE = {"__MACOSX", "__pycache__", "venv", "env", "site-packages", "stages", "notebooks"}


class Refused(Exception):
    """The submission cannot be graded; the message says why."""


def take(source: Path, folder: Path, stage: int) -> Path:
    """Copy or unpack a submission into the new folder; return the folder in it that has the stage's code.

    Raise Refused when it cannot be read, is too large, or has no code of the stage.
    """
    folder.mkdir()
    suffix = source.suffix.lower()
    try:
        if source.is_dir() and not source.is_symlink():
            copy(source, folder)
            packed = list(folder.glob("*.[zZ][iI][pP]"))
            if len(packed) == 1 and not any(folder.rglob(NEW_FILE[stage])):  # from Moodle: a zip file in a folder
                unpack(packed[0], folder)
        elif suffix in (".zip", ".py") and source.is_file():
            Allowance().use(source.stat().st_size)
            if suffix == ".zip":
                unpack(source, folder)
            else:
                shutil.copyfile(source, folder / NEW_FILE[stage])
        else:
            raise Refused(f"{source.name} is neither a folder nor a zip file.")
    except Refused:
        raise
    except Exception as error:  # zipfile and the modules that it calls raise many kinds
        raise Refused(f"{source.name} cannot be read: {error}") from None
    return code(folder, NEW_FILE[stage], source.name)


def copy(source: Path, folder: Path) -> None:
    """Copy the plain files; not links, pipes and devices, and not what is ignored."""
    left = Allowance()
    for parent, folders, names in os.walk(source):
        inside = Path(parent).relative_to(source)
        folders[:] = [name for name in folders if not ignored(inside / name)]
        for name in names:
            path, there = Path(parent, name), folder / inside / name
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                left.use(status.st_size)
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, there, follow_symlinks=False)


def ignored(path: PurePath) -> bool:
    """Whether a path in a submission is not taken: it is far down, or no code. So is what tools keep behind a dot."""
    return len(path.parts) > DEEPEST or any(part in NOT_CODE or part.startswith(".") for part in path.parts)


def unpack(source: Path, folder: Path) -> None:
    """Unpack a zip file. Raise Refused when a name leads out of the folder, or when the unpacked bytes are too many."""
    left = Allowance()
    with zipfile.ZipFile(source) as archive:
        names = [PurePosixPath(each.filename.replace("\\", "/")) for each in archive.infolist()]
        if out := [name for name in names if name.is_absolute() or ".." in name.parts]:
            raise Refused(f"{source.name} has a name that leads out of it: {out[0]}")
        for entry, name in zip(archive.infolist(), names, strict=True):
            if entry.is_dir() or ignored(name):
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


def code(folder: Path, file: str, name: str) -> Path:
    """Return the folder of a submission with the file: the uppermost, and of several work/. Raise Refused if none."""
    found = [path.relative_to(folder).parent for path in folder.rglob(file) if path.is_file()]
    upper = [path for path in found if len(path.parts) == min(len(each.parts) for each in found)]
    if not found:
        raise Refused(f"There is no {file} in {name}.")
    if len(upper) > 1 and not any(path.name == "work" for path in upper):
        raise Refused(f"There is more than one {file} in {name}: in {' and in '.join(sorted(map(str, upper)))}.")
    return folder / max(upper, key=lambda path: path.name == "work")
