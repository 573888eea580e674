"""Functions: programs in Lua that are kept with the data. `engine/functions.py` has the libraries that they are in."""

from ..data.store import Store
from ..data.unit import NO_EVENT
from ..engine.client import Client
from ..engine.command import (
    ALLOW_BUSY,
    DENYOOM,
    MAY_REPLICATE,
    MOVABLEKEYS,
    NO_MANDATORY_KEYS,
    NO_TOUCH,
    NOSCRIPT,
    READONLY,
    SKIP_MONITOR,
    STALE,
    WRITE,
    Group,
)
from ..engine.context import Engine
from ..engine.functions import FLAGS, Library
from ..engine.signature import Args, command, complexity
from ..log.rdb.cursor import BadSnapshot
from ..log.rdb.read import WrongDump, read_functions
from ..log.rdb.write import dump_functions
from ..protocol.errors import ReplyError, shown
from ..protocol.numeric import parse_integer
from ..protocol.pattern import matcher
from ..protocol.writer import Value

GROUP = Group("scripting", "@scripting", "g")

CALL_FLAGS = (NOSCRIPT, STALE, SKIP_MONITOR, NO_MANDATORY_KEYS, MOVABLEKEYS, NO_TOUCH)
EVERYWHERE = "request_policy:all_shards response_policy:all_succeeded"


def call(engine: Engine, client: Client, request: list[bytes], readonly: bool) -> Value:
    """Call a function, as a request says."""
    function = engine.functions.find(request[1])
    number, args = parse_integer(request[2]), request[3:]
    if number is None:
        raise ReplyError("ERR Bad number of keys provided")
    if number > len(args):
        raise ReplyError("ERR Number of keys can't be greater than number of args")
    if number < 0:
        raise ReplyError("ERR Number of keys can't be negative")
    return engine.functions.call(client, request, function, args[:number], args[number:], readonly)


def may_write(engine: Engine, args: list[bytes]) -> bool | None:
    """Return whether the function that a request names may write, as its flags say; None: there is none."""
    try:
        return "no-writes" not in engine.functions.find(args[1]).flags
    except ReplyError:
        return None


@command(
    *CALL_FLAGS,
    MAY_REPLICATE,
    keys="RW access update",
    writes=may_write,
    notes=["We cannot tell how the keys will be used so we assume the worst, RW and UPDATE"],
)
@complexity("Depends on the function.")
def fcall(engine: Engine, client: Client, request: Args, function: bytes, numkeys: bytes, *args: bytes) -> Value:
    """FCALL function numkeys [key ...] [arg ...]: call a function; answer with what it returns."""
    return call(engine, client, request, readonly=False)


@command(
    READONLY,
    *CALL_FLAGS,
    writes=may_write,
    notes=["We cannot tell how the keys will be used so we assume the worst, RO and ACCESS"],
)
@complexity("Depends on the function.")
def fcall_ro(engine: Engine, client: Client, request: Args, function: bytes, numkeys: bytes, *args: bytes) -> Value:
    """FCALL_RO function numkeys [key ...] [arg ...]: call a function that must not write."""
    return call(engine, client, request, readonly=True)


@command()
def function(subcommand: bytes, *arguments: bytes) -> Value:
    """FUNCTION subcommand [argument ...]: manage the libraries of functions; see the subcommands."""


def changed(db: Store) -> Value:
    """Note that the libraries have changed, for the log and the replicas; answer OK."""
    db.changed(event=NO_EVENT)
    db.unit.changes += 1
    return "OK"


@command(WRITE, DENYOOM, NOSCRIPT, of="function", tips=EVERYWHERE)
@complexity("O(1), compiling apart")
def function_load(engine: Engine, db: Store, *options: bytes, function_code: bytes) -> Value:
    """FUNCTION LOAD [REPLACE] function-code: load a library; answer with its name."""
    for option in options:
        if option.lower() != b"replace":
            raise ReplyError(f"ERR Unknown option given: {shown(option, None)}")
    name = engine.functions.load(function_code, bool(options), db.unit.replaying)
    changed(db)
    return name


@command(WRITE, NOSCRIPT, of="function", tips=EVERYWHERE)
def function_delete(engine: Engine, db: Store, library_name: bytes) -> Value:
    """FUNCTION DELETE library-name: remove a library and its functions."""
    engine.functions.delete(library_name)
    return changed(db)


@command(WRITE, NOSCRIPT, of="function", tips=EVERYWHERE)
@complexity("O(N) for N functions")
def function_flush(engine: Engine, db: Store, mode: bytes = b"sync") -> Value:
    """FUNCTION FLUSH [ASYNC | SYNC]: remove all libraries."""
    if mode.lower() not in (b"sync", b"async"):
        raise ReplyError("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")
    engine.functions.flush()
    return changed(db)


@command(NOSCRIPT, of="function")
@complexity("O(N) for N functions")
def function_dump(engine: Engine) -> Value:
    """FUNCTION DUMP: answer with all libraries as FUNCTION RESTORE takes them."""
    return dump_functions(engine.functions.codes, engine.options.rdbcompression == "yes")


@command(WRITE, DENYOOM, NOSCRIPT, of="function", tips=EVERYWHERE)
@complexity("O(N) for N functions")
def function_restore(engine: Engine, db: Store, serialized_value: bytes, policy: bytes = b"append") -> Value:
    """FUNCTION RESTORE serialized-value [FLUSH | APPEND | REPLACE]: load what FUNCTION DUMP answered, or nothing."""
    if policy.lower() not in (b"flush", b"append", b"replace"):
        raise ReplyError("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.")
    try:
        engine.functions.restore(read_functions(serialized_value), policy.lower(), db.unit.replaying)
    except WrongDump:
        raise ReplyError("ERR DUMP payload version or checksum are wrong") from None
    except BadSnapshot as error:
        raise ReplyError(f"ERR {error.reason}") from None
    return changed(db)


@command(NOSCRIPT, of="function", tips="nondeterministic_output_order")
@complexity("O(N) for N functions")
def function_list(engine: Engine, *options: bytes) -> Value:
    """FUNCTION LIST [LIBRARYNAME library-name-pattern] [WITHCODE]: answer with the libraries, each with its functions."""  # noqa: E501
    pattern, with_code, given = None, False, iter(options)
    for option in given:
        if option.lower() == b"withcode" and not with_code:
            with_code = True
        elif option.lower() == b"libraryname" and pattern is None:
            if (pattern := next(given, None)) is None:
                raise ReplyError("ERR library name argument was not given")
        else:
            raise ReplyError(f"ERR Unknown argument {shown(option, None)}")
    matches = matcher(pattern.lower()) if pattern is not None else lambda name: True
    return [described(each, with_code) for each in engine.functions.libraries if matches(each.name.lower())]


def described(library: Library, with_code: bool) -> Value:
    """Return a library as FUNCTION LIST describes it."""
    functions: list[Value] = [
        {
            b"name": each.name,
            b"description": each.description,
            b"flags": dict.fromkeys(flag for flag in FLAGS if flag in each.flags).keys(),
        }
        for each in library.functions or ()
    ]
    code: dict[Value, Value] = {b"library_code": library.code} if with_code else {}
    return {b"library_name": library.name, b"engine": b"LUA", b"functions": functions, **code}


@command(
    NOSCRIPT,
    ALLOW_BUSY,
    of="function",
    tips="nondeterministic_output request_policy:all_shards response_policy:special",
)
def function_stats(engine: Engine) -> Value:
    """FUNCTION STATS: answer with the function that runs, or null; and with the numbers of libraries and functions."""
    scripts, libraries = engine.scripts, engine.functions.libraries
    running: Value = None
    if (program := scripts.program) is not None:
        if not program.is_function:
            raise scripts.busy_error
        request, passed = engine.functions.request, int(scripts.milliseconds)
        running = {b"name": program.name, b"command": request, b"duration_ms": passed}
    counts = {b"libraries_count": len(libraries.by_name), b"functions_count": len(libraries)}
    return {b"running_script": running, b"engines": {b"LUA": counts}}


@command(NOSCRIPT, ALLOW_BUSY, of="function", tips="request_policy:all_shards response_policy:one_succeeded")
def function_kill(engine: Engine) -> Value:
    """FUNCTION KILL: stop the running function, unless it has written."""
    engine.scripts.kill(function=True)
    return "OK"
