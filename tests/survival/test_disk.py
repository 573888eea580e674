"""The disk fails: it is full, it does not keep what it was given, the folder has gone. From outside, as it happens.

A full disk is a small one of our own (tmpfs), in a mount namespace that only the servers of the test are in. An fsync
or a write that fails is Python's own, replaced before the server starts by a `sitecustomize`, and as long as a file
is there.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stages.harness.course import ROOT
from stages.harness.server import Server
from stages.harness.target import Target, find
from stages.harness.wire import Client, Error, Mismatch, request
from tests.support.folders import info
from tests.support.observing import await_true
from tests.support.oracle import PATIENCE, redis_target, serving

VALUE = "x" * 60_000
SMALL = "300k"
FULL = "MISCONF Errors writing to the AOF file: No space left on device"
BROKEN = "MISCONF Errors writing to the AOF file: Input/output error"


def final() -> Target:
    """`python -m final`."""
    return find("final", 5, Path())


def stage_05() -> Target:
    """The last stage."""
    return find("reference", 5, Path())


class Disk:
    """A small disk of our own, mounted where only those see it whom `target` starts."""

    def __init__(self, folder: Path, size: str = SMALL) -> None:
        self.folder = folder
        folder.mkdir()
        script = 'mount -t tmpfs -o "size=$1" none "$0" && echo mounted && exec sleep 600'
        args = ["unshare", "-m", "sh", "-c", script, str(folder), size]
        self.holder = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.holder.stdout
        self.is_there = self.holder.stdout.readline() == "mounted\n"
        self.enter = ("nsenter", "-t", str(self.holder.pid), "-m")
        self.seen = Path(f"/proc/{self.holder.pid}/root{folder}")  # the same, seen from here

    def target(self, target: Target) -> Target:
        """The same target, with this disk in its reach."""
        program = target.command or (sys.executable, str(target.folder and target.folder / "server.py"))
        return dataclasses.replace(target, command=(*self.enter, *program), folder=started(target))

    def remount(self, options: str) -> None:
        """Have it be of another size, or read-only (`ro`)."""
        subprocess.run([*self.enter, "mount", "-o", f"remount,{options}", str(self.folder)], check=True)

    def close(self) -> None:
        """Let it go, and what is on it."""
        self.holder.kill()
        self.holder.communicate()


def started(target: Target) -> Path | None:
    """The folder of a target that is started by its command line: only `final` keeps its own."""
    return target.folder if target.is_final else None


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Give such a disk. Skips where one cannot have any."""
    if not shutil.which("unshare") or not shutil.which("nsenter"):
        pytest.skip("a disk of one's own takes unshare and nsenter")
    disk = Disk(tmp_path / "disk")
    try:
        if not disk.is_there:
            pytest.skip("here one cannot mount a disk of one's own")
        yield disk
    finally:
        disk.close()


def fill(client: Client) -> dict[str, str]:
    """SET until that is refused; give what was acknowledged."""
    acknowledged: dict[str, str] = {}
    for number in range(20):
        if client.ask("SET", f"k{number}", VALUE) != "OK":
            return acknowledged
        acknowledged[f"k{number}"] = VALUE
    raise AssertionError("the disk does not become full")


def await_ok(client: Client, seconds: float = 60) -> None:
    """Wait until writes are accepted."""
    deadline = time.monotonic() + seconds
    while (answer := client.ask("SET", "probe", "again")) != "OK":
        assert time.monotonic() < deadline, answer
        time.sleep(0.02)


def held(client: Client, keys: Any) -> dict[str, str]:
    """What is at these keys."""
    values = {key: client.ask("GET", key) for key in keys}
    return {key: value.decode() for key, value in values.items() if isinstance(value, bytes)}


# Full


policies = pytest.mark.parametrize("policy", ["everysec", pytest.param("no", marks=pytest.mark.slow)])
REFUSED = [
    ("SET", "k0", "v"), ("DEL", "k0"), ("RPUSH", "list", "a"), ("EXPIRE", "k0", 100), ("FLUSHALL",),
    ("GET", "k0"), ("EXISTS", "k0"), ("PUBLISH", "channel", "message"), ("ECHO", "hello"),
    ("MULTI",), ("SET", "k0", "v"), ("EXEC",), ("MULTI",), ("GET", "list"), ("EXEC",),
]  # fmt: skip


@policies
def test_while_the_disk_is_full_final_refuses_what_redis_refuses_in_its_words(disk: Disk, policy: str) -> None:
    said = []
    for which in (final, redis_target):
        with serving(disk.target(which()), disk.folder, data=disk.folder, appendfsync=policy) as server:
            client = server.connect()
            fill(client)
            said.append([client.ask(*args) for args in REFUSED])
            assert info(client)["aof_last_write_status"] == "err"
            server.kill()
        shutil.rmtree(disk.seen / "appendonlydir")
    assert said[0] == said[1]
    assert said[1].count(Error(FULL)) == 6


def test_whoever_asks_whether_we_are_well_hears_that_the_disk_is_full(disk: Disk) -> None:
    for which in (redis_target, final):
        with serving(disk.target(which()), disk.folder, data=disk.folder, appendfsync="no") as server:
            client = server.connect()
            fill(client)
            assert client.ask("PING") == FULL
            server.kill()
        shutil.rmtree(disk.seen / "appendonlydir")


def test_a_script_cannot_write_either(disk: Disk) -> None:
    pytest.importorskip("lupa")
    for which in (redis_target, final):
        with serving(disk.target(which()), disk.folder, data=disk.folder, appendfsync="no") as server:
            client = server.connect()
            fill(client)
            answer = str(client.ask("EVAL", "return redis.call('SET', 'script', 'v')", 0))
            assert answer.startswith(FULL), answer
            assert client.ask("EVAL", "return redis.call('STRLEN', 'k0')", 0) == len(VALUE)
            assert client.ask("EXISTS", "script") == 0
            server.kill()
        shutil.rmtree(disk.seen / "appendonlydir")


@policies
def test_once_there_is_room_service_comes_back_and_nothing_acknowledged_is_lost(disk: Disk, policy: str) -> None:
    target = disk.target(final())
    with serving(target, disk.folder, data=disk.folder, appendfsync=policy) as server:
        client = server.connect()
        client.ask("SET", "first", "v")
        acknowledged = fill(client) | {"first": "v"}
        refused = f"k{len(acknowledged) - 1}"
        disk.remount("size=10m")
        await_ok(client)
        assert info(client)["aof_last_write_status"] == "ok"
        server.kill()
    with serving(target, disk.folder, data=disk.folder, appendfsync=policy) as server:
        client = server.connect()
        assert held(client, [*acknowledged, refused, "probe"]) == {**acknowledged, "probe": "again"}
        assert server.errors == ""


@policies
def test_a_server_that_dies_while_the_disk_is_full_comes_back_with_whole_requests(disk: Disk, policy: str) -> None:
    target = disk.target(final())
    with serving(target, disk.folder, data=disk.folder, appendfsync=policy) as server:
        acknowledged = fill(server.connect())
        server.kill()
    with serving(target, disk.folder, data=disk.folder, appendfsync=policy) as server:
        *before, last = acknowledged  # the last one's turn is the one that found the disk full
        assert held(server.connect(), acknowledged) == {key: VALUE for key in before}
        await_true(lambda: "cut off at byte" in server.errors, "cut off at byte")
        assert last


def test_under_always_a_full_disk_ends_it_before_the_reply_and_what_was_answered_is_there(disk: Disk) -> None:
    for which in (final, redis_target, stage_05):
        target, acknowledged = disk.target(which()), 0
        with serving(target, disk.folder, data=disk.folder, appendfsync="always") as server:
            client = server.connect()
            with pytest.raises(Mismatch, match="closed"):
                while client.ask("SET", f"k{acknowledged}", VALUE) == "OK":
                    acknowledged += 1
            assert server.wait() == 1
            if which is not redis_target:
                assert re.search("cannot write the log: .*No space left on device", server.errors)
        disk.remount("size=10m")
        with serving(target, disk.folder, data=disk.folder, appendfsync="always") as server:
            keys = [f"k{number}" for number in range(acknowledged)]
            assert acknowledged and held(server.connect(), keys) == dict.fromkeys(keys, VALUE)
            server.kill()
        for path in disk.seen.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        disk.remount(f"size={SMALL}")


@policies
def test_stage_05_ends_when_the_disk_is_full_with_any_policy(disk: Disk, policy: str) -> None:
    target, acknowledged = disk.target(stage_05()), 0
    with serving(target, disk.folder, data=disk.folder, appendfsync=policy) as server:
        client = server.connect()
        with pytest.raises(Mismatch, match="closed"):
            while client.ask("SET", f"k{acknowledged}", VALUE) == "OK":
                acknowledged += 1
        assert server.wait() == 1
        assert "cannot write the log: " in server.errors and "No space left on device" in server.errors
    disk.remount("size=10m")
    with serving(target, disk.folder, data=disk.folder, appendfsync=policy) as server:
        keys = [f"k{number}" for number in range(acknowledged)]
        assert acknowledged and held(server.connect(), keys) == dict.fromkeys(keys, VALUE)


@policies
def test_a_clean_stop_with_a_full_disk_says_what_is_lost(disk: Disk, policy: str) -> None:
    with serving(disk.target(final()), disk.folder, data=disk.folder, appendfsync=policy) as server:
        fill(server.connect())
        assert server.stop() == 1
        assert "cannot write the log, its last changes are lost: No space left on device" in server.errors


def test_a_rewrite_that_finds_no_room_changes_nothing(disk: Disk) -> None:
    target = disk.target(final())
    disk.remount("size=100k")
    with serving(target, disk.folder, data=disk.folder, appendfsync="no") as server:
        client = server.connect()
        client.ask("SET", "k", VALUE)
        client.check(request("BGREWRITEAOF"), b"+Background append only file rewriting started\r\n")
        deadline = time.monotonic() + 60
        while info(client)["aof_last_bgrewrite_status"] == "ok":
            assert time.monotonic() < deadline, "the rewrite has found room"
            time.sleep(0.02)
        assert [path.name for path in (disk.seen / "appendonlydir").glob("temp*")] == []
        client.check(request("SET", "after", "v"), b"+OK\r\n")
        server.kill()
    with serving(target, disk.folder, data=disk.folder, appendfsync="no") as server:
        assert held(server.connect(), ["k", "after"]) == {"k": VALUE, "after": "v"}


# It takes, and does not keep


FAULTS = '''
"""Makes fsync, or writes to the log, fail while a file is there, and counts the fsyncs that went well."""

import errno
import io
import os

real_fsync, RealFile = os.fsync, io.FileIO


def fails(name):
    path = os.path.join(os.environ["FAULTS"], name)
    if not os.path.exists(path):
        return False
    if os.path.getsize(path):  # it says `once`
        os.unlink(path)
    return True


def fsync(descriptor):
    if fails("fsync"):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    real_fsync(descriptor)


class FileIO(RealFile):
    def write(self, data):
        if fails("write"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().write(data)


os.fsync, io.FileIO = fsync, FileIO
'''


class Faults:
    """What is to fail in a server that `target` starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(FAULTS)

    def target(self, target: Target) -> Target:
        """The same target, in which this can fail."""
        program = target.command or (sys.executable, str(target.folder and target.folder / "server.py"))
        args = ("env", f"PYTHONPATH={ROOT}:{self.folder}", f"FAULTS={self.folder}")
        return dataclasses.replace(target, command=(*args, *program), folder=started(target))

    def begin(self, what: str, once: bool = False) -> None:
        """From now on `fsync` or `write` fails: always, or only the next one."""
        path = self.folder / f"{what}.new"
        path.write_text("once" * once)
        path.rename(self.folder / what)

    def end(self, what: str) -> None:
        """It works again."""
        (self.folder / what).unlink()

    def happened(self, what: str) -> bool:
        """Whether the one that was to fail `once` has."""
        return not (self.folder / what).exists()


@pytest.fixture
def faults(tmp_path: Path) -> Faults:
    """Give such a thing."""
    return Faults(tmp_path / "faults")


def await_refusal(client: Client, expected: str, seconds: float = 60) -> None:
    """SET until that is refused, which must be in these words."""
    deadline = time.monotonic() + seconds
    while (answer := client.ask("SET", "refused", "v")) == "OK":
        assert time.monotonic() < deadline, "writes are accepted as ever"
        time.sleep(0.02)
    assert answer == expected


@policies
def test_a_write_that_fails_is_made_good_by_the_next_one(faults: Faults, tmp_path: Path, policy: str) -> None:
    target = faults.target(final())
    with serving(target, tmp_path, data=tmp_path, appendfsync=policy) as server:
        client = server.connect()
        client.check(request("SET", "k", "v"), b"+OK\r\n")
        faults.begin("write")
        await_refusal(client, BROKEN)
        assert client.ask("GET", "k") == b"v"
        assert client.ask("SET", "k", "w") == BROKEN
        faults.end("write")
        await_ok(client)
        server.kill()
    with serving(target, tmp_path, data=tmp_path, appendfsync=policy) as server:
        assert held(server.connect(), ["k", "refused", "probe"]) == {"k": "v", "refused": "v", "probe": "again"}


@pytest.mark.parametrize("what", ["write", "fsync"])
@pytest.mark.parametrize("which", [final, stage_05], ids=["final", "stage 05"])
def test_under_always_a_disk_that_fails_ends_it_before_the_reply(
    faults: Faults, tmp_path: Path, what: str, which: Callable[[], Target]
) -> None:
    if which is stage_05 and what == "write":
        pytest.skip("it writes through open(), which cannot be replaced from outside")
    target = faults.target(which())
    with serving(target, tmp_path, data=tmp_path, appendfsync="always") as server:
        client = server.connect()
        client.check(request("SET", "k", "v"), b"+OK\r\n")
        faults.begin(what, once=True)
        client.send(request("SET", "k", "w") + request("GET", "k"))
        client.expect_closed()
        assert server.wait() == 1
        await_true(
            lambda: "cannot write the log: [Errno 5] Input/output error" in server.errors,
            "cannot write the log: [Errno 5] Input/output error",
        )
    with serving(target, tmp_path, data=tmp_path, appendfsync="always") as server:
        assert server.connect().ask("GET", "k") in ((b"v",) if what == "write" else (b"v", b"w"))


def test_stage_05_ends_when_the_sync_of_each_second_fails(faults: Faults, tmp_path: Path) -> None:
    with serving(faults.target(stage_05()), tmp_path, data=tmp_path, appendfsync="everysec") as server:
        faults.begin("fsync", once=True)
        server.connect().check(request("SET", "k", "v"), b"+OK\r\n")
        assert server.wait() == 1
        await_true(
            lambda: "cannot sync the log: [Errno 5] Input/output error" in server.errors,
            "cannot sync the log: [Errno 5] Input/output error",
        )


def test_while_fsync_fails_under_everysec_writes_are_refused_and_reads_are_not(faults: Faults, tmp_path: Path) -> None:
    with serving(faults.target(final()), tmp_path, data=tmp_path, appendfsync="everysec") as server:
        client = server.connect()
        faults.begin("fsync")
        await_refusal(client, BROKEN)
        assert client.ask("GET", "refused") == b"v"
        assert info(client)["aof_last_write_status"] == "err"
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert client.ask("SET", "k", "v") == BROKEN
            time.sleep(0.05)
        assert server.alive


def test_once_fsync_works_again_the_whole_log_is_written_anew_before_writes_are_accepted(
    faults: Faults, tmp_path: Path
) -> None:
    target = faults.target(final())
    with serving(target, tmp_path, data=tmp_path, appendfsync="everysec") as server:
        client = server.connect()
        client.check(request("SET", "k", "v"), b"+OK\r\n")
        faults.begin("fsync")
        await_refusal(client, BROKEN)
        assert bases(tmp_path) == []
        faults.end("fsync")
        await_ok(client, 20)
        assert len(bases(tmp_path)) == 1
        told = info(client)
        assert told["aof_last_write_status"] == told["aof_last_bgrewrite_status"] == "ok"
        server.kill()
    with serving(target, tmp_path, data=tmp_path, appendfsync="everysec") as server:
        assert held(server.connect(), ["k", "refused", "probe"]) == {"k": "v", "refused": "v", "probe": "again"}


def test_an_fsync_that_failed_once_is_not_made_good_by_one_that_does_not(faults: Faults, tmp_path: Path) -> None:
    """The system may have forgotten what it could not write: the next fsync of that file says nothing about it."""
    with serving(faults.target(final()), tmp_path, data=tmp_path, appendfsync="everysec") as server:
        client = server.connect()
        faults.begin("fsync", once=True)
        before = 0
        deadline = time.monotonic() + 60
        while client.ask("SET", "k", before) == "OK" and not faults.happened("fsync"):
            before += 1
            assert time.monotonic() < deadline, "there was no fsync"
            time.sleep(0.02)
        assert faults.happened("fsync"), "writes are refused for another reason"
        await_refusal(client, BROKEN)
        await_ok(client, 20)
        assert len(bases(tmp_path)) == 1


def bases(folder: Path) -> list[str]:
    """The bases that the manifest names."""
    return re.findall(r"file (\S+) seq \d+ type b", (folder / "appendonlydir/appendonly.aof.manifest").read_text())


def test_where_nobody_asked_for_fsync_nobody_minds_that_it_fails(faults: Faults, tmp_path: Path) -> None:
    with serving(faults.target(final()), tmp_path, data=tmp_path, appendfsync="no") as server:
        client = server.connect()
        faults.begin("fsync")
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            client.check(request("SET", "k", "v"), b"+OK\r\n")
            time.sleep(0.05)
        assert server.alive


# The folder


def refused(target: Target, folder: Path, data: Path, status: int = 1) -> str:
    """What a server says that cannot start: one line, and a status."""
    server = Server(target, PATIENCE, folder, data=data)
    try:
        assert server.wait() == status
        assert server.errors.count("\n") == 1 and "Traceback" not in server.errors
        return server.errors
    finally:
        server.close()


def test_a_folder_that_cannot_be_made_or_written_is_said_in_one_line(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "Not a directory" in refused(final(), tmp_path, tmp_path / "file", status=2)
    (tmp_path / "appendonlydir").touch()
    assert "cannot use the log: " in refused(final(), tmp_path, tmp_path)
    disk.remount("ro")
    said = refused(disk.target(final()), tmp_path, disk.folder)
    assert "cannot use the log: " in said and "Read-only file system" in said


@policies
def test_a_folder_that_has_gone_is_missed_and_what_it_held_is_written_anew_once_it_can_be(
    tmp_path: Path, policy: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with serving(final(), tmp_path, data=data, appendfsync=policy) as server:
        client = server.connect()
        client.check(request("SET", "k", "v"), b"+OK\r\n")
        shutil.rmtree(data)  # neither Redis nor the operating system would tell anyone
        await_refusal(client, "MISCONF Errors writing to the AOF file: No such file or directory")
        assert client.ask("GET", "k") == b"v"
        data.mkdir()
        await_ok(client, 20)
        server.kill()
    with serving(final(), tmp_path, data=data, appendfsync=policy) as server:
        assert held(server.connect(), ["k", "refused", "probe"]) == {"k": "v", "refused": "v", "probe": "again"}


# A snapshot


def in_background(client: Client) -> str:
    """BGSAVE; return the status of that snapshot."""
    assert client.ask("BGSAVE") == "Background saving started"
    deadline = time.monotonic() + 60
    while (told := info(client))["rdb_bgsave_in_progress"] == "1":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return told["rdb_last_bgsave_status"]


def test_a_disk_that_is_too_full_for_a_snapshot_keeps_the_last_one_and_stops_writes_as_in_redis(disk: Disk) -> None:
    said = []
    for which in (final, redis_target):
        options = ("--dir", str(disk.folder), "--save", "3600 1", "--rdbcompression", "no")
        with serving(disk.target(which()), disk.folder, *options) as server:
            client = server.connect()
            client.ask("SET", "k0", "before")
            assert in_background(client) == "ok"
            kept = (disk.seen / "dump.rdb").read_bytes()
            for number in range(10):
                client.ask("SET", f"large{number}", VALUE)
            answers = [client.ask("SAVE"), client.ask("SET", "k0", "v"), in_background(client)]
            said.append([*answers, *(client.ask(*args) for args in REFUSED), client.ask("SHUTDOWN")])
            assert (disk.seen / "dump.rdb").read_bytes() == kept
            assert [path.name for path in disk.seen.iterdir()] == ["dump.rdb"]
            disk.remount("size=3m")
            assert [in_background(client), client.ask("SET", "k0", "v")] == ["ok", "OK"]
            server.kill()
        (disk.seen / "dump.rdb").unlink()
        disk.remount(f"size={SMALL}")
    assert said[0] == said[1]
    assert said[0][:3] == [Error("ERR"), "OK", "err"]
