"""LOLWUT."""

from ..config.options import RELEASE
from ..engine.args import integer
from ..engine.command import FAST, READONLY
from ..engine.signature import command, complexity
from ..protocol.writer import Value, Verbatim


@command(READONLY, FAST)
@complexity("")
def lolwut(*args: bytes) -> Value:
    """LOLWUT [VERSION version]: answer with the version of Redis; Redis draws a picture for some versions."""
    if len(args) > 1 and args[0].lower() == b"version":
        integer(args[1])
    return Verbatim(b"Redis ver. %b\n" % RELEASE)
