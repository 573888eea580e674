"""Simulates power cuts: after one, a folder holds what the server has synced, and perhaps a part of the rest.

`powercut/sitecustomize.py` records the server's fsyncs. Nothing here knows what the files mean.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.harness.course import ROOT
from stages.harness.server import Server

POWERCUT = Path(__file__).parent / "powercut"


@dataclass
class Disk:
    """A disk with the folder `root`. At the start, and after each `cut`, all that is in the folder is on the disk.

    It promises what a file system promises: fsync of a file brings its bytes onto the disk, fsync of a folder its
    names. Without fsync, a new name, a rename or a removal may be on the disk or not, and of the bytes appended since
    the last fsync any prefix may be there.
    """

    place: Path
    lives: int = 0  # the number of power cuts
    first: dict[int, bytes] = field(default_factory=dict)  # inode -> the bytes on the disk at the start of this life
    names: dict[int, dict[str, int]] = field(default_factory=dict)  # inode of a folder -> its names then

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True)
        self.held.mkdir()

    @property
    def root(self) -> Path:
        """The folder between the last power cut and the next one."""
        return self.place / f"life-{self.lives}"

    @property
    def held(self) -> Path:
        """A folder with a link to each file, named by its inode, so that a removed file can still be read."""
        return self.place / f"held-{self.lives}"

    @property
    def log(self) -> Path:
        """The file in which the server records its fsyncs."""
        return self.place / f"fsyncs-{self.lives}"

    def environment(self) -> dict[str, str]:
        """Return the environment in which a Python server records its fsyncs."""
        paths = os.pathsep.join([str(POWERCUT), str(ROOT)])
        return {"DISK_LOG": str(self.log), "DISK_HELD": str(self.held), "PYTHONPATH": paths}

    def fsyncs(self) -> list[dict[str, Any]]:
        """Return the fsyncs since the last power cut, ordered by the time at which they ended."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return sorted(map(json.loads, lines), key=lambda line: float(line["ended"]))

    def cut(self, dice: random.Random | None) -> None:
        """Cut the power. With `dice`, a random part of what was not synced is kept; without, nothing of it."""
        before, held, sizes, names = self.root, self.held, {}, dict(self.names)
        for line in self.fsyncs():
            if "names" in line:
                names[line["inode"]] = line["names"]
            else:
                sizes[line["inode"]] = line["size"]
        for path in files_in(before):
            if not (held / str(path.stat().st_ino)).exists():
                os.link(path, held / str(path.stat().st_ino))
        found = dict(self.leave(before, held, sizes, names, dice))
        self.lives += 1
        self.__post_init__()
        for path, data in found.items():
            if data is None:
                (self.root / path).mkdir()
            else:
                (self.root / path).write_bytes(data)
        self.begin()

    def begin(self) -> None:
        """Take all that is in the folder as being on the disk."""
        folders = [self.root, *(path for path in self.root.rglob("*") if path.is_dir())]
        self.names = {each.stat().st_ino: names_in(each) for each in folders}
        self.first = {path.stat().st_ino: path.read_bytes() for path in files_in(self.root)}
        for path in files_in(self.root):
            os.link(path, self.held / str(path.stat().st_ino))

    def leave(
        self,
        folder: Path,
        held: Path,
        sizes: dict[int, int],
        names: dict[int, dict[str, int]],
        dice: random.Random | None,
        below: Path = Path(),
    ) -> Iterator[tuple[Path, bytes | None]]:
        """Yield what the disk has of a folder: (path, bytes) for each file, (path, None) for each folder in it."""
        listed = names.get(folder.stat().st_ino, {})
        if dice and dice.random() < 0.5:
            listed = names_in(folder)
        for name, inode in listed.items():
            if (held / str(inode)).exists():
                yield below / name, self.bytes_of(inode, (held / str(inode)).read_bytes(), sizes.get(inode), dice)
            else:
                yield below / name, None
                yield from self.leave(folder / name, held, sizes, names, dice, below / name)

    def bytes_of(self, inode: int, now: bytes, size: int | None, dice: random.Random | None) -> bytes:
        """Return what the disk has of a file whose content is `now` and whose length was `size` at its last fsync."""
        known = now[:size] if size is not None else self.first.get(inode, b"")
        if dice and now.startswith(known):
            return now[: dice.choice([len(known), len(now), dice.randint(len(known), len(now))])]
        return known


class OnDisk(Server):
    """A Python server whose log is on `disk`."""

    disk: Disk

    def environment(self, counting: bool) -> dict[str, str]:
        """Return the environment in which it records its fsyncs."""
        return super().environment(counting) | self.disk.environment()


def on(disk: Disk) -> type[OnDisk]:
    """Return a class of servers whose log is on this disk."""
    return type("OnThisDisk", (OnDisk,), {"disk": disk})


def files_in(folder: Path) -> list[Path]:
    """List all files in a folder and its subfolders."""
    return [path for path in folder.rglob("*") if path.is_file()]


def names_in(folder: Path) -> dict[str, int]:
    """Map each name in a folder to its inode."""
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def forget(disk: Disk) -> None:
    """Remove the folders from before the last power cut."""
    for life in range(disk.lives):
        shutil.rmtree(disk.place / f"life-{life}", ignore_errors=True)
        shutil.rmtree(disk.place / f"held-{life}", ignore_errors=True)
