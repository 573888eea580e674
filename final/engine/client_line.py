"""A client in one line of text, as CLIENT LIST and ACL LOG show it."""

from .client import Client


def described(client: Client, now: int) -> bytes:
    """Return a client's line of CLIENT LIST: the fields of Redis 7.0, and two of 7.2.

    Python does not say how large a buffer is beyond what is in it: `qbuf-free` is 0, and `rbs` and `rbp` are `obl`.
    `now` is the time by the steady clock, in milliseconds.
    """
    tracker, used = client.tracking, client.usage()
    letters = {
        "O": client.monitoring,
        "S": client.replica is not None and not client.monitoring,
        "M": client.is_primary,
        "P": client.subscribed,
        "x": client.queue is not None,
        "b": client.blocked(used),
        "t": tracker is not None,
        "R": tracker is not None and tracker.broken,
        "B": tracker is not None and tracker.bcast,
        "d": client.dirty_cas,
        "c": client.closing,
        "U": client.address.endswith(":0"),
        "e": client.no_evict,
    }
    flags = "".join(letter for letter, is_set in letters.items() if is_set)
    fields = {
        "id": client.id,
        "addr": client.address,
        "laddr": client.local_address,
        "fd": client.descriptor,
        "name": client.name.decode(),
        "age": (now - client.connected_at) // 1000,
        "idle": (now - client.last_interaction) // 1000,
        "flags": flags or "N",
        "db": client.db.index,
        "sub": len(client.channels),
        "psub": len(client.patterns),
        "ssub": len(client.shard_channels),
        "multi": -1 if client.queue is None else len(client.queue),
        "qbuf": used.query,
        "qbuf-free": 0,
        "argv-mem": sum(map(len, client.parked.args)) if client.parked else 0,
        "multi-mem": client.queued_bytes,
        "rbs": used.output,
        "rbp": used.output,
        "obl": used.output,
        "oll": int(used.unread > 0),
        "omem": used.unread,
        "tot-mem": client.memory(used),
        "events": "rw" if used.unread else "r",
        "cmd": client.last_command,
        "user": client.user.name.decode(errors="surrogateescape"),
        "redir": -1 if tracker is None else tracker.redirect,
        "resp": client.protocol,
        "lib-name": client.library.decode(),
        "lib-ver": client.library_version.decode(),
    }
    return " ".join(f"{name}={value}" for name, value in fields.items()).encode(errors="surrogateescape") + b"\n"
