"""`@command`: the signature of a function is the syntax of a command; binding a request to the function."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain, repeat
from math import inf
from typing import TypeVar

from ..config.options import Options
from ..data.store import Store
from ..protocol.errors import too_many_arguments
from ..protocol.writer import Value
from .args import integer
from .client import Client
from .command import BLOCKING, COMMANDS, PLAIN, READS, WRITE, Command, FindKeys
from .context import Engine
from .key_specs import READ, derive

F = TypeVar("F", bound=Callable[..., Value])
Args = list[bytes]  # all arguments of a request, with the name of the command as the client typed it
COMPLEXITIES: dict[Callable[..., Value], str] = {}  # those that are not O(1)
INJECTED = (Store, Options, Client, Engine, Args)


def command(
    *flags: str,
    of: str = "",
    keys: str = READ,
    step: int = 1,
    notes: Sequence[str] = (),
    tips: str = "",
    find_keys: FindKeys | None = None,
    secrets: Callable[[list[bytes]], Iterable[int]] | None = None,
    writes: Callable[[Engine, list[bytes]], bool | None] | None = None,
    run_of: Callable[[Client, list[list[bytes]], bytearray], int] | None = None,
) -> Callable[[F], F]:
    """Register the decorated function in the table of commands: `def get` is GET, `def del_` is DEL, `def a__b` is A-B.

    With `of="client"`, `def client_setname` is the subcommand CLIENT SETNAME. `keys` says how the command uses its
    keys, and `step` is the distance from one key to the next: see `key_specs.py`. `notes` has a text for each of these
    specifications, and `tips` has words about the command: COMMAND INFO shows both. `find_keys` is for commands whose
    keys no specification describes: it takes a request and yields the index of each key, and how it is used. `secrets`
    takes a request and returns the indexes of arguments that MONITOR and SLOWLOG must not show. `writes` says of a
    request whether it may write, where that is not the same for all; None: as the flags say. `run_of` executes several
    requests at once: see `runs.py`.
    """

    def register(function: F) -> F:
        entry = describe(function, flags, of, keys, step)
        noted = zip(entry.key_specs, chain(notes, repeat("")), strict=False)
        entry.key_specs = tuple(replace(spec, notes=note) for spec, note in noted)
        entry.tips, entry.find_keys, entry.secrets, entry.run_of = tuple(tips.split()), find_keys, secrets, run_of
        entry.complexity, entry.writes = COMPLEXITIES.get(function), writes
        table = COMMANDS[of.encode()].subcommands if of else COMMANDS
        name = entry.name.split("|")[-1].encode()
        table[name] = entry
        if entry.plain:
            PLAIN[name] = PLAIN[name.upper()] = entry
            if WRITE not in flags:
                READS[name] = READS[name.upper()] = entry
        return function

    return register


def complexity(text: str) -> Callable[[F], F]:
    """Say how long a command takes that is not O(1), for COMMAND DOCS. This decorator stands below `@command`."""

    def note(function: F) -> F:
        COMPLEXITIES[function] = text
        return function

    return note


def describe(
    function: Callable[..., Value], flags: tuple[str, ...], of: str = "", keys: str = READ, step: int = 1
) -> Command:
    """Make a Command from the signature of a function.

    Parameters annotated Store, Options, Client, Engine or Args come first. They get the client's database, the
    options, the client, the engine and all arguments of the request.
    Each further parameter is an argument of the request: `bytes` unchanged, `int` parsed. One with a default may be
    missing. `*args` takes any number of arguments, and a parameter behind it takes the last one. `key_specs.py` says
    which parameters are keys, by their names.

    >>> def append(db: Store, key: bytes, value: bytes) -> Value: ...
    >>> entry = describe(append, ("write",))
    >>> entry.name, entry.arity, entry.keys_in([b"APPEND", b"k", b"v"])
    ('append', 3, [b'k'])
    """
    name = function.__name__.rstrip("_").replace("__", "-")
    if of:
        name = f"{of}|{name.removeprefix(of + '_').replace('_', '-')}"
    depth = name.count("|") + 1
    parameters = list(inspect.signature(function, eval_str=True).parameters.values())
    injected = tuple(each.annotation for each in parameters if each.annotation in INJECTED)
    args = parameters[len(injected) :]
    single = [each for each in args if each.kind is not each.VAR_POSITIONAL]
    names = [each.name for each in args]
    last = names[-1] if args and args[-1].kind is inspect.Parameter.KEYWORD_ONLY else ""
    fewest = depth + sum(each.default is each.empty for each in single)
    most = depth + len(single) if single == args else inf
    return Command(
        name=name,
        function=function,
        flags=flags,
        run=bind(function, name, injected, [each.annotation is int for each in single], last, fewest, most),
        fewest=fewest,
        most=most,
        key_specs=tuple(derive(tuple(names), depth, step, keys)),
        plain=injected in ((Store,), (Store, Options)) and depth == 1 and BLOCKING not in flags,
        contained=Engine not in injected and BLOCKING not in flags,
    )


def bind(
    function: Callable[..., Value], name: str, injected: tuple[type, ...], integers: list[bool], last: str, fewest: int,
    most: float,
) -> Callable[[Engine, Client, list[bytes]], Value]:  # fmt: skip
    """Return a function that takes engine, client and request, and calls `function` with what its parameters ask for.

    `injected` are the types of its first parameters; `integers` says of each further one whether it is an int; `last`
    is the name of the one behind `*args`, or "". The returned function raises `not_an_integer`, and
    `too_many_arguments` if the arity allows more arguments than `function` takes.

    Most commands take a database and arguments as bytes. They get a shorter function: STRLEN of a missing key takes
    0.23 µs, and takes 1.0 µs through `zip` and `convert` as in the stages.
    """
    depth = name.count("|") + 1
    places = [INJECTED.index(kind) for kind in injected]
    to_parse = [index for index, is_integer in enumerate(integers, start=depth) if is_integer]

    def run_plain(engine: Engine, client: Client, args: list[bytes]) -> Value:
        return function(client.db, *args[1:])

    def run_one(engine: Engine, client: Client, args: list[bytes]) -> Value:
        return function(client.db, args[1])

    def run_two(engine: Engine, client: Client, args: list[bytes]) -> Value:
        return function(client.db, args[1], args[2])

    def run_up_to(engine: Engine, client: Client, args: list[bytes]) -> Value:
        if len(args) > most:
            raise too_many_arguments(name, args)
        return function(client.db, *args[1:])

    def run_for_client(engine: Engine, client: Client, args: list[bytes]) -> Value:
        if len(args) == 1:
            return function(client)
        if len(args) > most:
            raise too_many_arguments(name, args)
        return function(client, *args[1:])

    def run_with_integers(engine: Engine, client: Client, args: list[bytes]) -> Value:
        arguments: list[bytes | int] = [*args]
        for index in to_parse:
            arguments[index] = integer(args[index])
        return function(client.db, *arguments[1:])

    def run_with_options(engine: Engine, client: Client, args: list[bytes]) -> Value:
        return function(client.db, engine.options, *args[1:])

    def run(engine: Engine, client: Client, args: list[bytes]) -> Value:
        if len(args) > most:
            raise too_many_arguments(name, args)
        known = client.db, engine.options, client, engine, args  # as in INJECTED
        context = [known[place] for place in places]
        arguments: list[bytes | int] = list(args)
        for index in to_parse[: len(args) - depth]:
            arguments[index] = integer(args[index])
        if last:
            return function(*context, *arguments[depth:-1], **{last: arguments[-1]})
        return function(*context, *arguments[depth:])

    if injected == (Store,) and not to_parse and depth == 1 and not last:
        if fewest == most:
            return {1: run_one, 2: run_two}.get(len(integers), run_plain)
        return run_plain if most == inf else run_up_to
    if injected == (Store,) and fewest == most and depth == 1 and not last:
        return run_with_integers
    if injected == (Client,) and not to_parse and depth == 1 and not last:
        return run_for_client
    if injected == (Store, Options) and not to_parse and not last and most in (fewest, inf):
        return run_with_options
    return run
