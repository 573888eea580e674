"""The manifest, the list of the log's files: the syntax of its lines, and which lists are valid. It opens no file.

    file appendonly.aof.2.base.aof seq 2 type b     the data at one moment
    file appendonly.aof.5.incr.aof seq 5 type i     the changes since: one increment, or several

A manifest has no checksum. These rules, which every rewrite keeps, show that none of its lines is missing or damaged:

- the number and the type of a file are also in its name (except for an old-style log: see `folder.py`);
- the numbers of the increments rise;
- files that were replaced and are still to be deleted are the previous base and its increments, and then there is one
  current increment.

So a base that replaces only increments has the number 2, as if there had been an empty base before it.
"""

import os
import re
from dataclasses import dataclass, replace
from itertools import pairwise

from ..protocol.inline import split_inline

LINE = 1024  # bytes in a line at most, with its newline: as in Redis (MANIFEST_MAX_LINE)
NUMBER = re.compile("[1-9][0-9]{0,17}")
NUMBERED = re.compile(rf"(.*)\.({NUMBER.pattern})\.(base\.aof|base\.rdb|incr\.aof)", re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """One line of the manifest: a file, its number among those of its kind, and the kind.

    The kinds are b, the base; i, an increment; h, history: replaced by a new base, to be deleted.

    >>> print(Entry("appendonly.aof.1.incr.aof", 1, "i"), Entry('my "log".1.base.rdb', 1, "b"), sep="; ")
    file appendonly.aof.1.incr.aof seq 1 type i; file "my \\"log\\".1.base.rdb" seq 1 type b
    """

    name: str
    number: int
    kind: str

    def __str__(self) -> str:
        return f"file {quoted(self.name)} seq {self.number} type {self.kind}"

    @property
    def is_base(self) -> bool:
        """Whether this is a base, or was one."""
        return not self.name.endswith(".incr.aof") or not NUMBERED.fullmatch(self.name)

    @property
    def agrees(self) -> bool:
        """Whether the name matches number and kind. A base with the number 1 may have any name."""
        found = NUMBERED.fullmatch(self.name)
        numbered = int(found[2]) == self.number if found else self.number == 1
        return numbered and (self.kind == "h" or self.is_base == (self.kind == "b"))


def named(name: str, filename: str) -> Entry | None:
    """The entry for a file of this name, if it can belong to the log called `filename`; else None."""
    found = NUMBERED.fullmatch(name)
    if found and found[1] == filename:
        return Entry(name, int(found[2]), found[3][0])
    return Entry(name, 1, "b") if name == filename else None


def quoted(name: str) -> str:
    r"""A name as it is written in a manifest: in quotes, with escapes, if Redis could not read it otherwise.

    >>> print(quoted("a\nb"), quoted("it's"))
    "a\nb" "it's"
    """
    data = os.fsencode(name)
    if all(33 <= byte <= 126 and byte not in b"\\\"'" for byte in data):
        return name
    special = {byte: f"\\{chr(byte)}" for byte in b'\\"'} | {10: "\\n", 13: "\\r", 9: "\\t", 7: "\\a", 8: "\\b"}
    return '"' + "".join(special.get(b, chr(b) if 32 <= b <= 126 else f"\\x{b:02x}") for b in data) + '"'


@dataclass(frozen=True)
class Manifest:
    """The manifest: a base, or none, then the increments in order. It is immutable; each step returns a new one.

    >>> first = Manifest().with_increment("log")
    >>> print(first.with_increment("log").with_base("log"), end="")
    file log.2.base.aof seq 2 type b
    file log.1.base.aof seq 1 type h
    file log.1.incr.aof seq 1 type h
    file log.2.incr.aof seq 2 type i
    """

    base: Entry | None = None
    history: tuple[Entry, ...] = ()
    increments: tuple[Entry, ...] = ()

    @property
    def files(self) -> list[str]:
        """The names of the files to read, in this order."""
        return [each.name for each in (self.base, *self.increments) if each is not None]

    @property
    def last(self) -> int:
        """The number of the last increment; 0 if there is none."""
        return max((each.number for each in (*self.history, *self.increments) if not each.is_base), default=0)

    def with_increment(self, filename: str, ahead: int = 1) -> "Manifest":
        """Add an increment at the end. Its number is the last one plus `ahead`, so its name is new."""
        number = self.last + ahead
        return replace(self, increments=(*self.increments, Entry(f"{filename}.{number}.incr.aof", number, "i")))

    def with_base(self, filename: str) -> "Manifest":
        """Add a new base, which replaces the old one and all increments but the last one."""
        before = self.base or Entry(f"{filename}.1.base.aof", 1, "b")
        number = before.number + 1
        return Manifest(
            base=Entry(f"{filename}.{number}.base.aof", number, "b"),
            history=(*self.history, *(replace(each, kind="h") for each in (before, *self.increments[:-1]))),
            increments=self.increments[-1:],
        )

    def __str__(self) -> str:
        entries = (self.base, *self.history, *self.increments)
        return "".join(f"{each}\n" for each in entries if each is not None)

    @property
    def complaint(self) -> str:
        """Why no server can have written this manifest; "" if one can."""
        if not self.files and not self.history:
            return "it lists no file"
        numbers = [each.number for each in self.increments]
        if any(later <= earlier for earlier, later in pairwise(numbers)):
            return "its increments are not in order"
        bases = [each.number for each in self.history if each.is_base]
        replaced = [each.number for each in self.history if not each.is_base]
        if self.history and (
            self.base is None or max(bases, default=-1) != self.base.number - 1
            or len(numbers) != 1 or not 0 < max(replaced, default=0) < numbers[0]
        ):  # fmt: skip
            return "its replaced files are not those that its base replaces"
        return ""


def parse(data: bytes) -> Manifest:
    """Parse a manifest. Raises ValueError with the reason, and if one line is wrong, its number."""
    if not data:
        raise ValueError("it is empty")
    *lines, rest = data.split(b"\n")
    if rest:
        raise ValueError("its last line has no newline")
    entries = []
    for number, line in enumerate(lines, start=1):
        if len(line) >= LINE:
            raise ValueError(f"line {number} is too long")
        if not line.startswith(b"#"):
            try:
                entry = parse_line(line)
            except (KeyError, ValueError):
                raise ValueError(f"line {number} is not a line of a manifest") from None
            if not entry.agrees:
                raise ValueError(f"line {number} does not match the name of its file")
            entries.append(entry)
    bases = [each for each in entries if each.kind == "b"]
    if len(bases) > 1:
        raise ValueError("it lists more than one base")
    history = tuple(each for each in entries if each.kind == "h")
    manifest = Manifest(bases[0] if bases else None, history, tuple(each for each in entries if each.kind == "i"))
    if manifest.complaint:
        raise ValueError(manifest.complaint)
    return manifest


def parse_line(line: bytes) -> Entry:
    """Parse a line: three pairs of a field and a value. Raises KeyError or ValueError."""
    args = [os.fsdecode(arg) for arg in split_inline(line)]
    pairs = {key.lower(): arg for key, arg in zip(args[::2], args[1::2], strict=True)}
    entry = Entry(pairs["file"], int(pairs["seq"]), pairs["type"])
    known = entry.kind in ("b", "i", "h") and NUMBER.fullmatch(pairs["seq"]) and len(pairs) * 2 == len(args)
    if not known or not entry.name or any(sign in entry.name for sign in "/\\\0"):
        raise ValueError(line)
    return entry
