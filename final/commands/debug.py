"""DEBUG, and DEBUG PROTOCOL above all: each type of RESP, to be looked at."""

from ..engine.client import Client
from ..engine.command import ADMIN, LOADING, NOSCRIPT, STALE, Server, command
from ..protocol.errors import ReplyError, wrong_subcommand
from ..protocol.writer import Attributed, BigNumber, Push, Replies, Value, Verbatim
from . import debugging

EXAMPLES: dict[bytes, Value] = {  # one value of each RESP type, as `DEBUG PROTOCOL` of Redis shows them
    b"string": b"Hello World",
    b"integer": 12345,
    b"double": 3.141,
    b"bignum": BigNumber(1234567999999999999999999999999999999),
    b"null": None,
    b"array": [0, 1, 2],
    b"set": {0, 1, 2},
    b"map": {0: False, 1: True, 2: False},
    b"attrib": Attributed(b"Some real reply following the attribute", {b"key-popularity": [b"key:123", 90]}),
    b"push": Replies([Push([b"server-cpu-usage", 42]), b"Some real reply following the push reply"]),
    b"verbatim": Verbatim(b"This is a verbatim\nstring"),
    b"true": True,
    b"false": False,
}


@command(ADMIN, NOSCRIPT, LOADING, STALE)
def debug(server: Server, client: Client, subcommand: bytes, *arguments: bytes) -> Value:
    """DEBUG PROTOCOL type: answer with the value of EXAMPLES that `type` names, so that one sees every RESP type.

    Unlike in Redis everyone may ask for that: who follows the stages compares this server with their own. For the
    rest, see `debugging`. Raises ReplyError for any other request, and for `push` in RESP2, which has no pushes.
    """
    if subcommand.lower() in debugging.GUARDED:
        return debugging.run(server, client, subcommand, arguments)
    if subcommand.lower() != b"protocol" or len(arguments) != 1:
        raise wrong_subcommand("DEBUG", subcommand)
    kind = arguments[0].lower()
    if kind not in EXAMPLES:
        raise ReplyError(
            "ERR Wrong protocol type name. Please use one of the following: "
            "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false"
        )
    if kind == b"push" and client.protocol < 3:
        raise ReplyError("ERR RESP2 is not supported by this command")
    return EXAMPLES[kind]
