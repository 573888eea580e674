"""Counts a Python server's fsyncs from outside its code: Python imports a file of this name by itself.

Each fsync adds a line to the file named in FSYNC_LOG: the monotonic time of its return, and 1 when the main
thread made it, 0 when another did. The line is there before the call comes back to the server.
"""

import os
import threading
import time
from collections.abc import Callable


def counted(call: Callable[[int], None]) -> Callable[[int], None]:
    """Wrap one of the two system calls."""

    def wrapper(descriptor: int) -> None:
        call(descriptor)
        main = threading.current_thread() is threading.main_thread()
        os.write(log, b"%f %d\n" % (time.monotonic(), main))

    return wrapper


log = os.open(os.environ["FSYNC_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
os.fsync = counted(os.fsync)  # type: ignore[assignment]
if hasattr(os, "fdatasync"):
    os.fdatasync = counted(os.fdatasync)  # type: ignore[assignment]
