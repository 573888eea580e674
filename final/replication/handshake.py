"""What a replica says before it asks for data: PING, AUTH, REPLCONF; and what PSYNC is answered with."""

import re
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from ..config.options import Options
from .stream import Args

_FULL = re.compile(rb"\+FULLRESYNC ([0-9a-zA-Z]{40}) (\d{1,18})")
_CONTINUE = re.compile(rb"\+CONTINUE(?: ([0-9a-zA-Z]{40}))?\s*")
_AUTH_COMES_NEXT = (b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted")  # in answer to PING


class Broken(Exception):
    """The connection is of no use any more, for this reason."""


class Handshake:
    """The requests before PSYNC, one after the other."""

    def __init__(self, options: Options) -> None:
        self._requests = deque(requests(options))

    @property
    def request(self) -> Args | None:
        """The request that is sent, and has no answer yet; None: all are answered."""
        return self._requests[0] if self._requests else None

    def hear(self, line: bytes) -> None:
        """The primary has answered. Raises Broken if it refuses; a REPLCONF that it does not know does not matter."""
        name, *_ = self._requests.popleft()
        tolerated = name == b"REPLCONF" or (name == b"PING" and line.startswith(_AUTH_COMES_NEXT))
        if not line.startswith(b"+") and not (tolerated and line.startswith(b"-")):
            raise Broken(f"{name.decode()} was answered with {shown(line)}")


def requests(options: Options) -> Iterator[Args]:
    """Yield the requests before PSYNC."""
    yield [b"PING"]
    if options.masterauth:
        user = [options.get("masteruser")] if options.masteruser else []
        yield [b"AUTH", *user, options.get("masterauth")]
    port = options.tls_port if options.tls_replication == "yes" and options.tls_port else options.port
    yield [b"REPLCONF", b"listening-port", b"%d" % (options.replica_announce_port or port)]
    if options.replica_announce_ip:
        yield [b"REPLCONF", b"ip-address", options.get("replica-announce-ip")]
    yield [b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"]


class Full(NamedTuple):
    """The primary will send all its data, as it is at this point of its stream."""

    replid: str
    offset: int


class Partial(NamedTuple):
    """The primary will send what is missing. The ID of its stream is another one if it was promoted; "": it is not."""

    replid: str


def answer_to_psync(line: bytes) -> Full | Partial:
    """Parse the answer to PSYNC. Raises Broken if the primary cannot synchronise now.

    >>> answer_to_psync(b"+CONTINUE"), answer_to_psync(b"+FULLRESYNC " + 40 * b"a" + b" 7").offset
    (Partial(replid=''), 7)
    """
    if found := _FULL.fullmatch(line):
        return Full(found[1].decode(), int(found[2]))
    if found := _CONTINUE.fullmatch(line):
        return Partial((found[1] or b"").decode())
    raise Broken(f"PSYNC was answered with {shown(line)}")


def shown(line: bytes) -> str:
    """A line of the primary, for the server log."""
    return line[:256].decode(errors="backslashreplace")
