"""Valid requests to be mutated: those of the transcripts and conversations, and one of each shape of the sequences."""

from __future__ import annotations

from functools import cache

from final.engine.command import COMMANDS
from tests.support.oracle import args_of, transcripts
from tests.support.sequences import SHAPES
from tests.support.talk import conversations

Args = list[bytes]
NOT_REQUESTS = ("CLOSE", "UNBLOCK")  # lines of a conversation that are no requests
VALUES = {  # a value for each placeholder of `tests.support.sequences`
    "key": b"a", "field": b"f", "value": b"10", "seconds": b"100", "at": b"4000000000", "at-ms": b"4000000000000",
    "which": b"NX", "condition": b"GT", "pattern": b"*", "count": b"2", "end": b"LEFT", "side": b"BEFORE",
    "score": b"1", "bytes": b"[f", "how": b"CH", "min": b"MIN", "rev": b"REV", "aggregate": b"SUM",
    "database": b"1", "integer": b"7", "float": b"0.5", "place": b"-1",
}  # fmt: skip


@cache
def sections() -> list[list[Args]]:
    """Return the sections: lists of requests that belong together."""
    found = [[args_of(line) for line, _ in section] for section in transcripts().values()]
    for steps in conversations().values():
        asked = [request for step, _ in steps for request in step.partition(": ")[2].split(" ; ")]
        found.append([args_of(line) for line in asked if not line.startswith(NOT_REQUESTS)])
    found += [[[VALUES.get(arg, arg.encode()) for arg in shape.split()]] for shape in SHAPES]
    found += [[name.upper().split(b"|")] for name in names()]
    return [[args for args in section if args] for section in found]


@cache
def names() -> list[bytes]:
    """Return the names of all commands and subcommands (`client|list`)."""
    every = [command for found in COMMANDS.values() for command in (found, *found.subcommands.values())]
    return [command.name.encode() for command in every]


@cache
def arguments() -> list[bytes]:
    """Return each argument of all requests once."""
    return sorted({arg for section in sections() for args in section for arg in args})


@cache
def passwords() -> list[bytes]:
    """Return the passwords that the requests set."""
    requests = [args for section in sections() for args in section]
    following = [args[at + 1] for args in requests for at, arg in enumerate(args[:-1]) if arg == b"requirepass"]
    return sorted({*following} - {b""})
