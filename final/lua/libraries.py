"""The Lua libraries `cjson` and `bit`: they take and return values of Lua, as lupa converts them.

Both are written in C in Redis. Results and error texts are the same here, except that an error in JSON always has its
position, but not always the same token.
"""

import json
import math
import re
import struct
from collections.abc import Callable
from typing import Any

DEEPEST = 1000  # levels of nested tables
VALUE = 48  # bytes of a value at least, here and in Lua
SEPARATORS = b"[{,:"  # in JSON one of these precedes every value but the first
SPARSE = 10  # a longer array of which more than half is missing is refused
ESCAPED = {b'"': b'\\"', b"\\": b"\\\\", b"/": b"\\/", b"\b": b"\\b", b"\t": b"\\t", b"\n": b"\\n", b"\f": b"\\f",
           b"\r": b"\\r"}  # fmt: skip
EXPECTED = {  # messages of Python's json -> what cjson expects
    "Expecting value": "value",
    "Expecting property name enclosed in double quotes": "object key string",
    "Expecting ':' delimiter": "colon",
    "Expecting ',' delimiter": "comma or end",
    "Extra data": "the end",
}


def encode(value: Any, kind: Callable[[Any], str | None], charge: Callable[[int], None], depth: int = 1) -> bytes:
    """Encode a Lua value as JSON. `kind` returns the Lua type of an object; `charge` is called with each value's size.

    Raises ValueError if the value has no JSON, and what `charge` raises.
    """
    charge(VALUE + len(value) if isinstance(value, bytes) else VALUE)
    if value is None or value is True or value is False:
        return json.dumps(value).encode()
    if isinstance(value, (int, float)):
        if not math.isfinite(value):
            raise ValueError("Cannot serialise number: must not be NaN or Inf")
        return b"%.14g" % value
    if isinstance(value, bytes):
        return quoted(value)
    if (found := kind(value)) == "userdata":  # cjson.null
        return b"null"
    if found != "table":
        raise ValueError(f"Cannot serialise {found}: type not supported")
    if depth > DEEPEST:
        raise ValueError(f"Cannot serialise, excessive nesting ({depth})")
    depth += 1
    pairs = list(value.items())
    if length := array_length([key for key, _ in pairs]):
        items = dict(pairs)
        return b"[%b]" % b",".join(encode(items.get(place), kind, charge, depth) for place in range(1, length + 1))
    return b"{%b}" % b",".join(b"%b:%b" % (name(key), encode(item, kind, charge, depth)) for key, item in pairs)


def array_length(keys: list[Any]) -> int:
    """The length of the array that has these keys; 0 if they are not the keys of an array. Raises ValueError.

    >>> array_length([1, 2, 3]), array_length([1, 3]), array_length([1, b"a"]), array_length([])
    (3, 3, 0, 0)
    """
    if not keys or not all(type(key) is int and key > 0 for key in keys):
        return 0
    longest = max(keys)
    if longest >= 2**31:  # overflows C's int, and becomes negative there
        return 0
    if longest > max(SPARSE, 2 * len(keys)):
        raise ValueError("Cannot serialise table: excessively sparse array")
    return int(longest)


def name(key: Any) -> bytes:
    """A key of a table as a name in a JSON object. Raises ValueError."""
    if isinstance(key, bytes):
        return quoted(key)
    if type(key) in (int, float):
        return b'"%.14g"' % key
    raise ValueError("Cannot serialise boolean: table key must be a number or string")


def quoted(text: bytes) -> bytes:
    r"""A JSON string. Bytes that are not ASCII stay as they are, whether they are UTF-8 or not.

    >>> quoted(b'a"\n\x01\xff')
    b'"a\\"\\n\\u0001\xff"'
    """
    escaped = re.sub(rb'[\0-\x1f"\\/\x7f]', lambda found: ESCAPED.get(found[0], b"\\u%04x" % ord(found[0])), text)
    return b'"%b"' % escaped


def decode(text: bytes, table: Callable[[Any], Any], null: Any, charge: Callable[[int], None]) -> Any:
    """Decode JSON to Lua values. `table` makes a table; `null` is used for null; `charge` is called with the size.

    Raises ValueError, and what `charge` and `table` raise.
    """
    charge(len(text) + VALUE * sum(map(text.count, SEPARATORS)))  # before Python's json allocates as much

    def converted(value: Any) -> Any:
        if isinstance(value, str):
            return value.encode(errors="surrogateescape")
        if isinstance(value, list):
            return table([converted(item) for item in value])
        if isinstance(value, dict):
            return table({converted(key): converted(item) for key, item in value.items()})
        return null if value is None else value

    check_depth(text)
    try:
        return converted(json.loads(text.decode(errors="surrogateescape"), parse_int=float))
    except json.JSONDecodeError as error:
        found = "invalid token" if error.doc[error.pos :].strip() else "T_END"
        expected = f"Expected {EXPECTED[error.msg]} but found" if error.msg in EXPECTED else "Found"
        raise ValueError(f"{expected} {found} at character {error.pos + 1}") from None


def check_depth(text: bytes) -> None:
    """Raise ValueError if JSON is nested too deep, before the recursive parser runs."""
    depth = 0
    for found in re.finditer(rb'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', text, re.DOTALL):
        depth += (found[0] in b"[{") - (found[0] in b"]}")
        if depth > DEEPEST:
            raise ValueError(f"Found too many nested data structures ({depth}) at character {found.end()}")


def operate(name: bytes, *numbers: float) -> int | bytes:
    """The functions of the table `bit`, on signed 32-bit integers.

    >>> operate(b"band", 7, 3), operate(b"lshift", 1, 31), operate(b"bnot", 0), operate(b"tohex", 255, -4)
    (3, -2147483648, -1, b'00FF')
    """
    first, *others = map(low_bits, numbers)
    shift = others[0] & 31 if others else 0
    match name:
        case b"bnot":
            first = ~first
        case b"lshift":
            first <<= shift
        case b"rshift":
            first >>= shift
        case b"arshift":
            first = signed(first) >> shift
        case b"rol":
            first = first << shift | first >> (32 - shift)
        case b"ror":
            first = first >> shift | first << (32 - shift)
        case b"bswap":
            first = int.from_bytes(first.to_bytes(4, "little"), "big")
        case b"tohex":
            return digits(first, signed(others[0]) if others else 8)
        case _:  # band, bor, bxor; and tobit, which has one argument
            for other in others:
                first = {b"band": first & other, b"bor": first | other, b"bxor": first ^ other}.get(name, first)
    return signed(first)


def low_bits(number: float) -> int:
    """The low 32 bits of a rounded number, as C gets them from a union of double and integer; 0 for NaN.

    >>> low_bits(2.5), low_bits(-1), low_bits(2.0**32 + 1), low_bits(float("nan"))
    (2, 4294967295, 1, 0)
    """
    return int.from_bytes(struct.pack("<d", number + (2.0**52 + 2.0**51))[:4], "little")


def digits(number: int, count: int) -> bytes:
    """The last `count` hexadecimal digits of a number; the last -`count`, in capitals, if that is negative."""
    shown = (b"%08x" if count > 0 else b"%08X") % number
    return shown[8 - min(abs(count), 8) :]


def signed(number: int) -> int:
    """The low 32 bits as a signed integer."""
    return (number + 2**31) % 2**32 - 2**31
