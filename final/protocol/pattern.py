"""Glob patterns as Redis means them (`stringmatchlen`). It knows no keys and no channels."""

import re
from collections.abc import Callable
from functools import lru_cache, partial

_PIECE = re.compile(
    rb"\\(?P<escaped>.)|\[(?P<set>\^?(?:\\.|[^\]]-.|[^\]])*)\]?|(?P<stars>\*+)|(?P<any>\?)|(?P<plain>.)", re.DOTALL
)
LONGEST = 1024  # bytes of a pattern that is worth a regular expression, which is remembered
_MEMBER = re.compile(rb"\\(?P<escaped>.)|(?P<low>.)-(?P<high>.)|(?P<plain>.)", re.DOTALL)


def matcher(pattern: bytes) -> Callable[[bytes], object]:
    r"""Turn a pattern into a test: called with some bytes, it gives something true where all of them match.

    `*` is any number of bytes, `?` one, `[abc]`, `[a-z]` and `[^a]` one of a set; `\` takes what follows as it is.

    >>> bool(matcher(b"h[a-e]llo*")(b"hallo there")), bool(matcher(b"h?llo")(b"hllo")), bool(matcher(rb"\*")(b"*"))
    (True, False, True)
    """
    return _compiled(pattern) if len(pattern) <= LONGEST else partial(_walk, pattern)


@lru_cache(maxsize=256)
def _compiled(pattern: bytes) -> Callable[[bytes], object]:
    """Turn a pattern into a regular expression."""
    segments = [b""]
    for piece in _PIECE.finditer(pattern):
        if piece["stars"]:
            segments.append(b"")
        elif piece["any"]:
            segments[-1] += b"."
        elif piece["set"] is not None:
            segments[-1] += _set(piece["set"])
        else:
            segments[-1] += re.escape(piece["escaped"] or piece["plain"])
    # The first place where a segment fits is as good as any later one, so the group before the last may be
    # atomic: a pattern of many stars cannot make the search go back, and back, and back.
    first, *middle = segments
    if not middle:
        source = first
    else:
        *inner, last = middle
        source = first + b"".join(b"(?>.*?%b)" % segment for segment in inner) + b".*" + last
    return re.compile(source, re.DOTALL).fullmatch


def _walk(pattern: bytes, text: bytes) -> bool:
    """Match by hand. A long pattern would make a regular expression of many times its size, and take minutes for it.

    Here no more of it is read than the text has use for.

    >>> _walk(b"h[a-e]llo*", b"hallo there"), _walk(b"*a*b?", b"abab"), _walk(b"*a*b?", b"ababc")
    (True, False, True)
    """
    place = at = 0  # in the pattern, in the text
    after_star, tried = -1, 0  # what follows the last star, and where in the text it was last tried
    while True:
        piece = _PIECE.match(pattern, place)
        if piece is None and at == len(text):
            return True
        if piece is not None and piece["stars"]:
            after_star, tried = place, at = piece.end(), at
        elif piece is not None and at < len(text) and _takes(piece, text[at : at + 1]):
            place, at = piece.end(), at + 1
        elif after_star >= 0 and tried < len(text):
            tried += 1  # the star takes one byte more
            place, at = after_star, tried
        else:
            return False


def _takes(piece: re.Match[bytes], byte: bytes) -> bool:
    """Tell whether a piece of a pattern, no star, takes a byte."""
    if piece["set"] is not None:
        return _one_of(piece["set"])(byte) is not None
    return piece["any"] is not None or byte == (piece["escaped"] or piece["plain"])


@lru_cache(maxsize=8)
def _one_of(members: bytes) -> Callable[[bytes], object]:
    """The inside of `[…]` as a test for one byte."""
    return re.compile(_set(members), re.DOTALL).fullmatch


def _set(members: bytes) -> bytes:
    """Turn the inside of `[…]` into a regular expression; a range may have its ends the wrong way round."""
    negated = members.startswith(b"^")
    parts = []
    for member in _MEMBER.finditer(members.removeprefix(b"^")):
        if member["low"] is not None:
            low, high = sorted((member["low"], member["high"]))
            parts.append(re.escape(low) + b"-" + re.escape(high))
        else:
            parts.append(re.escape(member["escaped"] or member["plain"]))
    if not parts:
        return b"." if negated else b"(?!)"
    return b"[%b%b]" % (b"^" if negated else b"", b"".join(parts))
