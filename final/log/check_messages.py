"""What is wrong with one request of a log, in the messages of redis-check-aof. It does not check a whole file.

It parses as redis-check-aof does (`processRESP`), which accepts more than our reader. If this parser finds nothing in a
request that our reader refused, the reader's reason is reported.
"""

import os
import re
from pathlib import Path
from typing import BinaryIO

LINE = 127  # bytes of a header that are read at most


class FormatError(Exception):
    """Something in a request is wrong, at `place`; as in C, the text ends at a zero byte."""

    def __init__(self, place: int, reason: str) -> None:
        super().__init__(f"0x{place:16x}: {reason}".partition("\0")[0])


class RequestChecker:
    """Parses the invalid request at `place` as redis-check-aof does; `last` is where it last read before that."""

    def __init__(self, file: BinaryIO, place: int, last: int) -> None:
        self.file = file
        self.size = file.seek(0, os.SEEK_END)
        self.place = last  # where the header or argument that was read last begins
        self.lines = 0  # valid lines
        file.seek(place)

    def complaint(self, path: Path, inside: bool) -> str:
        """What is wrong; "" if nothing is, or the file only ends."""
        sign = self.file.peek(1)[:1]  # type: ignore[attr-defined]
        if sign not in (b"*", b"#", b""):
            return f"AOF {path} format error"
        try:
            if sign == b"*":
                for _ in range(self.header("*")):
                    self.arg(self.header("$"))
                return ""
        except EOFError:
            pass
        except FormatError as error:
            return str(error)
        return str(FormatError(self.place, "Reached EOF before reading EXEC for MULTI")) if inside else ""

    def header(self, sign: str) -> int:
        """Read a header and return its number. Raises FormatError, and EOFError at the end of the file."""
        self.place = self.file.tell()
        line = self.file.readline(LINE)
        if not line:
            raise EOFError
        if not line.startswith(sign.encode()):
            raise FormatError(self.place, f"Expected prefix '{sign}', got: '{os.fsdecode(line[:1])}'")
        digits = re.match(rb".\s*[+-]?[0-9]+", line)
        end = digits.end() if digits else 1
        self.newline(line[end : end + 2])
        return int(line[1:end] or b"0")

    def arg(self, length: int) -> None:
        """Read an argument. Raises FormatError."""
        if length < 0:
            raise FormatError(
                self.place, f"Expected to read string of {length} bytes, which is not in the suitable range"
            )
        self.place = self.file.tell()
        data = self.file.read(min(length + 2, self.size - self.place))
        if len(data) < length + 2:
            raise FormatError(self.place, f"Expected to read {length + 2} bytes, got {len(data)} bytes")
        self.newline(data[-2:])

    def newline(self, data: bytes) -> None:
        """Raise FormatError unless these two bytes are CRLF. C prints a byte from 128 on as a negative number."""
        if data != b"\r\n":
            shown = "".join(f"{'ffffff' * (byte > 127)}{byte:02x}" for byte in data.ljust(2, b"\0"))
            raise FormatError(self.place, f"Expected \\r\\n, got: {shown}")
        self.lines += 1
