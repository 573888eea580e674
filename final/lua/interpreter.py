"""Runs scripts in Lua, through the library lupa, in a sandbox.

A script has Lua's own functions and tables, without those for files, modules or the interpreter, and the tables
`redis`, `cjson`, `cmsgpack`, `struct` and `bit`. Every Python function is wrapped in a Lua function and never raises:
it returns an error as a value, and Lua raises it. So no script ever gets a Python object.
"""

import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from ..protocol.errors import ReplyError
from ..protocol.writer import BigNumber, Digits, NullArray, Pairs, Value, Verbatim
from .libraries import calls, sha
from .limits import DEEPEST, ENDED, KILLED, LOOK_EVERY, MOST_MEMORY, RESERVE, SHORT, STEPS, VALUE, Killed, lupa, never

Call = Callable[[list[bytes], int], Value]  # runs a command for a script in RESP 2 or 3; an error is a reply too
MayCall = Callable[[list[bytes]], bool]  # whether the user of the script may run a command: `bool` allows all
SIMPLE = {text: (text.encode(), 1) for text in ("OK", "PONG")}  # what `_brief` returns for frequent simple strings
BIG = re.compile(rb"-?\d{1,4000}")  # Python does not parse integers of more than 4300 digits


class Interpreter:
    """A Lua state and the scripts compiled in it. Raises NoLua if lupa is not installed.

    Its memory is limited only while Lua's own functions run: there, Lua raises an error if an allocation fails. In
    lupa, outside of any Lua function, a failed allocation ends the process; in a Python function that a script
    called, Lua's longjmp would corrupt Python's stack. So Python functions lift the limit, and prelude.lua calls
    `restrict` when Lua begins to run and after each Python function. Conversions are limited by `_charge`.
    """

    CHUNK = "user_script"  # what Lua's error messages call the source

    def __init__(self, check: Callable[[], bool], log: Callable[[int, str], None], may: MayCall = bool) -> None:
        """`check`, called regularly, returns whether the script must end; `log` logs a text."""
        lua = lupa()
        self._error, self._type, self._check = lua.LuaError, lua.lua_type, check
        self.run_command: Call = lambda args, protocol: None  # runs a command for the script that is run next
        self.errors: list[ReplyError] = []  # the script's own in its reply …
        self.repeated: list[ReplyError] = []  # … and those of commands, which were counted when they failed
        self._memory = MOST_MEMORY
        self._left = self._next_look = 0  # bytes that the current conversion may still use; when to call `check` again
        self._scripts: dict[bytes, tuple[Any, int]] = {}  # by SHA1: the function, and its number of lines
        self._lua = lua.LuaRuntime(
            encoding=None,
            unpack_returned_tuples=True,
            register_eval=False,
            register_builtins=False,
            attribute_filter=never,
            max_memory=0,  # no limit yet; None would mean that none can be set
        )
        self.memory: Callable[[], int] = self._lua.get_memory_used  # how many bytes it uses
        code = (files(__package__) / f"{name}.lua" for name in ("prelude", "libraries", "functions"))
        prelude, libraries, functions = (self._lua.compile(each.read_bytes()) for each in code)
        called = calls(self._type, self._table, lambda: self._null, self._charge)
        self._compile, self._run, self._get, self._double, self._null, self._load_library = prelude(
            self._answer,
            self._brief,
            self._guarded(lambda *args: may(list(args))),
            self._hook,
            self._guarded(lambda level, text: log(int(level), text.decode(errors="replace"))),
            self._guarded(sha),
            libraries,
            self._lua.table_from({name: self._guarded(call) for name, call in called.items()}),
            STEPS,
            *(self._restrict, self._lift),
            (self._memory - RESERVE) / 1024,
            functions,
            self.CHUNK.encode(),
        )

    def close(self) -> None:
        """Free the Lua state at once: references between it and this object form a cycle."""
        self._scripts.clear()
        del self._compile, self._run, self._get, self._double, self._null, self._load_library, self.memory, self._lua

    def _restrict(self) -> None:
        """Limit the memory of Lua."""
        self._lua.set_max_memory(self._memory)

    def _lift(self) -> None:
        """Lift the limit on the memory of Lua."""
        self._lua.set_max_memory(0)

    def _hook(self) -> bool:
        """Return whether the script must end. Called by Lua with the limit on; only an exception lifts it."""
        try:
            return self._check()
        except BaseException:
            self._lift()
            raise

    def _begin(self) -> None:
        """Begin a conversion between values of Lua and values of Python."""
        self._lift()
        self._left, self._next_look = self._memory, self._memory - LOOK_EVERY

    def _charge(self, size: int) -> None:
        """Count `size` more bytes for the conversion. Raises MemoryError if that is too much, and Killed.

        A value that a table refers to twice is converted twice. So a small table can need a huge reply.
        """
        self._left -= size
        if self._left < self._next_look:
            if self._left < 0 or self.memory() > self._memory:
                raise MemoryError
            self._next_look = self._left - LOOK_EVERY
            if self._check():
                raise Killed

    def _table(self, items: Any) -> Any:
        """Make a Lua table of a list or a dictionary. Raises MemoryError and Killed."""
        self._charge(VALUE * (1 + len(items)))
        return self._lua.table_from(items)

    def load(self, script: bytes) -> bytes:
        """Compile a script, unless it is compiled, and return its SHA1. Raises ReplyError for a syntax error."""
        name = sha(script)
        if name not in self._scripts:
            body = b"\n" + script.partition(b"\n")[2] if script.startswith(b"#!") else script
            try:
                function, problem = self._compile(body)
            except self._error:  # not even Lua's own error message fitted in memory
                raise ReplyError(ENDED[MemoryError]) from None
            finally:
                self._lift()
            if function is None:
                text = problem.decode(errors="surrogateescape")
                raise ReplyError(f"ERR Error compiling script (new function): {text}")
            self._scripts[name] = function, body.rstrip().count(b"\n") + 1
        return name

    def run(self, name: bytes, keys: list[bytes], arguments: list[bytes]) -> Value:
        """Run a script that is loaded, and return its reply."""
        return self.call(name, *self._scripts[name], keys, arguments)

    def call(self, name: bytes, function: Any, line: int, keys: list[bytes], arguments: list[bytes]) -> Value:
        """Run a script or a function; return its reply. `line`: of a tail call, whose errors have no line in Lua."""
        self.errors, self.repeated = [], []
        try:  # `third`: of a script that ends well, the RESP version that it chose; else the line of its error
            fine, result, third, counted = self._run(function, line, *map(self._lua.table_from, (keys, arguments)))
        except self._error:  # not even Lua's own error message fitted in memory
            return self._failure(ENDED[MemoryError])
        finally:
            self._lift()
        if fine:
            return self._whole_reply(result, third)
        if isinstance(result, BaseException):
            raise result  # from `redis.call`: a bug of the server, which the script must not catch
        text = result.decode(errors="surrogateescape") if isinstance(result, bytes) else "ERR unknown error"
        return self._failure(f"{text} script: {name.decode()}, on @{self.CHUNK}:{third}.", counted)

    def _failure(self, text: str, counted: Any = None) -> ReplyError:
        """An error in a script's reply. `counted`: it is one of a command."""
        (self.repeated if counted else self.errors).append(error := ReplyError(text))
        return error

    def _answer(self, resp: float, count: float, args: Any) -> Any:
        """Run a command for `redis.call`, and return its reply as a Lua value; an error is a table with `err`."""
        self._lift()
        request = [args[place] for place in range(1, int(count) + 1)]
        return self._converted(lambda: self.run_command(request, int(resp)), resp)

    def _brief(self, *args: bytes) -> Any:
        """Do what `_answer` does, for few arguments and RESP2: a PING takes 1.9 µs instead of 7.2.

        The limit on the memory stays for a short reply, for which the reserve is enough. Returned are this reply; the
        text of a simple string, and 1; or another reply, and 2, after the limit was lifted.
        """
        answer = self.run_command([*args], 2)
        kind = type(answer)
        if kind is str:
            return SIMPLE.get(answer) or (answer.encode(), 1)
        if kind is int or (kind is bytes and len(answer) <= SHORT):
            return answer
        return False if answer is None else (self._converted(lambda: answer, 2), 2)

    def _converted(self, answer: Callable[[], Value], resp: float) -> Any:
        """Return a reply as a Lua value."""
        try:
            value = answer()
            self._begin()
            return self._lua_value(value, int(resp))
        except (MemoryError, Killed) as error:
            return self._lua.table_from({b"err": ENDED[type(error)].encode()})

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function so that it returns a result and None, or None and an error text."""

        def guarded(*arguments: Any) -> Any:
            self._begin()
            try:
                return function(*arguments), None
            except (ValueError, OverflowError) as error:
                return None, str(error).encode()
            except RecursionError:
                return None, b"too many nested tables"
            except MemoryError:
                return None, b"not enough memory"
            except Killed:
                return None, KILLED.encode()

        return guarded

    def _lua_value(self, value: Value, resp: int) -> Any:
        """Convert a reply to a Lua value, as Redis does. RESP3 (`redis.setresp(3)`) keeps more of the types."""
        convert, table = self._lua_value, self._table
        match value:
            case Exception():
                return table({b"err": str(value).encode(errors="surrogateescape")})
            case str():
                return table({b"ok": value.encode()})
            case Verbatim() if resp == 3:
                return table({b"verbatim_string": table({b"format": b"txt", b"string": bytes(value)})})
            case Digits() if resp == 3:
                return table({b"double": float(value)})
            case bytes():
                self._charge(len(value))
                return bytes(value)
            case bool():
                return value if resp == 3 else int(value)
            case BigNumber():
                return table({b"big_number": b"%d" % value}) if resp == 3 else b"%d" % value
            case float():
                return table({b"double": value}) if resp == 3 else b"%.17g" % value
            case int():
                return value
            case None | NullArray():
                return None if resp == 3 else False
            case dict() | Pairs() if resp == 3:
                pairs = {convert(key, resp): convert(item, resp) for key, item in dict(value).items()}
                return table({b"map": table(pairs)})
            case dict():
                return table([convert(arg, resp) for pair in value.items() for arg in pair])
            case set() | frozenset() if resp == 3:
                return table({b"set": table({convert(item, resp): True for item in value})})
        return table([convert(item, resp) for item in value])

    def _whole_reply(self, value: Any, resp: int) -> Value:
        """Convert the result of a script to a reply, or to an error if that needs too much memory."""
        self._begin()
        self._booleans = resp == 3
        try:
            return self._reply(value)
        except (RecursionError, MemoryError, Killed) as error:
            return self._failure(ENDED[type(error)])

    def _reply(self, value: Any, depth: int = 0) -> Value:
        """Convert the result of a script to a reply: numbers are truncated to integers, a table ends at its first nil.

        A table nested deeper than `DEEPEST` becomes an error in its place, as in Redis (about 8000 levels there).
        """
        self._charge(VALUE + len(value) if isinstance(value, bytes) else VALUE)
        if value is None or isinstance(value, bytes):
            return value
        if isinstance(value, bool):
            return value if self._booleans else int(value) or None
        if isinstance(value, (int, float)):
            return int(value) if -(2.0**63) <= value < 2.0**63 else -(2**63)
        if self._type(value) != "table":
            return None
        if depth == DEEPEST:
            return self._failure(ENDED[RecursionError])
        depth += 1
        get = self._field
        if isinstance(error := get(value, b"err"), bytes):
            return self._failure(error.decode(errors="surrogateescape"), get(value, b"ignore_error_stats_update"))
        if isinstance(status := get(value, b"ok"), bytes):
            return status.decode(errors="surrogateescape")
        if isinstance(double := self._double(value), bytes):
            return Digits(double)
        if self._type(pairs := get(value, b"map")) == "table":
            return {self._hashable(self._reply(key, depth)): self._reply(item, depth) for key, item in pairs.items()}
        if self._type(members := get(value, b"set")) == "table":
            return {self._hashable(self._reply(key, depth)) for key in members}
        if isinstance(number := get(value, b"big_number"), bytes) and BIG.fullmatch(number):
            return BigNumber(number)
        verbatim = get(value, b"verbatim_string")
        if self._type(verbatim) == "table" and isinstance(text := get(verbatim, b"string"), bytes):
            return Verbatim(text)
        items: list[Value] = []
        while (item := self._get(value, len(items) + 1)) is not None:
            items.append(self._reply(item, depth))
        return items

    def _field(self, table: Any, name: bytes) -> Any:
        """A field of a table, without its metatable."""
        value = self._get(table, name)
        if isinstance(value, bytes):
            self._charge(len(value))
        return value

    def _hashable(self, value: Value) -> Value:
        """Make a reply hashable, for the key of a map or the member of a set: lists become tuples."""
        self._charge(VALUE)
        if isinstance(value, dict):
            value = [arg for pair in value.items() for arg in pair]
        return tuple(map(self._hashable, value)) if isinstance(value, (list, set, tuple)) else value
