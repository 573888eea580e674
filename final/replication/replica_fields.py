"""What INFO says of a replica: its primary, and how far it has come."""

from typing import Any

from .replica import Replica
from .replica_state import State


def replica_fields(replica: Replica) -> dict[str, Any]:
    """The fields of INFO about the primary and the connection to it."""
    now, options, offset = replica.engine.steady(), replica.engine.options, replica.engine.primary.offset
    syncing = replica.state in (State.EXPECTING, State.RECEIVING, State.LOADING)
    silent = (now - replica.heard) // 1000
    fields: dict[str, Any] = {
        "master_host": replica.host,
        "master_port": replica.port,
        "master_link_status": "up" if replica.state is State.CONNECTED else "down",
        "master_last_io_seconds_ago": silent if replica.state is State.CONNECTED else -1,
        "master_sync_in_progress": int(syncing),
        "slave_read_repl_offset": offset,
        "slave_repl_offset": offset,
    }
    if syncing:
        total, received = (replica.transfer.length, replica.transfer.received) if replica.transfer else (-1, 0)
        fields |= {
            "master_sync_total_bytes": total or 0,
            "master_sync_read_bytes": received,
            "master_sync_left_bytes": max((total or 0) - received, -1),
            "master_sync_perc": f"{100 * received / total if total and total > 0 else 0:.2f}",
            "master_sync_last_io_seconds_ago": silent,
        }
    if replica.state is not State.CONNECTED:
        down = -1 if replica.down_since is None else (now - replica.down_since) // 1000
        fields["master_link_down_since_seconds"] = down
    return fields | {
        "slave_priority": options.replica_priority,
        "slave_read_only": int(options.replica_read_only == "yes"),
        "replica_announced": 1,
    }
