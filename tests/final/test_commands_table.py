"""The tables in final/README.md that name every command of Redis 7.0, here or not, are true and whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def test_arity_flags_and_categories_are_those_of_the_real_redis() -> None:
    with redis_server() as theirs, final_server() as ours:
        tables = [seen_by_acl(server.connect().ask("COMMAND")) for server in (ours, theirs)]
    del tables[0][b"client|setinfo"]  # of Redis 7.2
    assert tables[0] == {name: tables[1].get(name) for name in tables[0]}


def seen_by_acl(described: Any) -> dict[bytes, tuple[int, set[str], set[str]]]:
    """Return the arity, the flags and the ACL categories of each command and subcommand in an answer of COMMAND."""
    found = {}
    for entry in described:
        found[entry[0]] = (entry[1], {*map(str, entry[2])}, {*map(str, entry[6])})
        found |= seen_by_acl(entry[9])
    return found
