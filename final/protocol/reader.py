"""The reader: bytes in, requests out. It knows RESP and its limits, but not where the bytes come from."""

from collections.abc import Callable
from operator import eq

from .inline import split_inline
from .large_argument import LargeArgument, may_begin
from .numeric import parse_integer
from .plain_requests import LENGTHS, alone, take

MAX_LINE = 64 * 1024  # bytes in a header or an inline request (PROTO_INLINE_MAX_SIZE)
MAX_ARGS = 2**31 - 1  # arguments in one request
MAX_BULK = 512 * 1024 * 1024  # bytes in one argument (proto-max-bulk-len)
MAX_ARGS_BEFORE, MAX_BULK_BEFORE = 10, 16 * 1024  # the same two before a client has authenticated
MANY = 64  # arguments of an incomplete request that are worth splitting at once
PIECE = 16 * 1024  # bytes that are split at once, so that no client waits for long (PROTO_IOBUF_LEN)


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

    def __init__(self, max_bulk: Callable[[], int] = lambda: MAX_BULK) -> None:
        self.max_bulk = max_bulk  # returns how many bytes one argument may have: CONFIG SET may change it
        self.trusted = True  # the client has authenticated, or need not: it may send large requests
        self.ready: list[list[bytes]] = []  # complete requests, the next one last; callers may pop them
        self._unsplit = False  # bytes have come since the last `_split`
        self._buffer = bytearray()  # bytes that are not yet part of a request
        self._searched = 0  # bytes at its start in which there is no line end
        self._args: list[bytes] = []  # the arguments of the incomplete array so far …
        self._taken = 0  # … and their bytes, with those in `_large`
        self._missing = 0  # its missing arguments; 0: no array has begun
        self._length: int | None = None  # the bytes of the next argument that are to come, once its header is read …
        self._large: LargeArgument | None = None  # … after those that are in here, if it is large

    def feed(self, data: bytes) -> None:
        """Add a chunk, which may begin and end anywhere. Bytes that are in the buffer are not searched again."""
        if self.trusted and len(data) <= PIECE and not (self.ready or self._buffer or self._missing):
            taken = self._split(data)
            if taken < len(data):  # mostly these are complete requests, which need not go through the buffer
                self._buffer += data[taken:]
        else:
            self.keep(data)

    def only(self, data: bytes) -> list[bytes] | None:
        """Return the request of which a chunk consists, if it is plain, and nothing waits before it; else None.

        What is returned is not kept here. So a lone GET takes 0.9 µs, and takes 1.1 through `feed`.
        """
        if len(data) > PIECE or self._buffer or self.ready or self._missing or not self.trusted:
            return None
        return alone(data)

    def keep(self, data: bytes) -> None:
        """Add a chunk, and leave all work for later."""
        if self._large is not None:
            data = data[self._fill(self._large, data) :]
        self._buffer += data
        self._unsplit = True

    @property
    def held(self) -> int:
        """The number of bytes that wait for the rest of their request, or for earlier requests to be executed."""
        return len(self._buffer) + self._taken

    @property
    def awaited(self) -> int:
        """The number of bytes that are missing of an argument whose header has come."""
        return max((self._length or 0) - len(self._buffer), 0)

    def next(self) -> list[bytes] | None:
        """Return the next complete request, or None: more bytes are needed.

        The parsed part of an incomplete request is kept, so the work for a request is proportional to its size, in
        however many chunks it comes. Requests without arguments (`*0`, `*-1`, an empty line) are skipped.
        Raises ProtocolError, with Redis's text, for bytes that are not RESP.

        >>> reader = Reader()
        >>> reader.feed(b"\\r\\n*0\\r\\n*1\\r\\n$3\\r\\na\\r\\n\\r\\n*1\\r\\nPING\\r\\n")
        >>> reader.next()  # an argument has a length, so it may contain CRLF
        [b'a\\r\\n']
        >>> reader.next()
        Traceback (most recent call last):
        reader.ProtocolError: Protocol error: expected '$', got 'P'
        """
        if self.ready:
            return self.ready.pop()
        if not self._buffer:  # saves a lone request, behind which this is asked, 0.7 µs
            return None
        args: list[bytes] | None = []
        while args == []:
            in_array = self._missing or self._buffer.startswith(b"*")
            args = self._read_array() if in_array else self._read_inline()
        return args

    def _read_inline(self) -> list[bytes] | None:
        """Take an inline request from the buffer and return its arguments; None: it is incomplete."""
        line = self._read_line(b"\n", "inline request")
        try:
            return None if line is None else split_inline(line)
        except ValueError as error:
            raise ProtocolError(f"Protocol error: {error}") from None

    def _read_array(self) -> list[bytes] | None:
        """Take an array of bulk strings from the buffer and return them, its arguments; None: it is incomplete.

        If the fast way can take several arrays, the first one is returned, and `ready` has the others.
        """
        if self._missing == 0:
            if self._unsplit and self.trusted and not self._searched:
                self._unsplit = len(self._buffer) > PIECE
                del self._buffer[: self._split(bytes(self._buffer[:PIECE]))]
                if self.ready:
                    return self.ready.pop()
            count = self._read_header(b"*", MAX_ARGS, "mbulk count", "multibulk length")
            if count is None:
                return None
            if count > MAX_ARGS_BEFORE and not self.trusted:
                raise ProtocolError("Protocol error: unauthenticated multibulk length")
            self._missing = max(count, 0)
        one_by_one, next_time = 0, MANY  # arguments for `_read_bulk`, ever more if the other way fails
        while self._missing:
            if not one_by_one and self._missing >= MANY and self._length is None:
                if self._read_many() < MANY:
                    one_by_one, next_time = next_time, 2 * next_time
                continue
            one_by_one = max(one_by_one - 1, 0)
            arg = self._read_bulk()
            if arg is None:
                return None
            self._args.append(arg)
            self._missing -= 1
        args, self._args, self._taken = self._args, [], 0
        return args

    def _split(self, data: bytes) -> int:
        """Move the complete requests at the start of `data` to `ready`, the fast way; return how many bytes they take.

        It is tried once for each `feed`, so the work stays linear. What it cannot take is left to `next`.
        """
        found: list[list[bytes]] = []
        taken = take(found, data)
        found.reverse()
        self.ready = found
        return taken

    def _read_many(self) -> int:
        """Move arguments from the buffer to `_args`, the fast way of `_split`; return how many: perhaps none.

        A request may have more arguments than a piece holds: of 100 000, each takes 0.3 µs, and 1.4 in `_read_bulk`.
        """
        pieces = bytes(self._buffer[:PIECE]).split(b"\r\n")
        stop = min(2 * self._missing, len(pieces) - 1 & ~1)  # the last piece does not end with CRLF
        lengths, args = [*map(LENGTHS.get, pieces[0:stop:2])], pieces[1:stop:2]
        sizes = [*map(len, args)]
        if lengths != sizes:
            stop = 2 * [*map(eq, lengths, sizes)].index(False)
            args, sizes = args[: stop // 2], sizes[: stop // 2]
        self._args += args
        self._missing -= len(args)
        taken = sum(sizes)
        self._taken += taken
        del self._buffer[: taken + sum(map(len, pieces[0:stop:2])) + stop * len(b"\r\n")]
        return len(args)

    def _read_bulk(self) -> bytes | None:
        """Take one bulk string, `$4`, CRLF, four bytes, CRLF, from the buffer; None: it is incomplete.

        The number in its header stays in `self._length`, so that it is read only once. A large argument is made and
        filled while it is incomplete; then `_length` is the number of bytes that are missing.
        Raises ProtocolError when `$` is missing, `Protocol error: expected '$', got 'x'`, and when the length is
        negative or above `max_bulk()`, `Protocol error: invalid bulk length`.
        """
        if self._length is None:
            length = self._read_header(b"$", self.max_bulk(), "bulk count", "bulk length")
            if length is None:
                return None
            if length < 0:
                raise ProtocolError("Protocol error: invalid bulk length")
            if length > MAX_BULK_BEFORE and not self.trusted:
                raise ProtocolError("Protocol error: unauthenticated bulk length")
            self._length = length
        if len(self._buffer) < self._length + 2:
            if self._large is None and may_begin(self._length, len(self._buffer)):
                self._large = LargeArgument(self._length)
                del self._buffer[: self._fill(self._large, self._buffer)]
            return None
        if self._large is None:
            with memoryview(self._buffer) as view:
                arg = bytes(view[: self._length])
        else:
            arg, self._large = self._large.value, None
        del self._buffer[: self._length + 2]
        self._taken += self._length
        self._length = None
        return arg

    def _fill(self, large: LargeArgument, data: bytes | bytearray) -> int:
        """Move the start of some bytes, as many as it takes, to the large argument; return how many."""
        count = large.fill(data)
        self._length = (self._length or 0) - count
        self._taken += count
        return count

    def _read_header(self, sign: bytes, limit: int, what: str, name: str) -> int | None:
        """Take a line such as `*3` from the buffer and return its number; None: it is incomplete.

        Raises ProtocolError, `Protocol error: invalid {name}`, if no integer follows the sign, or one above
        `limit`; and, from `_read_line`, `Protocol error: too big {what} string`.
        """
        first = self._buffer[:1]
        line = self._read_line(b"\r", f"{what} string")
        if line is None:
            return None
        if first != sign:
            got = first.decode(errors="surrogateescape")
            raise ProtocolError(f"Protocol error: expected '{sign.decode()}', got '{got}'")
        value = parse_integer(line[1:])
        if value is None or value > limit:
            raise ProtocolError(f"Protocol error: invalid {name}")
        return value

    def _read_line(self, end: bytes, what: str) -> bytes | None:
        r"""Take a line from the buffer and return it without its end; None: it is incomplete.

        `end` is b"\r" for headers, which end with CRLF, and b"\n" for inline requests, which may end with \n alone.
        `self._searched` remembers how far the search came, so that no byte is searched twice.
        Raises ProtocolError, `Protocol error: too big {what}`, if more than MAX_LINE bytes have come without an end.
        """
        found = self._buffer.find(end, self._searched)
        zero = self._buffer.find(b"\0", self._searched, found if found >= 0 else len(self._buffer))
        if found < 0 or zero >= 0:  # Redis uses `strchr`, which stops at a zero byte
            self._searched = zero if zero >= 0 else len(self._buffer)
            if len(self._buffer) > MAX_LINE:
                raise ProtocolError(f"Protocol error: too big {what}")
            return None
        after = found + len(b"\r\n") if end == b"\r" else found + 1
        if after > len(self._buffer):
            self._searched = found
            return None
        line = bytes(self._buffer[:found])
        del self._buffer[:after]
        self._searched = 0
        return line
