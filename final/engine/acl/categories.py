"""The categories of commands in ACL rules, and all commands that a rule may name."""

from dataclasses import dataclass
from functools import cache

from ..command import ADMIN, BLOCKING, COMMANDS, FAST, PUBSUB, READONLY, RENAMED, WRITE, Command

CATEGORIES = (  # in the order of ACL CAT
    *("keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo"),
    *("stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting"),
)
IMPLIED = {  # by a flag of a command
    WRITE: ["@write"],
    READONLY: ["@read"],
    ADMIN: ["@admin", "@dangerous"],
    PUBSUB: ["@pubsub"],
    BLOCKING: ["@blocking"],
    FAST: ["@fast"],
}
ABSENT = {  # commands of Redis 7.0 that are not here: a list of users that was written for Redis may name them
    "@slow @scripting": "script|debug",
}
LATER = {"client|setinfo": "client|setname"}  # commands of later releases, allowed with one that rules can name


@dataclass(frozen=True)
class Known:
    """A command that a rule may name."""

    categories: frozenset[str]
    subcommands: tuple[str, ...]  # their whole names, as in `client|kill`


def categories(entry: Command) -> set[str]:
    """Return the ACL categories of a command (Redis: `setImplicitACLCategories`)."""
    found = {category for flag in entry.flags for category in IMPLIED.get(flag, [flag] if flag.startswith("@") else [])}
    only_holds_others = entry.subcommands and entry.fewest > 1  # unlike COMMAND, which is one itself
    if not only_holds_others:
        found.add(entry.group.category)
    if "@scripting" in found:
        found.discard("@read")
    if FAST not in entry.flags:
        found.add("@slow")
    return found - {""}


@cache
def known() -> dict[str, Known]:
    """Return all commands that a rule may name, a command before its subcommands."""
    whole = {entry.name: entry for entry in (*COMMANDS.values(), *RENAMED.values())}  # by the names of Redis
    entries = [each for entry in whole.values() for each in (entry, *entry.subcommands.values())]
    found = {each.name: categories(each) for each in entries if each.name not in LATER}
    found |= {name: set(of.split()) for of, names in ABSENT.items() for name in names.split()}
    children: dict[str, list[str]] = {name: [] for name in found}
    for name in found:
        if "|" in name:
            children[name.partition("|")[0]].append(name)
    names = [each for name in found if "|" not in name for each in (name, *children[name])]
    return {
        name: Known(frozenset(each.removeprefix("@") for each in found[name]), tuple(children[name])) for name in names
    }


@cache
def members(category: str) -> tuple[str, ...]:
    """Return the names of the commands of a category."""
    return tuple(name for name, each in known().items() if category in each.categories)
