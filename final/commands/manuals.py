"""HELP of every command that has subcommands: their syntax and what they do, from their docstrings."""

import inspect
from collections.abc import Callable

from ..engine.command import COMMANDS, LOADING, STALE, command
from ..protocol.writer import Value
from . import admin, clients, objects, pubsub  # noqa: F401  (they are in the table)


def manual(container: str) -> Callable[[], Value]:
    """Make the function of a HELP."""

    def answer() -> Value:
        lines = [f"{container.upper()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"]
        subcommands = COMMANDS[container.encode()].subcommands.values()
        for entry in sorted(subcommands, key=lambda each: (each.name.endswith("|help"), each.name)):
            syntax, _, summary = (inspect.getdoc(entry.function) or "").split("\n")[0].partition(": ")
            lines += [syntax.partition(" ")[2], f"    {summary[:1].upper()}{summary[1:]}"]
        return lines

    answer.__name__ = f"{container}_help"
    answer.__doc__ = f"{container.upper()} HELP: print this."
    return answer


for name, entry in COMMANDS.items():
    if entry.subcommands:
        command(LOADING, STALE, of=name.decode())(manual(name.decode()))
