"""A disk whose power can be cut: what it holds of a folder is what a server has seen onto it, and perhaps more.

It knows a server's fsyncs by what `powercut/sitecustomize.py` noted; not what the files mean.
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
    """The folder `root`, with what is on the disk of it: at first, and after a `cut`, all that is there.

    What a file system promises, and no more, is taken for granted: fsync of a file brings its bytes onto the disk, in
    whatever way they were written before; fsync of a folder its names. Without it a new name, a rename or a removal
    may have come onto the disk, or not; of what was appended since the last fsync any part, from its front on.
    """

    place: Path
    lives: int = 0  # how often the power was cut
    first: dict[int, bytes] = field(default_factory=dict)  # inode -> what was on the disk when the power came
    names: dict[int, dict[str, int]] = field(default_factory=dict)  # inode of a folder -> the names in it then

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True)
        self.held.mkdir()

    @property
    def root(self) -> Path:
        """The folder, in this life."""
        return self.place / f"life-{self.lives}"

    @property
    def held(self) -> Path:
        """Where each file is, by its inode, even if its name is gone."""
        return self.place / f"held-{self.lives}"

    @property
    def log(self) -> Path:
        """What the server did."""
        return self.place / f"fsyncs-{self.lives}"

    def environment(self) -> dict[str, str]:
        """Have a Python server note its fsyncs."""
        paths = os.pathsep.join([str(POWERCUT), str(ROOT)])
        return {"DISK_LOG": str(self.log), "DISK_HELD": str(self.held), "PYTHONPATH": paths}

    def fsyncs(self) -> list[dict[str, Any]]:
        """All fsyncs of this life, in their order."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return sorted(map(json.loads, lines), key=lambda line: float(line["ended"]))

    def cut(self, dice: random.Random | None) -> None:
        """Cut the power, and begin a new life. Without dice, nothing is there that was not seen onto the disk."""
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
        """All that is in the folder now is on the disk."""
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
        """What the disk has of a folder: the path of each file with its bytes, of each folder with None."""
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
        """What the disk has of a file that has these bytes now, and had so many when it was last seen onto the disk."""
        known = now[:size] if size is not None else self.first.get(inode, b"")
        if dice and now.startswith(known):
            return now[: dice.choice([len(known), len(now), dice.randint(len(known), len(now))])]
        return known


class OnDisk(Server):
    """A Python server whose log is on a disk."""

    disk: Disk

    def environment(self, counting: bool) -> dict[str, str]:
        """Have it note its fsyncs."""
        return super().environment(counting) | self.disk.environment()


def on(disk: Disk) -> type[OnDisk]:
    """Servers on this disk."""
    return type("OnThisDisk", (OnDisk,), {"disk": disk})


def files_in(folder: Path) -> list[Path]:
    """All files in a folder and in those below it."""
    return [path for path in folder.rglob("*") if path.is_file()]


def names_in(folder: Path) -> dict[str, int]:
    """The names in a folder, each with its inode."""
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def forget(disk: Disk) -> None:
    """Remove what is left of the lives before this one."""
    for life in range(disk.lives):
        shutil.rmtree(disk.place / f"life-{life}", ignore_errors=True)
        shutil.rmtree(disk.place / f"held-{life}", ignore_errors=True)
