"""Glob patterns as Redis means them (`stringmatchlen`). It knows no keys and no channels."""

import re
from collections.abc import Callable
from functools import lru_cache

_PIECE = re.compile(
    rb"\\(?P<escaped>.)|\[(?P<set>\^?(?:\\.|[^\]]-.|[^\]])*)\]?|(?P<stars>\*+)|(?P<any>\?)|(?P<plain>.)", re.DOTALL
)
_MEMBER = re.compile(rb"\\(?P<escaped>.)|(?P<low>.)-(?P<high>.)|(?P<plain>.)", re.DOTALL)


@lru_cache(maxsize=256)
def matcher(pattern: bytes) -> Callable[[bytes], object]:
    r"""Turn a pattern into a test: called with some bytes, it gives something true where all of them match.

    `*` is any number of bytes, `?` one, `[abc]`, `[a-z]` and `[^a]` one of a set; `\` takes what follows as it is.

    >>> bool(matcher(b"h[a-e]llo*")(b"hallo there")), bool(matcher(b"h?llo")(b"hllo")), bool(matcher(rb"\*")(b"*"))
    (True, False, True)
    """
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
