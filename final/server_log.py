"""The server log: messages for the person who runs the server, one line each, on standard error or in a file.

    12345:M 26 Nov 2026 23:13:20.123 * replication from 127.0.0.1:6379: it continues

As in Redis: the process id; M for a primary, S for a replica, C for a child; the time; and the level, which is `.` for
debug, `-` for verbose, `*` for notice and `#` for warning. `log` is a logger of the standard library. Its handler never
raises: if standard error is closed, full or a broken pipe, that must not end the server, nor the request or the timer
that logs.
"""

import logging
import os
import re
import syslog
import time
from contextlib import suppress

log = logging.getLogger("final")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


VERBOSE = 15
LEVELS = {"debug": logging.DEBUG, "verbose": VERBOSE, "notice": logging.INFO, "warning": logging.WARNING}
SIGNS = ((logging.WARNING, "#"), (logging.INFO, "*"), (VERBOSE, "-"), (0, "."))
PRIORITIES = {"#": syslog.LOG_WARNING, "*": syslog.LOG_NOTICE, "-": syslog.LOG_INFO, ".": syslog.LOG_DEBUG}


class ServerLog(logging.Handler):
    """Writes each record to a file, or to file descriptor 2, in one piece, with control characters escaped.

    Much of what is logged comes from clients, scripts and files. An unescaped newline could forge a line of the log,
    and an unescaped ESC could control the terminal that shows it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.path = ""  # of the file; empty: file descriptor 2
        self.process = os.getpid()
        self.role = "M"

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; drop what cannot be written.

        The file is opened for each record, so that another program may move it away at any time.
        """
        try:
            text = self.heading(record) + printable(record.getMessage())
            if record.exc_info:
                text += "\n" + logging.Formatter().formatException(record.exc_info)
            data = f"{text}\n".encode(errors="backslashreplace")
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644) if self.path else 2
            try:
                while data:
                    data = data[os.write(file, data) :]
            finally:
                if self.path:
                    os.close(file)
        except Exception:
            pass

    def heading(self, record: logging.LogRecord) -> str:
        """Return what stands before the message."""
        sign = sign_of(record)
        at = f"{time.strftime('%d %b %Y %H:%M:%S', time.localtime(record.created))}.{int(record.msecs):03}"
        process = os.getpid()
        return f"{process}:{self.role if process == self.process else 'C'} {at} {sign} "


class SystemLog(logging.Handler):
    """Sends each record to syslog(3), which drops it if nobody receives it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record. Never raises."""
        with suppress(Exception):
            syslog.syslog(PRIORITIES[sign_of(record)], printable(record.getMessage()))


def sign_of(record: logging.LogRecord) -> str:
    """Return the sign of a record's level."""
    return next(sign for level, sign in SIGNS if record.levelno >= level)


def direct(level: str, path: str = "", system: tuple[str, str] | None = None) -> None:
    """Say from which level on something is logged, to which file, and to syslog: its ident and facility.

    Raises OSError if the file cannot be written.
    """
    log.setLevel(LEVELS[level])
    if path:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644))
    handler.path, handler.process = os.path.abspath(path) if path else "", os.getpid()
    if system:
        ident, facility = system
        syslog.openlog(ident, syslog.LOG_PID | syslog.LOG_NDELAY, getattr(syslog, f"LOG_{facility.upper()}"))
        log.addHandler(SystemLog())


def printable(text: str) -> str:
    r"""The text with its control characters and line separators written as escapes.

    >>> print(printable("two\nlines, \x1b[31mred"))
    two\nlines, \x1b[31mred
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def announce(text: str) -> None:
    """Write a line to standard output, for the process that started the server. Never raises."""
    with suppress(OSError):
        os.write(1, f"{printable(text)}\n".encode(errors="backslashreplace"))


def say(text: str) -> None:
    """Write a line to standard error, for the person who typed a command. Never raises."""
    with suppress(OSError):
        os.write(2, f"{printable(text)}\n".encode(errors="backslashreplace"))


def open_standard_files() -> None:
    """Open /dev/null for those of the file descriptors 0 to 2 that are closed.

    Else the next file that is opened would get such a number, and the server log would be written to that file.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)


handler = ServerLog()
log.setLevel(logging.INFO)
for each in (log, logging.getLogger("asyncio")):  # both event loops log exceptions in callbacks to the latter
    each.addHandler(handler)
    each.propagate = False
