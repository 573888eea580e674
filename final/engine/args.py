"""Reading the arguments of a request: numbers, timeouts, counts, cursors, options. It knows no server."""

from collections.abc import Callable, Iterator
from math import ceil, isinf

from ..protocol.errors import ReplyError, not_an_integer, syntax_error
from ..protocol.numeric import LONGEST, long_double, parse_float, parse_integer
from ..protocol.pattern import matcher

MOST = 2**63 - 1


def integer(word: bytes) -> int:
    """Read a word as a 64-bit integer. Raises `not_an_integer`."""
    number = parse_integer(word)
    if number is None:
        raise not_an_integer()
    return number


def options_of(words: tuple[bytes, ...]) -> Iterator[tuple[bytes, Iterator[bytes]]]:
    """Go through a command's options: each in lower case, and the iterator from which its values can be drawn.

    >>> [(option, next(rest) if option == b"ex" else None) for option, rest in options_of((b"NX", b"EX", b"10"))]
    [(b'nx', None), (b'ex', b'10')]
    """
    rest = iter(words)
    for word in rest:
        yield word.lower(), rest


def parse_several(
    numkeys: bytes, words: tuple[bytes, ...], ends: tuple[bytes, bytes]
) -> tuple[tuple[bytes, ...], bytes, int]:
    """Read what follows LMPOP and ZMPOP: the keys, which of the ends to take from (in capitals), and how many.

    >>> parse_several(b"2", (b"a", b"b", b"left", b"COUNT", b"10"), (b"LEFT", b"RIGHT"))
    ((b'a', b'b'), b'LEFT', 10)
    """
    number = parse_integer(numkeys)
    if number is None or number < 1:
        raise ReplyError("ERR numkeys should be greater than 0")
    keys, rest = words[:number], [word.upper() for word in words[number:]]
    if not rest or rest[0] not in ends or (rest[1:] and (len(rest) != 3 or rest[1] != b"COUNT")):
        raise syntax_error()
    count = parse_integer(rest[2]) if rest[1:] else 1
    if count is None or count < 1:
        raise ReplyError("ERR count should be greater than 0")
    return keys, rest[0], count


def parse_timeout(word: bytes) -> int:
    """Read a timeout in seconds, with decimals: milliseconds, rounded up.

    >>> parse_timeout(b"0.0001"), parse_timeout(b"2")
    (1, 2000)
    """
    seconds = parse_float(word)
    if seconds is None or len(word) >= LONGEST or (isinf(seconds) and long_double(word) is None):
        raise ReplyError("ERR timeout is not a float or out of range")
    if not -0.001 < seconds < 2**63 / 1000:  # what is too long overflows in Redis, and has become negative by then
        raise ReplyError("ERR timeout is negative")
    return ceil(seconds * 1000)


def parse_count(word: bytes) -> int:
    """Read how many are wanted."""
    count = integer(word)
    if count < -MOST:
        raise ReplyError(f"ERR value is out of range, value must between {-MOST} and {MOST}")
    return count


def check_paired(count: int, paired: bool) -> None:
    """Refuse a count whose answer, each member with its value, would be too long to be counted."""
    if paired and abs(count) > MOST // 2:
        raise ReplyError("ERR value is out of range")


def parse_cursor(word: bytes) -> int:
    """Read a cursor: a number that an earlier call gave, or 0."""
    digits = word.lstrip(b"0") or b"0"
    if not word.isdigit() or len(digits) > 20 or int(digits) >= 2**64:
        raise ReplyError("ERR invalid cursor")
    return int(digits)


def parse_scan_options(words: tuple[bytes, ...], with_type: bool) -> tuple[Callable[[bytes], object], int, bytes]:
    """Read `[MATCH pattern] [COUNT count] [TYPE type]`: a test for names, a count, and a type in lower case or b""."""
    matches: Callable[[bytes], object] = lambda name: True  # noqa: E731
    count, kind = 10, b""
    for option, rest in options_of(words):
        value = next(rest, None)
        if value is None:
            raise syntax_error()
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
