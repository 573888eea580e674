"""The Lua library `cmsgpack`: values of Lua as MessagePack and back, in the same bytes as Redis's library in C.

The format is described at msgpack.org. The library predates parts of it: it neither reads nor writes the types `bin`
and `ext`.
"""

import math
import struct
from collections.abc import Callable
from typing import Any

DEEPEST = 16  # levels of tables; a deeper one is written as nil
VALUE = 48  # bytes of a value at least, here and in Lua
MISSING, BAD = "Missing bytes in input.", "Bad data format in input."
INTEGERS = {  # first byte: how to read the number behind it
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">q",  # the last one is signed there, too
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
COUNTED = {0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}  # first byte: bytes of the length behind it


def pack(value: Any, kind: Callable[[Any], str | None], charge: Callable[[int], None], depth: int = 0) -> bytes:
    """Encode a Lua value. `kind` returns the Lua type of an object; `charge` is called with each value's size.

    What has no form in MessagePack, such as a function, becomes nil. Raises what `charge` raises.
    """
    charge(VALUE + len(value) if isinstance(value, bytes) else VALUE)
    if value is True or value is False:
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, (int, float)):
        return pack_number(value)
    if isinstance(value, bytes):
        return header(len(value), 0xA0, 31, (0xD9, 0xDA, 0xDB)) + value
    if value is None or kind(value) != "table" or depth == DEEPEST:
        return b"\xc0"
    pairs = list(value.items())
    if is_array([key for key, _ in pairs]):
        items = dict(pairs)
        packed = (pack(items[place], kind, charge, depth + 1) for place in range(1, len(items) + 1))
        return header(len(items), 0x90, 15, (0, 0xDC, 0xDD)) + b"".join(packed)
    packed = (pack(each, kind, charge, depth + 1) for pair in pairs for each in pair)
    return header(len(pairs), 0x80, 15, (0, 0xDE, 0xDF)) + b"".join(packed)


def pack_number(number: float) -> bytes:
    """Encode a number: as the shortest integer, or as a float if that loses nothing, or as a double.

    >>> pack_number(127), pack_number(-33), pack_number(0.5), pack_number(0.1)
    (b'\\x7f', b'\\xd0\\xdf', b'\\xca?\\x00\\x00\\x00', b'\\xcb?\\xb9\\x99\\x99\\x99\\x99\\x99\\x9a')
    """
    if math.isfinite(number) and number == int(number) and -(2**63) <= number < 2**63:
        whole = int(number)
        if -32 <= whole < 128:
            return struct.pack(">B", whole & 0xFF)
        forms = (0xCC, 0xCD, 0xCE, 0xCF) if whole > 0 else (0xD0, 0xD1, 0xD2, 0xD3)
        bits = (whole if whole > 0 else ~whole).bit_length() + (whole < 0)
        power = max((bits - 1).bit_length() - 3, 0)
        return bytes([forms[power]]) + whole.to_bytes(1 << power, signed=whole < 0)
    try:
        if struct.unpack(">f", struct.pack(">f", number))[0] == number:
            return struct.pack(">Bf", 0xCA, number)
    except OverflowError:
        pass
    return struct.pack(">Bd", 0xCB, number)


def header(length: int, small: int, most: int, forms: tuple[int, int, int]) -> bytes:
    """Encode a length: in the first byte up to `most`, else behind one of `forms` in 1, 2 or 4 bytes (0: no form)."""
    if length <= most:
        return bytes([small | length])
    if length < 1 << 8 and forms[0]:
        return struct.pack(">BB", forms[0], length)
    return struct.pack(">BH", forms[1], length) if length < 1 << 16 else struct.pack(">BI", forms[2], length)


def is_array(keys: list[Any]) -> bool:
    """Return whether these keys are 1, 2, 3 … without a gap; so are no keys.

    >>> is_array([2, 1]), is_array([1, 3]), is_array([]), is_array([1, b"a"])
    (True, False, True, False)
    """
    return all(type(key) is int and key > 0 for key in keys) and max(keys, default=0) == len(keys)


class Decoder:
    """Decodes MessagePack to Lua values. `table` makes a table; `charge` is called with each value's size."""

    def __init__(self, data: bytes, place: int, table: Callable[[Any], Any], charge: Callable[[int], None]) -> None:
        self.data, self.place, self.table, self.charge = data, place, table, charge

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes. Raises ValueError if fewer are left."""
        start = self.place
        if count > len(self.data) - start:
            raise ValueError(MISSING)
        self.place += count
        return self.data[start : self.place]

    def value(self) -> Any:
        """Return the next value. Raises ValueError, and what `charge` and `table` raise."""
        self.charge(VALUE)
        first = self.take(1)[0]
        if first < 0x80:
            return first
        if first >= 0xE0:
            return first - 0x100
        if first in INTEGERS:
            form = INTEGERS[first]
            return struct.unpack(form, self.take(struct.calcsize(form)))[0]
        if first in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[first]
        if first < 0xC0:
            length = first & (0x1F if first >= 0xA0 else 0x0F)
        elif first in COUNTED:
            length = int.from_bytes(self.take(COUNTED[first]))
        else:
            raise ValueError(BAD)
        if 0xA0 <= first < 0xC0 or 0xD9 <= first <= 0xDB:
            return self.take(length)
        if 0x90 <= first < 0xA0 or first in (0xDC, 0xDD):
            return self.table({place: self.value() for place in range(1, length + 1)})
        return self.table(dict(self.pair() for _ in range(length)))

    def pair(self) -> tuple[Any, Any]:
        """Return the next key and value of a table. Raises ValueError for a key that Lua does not allow."""
        key, value = self.value(), self.value()
        if key is None or key != key:
            raise ValueError("table index is nil" if key is None else "table index is NaN")
        return key, value


def unpack(data: bytes, limit: float, start: float, table: Callable[[Any], Any], charge: Callable[[int], None]) -> Any:
    """Decode up to `limit` values from `start` on; 0 and 0: all. Return a table: the values, their number `n`, and
    `next`, where to go on, or -1 at the end.

    Raises ValueError, and what `charge` and `table` raise.
    """
    limit, start = (int(each) if math.isfinite(each) else -(2**63) for each in (limit, start))  # as C converts them
    if limit < 0 or start < 0:
        shown = (start + 2**31) % 2**32 - 2**31
        raise ValueError(f"Invalid request to unpack with offset of {shown} and limit of {len(data)}.")
    if start > len(data):
        raise ValueError(f"Start offset {start} greater than input length {len(data)}.")
    decoder = Decoder(data, start, table, charge)
    values: dict[Any, Any] = {}
    most = limit if limit or start else len(data)
    while decoder.place < len(data) and len(values) < most:
        values[len(values) + 1] = decoder.value()
    ended = decoder.place == len(data)
    return table({**values, b"n": len(values), b"next": -1 if ended else decoder.place})
