"""The list of the log's files, damaged in every way: the start has all data, or is refused and changes nothing."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from final.log.folder import Folder
from final.log.manifest import parse
from final.log.read import CorruptLog
from stages.harness.server import NotStarted, Server
from stages.harness.wire import request
from tests.support.folders import data_of, flush, opened
from tests.support.oracle import final_server, redis_server

MANIFEST = "appendonly.aof.manifest"
OLD = request("SET", "a", 1) + request("RPUSH", "l", "x")
DUMP = request("SET", "a", 2) + request("RPUSH", "l", "x", "y")
CHANGE = request("INCR", "a") + request("RPUSH", "l", "z")

# What the list says, without what all lines have in common; and the files, whether they are listed or not.
FOLDERS = {
    "begun": ("1.incr.aof i", {"1.incr.aof": CHANGE}),
    "rewritten": ("2.base.aof b; 2.incr.aof i", {"2.base.aof": DUMP, "2.incr.aof": CHANGE}),
    "rewritten, and nothing since": ("2.base.aof b; 2.incr.aof i", {"2.base.aof": DUMP, "2.incr.aof": b""}),
    "begun by Redis": ("1.base.aof b; 1.incr.aof i", {"1.base.aof": OLD, "1.incr.aof": CHANGE}),
    "after a rewrite that failed": (
        "2.base.aof b; 2.incr.aof i; 3.incr.aof i; 4.incr.aof i",
        {"2.base.aof": DUMP, "2.incr.aof": CHANGE, "3.incr.aof": CHANGE, "4.incr.aof": CHANGE},
    ),
    "by Redis, after a rewrite that failed": (
        "1.base.aof b; 1.incr.aof i; 2.incr.aof i",
        {"1.base.aof": OLD, "1.incr.aof": CHANGE, "2.incr.aof": CHANGE},
    ),
    "killed before the new list": (
        "2.base.aof b; 2.incr.aof i; 3.incr.aof i",
        {"2.base.aof": DUMP, "2.incr.aof": CHANGE, "3.incr.aof": CHANGE, "3.base.aof": OLD, "temp": b""},
    ),
    "killed before the first list with a base": (
        "1.incr.aof i; 2.incr.aof i",
        {"1.incr.aof": CHANGE, "2.incr.aof": CHANGE, "2.base.aof": DUMP},
    ),
    "killed after the new list": (
        "3.base.aof b; 2.base.aof h; 2.incr.aof h; 3.incr.aof h; 4.incr.aof i",
        {"3.base.aof": DUMP, "2.base.aof": OLD, "2.incr.aof": CHANGE, "3.incr.aof": CHANGE, "4.incr.aof": CHANGE},
    ),
    "killed after the first list with a base": (
        "2.base.aof b; 1.base.aof h; 1.incr.aof h; 2.incr.aof i",
        {"2.base.aof": DUMP, "1.incr.aof": CHANGE, "2.incr.aof": CHANGE},
    ),
    "killed while it was turned on": (
        "2.base.aof b; 2.incr.aof i",
        {"2.base.aof": DUMP, "2.incr.aof": CHANGE, "3.base.aof": OLD, "4.incr.aof": CHANGE},
    ),
}


def write_log(folder: Path, kind: str) -> bytes:
    """Make a log's folder of this kind; give its list."""
    said, files = FOLDERS[kind]
    log = folder / "appendonlydir"
    shutil.rmtree(log, ignore_errors=True)
    log.mkdir(parents=True)
    for name, data in files.items():
        (log / ("temp-rewriteaof-bg-1.aof" if name == "temp" else f"appendonly.aof.{name}")).write_bytes(data)
    lines = (each.split() for each in said.split("; "))
    manifest = "".join(f"file appendonly.aof.{name} seq {name[0]} type {type}\n" for name, type in lines).encode()
    (log / MANIFEST).write_bytes(manifest)
    return manifest


def damaged(data: bytes) -> Iterator[bytes]:
    """The list with any bit wrong, cut anywhere, and with a line missing, twice there, or in another's place."""
    for place in range(len(data)):
        yield data[:place]
        for bit in range(8):
            yield data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
    lines = data.splitlines(keepends=True)
    for at in range(len(lines)):
        yield b"".join(lines[:at] + lines[at + 1 :])
        yield b"".join(lines[: at + 1] + lines[at:])
    for first, second in combinations(range(len(lines)), 2):
        swapped = list(lines)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        yield b"".join(swapped)


def contents(folder: Path) -> dict[str, bytes]:
    """The files of the log's folder."""
    return {path.name: path.read_bytes() for path in (folder / "appendonlydir").iterdir()}


def stamps(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Which files are there, how large they are, and when they were written: that is quicker than to read them."""
    found = ((each.name, each.stat()) for each in os.scandir(folder / "appendonlydir"))
    return {name: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in found}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_damaged_list_loses_nothing(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda number: None)  # this is not about power cuts, and there are many starts
    good = write_log(tmp_path, kind)
    expected = data_of(opened(tmp_path))
    write_log(tmp_path, kind)
    before, started = contents(tmp_path), 0
    folder = Folder(tmp_path / "appendonlydir", "appendonly.aof")
    for bad in damaged(good):
        (tmp_path / "appendonlydir" / MANIFEST).write_bytes(bad)
        left = stamps(tmp_path)
        if reason := refused(folder):
            assert "\n" not in reason and stamps(tmp_path) == left, bad
            continue
        started += 1
        if parse(bad) != parse(good):
            for _ in range(2):
                assert data_of(opened(tmp_path)) == expected, bad
            write_log(tmp_path, kind)
    (tmp_path / "appendonlydir" / MANIFEST).write_bytes(good)
    assert 0 < started < 300 and contents(tmp_path) == before


def refused(folder: Folder) -> str:
    """Why a folder does not let us in; "" where it does. That is all that stands between a start and its changes."""
    try:
        folder.enter(upgrade=True)
    except ValueError as error:
        return str(error)
    folder.leave()
    return ""


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"", "it is empty"),
        (b"# a remark\n", "it lists no file"),
        (b"file appendonly.aof.2.base.aof seq 2 type b\n", r"it does not list appendonly\.aof\.2\.incr\.aof"),
        (b"file appendonly.aof.2.incr.aof seq 2 type i\n", r"it does not list appendonly\.aof\.2\.base\.aof"),
    ],
)
def test_a_server_refuses_half_a_list_in_one_line(tmp_path: Path, bad: bytes, reason: str) -> None:
    write_log(tmp_path, "rewritten")
    (tmp_path / "appendonlydir" / MANIFEST).write_bytes(bad)
    before = contents(tmp_path)
    with pytest.raises(NotStarted, match="exit status 1") as refused, final_server(data=tmp_path):
        pass
    (said,) = [line for line in refused.value.trace.splitlines() if "cannot use the log" in line]
    assert re.search(reason, said) and contents(tmp_path) == before


def test_what_was_written_while_the_log_was_turned_on_is_set_aside_and_named(tmp_path: Path, capfd: Any) -> None:
    write_log(tmp_path, "killed while it was turned on")
    opened(tmp_path)
    assert "appendonly.aof.4.incr.aof.aside" in capfd.readouterr().err
    after = contents(tmp_path)
    assert after["appendonly.aof.4.incr.aof.aside"] == CHANGE
    assert sorted(after) == [
        "appendonly.aof.2.base.aof",
        "appendonly.aof.2.incr.aof",
        "appendonly.aof.4.incr.aof.aside",
        MANIFEST,
    ]


def test_nothing_is_deleted_before_the_files_were_read(tmp_path: Path) -> None:
    write_log(tmp_path, "killed after the new list")
    (tmp_path / "appendonlydir" / "appendonly.aof.4.incr.aof").write_bytes(b"!" + CHANGE)
    before = contents(tmp_path)
    with pytest.raises(CorruptLog, match="damaged at byte 0"):
        opened(tmp_path)
    assert contents(tmp_path) == before


def test_an_increment_that_is_not_ours_is_not_overwritten_by_the_next_one(tmp_path: Path, capfd: Any) -> None:
    peer = opened(tmp_path)
    peer.ask("SET k v")
    flush(peer)
    other = tmp_path / "appendonlydir" / "appendonly.aof.2.incr.aof"
    other.write_bytes(CHANGE)
    assert "Can't execute an AOF background rewriting" in peer.ask("BGREWRITEAOF")
    assert other.read_bytes() == CHANGE and "File exists" in capfd.readouterr().err


# Odd lists, beside a real Redis


BASE, INCR = "file appendonly.aof.1.base.aof seq 1 type b\n", "file appendonly.aof.1.incr.aof seq 1 type i\n"
LATER = INCR.replace("1", "5")
ACCEPTED = [
    INCR + BASE,
    BASE + INCR.replace("file", "FILE"),
    BASE + INCR.replace("\n", " more x\n"),
    BASE + INCR.replace("\n", "\r\n"),
    f"#{'x' * 1022}\n# \udcff \udc85 \x0c\n{BASE}{INCR}",
    BASE + INCR + LATER,
]
REFUSED = [
    "",
    (BASE + INCR)[:-1],
    BASE + "\n" + INCR,
    f"#{'x' * 1023}\n{BASE}{INCR}",
    BASE + INCR.replace("\n", " more\n"),
    BASE + BASE + INCR,
    BASE + INCR + INCR,
    BASE + INCR.replace("seq 1", "seq 0"),
    BASE + INCR.replace("type i", "type x"),
    BASE + INCR + INCR.replace("1", "7"),
    BASE + INCR.replace("incr", "in\0cr"),
    BASE + "file a/b seq 9 type i\n",
]
STRICTER = [  # than Redis, which starts with less than there is: PROMISES.md says so
    "# a remark\n",
    BASE,
    INCR,
    BASE + INCR.replace("type i", "type h"),
    BASE + INCR + INCR.replace("type i", "type h"),
    BASE + INCR.replace("seq 1", "seq 2"),
    BASE + INCR.replace("seq 1", "seq 1x"),
    BASE + INCR.replace("type i", "type ix"),
]


def held(folder: Path, text: str, target: Callable[..., AbstractContextManager[Server]]) -> Any:
    """How long the list `l` is after a start with this list of files; None where there is no start."""
    log = folder / "appendonlydir"
    shutil.rmtree(log, ignore_errors=True)
    log.mkdir()
    (log / "appendonly.aof.1.base.aof").write_bytes(OLD)
    (log / "appendonly.aof.1.incr.aof").write_bytes(CHANGE)
    if LATER in text:
        (log / "appendonly.aof.5.incr.aof").write_bytes(CHANGE)
    (log / MANIFEST).write_bytes(os.fsencode(text))
    try:
        with target(data=folder) as server:
            return server.connect().ask("LLEN", "l")
    except NotStarted:
        return None


def ours(folder: Path, text: str) -> Any:
    """The same for us, in this process."""

    @contextmanager
    def start(data: Path) -> Iterator[Any]:
        try:
            peer = opened(data)
        except CorruptLog:
            raise NotStarted("", "", "") from None
        yield SimpleNamespace(connect=lambda: SimpleNamespace(ask=lambda *args: int(peer.ask(" ".join(args))[1:])))

    return held(folder, text, start)


@pytest.mark.parametrize("text", ACCEPTED)
def test_an_odd_list_that_redis_reads_is_read(tmp_path: Path, text: str) -> None:
    assert ours(tmp_path, text) == held(tmp_path, text, redis_server) == 2 + (LATER in text)


@pytest.mark.parametrize("text", REFUSED)
def test_a_list_that_redis_refuses_is_refused(tmp_path: Path, text: str) -> None:
    assert ours(tmp_path, text) is held(tmp_path, text, redis_server) is None


@pytest.mark.parametrize("text", STRICTER)
def test_a_list_that_may_be_half_of_one_is_refused_although_redis_reads_it(tmp_path: Path, text: str) -> None:
    assert held(tmp_path, text, redis_server) is not None and ours(tmp_path, text) is None
