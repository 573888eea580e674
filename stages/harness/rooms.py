"""Which file of `final/` is which file of the stages: `log/aof.py`, in whatever room it is, is the stages' `aof.py`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

NOT_MODULES = ("__init__.py", "__main__.py")


def in_rooms(folder: Path) -> dict[str, str]:
    """Map each file name in a folder and its subfolders to its path there: `aof.py` to `log/aof.py`."""
    return homes((path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.py"))), told(folder))


def told(folder: Path) -> set[str]:
    """Return the files that the table in the folder's README calls `grown` or `carried`."""
    readme = folder / "README.md"
    text = readme.read_text() if readme.exists() else ""
    return set(re.findall(r"^\| `([^`]+)` \| (?:grown|carried) \|", text, re.M))


def homes(files: Iterable[str], told: Collection[str]) -> dict[str, str]:
    """Map each file name to the one path in `files` that ends in it.

    Where several paths end in the same name, the one that is also in `told` is meant; the name is left out when none
    of them is, or more than one.

    >>> homes(["log/aof.py", "engine/client.py", "commands/client.py"], told={"engine/client.py"})
    {'aof.py': 'log/aof.py', 'client.py': 'engine/client.py'}
    """
    paths: dict[str, list[str]] = {}
    for file in files:
        paths.setdefault(PurePosixPath(file).name, []).append(file)
    found = {}
    for name, candidates in paths.items():
        chosen = [path for path in candidates if path in told] if len(candidates) > 1 else candidates
        if len(chosen) == 1 and name not in NOT_MODULES:
            found[name] = chosen[0]
    return found


def in_package(source: str, package: str, homes: dict[str, str]) -> str:
    """Rewrite the imports of a stage's flat modules in `source` to imports of the package's modules.

    >>> in_package("import aof", "final", {"aof.py": "log/aof.py"})
    'from final.log import aof'
    >>> in_package("from reader import Reader", "final", {"reader.py": "reader.py"})
    'from final.reader import Reader'
    """
    for name, path in homes.items():
        stem = name.removesuffix(".py")
        room = ".".join([package, *PurePosixPath(path).parent.parts])
        source = re.sub(rf"^import {stem}$", f"from {room} import {stem}", source, flags=re.M)
        source = re.sub(rf"^from {stem} import", f"from {room}.{stem} import", source, flags=re.M)
    return source
