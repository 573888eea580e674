"""The command line, `python3 -m stages COMMAND`. A command is a module with `declare` (its arguments) and `run`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType

from stages.desk.shared import Complaint

PACKAGES = ("stages.desk", "stages.teacher", "stages.upkeep")  # a handout has the desk only


def commands() -> Iterator[tuple[str, ModuleType]]:
    """Yield the name and the module of each command that is here. A handout has no `solution`."""
    for package in filter(find_spec, PACKAGES):
        for name in importlib.import_module(package).COMMANDS:
            if find_spec(f"{package}.{name}"):
                yield name, importlib.import_module(f"{package}.{name}")


COMMANDS = dict(commands())


def main(args: list[str]) -> int:
    """Run the command that `args` names, `road` when they name none; return the exit status."""
    options = parser().parse_args(args or ["road"])
    try:
        status: int = COMMANDS[options.command].run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough: what is left is written nowhere, also at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Complaint as complaint:
        print(complaint, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return status


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command line; the docstring of a command's module is its help."""
    whole = argparse.ArgumentParser(prog="python3 -m stages", description="Work on the stages.")
    subparsers = whole.add_subparsers(dest="command", metavar="COMMAND")
    for name, module in COMMANDS.items():
        text = module.__doc__ or ""
        module.declare(subparsers.add_parser(name, help=text.rstrip(".\n"), description=text))
    return whole


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
