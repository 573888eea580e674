"""Numbers with a point, as clients write them."""

import re

_DECIMAL = rb"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]+)?"  # 1, 1.5, .5, 1e3
_FLOAT = re.compile(rb"[-+]?(?:" + _DECIMAL + rb"|inf|infinity)", re.IGNORECASE)


def parse_float(text: bytes) -> float | None:
    """Parse a number: decimal, perhaps with an exponent, or infinite. No spaces, and no NaN; else None.

    >>> parse_float(b"1.5"), parse_float(b"-inf"), parse_float(b" 1"), parse_float(b"nan")
    (1.5, -inf, None, None)
    """
    return float(text) if _FLOAT.fullmatch(text) else None
