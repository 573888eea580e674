"""The table of commands, and the way from a request to a function. It knows no command by name."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any, TypeVar

from client import Client  # noqa: F401  (for the examples)
from errors import not_an_integer, unknown_command, wrong_number_of_arguments
from reader import parse_integer
from store import Store  # noqa: F401
from writer import Value

ARGUMENTS: tuple[object, ...] = (bytes, int, bytes | None)  # annotations of arguments; others say what is handed in

F = TypeVar("F", bound=Callable[..., Value])


@dataclass
class Signature:
    """What the signature of a function says about its command."""

    handed: tuple[type, ...]  # the types of the objects that the function is handed first, such as Store
    types: tuple[object, ...]  # the annotations of the arguments that follow, without `*args`
    fewest: int  # arguments that a request must have after the command's name
    most: float  # arguments that it may have; infinite with `*args`


def convert(arg: bytes, kind: object) -> bytes | int:
    """Convert an argument to the type of its parameter: to an integer if `kind` is int; else return it unchanged.

    Use `parse_integer` of the reader, which is as strict as Redis. Raises `not_an_integer()` for what is no integer.

    >>> convert(b"-12", int), convert(b"-12", bytes)
    (-12, b'-12')
    """
    if kind is not int:
        return arg
    number = parse_integer(arg)
    if number is None:
        raise not_an_integer()
    return number


def describe(function: Callable[..., Value]) -> Signature:
    """Read the signature of a function.

    `inspect.signature(function, eval_str=True).parameters.values()` are its parameters (with `eval_str`, annotations
    that a module keeps as text become types, too). Each has an `annotation`; a `default`, which is
    `inspect.Parameter.empty` if there is none; and a `kind`, which is `inspect.Parameter.VAR_POSITIONAL` for `*args`.

    The first parameters may have annotations that are not in ARGUMENTS: the function is handed an object of each of
    these types. The other parameters are the arguments of the request. One with a default may be missing; `*args`
    takes any number. `handed` and `types` of the result are tuples.

    >>> def lpop(db: Store, key: bytes, count: int = 1) -> Value: ...
    >>> found = describe(lpop)
    >>> found.handed == (Store,), found.types == (bytes, int), found.fewest, found.most
    (True, True, 1, 2)
    >>> def quit_(client: Client, *ignored: bytes) -> Value: ...
    >>> describe(quit_).fewest, describe(quit_).most
    (0, inf)
    """
    parameters = list(inspect.signature(function, eval_str=True).parameters.values())
    handed = [each.annotation for each in parameters if each.annotation not in ARGUMENTS]
    arguments = parameters[len(handed) :]
    single = [each for each in arguments if each.kind is not each.VAR_POSITIONAL]
    return Signature(
        handed=tuple(handed),
        types=tuple(each.annotation for each in single),
        fewest=sum(each.default is each.empty for each in single),
        most=len(single) if single == arguments else inf,
    )


@dataclass
class Command:
    """A command: its name, in lower case, and its function."""

    name: str
    function: Callable[..., Value]

    @cached_property
    def signature(self) -> Signature:
        """The signature of the function. It is read when it is first needed."""
        return describe(self.function)

    def call(self, handed: Mapping[type, Any], args: list[bytes]) -> Value:
        """Call the function for the request `args`, whose number of arguments is right; return its answer.

        `handed` maps a type to the object of this type that a function can ask for. The function gets the objects
        that its signature names in `handed`; then the arguments behind the command's name, each converted to the
        type of its parameter; then those for `*args`, unchanged.

        >>> def greet(client: Client, times: int, *names: bytes) -> Value:
        ...     return client.id, times, names
        >>> handed = {Store: Store(), Client: Client(id=7)}
        >>> Command("greet", greet).call(handed, [b"GREET", b"3", b"5"])
        (7, 3, (b'5',))
        """
        objects = [handed[kind] for kind in self.signature.handed]
        converted = [convert(arg, kind) for arg, kind in zip(args[1:], self.signature.types, strict=False)]
        return self.function(*objects, *converted, *args[1 + len(converted) :])


COMMANDS: dict[bytes, Command] = {}  # name in lower case -> command


def command(function: F) -> F:
    """Put the decorated function into the table of commands: `def get` is GET, `def del_` is DEL."""
    name = function.__name__.rstrip("_")
    COMMANDS[name.encode()] = Command(name, function)
    return function


def find(args: list[bytes]) -> Command:
    """Return the command that a request names, in upper or lower case, if its number of arguments is right.

    Raises `unknown_command`, and `wrong_number_of_arguments` for fewer or more arguments than the signature allows.

    >>> @command
    ... def greet(name: bytes) -> Value: ...
    >>> find([b"Greet", b"Ann"]).name
    'greet'
    >>> find([b"GREET"])
    Traceback (most recent call last):
    errors.ReplyError: ERR wrong number of arguments for 'greet' command
    """
    found = COMMANDS.get(args[0].lower())
    if found is None:
        raise unknown_command(args)
    if not found.signature.fewest <= len(args) - 1 <= found.signature.most:
        raise wrong_number_of_arguments(found.name)
    return found
