"""LZF, the compression that Redis uses in its snapshots for long strings: how it is undone."""


def decompress(data: bytes, size: int) -> bytes:
    r"""Undo the compression; `size` is what comes of it. Raises ValueError where something else does.

    The data is a row of pieces. A first byte under 32 says how many bytes, less one, follow as they are. Any other has
    three bits for a length and five for a distance, which takes another byte: so many bytes are repeated from so far
    back. The length is less two; seven means that a byte with the rest of it comes in between.

    >>> decompress(b"\x01ab\xa0\x01\x00!", 10)
    b'ababababa!'
    """
    made = bytearray()
    place = 0
    try:
        while place < len(data) and len(made) <= size:
            first = data[place]
            place += 1
            if first < 32:
                made += data[place : place + first + 1]
                place += first + 1
                continue
            length = first >> 5
            if length == 7:
                length += data[place]
                place += 1
            start = len(made) - ((first & 31) << 8 | data[place]) - 1
            place += 1
            if start < 0:
                raise ValueError("compressed text repeats what is not there")
            made += repeated(made[start:], length + 2)
    except IndexError:
        raise ValueError("compressed text ends too early") from None
    if len(made) != size or place != len(data):
        raise ValueError("compressed text is not as long as it should be")
    return bytes(made)


def repeated(text: bytearray, length: int) -> bytearray:
    """The first `length` bytes of the text; where it is shorter, it follows itself."""
    return (text * (length // len(text) + 1))[:length] if length > len(text) else text[:length]
