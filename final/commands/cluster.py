"""CLUSTER, READONLY, READWRITE and ASKING: with cluster mode off, all of them answer with the same error."""

from inspect import Parameter, Signature

from ..engine.command import ADMIN, FAST, IN_CONNECTION, LOADING, NOSCRIPT, STALE, Group
from ..engine.signature import command
from ..protocol.errors import ReplyError
from ..protocol.writer import Value

GROUP = Group("cluster", "", "g")

INFORMS = (STALE,)
INSPECTS = (ADMIN, STALE)
CHANGES = (ADMIN, STALE, "no_async_loading")
VARYING = {  # the subcommands whose answer is not the same each time
    *("BUMPEPOCH", "COUNT-FAILURE-REPORTS", "GETKEYSINSLOT", "INFO", "LINKS", "NODES", "REPLICAS", "SHARDS", "SLAVES"),
    "SLOTS",
}
SUBCOMMANDS = {  # the syntax, and the flags
    "ADDSLOTS slot [slot ...]": CHANGES,
    "ADDSLOTSRANGE start-slot end-slot [start-slot end-slot ...]": CHANGES,
    "BUMPEPOCH": CHANGES,
    "COUNT-FAILURE-REPORTS node-id": INSPECTS,
    "COUNTKEYSINSLOT slot": INFORMS,
    "DELSLOTS slot [slot ...]": CHANGES,
    "DELSLOTSRANGE start-slot end-slot [start-slot end-slot ...]": CHANGES,
    "FAILOVER [FORCE | TAKEOVER]": CHANGES,
    "FLUSHSLOTS": CHANGES,
    "FORGET node-id": CHANGES,
    "GETKEYSINSLOT slot count": INFORMS,
    "HELP": (LOADING, STALE),
    "INFO": INFORMS,
    "KEYSLOT key": INFORMS,
    "LINKS": INFORMS,
    "MEET ip port [cluster_bus_port]": CHANGES,
    "MYID": INFORMS,
    "NODES": INFORMS,
    "REPLICAS node-id": INSPECTS,
    "REPLICATE node-id": CHANGES,
    "RESET [HARD | SOFT]": (ADMIN, NOSCRIPT, STALE),
    "SAVECONFIG": CHANGES,
    "SET-CONFIG-EPOCH config-epoch": CHANGES,
    "SETSLOT slot subcommand [node-id]": CHANGES,
    "SHARDS": INFORMS,
    "SLAVES node-id": INSPECTS,
    "SLOTS": INFORMS,
}


def disabled() -> ReplyError:
    """For every command about a cluster."""
    return ReplyError("ERR This instance has cluster support disabled")


@command()
def cluster(subcommand: bytes, *arguments: bytes) -> Value:
    """CLUSTER subcommand [argument ...]: inspect and manage a cluster."""


def enter(syntax: str, flags: tuple[str, ...]) -> None:
    """Add the subcommand with this syntax to the table."""

    def refuse(*arguments: bytes) -> Value:
        raise disabled()

    name, *needed = syntax.partition(" [")[0].split()
    parameters = [Parameter(f"argument{at}", Parameter.POSITIONAL_ONLY, annotation=bytes) for at in range(len(needed))]
    if "[" in syntax:
        parameters.append(Parameter("more", Parameter.VAR_POSITIONAL, annotation=bytes))
    refuse.__name__ = f"cluster_{name.lower().replace('-', '_')}"
    refuse.__doc__ = f"CLUSTER {syntax}: answer with an error: this server has no cluster mode."
    refuse.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command(*flags, of="cluster", tips="nondeterministic_output" if name in VARYING else "")(refuse)


for each in SUBCOMMANDS.items():
    enter(*each)


@command(FAST, IN_CONNECTION)
def asking() -> Value:
    """ASKING: answer with an error: this server has no cluster mode."""
    raise disabled()


@command(LOADING, STALE, FAST, IN_CONNECTION)
def readonly() -> Value:
    """READONLY: answer with an error: this server has no cluster mode."""
    raise disabled()


@command(LOADING, STALE, FAST, IN_CONNECTION)
def readwrite() -> Value:
    """READWRITE: answer with an error: this server has no cluster mode."""
    raise disabled()
