"""The Lua library `struct`: numbers and strings in the layout of structures of C, on a machine of 64 bits.

A format is a sequence of options: `>` `<` the byte order, `!4` the alignment; `b` `h` `i4` `l` `T` integers (capitals:
unsigned), `f` `d` floats, `s` a string that ends in a zero byte, `c5` five bytes, `c0` a string whose length is the
number before it, `x` a byte of padding. Spaces are skipped. Results and error texts are those of the library in C.
"""

import math
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

SIZES = {b"b": 1, b"B": 1, b"h": 2, b"H": 2, b"l": 8, b"L": 8, b"T": 8, b"f": 4, b"d": 8, b"x": 1}
INTEGERS, FLOATS = b"bBhHlLTiI", {b"f": "f", b"d": "d"}
WIDEST = 32  # bytes of an integer
OPTION = re.compile(rb"([iIc!])([0-9]*)|(.)", re.DOTALL)
SHORT = "data string too short"


def wrong(place: int, function: str, problem: str) -> ValueError:
    """For a wrong argument, as Lua says it."""
    return ValueError(f"bad argument #{place} to '{function}' ({problem})")


class Layout:
    """A format, and the byte order and alignment that it has set so far."""

    def __init__(self, format: bytes, function: str) -> None:
        self.format = format
        self.function = function
        self.little = True
        self.alignment = 1

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        """Yield the options that stand for data: letter, and bytes (0: the data says it). Raises ValueError."""
        for letter, digits, other in OPTION.findall(self.format):
            letter = letter or other
            count = int(digits[:11]) if digits else None
            if count is not None and count >= 2**31:
                raise ValueError("integral size overflow")
            if letter == b"!":
                self.align(8 if count is None else count)
            elif letter in b"<>":
                self.little = letter == b"<"
            elif letter in b"iIcs" or letter in SIZES:
                yield letter, size_of(letter, count)
            elif letter != b" " and not (self.function == "size" and letter.isalnum()):
                raise wrong(1, self.function, f"invalid format option '{letter.decode('latin-1')}'")

    def align(self, alignment: int) -> None:
        """Set the alignment. Raises ValueError."""
        if alignment & (alignment - 1) or not alignment:
            raise ValueError(f"alignment {alignment} is not a power of 2")
        self.alignment = alignment

    def padding(self, letter: bytes, size: int, offset: int) -> int:
        """Return how many bytes of padding an option needs at this offset."""
        size = min(size, self.alignment)
        return 0 if letter == b"c" or not size else (size - (offset & (size - 1))) & (size - 1)

    @property
    def order(self) -> Any:
        """The byte order, as Python calls it."""
        return "little" if self.little else "big"


def size_of(letter: bytes, count: int | None) -> int:
    """Return the bytes of an option; 0 for `s` and `c0`. Raises ValueError."""
    if letter in b"iI":
        size = 4 if count is None else count
        if size > WIDEST:
            raise ValueError(f"integral size {size} is larger than limit of {WIDEST}")
        return size
    return (1 if count is None else count) if letter == b"c" else SIZES.get(letter, 0)


def size(format: bytes) -> int:
    """Return the bytes of a structure. Raises ValueError.

    >>> size(b"!bi"), size(b"bi")
    (8, 5)
    """
    layout, offset = Layout(format, "size"), 0
    for letter, width in layout:
        if not width and letter in b"cs":
            raise wrong(1, "size", f"option '{'c0' if letter == b'c' else 's'}' has no fixed size")
        offset += layout.padding(letter, width, offset) + width
    return offset


def pack(format: bytes, kind: Callable[[Any], str], charge: Callable[[int], None], *values: Any) -> bytes:
    """Encode values of Lua as a structure. `kind` returns the Lua type of a value, `charge` is called with sizes.

    Raises ValueError, and what `charge` raises.

    >>> pack(b">I2s", lambda value: "", lambda size: None, 258, b"abc")
    b'\\x01\\x02abc\\x00'
    """
    layout, output, used = Layout(format, "pack"), bytearray(), 0
    for letter, width in layout:
        charge(width + layout.alignment)
        output += bytes(layout.padding(letter, width, len(output)))
        if letter == b"x":
            output.append(0)
            continue
        value = values[used] if used < len(values) else None
        used += 1
        if letter in b"cs":
            text = text_of(value)
            if text is None:
                raise wrong(used + 1, "pack", f"string expected, got {kind(value)}")
            if len(text) < width:
                raise wrong(used + 2, "pack", "string too short")
            charge(len(text))
            output += text[:width] if width else text
            output += b"\0" * (letter == b"s")
            continue
        number = number_of(value)
        if number is None:
            raise wrong(used + 1, "pack", f"number expected, got {kind(value)}")
        output += pack_float(letter, number, layout) if letter in FLOATS else pack_integer(number, width, layout)
    return bytes(output)


def text_of(value: Any) -> bytes | None:
    """Return a string, or a number as Lua writes it; None for any other value."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return b"%.14g" % value
    return value if isinstance(value, bytes) else None


def number_of(value: Any) -> float | None:
    """Return a number, or a string that is one; None for any other value."""
    if isinstance(value, bytes):
        try:
            return float(value)
        except ValueError:
            return None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def pack_integer(number: float, width: int, layout: Layout) -> bytes:
    """Encode an integer in `width` bytes, of which at most eight are used: C converts it to 64 bits first."""
    whole = int(number) if math.isfinite(number) else 2**64
    bits = max(whole, -(2**63)) & (2**64 - 1) if number < 0 else whole * (whole < 2**64)
    data = bits.to_bytes(8, "little")[:width].ljust(width, b"\0")
    return data if layout.little else data[::-1]


def pack_float(letter: bytes, number: float, layout: Layout) -> bytes:
    """Encode a float in four or eight bytes; one that is too large is infinite."""
    form = ("<" if layout.little else ">") + FLOATS[letter]
    try:
        return struct.pack(form, number)
    except OverflowError:
        return struct.pack(form, math.copysign(math.inf, number))


def unpack(format: bytes, data: bytes, start: float, table: Callable[[Any], Any]) -> Any:
    """Decode a structure at an offset, 1 being the first. Return a table: the values, then the next offset, and `n`.

    Raises ValueError, and what `table` raises.
    """
    first = int(start) if math.isfinite(start) else -1
    if first == 0:
        raise wrong(3, "unpack", "offset must be 1 or greater")
    layout, offset = Layout(format, "unpack"), (first - 1) % 2**64  # one below 0 is beyond the end, as in C
    values: list[Any] = []
    for letter, width in layout:
        offset += layout.padding(letter, width, offset)
        if offset + width > len(data):
            raise wrong(2, "unpack", SHORT)
        if letter == b"c" and not width:
            width = previous_size(values)
            if offset + width > len(data):
                raise wrong(2, "unpack", SHORT)
        elif letter == b"s":
            end = data.find(b"\0", offset)
            if end < 0:
                raise ValueError("unfinished string in data")
            width = end - offset
        part = data[offset : offset + width]
        if letter in b"cs":
            values.append(part)
        elif letter in FLOATS:
            values.append(struct.unpack(("<" if layout.little else ">") + FLOATS[letter], part)[0])
        elif letter != b"x":
            values.append(unpack_integer(part, letter, layout))
        offset += width + (letter == b"s")
    values.append((offset + 1 + 2**63) % 2**64 - 2**63)
    return table({**dict(enumerate(values, start=1)), b"n": len(values)})


def previous_size(values: list[Any]) -> int:
    """Take the last value, which is the length of the string behind it. Raises ValueError."""
    if not values or not isinstance(values[-1], (int, float)):
        raise ValueError("format 'c0' needs a previous size")
    size = values.pop()
    return int(size) if 0 <= size < 2**53 else 2**53


def unpack_integer(part: bytes, letter: bytes, layout: Layout) -> float:
    """Decode an integer. As in C, only eight bytes count; Lua's numbers are doubles."""
    bits = int.from_bytes(part, layout.order) & (2**64 - 1)
    sign = -1 << (8 * len(part) - 1) % 64 & (2**64 - 1)
    if letter.islower() and bits & sign:
        return float((bits | sign) - 2**64)
    return float(bits)
