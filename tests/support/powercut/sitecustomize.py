"""Records the fsyncs of a server. Python imports a file of this name at the start, so the server need not know it.

Before an fsync returns, it appends a line to the file named by DISK_LOG: a JSON object with the monotonic times of its
beginning and end, the inode, and what the disk holds from then on. That is, as they were when the fsync began, the size
of a file, or the names in a folder with their inodes. Each inode is also linked into the folder named by DISK_HELD, so
that a removed file can still be read.
"""

import contextlib
import json
import os
import stat
import time
from collections.abc import Callable


def observed(call: Callable[[int], None]) -> Callable[[int], None]:
    """Wrap fsync or fdatasync."""

    def wrapper(descriptor: int) -> None:
        began = time.monotonic()
        state = look(descriptor)
        call(descriptor)
        line = json.dumps({"began": began, "ended": time.monotonic(), **state}) + "\n"
        log = os.open(os.environ["DISK_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
        os.write(log, line.encode())
        os.close(log)

    return wrapper


def look(descriptor: int) -> dict[str, object]:
    """Return the inode of an open file or folder, with the size of the file or the names in the folder."""
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
    """Link a file by its inode, so that it is kept if its name is removed."""
    with contextlib.suppress(FileExistsError, FileNotFoundError):
        os.link(path, f"{os.environ['DISK_HELD']}/{inode}")


os.fsync = observed(os.fsync)  # type: ignore[assignment]
if hasattr(os, "fdatasync"):
    os.fdatasync = observed(os.fdatasync)  # type: ignore[assignment]
