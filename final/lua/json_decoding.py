r"""`cjson.decode`: JSON to Lua values, with the numbers that C reads, and the errors of Redis (`lua_cjson.c`).

It reads what lua_cjson reads: numbers such as `0x10`, `1.` and `nan`, line breaks in strings, a zero byte as the end.
Python's own parser would be no faster: the values that it makes have to be converted.
"""

import math
import re
from collections.abc import Callable
from typing import Any

DEEPEST = 1000  # levels of nested tables
VALUE = 48  # bytes of a value at least, here and in Lua
SEPARATORS = b"[{,:"  # in JSON one of these precedes every value but the first
SPACE = re.compile(rb"[ \t\r\n]*")
PLAIN = re.compile(rb'[^"\\\0]*')  # a part of a string that needs no look
HEX4 = re.compile(rb"[0-9a-fA-F]{4}")
NUMBER = re.compile(  # as `strtod` reads it
    rb"[-+]?(?:inf(?:inity)?|nan(?:\(\w*\))?|(0x)(?=\.?[0-9a-f])[0-9a-f]*\.?[0-9a-f]*(?:p[-+]?\d+)?"
    rb"|(?=\.?\d)\d*\.?\d*(?:e[-+]?\d+)?)",
    re.IGNORECASE | re.ASCII,
)
NOT_JSON = re.compile(rb"\+|-?(?:0x|0\d|inf|nan)", re.IGNORECASE)  # how a number begins that is not one in JSON
ESCAPES = {b'"': b'"', b"\\": b"\\", b"/": b"/", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
SIGNS = {b"{": "T_OBJ_BEGIN", b"}": "T_OBJ_END", b"[": "T_ARR_BEGIN", b"]": "T_ARR_END", b":": "T_COLON",
         b",": "T_COMMA", b"": "T_END", b"\0": "T_END"}  # fmt: skip
WORDS = ((b"true", "T_BOOLEAN", True), (b"false", "T_BOOLEAN", False), (b"null", "T_NULL", None))

Table = Callable[[Any], Any]


def decode(
    text: bytes, table: Table, null: Any, charge: Callable[[int], None], deepest: float = DEEPEST, invalid: Any = True
) -> Any:
    """Decode JSON to Lua values. `table` makes a table; `null` is used for null; `charge` is called with the size.

    `deepest` is the number of levels that may be nested. Numbers that are not JSON are read if `invalid` is true.

    Raises ValueError, and what `charge` and `table` raise.
    """
    charge(len(text) + VALUE * sum(map(text.count, SEPARATORS)))  # before as much is allocated
    return Parser(text, table, null, min(int(deepest), DEEPEST), bool(invalid)).parse()


class BadToken(Exception):
    """What stands at `place` is no token."""

    def __init__(self, what: str, place: int) -> None:
        super().__init__(what)
        self.place = place


class Parser:
    """Reads one text, token by token. `kind` and `value` are those of the last token, which began at `start`.

    >>> Parser(b'[0x10, {"a": 1.}]', lambda items: items, None, 9, True).parse()
    [16.0, {b'a': 1.0}]
    """

    def __init__(self, text: bytes, table: Table, null: Any, levels: int, invalid: bool) -> None:
        self.text, self.table, self.null, self.levels, self.invalid = text, table, null, levels, invalid
        self.place = self.start = self.depth = 0
        self.kind, self.value = "", None

    def parse(self) -> Any:
        """Return the value. Raises ValueError with the text of cjson."""
        if len(self.text) >= 2 and 0 in self.text[:2]:
            raise ValueError("JSON parser does not support UTF-16 or UTF-32")
        self.next()
        read = self.read()
        self.next()
        self.need("T_END", "the end")
        return read

    def read(self) -> Any:
        """Return the value that begins with the last token."""
        if self.kind == "T_OBJ_BEGIN":
            return self.table(self.nested(self.members))
        if self.kind == "T_ARR_BEGIN":
            return self.table(self.nested(self.items))
        if self.kind in ("T_STRING", "T_NUMBER", "T_BOOLEAN"):
            return self.value
        self.need("T_NULL", "value")
        return self.null

    def nested(self, read: Callable[[], Any]) -> Any:
        """Read an object or an array, one level deeper."""
        self.depth += 1
        if self.depth > self.levels:
            raise ValueError(f"Found too many nested data structures ({self.depth}) at character {self.place}")
        self.next()
        found = read()
        self.depth -= 1
        return found

    def members(self) -> dict[bytes, Any]:
        """Read an object, whose first key is the last token."""
        found: dict[bytes, Any] = {}
        if self.kind == "T_OBJ_END":
            return found
        while True:
            self.need("T_STRING", "object key string")
            key: Any = self.value
            self.next()
            self.need("T_COLON", "colon")
            self.next()
            found[key] = self.read()
            if self.ended("T_OBJ_END", "comma or object end"):
                return found

    def items(self) -> list[Any]:
        """Read an array, whose first item begins with the last token."""
        found: list[Any] = []
        if self.kind == "T_ARR_END":
            return found
        while True:
            found.append(self.read())
            if self.ended("T_ARR_END", "comma or array end"):
                return found

    def ended(self, end: str, expected: str) -> bool:
        """Take the token behind an element; return whether it is the `end`, else take the one behind the comma."""
        self.next()
        if self.kind == end:
            return True
        self.need("T_COMMA", expected)
        self.next()
        return False

    def need(self, kind: str, expected: str) -> None:
        """Raise ValueError unless the last token is of this kind."""
        if self.kind != kind:
            raise ValueError(f"Expected {expected} but found {self.kind} at character {self.start + 1}")

    def next(self) -> None:
        """Take the next token. One that is wrong has its error as its `kind`, which nobody expects."""
        self.start = self.place = SPACE.match(self.text, self.place).end()  # type: ignore[union-attr]
        try:
            self.kind, self.value = self.token()
        except BadToken as error:
            self.kind, self.start = str(error), error.place

    def token(self) -> tuple[str, Any]:
        """Return kind and value of the token at `place`, and step over it. Raises BadToken."""
        text, place = self.text, self.place
        sign = text[place : place + 1]
        if sign in SIGNS:
            self.place += 1
            return SIGNS[sign], None
        if sign == b'"':
            return "T_STRING", self.string()
        not_json = NOT_JSON.match(text, place)
        if sign in b"-0123456789" or (not_json and self.invalid):
            number = NUMBER.match(text, place)
            if number is None or (not_json and not self.invalid):
                raise BadToken("invalid number", place)
            self.place = number.end()
            return "T_NUMBER", hexadecimal(number[0].decode()) if number[1] else decimal(number[0])
        for word, kind, value in WORDS:
            if text.startswith(word, place):
                self.place += len(word)
                return kind, value
        raise BadToken("invalid token", place)

    def string(self) -> bytes:
        """Return the string that begins at `place`, and step over it. Raises BadToken."""
        text, parts = self.text, []
        self.place += 1
        while True:
            plain = PLAIN.match(text, self.place)
            assert plain
            parts.append(plain[0])
            place = self.place = plain.end()
            if text[place : place + 1] == b'"':
                self.place += 1
                return b"".join(parts)
            if text[place : place + 1] != b"\\":
                raise BadToken("unexpected end of string", place)
            escape = text[place + 1 : place + 2]
            if escape == b"u":
                parts.append(self.unicode().encode())
            elif escape in ESCAPES:
                parts.append(ESCAPES[escape])
                self.place += 2
            else:
                raise BadToken("invalid escape code", place)

    def unicode(self) -> str:
        r"""Return the character of the `\u…` at `place`, perhaps a pair of them. Raises BadToken."""
        start, unit = self.place, self.unit()
        if unit >= 0 and unit & 0xF800 != 0xD800:
            return chr(unit)
        low = self.unit() if unit < 0xDC00 and self.text.startswith(b"\\u", self.place) else 0
        if low & 0xFC00 != 0xDC00:
            raise BadToken("invalid unicode escape code", start)
        return chr(0x10000 + ((unit & 0x3FF) << 10 | low & 0x3FF))

    def unit(self) -> int:
        r"""Return the 16 bits of the `\u…` at `place`, and step over it; -1 if they are not four digits."""
        digits = HEX4.match(self.text, self.place + 2)
        self.place += 6
        return int(digits[0], 16) if digits else -1


def decimal(text: bytes) -> float:
    """A number as C's strtod reads it, for which Python knows no text such as `nan(1)`."""
    return float(text.partition(b"(")[0])


def hexadecimal(text: str) -> float:
    """A hexadecimal number; one that is too large is infinite."""
    try:
        return float.fromhex(text)
    except OverflowError:
        return math.copysign(math.inf, -1 if text[0] == "-" else 1)
