"""The reader: bytes in, requests out. It knows RESP and its limits; it does not know where the bytes come from."""

import re

MAX_LINE = 64 * 1024  # bytes in a header or an inline request (PROTO_INLINE_MAX_SIZE)
MAX_ARGS = 2**31 - 1  # words in one request
MAX_BULK = 512 * 1024 * 1024  # bytes in one word (proto-max-bulk-len)


class ProtocolError(Exception):
    """The client does not speak RESP. After this nothing it sends can be trusted: answer, and hang up."""


class Reader:
    """Collects the chunks of one connection and cuts them into requests.

    A request is a list of words, each `bytes`. It arrives as an array of bulk strings, `*2`, `$4`, `ECHO`,
    `$2`, `hi`, every line ended by CRLF; or inline, as a person types it: `ECHO hi` and a line end.

    >>> reader = Reader()
    >>> reader.feed(b"*2\\r\\n$4\\r\\nECHO\\r\\n$2\\r\\nhi\\r\\nPI")
    >>> reader.next()
    [b'ECHO', b'hi']
    >>> reader.next() is None  # PI... is not a whole request yet
    True
    >>> reader.feed(b"NG\\r\\n")
    >>> reader.next()
    [b'PING']
    """

    def __init__(self) -> None:
        self._buffer = bytearray()  # what has come in and is not yet part of a request
        self._searched = 0  # so many bytes at its front are known to hold no line end
        self._args: list[bytes] = []  # the words that the array under way has so far
        self._missing = 0  # the words it still lacks; 0: no array is under way
        self._length: int | None = None  # the length that the next word's header gave, once we have it

    def feed(self, data: bytes) -> None:
        """Take in a chunk, cut anywhere. Cheap: what is in the buffer is not looked at again."""
        self._buffer += data

    def next(self) -> list[bytes] | None:
        """Give the next complete request, or None: more bytes are needed.

        What there is of an incomplete request is kept, so the work for a request is proportional to its size,
        in however many pieces it comes. Requests of no words (`*0`, `*-1`, an empty line) are passed over.
        Raises ProtocolError, with Redis's text, on what is not RESP.

        >>> reader = Reader()
        >>> reader.feed(b"\\r\\n*0\\r\\n*1\\r\\n$3\\r\\na\\r\\n\\r\\n*1\\r\\nPING\\r\\n")
        >>> reader.next()  # a arg is counted, not searched for its end: it may contain CRLF
        [b'a\\r\\n']
        >>> reader.next()
        Traceback (most recent call last):
        reader.ProtocolError: Protocol error: expected '$', got 'P'
        """
        while self._missing == 0:
            if not self._buffer:
                return None
            if self._buffer[0] == ord("*"):
                count = self._read_header("*", MAX_ARGS, "mbulk count", "multibulk length")
                if count is None:
                    return None
                self._missing = max(count, 0)
            else:
                line = self._read_line(b"\n", "inline request")
                if line is None:
                    return None
                if args := split_inline(line):
                    return args
        while self._missing:
            arg = self._read_bulk()
            if arg is None:
                return None
            self._args.append(arg)
            self._missing -= 1
        args, self._args = self._args, []
        return args

    def _read_bulk(self) -> bytes | None:
        """Take one bulk string, `$4`, CRLF, four bytes, CRLF, off the buffer; None: it is not all there.

        Once the header is read its number stays in `self._length`, so that nobody reads it twice.
        Raises ProtocolError where a `$` is missing, `Protocol error: expected '$', got 'x'` (x: the very byte that
        came), and when the length is negative or above MAX_BULK, `Protocol error: invalid bulk length`.
        """
        if self._length is None:
            if self._buffer and self._buffer[0] != ord("$"):
                got = self._buffer[:1].decode(errors="surrogateescape")
                raise ProtocolError(f"Protocol error: expected '$', got '{got}'")
            length = self._read_header("$", MAX_BULK, "bulk count", "bulk length")
            if length is None:
                return None
            if length < 0:
                raise ProtocolError("Protocol error: invalid bulk length")
            self._length = length
        if len(self._buffer) < self._length + 2:
            return None
        with memoryview(self._buffer) as view:
            arg = bytes(view[: self._length])
        del self._buffer[: self._length + 2]
        self._length = None
        return arg

    def _read_header(self, sign: str, limit: int, what: str, number: str) -> int | None:
        """Take a line such as `*3` off the buffer and give its number; None: it has not ended yet.

        Raises ProtocolError, `Protocol error: invalid {number}`, where what follows the sign is no integer, or is
        above `limit`; and, by way of `_read_line`, `Protocol error: too big {what} string`.
        """
        line = self._read_line(b"\r", f"{what} string")
        if line is None:
            return None
        value = parse_integer(line.removeprefix(sign.encode()))
        if value is None or value > limit:
            raise ProtocolError(f"Protocol error: invalid {number}")
        return value

    def _read_line(self, end: bytes, what: str) -> bytes | None:
        r"""Take a line off the buffer and give it without its end; None: it has not ended yet.

        `end` is b"\r" for headers, which two bytes end, and b"\n" for inline requests, where people may leave
        out the \r. `self._searched` remembers how far we looked, so that no byte is searched twice.
        Raises ProtocolError, `Protocol error: too big {what}`, once more than MAX_LINE bytes have come and no end.
        """
        found = self._buffer.find(end, self._searched)
        after = found + len(b"\r\n") if end == b"\r" else found + 1
        if found < 0 or after > len(self._buffer):
            self._searched = len(self._buffer) if found < 0 else found
            if len(self._buffer) > MAX_LINE:
                raise ProtocolError(f"Protocol error: too big {what}")
            return None
        line = bytes(self._buffer[:found])
        del self._buffer[:after]
        self._searched = 0
        return line


def parse_integer(text: bytes) -> int | None:
    """Read a 64-bit integer as strictly as Redis does (`string2ll`): no blanks, no plus, no leading zeros.

    >>> parse_integer(b"-12"), parse_integer(b"0")
    (-12, 0)
    >>> parse_integer(b"+1"), parse_integer(b"01"), parse_integer(b" 1"), parse_integer(b"9223372036854775808")
    (None, None, None, None)
    """
    if not re.fullmatch(rb"0|-?[1-9][0-9]{0,18}", text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


# A word is plain bytes, then perhaps a part in quotes, and then a blank or the end (`sdssplitargs`).
_ARGUMENT = re.compile(rb"""([^\s"']*)(?:"((?:\\.|[^"\\])*+)"|'((?:\\'|[^'])*+)')?(?:\s+|$)""", re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


def split_inline(line: bytes) -> list[bytes]:
    r"""Split an inline request into words as a shell would: at blanks, but not inside quotes.

    In double quotes \n, \r, \t, \b, \a and \xHH mean what they mean in C; in single quotes only \' is special.
    Raises ProtocolError where a quote is not closed, or is followed by more than a blank.

    >>> split_inline(rb'''SET  "a key" 'it\'s' "\x00\n" ''')
    [b'SET', b'a key', b"it's", b'\x00\n']
    """
    args = []
    rest = line.strip()
    position = 0
    while position < len(rest):
        match = _ARGUMENT.match(rest, position)
        if match is None or match.end() == position:
            raise ProtocolError("Protocol error: unbalanced quotes in request")
        plain, double, single = match.groups()
        if double is not None:
            plain += _ESCAPE.sub(_unescape, double)
        if single is not None:
            plain += single.replace(rb"\'", b"'")
        args.append(plain)
        position = match.end()
    return args


def _unescape(match: re.Match[bytes]) -> bytes:
    """Give the byte that an escape in double quotes stands for."""
    hexadecimal, letter = match.groups()
    return bytes.fromhex(hexadecimal.decode()) if hexadecimal else _ESCAPES.get(letter, letter)
