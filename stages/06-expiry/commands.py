"""Commands about the connection and the server itself. They know no bytes of RESP, no socket and no keys."""

from client import Client
from command import command
from errors import ReplyError, shown, unknown_subcommand, wrong_number_of_arguments
from reader import parse_integer
from writer import Value

VERSION = b"7.0.15"  # the Redis that we answer like

EXAMPLES: dict[bytes, Value] = {  # values of several types: `DEBUG PROTOCOL` of Redis shows the same
    b"string": b"Hello World",
    b"integer": 12345,
    b"double": 3.141,
    b"null": None,
    b"array": [0, 1, 2],
    b"set": {0, 1, 2},
    b"map": {0: False, 1: True, 2: False},
    b"true": True,
    b"false": False,
}


@command
def ping(message: bytes | None = None) -> Value:
    """PING [message]: answer with PONG, or with the message."""
    return "PONG" if message is None else message


@command
def echo(message: bytes) -> Value:
    """ECHO message: answer with the message."""
    return message


@command
def quit_(client: Client, *ignored: bytes) -> Value:
    """QUIT: answer OK and hang up."""
    client.leaving = True
    return "OK"


@command
def hello(client: Client, *options: bytes) -> Value:
    """HELLO [protover [SETNAME name]]: switch to RESP `protover`; answer with what we are, as a map.

    A client that speaks RESP3 sends `HELLO 3` before anything else. The map has, in this order, with keys that are
    bytes: server, `b"redis"`; version, VERSION; proto, the version now in use; id, the client's; mode, `b"standalone"`;
    role, `b"master"`; modules, an empty list. Without options nothing changes. SETNAME may be in upper or lower case,
    and its name is checked by `valid_name`. Each SETNAME is applied as it is read, so that one before an error holds;
    `client.protocol` changes last, when all options are right. Raises ReplyError:

    - `ERR Protocol version is not an integer or out of range` if protover is no integer,
    - `NOPROTO unsupported protocol version` if it is neither 2 nor 3,
    - `ERR Syntax error in HELLO option '…'` for an unknown option, or an option without its value, as `shown` gives it.

    >>> hello(Client(id=7), b"3")[b"proto"]
    3
    >>> hello(Client(id=7), b"4")
    Traceback (most recent call last):
    errors.ReplyError: NOPROTO unsupported protocol version
    """
    protocol = client.protocol
    if options:
        wanted = parse_integer(options[0])
        if wanted is None:
            raise ReplyError("ERR Protocol version is not an integer or out of range")
        if wanted not in (2, 3):
            raise ReplyError("NOPROTO unsupported protocol version")
        protocol = wanted
    rest = iter(options[1:])
    for option in rest:
        value = next(rest, None)
        if option.lower() != b"setname" or value is None:
            raise ReplyError(f"ERR Syntax error in HELLO option '{shown(option)}'")
        client.name = valid_name(value)
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


@command
def client(client: Client, subcommand: bytes, *arguments: bytes) -> Value:
    """CLIENT subcommand [argument ...]: answer to a client that asks about itself, or tells about itself.

    | request                     | answer                                                      |
    |-----------------------------|-------------------------------------------------------------|
    | CLIENT ID                   | the client's number, an integer                             |
    | CLIENT SETNAME name         | OK; keep the name in `client.name`, checked by `valid_name` |
    | CLIENT GETNAME              | the name; null if there is none, or an empty one            |
    | CLIENT SETINFO option value | OK; keep nothing. redis-py tells its name and version       |

    The subcommand may be in upper or lower case. Raises `wrong_number_of_arguments`, here of `client|setname` and so
    on, for one of these with another number of arguments, and `unknown_subcommand` for any other.

    >>> client(Client(id=7), b"Id")
    7
    >>> client(Client(id=7), b"ID", b"x")
    Traceback (most recent call last):
    errors.ReplyError: ERR wrong number of arguments for 'client|id' command
    """
    match [subcommand.lower(), *arguments]:
        case [b"id"]:
            return client.id
        case [b"setname", name]:
            client.name = valid_name(name)
            return "OK"
        case [b"getname"]:
            return client.name or None
        case [b"setinfo", _, _]:
            return "OK"
        case [b"id" | b"setname" | b"getname" | b"setinfo" as name, *_]:
            raise wrong_number_of_arguments(f"client|{name.decode()}")
        case _:
            raise unknown_subcommand("CLIENT", subcommand)


def valid_name(name: bytes) -> bytes:
    """Return the name if it has only characters from `!` to `~`, so that lists of names stay readable; else raise.

    An empty name is allowed: the client then has none.

    >>> valid_name(b"worker-7")
    b'worker-7'
    >>> valid_name(b"two words")
    Traceback (most recent call last):
    errors.ReplyError: ERR Client names cannot contain spaces, newlines or special characters.
    """
    if not all(ord("!") <= byte <= ord("~") for byte in name):
        raise ReplyError("ERR Client names cannot contain spaces, newlines or special characters.")
    return name


@command
def debug(subcommand: bytes, *arguments: bytes) -> Value:
    """DEBUG PROTOCOL type: answer with the value of EXAMPLES that `type` names, so that one sees the types of RESP."""
    if subcommand.lower() != b"protocol" or len(arguments) != 1:
        wrong = "unknown subcommand or wrong number of arguments for"
        raise ReplyError(f"ERR {wrong} '{shown(subcommand)}'. Try DEBUG HELP.")
    kind = arguments[0].lower()
    if kind not in EXAMPLES:
        names = b"|".join(EXAMPLES).decode()
        raise ReplyError(f"ERR Wrong protocol type name. Please use one of the following: {names}")
    return EXAMPLES[kind]


@command
def select(index: int) -> Value:
    """SELECT index: choose a database; we have one, number 0."""
    if index != 0:
        raise ReplyError("ERR DB index is out of range")
    return "OK"
