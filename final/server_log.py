"""The server log: messages for the person who runs the server, one line each, on standard error.

`log` is a logger of the standard library. Its handler never raises: if standard error is closed, full or a broken
pipe, that must not end the server, nor the request or the timer that logs.
"""

import logging
import os
import re
from contextlib import suppress

log = logging.getLogger("final")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class StandardError(logging.Handler):
    """Writes each record to file descriptor 2 in one piece, with control characters of the message escaped.

    Much of what is logged comes from clients, scripts and files. An unescaped newline could forge a line of the log,
    and an unescaped ESC could control the terminal that shows it.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; drop what cannot be written."""
        try:
            text = printable(record.getMessage())
            if record.exc_info:
                text += "\n" + logging.Formatter().formatException(record.exc_info)
            data = f"{text}\n".encode(errors="backslashreplace")
            while data:
                data = data[os.write(2, data) :]
        except Exception:
            pass


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


def open_standard_files() -> None:
    """Open /dev/null for those of the file descriptors 0 to 2 that are closed.

    Else the next file that is opened would get such a number, and the server log would be written to that file.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)


log.setLevel(logging.INFO)
for each in (log, logging.getLogger("asyncio")):  # both event loops log exceptions in callbacks to the latter
    each.addHandler(StandardError())
    each.propagate = False
