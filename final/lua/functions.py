"""Loads libraries of functions, and calls the functions. `functions.lua` has what a library may use while it loads."""

from typing import Any, NamedTuple

from ..protocol.errors import ReplyError, shown
from ..protocol.writer import Value
from .interpreter import Interpreter
from .limits import ENDED


class Registered(NamedTuple):
    """A function that a library has registered."""

    name: bytes
    callback: Any  # the function of Lua
    line: int  # of its last statement
    description: bytes | None
    flags: frozenset[str]


class FunctionInterpreter(Interpreter):
    """A Lua state for functions: they get their keys and arguments as two tables, and have no global variables."""

    CHUNK = "user_function"

    def load_library(self, code: bytes) -> list[Registered]:
        """Run the code of a library, which begins with its second line. Raises ReplyError."""
        try:
            found, problem = self._load_library(code)
            if isinstance(problem, BaseException):
                raise problem  # a bug of the server
        except self._error:  # not even Lua's own error message fitted in memory
            raise ReplyError(ENDED[MemoryError]) from None
        finally:
            self._lift()
        if found is None:
            raise ReplyError(f"ERR {shown(problem, None)}")
        lines = code.split(b"\n")
        return [self._registered(each, lines) for each in found.values()]

    def _registered(self, found: Any, lines: list[bytes]) -> Registered:
        """Convert what the library has registered."""
        name, callback, last, description, flags = (
            self._get(found, key) for key in (b"function_name", b"callback", b"line", b"description", b"flags")
        )
        alone = 0 < last <= len(lines) and lines[last - 1].strip().startswith(b"end")
        names = frozenset(flag.decode() for flag in flags.values()) if flags is not None else frozenset()
        return Registered(name, callback, last - alone, description, names)

    def invoke(self, function: Registered, keys: list[bytes], arguments: list[bytes]) -> Value:
        """Call a function, and return its reply."""
        return self.call(function.name, function.callback, function.line, keys, arguments)
