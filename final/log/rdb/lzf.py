"""LZF decompression: Redis compresses long strings in its snapshots with LZF."""


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
