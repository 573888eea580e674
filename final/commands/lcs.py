"""LCS: what two strings have in common, in the same order in both."""

from array import array

from ..data.store import Store
from ..engine.args import Options
from ..engine.command import READONLY, Group
from ..engine.signature import command
from ..protocol.errors import ReplyError, syntax_error
from ..protocol.writer import Value

GROUP = Group("string", "@string", "$")

Range = tuple[int, int, int]  # where a common piece begins in the one and in the other, and how long it is


@command(READONLY)
def lcs(db: Store, key: bytes, key2: bytes, *options: bytes) -> Value:
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
    pieces = common(one, two)
    length = sum(size for _, _, size in pieces)
    if length_only:
        return length
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


def common(one: bytes, two: bytes) -> list[Range]:
    """The pieces of the longest common subsequence, the last one first.

    A table says how long it is for every two beginnings of the strings: as many numbers as the product of their
    lengths, and a step of the interpreter for each. Everyone waits meanwhile, so LCS is for short strings.
    """
    width = len(two) + 1
    table = [array("I", bytes(4 * width))]
    for letter in one:
        above = table[-1]
        row = array("I", [0])
        for place, against in enumerate(two):
            row.append(above[place] + 1 if letter == against else max(above[place + 1], row[place]))
        table.append(row)
    pieces: list[Range] = []
    i, j = len(one), len(two)
    while i and j:
        if one[i - 1] == two[j - 1]:
            i, j = i - 1, j - 1
            if pieces and pieces[-1][:2] == (i + 1, j + 1):
                pieces[-1] = (i, j, pieces[-1][2] + 1)
            else:
                pieces.append((i, j, 1))
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return pieces
