"""Commands about the connection: authentication, the selected database, the version of the protocol."""

from collections.abc import Iterator

from ..config.options import RELEASE
from ..engine.acl.selector import Reason
from ..engine.args import OptionCursor
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
from ..engine.signature import Args, command, complexity
from ..protocol.errors import ReplyError, shown, syntax_error, wrong_password
from ..protocol.numeric import parse_integer
from ..protocol.writer import Value
from .admin import in_transaction
from .databases import database

GROUP = Group("connection", "@connection", "g")

BEFORE_AUTH = (NOSCRIPT, LOADING, STALE, FAST, NO_AUTH, ALLOW_BUSY)  # flags of commands allowed before authentication


@command(FAST, WHILE_SUBSCRIBED, REFUSED_LIKE_WRITES, tips="request_policy:all_shards response_policy:all_succeeded")
def ping(client: Client, message: bytes | None = None) -> Value:
    """PING [message]: answer with PONG, or with the message."""
    if client.subscribed and client.protocol == 2:
        return [b"pong", message or b""]
    return "PONG" if message is None else message


@command(LOADING, STALE, FAST)
def echo(message: bytes) -> Value:
    """ECHO message: answer with the message."""
    return message


@command(*BEFORE_AUTH, UNQUEUED, WHILE_SUBSCRIBED)
def quit_(client: Client, *ignored: bytes) -> Value:
    """QUIT: answer OK and close the connection."""
    client.closing = True
    return "OK"


@command(*BEFORE_AUTH, UNQUEUED, WHILE_SUBSCRIBED)
def reset(engine: Engine, client: Client) -> Value:
    """RESET: bring the connection back to the state of a new one."""
    if client.replica is not None:
        raise ReplyError("ERR can only reset normal client connections")
    client.queue, client.dirty_exec = None, False
    engine.watching.unwatch(client)
    engine.pubsub.unsubscribe_all(client)
    client.db, client.protocol, client.name = engine.stores[0], 2, b""
    client.be_unauthenticated(engine.users.default)
    client.reply_off = client.reply_skip = client.no_evict = False
    engine.monitors.remove(client)
    engine.tracking.stop(client)
    return "RESET"


@command(*BEFORE_AUTH, secrets=lambda args: range(1, len(args)))
@complexity("O(N) for N passwords of the user")
def auth(engine: Engine, client: Client, args: Args, credential: bytes, *more: bytes) -> Value:
    """AUTH [username] password: authenticate the client, without a name as the user `default`."""
    credentials = (credential, *more)
    if len(credentials) > 2:
        raise syntax_error()
    if len(credentials) == 1 and engine.users.default.nopass:
        raise ReplyError(
            "ERR AUTH <password> called without any password configured for the default user. "
            "Are you sure your configuration is correct?"
        )
    authenticate(engine, client, args[0], credentials[0] if more else b"default", credentials[-1])
    return "OK"


def authenticate(engine: Engine, client: Client, said: bytes, name: bytes, password: bytes) -> None:
    """Let a client be the user of this name, if the password is right. `said` is the command, for ACL LOG.

    Raises `wrong_password`.
    """
    user = engine.users.authenticate(name, password)
    if user is None:
        context = "toplevel" if client.queue is None and not in_transaction(client) else "multi"
        engine.admission.log_denial(Reason.AUTH, context, said, name, client)
        raise wrong_password()
    client.user, client.authenticated = user, True


def secrets_of_hello(args: list[bytes]) -> Iterator[int]:
    """Yield the indexes of the user names and passwords in a HELLO request."""
    for at, each in enumerate(args):
        if each.lower() == b"auth":
            yield from (at + 1, at + 2)


@command(*BEFORE_AUTH, secrets=secrets_of_hello)
def hello(engine: Engine, client: Client, args: Args, *options: bytes) -> Value:
    """HELLO [protover [AUTH username password] [SETNAME clientname]]: set the protocol; describe the server.

    The answer is a map: server, version, proto (the protocol's version), id (the client's), mode, role and modules. As
    in `helloCommand` of `networking.c`, each option is applied when it is parsed, so the options before a wrong one
    stay applied. The version is switched last.
    """
    protocol = client.protocol
    if options:
        version = parse_integer(options[0])
        if version is None:
            raise ReplyError("ERR Protocol version is not an integer or out of range")
        if version not in (2, 3):
            raise ReplyError("NOPROTO unsupported protocol version")
        protocol = version
    cursor = OptionCursor(options[1:])
    for option in cursor:
        if option == b"auth" and len(cursor) >= 2:
            authenticate(engine, client, args[0], *cursor.values(2))
        elif option == b"setname" and len(cursor) >= 1:
            client.name = valid_name(cursor.value())
        else:
            raise ReplyError(f"ERR Syntax error in HELLO option '{shown(options[-1 - len(cursor)], None)}'")
    if not client.authenticated:
        raise ReplyError(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> "
            "<pass> option can be used to authenticate the client and select the RESP protocol version at the "
            "same time"
        )
    client.protocol = protocol
    return {
        b"server": b"redis",
        b"version": RELEASE,
        b"proto": protocol,
        b"id": client.id,
        b"mode": b"standalone",
        b"role": b"master" if engine.replica is None else b"replica",
        b"modules": [],
    }


@command(LOADING, STALE, FAST)
def select(engine: Engine, client: Client, index: int) -> Value:
    """SELECT index: select the database with this index for the connection."""
    client.db = database(engine, index)
    return "OK"


def valid_name(name: bytes) -> bytes:
    """Return the name. Raises ReplyError for characters other than `!` to `~`, which would garble CLIENT LIST.

    >>> valid_name(b"two words")
    Traceback (most recent call last):
    errors.ReplyError: ERR Client names cannot contain spaces, newlines or special characters.
    """
    if not all(ord("!") <= byte <= ord("~") for byte in name):
        raise ReplyError("ERR Client names cannot contain spaces, newlines or special characters.")
    return name
