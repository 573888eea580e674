"""The base of a log: the data as it is, as the requests that make it."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from store import HASH, LIST, SET, STRING, Args, Store
from writer import encode

PIECE = 1000  # arguments in a request at most: a list with a million elements is no request with a million arguments


def requests(db: Store) -> Iterator[Args]:
    """Yield requests that make the data of `db` again: SET, HSET, RPUSH, SADD, ZADD, and PEXPIREAT for a deadline.

    `db.items()` has the keys and values; it changes nothing. `pieces` cuts what follows the key of a container. It
    slices, so give it a list: a deque and a set cannot be sliced. The `scores` of a sorted set have its members and
    their scores; `b"%.17g"` writes a score so that the same one is read.

    >>> db = Store()
    >>> db.put(b"k", b"v")
    >>> db.expire_at(b"k", 9000)
    >>> db.make(b"h", HASH).update({b"f": b"1", b"g": b"2"})
    >>> list(requests(db))
    [[b'SET', b'k', b'v'], [b'PEXPIREAT', b'k', b'9000'], [b'HSET', b'h', b'f', b'1', b'g', b'2']]
    """
    for key, value in db.items():
        kind = type(value)
        if kind is STRING:
            yield [b"SET", key, value]
        elif kind is HASH:
            yield from pieces(b"HSET", key, [each for pair in value.items() for each in pair])
        elif kind is LIST:
            yield from pieces(b"RPUSH", key, list(value))
        elif kind is SET:
            yield from pieces(b"SADD", key, list(value))
        else:
            scores = value.scores.items()
            yield from pieces(b"ZADD", key, [each for member, score in scores for each in (b"%.17g" % score, member)])
        deadline = db.deadline(key)
        if deadline is not None:
            yield [b"PEXPIREAT", key, b"%d" % deadline]


def pieces(name: bytes, key: bytes, args: Sequence[bytes]) -> Iterator[Args]:
    """Yield requests with the name, the key, and at most PIECE of the arguments each."""
    for start in range(0, len(args), PIECE):
        yield [name, key, *args[start : start + PIECE]]


def write_base(path: Path, db: Store) -> None:
    """Write the requests to a new file that only its owner can read, and fsync it. Raises OSError."""
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        for args in requests(db):
            file.write(encode(args))
        file.flush()
        os.fsync(file.fileno())
