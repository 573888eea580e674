"""LCS: the longest common subsequence of two strings."""

from collections import deque
from collections.abc import Iterator

from ..data.store import Store
from ..engine.args import OptionCursor
from ..engine.command import READONLY, Group
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError, syntax_error
from ..protocol.writer import Value

GROUP = Group("string", "@string", "$")

Match = tuple[int, int, int]  # a common substring: its index in the first string, in the second, and its length


@command(READONLY)
@complexity("O(N*M) for strings of N and M bytes")
def lcs(engine: Engine, db: Store, key: bytes, key2: bytes, *options: bytes) -> Value:
    """LCS key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]: answer with the longest common subsequence.

    With LEN, answer with its length. With IDX, answer with the ranges in both strings that match, from the last to the
    first: those of at least MINMATCHLEN bytes, and with WITHMATCHLEN the length of each.
    """
    one, two = map(text, [db.peek(each) for each in (key, key2)])
    length_only = ranges = lengths = False
    shortest = 0
    cursor = OptionCursor(options)
    for option in cursor:
        match option:
            case b"len":
                length_only = True
            case b"idx":
                ranges = True
            case b"withmatchlen":
                lengths = True
            case b"minmatchlen":
                shortest = cursor.integer()
            case _:
                raise syntax_error()
    if length_only and ranges:
        raise ReplyError("ERR If you want both the length and indexes, please just use IDX.")
    if 4 * (len(one) + 1) * (len(two) + 1) > engine.options.proto_max_bulk_len:  # Redis's table of uint32_t
        raise ReplyError("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
    if length_only:
        return common_length(one, two)
    matches = common(one, two)
    if not ranges:
        return b"".join(one[start : start + size] for start, _, size in reversed(matches))
    shown = [as_ranges(match, lengths) for match in matches if match[2] >= shortest]
    return {b"matches": shown, b"len": sum(size for _, _, size in matches)}


def text(value: object) -> bytes:
    """Return a key's value, an empty string for None. Raises ReplyError if it is of another type than a string."""
    if value is not None and not isinstance(value, bytes):
        raise ReplyError("ERR The specified keys must contain string values")
    return value or b""


def as_ranges(match: Match, with_length: bool) -> Value:
    """Return a match as IDX shows it: its first and last index in each string, and its length if it is asked for."""
    one, two, size = match
    return [[one, one + size - 1], [two, two + size - 1], *([size] if with_length else [])]


def rows(one: bytes, two: bytes) -> Iterator[int]:
    """Yield the row of the table of lengths for each prefix of `one`, from the empty one on, as the bits of an integer.

    Bit n is 0 if the longest common subsequence with two[:n + 1] is longer than that with two[:n], and 1 if both have
    the same length. A row is computed from the previous one with a few operations on integers (Hyyrö: Bit-parallel
    LCS-length computation revisited, 2004).
    """
    all_ones = (1 << len(two)) - 1
    translate = two[::-1].translate
    positions = {byte: int(b"0" + translate(b"0" * byte + b"1" + b"0" * (255 - byte)), 2) for byte in set(one)}
    row = all_ones
    yield row
    for byte in one:
        matching = row & positions[byte]
        row = ((row + matching) | (row - matching)) & all_ones
        yield row


def common_length(one: bytes, two: bytes) -> int:
    """Return the length of the longest common subsequence."""
    (last,) = deque(rows(one, two), maxlen=1)
    return len(two) - last.bit_count()


def common(one: bytes, two: bytes) -> list[Match]:
    """Return the matches of the longest common subsequence that Redis finds, from the last to the first.

    It walks back through the table as `lcsCommand` in `t_string.c`: if both bytes are equal, diagonally; else one byte
    back in `two`, unless that makes the subsequence shorter.
    """
    size = len(two) // 8 + 1
    table = [row.to_bytes(size, "little") for row in rows(one, two)]
    matches: list[Match] = []
    i, j = len(one), len(two)
    while i and j:
        if one[i - 1] == two[j - 1]:
            i, j = i - 1, j - 1
            if matches and matches[-1][:2] == (i + 1, j + 1):
                matches[-1] = (i, j, matches[-1][2] + 1)
            else:
                matches.append((i, j, 1))
        elif table[i][(j - 1) >> 3] >> ((j - 1) & 7) & 1:
            j -= 1
        else:
            i -= 1
    return matches
