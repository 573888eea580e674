"""The table of commands, filled from function signatures, and the way through it. It knows no command by name."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from .client import Client
from .errors import not_an_integer, too_many_arguments, unknown_command, unknown_subcommand, wrong_number_of_arguments
from .hub import Hub
from .reader import parse_integer
from .store import Store
from .writer import Value

if TYPE_CHECKING:
    from .aof import Log
    from .counters import Counters
    from .eviction import Eviction
    from .onlookers import Onlookers
    from .options import Options
    from .pause import Pause
    from .rewrite import Rewriter
    from .scan import Order
    from .scripting import Scripts
    from .waiting import Waiting
    from .watching import Watching

# Flags, as COMMAND shows them. WRITE is refused while the log cannot be written, NO_AUTH goes before the password,
# NO_MULTI is refused after MULTI; the others are what clients and proxies want to know.
WRITE, READONLY, DENYOOM, FAST, ADMIN = "write", "readonly", "denyoom", "fast", "admin"
NOSCRIPT, LOADING, STALE, NO_AUTH, ALLOW_BUSY = "noscript", "loading", "stale", "no_auth", "allow_busy"
NO_MULTI, PUBSUB, BLOCKING, MOVABLEKEYS = "no_multi", "pubsub", "blocking", "movablekeys"

F = TypeVar("F", bound=Callable[..., Value])


class Server(Protocol):
    """What a command may ask of the server; the engine is one. So commands need not import it."""

    stores: list[Store]
    clients: dict[int, Client]
    options: "Options"
    log: "Log | None"
    order: "Order"
    hub: Hub
    rewriter: "Rewriter"
    eviction: "Eviction"
    scripts: "Scripts"
    onlookers: "Onlookers"
    watching: "Watching"
    waiting: "Waiting"
    pause: "Pause"
    steady: Callable[[], int]
    started: int
    run_id: str
    counters: "Counters"
    active_expire: bool

    def call(self, client: Client, command: "Command", words: list[bytes]) -> Value:
        """Run a command as a part of the one under way, as EXEC and EVAL do: errors are values, nothing waits."""

    def unblock(self, client: Client, answer: Value) -> bool:
        """Let a client wait no more, and answer it like this; tell whether it did wait."""

    def disconnect(self, client: Client) -> None:
        """A client has gone: forget it, and all that it waited for, watched and listened to."""

    def stop(self) -> None:
        """Stop serving, in good order."""


class Group(NamedTuple):
    """A family of commands."""

    name: str  # as COMMAND DOCS calls it
    category: str  # as ACL rules call it
    letter: str  # as notify-keyspace-events calls what they bring about


GROUPS = {  # by the file in `commands` that they stand in
    **dict.fromkeys(("strings", "subsequences"), Group("string", "@string", "$")),
    "hashes": Group("hash", "@hash", "h"),
    **dict.fromkeys(("lists", "queues"), Group("list", "@list", "l")),
    "sets": Group("set", "@set", "s"),
    **dict.fromkeys(("sorted_sets", "ranges", "pops", "algebra"), Group("sorted-set", "@sortedset", "z")),
    **dict.fromkeys(("keys", "databases", "deadlines", "sorting"), Group("generic", "@keyspace", "g")),
    "connection": Group("connection", "@connection", "g"),
    "descriptions": Group("server", "@connection", "g"),
    "clients": Group("connection", "@connection", "g"),
    "objects": Group("generic", "@keyspace", "g"),
    "transactions": Group("transactions", "@transaction", "g"),
    "pubsub": Group("pubsub", "@pubsub", "g"),
    "scripts": Group("scripting", "@scripting", "g"),
}
SERVER = Group("server", "", "g")  # all others


@dataclass
class Command:
    """One command: the function, and what its signature says, worked out once."""

    name: str  # in lower case; "client|setname" for a subcommand
    function: Callable[..., Value]
    flags: tuple[str, ...]
    run: Callable[[Server, Client, list[bytes]], Value]  # see `bind`
    fewest: int  # words in a request, those of the name among them
    most: float  # the same; infinite where the function takes *words. What is longer is refused: see `fits` and `bind`
    keys: tuple[int, int, int]  # first key, last key (-1: the last word), step; zeros where there is none
    readonly: bool
    plain: bool  # it is handed nothing but the data, and never waits
    subcommands: dict[bytes, "Command"] = field(default_factory=dict)

    @property
    def arity(self) -> int:
        """The number of words as COMMAND shows it: negative means at least so many."""
        return self.fewest if self.fewest == self.most else -self.fewest

    def fits(self, count: int) -> bool:
        """Whether the arity allows a request of so many arguments, its name among them.

        Redis knows no upper limit but an exact number. So a PING of three arguments is queued after MULTI, and refused
        when it runs.
        """
        return count == self.fewest if self.fewest == self.most else count >= self.fewest

    @property
    def group(self) -> Group:
        """The family it belongs to."""
        return GROUPS.get(self.function.__module__.rpartition(".")[2], SERVER)


COMMANDS: dict[bytes, Command] = {}  # name in lower case -> command
PLAIN: dict[bytes, Command] = {}  # those that are plain; name in lower case and in capitals, as clients send it


def command(*flags: str, of: str = "", keys: tuple[int, int, int] | None = None) -> Callable[[F], F]:
    """Enter the decorated function into the table: `def get` is GET, `def del_` is DEL.

    With `of="client"`, `def client_setname` is the subcommand CLIENT SETNAME. `keys` (first, last, step) is for
    the few commands whose keys stand where a signature cannot tell, such as every other word of MSET.
    """

    def register(function: F) -> F:
        entry = describe(function, flags, of, keys)
        table = COMMANDS[of.encode()].subcommands if of else COMMANDS
        name = entry.name.split("|")[-1].encode()
        table[name] = entry
        if entry.plain:
            PLAIN[name] = PLAIN[name.upper()] = entry
        return function

    return register


def describe(
    function: Callable[..., Value], flags: tuple[str, ...], of: str, keys: tuple[int, int, int] | None = None
) -> Command:
    """Read a function's signature: the signature is the syntax.

    Parameters annotated Store, Client or Server come first and are handed in. Each further one is a word of the
    request: `bytes` as it came, `int` read as a number; with a default it may be missing; `*words` takes any
    number, and what comes after that is the last word. One called `key`, and `*keys`, say where the keys stand.

    >>> def append(db: Store, key: bytes, value: bytes) -> Value: ...
    >>> entry = describe(append, (WRITE,), of="")
    >>> entry.name, entry.arity, entry.keys
    ('append', 3, (1, 1, 1))
    """
    name = function.__name__.rstrip("_")
    if of:
        name = f"{of}|{name.removeprefix(of + '_').replace('_', '-')}"
    depth = name.count("|") + 1
    parameters = list(inspect.signature(function, eval_str=True).parameters.values())
    handed = tuple(each.annotation for each in parameters if each.annotation in (Store, Client, Server))
    words = parameters[len(handed) :]
    single = [each for each in words if each.kind is not each.VAR_POSITIONAL]
    names = [each.name for each in words]
    last = names[-1] if words and words[-1].kind is inspect.Parameter.KEYWORD_ONLY else ""
    first = depth + names.index("key") if "key" in names else 0
    fewest = depth + sum(each.default is each.empty for each in single)
    most = depth + len(single) if single == words else inf
    return Command(
        name=name,
        function=function,
        flags=flags,
        run=bind(function, name, handed, [each.annotation is int for each in single], last, fewest, most),
        fewest=fewest,
        most=most,
        keys=keys or ((first, (-2 if last else -1) if "keys" in names else first, 1) if first else (0, 0, 0)),
        readonly=READONLY in flags,
        plain=handed == (Store,) and depth == 1 and BLOCKING not in flags,
    )


def bind(
    function: Callable[..., Value], name: str, handed: tuple[type, ...], integers: list[bool], last: str, fewest: int,
    most: float,
) -> Callable[[Server, Client, list[bytes]], Value]:  # fmt: skip
    """Make the function that a request is run through, with all that can be known now worked out now.

    It hands over what was asked for and the words after the name, integers already read.
    Raises `not_an_integer` where an int was wanted, and `too_many_arguments` where the arity allows more arguments than
    the function takes. A command on a database whose words are plain bytes, which is most of them, gets by with one
    inner call: STRLEN of a missing key takes 0.23 µs, where the stage's way through `zip` and `convert` takes 1.0.
    """
    depth = name.count("|") + 1
    places = [index for index, wanted in enumerate(integers, start=depth) if wanted]

    def run_plain(server: Server, client: Client, words: list[bytes]) -> Value:
        return function(client.db, *words[1:])

    def run_one(server: Server, client: Client, words: list[bytes]) -> Value:
        return function(client.db, words[1])

    def run_up_to(server: Server, client: Client, words: list[bytes]) -> Value:
        if len(words) > most:
            raise too_many_arguments(name, words)
        return function(client.db, *words[1:])

    def run(server: Server, client: Client, words: list[bytes]) -> Value:
        if len(words) > most:
            raise too_many_arguments(name, words)
        given = [client.db if kind is Store else client if kind is Client else server for kind in handed]
        arguments: list[bytes | int] = list(words)
        for place in places[: len(words) - depth]:
            arguments[place] = integer(words[place])
        if last:
            return function(*given, *arguments[depth:-1], **{last: arguments[-1]})
        return function(*given, *arguments[depth:])

    if handed == (Store,) and not places and depth == 1 and not last:
        if fewest == most:
            return run_one if len(integers) == 1 else run_plain
        return run_plain if most == inf else run_up_to
    return run


def integer(word: bytes) -> int:
    """Read a word as a 64-bit integer. Raises `not_an_integer`."""
    number = parse_integer(word)
    if number is None:
        raise not_an_integer()
    return number


def find(words: list[bytes]) -> Command:
    """Look up the command that a request names, and check its arity.

    Raises what `look_up` raises, and `wrong_number_of_arguments`.
    """
    found = look_up(words)
    if not found.fits(len(words)):
        raise wrong_number_of_arguments(found.name)
    return found


def look_up(words: list[bytes]) -> Command:
    """Look up the command that a request names, in capitals or not: by one word, or by two for a subcommand.

    Raises `unknown_command` and `unknown_subcommand`.

    >>> @command()
    ... def greet(*words: bytes) -> Value: ...
    >>> @command(of="greet")
    ... def greet_politely() -> Value: ...
    >>> look_up([b"GREET"]).name, look_up([b"greet", b"Politely"]).name
    ('greet', 'greet|politely')
    >>> del COMMANDS[b"greet"]
    """
    found = COMMANDS.get(words[0]) or COMMANDS.get(words[0].lower())
    if found is None:
        raise unknown_command(words)
    if not found.subcommands or len(words) == 1:
        return found
    if (subcommand := found.subcommands.get(words[1].lower())) is None:
        raise unknown_subcommand(found.name.upper(), words[1])
    return subcommand


def about_to_run(client: Client, command: Command) -> list[Command]:
    """What a client is about to run: the command; and if that is EXEC, all that is queued."""
    queued = client.queue if command.name == "exec" else None
    return [command, *(each for each, _ in queued or ())]


def options_of(words: tuple[bytes, ...]) -> Iterator[tuple[bytes, Iterator[bytes]]]:
    """Go through a command's options: each in lower case, and the iterator from which its values can be drawn.

    >>> [(option, next(rest) if option == b"ex" else None) for option, rest in options_of((b"NX", b"EX", b"10"))]
    [(b'nx', None), (b'ex', b'10')]
    """
    rest = iter(words)
    for word in rest:
        yield word.lower(), rest
