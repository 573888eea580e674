"""Parsing the arguments of a request: numbers, timeouts, counts, cursors, options. It knows no server."""

import re
from collections.abc import Callable, Iterator, Sequence
from math import ceil, isinf

from ..protocol.errors import ReplyError, not_an_integer, syntax_error
from ..protocol.numeric import LONGEST, long_double, parse_float, parse_integer
from ..protocol.pattern import matcher

LONG_MAX = 2**63 - 1
CURSOR = re.compile(rb"([+-]?)0*(\d{1,20})")


def integer(arg: bytes) -> int:
    """Parse an argument as a 64-bit integer. Raises `not_an_integer`."""
    number = parse_integer(arg)
    if number is None:
        raise not_an_integer()
    return number


class OptionCursor(Iterator[bytes]):
    """A cursor over the options of a request. Iterating yields the next option in lower case; methods take its values.

    >>> options = OptionCursor((b"LIMIT", b"0", b"10", b"By", b"weight_*"))
    >>> next(options), options.limit(), next(options), options.value()
    (b'limit', (0, 10), b'by', b'weight_*')
    """

    def __init__(self, args: Sequence[bytes]) -> None:
        self.args = args
        self.position = 0

    def __next__(self) -> bytes:
        position = self.position
        if position == len(self.args):
            raise StopIteration
        self.position = position + 1
        return self.args[position].lower()

    def __len__(self) -> int:
        """The number of arguments left."""
        return len(self.args) - self.position

    def value(self) -> bytes:
        """Take the next argument, unchanged. Raises `syntax_error` if none is left."""
        position = self.position
        if position == len(self.args):
            raise syntax_error()
        self.position = position + 1
        return self.args[position]

    def values(self, count: int) -> Sequence[bytes]:
        """Take the next `count` arguments, unchanged. Raises `syntax_error` if fewer are left."""
        if count > len(self):
            raise syntax_error()
        self.position += count
        return self.args[self.position - count : self.position]

    def integer(self) -> int:
        """Take the next argument as an integer. Raises `syntax_error` and `not_an_integer`."""
        return integer(self.value())

    def limit(self) -> tuple[int, int]:
        """Take the two values of LIMIT: offset and count. Raises `syntax_error` and `not_an_integer`."""
        offset, count = self.values(2)
        return integer(offset), integer(count)


def parse_limit(args: Sequence[bytes]) -> int:
    """Parse `[LIMIT limit]` of SINTERCARD and ZINTERCARD; return 0, for no limit, if it is missing."""
    limit: int | None = 0
    options = OptionCursor(args)
    for option in options:
        value = options.value()
        if option != b"limit":
            raise syntax_error()
        limit = parse_integer(value)
        if limit is None or limit < 0:
            raise ReplyError("ERR LIMIT can't be negative")
    return limit or 0


def index_range(length: int, start: int, stop: int) -> tuple[int, int]:
    """Convert two indexes of Redis, both included and -1 for the last, to those of a slice: first, and last plus one.

    >>> index_range(5, 1, -2), index_range(5, -100, 100), index_range(5, 3, 1)
    ((1, 4), (0, 5), (5, 5))
    """
    first = max(start + length if start < 0 else start, 0)
    after = min((stop + length if stop < 0 else stop) + 1, length)
    return (first, after) if first < after else (length, length)


def parse_mpop(
    numkeys: bytes, args: tuple[bytes, ...], ends: tuple[bytes, bytes]
) -> tuple[tuple[bytes, ...], bytes, int]:
    """Parse the arguments of LMPOP and ZMPOP; return the keys, one of `ends` (in capitals), and the count.

    >>> parse_mpop(b"2", (b"a", b"b", b"left", b"COUNT", b"10"), (b"LEFT", b"RIGHT"))
    ((b'a', b'b'), b'LEFT', 10)
    """
    number = parse_integer(numkeys)
    if number is None or number < 1:
        raise ReplyError("ERR numkeys should be greater than 0")
    keys, end, options = args[:number], args[number : number + 1], OptionCursor(args[number + 1 :])
    if not end or end[0].upper() not in ends:
        raise syntax_error()
    counts: list[int] = []
    for option in options:
        if option != b"count" or counts or not options:
            raise syntax_error()
        count = parse_integer(options.value())
        if count is None or count < 1:
            raise ReplyError("ERR count should be greater than 0")
        counts.append(count)
    return keys, end[0].upper(), counts[0] if counts else 1


def parse_timeout(arg: bytes) -> int:
    """Parse a timeout in seconds, with decimals; return milliseconds, rounded up.

    >>> parse_timeout(b"0.0001"), parse_timeout(b"2")
    (1, 2000)
    """
    seconds = parse_float(arg)
    exact = long_double(arg) if seconds == 0 or (seconds is not None and isinf(seconds)) else seconds
    if seconds is None or exact is None or len(arg) >= LONGEST:
        raise ReplyError("ERR timeout is not a float or out of range")
    if not -0.001 < seconds < 2**63 / 1000:  # in Redis, one that is too long overflows to a negative number
        raise ReplyError("ERR timeout is negative")
    return ceil(seconds * 1000) or int(exact != 0 and not arg.startswith(b"-"))


def parse_random(args: Sequence[bytes], with_values: bytes = b"") -> tuple[int | None, bool]:
    """Parse `[count [WITHVALUES]]` of HRANDFIELD, SRANDMEMBER and ZRANDMEMBER.

    Return the count, or None if it is missing; and whether the flag is there. `with_values` is the name of the flag in
    lower case, or b"" if the command has none.
    """
    if len(args) > 1 and not with_values:
        raise syntax_error()
    if not args:
        return None, False
    count, paired = integer(args[0]), len(args) > 1
    if count < -LONG_MAX:
        raise ReplyError(f"ERR value is out of range, value must between {-LONG_MAX} and {LONG_MAX}")
    if paired and [arg.lower() for arg in args[1:]] != [with_values]:
        raise syntax_error()
    if paired and abs(count) > LONG_MAX // 2:  # members and values: twice the count would overflow
        raise ReplyError("ERR value is out of range")
    return count, paired


def parse_cursor(arg: bytes) -> int:
    """Parse the cursor of SCAN: 0, or a number that an earlier call returned; it is read by C's `strtoul` in Redis.

    >>> parse_cursor(b"17"), parse_cursor(b""), parse_cursor(b"-1") == 2**64 - 1
    (17, 0, True)
    """
    parts = CURSOR.fullmatch(arg.partition(b"\0")[0] or b"0")
    number = int(parts[2]) if parts else 2**64
    if parts is None or number >= 2**64:
        raise ReplyError("ERR invalid cursor")
    return -number % 2**64 if parts[1] == b"-" else number


def parse_scan_options(args: Sequence[bytes], with_type: bool) -> tuple[Callable[[bytes], object], int, bytes]:
    """Parse `[MATCH pattern] [COUNT count] [TYPE type]`; return a test for names, the count, and the type or b"".

    The type is in lower case. TYPE is allowed if `with_type` is true.
    """
    matches: Callable[[bytes], object] = lambda name: True  # noqa: E731
    count, kind = 10, b""
    options = OptionCursor(args)
    for option in options:
        value = options.value()
        if option == b"match":
            matches = matcher(value)
        elif option == b"count":
            count = integer(value)
            if count < 1:
                raise syntax_error()
        elif option == b"type" and with_type:
            kind = value.lower()
        else:
            raise syntax_error()
    return matches, count, kind
