"""Commands for who runs the server."""

from command import command
from engine import Engine
from errors import ReplyError
from primary import Primary
from writer import Value


@command
def bgrewriteaof(engine: Engine) -> Value:
    """BGREWRITEAOF: rewrite the log in the background, soon; the answer does not wait for it."""
    if engine.rewriter is None:
        raise ReplyError("ERR there is no log: the server was started with --appendonly no")
    if engine.rewriter.child:
        raise ReplyError("ERR Background append only file rewriting already in progress")
    engine.rewriter.scheduled = True
    return "Background append only file rewriting started"


@command
def info(primary: Primary, *sections: bytes) -> Value:
    """INFO [section ...]: tell about replication, whatever the section."""
    states = [("wait_bgsave" if each.child else "online", each.acknowledged) for each in primary.replicas.values()]
    replicas = [f"slave{n}:state={state},offset={offset}" for n, (state, offset) in enumerate(states)]
    about = [f"connected_slaves:{len(replicas)}", *replicas, f"master_replid:{primary.id}"]
    lines = ["# Replication", "role:master", *about, f"master_repl_offset:{primary.offset}"]
    return "".join(f"{line}\r\n" for line in lines).encode()
