"""Requests as a person types them: `SET greeting "hello there"`. Splits a line into arguments, and quotes one."""

import re

# One argument and the spaces after it (`sdssplitargs`, for which \v and \f are spaces before an argument and after
# quotes, but not after plain bytes). Possessive `*+`: a quote that is not closed is not tried in many ways.
_ARGUMENT = re.compile(
    rb"""([^ \t\r\n"']*)"""  # plain bytes, then one of these:
    rb"""(?:"((?:\\.|[^"\\])*+)"(?=\s|\Z)"""  # a part in double quotes
    rb"""|'((?:\\'|[^'])*+)'(?=\s|\Z)"""  # a part in single quotes
    rb"""|(?=[ \t\r\n]|\Z))\s*""",  # no quotes
    re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_QUOTED = {byte: f"\\x{byte:02x}" for byte in range(256) if not 32 <= byte < 127}
_QUOTED |= {ord(sign): "\\" + letter for sign, letter in zip('\\"\n\r\t\a\b', '\\"nrtab', strict=True)}
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


def split_inline(line: bytes) -> list[bytes]:
    r"""Split an inline request into arguments as a shell does: at spaces, but not inside quotes.

    In double quotes \n, \r, \t, \b, \a and \xHH mean the same as in C; in single quotes only \' is special.
    Raises ValueError if a quote is not closed, or not followed by a space.

    >>> split_inline(rb'''SET  "a key" 'it\'s' "\x00\n" ''')
    [b'SET', b'a key', b"it's", b'\x00\n']
    """
    args = []
    rest = line.removesuffix(b"\r").lstrip()
    position = 0
    while position < len(rest):
        match = _ARGUMENT.match(rest, position)
        if match is None or match.end() == position:
            raise ValueError("unbalanced quotes in request")
        plain, double, single = match.groups()
        if double is not None:
            plain += _ESCAPE.sub(_unescape, double)
        if single is not None:
            plain += single.replace(rb"\'", b"'")
        args.append(plain)
        position = match.end()
    return args


def _unescape(match: re.Match[bytes]) -> bytes:
    """Return the byte that an escape in double quotes means."""
    hexadecimal, letter = match.groups()
    return bytes.fromhex(hexadecimal.decode()) if hexadecimal else _ESCAPES.get(letter, letter)


def quote(arg: bytes) -> str:
    r"""Return an argument in quotes, with escapes that redis-cli can read (`sdscatrepr`).

    >>> print(quote(b'a\x00b\n"q"\xff'))
    "a\x00b\n\"q\"\xff"
    """
    return f'"{arg.decode("latin-1").translate(_QUOTED)}"'
