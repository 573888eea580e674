"""The stream of a primary's changes, split into units: a request, or those between MULTI and EXEC."""

from collections.abc import Iterator

from ..log.split import HEADER, LENGTH, Malformed, split

Args = list[bytes]


class Incomplete:
    """The request at the start of some bytes, to which more are added: how far its headers were read.

    >>> request = Incomplete()
    >>> request.may_be_complete(b"*2\\r\\n$4\\r\\nECHO\\r\\n$100\\r\\nx"), request.least
    (False, 122)
    """

    def __init__(self) -> None:
        self.place = 0  # where the next header is …
        self.missing = -1  # … and how many arguments are to come; -1: their number is not known

    def may_be_complete(self, data: bytes | bytearray) -> bool:
        """Return whether the request is complete, or is none. Each header is read once, in however many calls."""
        if self.missing < 0:
            header = HEADER.match(data)
            if header is None or not header[2]:
                return header is None or header.end() < len(data)
            self.place, self.missing = header.end(), int(header[1])
        while self.missing:
            length = LENGTH.match(data, self.place)
            if length is None or not length[2]:
                return (length.end() if length else self.place) < len(data)
            self.place = length.end() + int(length[1]) + 2
            self.missing -= 1
        return self.place <= len(data)

    @property
    def least(self) -> int:
        """The least number of bytes that the whole request can have: the other arguments may all be empty."""
        return self.place + max(self.missing, 0) * len(b"$0\r\n\r\n")


class Stream:
    """Collects the bytes of the stream. Raises Malformed for what no server sends, and for more than `limit` at once.

    >>> stream = Stream(1000)
    >>> stream.feed(b"*1\\r\\n$4\\r\\nPING\\r\\n*1\\r\\n$5\\r\\nMULTI\\r\\n")
    >>> stream.feed(b"*1\\r\\n$4\\r\\nPING\\r\\n*1\\r\\n$4\\r\\nEX")
    >>> list(stream.units()), len(stream.taken())
    ([[[b'PING']]], 14)
    >>> stream.feed(b"EC\\r\\n")
    >>> list(stream.units()), len(stream.taken())
    ([[[b'PING']]], 43)
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit  # bytes that one unit may have
        self._rest = bytearray()  # received, and not split yet
        self._first = Incomplete()  # the request at the start of `_rest`
        self._split: Iterator[tuple[Args, int]] | None = None  # the requests of `_data`, as far as they are complete
        self._data = b""
        self._at = 0  # the bytes of `_data` that are split
        self._queue: list[Args] | None = None  # the requests since MULTI
        self._raw = bytearray()  # the bytes of the requests since `taken` …
        self._whole = 0  # … and how many of them are whole units

    def feed(self, data: bytes | bytearray) -> None:
        """Add bytes."""
        self._rest += data

    @property
    def more(self) -> bool:
        """Whether `units` has not come to an end."""
        return self._split is not None

    def units(self) -> Iterator[list[Args]]:
        """Yield the complete units, each as its requests. If the caller stops early, it can go on with another call."""
        if self._split is None:
            if not self._first.may_be_complete(self._rest):
                self._check_length()
                return
            self._first = Incomplete()
            self._data, self._at = bytes(self._rest), 0
            self._rest.clear()
            self._split = split(self._data)
        for args, end in self._split:
            self._raw += self._data[self._at : end]
            self._at = end
            unit = self._unit_with(args)
            if unit is not None:
                self._whole = len(self._raw)
                yield unit
        self._rest = bytearray(self._data[self._at :]) + self._rest
        self._split, self._data = None, b""
        self._first.may_be_complete(self._rest)
        self._check_length()

    def _check_length(self) -> None:
        """Raise Malformed if the unit that is coming has more bytes than the limit."""
        if max(self._first.least, len(self._rest)) + len(self._raw) - self._whole > self.limit:
            raise Malformed("a unit that is too long")

    def _unit_with(self, args: Args) -> list[Args] | None:
        """Return the unit that ends with this request; None if none ends here."""
        name = args[0].upper() if args else b""
        if self._queue is None:
            if name != b"MULTI":
                return [args] if args else []
            self._queue = []
        elif name == b"EXEC":
            unit, self._queue = self._queue, None
            return unit
        elif name == b"MULTI":
            raise Malformed("MULTI inside MULTI")
        else:
            self._queue.append(args)
        return None

    def taken(self) -> bytes:
        """Return the bytes of the units that `units` has yielded since the last call."""
        taken = bytes(self._raw[: self._whole])
        del self._raw[: self._whole]
        self._whole = 0
        return taken
