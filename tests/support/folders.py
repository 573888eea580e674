"""What the tests of the log's folder share: folders with these bytes in them, and whole data sets to be compared."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from final.data.store import KINDS
from final.restore import restore
from stages.harness.wire import Client
from tests.support.oracle import NOW, InProcess

LOOKS = {
    "string": ("GET",),
    "list": ("LRANGE", 0, -1),
    "set": ("SMEMBERS",),
    "zset": ("ZRANGE", 0, -1, "WITHSCORES"),
    "hash": ("HGETALL",),
}


def opened(folder: Path, now: int = NOW, appendfsync: str = "no") -> InProcess:
    """An engine whose log is in this folder, with the data of that log.

    It does not keep the folder to itself: the next one is opened as if this process had ended.
    """
    peer = InProcess(appendonly="yes", dir=str(folder), appendfsync=appendfsync)
    peer.now = now
    restore(peer.engine)
    assert peer.engine.log
    peer.engine.log.folder.leave()
    return peer


def flush(peer: InProcess) -> int:
    """Have everything in the file, as at the end of a turn of the loop; give the file's size."""
    assert peer.engine.log
    peer.engine.log.flush()
    return peer.engine.log.size


def log_in(folder: Path) -> Path:
    """The file that is appended to."""
    return folder / "appendonlydir" / "appendonly.aof.1.incr.aof"


def data_of(peer: InProcess) -> dict[int, dict[bytes, tuple[Any, int | None]]]:
    """Value and deadline of every key of every database."""
    peer.engine.unit.stopped = peer.now
    held = {
        db.index: {key: (comparable(key, db.peek(key)), db.deadline(key)) for key in list(db.keys())}
        for db in peer.engine.stores
    }
    return {index: keys for index, keys in held.items() if keys}


def comparable(key: bytes, value: Any) -> Any:
    """A value as it is, or, where it is of a class of ours, the requests that would make it anew."""
    ours = type(value).__module__.startswith("final.")
    return list(KINDS[type(value)].dump(key, value)) if ours else value


def lay(folder: Path, **files: bytes) -> Path:
    """Make a log's folder by hand: `base`, in whatever form, and increments `incr1`, `incr2` …; give the base."""
    log = folder / "appendonlydir"
    log.mkdir(parents=True)
    lines = []
    for name, data in files.items():
        kind, number = name[:4], name[4:] or "1"
        suffix = "aof" if kind == "incr" or data.startswith(b"*") else "rdb"
        path = log / f"appendonly.aof.{number}.{kind}.{suffix}"
        path.write_bytes(data)
        lines.append(f"file {path.name} seq {number} type {kind[0]}\n")
    (log / "appendonly.aof.manifest").write_text("".join(lines))
    return next(log.glob("*.base.*"), log)


def names(folder: Path) -> list[str]:
    """The names of the log's files, without what all of them have in common."""
    return sorted(path.name.replace("appendonly.aof.", "") for path in (folder / "appendonlydir").iterdir())


def everything(client: Client) -> dict[str, Any]:
    """All that a server holds: database and key, then type, value and deadline. No order where there is none."""
    found = {}
    for database in range(16):
        client.ask("SELECT", database)
        keys: Any = client.ask("KEYS", "*")
        for key in keys:
            kind = client.ask("TYPE", key)
            verb, *rest = LOOKS[str(kind)]
            value: Any = client.ask(verb, key, *rest)
            if kind == "set":
                value = sorted(value)
            elif kind == "hash":
                value = sorted(zip(value[::2], value[1::2], strict=True))
            found[f"{database} {key!r}"] = (kind, value, client.ask("PEXPIRETIME", key))
    return found


def info(client: Client) -> dict[str, str]:
    """What INFO says about the log."""
    text = client.ask("INFO", "persistence")
    assert isinstance(text, bytes)
    return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)


def await_rewrite(client: Client, status: str = "ok") -> dict[str, str]:
    """Wait until no rewrite is under way or scheduled; it must have ended like this. Give what INFO says then."""
    deadline = time.monotonic() + 100
    while True:
        told = info(client)
        if told["aof_rewrite_in_progress"] == told["aof_rewrite_scheduled"] == "0":
            assert told["aof_last_bgrewrite_status"] == status
            return told
        assert time.monotonic() < deadline, "the log is not rewritten"
