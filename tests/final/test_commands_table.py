"""The tables in final/README.md that name every command of Redis 7.0, here or not, are true and whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import final.commands  # noqa: F401  (they enter themselves into the table)
from final.engine.command import COMMANDS
from stages.harness.course import ROOT
from tests.support.oracle import final_server, redis_server

# `group command` in lines, `client|kill` for a subcommand, as COMMAND DOCS of redis-server 7.0.15 has them.
LINES = Path(__file__).with_name("commands-of-redis-7.0.txt").read_text().splitlines()
REDIS = {name: group for group, _, name in (line.partition(" ") for line in LINES)}
README = (ROOT / "final" / "README.md").read_text()
SECTION = README.partition("\n## Every command of Redis 7.0\n")[2].partition("\n## ")[0]
HERE, NOT_HERE = SECTION.partition("\nNot here:\n")[::2]


def ours() -> Iterator[str]:
    """The commands and subcommands that are here."""
    for command in COMMANDS.values():
        yield command.name
        yield from (each.name for each in command.subcommands.values())


def shown(name: str) -> str:
    """A command as the tables name it."""
    return f"`{name.replace('|', ' ').upper()}`"


def rows(text: str) -> list[list[str]]:
    """The cells of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_commands_that_are_here_are_named_by_their_groups() -> None:
    groups: dict[str, list[str]] = {}
    for name in sorted(set(ours()) & REDIS.keys()):
        groups.setdefault(REDIS[name], []).append(shown(name))
    assert rows(HERE) == [[group, " ".join(names)] for group, names in sorted(groups.items())]


def test_those_that_are_not_here_are_named_with_a_reason() -> None:
    reasons = {name: why for names, why in rows(NOT_HERE) for name in re.findall("`[^`]+`", names)}
    missing = REDIS.keys() - set(ours())
    subcommands = {name for name in missing if name.split("|")[0] in missing - {name}}  # named with their command
    assert reasons.keys() == set(map(shown, missing - subcommands))
    assert all(reasons.values())


def test_the_list_is_that_of_the_real_redis() -> None:
    with redis_server() as server:
        answer = server.connect().ask("COMMAND")
    assert isinstance(answer, list)
    names = set()
    for entry in answer:
        assert isinstance(entry, list) and isinstance(entry[9], list)
        names |= {entry[0], *(each[0] for each in entry[9] if isinstance(each, list))}
    assert names == {name.encode() for name in REDIS}


@pytest.mark.parametrize("protocol", [2, 3])
def test_what_command_says_is_what_the_real_redis_says(protocol: int) -> None:
    tables = []
    for start in final_server, redis_server:
        with start() as server:
            client = server.connect()
            client.ask("HELLO", protocol)
            tables.append(described(client.ask("COMMAND")))
    del tables[0][b"client|setinfo"]  # of Redis 7.2
    assert tables[0] == {name: tables[1].get(name) for name in tables[0]}


def described(answer: Any) -> dict[bytes, Any]:
    """Return what an answer of COMMAND says of each command and subcommand; what is a set in Redis is sorted."""
    found = {}
    for name, arity, flags, first, last, step, categories, tips, specs, subcommands in answer:
        found[name] = (arity, sorted(flags), first, last, step, sorted(categories), tips, in_order(specs))
        found |= described(subcommands)
    return found


def in_order(reply: Any) -> Any:
    """A reply with its lists of simple strings, which are flags, sorted."""
    if isinstance(reply, list):
        return sorted(reply) if all(type(each) is str for each in reply) else [in_order(each) for each in reply]
    return {key: in_order(value) for key, value in reply.items()} if isinstance(reply, dict) else reply
