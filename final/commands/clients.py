"""CLIENT: commands about the client that sends them, and commands for an administrator, about all clients."""

from collections.abc import Callable, Iterable

from ..engine.args import OptionCursor, integer
from ..engine.client import Client
from ..engine.client_line import described
from ..engine.command import ADMIN, KEEPS_CACHING, LOADING, NOSCRIPT, STALE, Group
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError, shown, syntax_error
from ..protocol.numeric import parse_integer
from ..protocol.writer import NO_REPLY, Value, Verbatim
from .connection import valid_name

GROUP = Group("connection", "@connection", "g")


@command(KEEPS_CACHING)
def client(subcommand: bytes, *arguments: bytes) -> Value:
    """CLIENT subcommand [argument ...]: inspect and manage clients; each subcommand has its own function below."""


@command(NOSCRIPT, LOADING, STALE, of="client")
def client_id(client: Client) -> Value:
    """CLIENT ID: answer with the client's ID; IDs are never reused."""
    return client.id


@command(NOSCRIPT, LOADING, STALE, of="client")
def client_setname(client: Client, name: bytes) -> Value:
    """CLIENT SETNAME connection-name: set the connection's name; an empty name removes it."""
    client.name = valid_name(name)
    return "OK"


@command(NOSCRIPT, LOADING, STALE, of="client")
def client_getname(client: Client) -> Value:
    """CLIENT GETNAME: answer with the connection's name, or null if it has no name."""
    return client.name or None


@command(NOSCRIPT, LOADING, STALE, of="client")
def client_setinfo(client: Client, attribute: bytes, value: bytes) -> Value:
    """CLIENT SETINFO attribute value: set the name or version of the client's library (since Redis 7.2)."""
    valid = all(ord("!") <= byte <= ord("~") for byte in value)
    match attribute.lower():
        case b"lib-name" | b"lib-ver" if not valid:
            name = attribute.lower().decode()
            raise ReplyError(f"ERR {name} cannot contain spaces, newlines or special characters.")
        case b"lib-name":
            client.library = value
        case b"lib-ver":
            client.library_version = value
        case _:
            raise ReplyError(f"ERR Unrecognized option '{shown(attribute, None)}'")
    return "OK"


@command(NOSCRIPT, LOADING, STALE, of="client", tips="nondeterministic_output")
def client_info(engine: Engine, client: Client) -> Value:
    """CLIENT INFO: answer with this client's line of CLIENT LIST."""
    return Verbatim(described(client, engine.steady()))


@command(NOSCRIPT, LOADING, STALE, of="client")
def client_reply(client: Client, mode: bytes) -> Value:
    """CLIENT REPLY <ON | OFF | SKIP>: turn replies on or off, or skip the next reply; answer OK only to ON."""
    match mode.lower():
        case b"on":
            client.reply_off = client.reply_skip = False
            return "OK"
        case b"off":
            client.reply_off = True
        case b"skip":
            client.reply_skip_next = not client.reply_off
        case _:
            raise syntax_error()
    return NO_REPLY


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="client")
def client_no_evict(client: Client, mode: bytes) -> Value:
    """CLIENT NO-EVICT <ON | OFF>: let this client stay connected when clients take more than `maxmemory-clients`."""
    if mode.lower() not in (b"on", b"off"):
        raise syntax_error()
    client.no_evict = mode.lower() == b"on"
    return "OK"


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="client", tips="nondeterministic_output")
@complexity("O(N) for N clients")
def client_list(engine: Engine, *options: bytes) -> Value:
    """CLIENT LIST [TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]: answer with one line for each client.

    TYPE selects the clients of one type, ID those with one of these IDs; a request can have only one of the two. An ID
    that no client has is skipped.
    """  # noqa: E501  (the first line is what redis-cli shows)
    chosen: Iterable[Client] = engine.clients.values()
    match [option.lower() for option in options[:1]], options[1:]:
        case [], _:
            pass
        case [b"type"], [kind]:
            chosen = filter(of_type(kind), chosen)
        case [b"id"], [_, *_]:
            ids = [parse_integer(arg) for arg in options[1:]]
            if None in ids:
                raise ReplyError("ERR Invalid client ID")
            chosen = [engine.clients[each] for each in ids if each in engine.clients]
        case _:
            raise syntax_error()
    return Verbatim(b"".join(described(each, engine.steady()) for each in chosen))


def of_type(arg: bytes) -> Callable[[Client], bool]:
    """Return a test for a client: whether it is of the type `arg`. Raises ReplyError for an unknown type.

    The primary of a replica has the type master, a client that is `subscribed` the type pubsub.
    """
    kind = arg.lower()
    if kind not in (b"normal", b"pubsub", b"master", b"replica", b"slave"):
        raise ReplyError(f"ERR Unknown client type '{shown(arg, None)}'")
    kind = b"replica" if kind == b"slave" else kind
    return lambda client: kind == type_of(client)


def type_of(client: Client) -> bytes:
    """Return the type of a client."""
    if client.replica is not None:
        return b"replica"
    return b"master" if client.is_primary else b"pubsub" if client.subscribed else b"normal"


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="client")
@complexity("O(N) for N clients")
def client_kill(engine: Engine, client: Client, option: bytes, *options: bytes) -> Value:
    """CLIENT KILL <ip:port | <[ID client-id] | [TYPE <NORMAL | MASTER | SLAVE | REPLICA | PUBSUB>] | [USER username] | [ADDR ip:port] | [LADDR ip:port] | [SKIPME yes/no] ...>>: close one connection by its address, or all that match.

    The options are ID client-id, TYPE type, USER username, ADDR ip:port, LADDR ip:port and SKIPME YES | NO. A
    client must match all options; if an option is repeated, the last one counts. SKIPME is YES by default: it excludes
    the client that sends the command. The form with an address does not exclude it.

    The form with an address answers OK, or with an error if no client has this address. The form with options answers
    with the number of clients whose connections it closes.
    """  # noqa: E501  (the first line is what redis-cli shows)
    if not options:
        found = [each for each in engine.clients.values() if each.address.encode() == option]
        if not found:
            raise ReplyError("ERR No such client")
    else:
        filters = parse_filters(engine, (option, *options), client)
        found = [each for each in engine.clients.values() if all(matches(each) for matches in filters)]
    close(engine, client, found)
    return len(found) if options else "OK"


def close(engine: Engine, client: Client, found: Iterable[Client]) -> None:
    """Close the connections of clients for a command of `client`, whose own is closed after the reply."""
    for each in found:
        each.closing = True
        if each is not client:
            engine.disconnect(each)
            each.hang_up()


def parse_filters(engine: Engine, args: tuple[bytes, ...], client: Client) -> list[Callable[[Client], bool]]:
    """Parse the options of CLIENT KILL; return one test for each option, and one for the default of SKIPME."""
    found: dict[bytes, Callable[[Client], bool]] = {b"skipme": lambda each: each is not client}
    options = OptionCursor(args)
    for option in options:
        found[option] = parse_filter(engine, option, options.value(), client)
    return list(found.values())


def parse_filter(engine: Engine, option: bytes, value: bytes, client: Client) -> Callable[[Client], bool]:
    """Parse one option of CLIENT KILL; return a test: whether a client matches it. Raises ReplyError."""
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
        case b"user":
            if (user := engine.users.by_name.get(value)) is None:
                raise ReplyError(f"ERR No such user '{shown(value, None)}'")
            return lambda each: each.user is user
        case b"skipme" if value.lower() in (b"yes", b"no"):
            skipped = client if value.lower() == b"yes" else None
            return lambda each: each is not skipped
    raise syntax_error()


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="client")
def client_pause(engine: Engine, client: Client, timeout: bytes, mode: bytes = b"ALL") -> Value:
    """CLIENT PAUSE timeout [WRITE | ALL]: delay all commands, or those that may write.

    `timeout` is in milliseconds. A pause that has begun can become longer, but not shorter.
    """
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
@complexity("O(N) for N paused clients")
def client_unpause(engine: Engine) -> Value:
    """CLIENT UNPAUSE: end the pause; the delayed commands are executed at their clients' turns."""
    engine.pause.end()
    for each in list(engine.clients.values()):
        each.resume()
    return "OK"


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="client")
@complexity("O(log(N)) for N clients")
def client_unblock(engine: Engine, client_id: bytes, reason: bytes = b"TIMEOUT") -> Value:
    """CLIENT UNBLOCK client-id [TIMEOUT | ERROR]: unblock a client; answer 1, or 0 if it was not blocked.

    Its blocking command is answered with the null array (TIMEOUT), or with the error UNBLOCKED (ERROR).
    """
    if reason.lower() not in (b"timeout", b"error"):
        raise ReplyError("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    target = engine.clients.get(integer(client_id))
    parked = target.parked if target is not None else None
    if target is None or parked is None or parked.wait.only_end:
        return 0
    if reason.lower() == b"error":
        engine.waiting.unblock(target, ReplyError("UNBLOCKED client unblocked via CLIENT UNBLOCK"))
    else:
        engine.waiting.unblock(target, parked.wait.timed_out())
        engine.counters.calls.failed[parked.command.name] += 1  # as in Redis, which counts it as an error, too
    engine.slowlog.keep(target, parked.command, parked.args, parked.took)
    return 1
