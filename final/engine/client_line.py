"""A client in one line of text, as CLIENT LIST and ACL LOG show it."""

from .client import Client


def described(client: Client, now: int) -> bytes:
    """Return a client's line of CLIENT LIST: the fields of Redis, without those that this server has no value for.

    `now` is the time by the steady clock, in milliseconds.
    """
    tracker = client.tracking
    letters = {
        "M": client.is_primary,
        "S": client.replica is not None,
        "O": client.monitoring,
        "P": client.subscribed,
        "x": client.queue is not None,
        "b": client.parked is not None,
        "t": tracker is not None,
        "R": tracker is not None and tracker.broken,
        "B": tracker is not None and tracker.bcast,
        "d": client.dirty_cas,
        "e": client.no_evict,
    }
    flags = "".join(letter for letter, is_set in letters.items() if is_set)
    fields = {
        "id": client.id,
        "addr": client.address,
        "laddr": client.local_address,
        "name": client.name.decode(),
        "age": (now - client.connected_at) // 1000,
        "idle": (now - client.last_interaction) // 1000,
        "flags": flags or "N",
        "db": client.db.index,
        "sub": len(client.channels),
        "psub": len(client.patterns),
        "ssub": len(client.shard_channels),
        "multi": -1 if client.queue is None else len(client.queue),
        "cmd": client.last_command,
        "user": client.user.name.decode(errors="surrogateescape"),
        "redir": -1 if tracker is None else tracker.redirect,
        "lib-name": client.library.decode(),
        "lib-ver": client.library_version.decode(),
        "resp": client.protocol,
    }
    return " ".join(f"{name}={value}" for name, value in fields.items()).encode(errors="surrogateescape") + b"\n"
