"""Glob patterns as in Redis (`stringmatchlen`). It does not know keys or channels."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import groupby

LONGEST = 1024  # a pattern of more bytes is not compiled to a (cached) regular expression
FEWEST, MOST = 64, 1 << 16  # offsets in a text that are tried at once for a segment between two stars
# Each alternative takes as many bytes as possible: in a set, all members up to the one that begins a range.
_PIECE = re.compile(
    rb"(?P<plain>(?:[^\\*?\[]+|\\.)++)|(?P<stars>\*+)|(?P<any>\?+)"
    rb"|\[(?P<set>\^?(?:\\.|[^\]]-.|[^\]\\-]+(?!-)|[^\]])*+)\]?|(?P<last>\\)",
    re.DOTALL,
)
_MEMBERS = re.compile(rb"\\.|.-.|[^\\-]+(?!-)|.", re.DOTALL)
_UNESCAPED = re.compile(rb"\\?(.[^\\]*)", re.DOTALL)
_ALL = bytes(range(256))

Test = Callable[[bytes], object]
ByteSet = bytes  # the bytes that may be at one offset


def matcher(pattern: bytes) -> Test:
    r"""Return a test for a pattern: a function that returns a true value if its whole argument matches.

    `*` matches any number of bytes, `?` one, `[abc]`, `[a-z]` and `[^a]` one of a set; `\` escapes the next byte.
    A set without `]` extends to the end of the pattern. `*` also matches an empty text, as for KEYS and SCAN; `**`
    does not. In a `Glob`, neither does.

    >>> bool(matcher(b"h[a-e]llo*")(b"hallo there")), bool(matcher(b"h?llo")(b"hllo")), bool(matcher(rb"\*")(b"*"))
    (True, False, True)
    """
    return _compiled(pattern) if len(pattern) <= LONGEST else Glob(pattern)


@lru_cache(maxsize=256)
def _compiled(pattern: bytes) -> Test:
    """Return the `fullmatch` method of the regular expression for a pattern."""
    if len(pattern) > 1 and not pattern.strip(b"*"):
        return re.compile(b".+", re.DOTALL).fullmatch
    segments = [b""]
    for piece in _PIECE.finditer(pattern):
        if piece["stars"]:
            segments.append(b"")
        elif piece["any"]:
            segments[-1] += b"." * len(piece["any"])
        elif piece["set"] is not None:
            segments[-1] += _class(_members(piece["set"]))
        else:
            segments[-1] += re.escape(_plain(piece))
    # Of the offsets where a segment matches, only the first one has to be tried: it leaves the most text for the rest.
    # So the groups are atomic, and a pattern with many stars causes no exponential backtracking.
    first, *middle = segments
    if not middle:
        source = first
    else:
        *inner, last = middle
        source = first + b"".join(b"(?>.*?%b)" % segment for segment in inner) + b".*" + last
    return re.compile(source, re.DOTALL).fullmatch


def _plain(piece: re.Match[bytes]) -> bytes:
    """Return the bytes that a piece without special characters matches: without its backslashes."""
    return unescaped(piece["plain"] or piece["last"])


def unescaped(text: bytes) -> bytes:
    r"""Remove the backslashes that escape the next byte; one at the end of `text` stays.

    >>> unescaped(rb"a\*b\\c")
    b'a*b\\c'
    """
    return b"".join(_UNESCAPED.findall(text)) if b"\\" in text else text


def _class(members: bytes) -> bytes:
    """Return a regular expression, as text, for one byte of a set; without members it matches nothing."""
    if not members:
        return b"(?!)"
    runs = [[byte for _, byte in run] for _, run in groupby(enumerate(members), lambda pair: pair[1] - pair[0])]
    return b"[%b]" % b"".join(rb"\x%02x-\x%02x" % (run[0], run[-1]) for run in runs)


@lru_cache(maxsize=256)
def _members(inside: bytes) -> bytes:
    r"""Return the bytes that `[inside]` matches, in ascending order. `c-a` is the same range as `a-c`.

    >>> _members(b"c-a-"), _members(rb"\]x"), len(_members(b"^ab"))
    (b'-abc', b']x', 254)
    """
    found: set[int] = set()
    for member in set(_MEMBERS.findall(inside.removeprefix(b"^"))):
        if len(member) == 3 and member[1:2] == b"-":
            first, _, last = member
            found.update(range(min(first, last), max(first, last) + 1))
        else:
            found.update(unescaped(member))
    return bytes(byte for byte in _ALL if (byte in found) != inside.startswith(b"^"))


class Glob:
    """A pattern that is matched without a regular expression, which for a long pattern would take minutes to compile.

    The pattern is split at its stars. The segment before the first star must match at the start of the text, the one
    after the last star at its end, and each one between at the first offset where it matches. So no segment has to be
    matched again. A pattern is parsed only until it requires more bytes than the text has. As in Redis, a pattern of
    stars alone does not match an empty text.

    >>> Glob(b"h[a-e]llo*")(b"hallo there"), Glob(b"*a*b?")(b"abab"), Glob(b"*a*b?")(b"ababc"), Glob(b"*")(b"")
    (True, False, True, False)
    """

    __slots__ = ("_pieces", "_segments", "_width", "prefix")

    def __init__(self, pattern: bytes) -> None:
        piece = _PIECE.match(pattern)
        self.prefix = _plain(piece) if piece and piece["plain"] else b""  # every matching text begins with it
        self._pieces: Iterator[re.Match[bytes]] | None = _PIECE.finditer(pattern)
        self._segments = [Segment()]
        self._width = 0  # the least number of bytes that the parsed part of the pattern matches

    def __call__(self, text: bytes) -> bool:
        """Return whether the whole `text` matches."""
        if not text.startswith(self.prefix):
            return False
        if self._pieces is not None:
            self._read(len(text))
        if self._width > len(text) or (not text and len(self._segments) > 1):
            return False
        first, last = self._segments[0], self._segments[-1]
        if first is last:
            return first.width == len(text) and first.fits(text, 0)
        start, end = first.width, len(text) - last.width
        if not (first.fits(text, 0) and last.fits(text, end)):
            return False
        for segment in self._segments[1:-1]:
            place = segment.find(text, start, end)
            if place < 0:
                return False
            start = place + segment.width
        return True

    def _read(self, length: int) -> None:
        """Parse more of the pattern, to its end or until the parsed part requires more than `length` bytes of text."""
        assert self._pieces is not None
        while self._width <= length:
            piece = next(self._pieces, None)
            if piece is None:
                self._pieces = None
                return
            if piece["stars"]:
                self._segments.append(Segment())
            else:
                self._width += self._segments[-1].add(piece)


class Segment:
    """The part of a pattern before, between or after stars: it matches a fixed number of bytes, `width`."""

    __slots__ = ("pieces", "width")

    def __init__(self) -> None:
        self.width = 0
        self.pieces: list[tuple[int, bytes, bool]] = []  # offset; bytes; whether one of them must match (else all)

    def add(self, piece: re.Match[bytes]) -> int:
        """Add a piece of the pattern; return the number of bytes that it matches."""
        if piece["any"]:
            size = len(piece["any"])
        elif piece["set"] is not None:
            self.pieces.append((self.width, _members(piece["set"]), True))
            size = 1
        else:
            plain = _plain(piece)
            self.pieces.append((self.width, plain, False))
            size = len(plain)
        self.width += size
        return size

    def fits(self, text: bytes, start: int) -> bool:
        """Return whether the segment matches `text` at `start`. At least `width` bytes must follow `start`."""
        for where, wanted, one in self.pieces:
            if not (text[start + where] in wanted if one else text.startswith(wanted, start + where)):
                return False
        return True

    def find(self, text: bytes, start: int, end: int) -> int:
        """Return the first offset where the segment matches, all of it in `text[start:end]`; -1 if there is none."""
        if not self.pieces:
            return start if start + self.width <= end else -1
        if len(self.pieces) == 1 and not self.pieces[0][2]:
            where, plain, _ = self.pieces[0]
            place = text.find(plain, start + where, end - self.width + where + len(plain))
            return place - where if place >= 0 else -1
        window = FEWEST
        while start + self.width <= end:
            after = min(start + window, end - self.width + 1)
            place = first_fit(self.byte_sets(), text[start : after - 1 + self.width], after - start)
            if place >= 0:
                return start + place
            start, window = after, min(4 * window, MOST)
        return -1

    def byte_sets(self) -> list[tuple[int, ByteSet]]:
        """Return the offsets in the segment that do not match every byte, each with the bytes that it matches."""
        found: list[tuple[int, ByteSet]] = []
        for where, wanted, one in self.pieces:
            if one:
                found.append((where, wanted))
            else:
                found += enumerate((wanted[at : at + 1] for at in range(len(wanted))), start=where)
        return found


def first_fit(byte_sets: list[tuple[int, ByteSet]], text: bytes, count: int) -> int:
    """Return the first offset in `text` below `count` where all `byte_sets` match; -1 if there is none.

    All offsets are tried at once: each is a bit of an integer, and one instruction of the processor tests many bits.
    """
    possible = (1 << count) - 1
    uses = Counter(wanted for _, wanted in byte_sets)
    everywhere: dict[ByteSet, int] = {}  # the bits for sets that occur at many offsets
    for where, wanted in byte_sets:
        if uses[wanted] * count <= len(text):
            possible &= bits(text[where : where + count], wanted)
        else:
            if wanted not in everywhere:
                everywhere[wanted] = bits(text, wanted)
            possible &= everywhere[wanted] >> where
        if not possible:
            return -1
    return (possible & -possible).bit_length() - 1


def bits(text: bytes, wanted: ByteSet) -> int:
    """Return an integer in which bit n is 1 if byte n of `text` is in `wanted`.

    >>> bin(bits(b"abca", b"a"))
    '0b1001'
    """
    table = bytearray(b"0" * 256)
    for byte in wanted:
        table[byte] = ord("1")
    return int(text[::-1].translate(table), 2)
