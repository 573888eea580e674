"""CLIENT: what a client asks about itself or tells us, and what an administrator does with the others."""

from collections.abc import Callable, Iterable
from math import inf

from ..engine.args import integer
from ..engine.client import Client
from ..engine.command import ADMIN, LOADING, NOSCRIPT, STALE, Group
from ..engine.context import Engine
from ..engine.signature import command
from ..protocol.errors import ReplyError, shown, syntax_error
from ..protocol.numeric import parse_integer
from ..protocol.writer import NULL_ARRAY, Value, Verbatim
from .connection import valid_name

GROUP = Group("connection", "@connection", "g")


@command()
def client(subcommand: bytes, *arguments: bytes) -> Value:
    """CLIENT subcommand [argument ...]: what a client asks about itself, or tells us. See the subcommands below."""


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
def client_info(engine: Engine, client: Client) -> Value:
    """CLIENT INFO: answer with what CLIENT LIST says about this client."""
    return Verbatim(described(client, engine.steady()))


@command(NOSCRIPT, LOADING, STALE, of="client")
def client_reply(client: Client, mode: bytes) -> Value:
    """CLIENT REPLY ON | OFF | SKIP: whether answers are wanted; SKIP: to the next request not."""
    match mode.lower():
        case b"on":
            client.mute = 0
        case b"off":
            client.mute = inf
        case b"skip":
            client.mute = max(client.mute, 2)  # this request is the first of the two
        case _:
            raise syntax_error()
    return "OK"


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="client")
def client_no_evict(client: Client, mode: bytes) -> Value:
    """CLIENT NO-EVICT ON | OFF: accepted and shown by CLIENT LIST: no client is evicted here."""
    if mode.lower() not in (b"on", b"off"):
        raise syntax_error()
    client.no_evict = mode.lower() == b"on"
    return "OK"


@command(NOSCRIPT, LOADING, STALE, of="client")
def client_getredir() -> Value:
    """CLIENT GETREDIR: answer -1, as to all whose cache is not tracked."""
    return -1


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="client")
def client_list(engine: Engine, *options: bytes) -> Value:
    """CLIENT LIST [TYPE type] [ID client-id ...]: answer with a line for each client."""
    chosen: Iterable[Client] = engine.clients.values()
    match [option.lower() for option in options]:
        case []:
            pass
        case [b"type", kind]:
            chosen = filter(of_type(kind), chosen)
        case [b"id", _, *_]:
            numbers = [parse_integer(arg) for arg in options[1:]]
            if None in numbers:
                raise ReplyError("ERR Invalid client ID")
            chosen = [engine.clients[number] for number in numbers if number in engine.clients]
        case _:
            raise syntax_error()
    return Verbatim(b"".join(described(each, engine.steady()) for each in chosen))


def of_type(arg: bytes) -> Callable[[Client], bool]:
    """A test for the clients of a type."""
    kind = arg.lower()
    if kind not in (b"normal", b"pubsub", b"master", b"replica", b"slave"):
        raise ReplyError(f"ERR Unknown client type '{shown(arg)}'")
    return lambda client: kind == (b"pubsub" if client.listening else b"normal")


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="client")
def client_kill(engine: Engine, client: Client, option: bytes, *options: bytes) -> Value:
    """CLIENT KILL ip:port | option [value ...]: hang up on the client with this address, or on all that fit.

    The options: ID client-id, TYPE type, USER username, ADDR ip:port, LADDR ip:port, each of which must hold, and
    SKIPME NO for those who mean themselves too. The answer to them is the number of clients.
    """
    if not options:
        found = [each for each in engine.clients.values() if each.address.encode() == option]
        if not found:
            raise ReplyError("ERR No such client")
    else:
        tests = conditions((option, *options), client)
        found = [each for each in engine.clients.values() if all(test(each) for test in tests)]
    for each in found:
        each.leaving = True  # the one who asks has the answer to come
        if each is not client:
            engine.disconnect(each)
            each.hang_up()
    return len(found) if options else "OK"


def conditions(args: tuple[bytes, ...], client: Client) -> list[Callable[[Client], bool]]:
    """Read the options of CLIENT KILL as tests that a client must pass."""
    found: dict[bytes, Callable[[Client], bool]] = {b"skipme": lambda each: each is not client}
    if len(args) % 2:
        raise syntax_error()
    for option, value in zip(args[::2], args[1::2], strict=True):
        found[option.lower()] = condition(option.lower(), value, client)
    return list(found.values())


def condition(option: bytes, value: bytes, client: Client) -> Callable[[Client], bool]:
    """One of the options of CLIENT KILL as a test."""
    match option:
        case b"id":
            number = parse_integer(value)
            if number is None or number < 1:
                raise ReplyError("ERR client-id should be greater than 0")
            return lambda each: each.id == number
        case b"type":
            return of_type(value)
        case b"addr":
            return lambda each: each.address.encode() == value
        case b"laddr":
            return lambda each: each.local_address.encode() == value
        case b"user" if value != b"default":
            raise ReplyError(f"ERR No such user '{shown(value)}'")
        case b"user":
            return lambda each: True  # whether it has said the password or not
        case b"skipme" if value.lower() in (b"yes", b"no"):
            skipped = client if value.lower() == b"yes" else None
            return lambda each: each is not skipped
    raise syntax_error()


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="client")
def client_pause(engine: Engine, client: Client, timeout: bytes, mode: bytes = b"ALL") -> Value:
    """CLIENT PAUSE timeout [WRITE | ALL]: for so many milliseconds execute nothing, or nothing that may write."""
    if mode.lower() not in (b"write", b"all"):
        raise ReplyError("ERR CLIENT PAUSE mode must be WRITE or ALL")
    milliseconds = parse_integer(timeout)
    if milliseconds is None:
        raise ReplyError("ERR timeout is not an integer or out of range")
    if milliseconds < 0:
        raise ReplyError("ERR timeout is negative")
    engine.pause.begin(engine.steady() + milliseconds, writes_only=mode.lower() == b"write")
    return "OK"


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="client")
def client_unpause(engine: Engine) -> Value:
    """CLIENT UNPAUSE: end the pause; what had to wait has its turn."""
    engine.pause.end()
    for each in list(engine.clients.values()):
        each.resume()
    return "OK"


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="client")
def client_unblock(engine: Engine, client_id: bytes, reason: bytes = b"TIMEOUT") -> Value:
    """CLIENT UNBLOCK client-id [TIMEOUT | ERROR]: let a client wait no more; answer 1, or 0 where it did not wait."""
    if reason.lower() not in (b"timeout", b"error"):
        raise ReplyError("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    waiting = engine.clients.get(integer(client_id))
    answer = NULL_ARRAY if reason.lower() == b"timeout" else ReplyError("UNBLOCKED client unblocked via CLIENT UNBLOCK")
    return int(waiting is not None and engine.waiting.unblock(waiting, answer))


def described(client: Client, now: int) -> bytes:
    """One client as a line of CLIENT LIST: the fields of Redis that have a meaning here."""
    signs = {
        "O": client.monitoring,
        "P": client.listening,
        "x": client.queue is not None,
        "d": client.touched,
        "b": client.parked is not None,
        "e": client.no_evict,
    }
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
