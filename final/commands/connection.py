"""Commands about the connection: who a client is, which database it uses, which protocol it speaks."""

import hmac
from collections.abc import Iterator
from hashlib import sha256

from ..engine.client import Client
from ..engine.command import (
    ALLOW_BUSY,
    FAST,
    LOADING,
    NO_AUTH,
    NOSCRIPT,
    REFUSED_LIKE_WRITES,
    STALE,
    UNQUEUED,
    WHILE_SUBSCRIBED,
    Group,
)
from ..engine.context import Engine
from ..engine.signature import command
from ..protocol.errors import ReplyError, shown, syntax_error, wrong_password
from ..protocol.numeric import parse_integer
from ..protocol.writer import Push, Value
from .databases import database

GROUP = Group("connection", "@connection", "g")

VERSION = b"7.0.15"  # the Redis that we answer like
DOOR = (NOSCRIPT, LOADING, STALE, FAST, NO_AUTH, ALLOW_BUSY)  # flags of what may be said before the password


@command(FAST, WHILE_SUBSCRIBED, REFUSED_LIKE_WRITES)
def ping(client: Client, message: bytes | None = None) -> Value:
    """PING [message]: answer with PONG, or with the message."""
    if client.listening and client.protocol == 2:
        return Push([b"pong", message or b""])
    return "PONG" if message is None else message


@command(LOADING, STALE, FAST)
def echo(message: bytes) -> Value:
    """ECHO message: answer with the message."""
    return message


@command(*DOOR, UNQUEUED, WHILE_SUBSCRIBED)
def quit_(client: Client, *ignored: bytes) -> Value:
    """QUIT: answer OK and hang up."""
    client.leaving = True
    return "OK"


@command(*DOOR, UNQUEUED, WHILE_SUBSCRIBED)
def reset(engine: Engine, client: Client) -> Value:
    """RESET: forget what the client chose, as if it had just connected."""
    client.queue, client.spoiled = None, False
    engine.watching.unwatch(client)
    engine.hub.leave(client)
    client.db, client.protocol, client.name = engine.stores[0], 2, b""
    client.authenticated = not engine.options.requirepass
    client.mute, client.no_evict = 0, False
    engine.monitors.leave(client)
    return "RESET"


@command(*DOOR, secrets=lambda args: range(1, len(args)))
def auth(engine: Engine, client: Client, credential: bytes, *more: bytes) -> Value:
    """AUTH [username] password: say the password. The only user is `default`."""
    credentials = (credential, *more)
    if len(credentials) > 2:
        raise syntax_error()
    if len(credentials) == 1 and not engine.options.requirepass:
        raise ReplyError(
            "ERR AUTH <password> called without any password configured for the default user. "
            "Are you sure your configuration is correct?"
        )
    user = credentials[0] if len(credentials) == 2 else b"default"
    check_password(engine, user, credentials[-1])
    client.authenticated = True
    return "OK"


def check_password(engine: Engine, user: bytes, password: bytes) -> None:
    """Raise `wrong_password` where they do not fit; in a time that does not tell how nearly, or how long they are."""
    expected = engine.options.requirepass.encode(errors="surrogateescape")
    fits = not expected or hmac.compare_digest(sha256(password).digest(), sha256(expected).digest())
    if user != b"default" or not fits:
        raise wrong_password()


def behind_auth(args: list[bytes]) -> Iterator[int]:
    """The indexes of the names and passwords in a HELLO."""
    for at, each in enumerate(args):
        if each.lower() == b"auth":
            yield from (at + 1, at + 2)


@command(*DOOR, secrets=behind_auth)
def hello(engine: Engine, client: Client, *options: bytes) -> Value:
    """HELLO [protover [AUTH username password] [SETNAME clientname]]: switch to RESP `protover`; say what we are.

    The answer is a map: server, version, proto (the version now in use), id (the client's), mode, role and
    modules. Each option is applied as it is read, so that what stands before a wrong one holds; the version comes last.
    """
    protocol = client.protocol
    if options:
        wanted = parse_integer(options[0])
        if wanted is None:
            raise ReplyError("ERR Protocol version is not an integer or out of range")
        if wanted not in (2, 3):
            raise ReplyError("NOPROTO unsupported protocol version")
        protocol = wanted
    rest = list(options[1:])
    while rest:
        match [rest[0].lower(), *rest[1:]]:
            case [b"auth", user, password, *rest]:
                check_password(engine, user, password)
                client.authenticated = True
            case [b"setname", value, *rest]:
                client.name = valid_name(value)
            case _:
                raise ReplyError(f"ERR Syntax error in HELLO option '{shown(rest[0])}'")
    if not client.authenticated:
        raise ReplyError(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> "
            "<pass> option can be used to authenticate the client and select the RESP protocol version at the "
            "same time"
        )
    client.protocol = protocol
    return {
        b"server": b"redis",
        b"version": VERSION,
        b"proto": protocol,
        b"id": client.id,
        b"mode": b"standalone",
        b"role": b"master",
        b"modules": [],
    }


@command(LOADING, STALE, FAST)
def select(engine: Engine, client: Client, index: int) -> Value:
    """SELECT index: use the database with this number from now on."""
    client.db = database(engine, index)
    return "OK"


def valid_name(name: bytes) -> bytes:
    """Give the name back, or raise: only the characters from `!` to `~`, so that lists of names stay readable.

    >>> valid_name(b"two words")
    Traceback (most recent call last):
    errors.ReplyError: ERR Client names cannot contain spaces, newlines or special characters.
    """
    if not all(ord("!") <= byte <= ord("~") for byte in name):
        raise ReplyError("ERR Client names cannot contain spaces, newlines or special characters.")
    return name
