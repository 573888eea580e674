"""Mutates conversations: arguments are replaced, removed, exchanged or repeated; lengths are wrong; bytes change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

from stages.harness.wire import request as encoded
from tests.tools.fuzzing.corpus import Args, arguments, names, sections

CLIENTS = 3  # in a conversation


class Piece(NamedTuple):
    """Bytes that a client sends at once."""

    client: int
    data: bytes


INTERESTING = [
    *(b"", b"0", b"1", b"-1", b"2", b"-0", b"+1", b"01", b" 1", b"1 ", b"10", b"128", b"512", b"1000000000"),
    *(b"%d" % (sign * (2**power + more)) for power in (15, 16, 31, 32, 53, 63, 64) for sign in (1, -1)
      for more in (-1, 0, 1)),
    *(b"-1000000000", b"536870912", b"536870913", b"9" * 30, b"9" * 5000, b"-" + b"9" * 400, b"0" * 4400 + b"1"),
    *(b"nan", b"inf", b"-inf", b"+Infinity", b"1e400", b"-1e400", b"1e-400", b"1e308", b"1.7e308", b"0.1", b"-0.0"),
    *(b"1e", b"e5", b".", b"1.", b".5", b"0x10", b"0x", b"0x1p5", b"0x1p99999", b"1e5000", b"1e99999", b"1_000"),
    *(b"\x00", b"\xff", b"\xff\xfe\x00", b"\r\n", b"a\r\nb", b"\n", b"\xc3\xa9", "\u0661".encode(), b"\xed\xa0\x80"),
    *(b"(1", b"[a", b"(", b"[", b"-", b"+", b"*", b"[^", b"[a-", b"\\", b"*" * 50 + b"b", b"*?" * 30, b"{", b"$", b"#"),
    *(b"a", b"b", b"c", b"k", b"key", b"l", b"s", b"h", b"z", b"x" * 70_000, b"%s%n%d", b"{}", b"{0}", b"__class__"),
    *(b"EX", b"NX", b"XX", b"GT", b"CH", b"GET", b"LIMIT", b"COUNT", b"MATCH", b"STORE", b"WITHSCORES", b"KEEPTTL"),
    *(b"BY", b"REV", b"WEIGHTS", b"AGGREGATE", b"BYLEX", b"ASC", b"ALPHA", b"RANK", b"MAXLEN", b"DB", b"REPLACE"),
]  # fmt: skip
HEADERS = [b"0", b"-1", b"-2", b"1", b"2", b"5", b"1000", b"1048576", b"1048577", b"1000000000", b"2147483647",
           b"2147483648", b"536870912", b"536870913", b"9223372036854775808", b"", b"x", b"+1", b"01"]  # fmt: skip


def conversation(random: Random) -> list[Piece]:
    """Return a conversation of several clients with some mutations."""
    pieces: list[Piece] = []
    for args in some_requests(random):
        client = random.randrange(CLIENTS) if random.random() < 0.2 else 0
        while random.random() < 0.3:
            args = random.choice(MUTATIONS)(random, args)
        data = written(random, args)
        if pieces and pieces[-1].client == client and random.random() < 0.5:
            data = pieces.pop().data + data
        pieces.append(Piece(client, data))
    if random.random() < 0.1:
        place = random.randrange(len(pieces))
        pieces[place] = pieces[place]._replace(data=garbled(random, pieces[place].data))
    return pieces


def some_requests(random: Random) -> Iterator[Args]:
    """Yield requests from one to three sections of the corpus."""
    for _ in range(random.randint(1, 3)):
        section = random.choice(sections())
        start = random.randrange(len(section)) if random.random() < 0.5 else 0
        yield from section[start : start + random.randint(1, 12)]


def changed(random: Random, args: Args) -> Args:
    """Replace an argument."""
    other = random.choice(INTERESTING) if random.random() < 0.7 else random.choice(arguments())
    place = random.randrange(len(args))
    return [*args[:place], other, *args[place + 1 :]]


def lost(random: Random, args: Args) -> Args:
    """Remove an argument, but not the only one."""
    place = random.randrange(len(args))
    return args[:place] + args[place + 1 :] or args


def doubled(random: Random, args: Args) -> Args:
    """Repeat an argument."""
    place = random.randrange(len(args))
    return args[:place] + [args[place]] * random.choice([1, 2, 2, 3, 40]) + args[place:]


def exchanged(random: Random, args: Args) -> Args:
    """Exchange two arguments."""
    one, other = random.randrange(len(args)), random.randrange(len(args))
    result = list(args)
    result[one], result[other] = result[other], result[one]
    return result


def spliced(random: Random, args: Args) -> Args:
    """Join the beginning of this request and the end of another."""
    other = random.choice(random.choice(sections()))
    return args[: random.randint(1, len(args))] + other[random.randrange(len(other)) :]


def renamed(random: Random, args: Args) -> Args:
    """Replace the command's name."""
    return random.choice(names()).split(b"|") + args[1:]


def bent(random: Random, args: Args) -> Args:
    """Change some bytes of an argument."""
    place = random.randrange(len(args))
    return [*args[:place], garbled(random, args[place]), *args[place + 1 :]]


MUTATIONS: list[Callable[[Random, Args], Args]] = [changed, changed, lost, doubled, exchanged, spliced, renamed, bent]


def garbled(random: Random, data: bytes) -> bytes:
    """Replace, remove, insert and repeat bytes."""
    result = bytearray(data)
    for _ in range(random.randint(1, 4)):
        place = random.randint(0, len(result))
        match random.randrange(4):
            case 0:
                result[place : place + 1] = random.randbytes(1)
            case 1:
                del result[place : place + random.randint(1, 5)]
            case 2:
                result[place:place] = random.choice([b"\r\n", b"\r", b"\n", b"*", b"$", b"\x00", b'"', b"'", b"%"])
            case 3:
                result[place:place] = result[place : place + random.randint(1, 20)]
    return bytes(result)


def written(random: Random, args: Args) -> bytes:
    """Return the bytes of a request: an array; seldom an inline request, or an array with a wrong length."""
    chance = random.random()
    if chance < 0.03:
        return b" ".join(args) + random.choice([b"\r\n", b"\n"])
    if chance < 0.05:
        lines = encoded(*args).split(b"\r\n")
        place = random.choice([0, *range(1, len(lines) - 1, 2)])
        lines[place] = lines[place][:1] + random.choice(HEADERS)
        return b"\r\n".join(lines)
    return encoded(*args)


def cut(random: Random, data: bytes) -> list[bytes]:
    """Cut bytes into random chunks, short input sometimes into single bytes."""
    if len(data) < 300 and random.random() < 0.3:
        return [data[place : place + 1] for place in range(len(data))]
    places = sorted(random.randint(0, len(data)) for _ in range(random.randint(1, 6)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
