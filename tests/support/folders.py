"""Makes folders of an append-only file with given bytes, and reads whole data sets so that tests can compare them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from final.data.kinds import KINDS
from final.restore import restore
from stages.harness.wire import Client, Error, parse, request
from tests.support.oracle import NOW, InProcess

# Fields of XINFO STREAM FULL that a log does not keep.
UNLOGGED = frozenset([b"radix-tree-keys", b"radix-tree-nodes", b"seen-time", b"active-time"])
LOOKS = {
    "string": ("GET",),
    "list": ("LRANGE", 0, -1),
    "set": ("SMEMBERS",),
    "zset": ("ZRANGE", 0, -1, "WITHSCORES"),
    "hash": ("HGETALL",),
    "stream": ("XRANGE", "-", "+"),
}


def opened(folder: Path, now: int = NOW, appendfsync: str = "no") -> InProcess:
    """Return an engine whose log is in this folder, with the data of that log loaded.

    The folder's lock is released at once, so that a test can open it again as if this process had ended.
    """
    peer = InProcess(appendonly="yes", dir=str(folder), appendfsync=appendfsync)
    peer.now = now
    restore(peer.engine)
    assert peer.engine.log
    peer.engine.log.folder.leave()
    return peer


def flush(peer: InProcess) -> int:
    """Write the log into its file, as at the end of an iteration of the event loop; return the size of the log."""
    assert peer.engine.log
    peer.engine.log.flush()
    return peer.engine.log.size


def log_in(folder: Path) -> Path:
    """Return the path of the first increment."""
    return folder / "appendonlydir" / "appendonly.aof.1.incr.aof"


def data_of(peer: InProcess) -> dict[int, dict[bytes, tuple[Any, int | None]]]:
    """Return the data: database -> key -> (value, deadline)."""
    peer.engine.unit.stopped = peer.now
    held = {
        db.index: {key: (comparable(key, db.peek(key)), db.deadline(key)) for key in list(db.keys())}
        for db in peer.engine.stores
    }
    return {index: keys for index, keys in held.items() if keys}


def comparable(key: bytes, value: Any) -> Any:
    """Return a value; if it is of a class of final/, return the requests that make it."""
    ours = type(value).__module__.startswith("final.")
    return list(KINDS[type(value)].dump(key, value)) if ours else value


def write_log(folder: Path, **files: bytes) -> Path:
    """Make a log's folder from the bytes of its files, `base`, `incr1`, `incr2` …; return the path of the base."""
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
    """List the names of the log's files, without their common part."""
    return sorted(path.name.replace("appendonly.aof.", "") for path in (folder / "appendonlydir").iterdir())


def ask_all(client: Client, requests: list[list[Any]]) -> list[Any]:
    """Send the requests in one pipeline; return the replies as Python values."""
    client.send(b"".join(request(*args) for args in requests))
    return [parse(client.read_reply())[0] for _ in requests]


def fill(client: Client, requests: list[list[Any]]) -> None:
    """Send the requests in one pipeline; none may be answered with an error."""
    errors = [reply for reply in ask_all(client, requests) if isinstance(reply, Error)]
    assert not errors, errors


def everything(client: Client, passing: frozenset[bytes] = UNLOGGED) -> dict[str, Any]:
    """Return a server's data: "database key" -> (type, value, deadline). Sets and hashes are sorted.

    `passing` are the fields of XINFO STREAM that are left out.
    """
    found = {}
    for database in range(16):
        client.ask("SELECT", database)
        keys: Any = client.ask("KEYS", "*")
        kinds = [str(kind) for kind in ask_all(client, [["TYPE", key] for key in keys])]
        deadlines = ask_all(client, [["PEXPIRETIME", key] for key in keys])
        looks = [(key, LOOKS[kind]) for key, kind in zip(keys, kinds, strict=True)]
        values = ask_all(client, [[verb, key, *rest] for key, (verb, *rest) in looks])
        for key, kind, value, until in zip(keys, kinds, values, deadlines, strict=True):
            if kind == "set":
                value = sorted(value)
            elif kind == "stream":
                value = [value, told_of(client.ask("XINFO", "STREAM", key, "FULL", "COUNT", 0), passing)]
            elif kind == "hash":
                value = sorted(zip(value[::2], value[1::2], strict=True))
            found[f"{database} {key!r}"] = (kind, value, until)
    return found


def by_score(data: dict[str, Any]) -> dict[str, Any]:
    """Return such data with the scores of sorted sets as numbers.

    Servers write them in different ways, and a small sorted set of Redis's forgets the sign of -0 when it is loaded.
    """
    return {
        key: (kind, [*map(float, value[1::2]), *value[::2]] if kind == "zset" else value, until)
        for key, (kind, value, until) in data.items()
    }


def told_of(stream: Any, passing: frozenset[bytes] = UNLOGGED) -> Any:
    """Return a reply of XINFO STREAM FULL without the fields `passing`."""
    if not isinstance(stream, list):
        return stream
    names = [None, *stream]
    return [
        told_of(each, passing)
        for name, each in zip(names, stream, strict=False)
        if not (isinstance(name, bytes) and name in passing) and not (isinstance(each, bytes) and each in passing)
    ]


def info(client: Client) -> dict[str, str]:
    """Return the fields of INFO persistence."""
    text = client.ask("INFO", "persistence")
    assert isinstance(text, bytes)
    return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)


def await_rewrite(client: Client, status: str = "ok") -> dict[str, str]:
    """Wait until no rewrite is running or scheduled; check the last one's `status`; return INFO persistence."""
    deadline = time.monotonic() + 100
    while True:
        told = info(client)
        if told["aof_rewrite_in_progress"] == told["aof_rewrite_scheduled"] == "0":
            assert told["aof_last_bgrewrite_status"] == status
            return told
        assert time.monotonic() < deadline, "the rewrite of the log does not end"
