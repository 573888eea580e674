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
MOST_MEMORY = 512 << 20  # bytes that all that scripts have in their hands may take
sys.setrecursionlimit(max(FRAMES, sys.getrecursionlimit()))
BIG = re.compile(rb"-?\d{1,4000}")  # Python would not read an integer of more than 4300 digits


def sha(script: bytes) -> bytes:
    """The name of a script: its SHA1, in hexadecimal."""
    return sha1(script).hexdigest().encode()


def never(*_: object) -> None:
    """Refuse: Lua must not look into Python objects, should it ever get hold of one."""
    raise AttributeError("no Python object is in reach")


def hashable(value: Value) -> Value:
    """An answer that can be a key of a map or a member of a set.

    >>> hashable([b"a", [1]])
    (b'a', (1,))
    """
    if isinstance(value, dict):
        value = [word for pair in value.items() for word in pair]
    return tuple(map(hashable, value)) if isinstance(value, (list, set)) else value


class Interpreter:
    """One Lua, with the scripts that it has compiled. Raises ReplyError where lupa is not installed."""

    def __init__(self, call: Call, check: Callable[[], bool], log: Callable[[int, str], None]) -> None:
        """`call` runs a command; `check` is asked now and then, and ends the script by saying yes."""
        try:
            from lupa.lua51 import LuaError, LuaRuntime, lua_type
        except ImportError:
            raise ReplyError("ERR scripts need the Python package lupa: pip install lupa") from None
        self._error = LuaError
        self._type = lua_type
        self._call = call
        self._scripts: dict[bytes, tuple[Any, int]] = {}  # the function, and how many lines it has
        self._lua = LuaRuntime(
            encoding=None,
            unpack_returned_tuples=True,
            register_eval=False,
            register_builtins=False,
            attribute_filter=never,
            max_memory=MOST_MEMORY,
        )
        prelude = (files(__package__) / "prelude.lua").read_bytes()
        self._compile, self._run, self._get, self._null = self._lua.compile(prelude)(
            self._answer,
            check,
            lambda level, text: log(int(level), text.decode(errors="replace")),
            lambda text: sha(text),
            self._guarded(lambda value: encode(value, self._type)),
            self._guarded(lambda text: decode(text, self._lua.table_from, self._null)),
            self._guarded(operate),
            STEPS,
        )

    def load(self, script: bytes) -> bytes:
        """Compile a script, unless that was done before; give its name. Raises ReplyError where it is no Lua."""
        name = sha(script)
        if name not in self._scripts:
            body = b"\n" + script.partition(b"\n")[2] if script.startswith(b"#!") else script
            function, problem = self._compile(body)
            if function is None:
                raise ReplyError(f"ERR Error compiling script (new function): {problem.decode(errors='replace')}")
            self._scripts[name] = function, body.rstrip().count(b"\n") + 1
        return name

    def run(self, name: bytes, keys: list[bytes], arguments: list[bytes]) -> Value:
        """Run a script that was loaded; give what it answers."""
        tables = (self._lua.table_from(words) for words in (keys, arguments))
        function, lines = self._scripts[name]
        try:
            fine, result, line = (*self._run(function, *tables), None)[:3]
            if fine:
                return self._reply(result)
        except RecursionError:
            return ReplyError("ERR reached lua stack limit")
        except self._error as error:  # there was not even the memory to say so in Lua
            return ReplyError(f"ERR {error}")
        if isinstance(result, BaseException):
            raise result  # ours, from behind `redis.call`: it is no script's business
        text = result.decode(errors="surrogateescape") if isinstance(result, bytes) else "ERR unknown error"
        # `return redis.call(…)` is a tail call, which leaves no trace of its line: most likely it was the last one.
        return ReplyError(f"{text} script: {name.decode()}, on @user_script:{line or lines}.")

    def _answer(self, resp: float, count: float, words: Any) -> Any:
        """Run a command for `redis.call`: what it answers, in Lua's types, or a table with `err`."""
        try:
            return self._lua_value(self._call([words[place] for place in range(1, int(count) + 1)]), int(resp))
        except ReplyError as error:
            return self._lua_value(error, 2)

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with errors as values: a result and nothing, or nothing and a text."""

        def guarded(*arguments: Any) -> Any:
            try:
                return function(*arguments), None
            except (ValueError, OverflowError) as error:
                return None, str(error).encode()
            except RecursionError:
                return None, b"too many nested tables"

        return guarded

    def _lua_value(self, value: Value, resp: int) -> Any:
        """Turn an answer into Lua's types, as Redis does. With resp 3, `redis.setresp(3)`, more of them survive."""
        convert = self._lua_value
        table = self._lua.table_from
        match value:
            case Exception():
                return table({b"err": str(value).encode(errors="surrogateescape")})
            case str():
                return table({b"ok": value.encode()})
            case Verbatim() if resp == 3:
                return table({b"verbatim_string": table({b"format": b"txt", b"string": bytes(value)})})
            case bytes():
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
                return table([convert(word, resp) for pair in value.items() for word in pair])
            case set() | frozenset() if resp == 3:
                return table({b"set": table({convert(item, resp): True for item in value})})
        return table([convert(item, resp) for item in value])

    def _reply(self, value: Any, depth: int = 0) -> Value:
        """Turn what a script returned into an answer: numbers are cut to integers, a table ends at its first nil.

        What is deeper than `DEEPEST` is an error in its place, as in Redis, where it may be some 8000 deep.
        """
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
        get = self._get  # raw, past what a metatable would say
        if isinstance(error := get(value, b"err"), bytes):
            return ReplyError(error.decode(errors="surrogateescape"))
        if isinstance(status := get(value, b"ok"), bytes):
            return status.decode(errors="surrogateescape")
        if isinstance(double := get(value, b"double"), (int, float)):
            return float(double)
        if self._type(pairs := get(value, b"map")) == "table":
            return {hashable(self._reply(key, depth)): self._reply(item, depth) for key, item in pairs.items()}
        if self._type(members := get(value, b"set")) == "table":
            return {hashable(self._reply(key, depth)) for key in members}
        if isinstance(number := get(value, b"big_number"), bytes) and BIG.fullmatch(number):
            return BigNumber(number)
        verbatim = get(value, b"verbatim_string")
        if self._type(verbatim) == "table" and isinstance(text := get(verbatim, b"string"), bytes):
            return Verbatim(text)
        items: list[Value] = []
        while (item := get(value, len(items) + 1)) is not None:
            items.append(self._reply(item, depth))
        return items
