"""Commands about the connection: who a client is, which database it uses, which protocol it speaks."""

import hmac

from ..client import Client
from ..command import ADMIN, ALLOW_BUSY, FAST, LOADING, NO_AUTH, NOSCRIPT, STALE, Server, command, integer
from ..errors import ReplyError, shown, syntax_error, unknown_subcommand, wrong_password, wrong_subcommand
from ..reader import parse_integer
from ..writer import NULL_ARRAY, Push, Value, Verbatim

VERSION = b"7.0.15"  # the Redis that we answer like
DOOR = (NOSCRIPT, LOADING, STALE, FAST, NO_AUTH, ALLOW_BUSY)  # flags of what may be said before the password


@command(FAST)
def ping(client: Client, message: bytes | None = None) -> Value:
    """PING [message]: answer with PONG, or with the message."""
    if client.listening and client.protocol == 2:
        return Push([b"pong", message or b""])
    return "PONG" if message is None else message


@command(LOADING, STALE, FAST)
def echo(message: bytes) -> Value:
    """ECHO message: answer with the message."""
    return message


@command(*DOOR)
def quit_(client: Client, *ignored: bytes) -> Value:
    """QUIT: answer OK and hang up."""
    client.leaving = True
    return "OK"


@command(*DOOR)
def reset(server: Server, client: Client) -> Value:
    """RESET: forget what the client chose, as if it had just connected."""
    client.queue, client.spoiled = None, False
    server.unwatch(client)
    server.hub.leave(client)
    client.db, client.protocol, client.name = server.stores[0], 2, b""
    client.authenticated = not server.options.requirepass
    return "RESET"


@command(*DOOR)
def auth(server: Server, client: Client, credential: bytes, *more: bytes) -> Value:
    """AUTH [username] password: say the password. The only user is `default`."""
    credentials = (credential, *more)
    if len(credentials) > 2:
        raise syntax_error()
    if len(credentials) == 1 and not server.options.requirepass:
        raise ReplyError(
            "ERR AUTH <password> called without any password configured for the default user. "
            "Are you sure your configuration is correct?"
        )
    user = credentials[0] if len(credentials) == 2 else b"default"
    check_password(server, user, credentials[-1])
    client.authenticated = True
    return "OK"


def check_password(server: Server, user: bytes, password: bytes) -> None:
    """Raise `wrong_password` where they do not fit; in a time that does not tell how nearly they did."""
    expected = server.options.requirepass.encode(errors="surrogateescape")
    fits = not expected or hmac.compare_digest(password, expected)
    if user != b"default" or not fits:
        raise wrong_password()


@command(*DOOR)
def hello(server: Server, client: Client, *options: bytes) -> Value:
    """HELLO [protover [AUTH username password] [SETNAME clientname]]: switch to RESP `protover`; say what we are.

    The answer is a map: server, version, proto (the version now in use), id (the client's), mode, role and
    modules. Nothing of the request is done before all of it is known to be right.
    """
    protocol, name, authenticated = client.protocol, client.name, client.authenticated
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
                check_password(server, user, password)
                authenticated = True
            case [b"setname", value, *rest]:
                name = valid_name(value)
            case _:
                raise ReplyError(f"ERR Syntax error in HELLO option '{shown(rest[0])}'")
    if not authenticated:
        raise ReplyError(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> "
            "<pass> option can be used to authenticate the client and select the RESP protocol version at the "
            "same time"
        )
    client.protocol, client.name, client.authenticated = protocol, name, authenticated
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
def select(server: Server, client: Client, index: int) -> Value:
    """SELECT index: use the database with this number from now on."""
    if not 0 <= index < len(server.stores):
        raise ReplyError("ERR DB index is out of range")
    client.db = server.stores[index]
    return "OK"


@command()
def client(subcommand: bytes, *arguments: bytes) -> Value:
    """CLIENT subcommand [argument ...]: what a client asks about itself, or tells us. See the subcommands below."""
    raise unknown_subcommand("CLIENT", subcommand)


@command(NOSCRIPT, LOADING, STALE, of="client")
def client_id(client: Client) -> Value:
    """CLIENT ID: answer with the client's number, which no other client has had."""
    return client.id


@command(NOSCRIPT, LOADING, STALE, of="client")
def client_setname(client: Client, name: bytes) -> Value:
    """CLIENT SETNAME connection-name: keep the name."""
    client.name = valid_name(name)
    return "OK"


@command(NOSCRIPT, LOADING, STALE, of="client")
def client_getname(client: Client) -> Value:
    """CLIENT GETNAME: answer with the name, or null where there is none."""
    return client.name or None


@command(NOSCRIPT, LOADING, STALE, of="client")
def client_setinfo(client: Client, attribute: bytes, value: bytes) -> Value:
    """CLIENT SETINFO attribute value: the client's library tells its name or version (Redis has this since 7.2)."""
    valid = all(ord("!") <= byte <= ord("~") for byte in value)
    match attribute.lower():
        case b"lib-name" | b"lib-ver" if not valid:
            what = attribute.lower().decode()
            raise ReplyError(f"ERR {what} cannot contain spaces, newlines or special characters.")
        case b"lib-name":
            client.library = value
        case b"lib-ver":
            client.library_version = value
        case _:
            raise ReplyError(f"ERR Unrecognized option '{shown(attribute)}'")
    return "OK"


@command(NOSCRIPT, LOADING, STALE, of="client")
def client_info(client: Client) -> Value:
    """CLIENT INFO: answer with what CLIENT LIST says about this client."""
    return Verbatim(described(client))


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="client")
def client_list(server: Server, *options: bytes) -> Value:
    """CLIENT LIST [TYPE type] [ID client-id ...]: answer with a line for each client."""
    chosen = list(server.clients.values())
    match [option.lower() for option in options]:
        case []:
            pass
        case [b"type", b"normal"]:
            pass
        case [b"type", b"master" | b"replica" | b"slave" | b"pubsub"]:
            chosen = []
        case [b"type", kind]:
            raise ReplyError(f"ERR Unknown client type '{shown(kind)}'")
        case [b"id", _, *_]:
            numbers = [parse_integer(word) for word in options[1:]]
            if None in numbers:
                raise ReplyError("ERR Invalid client ID")
            chosen = [server.clients[number] for number in numbers if number in server.clients]
        case _:
            raise syntax_error()
    return Verbatim(b"".join(described(each) for each in chosen))


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="client")
def client_unblock(server: Server, client_id: bytes, *reason: bytes) -> Value:
    """CLIENT UNBLOCK client-id [TIMEOUT | ERROR]: let a client wait no more; answer 1, or 0 where it did not wait."""
    if len(reason) > 1:
        raise wrong_subcommand("CLIENT", b"UNBLOCK")
    why = reason[0].lower() if reason else b"timeout"
    if why not in (b"timeout", b"error"):
        raise ReplyError("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    waiting = server.clients.get(integer(client_id))
    answer = NULL_ARRAY if why == b"timeout" else ReplyError("UNBLOCKED client unblocked via CLIENT UNBLOCK")
    return int(waiting is not None and server.unblock(waiting, answer))


def described(client: Client) -> bytes:
    """One client as a line of CLIENT LIST: the fields of Redis that have a meaning here."""
    now = client.db.unit.now
    signs = {"P": client.listening, "x": client.queue is not None, "d": client.touched, "b": client.parked is not None}
    flags = "".join(sign for sign, shown in signs.items() if shown)
    fields = {
        "id": client.id,
        "addr": client.address,
        "laddr": client.local_address,
        "name": client.name.decode(),
        "age": (now - client.since) // 1000,
        "idle": (now - client.active) // 1000,
        "flags": flags or "N",
        "db": client.db.index,
        "sub": len(client.channels),
        "psub": len(client.patterns),
        "multi": -1 if client.queue is None else len(client.queue),
        "cmd": client.last_command,
        "user": "default",
        "lib-name": client.library.decode(),
        "lib-ver": client.library_version.decode(),
        "resp": client.protocol,
    }
    return " ".join(f"{name}={value}" for name, value in fields.items()).encode() + b"\n"


def valid_name(name: bytes) -> bytes:
    """Give the name back, or raise: only the characters from `!` to `~`, so that lists of names stay readable.

    >>> valid_name(b"two words")
    Traceback (most recent call last):
    errors.ReplyError: ERR Client names cannot contain spaces, newlines or special characters.
    """
    if not all(ord("!") <= byte <= ord("~") for byte in name):
        raise ReplyError("ERR Client names cannot contain spaces, newlines or special characters.")
    return name
