"""The HELP subcommands. `help.txt` says what those of Redis have; for another one, docstrings do."""

from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files

from ..engine.command import COMMANDS, LOADING, STALE, Command
from ..engine.signature import command
from ..protocol.writer import Value
from .command_docs import described_by


def enter_help() -> None:
    """Add a HELP subcommand to every command that has others. Called after all commands are registered."""
    for name, entry in COMMANDS.items():
        if entry.subcommands and b"help" not in entry.subcommands:
            command(LOADING, STALE, of=name.decode())(help_of(name.decode()))


def help_of(container: str) -> Callable[[], Value]:
    """Return the handler of HELP for a command that has subcommands."""

    def answer() -> Value:
        return help_about(COMMANDS[container.encode()])

    answer.__name__ = f"{container}_help"
    answer.__module__ = COMMANDS[container.encode()].function.__module__  # its group
    answer.__doc__ = f"{container.upper()} HELP: print this."
    return answer


def help_about(entry: Command) -> Value:
    """Return what HELP prints: each subcommand with its arguments, and behind four spaces what it does."""
    name = entry.name.upper()
    about = texts().get(name, [])
    frame = f"{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    return [frame, *about, *derived(entry, about), "HELP", "    Print this."]


@cache
def texts() -> dict[str, list[str]]:
    """Return the lines of `help.txt` for each command."""
    parts = (files(__package__) / "help.txt").read_text().strip().split("\n\n")
    return {name: lines for name, *lines in (part.splitlines() for part in parts)}


def derived(entry: Command, about: list[str]) -> Iterator[str]:
    """Yield what the docstrings say of the subcommands that have no line yet, in the order of their names."""
    told = {line.split()[0] for line in about}
    for each in sorted(entry.subcommands.values(), key=lambda each: each.name):
        name = each.name.partition("|")[2].upper()
        if name not in told and name != "HELP":
            syntax, summary = described_by(each)
            yield f"{name} {syntax}".rstrip()
            yield f"    {summary}"
