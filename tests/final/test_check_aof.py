"""The check of a log without a server: it says what redis-check-aof says of the same files, and changes as little."""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from final.log.check import main
from stages.harness.course import ROOT
from stages.harness.wire import request
from tests.support.folders import await_rewrite, write_log
from tests.support.oracle import final_server, redis_server, redis_target

SEED = int(os.environ.get("SEED") or random.randrange(10**6))
ROUNDS = int(os.environ.get("ROUNDS", 1))
pytestmark = pytest.mark.timeout(60 + 60 * ROUNDS)
Ask = Callable[..., tuple[int, str]]

PLAIN = request("SELECT", 0) + request("SET", "k", "v\r\n\x00") + request("RPUSH", "a list", *range(2))
UNIT = request("multi") + request("SET", "in", "one") + request("DEL", "k") + request("EXEC")
LATER = b"#TS:1800000000\r\n" + request("INCR", "n") + b"#TS:1800000010\r\n" + request("INCR", "n")
LOG = PLAIN + UNIT + request("INCR", "n")
FILES = {
    "right": LOG,
    "with remarks": PLAIN + LATER,
    "empty": b"",
    "no EXEC": PLAIN + UNIT.replace(request("EXEC"), b""),
    "no EXEC, and torn": PLAIN + UNIT[:-8],
    "EXEC alone": PLAIN + request("exec") + PLAIN,
    "MULTI in MULTI": UNIT.replace(request("DEL", "k"), request("MULTI")) + PLAIN,
    "no request": PLAIN + b"SET k v\r\n",
    "a blank line": PLAIN + b"\r\n" + PLAIN,
    "zeros": PLAIN + bytes(20),
    "a negative length": PLAIN + b"*1\r\n$-5\r\n",
    "a length that is none": PLAIN + b"*1\r\n$x\r\n",
    "a wrong sign": PLAIN + b"*1\r\n\xff4\r\nPING\r\n",
    "too short": PLAIN + b"*1\r\n$4\r\nPINGER\r\n",
    "bytes that are negative in C": PLAIN + b"*1\r\n$4\r\nPING\xff\xfe",
    "much too long": PLAIN + b"*1\r\n$400000000\r\nPING\r\n",
    "a header without end": PLAIN + b"*1\r\n$" + b"4" * 300 + b"\r\n",
}


def theirs(*args: str | Path, answer: str = "") -> tuple[int, str]:
    """The exit status of redis-check-aof, and what it says."""
    redis_target()
    done = subprocess.run(["redis-check-aof", *map(str, args)], input=answer.encode(), capture_output=True)
    return done.returncode, done.stdout.decode(errors="surrogateescape")


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """The same for ours, in this process."""

    def ask(*args: str | Path, answer: str = "") -> tuple[int, str]:
        said = io.StringIO()
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        with contextlib.redirect_stdout(said):
            status = main([str(arg) for arg in args])
        return status, said.getvalue()

    return ask


def alike(told: tuple[int, str]) -> tuple[int, str]:
    """What must be the same: not what stands in memory behind a header, nor the details of a snapshot."""
    status, text = told
    text = re.sub(r"(Expected \\r\\n, got: )(00|\w\w0[0ad]\n).*", r"\1…", text)
    text = re.sub(r"\[offset \d+\] (AUX FIELD|Selecting DB|Checksum).*\n|\[info\].*\n", "", text)
    return status, text


def both(ours: Ask, path: Path, *options: str, answer: str = "") -> tuple[int, str]:
    """Ask both about a file, each with its own copy of the folder; they must say and do the same."""
    folder = path.parent
    before = contents(folder)
    expected = theirs(*options, path, answer=answer)
    changed = contents(folder)
    for name, data in before.items():
        (folder / name).write_bytes(data)
    told = ours(*options, path, answer=answer)
    assert alike(told) == alike(expected)
    assert contents(folder) == changed
    return told


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# One file


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("options", "answer"), [((), ""), (("--fix",), ""), (("--fix",), "no"), (("--fix",), "Yes")])
def test_a_file_is_told_and_cut_as_by_redis(
    ours: Ask, tmp_path: Path, name: str, options: tuple[str, ...], answer: str
) -> None:
    path = tmp_path / "a log.aof"
    path.write_bytes(FILES[name])
    both(ours, path, *options, answer=answer)


def test_a_file_torn_at_any_byte_is_told_as_by_redis(ours: Ask, tmp_path: Path) -> None:
    path = tmp_path / "log.aof"
    for size in range(1, len(LOG)):
        path.write_bytes(LOG[:size])
        status, text = both(ours, path)
        assert status == (size not in whole_at()) and f"size={size}, ok_up_to={max(whole_at(size))}," in text


def whole_at(size: int = len(LOG)) -> list[int]:
    """The places up to a size where LOG may end: between two units."""
    ends = [request("SELECT", 0), request("SET", "k", "v\r\n\x00"), request("RPUSH", "a list", *range(2)), UNIT]
    return [end for end in (sum(map(len, ends[:count])) for count in range(5)) if end <= size]


def test_a_file_with_any_byte_damaged_is_told_as_by_redis_or_more_strictly(ours: Ask, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    path = tmp_path / "log.aof"
    strict = 0
    for place in range(len(LOG)):
        for _ in range(ROUNDS):
            byte = dice.choice([LOG[place] ^ 1 << dice.randrange(8), *b"0123456789+-# \r\n"])
            path.write_bytes(LOG[:place] + bytes([byte]) + LOG[place + 1 :])
            expected, told = theirs(path), ours(path)
            said = f"SEED={SEED}, byte {place} is {byte}\n{expected}\n{told}"
            if re.search("found where EXEC is missing|no server writes|leads beyond the end", told[1]):
                strict += 1
                assert told[0] == 1, said
            else:
                assert alike(told) == alike(expected), said
    assert strict < len(LOG) * ROUNDS / 10


def test_what_a_server_would_not_read_is_not_valid_here(ours: Ask, tmp_path: Path) -> None:
    path = tmp_path / "log.aof"
    for data, reason in (
        (PLAIN + b"*0\r\n" + PLAIN, "a header that no server writes"),
        (PLAIN + b"*01\r\n$4\r\nPING\r\n", "a header that no server writes"),
        (PLAIN + UNIT.replace(b"EXEC", b"EXEB") + PLAIN, "b'EXEB' found where EXEC is missing"),
    ):
        path.write_bytes(data)
        status, text = ours(path)
        assert status == 1 and f"{reason}\nAOF analyzed: " in text and f" ok_up_to={len(PLAIN)}," in text
        assert theirs(path)[0] == int(b"EXEB" in data)


def test_a_length_that_hides_complete_requests_is_no_torn_end(ours: Ask, tmp_path: Path) -> None:
    path = tmp_path / "log.aof"
    path.write_bytes(request("SET", "k", "v" * 100).replace(b"$100", b"$900") + LOG)
    status, text = ours(path)
    assert status == 1 and "the length 900 leads beyond the end of the file, 100 would be right" in text


# A snapshot, and a manifest


@pytest.fixture(scope="module")
def by_redis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a log that a real Redis has written: a snapshot, and an increment with remarks."""
    folder = tmp_path_factory.mktemp("redis")
    with redis_server("--aof-timestamp-enabled", "yes", data=folder) as server:
        client = server.connect()
        for args in (("SET", "k", "v"), ("RPUSH", "l", 1, 2), ("EXPIRE", "k", 1000), ("BGREWRITEAOF",)):
            client.ask(*args)
        await_rewrite(client)
        client.ask("SET", "after", "v")
        server.stop()
    return folder / "appendonlydir"


@pytest.fixture
def manifest(by_redis: Path, tmp_path: Path) -> Path:
    """The manifest of a copy of that folder."""
    shutil.copytree(by_redis, tmp_path / "log")
    return tmp_path / "log" / "appendonly.aof.manifest"


def part(manifest: Path, kind: str) -> Path:
    """The one file of this kind."""
    return next(manifest.parent.glob(f"*.{kind}.*"))


def another(manifest: Path) -> Path:
    """Add an increment to the manifest."""
    path = manifest.with_name("appendonly.aof.9.incr.aof")
    path.write_bytes(PLAIN)
    manifest.write_text(manifest.read_text() + f"file {path.name} seq 9 type i\n")
    return path


def test_a_manifest_is_told_as_by_redis(ours: Ask, manifest: Path) -> None:
    assert both(ours, manifest)[1].endswith("All AOF files and manifest are valid\n")
    another(manifest)
    assert both(ours, manifest)[0] == 0
    for kind in ("base", "incr"):
        assert both(ours, part(manifest, kind))[0] == 0


def test_a_manifest_that_has_lost_a_line_is_not_valid_here(ours: Ask, manifest: Path) -> None:
    last = another(manifest)
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(lines[:-1]))
    status, text = ours(manifest)
    assert status == 1
    assert text.endswith(f"The AOF manifest is not complete: it does not list {last.name}, which holds data\n")
    assert theirs(manifest)[0] == 0


def test_only_the_last_file_of_a_manifest_is_cut(ours: Ask, manifest: Path) -> None:
    last = part(manifest, "incr")
    os.truncate(last, last.stat().st_size - 3)
    assert both(ours, manifest)[0] == 1
    another(manifest)
    status, text = both(ours, manifest, "--fix", answer="y")
    assert status == 1 and "because it is not the last file" in text


def test_the_last_file_of_a_manifest_is_cut_where_the_answer_is_yes(ours: Ask, manifest: Path) -> None:
    last = part(manifest, "incr")
    os.truncate(last, last.stat().st_size - 3)
    assert both(ours, manifest, "--fix", answer="n")[1].endswith("Aborting...\n")
    assert both(ours, manifest, "--fix", answer="y")[0] == 0
    assert ours(manifest)[0] == 0


def test_a_manifest_that_is_none_and_files_that_are_not_there(ours: Ask, manifest: Path) -> None:
    part(manifest, "incr").unlink()
    assert "No such file or directory, aborting..." in both(ours, manifest)[1]
    assert both(ours, manifest.with_name("nothing"))[0] == 1
    assert alike(ours(manifest.parent)) == alike(theirs(manifest.parent))
    manifest.write_text(manifest.read_text() + "nonsense\n")
    assert ours(manifest) == (1, "Start checking Multi Part AOF\nInvalid AOF manifest file format: "
                                 "line 3 is not a line of a manifest\n")  # fmt: skip
    assert theirs(manifest)[0] == 1


def test_a_snapshot_that_is_damaged_is_not_cut(ours: Ask, manifest: Path) -> None:
    base = part(manifest, "base")
    data = base.read_bytes()
    base.write_bytes(data.replace(b"redis-ver", b"redis-fer"))
    for options in ((), ("--fix",)):
        status, text = ours(*options, manifest, answer="y")
        assert theirs(*options, manifest, answer="y")[0] == status == 1
        assert "--- RDB ERROR DETECTED ---" in text and text.endswith(
            "RDB preamble of AOF file is not sane, aborting.\n"
        )
    assert base.read_bytes() != data


# --truncate-to-timestamp


@pytest.mark.parametrize("until", ["1799999999", "1800000000", "1800000009", "1800000010", "1x", "0"])
def test_what_is_later_than_a_timestamp_is_cut_as_by_redis(ours: Ask, tmp_path: Path, until: str) -> None:
    option = ("--truncate-to-timestamp", until)
    write_log(tmp_path / "last", incr1=PLAIN, incr2=PLAIN + LATER)
    write_log(tmp_path / "first", incr1=PLAIN + LATER, incr2=PLAIN)
    write_log(tmp_path / "nothing", incr1=LATER)
    for path in tmp_path.rglob("*.manifest"):
        both(ours, path, *option)
    both(ours, next((tmp_path / "first").rglob("*.1.incr.aof")), *option)


def test_nothing_is_cut_inside_a_transaction(ours: Ask, tmp_path: Path) -> None:
    path = tmp_path / "log.aof"
    path.write_bytes(PLAIN + UNIT.replace(request("DEL", "k"), LATER))
    assert ours("--truncate-to-timestamp", "1800000001", path)[0] == 0
    assert path.read_bytes() == PLAIN


# As a program


def test_it_is_a_program_with_the_usage_and_the_status_of_redis(tmp_path: Path) -> None:
    path = tmp_path / "\udcff.aof"
    path.write_bytes(LOG[:-3])

    def run(*args: str | Path) -> tuple[int, str]:
        command = [sys.executable, "-m", "final.check_aof", *args]
        done = subprocess.run(command, cwd=ROOT, input=b"y\n", capture_output=True)
        assert not done.stderr
        return done.returncode, done.stdout.decode(errors="surrogateescape")

    assert run(path) == theirs(path)
    assert alike(run()) == (1, theirs()[1].replace("redis-check-aof", "python3 -m final.check_aof"))
    assert run(path, "--fix")[0] == 0
    assert path.read_bytes() == PLAIN + UNIT


def test_it_cuts_nothing_where_a_server_is_at_work(ours: Ask, tmp_path: Path) -> None:
    with final_server(data=tmp_path) as server:
        server.connect().ask("SET", "k", "v")
        path = tmp_path / "appendonlydir" / "appendonly.aof.manifest"
        assert ours(path)[0] == 0
        for options in (("--fix",), ("--truncate-to-timestamp", "1")):
            status, text = ours(*options, path, answer="y")
            assert status == 1 and "another server is at work in" in text
