"""Glob patterns as in Redis (`stringmatchlen`). It does not know keys or channels."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import groupby

LONGEST = 1024  # bytes of a pattern; a longer one is not compiled to a (cached) regular expression
FEWEST, MOST = 64, 1 << 16  # places in a text that are tried at once for a segment between two stars
# Many bytes are matched at once where possible: plain members of a set are one run, unless the last begins a range.
_PIECE = re.compile(
    rb"(?P<plain>(?:[^\\*?\[]+|\\.)++)|(?P<stars>\*+)|(?P<any>\?+)"
    rb"|\[(?P<set>\^?(?:\\.|[^\]]-.|[^\]\\-]+(?!-)|[^\]])*+)\]?|(?P<last>\\)",
    re.DOTALL,
)
_MEMBERS = re.compile(rb"\\.|.-.|[^\\-]+(?!-)|.", re.DOTALL)
_UNESCAPED = re.compile(rb"\\?(.[^\\]*)", re.DOTALL)
_ALL = bytes(range(256))

Test = Callable[[bytes], object]
ByteSet = bytes  # a set of bytes, one of which must be at a place


def matcher(pattern: bytes) -> Test:
    r"""Turn a pattern into a test: a function that returns a true value if all of its argument matches.

    `*` is any number of bytes, `?` one, `[abc]`, `[a-z]` and `[^a]` one of a set; `\` escapes the next byte.
    As for KEYS and SCAN, a single star matches everything: `Glob` differs for an empty text.

    >>> bool(matcher(b"h[a-e]llo*")(b"hallo there")), bool(matcher(b"h?llo")(b"hllo")), bool(matcher(rb"\*")(b"*"))
    (True, False, True)
    """
    return _compiled(pattern) if len(pattern) <= LONGEST else Glob(pattern)


@lru_cache(maxsize=256)
def _compiled(pattern: bytes) -> Test:
    """Turn a pattern into a regular expression."""
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
    # The first place where a segment fits is as good as any later one, so all groups but the last may be atomic:
    # a pattern with many stars causes no exponential backtracking.
    first, *middle = segments
    if not middle:
        source = first
    else:
        *inner, last = middle
        source = first + b"".join(b"(?>.*?%b)" % segment for segment in inner) + b".*" + last
    return re.compile(source, re.DOTALL).fullmatch


def _plain(piece: re.Match[bytes]) -> bytes:
    """The bytes that a piece without special characters matches."""
    return unescaped(piece["plain"] or piece["last"])


def unescaped(text: bytes) -> bytes:
    r"""Remove the backslashes that escape the next byte.

    >>> unescaped(rb"a\*b\\c")
    b'a*b\\c'
    """
    return b"".join(_UNESCAPED.findall(text)) if b"\\" in text else text


def _class(members: bytes) -> bytes:
    """Turn a set of bytes into a regular expression."""
    if not members:
        return b"(?!)"
    runs = [[byte for _, byte in run] for _, run in groupby(enumerate(members), lambda pair: pair[1] - pair[0])]
    return b"[%b]" % b"".join(rb"\x%02x-\x%02x" % (run[0], run[-1]) for run in runs)


@lru_cache(maxsize=256)
def _members(inside: bytes) -> bytes:
    r"""The bytes that `[inside]` matches, in order. A range may have its ends in reverse.

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
    """A pattern that is matched without a regular expression, and parsed only as far as the texts need it.

    To compile a long pattern to a regular expression would take minutes. Here the pattern is split at its stars: the
    segments before the first and after the last one have a fixed place in the text, and each one between is matched
    at the earliest place. So nothing is tried twice. As in Redis, stars alone do not match an empty text.

    >>> Glob(b"h[a-e]llo*")(b"hallo there"), Glob(b"*a*b?")(b"abab"), Glob(b"*a*b?")(b"ababc"), Glob(b"*")(b"")
    (True, False, True, False)
    """

    __slots__ = ("_pieces", "_segments", "_width", "prefix")

    def __init__(self, pattern: bytes) -> None:
        piece = _PIECE.match(pattern)
        self.prefix = _plain(piece) if piece and piece["plain"] else b""  # every text that matches begins with this
        self._pieces: Iterator[re.Match[bytes]] | None = _PIECE.finditer(pattern)
        self._segments = [Segment()]
        self._width = 0  # the bytes that a matching text has at least, by the part of the pattern that is parsed

    def __call__(self, text: bytes) -> bool:
        """Return whether all of `text` matches."""
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
        """Parse more of the pattern, to its end or until it needs more than `length` bytes."""
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
    """The part of a pattern between two stars: it matches a fixed number of bytes."""

    __slots__ = ("pieces", "width")

    def __init__(self) -> None:
        self.width = 0
        self.pieces: list[tuple[int, bytes, bool]] = []  # place, bytes, whether one of them must be there (else all)

    def add(self, piece: re.Match[bytes]) -> int:
        """Add a piece; return the number of bytes that it matches."""
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
        """Return whether the segment matches at `start`, in a text that is long enough."""
        for where, wanted, one in self.pieces:
            if not (text[start + where] in wanted if one else text.startswith(wanted, start + where)):
                return False
        return True

    def find(self, text: bytes, start: int, end: int) -> int:
        """The first place from `start` on where the segment matches and ends before `end`; -1 if there is none."""
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
        """The places that do not match every byte, each with the bytes that it matches."""
        found: list[tuple[int, ByteSet]] = []
        for where, wanted, one in self.pieces:
            if one:
                found.append((where, wanted))
            else:
                found += enumerate((wanted[at : at + 1] for at in range(len(wanted))), start=where)
        return found


def first_fit(byte_sets: list[tuple[int, ByteSet]], text: bytes, count: int) -> int:
    """The first of the `count` places in `text` where all of `byte_sets` match; -1 if there is none.

    All places are tried at once, as bits of an integer: 64 for each step of the processor.
    """
    possible = (1 << count) - 1
    uses = Counter(wanted for _, wanted in byte_sets)
    everywhere: dict[ByteSet, int] = {}  # for sets that occur at many places
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
    """An integer in which bit n is 1 if byte n of `text` is in `wanted`.

    >>> bin(bits(b"abca", b"a"))
    '0b1001'
    """
    table = bytearray(b"0" * 256)
    for byte in wanted:
        table[byte] = ord("1")
    return int(text[::-1].translate(table), 2)
