"""Commands for who runs the server."""

from command import command
from engine import Engine
from errors import ReplyError
from primary import Primary
from reader import parse_integer
from replica import Replica
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
def info(primary: Primary, replica: Replica, *sections: bytes) -> Value:
    """INFO [section ...]: tell about replication, whatever the section."""
    states = [("wait_bgsave" if each.child else "online", each.acknowledged) for each in primary.replicas.values()]
    replicas = [f"slave{n}:state={state},offset={offset}" for n, (state, offset) in enumerate(states)]
    about = [f"connected_slaves:{len(replicas)}", *replicas, f"master_replid:{primary.id}"]
    about.append(f"master_repl_offset:{primary.offset}")
    lines = ["# Replication", "role:master", *about]
    if replica.address is not None:
        host, port = replica.address
        link = "up" if replica.connected else "down"
        above = [f"master_host:{host}", f"master_port:{port}", f"master_link_status:{link}"]
        lines = ["# Replication", "role:slave", *above, f"slave_repl_offset:{replica.offset}", *about]
    return "".join(f"{line}\r\n" for line in lines).encode()


@command
def replicaof(replica: Replica, host: bytes, port: bytes) -> Value:
    """REPLICAOF host port | NO ONE: copy another server from now on; or be a primary again. Answer OK."""
    if (host.lower(), port.lower()) == (b"no", b"one"):
        replica.follow(None)
        return "OK"
    number = parse_integer(port)
    if number is None or not 0 <= number <= 65535:
        raise ReplyError("ERR Invalid master port")
    replica.follow((host.decode(errors="replace"), number))
    return "OK"
