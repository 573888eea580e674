"""A server's log, seen from outside: where it is, and the records in it."""

from __future__ import annotations

from pathlib import Path

from stages.harness.wire import Client, Incomplete, Mismatch, parse, request


def log_of(folder: Path) -> Path:
    """Find the file that new records go to: `appendonly.aof`, or Redis 7's last increment in `appendonlydir/`."""
    manifest = folder / "appendonlydir" / "appendonly.aof.manifest"
    if not manifest.exists():
        return folder / "appendonly.aof"
    lines = [line.split() for line in manifest.read_text().splitlines()]
    return manifest.with_name([line[1] for line in lines if line[-1] == "i"][-1])


def logged(folder: Path) -> bytes:
    """Return what the log in a server's folder has in it now."""
    path = log_of(folder)
    assert path.exists(), f"with --appendonly yes there is a log, {path.name}, in the folder given by --dir"
    return path.read_bytes()


def records(data: bytes) -> list[list[bytes]]:
    """Read a log as Redis does: arrays of bulk strings, one after the other, and nothing else."""
    found: list[list[bytes]] = []
    end = 0
    while end < len(data):
        start = end
        try:
            args, end = parse(data, start)
        except (ValueError, Incomplete) as error:
            place = f"after {len(found)} records, at byte {start} of what was read"
            raise AssertionError(f"the log is not RESP {place}: {data[start : start + 100]!r}: {error}") from None
        assert isinstance(args, list), f"a record is an array, not {args!r}"
        assert all(type(arg) is bytes for arg in args), f"an array of bulk strings, not {args!r}"
        assert data[start:end] == request(*args), f"not as Redis writes it: {data[start:end]!r}"
        if args != [b"SELECT", b"0"]:  # Redis logs the database before the first record
            found.append(args)
    return found


def same(received: bytes, expected: bytes, what: str, sent: bytes = b"") -> None:
    """Fail, and show both as bytes, if they differ; `what` says what they are, and `sent` what the server was sent."""
    if received != expected:
        raise Mismatch(sent, expected, received, found=what)


def has_records(data: bytes, expected: list[list[bytes]], what: str, sent: bytes | None = None) -> None:
    """Fail if the records in a part of the log are not these requests; the same were sent, if `sent` is not given."""
    wanted = b"".join(request(*args) for args in expected)
    same(b"".join(request(*args) for args in records(data)), wanted, what, wanted if sent is None else sent)


def settle(client: Client) -> None:
    """Make one more round trip: then the server has done all that belongs to the replies before it."""
    client.check(request("PING"), b"+PONG\r\n")
