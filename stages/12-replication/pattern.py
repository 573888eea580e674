"""Glob patterns as in Redis. They match any bytes; this module knows no keys."""

import re
from collections.abc import Callable
from functools import lru_cache

# A byte that is escaped; stars; a question mark; a set, whose last bracket may be missing; any other byte.
_PIECE = re.compile(rb"\\(.)|(\*+)|(\?)|\[(\^?)((?:\\.|[^\]\\])*)\]?|(.)", re.DOTALL)
_MEMBER = re.compile(rb"(?:\\(?=.))?(.)(?:-(.))?", re.DOTALL)


@lru_cache(maxsize=256)
def matcher(pattern: bytes) -> Callable[[bytes], object]:
    r"""Return a test for a pattern: a function that returns a true value if its whole argument matches.

    `*` matches any number of bytes, `?` one, `[abc]`, `[a-z]` and `[^a]` one of a set; `\` escapes the next byte.

    >>> test = matcher(b"h[a-e]llo*")
    >>> bool(test(b"hallo there")), bool(test(b"hillo")), bool(matcher(rb"\*")(b"*"))
    (True, False, True)
    """
    segments = [b""]
    for escaped, stars, any_, negated, members, plain in _PIECE.findall(pattern):
        if stars:
            segments.append(b"")
        elif any_:
            segments[-1] += b"."
        elif escaped or plain:
            segments[-1] += re.escape(escaped or plain)
        else:
            segments[-1] += _one_of(members, bool(negated))
    # Between two stars only the first place that matches has to be tried. So the groups are atomic: a pattern with many
    # stars, from a client, must not take forever.
    first, *rest = segments
    if rest:
        *inner, last = rest
        first += b"".join(b"(?>.*?%b)" % segment for segment in inner) + b".*" + last
    return re.compile(first, re.DOTALL).fullmatch


def _one_of(members: bytes, negated: bool) -> bytes:
    """Return a regular expression for one byte of a set such as `a-z_`, or for one that is not in it."""
    ranges = [sorted((one, to or one)) for one, to in _MEMBER.findall(members)]
    inside = b"".join(b"%b-%b" % (re.escape(low), re.escape(high)) for low, high in ranges)
    if not inside:
        return b"." if negated else b"(?!)"
    return b"[%b%b]" % (b"^" if negated else b"", inside)
