"""Checkpoint 11: the log is rewritten while clients go on writing, and killed at any step it is one whole log."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.harness.checkpoint import Dice, Modules, step
from stages.harness.log import has_records, log_of, logged, same, settle
from stages.harness.sandbox import number_here
from stages.harness.server import NotStarted, Server
from stages.harness.target import Target, redis
from stages.harness.wire import Client, Error, Patience, request

Start = Callable[..., Server]

OK, PONG, QUEUED = b"+OK\r\n", b"+PONG\r\n", b"+QUEUED\r\n"
PING = request("PING")
NAME = "appendonly.aof"
KEYS = 10_000  # so many that a child works for a moment
IN_PROGRESS = "ERR Background append only file rewriting already in progress"

WATCHED = """
import os, sys
from pathlib import Path

folder = Path(folder)
events = []  # what happens in the folder: fsync of a file with so many bytes, rename to a name, open, remove

def watch(event, args):
    where = {"open": 0, "os.rename": 1, "os.remove": 0}.get(event)
    if where is not None and isinstance(args[where], (str, os.PathLike)) and Path(args[where]).parent == folder:
        events.append((event.removeprefix("os."), Path(args[where]).name))

def fsync(descriptor):
    real_fsync(descriptor)
    of = os.fstat(descriptor)
    for path in (folder, *folder.iterdir()):
        if path.stat().st_ino == of.st_ino:
            events.append(("fsync", "the folder" if path == folder else path.name, of.st_size))

def before(one, other):
    "Whether one event was there, and was before the first other one that was there."
    return one in events and (other not in events or events.index(one) < events.index(other))

sys.addaudithook(watch)
real_fsync, os.fsync, os.fdatasync = os.fsync, fsync, fsync
"""
"""What a check begins with that asks in which order things happen in `folder`."""

FORKED = """
import os, signal, socket, sys
from rewrite import work

def status_of(task):
    "Have a child call work, and return how it has ended; 99: it has left work."
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
            work(task)
        except NotImplementedError:
            os._exit(98)
        finally:
            os._exit(99)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 98:
        raise NotImplementedError("work")
    return status
"""
"""What a check begins with that calls `work` in a child. `said` is a file for its standard error."""


def bulk(value: bytes | str) -> bytes:
    """Encode a bulk string."""
    return request(value)[4:]


def integer(number: int) -> bytes:
    """Encode an integer."""
    return b":%d\r\n" % number


def manifest_of(data: Path) -> Path:
    """Return the manifest in a server's folder."""
    return data / "appendonlydir" / f"{NAME}.manifest"


def listed(data: Path) -> list[tuple[str, int, str]]:
    """Read the manifest: kind, number and name of each file; those that Redis has still to delete are left out."""
    path = manifest_of(data)
    assert path.exists(), f"with --appendonly yes there is a manifest, {path.relative_to(data)}"
    text = path.read_text()
    found = re.findall(r"^file (\S+) seq (\d+) type ([bih])$", text, re.M)
    assert len(found) == len(text.splitlines()) and text.endswith("\n"), f"not lines as Redis writes them: {text!r}"
    return [(kind, int(number), name) for name, number, kind in found if kind != "h"]


def there(data: Path) -> set[str]:
    """List the log's folder."""
    return {each.name for each in manifest_of(data).parent.iterdir()}


def shown(data: Path) -> str:
    """Return what a learner has to see of a folder."""
    return f"The folder has {', '.join(sorted(there(data)))}. The manifest:\n{manifest_of(data).read_text()}"


def until(server: Server, condition: Callable[[], bool], why: str) -> None:
    """Wait until something is so; fail if it takes longer than replies may take, twice, or if nobody will do it."""
    deadline = time.monotonic() + 2 * server.patience.seconds
    while not condition():
        if "NotImplementedError" in server.errors:
            raise AssertionError(f"{why}: something is not written yet, see what the server has said")
        if time.monotonic() > deadline:
            server.patience.lost()
            raise AssertionError(f"{why}. {shown(folder(server))}")
        assert server.wait(0.005) is None, "the server has ended"


def folder(server: Server) -> Path:
    """Return the folder in which a server has its log."""
    assert server.data
    return server.data


def is_clean(data: Path) -> bool:
    """Whether the log is a base and an increment, and no other file is in its folder."""
    files = listed(data)
    names = {name for _, _, name in files} | {manifest_of(data).name}
    return [kind for kind, _, _ in files] == ["b", "i"] and there(data) == names


def begin(server: Server, client: Client) -> Callable[[], bool]:
    """Have a rewrite begin; return a function that says whether it has replaced the base."""
    before = [each for each in listed(folder(server)) if each[0] == "b"]
    answer = client.ask("BGREWRITEAOF")
    if answer not in (
        "Background append only file rewriting started",
        "Background append only file rewriting scheduled",
    ):
        raise AssertionError(f"BGREWRITEAOF was answered with {answer!r}")
    return lambda: [each for each in listed(folder(server)) if each[0] == "b"] != before and is_clean(folder(server))


def rewrite(server: Server, client: Client) -> None:
    """Have the log rewritten, and wait until it is."""
    done = begin(server, client)
    until(server, done, "After BGREWRITEAOF the log does not become a new base and one increment")


def restored(start: Start, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """Start a server on a copy of another one's folder, and connect to it."""
    copy = tmp_path_factory.mktemp("copy") / "data"
    shutil.copytree(folder(server), copy)
    return start(data=copy, appendfsync="no").connect()


def state_of(pid: int) -> str:
    """Return the first letter of a process's state: T if it is stopped; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        pass
    if Path("/proc/self").exists():
        return ""
    return subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout[:1]


def hold(server: Server, client: Client) -> int:
    """Have a rewrite begin, and stop its child, as Ctrl-Z stops a program; return its process id."""
    for _ in range(20):
        if pid := caught(server, begin(server, client)):
            return pid
    if server.target.folder is None:
        pytest.skip(f"{server.target.name} has no child that can be stopped")
    raise AssertionError(f"no child writes temp-rewriteaof-bg-PID.aof. {shown(folder(server))}")


def caught(server: Server, done: Callable[[], bool]) -> int:
    """Stop the child of the rewrite that has begun, and return its process id; 0 if it has ended before."""
    until(server, lambda: done() or bool(drafts_in(folder(server))), "No rewrite begins")
    for draft in drafts_in(folder(server)):
        pid = number_here(int(draft.stem.rpartition("-")[2]), server.own_program)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        while pid and state_of(pid) not in ("T", "Z", ""):
            time.sleep(0.001)
        if pid and state_of(pid) == "T":
            return pid
    until(server, done, "The child has ended, and the log does not become a new base and one increment")
    return 0


def drafts_in(data: Path) -> list[Path]:
    """List what children write now; a real Redis writes it beside the folder of the log."""
    return list(data.rglob("temp-rewriteaof-*.aof"))


def release(pid: int, number: int = signal.SIGCONT) -> None:
    """Send a stopped child a signal, and let it go on."""
    for each in (number, signal.SIGCONT):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, each)


@pytest.fixture
def server_options(tmp_path: Path, target: Target) -> dict[str, Any]:
    """The server that the tests share has a log. A real Redis is slowed down, so that its child can be seen."""
    slowed = ["--rdb-key-save-delay", "20"] if target.is_redis else []
    return {"data": tmp_path, "appendfsync": "no", "options": slowed}


@pytest.fixture
def full(server: Server, client: Client) -> Client:
    """A connection to the shared server, which has so much data that a child works for a moment."""
    held = client.ask("DBSIZE")
    assert isinstance(held, int)
    if held < KEYS:
        pairs = [f"filling:{number}" for number in range(KEYS) for _ in range(2)]
        client.check(
            b"".join(request("MSET", *pairs[at : at + 2000]) for at in range(0, 2 * KEYS, 2000)), OK * (KEYS // 1000)
        )
    return client


@pytest.fixture
def modules(modules: Modules, target: Target) -> Modules:
    """Look into the target's modules; not into those of `final/`, which have grown out of the form they have here."""
    if target.is_final:
        pytest.skip("final/ has grown out of the form that its modules have here")
    return modules


# Which files are the log


@step(1)
@pytest.mark.read("Step 1: which files are the log")
def test_files_are_the_base_and_the_increments_in_the_order_of_reading(modules: Modules) -> None:
    """`files` has the names: the base, then the increments; without a base (0) only these.
    The result has the files of four manifests.

    The names are `appendonly.aof.2.base.aof` and `appendonly.aof.5.incr.aof`. `NAME` is `appendonly.aof`.

    `base` is 0 if there is no base: then it is not in the list.
    """
    modules.check(
        """
        from manifest import Manifest

        result = [each.files for each in (Manifest(), Manifest(0, (3, 4)), Manifest(2, (5, 6)), Manifest(11, (9,)))]
        """,
        [
            [f"{NAME}.1.incr.aof"],
            [f"{NAME}.3.incr.aof", f"{NAME}.4.incr.aof"],
            [f"{NAME}.2.base.aof", f"{NAME}.5.incr.aof", f"{NAME}.6.incr.aof"],
            [f"{NAME}.11.base.aof", f"{NAME}.9.incr.aof"],
        ],
    )


@step(1)
@pytest.mark.read("Step 1: which files are the log")
def test_with_increment_adds_the_next_increment(modules: Modules) -> None:
    """`with_increment` returns a manifest with one more increment; its number follows the last one's. The base stays.
    The result has the base and the increments of three.

    The last one is `self.increments[-1]`. A tuple grows by `(*old, new)`.

    A Manifest is frozen: make another one; `dataclasses.replace` does so.
    """
    modules.check(
        """
        from manifest import Manifest

        found = [each.with_increment() for each in (Manifest(), Manifest(2, (5,)), Manifest(0, (8, 9)))]
        result = [(each.base, each.increments) for each in found]
        """,
        [(0, (1, 2)), (2, (5, 6)), (0, (8, 9, 10))],
    )


@step(1)
@pytest.mark.read("Step 1: which files are the log")
def test_with_base_replaces_all_but_the_last_increment(modules: Modules) -> None:
    """`with_base` returns a manifest with the next base, and only the last increment: what is in the others is in it.
    The result has the base and the increments of three.

    The child was forked when the last increment was opened. All that is in those before it is in the base.
    """
    modules.check(
        """
        from manifest import Manifest

        found = [each.with_base() for each in (Manifest(0, (1, 2)), Manifest(2, (5, 6)), Manifest(1, (7, 8, 9)))]
        result = [(each.base, each.increments) for each in found]
        """,
        [(1, (2,)), (3, (6,)), (2, (9,))],
    )


# Replaced in one step


@step(2)
@pytest.mark.read("Step 2: replaced in one step")
def test_a_manifest_that_is_saved_is_loaded_again(modules: Modules, tmp_path: Path) -> None:
    """`save` writes what `load` reads, also over an older manifest, and leaves no draft.
    The result has what `load` has read after each of two, and the names in the folder.

    The text is `str(manifest)`.

    The draft, `temp-appendonly.aof.manifest`, is renamed, not copied.
    """
    modules.check(
        """
        import os
        from pathlib import Path
        from manifest import Manifest, load, save

        folder, result = Path(folder), []
        for each in (Manifest(2, (5, 6)), Manifest(3, (6,))):
            save(folder, each)
            found = load(folder)
            result.append((found.base, found.increments))
        result.append(os.listdir(folder))
        """,
        [(2, (5, 6)), (3, (6,)), [f"{NAME}.manifest"]],
        folder=str(tmp_path),
    )


@step(2)
@pytest.mark.read("Step 2: replaced in one step")
def test_the_manifest_is_replaced_and_never_changed(modules: Modules, tmp_path: Path) -> None:
    """Whoever has opened the old manifest still reads it, whole, after `save`: another file has taken its name.
    The result is what is read from the old one, before and after.

    If it is opened for writing, it is empty from that moment on. A crash now, and no manifest is left.

    Write the draft, then `draft.replace(folder / "appendonly.aof.manifest")`.
    """
    old = f"file {NAME}.1.incr.aof seq 1 type i\n"
    modules.check(
        """
        from pathlib import Path
        from manifest import Manifest, save

        folder = Path(folder)
        save(folder, Manifest())
        with open(folder / "appendonly.aof.manifest") as file:
            result = [file.read()]
            save(folder, Manifest(1, (2,)))
            file.seek(0)
            result.append(file.read())
        """,
        [old, old],
        folder=str(tmp_path),
    )


@step(2)
@pytest.mark.read("Step 2: replaced in one step")
def test_the_draft_is_on_the_disk_before_it_is_renamed_and_its_name_afterwards(
    modules: Modules, tmp_path: Path
) -> None:
    """`save` makes an fsync of the whole draft before the rename, and one of the folder behind it.

    Without the first one a power failure can leave the new name and an empty file: the rename is on the disk, and the
    text is not. Python keeps the text in a buffer of its own: `file.flush()` writes it, then `os.fsync(file.fileno())`.

    The new name is in the folder: `sync_folder(folder)`, after the rename.
    """
    modules.check(
        WATCHED
        + """
from manifest import Manifest, save

save(folder, Manifest())
events.clear()
save(folder, Manifest(1, (2, 3)))
renamed = [each for each in events if each[0] == "rename"]
size = len(str(Manifest(1, (2, 3))))
synced = [each for each in events if each[0] == "fsync"]
result = {
    "renames": renamed,
    "fsync of the whole draft before the rename": any(
        each[1].startswith("temp-") and each[2] == size and before(each, *renamed) for each in synced
    ),
    "the manifest is deleted at some moment": ("remove", "appendonly.aof.manifest") in events,
    "the last thing that happens": events[-1][:2],
}
""",
        {
            "renames": [("rename", f"{NAME}.manifest")],
            "fsync of the whole draft before the rename": True,
            "the manifest is deleted at some moment": False,
            "the last thing that happens": ("fsync", "the folder"),
        },
        folder=str(tmp_path),
    )


@step(2)
@pytest.mark.read("Step 2: replaced in one step")
def test_changes_go_to_the_last_increment_that_the_manifest_lists(server: Server, client: Client, rng: Dice) -> None:
    """With `--appendonly yes` there is a folder `appendonlydir` with a manifest, and a SET is in its last increment.

    The files that the manifest lists are there, and an increment is the last one.

    `open` does this, which is given; it needs `files` and `save`.
    """
    key = rng.key()
    client.check(request("SET", key, "value"), OK)
    settle(client)
    files = listed(folder(server))
    assert files[-1][0] == "i", f"the last file is an increment. {shown(folder(server))}"
    assert {name for _, _, name in files} <= there(folder(server)), f"a file is missing. {shown(folder(server))}"
    has_records(logged(folder(server))[-len(request("SET", key, "value")) :], [[b"SET", key, b"value"]], "At its end.")


@step(2)
@pytest.mark.read("Step 2: replaced in one step")
def test_the_single_file_of_stage_05_moves_into_the_folder(start: Start, tmp_path: Path, rng: Dice) -> None:
    """A server that finds `appendonly.aof` has its data, and makes it a file of the folder; so it is after a kill -9.

    `open` does this, which is given; it needs `files` and `save`.
    """
    value = rng.key()
    (tmp_path / NAME).write_bytes(request("SET", "old", value) + request("INCR", "n"))
    for number in (2, 3):
        server = start(data=tmp_path)
        client = server.connect()
        client.check(request("GET", "old") + request("INCR", "n"), bulk(value) + integer(number))
        settle(client)
        server.kill()
        assert not (tmp_path / NAME).exists(), "appendonly.aof is still there, beside the folder"
        listed(tmp_path)


# The data as requests


REQUESTS = """
from base import requests
from store import HASH, LIST, SET, SORTED_SET, STRING, Store

db = Store()
"""
"""What a check of `requests` begins with."""


@step(3)
@pytest.mark.read("Step 3: the data as requests")
@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ('db.put(b"k", b"v\\r\\n\\0")', [[b"SET", b"k", b"v\r\n\0"]]),
        ('db.put(b"k", b"")', [[b"SET", b"k", b""]]),
        (
            'db.make(b"k", HASH).update({b"f": b"1", b"g": b"", b"": b"2"})',
            [[b"HSET", b"k", b"f", b"1", b"g", b"", b"", b"2"]],
        ),
        ('db.make(b"k", LIST).extend([b"c", b"a", b"b", b"a"])', [[b"RPUSH", b"k", b"c", b"a", b"b", b"a"]]),
        ('db.make(b"k", SET).add(b"m")', [[b"SADD", b"k", b"m"]]),
    ],
    ids=["string", "empty", "hash", "list", "set"],
)
def test_a_value_becomes_the_request_that_makes_it(modules: Modules, made: str, expected: list[list[bytes]]) -> None:
    """A key becomes one request: SET, HSET with fields and values in turn, RPUSH in the list's order, or SADD.
    The result is the list of requests for a store with this key.

    Is it a TypeError in `pieces`? It slices what it gets, and a deque and a set cannot be sliced: `list(value)`.

    `type(value)` tells what it is: compare it with STRING, HASH, LIST, SET.

    Is a list the wrong way round? LPUSH puts each element before the last one, RPUSH behind it.

    An empty string is a value as any other.
    """
    modules.check(f"{REQUESTS}\n{made}\nresult = list(requests(db))", expected)


@step(3)
@pytest.mark.read("Step 3: the data as requests")
def test_a_sorted_set_becomes_scores_and_members_and_each_score_is_the_same_again(modules: Modules) -> None:
    """ZADD has each score before its member, and who reads the score has exactly the same number.
    The result has the name and the key, and the pairs, each score read by `float`.

    `value.scores.items()` has the member first; ZADD wants the score first.

    `b"%g"` has six digits, and 0.1 + 0.2 has seventeen: `b"%.17g"`.
    """
    modules.check(
        f"""{REQUESTS}
scores = {{b"a": 0.1 + 0.2, b"b": -1e300, b"c": 3.0, b"d": float("inf"), b"e": 123456789.25, b"f": 5e-324}}
for member, score in scores.items():
    db.make(b"k", SORTED_SET).add(member, score)
(name, key, *pairs), *others = requests(db)
again = {{member: float(score) for score, member in zip(pairs[::2], pairs[1::2], strict=True)}}
result = [name, key, others, {{member: again.get(member) == score for member, score in scores.items()}}]
""",
        [b"ZADD", b"k", [], dict.fromkeys([b"a", b"b", b"c", b"d", b"e", b"f"], True)],
    )


@step(3)
@pytest.mark.read("Step 3: the data as requests")
def test_a_deadline_follows_its_key_as_a_moment(modules: Modules) -> None:
    """A key with a deadline is followed by PEXPIREAT with the moment, whatever its kind; one without by nothing.
    The result is the list of requests for four keys; `now` is 5000.

    A span, as with EXPIRE, would begin again with each start.

    Do all kinds have it? `db.deadline(key)`, behind the `if` of the kinds, for each key.
    """
    modules.check(
        f"""{REQUESTS}
db.now = 5000
db.put(b"a", b"1")
db.make(b"b", HASH)[b"f"] = b"2"
db.put(b"c", b"3")
db.make(b"d", SORTED_SET).add(b"m", 4.0)
for key, moment in ((b"a", 9000), (b"b", 9001), (b"d", 9_999_999_999_999)):
    db.expire_at(key, moment)
result = list(requests(db))
""",
        [
            [b"SET", b"a", b"1"],
            [b"PEXPIREAT", b"a", b"9000"],
            [b"HSET", b"b", b"f", b"2"],
            [b"PEXPIREAT", b"b", b"9001"],
            [b"SET", b"c", b"3"],
            [b"ZADD", b"d", b"4", b"m"],
            [b"PEXPIREAT", b"d", b"9999999999999"],
        ],
    )


@step(3)
@pytest.mark.read("Step 3: the data as requests")
def test_who_looks_at_the_data_changes_nothing(modules: Modules) -> None:
    """`requests` leaves out a key that has expired, and does not remove it: no DEL is recorded.
    The result is the list of requests, the records of the store, and how many keys it has.

    `db.get` and `key in db` remove an expired key, and record a DEL for the log. The child has a log that it must not
    write to.

    `db.items()` leaves expired keys out, and gives you the values.
    """
    modules.check(
        f"""{REQUESTS}
db.put(b"stays", b"1")
db.put(b"old", b"2")
db.expire_at(b"old", 1000)
db.now = 1001
result = [list(requests(db)), db.records, len(db)]
""",
        [[[b"SET", b"stays", b"1"]], [], 2],
    )


@step(3)
@pytest.mark.read("Step 3: the data as requests")
def test_a_large_value_becomes_several_requests(modules: Modules) -> None:
    """A container with 2500 members becomes requests with at most 1002 arguments each, pairs not torn apart.
    The result has for each kind the largest request, and whether all together have what was there, in order.

    A request is read, and executed, whole: one with a million arguments blocks all clients of a server that reads it.

    `yield from pieces(name, key, args)`, with fields and values, or scores and members, in one flat list.
    """
    modules.check(
        f"""{REQUESTS}
members = [b"%d" % number for number in range(2500)]
db.make(b"hash", HASH).update((each, b"v" + each) for each in members)
db.make(b"list", LIST).extend(members)
db.make(b"set", SET).update(members)
for number, each in enumerate(members):
    db.make(b"zset", SORTED_SET).add(each, number)
found = {{b"hash": [], b"list": [], b"set": [], b"zset": []}}
largest = dict.fromkeys(found, 0)
for name, key, *args in requests(db):
    found[key] += args
    largest[key] = max(largest[key], len(args) + 2)
    if len(args) % 2 and name in (b"HSET", b"ZADD"):
        largest[key] = "a pair is torn apart"
result = [
    largest,
    found[b"hash"] == [part for each in members for part in (each, b"v" + each)],
    found[b"list"] == members,
    sorted(found[b"set"]) == sorted(members),
    found[b"zset"] == [part for each in members for part in (each, each)],
]
""",
        [dict.fromkeys([b"hash", b"list", b"set", b"zset"], 1002), True, True, True, True],
    )


# Half a request in the middle


SELECT = request("SELECT", "0")  # Redis writes it, too
FOUR = [(b"INCR", b"n"), (b"RPUSH", b"l", b"a"), (b"RPUSH", b"l", b"b"), (b"INCR", b"n")]


def write_log(data: Path, *files: tuple[str, bytes]) -> None:
    """Write a log of several files: their kinds with numbers (`base 2`, `incr 5`), and what is in them."""
    log = data / "appendonlydir"
    log.mkdir()
    lines = []
    for kind, content in files:
        kind, number = kind.split()
        name = f"{NAME}.{number}.{kind}.aof"
        (log / name).write_bytes(content)
        lines.append(f"file {name} seq {number} type {kind[0]}\n")
    manifest_of(data).write_text("".join(lines))


@step(4)
@pytest.mark.read("Step 4: half a request in the middle")
def test_the_files_of_a_log_are_restored_one_after_the_other_and_only_the_last_one_is_cut(
    start: Start, tmp_path: Path
) -> None:
    """A log of a base and two increments is restored in this order. Half a request at the very end is cut off.

    `open` calls `restore` for each file, with `last` True for the last one: then it is as in stage 05.
    """
    base, one, two = b"".join(request(*each) for each in FOUR[:2]), request(*FOUR[2]), request(*FOUR[3])
    write_log(tmp_path, ("base 2", base), ("incr 5", one), ("incr 6", two + two[:-3]))
    server = start(data=tmp_path)
    client = server.connect()
    client.check(request("LRANGE", "l", 0, -1) + request("GET", "n"), b"*2\r\n" + bulk("a") + bulk("b") + bulk("2"))
    client.check(request("INCR", "n"), integer(3))
    settle(client)
    same(logged(tmp_path).replace(SELECT, b""), two + request("INCR", "n"), "This is in the last increment.")


@step(4)
@pytest.mark.read("Step 4: half a request in the middle")
@pytest.mark.parametrize("torn", ["the base", "an increment"])
def test_a_server_does_not_start_when_a_file_before_the_last_one_is_torn(
    start: Start, target: Target, tmp_path: Path, torn: str
) -> None:
    """If the base, or an increment that another one follows, ends in half a request, the server does not start.
    It says which file it is, and changes nothing.

    Requests are missing in the middle, and those behind them would be executed on other data.

    `restore` has a parameter `last`. If it is False, raise CorruptLog instead of cutting.
    """
    whole = b"".join(request(*each) for each in FOUR)
    half = request("INCR", "n")[:-3]
    base, increment = (half, b"") if torn == "the base" else (b"", half)
    write_log(tmp_path, ("base 2", whole + base), ("incr 5", whole + increment), ("incr 6", whole))
    before = {path.name: path.read_bytes() for path in manifest_of(tmp_path).parent.iterdir()}
    server = start(data=tmp_path, ready=False)
    try:
        server.await_ready()
    except NotStarted:
        assert server.wait() not in (None, 0), "it ended as if all were well"
    else:
        raise AssertionError(f"{torn} is torn, other files follow, and the server has started")
    name = f"{NAME}.2.base.aof" if torn == "the base" else f"{NAME}.5.incr.aof"
    if not target.is_redis:
        assert name in server.errors, f"the message does not name {name}:\n{server.errors}"
        after = {path.name: path.read_bytes() for path in manifest_of(tmp_path).parent.iterdir()}
        assert {each: after.get(each) for each in before} == before, "a file was changed, and the server did not start"


@step(4)
@pytest.mark.read("Step 4: half a request in the middle")
def test_restore_names_the_place_where_a_file_before_the_last_one_is_torn(modules: Modules, tmp_path: Path) -> None:
    """`restore` with `last=False` raises CorruptLog at the byte where the half begins, and leaves the file as it is.
    The result has for a whole file, one with half a request, and one with half a transaction: the byte, and how long
    the file is then.

    For a transaction it is the byte of its MULTI.

    Where you cut off the last file, there another one is damaged: it is the same number.
    """
    whole, half = request("SET", "k", "v"), request("MULTI") + request("DEL", "k")
    modules.check(
        """
        import re
        from pathlib import Path
        from aof import CorruptLog, restore

        result = []
        for content in contents:
            Path(path).write_bytes(content)
            try:
                restore(Path(path), lambda args: "OK", last=False)
                place = None
            except CorruptLog as error:
                place = int(re.search(r"at byte (\\d+)", str(error))[1])
            result.append((place, len(Path(path).read_bytes())))
        """,
        [
            (None, 2 * len(whole)),
            (2 * len(whole), 2 * len(whole) + 5),
            (len(whole), len(whole + half)),
        ],
        path=str(tmp_path / "some.aof"),
        contents=[whole * 2, whole * 2 + whole[:5], whole + half],
    )


# A new increment


BRANCHED = """
import os
from pathlib import Path
from engine import Engine
from rewrite import Rewriter
import server  # which fills the table of commands

folder = Path(folder)

def opened(policy):
    engine = Engine()
    engine.rewriter = Rewriter(engine, folder, policy)
    engine.rewriter.open()
    return engine
"""
"""What a check begins with that calls a Rewriter."""


@step(5)
@pytest.mark.read("Step 5: a new increment")
def test_after_branch_changes_go_to_a_new_increment(modules: Modules, tmp_path: Path) -> None:
    """`branch` gives the engine a Log of the next increment, and the manifest lists both; twice, it lists three.
    Something is appended before it, between two of them, and behind them. The result has whether the rewriter has the
    manifest that was saved, the policy of the new log, what is in each file, and the text of the manifest.

    What was appended before, and is not written yet, belongs to the old file: `flush`.

    `self.manifest.with_increment()`; its last file is `files[-1]`. Keep it: `self.manifest`.
    """
    records = [[b"INCR", b"%d" % number] for number in range(3)]
    names = [f"{NAME}.{number}.incr.aof" for number in (1, 2, 3)]
    modules.check(
        BRANCHED
        + """
engine = opened("everysec")
for args in records:
    engine.log.append(args)
    if args != records[-1]:
        engine.rewriter.branch()
engine.log.flush()
text = (folder / "appendonly.aof.manifest").read_text()
files = [path.read_bytes() for path in sorted(folder.glob("*.aof"))]
result = [str(engine.rewriter.manifest) == text, engine.log.policy, files, text]
""",
        [
            True,
            "everysec",
            [request(*each) for each in records],
            "".join(f"file {name} seq {number} type i\n" for number, name in enumerate(names, 1)),
        ],
        folder=str(tmp_path / "appendonlydir"),
        records=records,
    )


@step(5)
@pytest.mark.read("Step 5: a new increment")
@pytest.mark.parametrize("policy", ["always", "everysec", "no"])
def test_the_old_increment_is_on_the_disk_and_the_new_one_there_before_the_manifest_lists_both(
    modules: Modules, tmp_path: Path, policy: str
) -> None:
    """`branch` first makes the old increment complete, with an fsync, then opens the new one, then saves the manifest.

    Is it only wrong with the policy `no`? `close` does not sync then: call `flush` and `sync` yourself. The rewrite
    needs it whatever the policy is.

    If the manifest comes first and the server is killed, it lists a file that is missing: no server starts on it.

    From the moment at which another file follows, the old one may not be torn: `flush`, then `sync`.

    `flush`, `sync`, `Log(…)`, `save`, and only then `self.engine.log = log`.
    """
    args = [b"SET", b"key", b"value"]
    modules.check(
        WATCHED
        + BRANCHED
        + """
engine = opened(policy)
engine.log.append(args)
events.clear()
engine.rewriter.branch()
saved = ("rename", "appendonly.aof.manifest")
result = {
    "the manifest is saved": saved in events,
    "fsync of the complete old increment before": before(("fsync", "appendonly.aof.1.incr.aof", size), saved),
    "the new increment is there before": before(("open", "appendonly.aof.2.incr.aof"), saved),
}
""",
        dict.fromkeys(
            [
                "the manifest is saved",
                "fsync of the complete old increment before",
                "the new increment is there before",
            ],
            True,
        ),
        folder=str(tmp_path / "appendonlydir"),
        policy=policy,
        args=args,
        size=len(request(*args)),
    )


@step(5)
@pytest.mark.read("Step 5: a new increment")
def test_a_log_with_another_increment_is_restored_whole(modules: Modules, tmp_path: Path) -> None:
    """After `branch`, and more changes, the folder has all of them, each once; another server restores them.
    The result is what GET answers there, and the files that the manifest lists.

    Is a change lost, or there twice? Each one is appended to one of the two files.
    """
    modules.check(
        BRANCHED
        + """
from client import Client

engine = opened("no")
for number in range(6):
    engine.execute(Client(id=1), [b"INCR", b"n"])
    if number in (1, 3):
        engine.rewriter.branch()
engine.log.close()
again = opened("no")
result = [again.execute(Client(id=1), [b"GET", b"n"]), again.rewriter.manifest.files]
""",
        [b"6", [f"{NAME}.{number}.incr.aof" for number in (1, 2, 3)]],
        folder=str(tmp_path / "appendonlydir"),
    )


# What a child must not keep


@step(6)
@pytest.mark.read("Step 6: what a child must not keep")
def test_work_does_the_task_and_ends_the_process(modules: Modules, tmp_path: Path) -> None:
    """`work` ends the child: with status 0 when the task is done, with 1 whatever it has raised. It never returns.
    The result has the status for each task, 99 if `work` was left, and whether standard error says what was wrong.

    Are the last two False? `traceback.print_exc()`, in the `except`.

    If the task raises something, `work` must end all the same: `os._exit(status)` in `finally`.

    `sys.exit()` raises SystemExit, which is no Exception: `except BaseException`.

    A child that fails and does not say why is hard to repair.
    """
    modules.check(
        FORKED
        + """
def full():
    raise OSError("no space left on this disk")

def mark():
    open(marked, "w").close()

result = [status_of(each) for each in (mark, full, sys.exit, lambda: 1 / 0)]
with open(said) as file:
    text = file.read()
result += [os.path.exists(marked), "no space left on this disk" in text, "ZeroDivisionError" in text]
""",
        [0, 1, 1, 1, True, True, True],
        said=str(tmp_path / "said"),
        marked=str(tmp_path / "marked"),
    )


@step(6)
@pytest.mark.read("Step 6: what a child must not keep")
def test_a_child_keeps_no_socket_and_no_file(modules: Modules, tmp_path: Path) -> None:
    """In the child all descriptors from 3 on are closed: a listening socket, a connection, a file with a high number.
    The result has for each whether the child still has it, and at the end the same for 1 and 2.

    A connection ends when its last copy is closed, and a port is free when the last copy of its socket is closed.

    `os.closerange(3, os.sysconf("SC_OPEN_MAX"))`. Standard input, output and error stay.
    """
    modules.check(
        FORKED
        + """
import fcntl

listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
connection, _ = listener.accept()
high = fcntl.fcntl(connection, fcntl.F_DUPFD, 200)
numbers = [listener.fileno(), connection.fileno(), client.fileno(), high, 1, 2]

def has(number):
    try:
        os.fstat(number)
        return True
    except OSError:
        return False

def look():
    kept = [has(number) for number in numbers]
    with open(answer, "w") as file:
        file.write(repr(kept))

status_of(look)
with open(answer) as file:
    result = eval(file.read())
""",
        [False, False, False, False, True, True],
        said=str(tmp_path / "said"),
        answer=str(tmp_path / "answer"),
    )


@step(6)
@pytest.mark.read("Step 6: what a child must not keep")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_to_the_child_ends_the_child(modules: Modules, tmp_path: Path, name: str) -> None:
    """SIGTERM and SIGINT end the child, though the server has handlers for them. The result is how the child has ended:
    minus the number of the signal; and whether the server's handler was called in the child.

    A forked child has the handlers of its parent, and asyncio's only write a byte to the event loop, which is not
    the child's.

    `signal.signal(number, signal.SIG_DFL)`, for both.
    """
    number = getattr(signal, name)
    modules.check(
        FORKED
        + """
def handler(number, frame):
    open(called, "w").close()

signal.signal(number, handler)

def hit():
    os.kill(os.getpid(), number)
    for _ in range(1000):
        pass

result = [status_of(hit), os.path.exists(called)]
""",
        [-number, False],
        said=str(tmp_path / "said"),
        called=str(tmp_path / "called"),
        number=int(number),
    )


@step(6)
@pytest.mark.read("Step 6: what a child must not keep")
def test_no_signal_to_the_child_wakes_the_event_loop(modules: Modules, tmp_path: Path) -> None:
    """A signal to the child reaches neither the server's event loop, nor a file that the child opens.
    Python writes a byte to the *wakeup descriptor* for each signal that has a handler. The child opens files until one
    has the number of that descriptor. Then SIGUSR1, which has a handler, comes. The result is what was written.

    Closing the descriptor is not enough: the next file may have the same number, and the byte is in the base.

    `signal.set_wakeup_fd(-1)`.
    """
    modules.check(
        FORKED
        + """
ours, loops = socket.socketpair()
loops.setblocking(False)
ours.setblocking(False)
signal.set_wakeup_fd(loops.fileno(), warn_on_full_buffer=False)
signal.signal(signal.SIGUSR1, lambda number, frame: None)
number = loops.fileno()

def hit():
    while os.open(draft, os.O_WRONLY | os.O_CREAT) < number:
        pass
    os.kill(os.getpid(), signal.SIGUSR1)
    for _ in range(1000):
        pass

result = [status_of(hit)]
try:
    result.append(ours.recv(10))
except BlockingIOError:
    result.append(b"")
with open(draft, "rb") as file:
    result.append(file.read())
""",
        [0, b"", b""],
        said=str(tmp_path / "said"),
        draft=str(tmp_path / "draft"),
    )


# The rewrite


@step(7)
@pytest.mark.read("Step 7: the rewrite")
def test_one_request_is_one_rewrite(modules: Modules, tmp_path: Path) -> None:
    """`tick` begins what is `scheduled`, once; while the child works it begins nothing; afterwards there is no child.
    The result is the manifest before, at once after the first tick, and after another tick, for which a second rewrite
    is `scheduled`, and `waitpid` says that the child works; whether it is the same child; then the manifest when the
    child has ended and three more ticks are over; and the number of the child then.

    Is the base still missing at the end? `status == 0` is success, and 0 is false: `self.finish(status == 0)`.

    Is a draft missing? In `finish`, take its name before you set `self.child` to 0. In the child fork has returned 0:
    its own number is `os.getpid()`.

    Is there one increment too many? Ask for `self.child` first: while it is not 0, begin nothing.

    Does nothing happen? `tick` calls `begin` if a rewrite is `scheduled` and no child works. Is it never over? When
    `waitpid` returns the child's number, `tick` calls `finish`.

    Does it begin again and again? `begin` sets `scheduled` to False.

    `finish` sets `self.child` to 0, and keeps the new manifest: `self.manifest`.
    """
    modules.check(
        BRANCHED
        + """
import time

def now():
    return engine.rewriter.manifest.base, engine.rewriter.manifest.increments

engine = opened("no")
engine.rewriter.tick()
result = [now()]
engine.rewriter.scheduled = True
engine.rewriter.tick()
result.append(now())
child, scheduled = engine.rewriter.child, engine.rewriter.scheduled
waitpid, os.waitpid = os.waitpid, lambda pid, how: (0, 0)
engine.rewriter.scheduled = True
engine.rewriter.tick()
result += [now(), engine.rewriter.child == child]
engine.rewriter.scheduled, os.waitpid = scheduled, waitpid
deadline = time.monotonic() + 5
while engine.rewriter.child and time.monotonic() < deadline:
    engine.rewriter.tick()
for _ in range(3):
    engine.rewriter.tick()
result += [now(), engine.rewriter.child]
""",
        [(0, (1,)), (0, (1, 2)), (0, (1, 2)), True, (1, (2,)), 0],
        folder=str(tmp_path / "appendonlydir"),
    )


@step(7)
@pytest.mark.read("Step 7: the rewrite")
def test_the_log_branches_before_the_fork(modules: Modules, tmp_path: Path) -> None:
    """`begin` calls `branch` first, then it forks. If `branch` fails, there is no child.
    The result is what the manifest lists at the fork; then how many forks there were when `branch` raises an OSError.

    A child that was forked before `branch` fails works on, and nobody asks for its end.

    In `begin`: `self.branch()`, `gc.freeze()`, `os.fork()`.
    """
    modules.check(
        BRANCHED
        + """
import time
from manifest import load

def fails():
    raise OSError("no space left on this disk")

result, forks = [], 0

def forked():
    global forks
    forks += 1
    if forks == 1:
        result.append(load(folder).increments)

os.register_at_fork(before=forked)
engine = opened("no")
engine.rewriter.begin()
deadline = time.monotonic() + 5
while engine.rewriter.child and time.monotonic() < deadline:
    engine.rewriter.tick()
engine.rewriter.branch = fails
try:
    engine.rewriter.begin()
except OSError:
    pass
result.append(forks - 1)
""",
        [(1, 2), 0],
        folder=str(tmp_path / "appendonlydir"),
    )


@step(7)
@pytest.mark.read("Step 7: the rewrite")
def test_the_garbage_collector_leaves_the_data_alone_while_the_child_works(modules: Modules, tmp_path: Path) -> None:
    """At the fork the data is frozen, for the garbage collector; when the rewrite is over, it is so no more.
    The result says whether anything is frozen at the fork, how much is frozen after the child, and what n is.

    Is it a FileNotFoundError? The child may have failed before it had a draft: `unlink(missing_ok=True)`.

    A collection writes to each container that it looks at. In the child that copies their pages, all for nothing.

    `gc.freeze()` before `os.fork()`, and `gc.unfreeze()` in `finish`, also when the child has failed.
    """
    modules.check(
        BRANCHED
        + """
import gc, time
from client import Client

frozen = []
os.register_at_fork(before=lambda: frozen.append(gc.get_freeze_count() > 0))
result = []
for fails in (False, True):
    engine = opened("no")
    engine.execute(Client(id=1), [b"INCR", b"n"])
    if fails:
        engine.rewriter.draft = lambda pid: folder / "no-such-folder" / "draft"
    engine.rewriter.begin()
    deadline = time.monotonic() + 5
    while engine.rewriter.child and time.monotonic() < deadline:
        engine.rewriter.tick()
    engine.log.close()
    result.append((frozen.pop(), gc.get_freeze_count(), engine.execute(Client(id=1), [b"GET", b"n"])))
""",
        [(True, 0, b"1"), (True, 0, b"2")],
        folder=str(tmp_path / "appendonlydir"),
    )


@step(7)
@pytest.mark.read("Step 7: the rewrite")
def test_killed_at_any_step_the_folder_has_one_whole_log(modules: Modules, tmp_path: Path) -> None:
    """A server that rewrites its log is killed before its first step, then before its second, and so on: before each
    file that it opens, renames, deletes or syncs, and before the fork. Each time the next one finds what was answered.
    The result has what was wrong; the first line is the first mistake.

    In `finish`: rename the draft, save the manifest, then delete. If the manifest is first, it lists a missing file.

    Are there too many? The manifest must not list the old increments beside the new base, and `branch` is before the
    fork.

    In `branch`: the new increment is there, then the manifest lists it.
    """
    modules.check(
        BRANCHED
        + """
import signal, sys, time
from client import Client

def live(limit, told):
    "Increment n, and rewrite the log; die before event number `limit`."
    me, count = os.getpid(), 0

    def happens(event):
        nonlocal count
        if os.getpid() == me:
            count += 1
            if count == limit:
                os.write(told, b"before " + event.encode())
                os.kill(me, signal.SIGKILL)

    def step(event, args):
        paths = [str(each) for each in args if isinstance(each, (str, os.PathLike))]
        if event == "os.fork" or event in ("open", "os.rename", "os.remove") and str(folder) in "".join(paths):
            happens(" ".join([event, *(each.rpartition("/")[2] for each in paths[-1:] if event != "open")]))

    def incr():
        os.write(told, b"?")
        engine.execute(client, [b"INCR", b"n"])
        engine.log.flush()
        os.write(told, b"!")

    engine, client = opened("no"), Client(id=1)
    sys.addaudithook(step)
    real_fsync = os.fsync
    os.fsync = lambda descriptor: (happens("fsync"), real_fsync(descriptor))
    incr()
    engine.rewriter.scheduled = True
    engine.rewriter.tick()
    incr()
    deadline = time.monotonic() + 5
    while engine.rewriter.child and time.monotonic() < deadline:
        incr()
        engine.rewriter.tick()
        time.sleep(0.002)
    incr()

n, result, limit = 0, [], 0
opened("no").log.close()
while limit < 100:
    limit += 1
    read, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            live(limit, told)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(told)
    with open(read, "rb") as file:
        text = b""
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            time.sleep(0.001)
        os.set_blocking(file.fileno(), False)
        text = file.read() or b""
    marks, _, where = text.partition(b"before ")
    asked, answered = n + marks.count(b"?"), n + marks.count(b"!")
    try:
        again = opened("no")
        n = int(again.execute(Client(id=1), [b"GET", b"n"]) or 0)
        again.log.close()
    except BaseException as error:
        result.append(f"killed before {where.decode()}: {type(error).__name__}: {error}")
        break
    if not answered <= n <= asked:
        result.append(f"killed before {where.decode() or 'the end'}: {answered} INCRs were answered, n is {n}")
        break
    if not where:
        break
if limit < 12:
    result.append(f"it had only {limit} steps, and ended")
""",
        [],
        30,
        folder=str(tmp_path / "appendonlydir"),
    )


@step(7)
@pytest.mark.read("Step 7: the rewrite")
def test_a_rewrite_replaces_the_changes_by_the_data(server: Server, client: Client, rng: Dice) -> None:
    """BGREWRITEAOF is answered at once; then the log is one base and one increment, and nothing else is in the folder.
    A thousand INCRs are a short log. The numbers in the names grow.

    Does nothing happen? `tick` is called ten times a second; if a rewrite is `scheduled`, it calls `begin`.

    Is the log as large as before? `begin` calls `branch`: what comes after the fork goes to a new increment.

    Are files left over? `tidy(self.folder, manifest)`, when the new manifest is saved.
    """
    key, value = rng.key(), b"x" * 1000
    for number in (1, 2):
        counts = range(1000 * number - 999, 1000 * number + 1)
        both = request("INCR", key) + request("SET", "large", value)
        client.check(both * 1000, b"".join(integer(each) + OK for each in counts))
        old = listed(folder(server))
        large = sum(path.stat().st_size for path in manifest_of(folder(server)).parent.iterdir())
        rewrite(server, client)
        small = sum(path.stat().st_size for path in manifest_of(folder(server)).parent.iterdir())
        assert small < large - 900_000, f"the log had {large} bytes, and has {small} after the rewrite"
        (_, base, _), (_, increment, _) = listed(folder(server))
        assert increment > old[-1][1], f"the increment's number does not grow. {shown(folder(server))}"
        last = max([number for kind, number, _ in old if kind == "b"], default=0)
        assert base > last, f"the base's number does not grow. {shown(folder(server))}"
    assert client.ask("GET", key) == b"2000"


@step(7)
@pytest.mark.read("Step 7: the rewrite")
def test_all_data_is_there_after_a_rewrite_and_a_restart(
    server: Server, client: Client, start: Start, tmp_path_factory: pytest.TempPathFactory, rng: Dice, target: Target
) -> None:
    """Values of all types, and their deadlines, are the same when a server starts on the log that was rewritten.
    The files of the log can be read by nobody but their owner.

    Look into the base: `cat data/appendonlydir/*.base.aof`.

    Step 3 says what belongs there.
    """
    key, moment = rng.key(), int(time.time() * 1000) + 3_600_000
    for line in (
        "SET KEY-s two\\r\\nlines", "SET KEY-i 1", "INCR KEY-i", "HSET KEY-h f 1 g 2 h 3", "HDEL KEY-h g",
        "RPUSH KEY-l b c", "LPUSH KEY-l a", "SADD KEY-S x y", "ZADD KEY-z 0.30000000000000004 p -inf q 7 r",
        f"SET KEY-d 1 PXAT {moment}", f"PEXPIREAT KEY-h {moment + 1}", "SET KEY-no 1 EX 100", "PERSIST KEY-no",
        "SET KEY-gone 1", "DEL KEY-gone",
    ):  # fmt: skip
        client.ask(*line.encode().replace(b"KEY", key).split())
    rewrite(server, client)
    client.ask("HSET", key + b"-h", "behind", "4")
    settle(client)
    again = restored(start, server, tmp_path_factory)
    for line in (
        "GET KEY-s", "GET KEY-i", "HGETALL KEY-h", "LRANGE KEY-l 0 -1", "SCARD KEY-S", "SISMEMBER KEY-S y",
        "ZRANGE KEY-z 0 -1 WITHSCORES", "GET KEY-d", "PEXPIRETIME KEY-d", "PEXPIRETIME KEY-h", "PTTL KEY-no",
        "EXISTS KEY-gone", "DBSIZE",
    ):  # fmt: skip
        args = line.encode().replace(b"KEY", key).split()
        before = client.ask(*args)
        assert again.ask(*args) == before, f"{line.replace('KEY', key.decode())} was {before!r} before the restart"
    if not target.is_redis:
        for path in manifest_of(folder(server)).parent.glob("*.aof"):
            assert path.stat().st_mode & 0o077 == 0, f"{path.name} can be read by others"


@step(7)
@pytest.mark.read("Step 7: the rewrite")
def test_a_rewrite_in_a_transaction_waits_for_its_end(
    server: Server, client: Client, start: Start, tmp_path_factory: pytest.TempPathFactory, rng: Dice
) -> None:
    """MULTI, INCR, BGREWRITEAOF, INCR, EXEC: after a restart the counter is 2.

    The first INCR must not be in the base and in the increment.

    BGREWRITEAOF only sets `scheduled`; `tick`, which is called by a timer, begins.
    """
    key = rng.key()
    client.check(request("MULTI") + request("INCR", key), OK + QUEUED)
    before = listed(folder(server))
    client.check(request("BGREWRITEAOF") + request("INCR", key), QUEUED * 2)
    assert isinstance(client.ask("EXEC"), list)
    until(
        server,
        lambda: listed(folder(server))[0] != before[0] and is_clean(folder(server)),
        "BGREWRITEAOF was executed in a transaction, and the log is not rewritten",
    )
    client.check(request("GET", key), bulk("2"))
    restored(start, server, tmp_path_factory).check(request("GET", key), bulk("2"))


@step(7)
@pytest.mark.read("Step 7: the rewrite")
def test_clients_are_served_while_the_child_works_and_nothing_is_lost(
    server: Server, full: Client, start: Start, tmp_path_factory: pytest.TempPathFactory, rng: Dice
) -> None:
    """While the child works, PING is answered, and INCRs go to the new increment; after the rewrite a restart has each
    of them once. A second BGREWRITEAOF meanwhile is an error. (The child is stopped for that, as by Ctrl-Z.)

    Does PING wait? `os.waitpid(self.child, os.WNOHANG)` does not.

    Are the INCRs lost, or counted twice? `begin` calls `branch`, then forks.

    Is the second one begun? Then `self.child` is not kept.
    """
    key = rng.key()
    full.check(request("INCR", key), integer(1))
    pid = hold(server, full)
    try:
        full.check(PING + request("INCR", key), PONG + integer(2))
        assert server.wait(0.25) is None  # some ticks
        full.check(PING + request("INCR", key), PONG + integer(3))
        assert full.ask("BGREWRITEAOF") == Error(IN_PROGRESS), "a child works"
        settle(full)
        restored(start, server, tmp_path_factory).check(request("GET", key), bulk("3"))
    finally:
        release(pid)
    until(server, lambda: is_clean(folder(server)), "The child has ended, and the rewrite is not finished")
    full.check(request("INCR", key), integer(4))
    settle(full)
    again = restored(start, server, tmp_path_factory)
    again.check(request("GET", key) + request("DBSIZE"), bulk("4") + integer(int(str(full.ask("DBSIZE")))))


@step(7)
@pytest.mark.read("Step 7: the rewrite")
@pytest.mark.not_redis("redis-server 7.0.15 leaves the connection open until its child ends")
def test_a_client_notices_the_end_of_its_connection_while_the_child_works(
    server: Server, full: Client, connect: Callable[[], Client]
) -> None:
    """A client that was connected before the fork, and sends QUIT while the child works, sees the end at once.

    The child has a copy of the connection: it is closed when both have closed it.

    `work` closes it, in the child. Does `begin` call it there?
    """
    leaves = connect()
    leaves.check(PING, PONG)
    pid = hold(server, full)
    try:
        leaves.check(request("QUIT"), OK)
        leaves.expect_closed()
    finally:
        release(pid)
    until(server, lambda: is_clean(folder(server)), "The child has ended, and the rewrite is not finished")


@step(7)
@pytest.mark.read("Step 7: the rewrite")
@pytest.mark.parametrize(
    "name", ["SIGKILL", pytest.param("SIGTERM", marks=pytest.mark.not_redis("its child ignores a SIGTERM"))]
)
def test_if_the_child_is_killed_the_server_goes_on_and_the_log_is_whole(
    server: Server, full: Client, start: Start, tmp_path_factory: pytest.TempPathFactory, rng: Dice, name: str
) -> None:
    """A child that a signal ends has rewritten nothing. The server goes on, with the base of before, deletes the draft,
    and the next BGREWRITEAOF succeeds.

    Does standard error say nothing? `finish` has to say so there: `print(…, file=sys.stderr)`.

    Is half a base in the log? `waitpid` returns a status: only 0 is a success.

    Has the server ended, too? A signal to the child must not reach the event loop.

    Is the next one answered with "already in progress"? Set `self.child` to 0, whatever the status.
    """
    key = rng.key()
    full.check(request("INCR", key), integer(1))
    pid = hold(server, full)
    before = [each for each in listed(folder(server)) if each[0] == "b"]
    full.check(request("INCR", key), integer(2))
    release(pid, getattr(signal, name))
    until(server, lambda: not drafts_in(folder(server)), "The child was killed, and its draft is still there")
    full.check(PING + request("INCR", key), PONG + integer(3))
    if not server.target.is_redis:
        until(server, lambda: bool(server.errors), "Nothing on standard error says that the log was not rewritten")
    after = [each for each in listed(folder(server)) if each[0] == "b"]
    assert after == before, f"the child was killed, and its base is in the log. {shown(folder(server))}"
    rewrite(server, full)
    full.check(request("INCR", key), integer(4))
    settle(full)
    restored(start, server, tmp_path_factory).check(request("GET", key), bulk("4"))


@step(7)
@pytest.mark.read("Step 7: the rewrite")
def test_a_server_that_is_killed_during_a_rewrite_starts_again(
    server: Server, full: Client, start: Start, tmp_path_factory: pytest.TempPathFactory, rng: Dice
) -> None:
    """kill -9 while the child works: the next server has all data, deletes the draft, and can rewrite.

    The log is the old files and the new increment: `open` restores them all.
    """
    key = rng.key()
    full.check(request("INCR", key), integer(1))
    settle(full)
    copy = tmp_path_factory.mktemp("killed") / "data"
    shutil.copytree(folder(server), copy)
    options = ["--rdb-key-save-delay", "20"] if server.target.is_redis else []
    dies = start(data=copy, appendfsync="no", options=options)
    client = dies.connect()
    hold(dies, client)
    client.check(request("INCR", key), integer(2))
    settle(client)
    dies.kill()
    again = start(data=copy, appendfsync="no")
    client = again.connect()
    client.check(request("INCR", key), integer(3))
    rewrite(again, client)
    assert again.target.is_redis or not drafts_in(copy), "the draft of the child is still there"


@step(7)
@pytest.mark.needs("redis-server")
@pytest.mark.read("Step 7: the rewrite")
def test_a_real_redis_starts_on_the_folder(
    server: Server, client: Client, patience: Patience, tmp_path_factory: pytest.TempPathFactory, rng: Dice
) -> None:
    """A real redis-server, started on a copy of the folder after a rewrite, has the data of base and increment.

    Redis reads the manifest: each line is `file NAME seq NUMBER type b`, or `i`, and the base is the first.
    """
    key = rng.key()
    for args in (("RPUSH", key, "a", "b"), ("ZADD", key + b"-z", "1.5", "m"), ("INCR", key + b"-n")):
        client.ask(*args)
    rewrite(server, client)
    client.check(request("INCR", key + b"-n"), integer(2))
    settle(client)
    copy = tmp_path_factory.mktemp("for-redis") / "data"
    shutil.copytree(folder(server), copy)
    real = Server(redis(), patience, tmp_path_factory.mktemp("redis"), data=copy)
    try:
        real.await_ready()
        other = real.connect()
        other.check(
            request("GET", key + b"-n") + request("LRANGE", key, 0, -1), bulk("2") + b"*2\r\n$1\r\na\r\n$1\r\nb\r\n"
        )
        assert other.ask("ZSCORE", key + b"-z", "m") == b"1.5"
        assert other.ask("DBSIZE") == client.ask("DBSIZE")
        assert log_of(copy).exists()
    finally:
        real.close()
