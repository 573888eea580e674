"""The commands, a file for each family. Importing a file enters its commands into the table of `final.command`."""

from . import (
    admin,
    algebra,
    connection,
    deadlines,
    descriptions,
    hashes,
    keys,
    lists,
    pops,
    protocol,
    pubsub,
    queues,
    ranges,
    sorted_sets,
    strings,
    transactions,
)

__all__ = [
    "admin",
    "algebra",
    "connection",
    "deadlines",
    "descriptions",
    "hashes",
    "keys",
    "lists",
    "pops",
    "protocol",
    "pubsub",
    "queues",
    "ranges",
    "sorted_sets",
    "strings",
    "transactions",
]
