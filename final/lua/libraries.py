"""The Lua libraries `cjson` and `bit`, and what `libraries.lua` calls of `cmsgpack` and `struct`.

They take and return values of Lua, as lupa converts them. In Redis all are written in C. Results and error texts are
the same here.
"""

import json
import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

from . import msgpack, structs
from .json_decoding import DEEPEST, VALUE, Table, decode

Kind = Callable[[Any], str | None]
Charge = Callable[[int], None]
ESCAPED = {b'"': b'\\"', b"\\": b"\\\\", b"/": b"\\/", b"\b": b"\\b", b"\t": b"\\t", b"\n": b"\\n", b"\f": b"\\f",
           b"\r": b"\\r"}  # fmt: skip


def calls(kind: Kind, table: Table, null: Callable[[], Any], charge: Charge) -> dict[bytes, Callable[..., Any]]:
    """Return the functions that `libraries.lua` calls.

    `kind` returns the Lua type of an object, `table` makes a table, `null` returns `cjson.null`, and `charge` is called
    with the size of each value.
    """

    def kind_of(value: Any) -> str:
        known = {type(None): "nil", bool: "boolean", bytes: "string", int: "number", float: "number"}
        return known.get(type(value)) or str(kind(value))

    return {
        b"encode": lambda value, *how: Encoder(kind, charge, *how).encode(value),
        b"decode": lambda text, *how: decode(text, table, null(), charge, *how),
        b"operate": operate,
        b"msgpack": lambda *values: b"".join(msgpack.pack(value, kind, charge) for value in values),
        b"unmsgpack": lambda data, limit, start: msgpack.unpack(data, limit, start, table, charge),
        b"pack": lambda form, *values: structs.pack(form, kind_of, charge, *values),
        b"unpack": lambda form, data, start: structs.unpack(form, data, start, table),
        b"size": structs.size,
    }


@dataclass
class Encoder:
    """Encodes Lua values as JSON, with the settings of `cjson`.

    `kind` returns the Lua type of an object; `charge` is called with each value's size.
    """

    kind: Callable[[Any], str | None]
    charge: Callable[[int], None]
    precision: float = 14  # digits of a number
    deepest: float = DEEPEST  # levels of nested tables
    convert: Any = False  # an array with too many gaps: true, an object; false, an error
    ratio: float = 2  # how many times as long as its number of items an array may be; 0: any
    longest: float = 10  # but arrays of up to this length may have any gaps
    invalid: Any = False  # NaN and infinities: false, an error; true, as C writes them; b"null"

    def encode(self, value: Any, depth: int = 1) -> bytes:
        """Encode a value. Raises ValueError if it has no JSON, and what `charge` raises."""
        self.charge(VALUE + len(value) if isinstance(value, bytes) else VALUE)
        if value is None or value is True or value is False:
            return json.dumps(value).encode()
        if isinstance(value, (int, float)):
            return self.number(value)
        if isinstance(value, bytes):
            return quoted(value)
        if (found := self.kind(value)) == "userdata":  # cjson.null
            return b"null"
        if found != "table":
            raise ValueError(f"Cannot serialise {found}: type not supported")
        if depth > min(self.deepest, DEEPEST):
            raise ValueError(f"Cannot serialise, excessive nesting ({depth})")
        pairs = list(value.items())
        if length := self.array_length([key for key, _ in pairs]):
            items = dict(pairs)
            return b"[%b]" % b",".join(self.encode(items.get(place), depth + 1) for place in range(1, length + 1))
        return b"{%b}" % b",".join(b"%b:%b" % (self.name(key), self.encode(item, depth + 1)) for key, item in pairs)

    def number(self, value: float) -> bytes:
        """Encode a number. Raises ValueError."""
        if not math.isfinite(value) and self.invalid is not True:
            if self.invalid == b"null":
                return b"null"
            raise ValueError("Cannot serialise number: must not be NaN or Inf")
        return b"%.*g" % (int(self.precision), value)

    def array_length(self, keys: list[Any]) -> int:
        """The length of the array that has these keys; 0 if they are not the keys of an array. Raises ValueError.

        >>> encoder = Encoder(lambda value: None, lambda size: None)
        >>> [encoder.array_length(keys) for keys in ([1, 2, 3], [1, 3], [1, b"a"], [])]
        [3, 3, 0, 0]
        """
        if not keys or not all(type(key) is int and key > 0 for key in keys):
            return 0
        longest = max(keys)
        if longest >= 2**31:  # overflows C's int, and becomes negative there
            return 0
        if self.ratio and longest > max(self.longest, self.ratio * len(keys)):
            if self.convert:
                return 0
            raise ValueError("Cannot serialise table: excessively sparse array")
        return int(longest)

    def name(self, key: Any) -> bytes:
        """A key of a table as a name in a JSON object. Raises ValueError."""
        if isinstance(key, bytes):
            return quoted(key)
        if type(key) in (int, float):
            return b'"%b"' % self.number(key)
        kind = "boolean" if isinstance(key, bool) else self.kind(key)
        raise ValueError(f"Cannot serialise {kind}: table key must be a number or string")


def quoted(text: bytes) -> bytes:
    r"""A JSON string. Bytes that are not ASCII stay as they are, whether they are UTF-8 or not.

    >>> quoted(b'a"\n\x01\xff')
    b'"a\\"\\n\\u0001\xff"'
    """
    escaped = re.sub(rb'[\0-\x1f"\\/\x7f]', lambda found: ESCAPED.get(found[0], b"\\u%04x" % ord(found[0])), text)
    return b'"%b"' % escaped


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


def sha(script: bytes) -> bytes:
    """The name of a script: its SHA1, in hexadecimal."""
    return sha1(script).hexdigest().encode()
