"""Counts the fsyncs of a Python server, and slows them down. Python imports a module of this name at its start.

Each fsync appends a line to the file named in FSYNC_LOG: the monotonic time at which it returned, and 1 when the main
thread made the call, 0 for another thread. The line is written before the call returns to the server.
FSYNC_DELAY is a number of seconds: each fsync waits so long before it begins, and again after its line is written.
"""

import os
import threading
import time
from collections.abc import Callable


def counted(call: Callable[[int], None]) -> Callable[[int], None]:
    """Wrap `os.fsync` or `os.fdatasync`."""

    def wrapper(descriptor: int) -> None:
        time.sleep(delay)
        call(descriptor)
        main = threading.current_thread() is threading.main_thread()
        os.write(log, b"%f %d\n" % (time.monotonic(), main))
        time.sleep(delay)

    return wrapper


delay = float(os.environ.get("FSYNC_DELAY", "0"))
log = os.open(os.environ["FSYNC_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
os.fsync = counted(os.fsync)  # type: ignore[assignment]
if hasattr(os, "fdatasync"):
    os.fdatasync = counted(os.fdatasync)  # type: ignore[assignment]
