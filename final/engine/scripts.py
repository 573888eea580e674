"""The scripts that are loaded, and the one that runs: what it may do, and how it is killed."""

import time
from collections.abc import Callable, Set
from dataclasses import dataclass

from ..config.options import Options
from ..lua.functions import FunctionInterpreter
from ..lua.interpreter import Call, Interpreter
from ..protocol.errors import ReplyError, busy, no_script, out_of_memory, primary_down
from ..protocol.writer import Value
from ..server_log import LEVELS, log
from .acl.denials import not_for_script
from .admit import Admission
from .client import Client
from .command import DENYOOM, MAY_REPLICATE, NOSCRIPT, STALE, WRITE, Command, look_up
from .counters import Counters
from .in_unit import Step

FLAGS = {"no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys"}  # in the line `#!lua flags=`


@dataclass
class Program:
    """A script, or a function, that is to run."""

    name: bytes
    flags: Set[str]
    declared: bool  # it says its flags: what they forbid is refused before it begins
    is_function: bool = False

    @property
    def writes(self) -> bool:
        """Whether it says that it may write."""
        return self.declared and "no-writes" not in self.flags


class Scripts:
    """Scripts by their names, the SHA1 of their texts. Lua is started when the first script is loaded.

    Functions run here, too: see `functions.py`.
    """

    def __init__(
        self,
        options: Options,
        begin: Callable[[Client], Step],
        full: Callable[[], bool],
        admission: Admission,
        while_busy: Callable[[], None],
        counters: Counters,
    ) -> None:
        """The functions that scripts need of the engine.

        `begin` returns a function that runs the commands of a script. `full` returns whether `maxmemory` is exceeded.
        `admission` says whether they may write and read. `while_busy` is called repeatedly when a script has run for
        longer than `busy-reply-threshold`: it answers other clients with BUSY.
        """
        self.options = options
        self.begin = begin
        self.full = full
        self.admission = admission
        self.while_busy = while_busy
        self.counters = counters
        self.texts: dict[bytes, bytes] = {}
        self.programs: dict[bytes, Program] = {}  # the same scripts
        self.busy = False  # a script has been running for longer than `busy-reply-threshold`
        self._lua: Interpreter | None = None
        self.program: Program | None = None  # that runs
        self._client: Client | None = None  # a copy of the client for which a script runs; None: no script runs
        self._caller: Client | None = None  # that client
        self._readonly = False
        self._oom = False  # `maxmemory` was exceeded when the script began (Redis: `script_oom`)
        self._refusal: ReplyError | None = None  # for writes, if they were refused when the script began
        self._stale = False  # the data must not be read
        self._wrote = False
        self._killed = False
        self._began = 0.0

    def load(self, script: bytes) -> bytes:
        """Compile a script; return its name. Raises ReplyError if it is not valid Lua, or its first line is wrong."""
        flags = shebang(script)
        if self._lua is None:
            self._lua = Interpreter(self._check, redis_log, self._may_call)
        name = self._lua.load(script)
        if name not in self.texts:
            self.texts[name] = script
            self.programs[name] = Program(name, flags, declared=script.startswith(b"#!"))
        return name

    def start_for_functions(self, loads_too_long: Callable[[], bool]) -> FunctionInterpreter:
        """Start the Lua of the functions. Raises NoLua."""
        check = lambda: loads_too_long() if self.program is None else self._check()  # noqa: E731
        return FunctionInterpreter(check, redis_log, self._may_call)

    def named(self, name: bytes) -> bytes:
        """Return the name in lower case. Raises `no_script` if no script of this name is loaded."""
        if name.lower() not in self.texts:
            raise no_script()
        return name.lower()

    def flush(self) -> None:
        """Remove all scripts, and end Lua with all that they have stored there."""
        self.texts.clear()
        self.programs.clear()
        if self._lua is not None:
            self._lua.close()
            self._lua = None

    def run(self, client: Client, name: bytes, keys: list[bytes], arguments: list[bytes], readonly: bool) -> Value:
        """Run a script for a client, and return its reply."""
        lua = self._lua
        assert lua is not None
        return self.perform(client, self.programs[name], keys, readonly, lua, lambda: lua.run(name, keys, arguments))

    def perform(
        self, client: Client, program: Program, keys: list[bytes], readonly: bool, lua: Interpreter,
        run: Callable[[], Value],
    ) -> Value:  # fmt: skip
        """Run a program for a client, who names these keys; return its reply.

        SELECT in it does not change the client's database.
        """
        flags = program.flags
        self._readonly = readonly or "no-writes" in flags
        self._oom = self.full() and "allow-oom" not in flags
        if self._oom and program.writes:
            raise out_of_memory()
        obeyed = client.is_primary  # whose scripts write here, too
        self._refusal, self._stale = (None, False) if obeyed else (self.admission.refusal, self.admission.stale)
        if self._refusal and program.writes:
            raise self._refusal
        if self._stale and "allow-stale" not in flags:
            raise primary_down()
        if readonly and program.writes:
            raise ReplyError("ERR Can not execute a script with write flag using *_ro command.")
        self.program = program
        self._client = Client(id=client.id, db=client.db, address="?:0", deny_blocking=True, is_script=True)
        self._client.user, self._caller = client.user, client
        self._client.tracking, self._client.declared = client.tracking, keys
        self._wrote = self._killed = self.busy = False
        lua.run_command = self._calls(self._client)
        self._began = time.monotonic()
        try:
            return run()
        finally:
            for error in lua.errors:
                self.counters.error(error)
            self.counters.repeated += len(lua.repeated)
            self.program = self._client = self._caller = None
            self.busy = False

    @property
    def memory(self) -> int:
        """The bytes that Lua uses for scripts."""
        return self._lua.memory() if self._lua is not None else 0

    @property
    def milliseconds(self) -> float:
        """How long the program has been running."""
        return (time.monotonic() - self._began) * 1000

    @property
    def busy_error(self) -> ReplyError:
        """The error for requests while a program runs too long: it says what ends it."""
        return busy("FUNCTION" if self.program is not None and self.program.is_function else "SCRIPT")

    def kill(self, function: bool = False) -> None:
        """End the running script, or function. Raises ReplyError if none runs, or if it has written already."""
        if self._client is None:
            raise ReplyError("NOTBUSY No scripts in execution right now.")
        if self._wrote:
            raise ReplyError(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait "
                "the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command."
            )
        if self.program is not None and self.program.is_function is not function:
            raise self.busy_error
        self._killed = True

    def _calls(self, client: Client) -> Call:
        """Return a function that runs commands that the script calls."""
        admitted: dict[bytes, Command] = {}
        step = self.begin(client)

        def call(args: list[bytes], protocol: int) -> Value:
            command = admitted.get(args[0])
            if command is None or not command.fewest <= len(args) <= command.most:
                try:
                    command = self._admit(args)
                except ReplyError as error:
                    self.counters.refuse(args, error)
                    return error
                if "|" not in command.name and client.user.unlimited:  # else the next arguments count, too
                    admitted[args[0]] = command  # `_admit` never refuses it later
            client.protocol = protocol
            return step(command, args)

        return call

    def _may_call(self, args: list[bytes]) -> bool:
        """Return whether the user may run a command, for `redis.acl_check_cmd`. Raises ValueError if there is none."""
        assert self._client is not None
        try:
            command = look_up(args)
        except ReplyError:
            raise ValueError("Invalid command passed to redis.acl_check_cmd()") from None
        return self._client.user.denial(command, args) is None

    def _admit(self, args: list[bytes]) -> Command:
        """Return the command that the script calls. Raises ReplyError if it must not run."""
        try:
            command = look_up(args)
        except ReplyError:
            raise ReplyError("ERR Unknown Redis command called from script") from None
        if not command.fits(len(args)):
            raise ReplyError("ERR Wrong number of args calling Redis command from script")
        if NOSCRIPT in command.flags:
            raise ReplyError("ERR This Redis command is not allowed from script")
        if self._stale and STALE not in command.flags:
            raise ReplyError("ERR Can not execute the command on a stale replica")
        assert self._client is not None
        if not self._client.user.unlimited:
            reason = self.admission.denied(self._client, command, args, "lua", self._caller)
            if reason is not None:
                raise not_for_script(reason)
        writes = WRITE in command.flags
        if self._readonly and (writes or MAY_REPLICATE in command.flags):
            raise ReplyError("ERR Write commands are not allowed from read-only scripts.")
        if writes and self._refusal and not self._wrote:
            raise self._refusal
        if DENYOOM in command.flags and self._oom and not self._wrote:
            raise out_of_memory()
        self._wrote = self._wrote or writes
        return command

    def _check(self) -> bool:
        """Return whether the running script must end. Lua calls this repeatedly."""
        if self.milliseconds > self.options.busy_reply_threshold:
            self.busy = True
            self.while_busy()
        return self._killed


def shebang(script: bytes) -> set[str]:
    """Return the flags in a script's first line. Raises ReplyError for other languages and unknown flags."""
    if not script.startswith(b"#!"):
        return set()
    first, newline, _ = script.partition(b"\n")
    if not newline:
        raise ReplyError("ERR Invalid script shebang")
    engine, *options = first.decode(errors="replace").split()
    if engine != "#!lua":
        raise ReplyError(f"ERR Unexpected engine in script shebang: {engine}")
    flags = set()
    for option in options:
        name, _, value = option.partition("=")
        if name != "flags":
            raise ReplyError(f"ERR Unknown lua shebang option: {option}")
        flags |= set(filter(None, value.split(",")))
    for flag in sorted(flags - FLAGS):
        raise ReplyError(f"ERR Unexpected flag in script shebang: {flag}")
    return flags


def declares_writes(script: bytes) -> bool | None:
    """Return whether a script says that it may write; None: it says nothing.

    >>> declares_writes(b"return 1"), declares_writes(b"#!lua\\n"), declares_writes(b"#!lua flags=no-writes\\n")
    (None, True, False)
    """
    try:
        return "no-writes" not in shebang(script) if script.startswith(b"#!") else None
    except ReplyError:
        return True


def redis_log(level: int, text: str) -> None:
    """Write to the server log what a script says with `redis.log`: LOG_DEBUG, 0, to LOG_WARNING, 3."""
    log.log([*LEVELS.values()][level], "%s", text)
