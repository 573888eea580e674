"""The log: every change, appended to a file before anyone hears of it. It knows files; not what commands do."""

import os
from collections.abc import Callable
from pathlib import Path
from shlex import quote

from reader import ProtocolError, Reader
from writer import Value, encode


class CorruptLog(Exception):
    """The log cannot be right: not just torn at its end, but damaged where complete requests should be."""

    def __init__(self, path: Path, offset: int, reason: str) -> None:
        reason = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in reason)
        super().__init__(
            f"{path} is damaged at byte {offset}: {reason}. Nothing was changed. Make a copy of the file; "
            f"then mend that place, or give up all that follows it: truncate -s {offset} {quote(str(path))}"
        )


def load(path: Path, apply: Callable[[list[bytes]], Value]) -> int:
    """Run every request of the log at `path` through `apply`, in order; give the number of bytes they take.

    A request is written as a client sends it: an array of bulk strings. What follows the last complete one is
    half a request, which a crash tore off; it is not applied and not counted, and the caller cuts it off.

    Raises CorruptLog, with the offset of the request, where the bytes are no request, or are not what `encode`
    would have written, or where `apply` answers with an error.
    """
    data = path.read_bytes()
    reader = Reader()
    reader.feed(data)
    offset = 0
    while True:
        if data[offset : offset + 1] not in (b"*", b""):  # the reader would take it for an inline request
            raise CorruptLog(path, offset, "expected '*'")
        try:
            args = reader.next()
        except ProtocolError as error:
            raise CorruptLog(path, offset, str(error)) from None
        if args is None:
            return offset
        record = encode(args)
        if not data.startswith(record, offset):
            raise CorruptLog(path, offset, "not as a server writes it")
        answer = apply(args)
        if isinstance(answer, Exception):
            raise CorruptLog(path, offset, f"{args[0]!r} was answered with {answer}")
        offset += len(record)


class Log:
    """The open log. `append` as often as there are changes, `flush` once before the replies go out.

    The policy says when the operating system must have the log on the disk (`fsync`), and so what a power cut
    can cost. `always`: before any reply, nothing; `everysec`: once a second, so a second or two; `no`: when the
    system likes to, half a minute perhaps. When only the server dies, even by `kill -9`, nothing is lost with
    any of them: what was written is in the system's hands.
    """

    def __init__(self, path: Path, policy: str) -> None:
        """Open the log at `path` to append to it, a new one where there is none. Raises OSError."""
        self.policy = policy
        self._file = open(path, "ab", buffering=0, opener=_private)  # noqa: SIM115  (`close` closes it)
        self._waiting = bytearray()  # appended, and not yet in the file
        self._unsynced = False  # in the file, and perhaps not yet on the disk

    def append(self, args: list[bytes]) -> None:
        """Note a request that changed something. It reaches the file with the next `flush`."""
        self._waiting += encode(args)

    def flush(self) -> None:
        """Write to the file what was appended, and with the policy `always` see it onto the disk.

        A write may take only a part of what it is given: go on with the rest. Raises OSError when the disk is
        full or fails; then the file may end in half a request, and no reply may claim what was not written.
        """
        while self._waiting:
            written = self._file.write(self._waiting)
            del self._waiting[:written]
            self._unsynced = True
        if self.policy == "always":
            self.sync()

    def sync(self) -> None:
        """Make an fsync if anything was written since the last one. This can take many milliseconds.

        Under `everysec` a thread calls this while the loop goes on writing. What is written during an fsync needs
        another one, so that write leaves `_unsynced` True.
        """
        if self._unsynced:
            self._unsynced = False  # first: what is written while fsync works needs another one
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write and sync what is left, as far as the policy asks for it, and close the file."""
        self.flush()
        if self.policy != "no":
            self.sync()
        self._file.close()


def _private(path: str, flags: int) -> int:
    """Open a file that only its owner can read: it holds everyone's data."""
    return os.open(path, flags, 0o600)
