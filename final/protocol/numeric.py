"""Numbers as Redis parses and adds them: 64-bit integers, long doubles, and sizes in bytes."""

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from math import inf, isinf
from sys import float_info

from .errors import ReplyError, not_a_float, not_an_integer

# Possessive quantifiers (`++`, `*+`): a million digits that are no number must not be matched in a million ways.
_DECIMAL = re.compile(rb"([+-]?(?:\d++(?:\.\d*+)?|\.\d++))(?:e([+-]?)0*+(\d*+)(?<=\d))?", re.IGNORECASE)
_INFINITY = re.compile(rb"[+-]?inf(inity)?", re.IGNORECASE)
LONGEST_INTEGER = len("-9223372036854775808")
UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1 << 10, "m": 10**6, "mb": 1 << 20, "g": 10**9, "gb": 1 << 30}
LEAST, MOST = Fraction(1, 2**16445), 2**16384  # the range of a long double that is not 0
LONGEST = 5 * 1024  # bytes; an argument of this length or more is not parsed as a long double (MAX_LONG_DOUBLE_CHARS)


def parse_integer(text: bytes) -> int | None:
    r"""Parse a 64-bit integer as strictly as Redis (`string2ll`): no spaces, plus, leading zeros or -0; else None.

    >>> parse_integer(b"-12"), parse_integer(b"0")
    (-12, 0)
    >>> [parse_integer(text) for text in (b"+1", b"01", b"-0", b" 1", b"1\n", b"1_000")]
    [None, None, None, None, None, None]
    >>> [parse_integer(text) for text in (b"9223372036854775808", b"9" * 5000)]
    [None, None]
    """
    try:
        number = int(text) if len(text) <= LONGEST_INTEGER else None
    except ValueError:
        return None
    # `int` accepts spaces and more, but such text differs from `b"%d" % number`. Three times as fast as a regex.
    return number if number is not None and b"%d" % number == text and -(2**63) <= number < 2**63 else None


_INT = re.compile(rb"[ \t\n\v\f\r]*+([+-]?)0*(\d{1,20})")


def atoi(text: bytes) -> int:
    """Parse an int of 32 bits as C's `atoi`: what does not belong to a number ends it.

    >>> atoi(b"2"), atoi(b" +1x"), atoi(b"-"), atoi(b"4294967297")
    (2, 1, 0, 1)
    """
    parts = _INT.match(text)
    number = max(min(int(parts[1] + parts[2]), 2**63 - 1), -(2**63)) if parts else 0
    return (number + 2**31) % 2**32 - 2**31


_UNSIGNED = re.compile(rb"[ \t\n\v\f\r]*+([+-]?)0*(\d{1,20})")


def parse_unsigned(text: bytes) -> int | None:
    """Parse an unsigned 64-bit integer as Redis's `string2ull`: like C's `strtoull`, but -1 is refused; else None.

    >>> parse_unsigned(b"18446744073709551615"), parse_unsigned(b" +007"), parse_unsigned(b"0")
    (18446744073709551615, 7, 0)
    >>> parse_unsigned(b"18446744073709551616"), parse_unsigned(b"-1"), parse_unsigned(b""), parse_unsigned(b"1 ")
    (None, None, None, None)
    """
    parts = _UNSIGNED.fullmatch(text)
    if parts is None or (number := int(parts[2])) >= 2**64:
        return None
    if parts[1] != b"-":
        return number
    return None if parse_integer(text) else -number % 2**64  # `strtoull` negates the number, if `string2ll` refuses it


def add_integers(text: bytes, increment: int, refusal: Callable[[], ReplyError] = not_an_integer) -> int:
    """Return the integer in `text` plus `increment`.

    Raises `refusal()` if `text` is not a 64-bit integer, and a ReplyError if the sum is not.

    >>> add_integers(b"10", -3)
    7
    """
    number = parse_integer(text)
    if number is None:
        raise refusal()
    total = number + increment
    if not -(2**63) <= total < 2**63:
        raise ReplyError("ERR increment or decrement would overflow")
    return total


def add_floats(text: bytes, increment: bytes, refusal: Callable[[], ReplyError] = not_a_float) -> bytes:
    """Add two decimal numbers as C's long double does, and write the sum as Redis does.

    A long double has 64 binary digits, a Python float 53; so both numbers and the sum are rounded to 64 here, to get
    the same last digit. The sum is written with 17 decimals, without zeros at the end.
    Raises `not_a_float` if `increment` is not a number, `refusal()` if `text` is not, and a
    ReplyError if the sum is not finite.

    >>> add_floats(b"0.1", b"0.2"), add_floats(b"3.0", b"1e3")
    (b'0.3', b'1003')
    """
    added = long_double(increment)
    number = long_double(text)
    if added is None:
        raise not_a_float()
    if number is None:
        raise refusal()
    if not (isinstance(added, Fraction) and isinstance(number, Fraction)):
        raise ReplyError("ERR increment would produce NaN or Infinity")
    total = round_to_64_digits(number + added)
    if abs(total) >= MOST:
        raise ReplyError("ERR increment would produce NaN or Infinity")
    scaled = round(total * 10**17)
    digits = f"{Decimal(abs(scaled)):f}".zfill(18)  # through Decimal, because int does not format more than 4300 digits
    written = f"{'-' if scaled < 0 else ''}{digits[:-17]}.{digits[-17:]}"
    return written.rstrip("0").rstrip(".").encode()


_HEXADECIMAL = re.compile(rb"([+-]?)0x([0-9a-f]*+)(?:\.([0-9a-f]*+))?(?:p([+-]?)0*+(\d*+)(?<=\d))?", re.IGNORECASE)


def parse_float(arg: bytes) -> float | None:
    """Parse a floating point number in any notation of C; None if it is not a number, or NaN.

    >>> parse_float(b"1e3"), parse_float(b"-inf"), parse_float(b"0x10"), parse_float(b" 1"), parse_float(b"nan")
    (1000.0, -inf, 16.0, None, None)
    """
    if _DECIMAL.fullmatch(arg) or _INFINITY.fullmatch(arg):
        return float(arg)
    try:
        return float.fromhex(arg.decode()) if _HEXADECIMAL.fullmatch(arg) else None
    except ValueError:
        return None
    except OverflowError:
        return -inf if arg.startswith(b"-") else inf


_NOT_ZERO = re.compile(rb"[+-]?(?:[0.]*[1-9]|0x[0.]*[1-9a-f])", re.IGNORECASE)


def parse_double(arg: bytes) -> float | None:
    """Parse a floating point number as `parse_float`; None also if it overflows, or underflows to zero.

    >>> parse_double(b"1e3"), parse_double(b"-inf"), parse_double(b"1e999"), parse_double(b"1e-999")
    (1000.0, -inf, None, None)
    """
    if len(arg) < LONGEST_INTEGER and arg.isdigit():  # most numbers; this saves 0.3 µs of 0.5
        return float(arg)
    number = parse_float(arg)
    return None if number is None or out_of_range(arg, number, least=5e-324) else number


def out_of_range(arg: bytes, number: float, least: float = float_info.min) -> bool:
    """Return whether the number in `arg`, which was parsed as `number`, is too large for it, or less than `least`."""
    return (isinf(number) and b"n" not in arg.lower()) or (abs(number) < least and bool(_NOT_ZERO.match(arg)))


def strtod(arg: bytes) -> float | None:
    """Parse a number as C's `strtod` does: it skips leading spaces and ends at a zero byte; empty text is 0.

    >>> strtod(b" 1.5"), strtod(b""), strtod(b"1.5 "), strtod(b" "), strtod(b"1\\0x")
    (1.5, 0.0, None, None, 1.0)
    """
    arg = arg.partition(b"\0")[0]
    return parse_float(arg.lstrip(b" \t\n\v\f\r")) if arg else 0.0


def long_double(text: bytes) -> Fraction | str | None:
    """Parse a number as `strtold` does: a fraction of at most 64 binary digits, "inf", or None."""
    if _INFINITY.fullmatch(text):
        return "inf"
    if len(text) >= LONGEST:
        return None
    if parts := _HEXADECIMAL.fullmatch(text):
        return hexadecimal(*parts.groups(default=b""))
    parts = _DECIMAL.fullmatch(text)
    if parts is None:
        return None
    digits, sign, exponent = parts.groups(default=b"")
    if len(exponent) > 4:  # too large or too small, whatever its digits are
        return None if digits.strip(b"+-0.") else Fraction(0)
    return within_range(Fraction(Decimal((digits + b"e" + sign + (exponent or b"0")).decode())))


def hexadecimal(sign: bytes, whole: bytes, part: bytes, exponent_sign: bytes, exponent: bytes) -> Fraction | None:
    """The value of `-0x1.8p-3`, from its parts, as a long double; None if there are no digits, or it overflows."""
    digits = whole + part
    if not digits:
        return None
    number = int(digits, 16)
    if len(exponent) > 5:  # too large or too small, whatever its digits are
        return None if number else Fraction(0)
    power = int(exponent_sign + (exponent or b"0")) - 4 * len(part)
    return within_range(Fraction(-number if sign == b"-" else number) * Fraction(2) ** power)


def within_range(exact: Fraction) -> Fraction | None:
    """The nearest long double; None if `exact` overflows, or underflows to 0."""
    number = round_to_64_digits(exact)
    return number if not exact or LEAST <= abs(number) < MOST else None


def round_to_64_digits(number: Fraction) -> Fraction:
    """The nearest number with 64 significant binary digits. In integers, since fractions take five times as long."""
    above, below = number.numerator, number.denominator
    if not above or (below & (below - 1) == 0 and above.bit_length() <= 64):  # it has no more digits
        return number
    places = 63 - above.bit_length() + below.bit_length()  # binary ones, behind the point if that is not negative
    if abs(above) << max(places, 0) < below << 63 + max(-places, 0):  # the lengths overestimated the number
        places += 1
    above, below = above << max(places, 0), below << max(-places, 0)
    rounded, rest = divmod(above, below)
    rounded += 2 * rest > below or (2 * rest == below and rounded & 1)
    return Fraction(rounded << max(-places, 0), 1 << max(places, 0))


def parse_memory(text: str) -> int | None:
    """Parse a number of bytes, with or without a unit; None if it is invalid.

    >>> parse_memory("2mb"), parse_memory("2 mb")
    (2097152, None)
    """
    match = re.fullmatch(r"([0-9]{0,127})([a-z]*)", text.lower())
    if match is None or match[2] not in UNITS:
        return None
    return min(int(match[1] or 0), 2**64 - 1) * UNITS[match[2]] % 2**64  # with the overflow of C
