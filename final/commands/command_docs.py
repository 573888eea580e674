"""COMMAND DOCS: made from the docstrings of the handlers, and from `releases.txt`."""

import inspect
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from ..engine.command import COMMANDS, LOADING, STALE, SYSTEM, Command, Group
from ..engine.signature import command, complexity
from ..protocol.writer import Value
from .command_info import named, ordered
from .syntax import Argument, parse

GROUP = Group("server", "@connection", "g")
OTHER_GROUPS = {  # of commands that stand beside those of another group here
    **dict.fromkeys(("dbsize", "flushall", "flushdb", "restore-asking", "swapdb"), "server"),
    "wait": "generic",
}
KEYS_OF_SORT = {"BY": 1, "GET": 1, "STORE": 2}  # the numbers of their key specifications; patterns find keys, too


@command(LOADING, STALE, of="command", tips="nondeterministic_output_order")
@complexity("O(N) for N commands")
def command_docs(*names: bytes) -> Value:
    """COMMAND DOCS [command-name [command-name ...]]: answer with summary and syntax; redis-cli shows them as hints."""
    entries = [entry for name in names if (entry := named(name))] if names else list(COMMANDS.values())
    return {entry.name.encode(): documented(entry) for entry in entries}


@dataclass
class History:
    """What releases of Redis have brought to a command. It is new in `since`; one of this server's own has none."""

    since: str = ""
    changes: list[tuple[str, str]] = field(default_factory=list)  # release, and a sentence
    deprecated: tuple[str, str] | None = None  # release, and what replaces the command


@cache
def histories() -> dict[str, History]:
    """Return the history of each command: `releases.txt` has the new commands of each release, and what has changed."""
    found: defaultdict[str, History] = defaultdict(History)
    text = (files(__package__) / "releases.txt").read_text().replace("\n        ", " ")
    for line in text.splitlines():
        if not line.startswith(" "):
            release = line
            continue
        names, _, what = line.strip().partition(": ")
        for name in (what if names == "new" else names).split():
            if names == "new":
                found[name].since = release
            elif what.startswith("replaced by "):
                found[name].deprecated = release, what.removeprefix("replaced by ")
            else:
                found[name].changes.append((release, what))
    return found


def documented(entry: Command) -> Value:
    """Return a command as COMMAND DOCS describes it: the first line of its docstring is `SYNTAX: summary`."""
    syntax, summary = described_by(entry)
    history = histories().get(entry.name, History())
    told: dict[bytes, Value] = {b"summary": summary.encode()}
    if history.since:
        told[b"since"] = history.since.encode()
    told[b"group"] = OTHER_GROUPS.get(entry.name, entry.group.name).encode()
    usual = "Depends on the subcommand." if entry.subcommands else "O(1)"
    if takes := usual if entry.complexity is None else entry.complexity:
        told[b"complexity"] = takes.encode()
    flags = ["syscmd"] * (SYSTEM in entry.flags) + ["deprecated"] * (history.deprecated is not None)
    if flags:
        told[b"doc_flags"] = ordered(flags)
    if history.deprecated:
        told[b"deprecated_since"], told[b"replaced_by"] = (each.encode() for each in history.deprecated)
    if history.changes:
        told[b"history"] = [[release.encode(), change.encode()] for release, change in history.changes]
    if entry.subcommands:
        told[b"subcommands"] = {each.name.encode(): documented(each) for each in entry.subcommands.values()}
    elif syntax:
        arguments = Arguments(entry, history)
        told[b"arguments"] = [arguments.one(each) for each in parse(syntax, entry.name)]
    return told


def described_by(entry: Command) -> tuple[str, str]:
    """Return the arguments of a command as its docstring has them, and the summary as a sentence."""
    syntax, _, summary = (inspect.getdoc(entry.function) or "").split("\n")[0].partition(": ")
    names = entry.name.count("|") + 1
    return " ".join(syntax.split(" ")[names:]), summary[:1].upper() + summary[1:]


class Arguments:
    """Describes the arguments of one command. Keys are numbered as the key specifications that find them."""

    def __init__(self, entry: Command, history: History) -> None:
        self.of_sort = KEYS_OF_SORT if entry.name.startswith("sort") else {}
        self.last_spec = len(entry.key_specs) - 1
        self.keys = 0
        self.dates: dict[str, str] = {}  # the release that brought an argument: the first whose sentence names it
        for release, sentence in history.changes:
            for word in re.findall(r"[\w-]+", sentence):
                self.dates.setdefault(word, release)

    def one(self, argument: Argument, dated: bool = True) -> Value:
        """Return one of them; `dated`: with the release that brought it, if that was later than the command."""
        told: dict[bytes, Value] = {b"name": argument.name.encode(), b"type": argument.type.encode()}
        if argument.token in self.of_sort:
            told[b"key_spec_index"] = self.of_sort[argument.token]
        elif argument.type == "key":
            told[b"key_spec_index"] = min(self.keys, self.last_spec)
            self.keys += 1
        if argument.token is not None:
            told[b"token"] = argument.token.encode()
        together = self.release_of_all(argument)
        if dated and (release := together or self.dates.get(argument.token or argument.name)):
            told[b"since"] = release.encode()
        flags = ["optional"] * argument.optional + ["multiple"] * argument.multiple
        flags += ["multiple_token"] * argument.token_repeated
        if flags:
            told[b"flags"] = ordered(flags)
        if argument.arguments:
            told[b"arguments"] = [self.one(each, dated=not together) for each in argument.arguments]
        return told

    def release_of_all(self, argument: Argument) -> str | None:
        """Return the release that brought all tokens of a choice, if that was one release."""
        if argument.type != "oneof" or any(each.type != "pure-token" for each in argument.arguments):
            return None
        releases = {self.dates.get(each.token or "") for each in argument.arguments}
        return releases.pop() if len(releases) == 1 else None
