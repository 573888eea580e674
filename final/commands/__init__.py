"""The commands, a file for each family. Importing a file enters its commands into the table of `final.command`."""

from . import (
    admin,
    connection,
    deadlines,
    descriptions,
    hashes,
    keys,
    protocol,
    pubsub,
    strings,
    transactions,
)

__all__ = [
    "admin",
    "connection",
    "deadlines",
    "descriptions",
    "hashes",
    "keys",
    "protocol",
    "pubsub",
    "strings",
    "transactions",
]
