"""The writer: Python values in, RESP bytes out. It knows both versions of the protocol, but no client."""

from typing import Any

Value = Any  # a reply: one of the types that `encode` lists


class NullArray:
    """The null of an array: RESP2 has one null for arrays, and one for strings."""


NULL_ARRAY = NullArray()


class Push(list[Value]):
    """A message that is no reply to a request: in RESP3 it has a type of its own, so that a client can tell."""


class Raw(bytes):
    """Bytes that are sent as they are, and not as a bulk string: a snapshot, or a part of the stream."""


class Replies(list[Value]):
    """Several replies to one request, one after the other, with no array around them."""


def encode(value: Value, protocol: int = 2) -> bytes:
    r"""Write `value` as RESP `protocol`, 2 or 3.

    The Python type decides the RESP type. RESP2 has five types: any other becomes the nearest of these.

    | Python          | RESP3                  | RESP2                             |
    |-----------------|------------------------|-----------------------------------|
    | str             | simple string `+OK`    | the same                          |
    | Exception       | error `-ERR …`         | the same                          |
    | int             | integer `:1`           | the same                          |
    | bool            | boolean `#t` or `#f`   | integer 1 or 0                    |
    | None            | null `_`               | null bulk string `$-1`            |
    | NULL_ARRAY      | null `_`               | null array `*-1`                  |
    | float           | double `,3.5`          | bulk string; `%.17g` in both      |
    | bytes           | bulk string `$2` …     | the same                          |
    | list, tuple     | array `*2` …           | the same                          |
    | dict            | map `%1` …             | array of key, value, key, value … |
    | set, frozenset  | set `~2` …             | array                             |
    | Push            | push `>3` …            | array                             |
    | Replies         | its items, one by one  | the same: no array around them    |
    | Raw             | its bytes, as they are | the same                          |

    The items of an array, a map or a set are written in the same `protocol`.
    Raises TypeError for any other type: that is a bug of the server.

    >>> encode(b"a\r\nb"), encode(None), encode(None, 3)
    (b'$4\r\na\r\nb\r\n', b'$-1\r\n', b'_\r\n')
    >>> encode("OK"), encode(ValueError("ERR one line\r\n+OK"))
    (b'+OK\r\n', b'-ERR one line  +OK\r\n')
    >>> encode([1, [True, 3.0]]), encode([1, [True, 3.0]], 3)
    (b'*2\r\n:1\r\n*2\r\n:1\r\n$1\r\n3\r\n', b'*2\r\n:1\r\n*2\r\n#t\r\n,3\r\n')
    """
    resp3 = protocol >= 3
    match value:
        case str():
            return b"+%b\r\n" % _one_line(value)
        case Exception():
            return b"-%b\r\n" % _one_line(str(value))
        case bool() if resp3:
            return b"#t\r\n" if value else b"#f\r\n"
        case int():
            return b":%d\r\n" % value
        case None:
            return b"_\r\n" if resp3 else b"$-1\r\n"
        case NullArray():
            return b"_\r\n" if resp3 else b"*-1\r\n"
        case float():
            return b",%.17g\r\n" % value if resp3 else encode(b"%.17g" % value)
        case Raw():
            return value
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(value), value)
        case Replies():
            return b"".join(encode(reply, protocol) for reply in value)
        case Push() if resp3:
            return _aggregate(b">", value, protocol)
        case list() | tuple():
            return _aggregate(b"*", value, protocol)
        case dict():
            return _map(value, protocol)
        case set() | frozenset():
            return _aggregate(b"~" if resp3 else b"*", value, protocol)
    raise TypeError(f"no RESP type for {type(value).__name__}")


def _aggregate(sign: bytes, items: Any, protocol: int) -> bytes:
    r"""Write the sign, the number of items, CRLF, and each item as `encode` does in this protocol.

    >>> _aggregate(b"~", {7}, 3)
    b'~1\r\n:7\r\n'
    """
    return b"%b%d\r\n%b" % (sign, len(items), b"".join(encode(item, protocol) for item in items))


def _map(pairs: dict[Value, Value], protocol: int) -> bytes:
    r"""Write a map: its sign is `%`, its number that of the pairs; each key is followed by its value.

    In RESP2 it is an array, and its number that of keys and values together.

    >>> _map({b"pi": 3.5}, 3), _map({b"pi": 3.5}, 2)
    (b'%1\r\n$2\r\npi\r\n,3.5\r\n', b'*2\r\n$2\r\npi\r\n$3\r\n3.5\r\n')
    """
    items = b"".join(encode(key, protocol) + encode(item, protocol) for key, item in pairs.items())
    return b"%%%d\r\n%b" % (len(pairs), items) if protocol >= 3 else b"*%d\r\n%b" % (2 * len(pairs), items)


def _one_line(text: str) -> bytes:
    r"""Encode the text of a simple string or an error, with a space for each CR and each LF in it.

    Encode with `errors="surrogateescape"`: text that was decoded so becomes the bytes that it was.

    >>> _one_line("OK"), _one_line("a\r\n+b"), _one_line(b"\xff".decode(errors="surrogateescape"))
    (b'OK', b'a  +b', b'\xff')
    """
    return text.replace("\r", " ").replace("\n", " ").encode(errors="surrogateescape")
