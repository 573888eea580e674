"""What is wrong with one request of a log, in the words of redis-check-aof. It knows no file as a whole.

So it reads as that one reads (`processRESP`), which forgives more than our own reader does: what that one refused, and
this does not, has its reason from there.
"""

import os
import re
from pathlib import Path
from typing import BinaryIO

LINE = 127  # bytes of a header that are looked at


class Wrong(Exception):
    """Something in a request is not as it must be, at a place; as in C, the text ends at a zero byte."""

    def __init__(self, place: int, reason: str) -> None:
        super().__init__(f"0x{place:16x}: {reason}".partition("\0")[0])


class Look:
    """A look at the one request that is wrong: it is redis-check-aof's, so that the same is said of it."""

    def __init__(self, file: BinaryIO, place: int, last: int) -> None:
        self.file = file
        self.size = file.seek(0, os.SEEK_END)
        self.place = last  # where what was looked at last begins
        self.lines = 0  # that are right
        file.seek(place)

    def complaint(self, path: Path, inside: bool) -> str:
        """What is wrong; "" where nothing is, but the end of the file."""
        sign = self.file.peek(1)[:1]  # type: ignore[attr-defined]
        if sign not in (b"*", b"#", b""):
            return f"AOF {path} format error"
        try:
            if sign == b"*":
                for _ in range(self.number("*")):
                    self.arg(self.number("$"))
                return ""
        except EOFError:
            pass
        except Wrong as error:
            return str(error)
        return str(Wrong(self.place, "Reached EOF before reading EXEC for MULTI")) if inside else ""

    def number(self, sign: str) -> int:
        """Read a header. Raises Wrong, and EOFError where there is none any more."""
        self.place = self.file.tell()
        line = self.file.readline(LINE)
        if not line:
            raise EOFError
        if not line.startswith(sign.encode()):
            raise Wrong(self.place, f"Expected prefix '{sign}', got: '{os.fsdecode(line[:1])}'")
        digits = re.match(rb".\s*[+-]?[0-9]+", line)
        end = digits.end() if digits else 1
        self.newline(line[end : end + 2])
        return int(line[1:end] or b"0")

    def arg(self, length: int) -> None:
        """Read a word. Raises Wrong."""
        if length < 0:
            raise Wrong(self.place, f"Expected to read string of {length} bytes, which is not in the suitable range")
        self.place = self.file.tell()
        there = self.file.read(min(length + 2, self.size - self.place))
        if len(there) < length + 2:
            raise Wrong(self.place, f"Expected to read {length + 2} bytes, got {len(there)} bytes")
        self.newline(there[-2:])

    def newline(self, there: bytes) -> None:
        """These two bytes must be CRLF. Raises Wrong; C shows a byte from 128 on as a negative number."""
        if there != b"\r\n":
            shown = "".join(f"{'ffffff' * (byte > 127)}{byte:02x}" for byte in there.ljust(2, b"\0"))
            raise Wrong(self.place, f"Expected \\r\\n, got: {shown}")
        self.lines += 1
