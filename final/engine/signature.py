"""`@command`: a function's signature is the syntax of its command, and how a request is bound to it."""

import inspect
from collections.abc import Callable, Iterable
from math import inf
from typing import TypeVar

from ..data.store import Store
from ..protocol.errors import too_many_arguments
from ..protocol.writer import Value
from .args import integer
from .client import Client
from .command import BLOCKING, COMMANDS, PLAIN, Command, FindKeys
from .context import Engine
from .key_specs import READ, derive

F = TypeVar("F", bound=Callable[..., Value])


def command(
    *flags: str,
    of: str = "",
    keys: str = READ,
    step: int = 1,
    find_keys: FindKeys | None = None,
    secrets: Callable[[list[bytes]], Iterable[int]] | None = None,
) -> Callable[[F], F]:
    """Enter the decorated function into the table: `def get` is GET, `def del_` is DEL.

    With `of="client"`, `def client_setname` is the subcommand CLIENT SETNAME. `keys` says how the command uses its
    keys, and `step` how far one is from the next: see `key_specs.py`. `find_keys` is for a command whose keys, or
    their use, no specification can tell: it takes a request and gives the index of each key, and how it is used.
    `secrets` gives the indexes of arguments that MONITOR and SLOWLOG must not show.
    """

    def register(function: F) -> F:
        entry = describe(function, flags, of, keys, step)
        entry.find_keys, entry.secrets = find_keys, secrets
        table = COMMANDS[of.encode()].subcommands if of else COMMANDS
        name = entry.name.split("|")[-1].encode()
        table[name] = entry
        if entry.plain:
            PLAIN[name] = PLAIN[name.upper()] = entry
        return function

    return register


def describe(
    function: Callable[..., Value], flags: tuple[str, ...], of: str = "", keys: str = READ, step: int = 1
) -> Command:
    """Read a function's signature: the signature is the syntax.

    Parameters annotated Store, Client or Server come first and are handed in. Each further one is a word of the
    request: `bytes` as it came, `int` read as a number; with a default it may be missing; `*args` takes any
    number, and what comes after that is the last word. `key_specs.py` knows which parameters are keys by their names.

    >>> def append(db: Store, key: bytes, value: bytes) -> Value: ...
    >>> entry = describe(append, ("write",))
    >>> entry.name, entry.arity, entry.keys_in([b"APPEND", b"k", b"v"])
    ('append', 3, [b'k'])
    """
    name = function.__name__.rstrip("_")
    if of:
        name = f"{of}|{name.removeprefix(of + '_').replace('_', '-')}"
    depth = name.count("|") + 1
    parameters = list(inspect.signature(function, eval_str=True).parameters.values())
    handed = tuple(each.annotation for each in parameters if each.annotation in (Store, Client, Engine))
    args = parameters[len(handed) :]
    single = [each for each in args if each.kind is not each.VAR_POSITIONAL]
    names = [each.name for each in args]
    last = names[-1] if args and args[-1].kind is inspect.Parameter.KEYWORD_ONLY else ""
    fewest = depth + sum(each.default is each.empty for each in single)
    most = depth + len(single) if single == args else inf
    return Command(
        name=name,
        function=function,
        flags=flags,
        run=bind(function, name, handed, [each.annotation is int for each in single], last, fewest, most),
        fewest=fewest,
        most=most,
        key_specs=tuple(derive(tuple(names), depth, step, keys)),
        plain=handed == (Store,) and depth == 1 and BLOCKING not in flags,
    )


def bind(
    function: Callable[..., Value], name: str, handed: tuple[type, ...], integers: list[bool], last: str, fewest: int,
    most: float,
) -> Callable[[Engine, Client, list[bytes]], Value]:  # fmt: skip
    """Make the function that a request is run through, with all that can be known now worked out now.

    It hands over what was asked for and the words after the name, integers already read.
    Raises `not_an_integer` where an int was wanted, and `too_many_arguments` where the arity allows more arguments than
    the function takes. A command on a database whose words are plain bytes, which is most of them, gets by with one
    inner call: STRLEN of a missing key takes 0.23 µs, where the stage's way through `zip` and `convert` takes 1.0.
    """
    depth = name.count("|") + 1
    places = [index for index, wanted in enumerate(integers, start=depth) if wanted]

    def run_plain(engine: Engine, client: Client, args: list[bytes]) -> Value:
        return function(client.db, *args[1:])

    def run_one(engine: Engine, client: Client, args: list[bytes]) -> Value:
        return function(client.db, args[1])

    def run_up_to(engine: Engine, client: Client, args: list[bytes]) -> Value:
        if len(args) > most:
            raise too_many_arguments(name, args)
        return function(client.db, *args[1:])

    def run(engine: Engine, client: Client, args: list[bytes]) -> Value:
        if len(args) > most:
            raise too_many_arguments(name, args)
        given = [client.db if kind is Store else client if kind is Client else engine for kind in handed]
        arguments: list[bytes | int] = list(args)
        for place in places[: len(args) - depth]:
            arguments[place] = integer(args[place])
        if last:
            return function(*given, *arguments[depth:-1], **{last: arguments[-1]})
        return function(*given, *arguments[depth:])

    if handed == (Store,) and not places and depth == 1 and not last:
        if fewest == most:
            return run_one if len(integers) == 1 else run_plain
        return run_plain if most == inf else run_up_to
    return run
