"""The scripts that are loaded, and the one that runs: what it may do, and how it is stopped."""

import time
from collections.abc import Callable

from ..lua.interpreter import Interpreter
from ..options import Options
from ..protocol.errors import ReplyError, log_failed, no_script, out_of_memory
from ..protocol.writer import Value
from ..server_log import log as server_log
from .client import Client
from .command import DENYOOM, MAY_REPLICATE, NOSCRIPT, WRITE, Command, look_up

Call = Callable[[Client, Command, list[bytes]], Value]

FLAGS = {"no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys"}  # what may follow #!lua


class Scripts:
    """Scripts by their names. Lua is started when the first one is loaded."""

    def __init__(
        self,
        options: Options,
        call: Call,
        full: Callable[[], bool],
        log_failure: Callable[[], str],
        while_busy: Callable[[], None],
    ) -> None:
        """`call` runs a command as a part of the one under way, `full` says whether `maxmemory` is exceeded,
        `log_failure` why the log cannot be written, or "". `while_busy` is called now and then while a script has run
        for longer than `busy-reply-threshold`: it serves other clients, who hear that the server is busy.
        """
        self.options = options
        self.call = call
        self.full = full
        self.log_failure = log_failure
        self.while_busy = while_busy
        self.texts: dict[bytes, bytes] = {}
        self.busy = False  # the script that runs has done so for longer than `busy-reply-threshold`
        self._lua: Interpreter | None = None
        self._client: Client | None = None  # on whose behalf a script runs
        self._readonly = False
        self._starved = False  # there was no memory left when it began …
        self._refused = ""  # … or the log could not be written: why
        self._wrote = False
        self._killed = False
        self._began = 0.0

    def load(self, script: bytes) -> bytes:
        """Compile a script; give its name. Raises ReplyError where it is no Lua, or wants what we do not have."""
        shebang(script)
        if self._lua is None:
            self._lua = Interpreter(self._call, self._check, log)
        name = self._lua.load(script)
        self.texts[name] = script
        return name

    def named(self, name: bytes) -> bytes:
        """The name in lower case, where a script of that name is loaded."""
        if name.lower() not in self.texts:
            raise no_script()
        return name.lower()

    def flush(self) -> None:
        """Forget all scripts, and whatever they left behind in Lua."""
        self.texts.clear()
        if self._lua is not None:
            self._lua.close()
            self._lua = None

    def run(self, client: Client, name: bytes, keys: list[bytes], arguments: list[bytes], readonly: bool) -> Value:
        """Run a script on behalf of a client, in a database of its own choice that the client does not see."""
        assert self._lua is not None
        text = self.texts[name]
        flags = shebang(text)
        if readonly and text.startswith(b"#!") and "no-writes" not in flags:
            raise ReplyError("ERR Can not execute a script with write flag using *_ro command.")
        self._readonly = readonly or "no-writes" in flags
        self._starved = self.full() and "allow-oom" not in flags
        self._refused = self.log_failure()
        if self._refused and text.startswith(b"#!") and "no-writes" not in flags:
            raise log_failed(self._refused)
        self._client = Client(id=client.id, db=client.db, address=client.address, scripted=True)
        self._wrote = self._killed = self.busy = False
        self._began = time.monotonic()
        try:
            return self._lua.run(name, keys, arguments)
        finally:
            self._client = None
            self.busy = False

    def kill(self) -> None:
        """End the script that runs. Raises ReplyError where there is none, or where it has already written."""
        if self._client is None:
            raise ReplyError("NOTBUSY No scripts in execution right now.")
        if self._wrote:
            raise ReplyError(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait "
                "the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command."
            )
        self._killed = True

    def _call(self, args: list[bytes]) -> Value:
        """Run a command for the script."""
        try:
            command = look_up(args)
        except ReplyError:
            raise ReplyError("ERR Unknown Redis command called from script") from None
        if not command.fits(len(args)):
            raise ReplyError("ERR Wrong number of args calling Redis command from script")
        if NOSCRIPT in command.flags:
            raise ReplyError("ERR This Redis command is not allowed from script")
        if DENYOOM in command.flags and self._starved and not self._wrote:
            raise out_of_memory()
        if WRITE in command.flags or MAY_REPLICATE in command.flags:
            if self._readonly:
                raise ReplyError("ERR Write commands are not allowed from read-only scripts.")
            if WRITE in command.flags and self._refused and not self._wrote:
                raise log_failed(self._refused)
            self._wrote = self._wrote or WRITE in command.flags
        assert self._client is not None
        return self.call(self._client, command, args)

    def _check(self) -> bool:
        """Asked now and then by Lua: whether the script must end."""
        if (time.monotonic() - self._began) * 1000 > self.options.busy_reply_threshold:
            self.busy = True
            self.while_busy()
        return self._killed


def shebang(script: bytes) -> set[str]:
    """The flags in a script's first line, `#!lua flags=no-writes`. Raises ReplyError for other languages and flags."""
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


def log(level: int, text: str) -> None:
    """What `redis.log` says goes where the server's own messages go."""
    server_log.info("script: %s", text)
