"""COMMAND: made from the signatures of the handlers."""

from collections.abc import Iterable

from ..engine.acl.categories import CATEGORIES, categories
from ..engine.command import COMMANDS, LOADING, SHOWN, STALE, Command, Group, look_up
from ..engine.key_specs import KeySpec, legacy
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError, syntax_error
from ..protocol.pattern import matcher
from ..protocol.writer import Value

GROUP = Group("server", "@connection", "g")


@command(LOADING, STALE, tips="nondeterministic_output_order")
@complexity("O(N) for N commands")
def command_(*arguments: bytes) -> Value:
    """COMMAND: answer with the description of every command; see the subcommands."""
    return [described(entry) for entry in COMMANDS.values()]


@command(LOADING, STALE, of="command")
def command_count() -> Value:
    """COMMAND COUNT: answer with the number of commands."""
    return len(COMMANDS)


@command(LOADING, STALE, of="command", tips="nondeterministic_output_order")
@complexity("O(N) for N commands")
def command_info(*names: bytes) -> Value:
    """COMMAND INFO [command-name ...]: answer with the descriptions of these commands, null for one that is unknown."""
    if not names:
        return [described(entry) for entry in COMMANDS.values()]
    return [described(entry) if (entry := named(name)) else None for name in names]


@command(LOADING, STALE, of="command", tips="nondeterministic_output_order")
@complexity("O(N) for N commands")
def command_list(*options: bytes) -> Value:
    """COMMAND LIST [FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]: answer with the names of commands."""  # noqa: E501
    entries = [each for entry in COMMANDS.values() for each in (entry, *entry.subcommands.values())]
    match [option.lower() for option in options]:
        case []:
            pass
        case [b"filterby", b"module", _]:
            entries = []  # this server has no modules
        case [b"filterby", b"aclcat", category]:
            entries = [each for each in entries if "@" + category.decode(errors="replace") in categories(each)]
        case [b"filterby", b"pattern", pattern]:
            matches = matcher(pattern)
            entries = [each for each in entries if matches(each.name.encode())]
        case _:
            raise syntax_error()
    return [each.name.encode() for each in entries]


@command(LOADING, STALE, of="command")
@complexity("O(N) for N arguments")
def command_getkeys(name: bytes, arg: bytes, *args: bytes) -> Value:
    """COMMAND GETKEYS command arg [arg ...]: answer with the keys of a request."""
    return [key for key, _ in used_keys([name, arg, *args])]


@command(LOADING, STALE, of="command")
@complexity("O(N) for N arguments")
def command_getkeysandflags(name: bytes, arg: bytes, *args: bytes) -> Value:
    """COMMAND GETKEYSANDFLAGS command arg [arg ...]: answer with the keys of a request, and how each is used."""
    return [[key, ordered(access.split())] for key, access in used_keys([name, arg, *args])]


def used_keys(request: list[bytes]) -> list[tuple[bytes, str]]:
    """Return the keys of a request, each with how the command uses it. Raises ReplyError if the request has no keys."""
    try:
        entry = look_up(request)
    except ReplyError:
        raise ReplyError("ERR Invalid command specified") from None
    if not entry.specs_of_keys:
        raise ReplyError("ERR The command has no key arguments")
    if not entry.fits(len(request)):
        raise ReplyError("ERR Invalid number of arguments specified for command")
    found = [(request[at], access) for at, access in entry.uses_of_keys(request)]
    if not found and "no_mandatory_keys" not in entry.flags:
        raise ReplyError("ERR Invalid arguments specified for command")
    return found


def named(name: bytes) -> Command | None:
    """Return the command of this name, or None. A subcommand's name is written `client|setname`."""
    first, _, second = name.lower().partition(b"|")
    entry = COMMANDS.get(first)
    return entry.subcommands.get(second) if entry and second else entry


def described(entry: Command) -> Value:
    """Return a command as COMMAND describes it.

    The items are name, arity, flags, first key, last key, step, ACL categories, tips, key specifications and
    subcommands.
    """
    flags = ordered(each for each in SHOWN if each in entry.flags)
    held = categories(entry)
    groups = ordered(each for name in CATEGORIES if (each := "@" + name) in held)
    specs = [specification(each) for each in entry.key_specs]
    subcommands = [described(each) for each in entry.subcommands.values()]
    positions = legacy(entry.key_specs)
    tips = [each.encode() for each in entry.tips]
    return [entry.name.encode(), entry.arity, flags, *positions, groups, tips, specs, subcommands]


def ordered(names: Iterable[str]) -> Value:
    """Return a set of names that is written in this order: a Python set has another one in each run."""
    return dict.fromkeys(names).keys()


def specification(spec: KeySpec) -> Value:
    """Return a key specification as COMMAND describes it."""
    if spec.counted:
        kind, where = b"keynum", {b"keynumidx": 0, b"firstkey": 1, b"keystep": 1}
    else:
        kind, where = b"range", {b"lastkey": spec.last, b"keystep": spec.step, b"limit": spec.limit}
    begin: Value = {b"type": b"index", b"spec": {b"index": spec.begin}}
    find: Value = {b"type": kind, b"spec": where}
    if spec.keyword:
        begin = {b"type": b"keyword", b"spec": {b"keyword": spec.keyword.encode(), b"startfrom": spec.begin}}
    if not spec.begin:
        begin = find = {b"type": b"unknown", b"spec": {}}
    notes: dict[Value, Value] = {b"notes": spec.notes.encode()} if spec.notes else {}
    return notes | {b"flags": ordered(spec.access.split()), b"begin_search": begin, b"find_keys": find}
