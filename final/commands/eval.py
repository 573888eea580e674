"""Scripts: programs in Lua that run as one command. `lua/interpreter.py` has the sandbox they run in."""

from collections.abc import Callable

from ..engine.args import integer
from ..engine.client import Client
from ..engine.command import (
    ALLOW_BUSY,
    MAY_REPLICATE,
    MOVABLEKEYS,
    NO_MANDATORY_KEYS,
    NO_TOUCH,
    NOSCRIPT,
    READONLY,
    SKIP_MONITOR,
    STALE,
    Group,
)
from ..engine.context import Engine
from ..engine.scripts import declares_writes
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError, no_script
from ..protocol.writer import Value

GROUP = Group("scripting", "@scripting", "g")

SHA1_LENGTH = 40  # hexadecimal digits
FLAGS = (NOSCRIPT, STALE, SKIP_MONITOR, NO_MANDATORY_KEYS, MOVABLEKEYS, NO_TOUCH)


def run(
    engine: Engine, client: Client, digest: Callable[[bytes], bytes], script: bytes, numkeys: bytes,
    args: tuple[bytes, ...], readonly: bool,
) -> Value:  # fmt: skip
    """Run a script with its keys and arguments. `digest` returns the SHA1 digest of `script`, a text or a digest."""
    number = integer(numkeys)
    if number > len(args):
        raise ReplyError("ERR Number of keys can't be greater than number of args")
    if number < 0:
        raise ReplyError("ERR Number of keys can't be negative")
    return engine.scripts.run(client, digest(script), list(args[:number]), list(args[number:]), readonly)


def text_may_write(engine: Engine, args: list[bytes]) -> bool | None:
    """Return whether the script in a request may write, as its flags say; None: it has none."""
    return declares_writes(args[1])


def named_may_write(engine: Engine, args: list[bytes]) -> bool | None:
    """Return the same of a script that the request names."""
    return declares_writes(engine.scripts.texts.get(args[1].lower(), b""))


def check_length(sha1: bytes) -> bytes:
    """Return `sha1`. Raises `no_script` for another length; as in Redis, this is checked before `numkeys` is parsed."""
    if len(sha1) != SHA1_LENGTH:
        raise no_script()
    return sha1


@command(
    *FLAGS,
    MAY_REPLICATE,
    keys="RW access update",
    writes=text_may_write,
    notes=["We cannot tell how the keys will be used so we assume the worst, RW and UPDATE"],
)
@complexity("Depends on the script.")
def eval_(engine: Engine, client: Client, script: bytes, numkeys: bytes, *args: bytes) -> Value:
    """EVAL script numkeys [key ...] [arg ...]: load and run a script; answer with what it returns."""
    return run(engine, client, engine.scripts.load, script, numkeys, args, readonly=False)


@command(
    READONLY,
    *FLAGS,
    writes=text_may_write,
    notes=["We cannot tell how the keys will be used so we assume the worst, RO and ACCESS"],
)
@complexity("Depends on the script.")
def eval_ro(engine: Engine, client: Client, script: bytes, numkeys: bytes, *args: bytes) -> Value:
    """EVAL_RO script numkeys [key ...] [arg ...]: run a script that must not write; answer with what it returns."""
    return run(engine, client, engine.scripts.load, script, numkeys, args, readonly=True)


@command(*FLAGS, MAY_REPLICATE, keys="RW access update", writes=named_may_write)
@complexity("Depends on the script.")
def evalsha(engine: Engine, client: Client, sha1: bytes, numkeys: bytes, *args: bytes) -> Value:
    """EVALSHA sha1 numkeys [key ...] [arg ...]: EVAL of a loaded script."""
    return run(engine, client, engine.scripts.named, check_length(sha1), numkeys, args, readonly=False)


@command(READONLY, *FLAGS, writes=named_may_write)
@complexity("Depends on the script.")
def evalsha_ro(engine: Engine, client: Client, sha1: bytes, numkeys: bytes, *args: bytes) -> Value:
    """EVALSHA_RO sha1 numkeys [key ...] [arg ...]: EVAL_RO of a loaded script."""
    return run(engine, client, engine.scripts.named, check_length(sha1), numkeys, args, readonly=True)


@command()
def script(subcommand: bytes, *arguments: bytes) -> Value:
    """SCRIPT subcommand [argument ...]: manage the loaded scripts; see the subcommands."""


@command(NOSCRIPT, STALE, of="script", tips="request_policy:all_nodes response_policy:all_succeeded")
@complexity("O(N) for N bytes")
def script_load(engine: Engine, script: bytes) -> Value:
    """SCRIPT LOAD script: compile a script and keep it for EVALSHA; answer with its SHA1 digest."""
    return engine.scripts.load(script)


@command(NOSCRIPT, of="script", tips="request_policy:all_shards response_policy:agg_logical_and")
@complexity("O(N) for N scripts")
def script_exists(engine: Engine, sha1: bytes, *sha1s: bytes) -> Value:
    """SCRIPT EXISTS sha1 [sha1 ...]: answer for each digest 1 if its script is loaded, else 0."""
    return [int(each.lower() in engine.scripts.texts) for each in (sha1, *sha1s)]


@command(NOSCRIPT, of="script", tips="request_policy:all_nodes response_policy:all_succeeded")
@complexity("O(N) for N scripts")
def script_flush(engine: Engine, *mode: bytes) -> Value:
    """SCRIPT FLUSH [ASYNC | SYNC]: remove all loaded scripts."""
    if mode and [arg.lower() for arg in mode] not in ([b"async"], [b"sync"]):
        raise ReplyError("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
    engine.scripts.flush()
    return "OK"


@command(NOSCRIPT, ALLOW_BUSY, of="script", tips="request_policy:all_shards response_policy:one_succeeded")
def script_kill(engine: Engine) -> Value:
    """SCRIPT KILL: stop the running script, unless it has written."""
    engine.scripts.kill()
    return "OK"
