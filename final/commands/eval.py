"""Scripts: programs in Lua that run as one command. How Lua is kept in its place is told in `final/lua.py`."""

from collections.abc import Callable

from ..engine.args import integer
from ..engine.client import Client
from ..engine.command import (
    ALLOW_BUSY,
    MAY_REPLICATE,
    MOVABLEKEYS,
    NO_MANDATORY_KEYS,
    NOSCRIPT,
    READONLY,
    SKIP_MONITOR,
    STALE,
    Group,
)
from ..engine.context import Engine
from ..engine.signature import command
from ..protocol.errors import ReplyError, no_script
from ..protocol.writer import Value

GROUP = Group("scripting", "@scripting", "g")

NAME = 40  # bytes of a script's name
FLAGS = (NOSCRIPT, STALE, SKIP_MONITOR, NO_MANDATORY_KEYS, MOVABLEKEYS)


def run(
    engine: Engine, client: Client, find: Callable[[bytes], bytes], script: bytes, numkeys: bytes,
    args: tuple[bytes, ...], readonly: bool,
) -> Value:  # fmt: skip
    """Run a script with its keys and arguments; `find` gives its name."""
    number = integer(numkeys)
    if number > len(args):
        raise ReplyError("ERR Number of keys can't be greater than number of args")
    if number < 0:
        raise ReplyError("ERR Number of keys can't be negative")
    return engine.scripts.run(client, find(script), list(args[:number]), list(args[number:]), readonly)


def possible(name: bytes) -> bytes:
    """Give back what can be a script's name. Raises `no_script` for all else, before the number of keys is read."""
    if len(name) != NAME:
        raise no_script()
    return name


@command(*FLAGS, MAY_REPLICATE, keys="RW access update")
def eval_(engine: Engine, client: Client, script: bytes, numkeys: bytes, *args: bytes) -> Value:
    """EVAL script numkeys [key ...] [arg ...]: run a script; answer with what it returns."""
    return run(engine, client, engine.scripts.load, script, numkeys, args, readonly=False)


@command(READONLY, *FLAGS)
def eval_ro(engine: Engine, client: Client, script: bytes, numkeys: bytes, *args: bytes) -> Value:
    """EVAL_RO script numkeys [key ...] [arg ...]: run a script that must not write."""
    return run(engine, client, engine.scripts.load, script, numkeys, args, readonly=True)


@command(*FLAGS, MAY_REPLICATE, keys="RW access update")
def evalsha(engine: Engine, client: Client, sha1: bytes, numkeys: bytes, *args: bytes) -> Value:
    """EVALSHA sha1 numkeys [key ...] [arg ...]: run a script that is loaded, by its name."""
    return run(engine, client, engine.scripts.named, possible(sha1), numkeys, args, readonly=False)


@command(READONLY, *FLAGS)
def evalsha_ro(engine: Engine, client: Client, sha1: bytes, numkeys: bytes, *args: bytes) -> Value:
    """EVALSHA_RO sha1 numkeys [key ...] [arg ...]: run a loaded script that must not write."""
    return run(engine, client, engine.scripts.named, possible(sha1), numkeys, args, readonly=True)


@command()
def script(subcommand: bytes, *arguments: bytes) -> Value:
    """SCRIPT subcommand [argument ...]: the scripts that are loaded. See the subcommands below."""


@command(NOSCRIPT, STALE, of="script")
def script_load(engine: Engine, script: bytes) -> Value:
    """SCRIPT LOAD script: compile a script, to be run later; answer with its name."""
    return engine.scripts.load(script)


@command(NOSCRIPT, of="script")
def script_exists(engine: Engine, sha1: bytes, *sha1s: bytes) -> Value:
    """SCRIPT EXISTS sha1 [sha1 ...]: answer for each name with 1 where such a script is loaded, else 0."""
    return [int(each.lower() in engine.scripts.texts) for each in (sha1, *sha1s)]


@command(NOSCRIPT, of="script")
def script_flush(engine: Engine, *mode: bytes) -> Value:
    """SCRIPT FLUSH [ASYNC | SYNC]: forget all scripts."""
    if mode and [arg.lower() for arg in mode] not in ([b"async"], [b"sync"]):
        raise ReplyError("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
    engine.scripts.flush()
    return "OK"


@command(NOSCRIPT, ALLOW_BUSY, of="script")
def script_kill(engine: Engine) -> Value:
    """SCRIPT KILL: end the script that runs, unless it has written."""
    engine.scripts.kill()
    return "OK"
