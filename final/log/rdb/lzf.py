"""LZF: Redis compresses long strings in its snapshots with it. It is fast in C, and simple in any language."""

import zlib

LONGEST, FARTHEST = 264, 8192  # bytes of a match; bytes between it and what it repeats
LONG = 512  # bytes


def compress(data: bytes) -> bytes | None:
    r"""Compress, so that `decompress` gives `data` again; None if that would save less than 5 bytes.

    A dictionary says where three bytes were seen last. Python does a million bytes a second, so `repeats`, which does
    its work in C, first says whether there is anything to gain.

    >>> compress(b"ab" * 50), compress(bytes(range(100)))
    (b'\x01ab\xe0Y\x01', None)
    """
    size = len(data)
    if not repeats(data):
        return None
    output = bytearray()
    seen: dict[bytes, int] = {}
    literal = place = 0  # data[literal:place] is not written yet
    while place < size - 2:
        three = data[place : place + 3]
        before = seen.get(three, -FARTHEST - 1)
        seen[three] = place
        distance = place - before
        if distance > FARTHEST:
            place += 1
            continue
        most = min(LONGEST, size - place)
        length = most if data[before : before + most] == data[place : place + most] else 3
        while length < most and data[before + length] == data[place + length]:
            length += 1
        write_literal(output, data[literal:place])
        high, low = divmod(distance - 1, 256)
        output += bytes([length - 2 << 5 | high, low] if length < 9 else [7 << 5 | high, length - 9, low])
        place += length
        literal = place
    write_literal(output, data[literal:])
    return bytes(output) if len(output) <= size - 5 else None


def repeats(data: bytes) -> bool:
    """Return whether enough parts of the data repeat: three bytes that were there before, or what zlib finds."""
    if len(data) <= LONG:
        return len(set(zip(data, data[1:], data[2:], strict=False))) < len(data) - 6
    deflate = zlib.compressobj(1, zlib.DEFLATED, -15, 8, zlib.Z_FIXED)  # so that it gains by nothing else
    return len(deflate.compress(data)) + len(deflate.flush()) < len(data) - len(data) // 16


def write_literal(output: bytearray, data: bytes) -> None:
    """Append pieces of at most 32 bytes that stand for themselves."""
    for start in range(0, len(data), 32):
        piece = data[start : start + 32]
        output.append(len(piece) - 1)
        output += piece


def decompress(data: bytes, size: int) -> bytes:
    r"""Decompress `data` to `size` bytes. Raises ValueError if the result has another size, or `data` is damaged.

    The data is a sequence of pieces. A first byte below 32 is a literal: that number of bytes plus one follow. Any
    other first byte is a reference: its upper 3 bits are a length minus 2 (for 7, the next byte is added), its lower
    5 bits and the next byte are a distance minus 1. `length` bytes are copied from `distance` bytes before the end.

    >>> decompress(b"\x01ab\xa0\x01\x00!", 10)
    b'ababababa!'
    """
    output = bytearray()
    place = 0
    try:
        while place < len(data) and len(output) <= size:
            first = data[place]
            place += 1
            if first < 32:
                output += data[place : place + first + 1]
                place += first + 1
                continue
            length = first >> 5
            if length == 7:
                length += data[place]
                place += 1
            start = len(output) - ((first & 31) << 8 | data[place]) - 1
            place += 1
            if start < 0:
                raise ValueError("compressed text refers to bytes before its start")
            output += repeated(output[start:], length + 2)
    except IndexError:
        raise ValueError("compressed text ends too early") from None
    if len(output) != size or place != len(data):
        raise ValueError("compressed text has another length than expected")
    return bytes(output)


def repeated(text: bytearray, length: int) -> bytearray:
    """The first `length` bytes of `text`, repeated if it is shorter."""
    return (text * (length // len(text) + 1))[:length] if length > len(text) else text[:length]
