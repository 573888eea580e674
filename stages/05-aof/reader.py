"""The reader: bytes in, requests out. It knows RESP and its limits, but not where the bytes come from."""

import re

from inline import split_inline

MAX_LINE = 64 * 1024  # bytes in a header or an inline request (PROTO_INLINE_MAX_SIZE)
MAX_ARGS = 2**31 - 1  # arguments in one request
MAX_BULK = 512 * 1024 * 1024  # bytes in one argument (proto-max-bulk-len)


class ProtocolError(Exception):
    """The client does not speak RESP, so nothing after this can be parsed: reply, and close the connection."""


class Reader:
    """Collects the chunks of one connection and splits them into requests.

    A request is a list of arguments, each `bytes`. It arrives as an array of bulk strings, `*2`, `$4`, `ECHO`,
    `$2`, `hi`, with CRLF after every line; or inline, as a person types it: `ECHO hi` and a newline.

    >>> reader = Reader()
    >>> reader.feed(b"*2\\r\\n$4\\r\\nECHO\\r\\n$2\\r\\nhi\\r\\nPI")
    >>> reader.next()
    [b'ECHO', b'hi']
    >>> reader.next() is None  # PI... is not a complete request yet
    True
    >>> reader.feed(b"NG\\r\\n")
    >>> reader.next()
    [b'PING']
    """

    def __init__(self) -> None:
        self._buffer = bytearray()  # bytes that are not yet part of a request
        self._args: list[bytes] = []  # the arguments of the incomplete array so far
        self._missing = 0  # its missing arguments; 0: no array has begun
        self._length: int | None = None  # the length of the next argument, once its header is read

    def feed(self, data: bytes) -> None:
        """Add a chunk, which may begin and end anywhere, to the end of the buffer."""
        self._buffer += data

    def next(self) -> list[bytes] | None:
        """Return the next complete request, or None: more bytes are needed.

        Requests without arguments (`*0`, `*-1`, an empty line) are skipped.
        Raises ProtocolError, with Redis's text, for bytes that are not RESP.

        >>> reader = Reader()
        >>> reader.feed(b"\\r\\n*0\\r\\n*1\\r\\n$3\\r\\na\\r\\n\\r\\n*1\\r\\nPING\\r\\n")
        >>> reader.next()  # an argument has a length, so it may contain CRLF
        [b'a\\r\\n']
        >>> reader.next()
        Traceback (most recent call last):
        reader.ProtocolError: Protocol error: expected '$', got 'P'
        """
        args: list[bytes] | None = []
        while args == []:
            in_array = self._missing or self._buffer.startswith(b"*")
            args = self._read_array() if in_array else self._read_inline()
        return args

    def _read_inline(self) -> list[bytes] | None:
        """Take an inline request from the buffer and return its arguments; None: it is incomplete."""
        line = self._read_line("inline request")
        try:
            return None if line is None else split_inline(line)
        except ValueError as error:
            raise ProtocolError(f"Protocol error: {error}") from None

    def _read_array(self) -> list[bytes] | None:
        """Take an array of bulk strings from the buffer and return them, its arguments; None: it is incomplete.

        The header comes from `_read_header(b"*", MAX_ARGS, "mbulk count", "multibulk length")`. A number of 0 or less
        is an array without arguments: return `[]`. The arguments come from `_read_bulk`. What has been taken from the
        buffer is kept: the complete arguments in `self._args`, the number of the missing ones in `self._missing`.
        So the next call continues where this one has stopped, and no byte is read twice. When the array is complete,
        `self._args` is a new empty list.
        """
        if self._missing == 0:
            count = self._read_header(b"*", MAX_ARGS, "mbulk count", "multibulk length")
            if count is None:
                return None
            self._missing = max(count, 0)
        while self._missing:
            arg = self._read_bulk()
            if arg is None:
                return None
            self._args.append(arg)
            self._missing -= 1
        args, self._args = self._args, []
        return args

    def _read_bulk(self) -> bytes | None:
        r"""Take a bulk string, `$4\r\nECHO\r\n`, from the buffer and return its `bytes`; None: it is incomplete.

        The length comes from `_read_header(b"$", MAX_BULK, "bulk count", "bulk length")`, and is kept in
        `self._length` until the bytes and the CRLF after them are there, so that the header is read only once.
        The CRLF is counted, not checked: any two bytes will do, as in Redis.
        Raises ProtocolError, `Protocol error: invalid bulk length`, if the length is negative.
        """
        if self._length is None:
            length = self._read_header(b"$", MAX_BULK, "bulk count", "bulk length")
            if length is None:
                return None
            if length < 0:
                raise ProtocolError("Protocol error: invalid bulk length")
            self._length = length
        if len(self._buffer) < self._length + len(b"\r\n"):
            return None
        arg = bytes(self._buffer[: self._length])
        del self._buffer[: self._length + len(b"\r\n")]
        self._length = None
        return arg

    def _read_header(self, sign: bytes, limit: int, what: str, name: str) -> int | None:
        r"""Take a header, such as `*3\r\n`, from the buffer and return its number; None: it is incomplete.

        The line comes from `_read_line(f"{what} string")`: while it is incomplete, no byte of it is looked at.
        `name` is what errors call the number.
        Raises ProtocolError, `Protocol error: expected '$', got 'x'`, if the first byte (here: x) is not `sign`
        (here: $). It may be any byte, so decode it with `errors="surrogateescape"`; in an empty line it is the `\r` or
        `\n`. Raises ProtocolError, `Protocol error: invalid {name}`, if what stands between the sign and CRLF is not an
        integer (see `parse_integer`), or greater than `limit`; also if the line ends with `\n` alone.
        """
        first = self._buffer[:1]
        line = self._read_line(f"{what} string")
        if line is None:
            return None
        if first != sign:
            got = first.decode(errors="surrogateescape")
            raise ProtocolError(f"Protocol error: expected '{sign.decode()}', got '{got}'")
        value = parse_integer(line[1:-1]) if line.endswith(b"\r") else None
        if value is None or value > limit:
            raise ProtocolError(f"Protocol error: invalid {name}")
        return value

    def _read_line(self, what: str) -> bytes | None:
        r"""Take a line and the \n at its end from the buffer; return it without the \n. None: it is incomplete.

        If the line ends with \r\n, the \r is returned too.
        Raises ProtocolError, `Protocol error: too big {what}`, if the buffer has more than MAX_LINE bytes and no \n.
        """
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > MAX_LINE:
                raise ProtocolError(f"Protocol error: too big {what}")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line


def parse_integer(text: bytes) -> int | None:
    r"""Parse a 64-bit integer as strictly as Redis (`string2ll`): no spaces, plus, leading zeros or -0; else None.

    >>> parse_integer(b"-12"), parse_integer(b"0")
    (-12, 0)
    >>> [parse_integer(text) for text in (b"+1", b"01", b"-0", b" 1", b"1\n", b"1_000")]
    [None, None, None, None, None, None]
    >>> [parse_integer(text) for text in (b"9223372036854775808", b"9" * 5000)]
    [None, None]
    """
    if not re.fullmatch(rb"0|-?[1-9][0-9]{0,18}", text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None
