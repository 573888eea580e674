"""The libraries of functions: programs in Lua that are kept as the data is, in the log, in snapshots and on replicas.

A library is a text, whose first line is `#!lua name=mylib`. When it is loaded it runs once, and registers functions.
"""

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..lua.functions import FunctionInterpreter, Registered
from ..lua.limits import NoLua
from ..protocol.errors import ReplyError, shown
from ..protocol.inline import split_inline
from ..protocol.writer import Value
from ..server_log import log
from .client import Client
from .scripts import Program, Scripts

FLAGS = ("no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys")  # in the order of Redis
LOAD_TIMEOUT = 0.5  # seconds that a library may take to load (LOAD_TIMEOUT_MS) …
PATIENCE = 10  # … times this, if it comes from the log, a snapshot or the primary: it was loaded before
NAME = re.compile(rb"\w+", re.ASCII)


@dataclass(frozen=True)
class Library:
    """A library: its text, and what it has registered; None: there is no Lua here, but it is kept."""

    name: bytes
    code: bytes
    functions: list[Registered] | None


@dataclass
class Libraries:
    """Libraries by name, and all their functions by name in lower case.

    If the names of two functions of a library differ only in that, the first one is called. Redis crashes when such a
    library is deleted.
    """

    by_name: dict[bytes, Library] = field(default_factory=dict)
    functions: dict[bytes, Registered] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Library]:
        """The libraries."""
        return iter(self.by_name.values())

    def __len__(self) -> int:
        """The number of functions."""
        return sum(len(each.functions or ()) for each in self)

    def copy(self) -> "Libraries":
        """Return a copy, which can be changed."""
        return Libraries(self.by_name.copy(), self.functions.copy())

    def add(self, library: Library) -> None:
        """Add a library. Raises ReplyError if there is a function of the same name as one of it."""
        found = {each.name.lower(): each for each in reversed(library.functions or ())}
        for name, each in found.items():
            if name in self.functions:
                raise ReplyError(f"ERR Function {each.name.decode()} already exists")
        self.by_name[library.name] = library
        self.functions |= found

    def remove(self, name: bytes) -> Library | None:
        """Remove the library of this name, and return it; None: there is none."""
        library = self.by_name.pop(name, None)
        for each in (library and library.functions) or ():
            self.functions.pop(each.name.lower(), None)
        return library


class Functions:
    """The functions of a server. Lua is started when the first library is loaded."""

    def __init__(self, scripts: Scripts) -> None:
        """Functions run as scripts do."""
        self.scripts = scripts
        self.libraries = Libraries()
        self._lua: FunctionInterpreter | None = None
        self.request: list[bytes] = []  # that has called the last function
        self._deadline = 0.0  # of the library that loads, by the monotonic clock

    def load(self, code: bytes, replace: bool, obeying: bool) -> bytes:
        """Load a library, and return its name. Raises ReplyError; then nothing has changed.

        `obeying`: it comes from the log, a snapshot or the primary. If there is no Lua here, it is kept.
        """
        name, body = parse(code)
        old = self.libraries.remove(name) if replace else None
        try:
            self.add(self.libraries, name, code, body, obeying)
        except BaseException:
            if old is not None:
                self.libraries.add(old)
            raise
        return name

    def restore(self, codes: Iterable[bytes], policy: bytes, obeying: bool) -> None:
        """Load all these libraries, or raise ReplyError; `policy` is FLUSH, APPEND or REPLACE, for those of before."""
        new = Libraries()
        for code in codes:
            name, body = parse(code)
            self.add(new, name, code, body, obeying)
        joined = Libraries() if policy == b"flush" else self.libraries.copy()
        for library in new:
            if library.name in joined.by_name and policy != b"replace":
                raise ReplyError(f"ERR Library {library.name.decode()} already exists")
            joined.remove(library.name)
        for library in new:
            joined.add(library)
        self.libraries = joined

    def add(self, libraries: Libraries, name: bytes, code: bytes, body: bytes, obeying: bool) -> None:
        """Load a library, and add it to these. Raises ReplyError."""
        if name in libraries.by_name:
            raise ReplyError(f"ERR Library '{name.decode()}' already exists")
        functions = self.run(body, obeying)
        if functions == []:
            raise ReplyError("ERR No functions registered")
        libraries.add(Library(name, code, functions))

    def run(self, body: bytes, obeying: bool) -> list[Registered] | None:
        """Run a library's text without its first line; return what it registers. Raises ReplyError."""
        self._deadline = time.monotonic() + LOAD_TIMEOUT * (PATIENCE if obeying else 1)
        try:
            return self.lua.load_library(body)
        except NoLua:
            if not obeying:
                raise
            log.warning("a library of functions is kept, but cannot be called: lupa is not installed")
            return None

    @property
    def lua(self) -> FunctionInterpreter:
        """The Lua of the functions. Raises NoLua."""
        if self._lua is None:
            self._lua = self.scripts.start_for_functions(lambda: time.monotonic() > self._deadline)
        return self._lua

    def delete(self, name: bytes) -> None:
        """Remove a library. Raises ReplyError."""
        if self.libraries.remove(name) is None:
            raise ReplyError("ERR Library not found")

    def flush(self) -> None:
        """Remove all libraries, and end Lua."""
        self.libraries = Libraries()
        if self._lua is not None:
            self._lua.close()
            self._lua = None

    def find(self, name: bytes) -> Registered:
        """Return the function of this name. Raises ReplyError."""
        function = self.libraries.functions.get(name.lower())
        if function is None:
            if any(each.functions is None for each in self.libraries):
                raise NoLua
            raise ReplyError("ERR Function not found")
        return function

    def call(
        self, client: Client, request: list[bytes], function: Registered, keys: list[bytes], arguments: list[bytes],
        readonly: bool,
    ) -> Value:  # fmt: skip
        """Call a function for a client, and return its reply; `request` is what the client has sent."""
        lua, program = self.lua, Program(function.name, function.flags, declared=True, is_function=True)
        self.request = request
        return self.scripts.perform(client, program, keys, readonly, lua, lambda: lua.invoke(function, keys, arguments))

    @property
    def memory(self) -> int:
        """The bytes that Lua uses for functions."""
        return self._lua.memory() if self._lua is not None else 0

    @property
    def codes(self) -> list[bytes]:
        """The texts of all libraries."""
        return [each.code for each in self.libraries]


def parse(code: bytes) -> tuple[bytes, bytes]:
    r"""Return the name of a library, and its text with an empty first line. Raises ReplyError.

    >>> parse(b"#!lua name=mylib\nredis.register_function(...)")
    (b'mylib', b'\nredis.register_function(...)')
    """
    if not code.startswith(b"#!"):
        raise ReplyError("ERR Missing library metadata")
    first, newline, rest = code.partition(b"\n")
    try:
        engine, *options = split_inline(first)
    except ValueError:
        newline = b""
    if not newline or b"\0" in first:
        raise ReplyError("ERR Invalid library metadata")
    names = [option[5:] for option in options if option[:5].lower() == b"name="]
    for number, option in enumerate(options):
        if option[:5].lower() != b"name=":
            raise ReplyError(f"ERR Invalid metadata value given: {shown(option, None)}")
        if number > 0:
            raise ReplyError("ERR Invalid metadata value, name argument was given multiple times")
    if not names:
        raise ReplyError("ERR Library name was not given")
    if not NAME.fullmatch(names[0]):
        raise ReplyError(
            "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character "
            "long"
        )
    if engine[2:].lower() != b"lua":
        raise ReplyError(f"ERR Engine '{shown(engine[2:], None)}' not found")
    return names[0], newline + rest
