"""LCS: what two strings have in common, in the same order in both."""

from collections import deque
from collections.abc import Iterator

from ..data.store import Store
from ..engine.args import Options
from ..engine.command import READONLY, Group
from ..engine.context import Engine
from ..engine.signature import command
from ..protocol.errors import ReplyError, syntax_error
from ..protocol.writer import Value

GROUP = Group("string", "@string", "$")

Range = tuple[int, int, int]  # where a common piece begins in the one and in the other, and how long it is


@command(READONLY)
def lcs(engine: Engine, db: Store, key: bytes, key2: bytes, *options: bytes) -> Value:
    """LCS key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]: answer with the longest common subsequence.

    LEN: its length only. IDX: where its pieces stand in both strings, from the last to the first; of those that are
    long enough, with WITHMATCHLEN with their lengths.
    """
    one, two = (text(db, each) for each in (key, key2))
    length_only = places = lengths = False
    shortest = 0
    cursor = Options(options)
    for option in cursor:
        match option:
            case b"len":
                length_only = True
            case b"idx":
                places = True
            case b"withmatchlen":
                lengths = True
            case b"minmatchlen":
                shortest = cursor.integer()
            case _:
                raise syntax_error()
    if length_only and places:
        raise ReplyError("ERR If you want both the length and indexes, please just use IDX.")
    if 4 * (len(one) + 1) * (len(two) + 1) > engine.options.proto_max_bulk_len:  # of Redis's table
        raise ReplyError("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
    if length_only:
        return common_length(one, two)
    pieces = common(one, two)
    length = sum(size for _, _, size in pieces)
    if not places:
        return b"".join(one[start : start + size] for start, _, size in reversed(pieces))
    matches = [shown(piece, lengths) for piece in pieces if piece[2] >= shortest]
    return {b"matches": matches, b"len": length}


def text(db: Store, key: bytes) -> bytes:
    """The string at a key; an empty one where there is none."""
    value = db.peek(key)
    if value is not None and not isinstance(value, bytes):
        raise ReplyError("ERR The specified keys must contain string values")
    return value or b""


def shown(piece: Range, with_length: bool) -> Value:
    """A piece as IDX shows it: its first and last place in the one and in the other."""
    one, two, size = piece
    return [[one, one + size - 1], [two, two + size - 1], *([size] if with_length else [])]


def rows(one: bytes, two: bytes) -> Iterator[int]:
    """For each beginning of `one`, the empty one first: where in `two` the longest common subsequence becomes longer.

    Bit n of a row is 0 where it is longer by one with the byte of `two` at n than without. All bits of a row follow
    from the one before in a few operations on integers (Hyyrö: Bit-parallel LCS-length computation revisited, 2004).
    """
    everywhere = (1 << len(two)) - 1
    table = two[::-1].translate
    places = {letter: int(b"0" + table(b"0" * letter + b"1" + b"0" * (255 - letter)), 2) for letter in set(one)}
    row = everywhere
    yield row
    for letter in one:
        matching = row & places[letter]
        row = ((row + matching) | (row - matching)) & everywhere
        yield row


def common_length(one: bytes, two: bytes) -> int:
    """The length of the longest common subsequence."""
    (last,) = deque(rows(one, two), maxlen=1)
    return len(two) - last.bit_count()


def common(one: bytes, two: bytes) -> list[Range]:
    """The pieces of the longest common subsequence that Redis finds, the last one first.

    The way back is the one of `lcsCommand` in `t_string.c`: where both last bytes are the same, to the ones before;
    else to the one before in `two`, unless that costs a byte.
    """
    size = len(two) // 8 + 1
    table = [row.to_bytes(size, "little") for row in rows(one, two)]
    pieces: list[Range] = []
    i, j = len(one), len(two)
    while i and j:
        if one[i - 1] == two[j - 1]:
            i, j = i - 1, j - 1
            if pieces and pieces[-1][:2] == (i + 1, j + 1):
                pieces[-1] = (i, j, pieces[-1][2] + 1)
            else:
                pieces.append((i, j, 1))
        elif table[i][(j - 1) >> 3] >> ((j - 1) & 7) & 1:
            j -= 1
        else:
            i -= 1
    return pieces
