"""Scripts: Lua beside Python, through the library lupa, with nothing in reach but what is handed in.

A script sees Lua's own functions and tables without those that reach files, modules or the interpreter, and the
tables `redis`, `cjson` and `bit`. Every Python function is wrapped in a Lua one and none of them raises: an error
comes back as a value, and Lua raises it. So no script ever holds a Python object in its hands.
"""

import re
import sys
from collections.abc import Callable
from hashlib import sha1
from importlib.resources import files
from typing import Any

from ..protocol.errors import ReplyError
from ..protocol.writer import BigNumber, NullArray, Value, Verbatim
from .libraries import decode, encode, operate

Call = Callable[[list[bytes]], Value]  # runs a command for a script and gives its answer, an error too
STEPS = 100_000  # Lua's instructions between two looks at the clock
FRAMES = 5000  # of Python's stack: tables may be 1000 deep, and to write or read one takes up to three frames
DEEPEST = 1000  # tables in tables that a script may answer with
MOST_MEMORY = 512 << 20  # bytes that a script may hold, and so the most that its reply may take
RESERVE = 1 << 20  # of these, for Python: what lupa allocates for a call, outside of any Lua function
VALUE = 48  # bytes that a value takes at least: its place in a table, and an object in Python
LOOK_EVERY = 1 << 17  # bytes between two looks at the clock while values are converted
OUT_OF_MEMORY = "ERR not enough memory"
KILLED = "ERR Script killed by user with SCRIPT KILL..."
sys.setrecursionlimit(max(FRAMES, sys.getrecursionlimit()))
BIG = re.compile(rb"-?\d{1,4000}")  # Python would not read an integer of more than 4300 digits


def sha(script: bytes) -> bytes:
    """The name of a script: its SHA1, in hexadecimal."""
    return sha1(script).hexdigest().encode()


def never(*_: object) -> None:
    """Refuse: Lua must not look into Python objects, should it ever get hold of one."""
    raise AttributeError("no Python object is in reach")


class Killed(Exception):
    """The script is to end, in the middle of a conversion."""


class Interpreter:
    """One Lua, with the scripts that it has compiled. Raises ReplyError where lupa is not installed.

    Its memory is limited only while Lua's own functions run. Where an allocation fails there, Lua raises an error;
    where it fails in lupa, outside of any Lua function, the process ends, and within a Python function that a script
    has called, the jump out of it would leave Python's stack in disorder. So prelude.lua calls `restrict` when Lua
    begins to run, and after each Python function, which has lifted the limit. Conversions are limited by `_charge`.
    """

    def __init__(self, call: Call, check: Callable[[], bool], log: Callable[[int, str], None]) -> None:
        """`call` runs a command; `check` is asked now and then, and ends the script by saying yes."""
        try:
            from lupa.lua51 import LuaError, LuaRuntime, lua_type
        except ImportError:
            raise ReplyError("ERR scripts need the Python package lupa: pip install lupa") from None
        self._error = LuaError
        self._type = lua_type
        self._call = call
        self._check = check
        self._memory = MOST_MEMORY
        self._left = self._next_look = 0  # bytes that the conversion under way may still take; when to look again
        self._scripts: dict[bytes, tuple[Any, int]] = {}  # the function, and how many lines it has
        self._lua = LuaRuntime(
            encoding=None,
            unpack_returned_tuples=True,
            register_eval=False,
            register_builtins=False,
            attribute_filter=never,
            max_memory=0,  # the limit is there, and lifted
        )
        prelude = (files(__package__) / "prelude.lua").read_bytes()
        self._compile, self._run, self._get, self._null = self._lua.compile(prelude)(
            self._answer,
            self._hook,
            self._guarded(lambda level, text: log(int(level), text.decode(errors="replace"))),
            self._guarded(sha),
            self._guarded(lambda value: encode(value, self._type, self._charge)),
            self._guarded(lambda text: decode(text, self._table, self._null, self._charge)),
            self._guarded(operate),
            STEPS,
            self._restrict,
            self._lift,
            (self._memory - RESERVE) / 1024,
        )

    def close(self) -> None:
        """Free all that Lua holds, at once: what refers to Lua here and to us there is a circle."""
        self._scripts.clear()
        del self._compile, self._run, self._get, self._null, self._lua

    def _restrict(self) -> None:
        """From now on the script may hold so much and no more."""
        self._lua.set_max_memory(self._memory)

    def _lift(self) -> None:
        """From now on there is memory for whatever is asked for."""
        self._lua.set_max_memory(0)

    def _hook(self) -> bool:
        """Lua asks whether the script must end. It has no memory to spare, except for what went wrong here."""
        try:
            return self._check()
        except BaseException:
            self._lift()
            raise

    def _begin(self) -> None:
        """A conversion begins, between values of Lua's and values of Python's."""
        self._lift()
        self._left = self._memory
        self._next_look = self._left - LOOK_EVERY

    def _charge(self, size: int) -> None:
        """A conversion takes so many bytes more. Raises MemoryError where that is too much, and Killed.

        What a table refers to twice is converted twice. So a small one can stand for more than there is memory for.
        """
        self._left -= size
        if self._left < self._next_look:
            if self._left < 0 or self._lua.get_memory_used() > self._memory:
                raise MemoryError
            self._next_look = self._left - LOOK_EVERY
            if self._check():
                raise Killed

    def _table(self, items: Any) -> Any:
        """Make a table of a list or a dictionary. Raises MemoryError and Killed."""
        self._charge(VALUE * (1 + len(items)))
        return self._lua.table_from(items)

    def load(self, script: bytes) -> bytes:
        """Compile a script, unless that was done before; give its name. Raises ReplyError where it is no Lua."""
        name = sha(script)
        if name not in self._scripts:
            body = b"\n" + script.partition(b"\n")[2] if script.startswith(b"#!") else script
            try:
                function, problem = self._compile(body)
            except self._error:  # there was not even the memory to say so in Lua
                raise ReplyError(OUT_OF_MEMORY) from None
            finally:
                self._lift()
            if function is None:
                raise ReplyError(f"ERR Error compiling script (new function): {problem.decode(errors='replace')}")
            self._scripts[name] = function, body.rstrip().count(b"\n") + 1
        return name

    def run(self, name: bytes, keys: list[bytes], arguments: list[bytes]) -> Value:
        """Run a script that was loaded; give what it answers."""
        tables = (self._lua.table_from(args) for args in (keys, arguments))
        function, lines = self._scripts[name]
        try:
            fine, result, line = (*self._run(function, *tables), None)[:3]
        except self._error:  # there was not even the memory to say so in Lua
            return ReplyError(OUT_OF_MEMORY)
        finally:
            self._lift()
        if fine:
            return self._whole_reply(result)
        if isinstance(result, BaseException):
            raise result  # ours, from behind `redis.call`: it is no script's business
        text = result.decode(errors="surrogateescape") if isinstance(result, bytes) else "ERR unknown error"
        # `return redis.call(…)` is a tail call, which leaves no trace of its line: most likely it was the last one.
        return ReplyError(f"{text} script: {name.decode()}, on @user_script:{line or lines}.")

    def _answer(self, resp: float, count: float, args: Any) -> Any:
        """Run a command for `redis.call`: what it answers, in Lua's types, or a table with `err`."""
        self._lift()
        try:
            answer = self._call([args[place] for place in range(1, int(count) + 1)])
            self._begin()
            return self._lua_value(answer, int(resp))
        except ReplyError as error:
            return self._lua.table_from({b"err": str(error).encode(errors="surrogateescape")})
        except MemoryError:
            return self._lua.table_from({b"err": OUT_OF_MEMORY.encode()})
        except Killed:
            return self._lua.table_from({b"err": KILLED.encode()})

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with errors as values: a result and nothing, or nothing and a text."""

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
        """Turn an answer into Lua's types, as Redis does. With resp 3, `redis.setresp(3)`, more of them survive."""
        convert = self._lua_value
        table = self._table
        match value:
            case Exception():
                return table({b"err": str(value).encode(errors="surrogateescape")})
            case str():
                return table({b"ok": value.encode()})
            case Verbatim() if resp == 3:
                return table({b"verbatim_string": table({b"format": b"txt", b"string": bytes(value)})})
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
            case dict() if resp == 3:
                pairs = {convert(key, resp): convert(item, resp) for key, item in value.items()}
                return table({b"map": table(pairs)})
            case dict():
                return table([convert(arg, resp) for pair in value.items() for arg in pair])
            case set() | frozenset() if resp == 3:
                return table({b"set": table({convert(item, resp): True for item in value})})
        return table([convert(item, resp) for item in value])

    def _whole_reply(self, value: Any) -> Value:
        """Turn what a script returned into an answer, or into an error where that would take too much."""
        self._begin()
        try:
            return self._reply(value)
        except RecursionError:
            return ReplyError("ERR reached lua stack limit")
        except MemoryError:
            return ReplyError(OUT_OF_MEMORY)
        except Killed:
            return ReplyError(KILLED)

    def _reply(self, value: Any, depth: int = 0) -> Value:
        """Turn what a script returned into an answer: numbers are cut to integers, a table ends at its first nil.

        What is deeper than `DEEPEST` is an error in its place, as in Redis, where it may be some 8000 deep.
        """
        self._charge(VALUE + len(value) if isinstance(value, bytes) else VALUE)
        if value is None or value is False:
            return None
        if value is True:
            return 1
        if isinstance(value, (int, float)):
            return int(value) if -(2.0**63) <= value < 2.0**63 else -(2**63)
        if isinstance(value, bytes):
            return value
        if self._type(value) != "table":
            return None
        if depth == DEEPEST:
            return ReplyError("ERR reached lua stack limit")
        depth += 1
        get = self._field
        if isinstance(error := get(value, b"err"), bytes):
            return ReplyError(error.decode(errors="surrogateescape"))
        if isinstance(status := get(value, b"ok"), bytes):
            return status.decode(errors="surrogateescape")
        if isinstance(double := get(value, b"double"), (int, float)):
            return float(double)
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
        """A field of a table, raw: past what a metatable would say."""
        value = self._get(table, name)
        if isinstance(value, bytes):
            self._charge(len(value))
        return value

    def _hashable(self, value: Value) -> Value:
        """An answer that can be a key of a map or a member of a set: lists become tuples."""
        self._charge(VALUE)
        if isinstance(value, dict):
            value = [arg for pair in value.items() for arg in pair]
        return tuple(map(self._hashable, value)) if isinstance(value, (list, set, tuple)) else value
