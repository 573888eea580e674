"""The append-only file: each change, written before its reply is sent. It knows files; not what commands do."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote

from reader import ProtocolError, Reader
from writer import Value, encode


class Log:
    """The open log: call `append` for each change, and `flush` once before the replies are sent.

    `policy` says when the log must be on the disk (`fsync`), and so what a power failure can lose. `always`: before
    each reply, so nothing; `everysec`: once a second, so the last one or two seconds; `no`: when the operating system
    decides, so perhaps half a minute. If only the process dies, even by `kill -9`, no policy loses anything.
    """

    def __init__(self, path: Path, policy: str) -> None:
        """Open the log at `path` for appending; create it if it is missing. Raises OSError."""
        self.policy = policy
        self._file = open(path, "ab", buffering=0, opener=_private)  # noqa: SIM115  (`close` closes it)
        self._waiting = bytearray()  # appended, and not yet written to the file
        self._unsynced = False  # the file has bytes that need an fsync

    def append(self, args: list[bytes]) -> None:
        """Add a request to `_waiting`, in the form in which a client sends it: `encode` writes that form.

        The file does not change: the next `flush` writes to it.
        """
        self._waiting += encode(args)

    def flush(self) -> None:
        """Write `_waiting` to the file and empty it; with the policy `always`, also call `sync`.

        `self._file.write(data)` writes at once, because the file has no buffer. If the disk is nearly full it may
        write only the first part of `data`; it returns the number of bytes that it wrote. Then write the rest. When
        the disk is full, it raises OSError: let that pass. What was not written stays in `_waiting`.

        After each write set `_unsynced` to True. Before it would be too early: until the write, a `sync` in another
        thread can set it to False again, and its fsync does not include these bytes.
        """
        while self._waiting:
            written = self._file.write(self._waiting)
            del self._waiting[:written]
            self._unsynced = True
        if self.policy == "always":
            self.sync()

    def sync(self) -> None:
        """Call `os.fsync(self._file.fileno())` if something was written since the last call. It can take long.

        With the policy `everysec` a thread calls this, while the event loop goes on and calls `flush`. What `flush`
        writes during an fsync may not be included in it. So after that fsync `_unsynced` must be True, and the next
        `sync` must call fsync again. If fsync raises OSError, let that pass: then the server must not go on.
        """
        if self._unsynced:
            self._unsynced = False  # before fsync: bytes written while it runs need another fsync
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Call `flush`, then `sync` unless the policy is `no`, then close the file."""
        self.flush()
        if self.policy != "no":
            self.sync()
        self._file.close()


def _private(path: str, flags: int) -> int:
    """Open a file that only its owner can read: it has the data of all clients."""
    return os.open(path, flags, 0o600)


class CorruptLog(Exception):
    """The log is damaged, and not only cut off at its end. The message says where, and what one can do."""

    def __init__(self, path: Path, offset: int, reason: str) -> None:
        # What is no UTF-8 came in by `surrogateescape` (stage 03), as characters that a terminal cannot print.
        reason = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in reason)
        super().__init__(
            f"{path} is damaged at byte {offset}: {reason}. Nothing was changed. Make a copy; then "
            f"fix that place, or give up what follows it: truncate -s {offset} {quote(str(path))}"
        )


def read_requests(path: Path) -> Iterator[tuple[int, int, list[bytes]]]:
    """Yield each complete request of the log at `path`: the offset of its start, that of its end, its arguments.

    `Reader` reads them, and `encode` tells how many bytes each takes. If the file ends in the beginning of a request,
    as after a crash, nothing is yielded for it. A log may have millions of requests: do not copy what follows, as
    `data[start:]` does, for each of them.

    Raises CorruptLog with the offset of the request, if `Reader` raises ProtocolError, and if the bytes are not those
    that `encode` makes of the arguments: `Reader` accepts more than a server writes, for example inline requests.

    A request begins with `*` and a digit from 1 to 9. Other bytes are damage, at the end of the file too, as in Redis:
    there `Reader` would wait for the rest of an inline request, and skip a `*0` or `*-1`. If the file ends in `*`, that
    is the beginning of a request.
    """
    data = path.read_bytes()
    reader = Reader()
    reader.feed(data)
    start = 0
    while start < len(data):
        if not data.startswith(b"*", start) or data[start + 1 : start + 2] not in b"123456789":  # b"" is in it, too
            raise CorruptLog(path, start, "expected '*' and a digit from 1 to 9")
        try:
            args = reader.next()
        except ProtocolError as error:
            raise CorruptLog(path, start, str(error)) from None
        if args is None:
            return
        request = encode(args)
        if not data.startswith(request, start):
            raise CorruptLog(path, start, "not as a server writes it")
        yield start, start + len(request), args
        start += len(request)


def restore(path: Path, replay: Callable[[list[bytes]], Value], last: bool = True) -> None:
    """Call `replay` with the arguments of each request in the log at `path`, in order.

    If the file ends in half a request, cut it off with `os.truncate`, and print one line to standard error: the path,
    how many bytes were cut off, and the offset. Otherwise the next request would be appended to that half. The same if
    it ends between a MULTI and its EXEC: cut it off at the MULTI. `replay` has only queued what stands behind that. The
    command's name says what is a MULTI or an EXEC, in upper or lower case; do not go by the reply.
    If it is not the `last` file of the log, changes follow that were made after the missing end: cut off nothing, but
    raise CorruptLog with that offset.

    Raises CorruptLog, with the start of the request, if `replay` returns an exception, or a list with one, as for EXEC:
    the request succeeded when it was logged. The reason names the command, as `repr(args[0])` or decoded with
    `surrogateescape`, because a damaged name may not be UTF-8, and the reply. Then, and if `read_requests` raises
    CorruptLog, the file stays as it is.
    """
    whole, opened = 0, False  # the end of the last complete unit; whether another one has begun
    for start, end, args in read_requests(path):
        reply = replay(args)
        for each in reply if isinstance(reply, list) else [reply]:
            if isinstance(each, Exception):
                raise CorruptLog(path, start, f"{args[0]!r} was answered with {each}")
        opened = args[0].upper() != b"EXEC" and (opened or args[0].upper() == b"MULTI")
        if not opened:
            whole = end
    torn = path.stat().st_size - whole
    if torn:
        what = "transaction" if opened else "request"
        if not last:
            raise CorruptLog(path, whole, f"it ends in half a {what}, and another file follows")
        print(f"{path} ends in half a {what}: {torn} bytes cut off at byte {whole}", file=sys.stderr)
        os.truncate(path, whole)
