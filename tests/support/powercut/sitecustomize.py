"""Tells what a power cut would leave, from outside a server's code: Python imports a file of this name by itself.

Each fsync adds a line to the file named in DISK_LOG, before the call comes back to the server: a JSON object with the
monotonic times at which it began and ended, the inode, and what the disk holds from then on: of a file so many bytes as
it had when the fsync began, of a folder the names that it had then, each with its inode. Every inode is also linked
into the folder DISK_HELD, by its number, so that what was removed since can still be read.
"""

import contextlib
import json
import os
import stat
import time
from collections.abc import Callable


def observed(call: Callable[[int], None]) -> Callable[[int], None]:
    """Wrap one of the two system calls."""

    def wrapper(descriptor: int) -> None:
        began = time.monotonic()
        told = look(descriptor)
        call(descriptor)
        line = json.dumps({"began": began, "ended": time.monotonic(), **told}) + "\n"
        log = os.open(os.environ["DISK_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
        os.write(log, line.encode())
        os.close(log)

    return wrapper


def look(descriptor: int) -> dict[str, object]:
    """What is open here, as it is now."""
    found = os.fstat(descriptor)
    path = os.readlink(f"/proc/self/fd/{descriptor}")
    if not stat.S_ISDIR(found.st_mode):
        hold(path, found.st_ino)
        return {"inode": found.st_ino, "size": found.st_size}
    names = {entry.name: entry.inode() for entry in os.scandir(path)}
    for name, inode in names.items():
        if not os.path.isdir(f"{path}/{name}"):
            hold(f"{path}/{name}", inode)
    return {"inode": found.st_ino, "names": names}


def hold(path: str, inode: int) -> None:
    """Keep a file when its name goes."""
    with contextlib.suppress(FileExistsError, FileNotFoundError):
        os.link(path, f"{os.environ['DISK_HELD']}/{inode}")


os.fsync = observed(os.fsync)  # type: ignore[assignment]
if hasattr(os, "fdatasync"):
    os.fdatasync = observed(os.fdatasync)  # type: ignore[assignment]
