"""The desk: `python3 -m stages …`. Each command is a module here with `declare` (its arguments) and `run`."""

from __future__ import annotations

import argparse
import importlib
import sys
from importlib.util import find_spec

from stages.desk import Complaint

LEARNER = ("road", "start", "check", "hint", "diff", "spy")
NOT_HANDED_OUT = ("solution", "handout", "grade", "gradescope", "carry")
NAMES = (*LEARNER, *NOT_HANDED_OUT)
PARTS = {name: importlib.import_module(f"stages.{name}") for name in NAMES if find_spec(f"stages.{name}")}


def main(words: list[str]) -> int:
    """Run the command that the words name; without one show the road."""
    options = parser().parse_args(words or ["road"])
    try:
        status: int = PARTS[options.command].run(options)
    except Complaint as complaint:
        print(complaint, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return status


def parser() -> argparse.ArgumentParser:
    """Collect the arguments of all parts; a module's docstring is its help."""
    whole = argparse.ArgumentParser(prog="python3 -m stages", description="The desk of the stages.")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND")
    for name, part in PARTS.items():
        text = part.__doc__ or ""
        part.declare(commands.add_parser(name, help=text.rstrip(".\n"), description=text))
    return whole


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
