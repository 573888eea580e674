"""The table of commands, filled from function signatures, and the way through it. It knows no command by name."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from client import Client
from errors import ReplyError, not_an_integer, unknown_command, wrong_number_of_arguments
from reader import parse_integer
from store import Store
from writer import Value

WRITE, READONLY = "write", "readonly"  # flags, as COMMAND shows them

F = TypeVar("F", bound=Callable[..., Value])


@dataclass
class Command:
    """One command: the function, and what its signature says, worked out once."""

    name: str  # in lower case; "client|setname" for a subcommand
    function: Callable[..., Value]
    flags: tuple[str, ...]
    handed: tuple[type, ...]  # what the function gets before the words: Store, Client, both or neither
    types: tuple[type, ...]  # of the words that follow: int, or else bytes
    fewest: int  # words in a request, those of the name among them
    most: float  # the same; infinite where the function takes *args
    keys: tuple[int, int, int]  # first key, last key (-1: the last word), step; zeros where there is none
    subcommands: dict[bytes, "Command"] = field(default_factory=dict)

    @property
    def arity(self) -> int:
        """The number of words as COMMAND shows it: negative means at least so many."""
        return self.fewest if self.fewest == self.most else -self.fewest

    def call(self, db: Store, client: Client, args: list[bytes]) -> Value:
        """Hand the function what it asked for and the words after its name, integers already read.

        Raises `wrong_number_of_arguments` for too few or too many words, `not_an_integer` where an int was wanted.

        >>> def greet(client: Client, times: int) -> Value: return client.id, times
        >>> describe(greet, (), of="").call(Store(), Client(id=7), [b"GREET", b"3"])
        (7, 3)
        """
        if not self.fewest <= len(args) <= self.most:
            raise wrong_number_of_arguments(self.name)
        given = [db if kind is Store else client for kind in self.handed]
        arguments = args[self.name.count("|") + 1 :]
        head = [convert(arg, kind) for arg, kind in zip(arguments, self.types, strict=False)]
        return self.function(*given, *head, *arguments[len(head) :])


COMMANDS: dict[bytes, Command] = {}  # name in lower case -> command


def command(*flags: str, of: str = "") -> Callable[[F], F]:
    """Enter the decorated function into the table: `def get` is GET, `def del_` is DEL.

    With `of="client"`, `def client_setname` is the subcommand CLIENT SETNAME.
    """

    def register(function: F) -> F:
        entry = describe(function, flags, of)
        table = COMMANDS[of.encode()].subcommands if of else COMMANDS
        table[entry.name.split("|")[-1].encode()] = entry
        return function

    return register


def describe(function: Callable[..., Value], flags: tuple[str, ...], of: str) -> Command:
    """Read a function's signature: the signature is the syntax.

    Parameters annotated Store or Client come first and are handed in. Each further one is a word of the request:
    `bytes` as it came, `int` read as a number; with a default it may be missing; `*args` takes any number.
    One called `key`, and `*keys`, say where the keys stand.

    >>> def mset(db: Store, key: bytes, value: bytes, *more: bytes) -> Value: ...
    >>> entry = describe(mset, (WRITE,), of="")
    >>> entry.name, entry.arity, entry.keys
    ('mset', -3, (1, 1, 1))
    """
    name = function.__name__.rstrip("_")
    if of:
        name = f"{of}|{name.removeprefix(of + '_')}"
    depth = name.count("|") + 1
    parameters = list(inspect.signature(function, eval_str=True).parameters.values())
    handed = tuple(each.annotation for each in parameters if each.annotation in (Store, Client))
    args = parameters[len(handed) :]
    single = [each for each in args if each.kind is not each.VAR_POSITIONAL]
    names = [each.name for each in args]
    first = depth + names.index("key") if "key" in names else 0
    return Command(
        name=name,
        function=function,
        flags=flags,
        handed=handed,
        types=tuple(each.annotation for each in single),
        fewest=depth + sum(each.default is each.empty for each in single),
        most=depth + len(single) if single == args else float("inf"),
        keys=(first, -1 if "keys" in names else first, 1) if first else (0, 0, 0),
    )


def convert(arg: bytes, kind: type) -> bytes | int:
    """Turn a word into what a parameter wants. Raises `not_an_integer`."""
    if kind is not int:
        return arg
    number = parse_integer(arg)
    if number is None:
        raise not_an_integer()
    return number


def find(args: list[bytes]) -> Command:
    """Look up the command that a request names, in capitals or not: by one word, or by two for a subcommand.

    A second word that is no subcommand goes to the command itself, which knows what to say to it.
    Raises `unknown_command`.

    >>> @command()
    ... def greet() -> Value: ...
    >>> @command(of="greet")
    ... def greet_politely() -> Value: ...
    >>> find([b"GREET"]).name, find([b"greet", b"Politely"]).name, find([b"greet", b"rudely"]).name
    ('greet', 'greet|politely', 'greet')
    """
    found = COMMANDS.get(args[0].lower())
    if found is None:
        raise unknown_command(args)
    if found.subcommands and len(args) > 1:
        return found.subcommands.get(args[1].lower(), found)
    return found


def execute(db: Store, client: Client, args: list[bytes]) -> Value:
    """Answer one request. A ReplyError, whoever raised it, is the answer."""
    try:
        return find(args).call(db, client, args)
    except ReplyError as error:
        return error
