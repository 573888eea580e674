"""Malformed input: headers of all kinds, impossible lengths, unbalanced quotes, lines without an end."""

from __future__ import annotations

import socket
from random import Random

from stages.harness.wire import request as encoded

SILENCE = 0.5  # seconds without a reply after which `answer` stops reading
NUMBERS = [b"", b"0", b"-0", b"1", b"2", b"3", b"-1", b"-2", b"01", b"+1", b" 1", b"1 ", b"1x", b"x", b"\x00", b"1\x00",
           b"1024", b"2147483647", b"2147483648", b"4294967297", b"9223372036854775807", b"9223372036854775808",
           b"-9223372036854775808", b"536870913", b"99999999999999999999", b"1e3", b"0x1", b"-", b"--1"]  # fmt: skip
PARTS = [b"PING", b"ECHO", b" ", b"  ", b"\t", b'"', b"'", b'"a"', b"'a'", b'"a"b', b"'a'b", b'a"b"', b"a'b'", b"\\",
         b'\\"', b"\\x41", b"\\x4", b"\\xzz", b"\\n", b"\\'", b"\x00", b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\xa0",
         b"\xff", b"*1", b"$4", b"\r", b"a", b"hi"]  # fmt: skip
ENDS = [b"\r\n", b"\r\n", b"\n", b"\r", b"", b"\n\r", b"\r\r\n"]
LONG = [b"x" * 65_535, b"x" * 65_536, b"x" * 65_537, b"1" * 65_536, b"x" * 70_000]


def stream(random: Random) -> bytes:
    """Return one to three requests, most of them malformed."""
    pieces = [random.choice([array, array, inline, whole])(random) for _ in range(random.randint(1, 3))]
    return b"".join(pieces) + (far(random) if random.random() < 0.05 else b"")


def array(random: Random) -> bytes:
    """Return the beginning of an array with random headers."""
    data = b"*" + random.choice(NUMBERS) + random.choice(ENDS)
    for _ in range(random.randint(0, 3)):
        if random.random() < 0.5:
            arg = random.choice(PARTS)
            data += b"$%d\r\n%b\r\n" % (len(arg), arg)
        else:
            data += random.choice([b"$", b"$", b"$", b":", b"*", b"+", b"", b"\x00", b"\xff", b"\r\n"])
            data += random.choice(NUMBERS) + random.choice(ENDS) + random.choice(PARTS) + random.choice(ENDS)
    return data


def inline(random: Random) -> bytes:
    """Return an inline request with odd spaces and quotes."""
    return b"".join(random.choice(PARTS) for _ in range(random.randint(0, 6))) + random.choice(ENDS)


def whole(random: Random) -> bytes:
    """Return a valid request, to see what is answered before and after malformed ones."""
    return random.choice([encoded("PING"), encoded("ECHO", random.choice(PARTS)), b"PING\r\n", b"*0\r\n", b"\r\n"])


def far(random: Random) -> bytes:
    """Return a line without an end, about as long as the limit; it has to be the last piece."""
    return random.choice([b"", b"*", b"*1\r\n$", b"ECHO "]) + random.choice(LONG)


def answer(port: int, data: bytes) -> tuple[bytes, bool]:
    """Send these bytes; return all replies, and whether the server closed the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), SILENCE) as connection:
        try:
            connection.sendall(data)
            while chunk := connection.recv(1 << 16):
                received += chunk
        except TimeoutError:
            return received, False
        except OSError:  # it closed the connection with bytes unread
            pass
    return received, True
