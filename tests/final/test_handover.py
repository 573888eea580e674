"""The hand-over by files, all types and encodings: to Redis 7.0 and to Valkey 9, and back, by log and by snapshot."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from stages.harness.server import NotStarted, Server
from stages.harness.wire import Error
from tests.support.folders import ask_all, await_rewrite, by_score, everything, fill, names
from tests.support.oracle import final_server, redis_server, valkey_server
from tests.support.snapshots.contents import CONTENTS, FEW, STREAMS, Args

Start = Callable[..., AbstractContextManager[Server]]

engines = pytest.mark.parametrize("engine", [redis_server, valkey_server], ids=["redis", "valkey"])
WHOLE: list[Args] = [
    *CONTENTS,
    ["SELECT", 0],
    *STREAMS,
    ["SETBIT", "bits", 70_000, 1],
    ["PFADD", "few visitors", *range(100)],
    ["PFADD", "many visitors", *range(20_000)],
    ["GEOADD", "places", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"],
]
# What is pending of entries that were deleted: Redis and Valkey forget it when they read it as requests.
FORGOTTEN: Args = ["XACK", "long", "group0", "5-3", "6-1", "300-1"]
CHANGES: list[Args] = [  # one that each engine logs as it sees fit, for each type; in several databases
    ["MULTI"],
    ["APPEND", "0123", "more"],
    ["INCRBYFLOAT", "integer 1", "0.1"],
    ["EXEC"],
    ["SETRANGE", "bits", 3, "x"],
    ["PFMERGE", "visitors", "few visitors", "many visitors"],
    ["LMOVE", "long list", "list of texts", "LEFT", "RIGHT"],
    ["LREM", "list of integers", 0, 1],
    ["SPOP", "many", 3],
    ["SMOVE", "texts", "short texts", "a"],
    ["ZINCRBY", "many scores", "0.3", "m7"],
    ["ZPOPMIN", "few scores"],
    ["HINCRBYFLOAT", "few fields", "n", "1e-3"],
    ["HDEL", "many fields", "f3"],
    ["XREADGROUP", "GROUP", "group50-1", "carol", "COUNT", 3, "STREAMS", "long", ">"],
    ["XACK", "long", "group0", "9-1"],
    ["XADD", "integers", "MAXLEN", "200", "*", "f", "v"],
    ["PERSIST", "list with deadline"],
    ["PEXPIREAT", "many", 4_000_000_000_789],
    ["COPY", "few fields", "copied", "DB", 3],
    ["RENAME", "16 bits", "renamed"],
    ["DEL", "32 bits"],
    ["SELECT", 15],
    ["SET", "last", "v", "EX", 1_000_000],
]


def data_of(server: Server) -> dict[str, Any]:
    """Return the data of a server, which has all that WHOLE made."""
    found = by_score(everything(server.connect()))
    assert len(found) > 560
    return found


@engines
def test_a_folder_of_the_log_goes_over_and_comes_back(tmp_path: Path, engine: Start) -> None:
    with final_server(data=tmp_path, appendfsync="no") as ours:
        rewritten(ours, [*WHOLE, FORGOTTEN], CHANGES)
        held = data_of(ours)
        ours.stop()
    assert names(tmp_path) == ["2.base.aof", "2.incr.aof", "manifest"]
    with engine(data=tmp_path) as theirs:
        assert data_of(theirs) == held
        rewritten(theirs, [["FLUSHALL"], *WHOLE], CHANGES)
        held = data_of(theirs)
        theirs.stop()
    assert names(tmp_path)[-2:] == [f"{names(tmp_path)[0][0]}.incr.aof", "manifest"]
    with final_server(data=tmp_path) as ours:
        assert data_of(ours) == held


@engines
def test_a_base_of_requests_comes_over(tmp_path: Path, engine: Start) -> None:
    with engine("--aof-use-rdb-preamble", "no", data=tmp_path) as theirs:
        rewritten(theirs, CONTENTS, FEW)
        held = by_score(everything(theirs.connect()))
        theirs.stop()
    with final_server(data=tmp_path) as ours:
        assert by_score(everything(ours.connect())) == held
    assert len(held) > 300


def rewritten(server: Server, before: list[Args], after: list[Args]) -> None:
    """Send requests, have the server rewrite its log, and send more."""
    client = server.connect()
    fill(client, before)
    client.ask("BGREWRITEAOF")
    await_rewrite(client)
    fill(client, after)


@engines
@pytest.mark.parametrize(
    "options", [("--rdbcompression", "yes"), pytest.param(("--rdbchecksum", "no"), marks=pytest.mark.slow)], ids=str
)
def test_a_snapshot_goes_over_and_comes_back(tmp_path: Path, engine: Start, options: tuple[str, ...]) -> None:
    where = ("--dir", str(tmp_path), *options)
    contents = [*WHOLE, *CHANGES] if engine is redis_server else [*map(shortened, WHOLE), *CHANGES]
    with final_server(*where) as ours:
        fill(ours.connect(), contents)
        held = data_of(ours)
        assert ours.connect().ask("SAVE") == "OK"
    assert shutil.which("redis-check-rdb") is None or b"RDB looks OK" in subprocess.run(
        ["redis-check-rdb", str(tmp_path / "dump.rdb")], capture_output=True, check=True
    ).stdout  # fmt: skip
    with engine(*where) as theirs:
        assert data_of(theirs) == held
        fill(theirs.connect(), [["FLUSHALL"], ["CONFIG", "SET", "list-max-listpack-size", 3], *contents, ["SAVE"]])
        held = data_of(theirs)
    with final_server(*where) as ours:
        assert data_of(ours) == held


# What Valkey does not take, and what it has that Redis 7.0 has not


def shortened(args: Args) -> Args:
    """Return a request without the one length that Valkey does not read inside a stream of Redis 7.0's."""
    return [arg[:-1] if isinstance(arg, bytes) and len(arg) == 16_378 else arg for arg in args]


@pytest.mark.parametrize("start", [final_server, redis_server], ids=["final", "redis"])
def test_valkey_refuses_a_snapshot_with_16378_bytes_in_an_entry_of_a_stream(tmp_path: Path, start: Start) -> None:
    for length in (16_377, 16_378, 16_379):
        folder = tmp_path / str(length)
        folder.mkdir()
        with start("--dir", str(folder)) as server:
            fill(server.connect(), [["XADD", "stream", "1-1", "f", b"v" * length], ["SAVE"]])
        if length == 16_378:
            with pytest.raises(NotStarted), valkey_server("--dir", str(folder)):
                pass
        else:
            with valkey_server("--dir", str(folder)) as theirs:
                assert theirs.connect().ask("XLEN", "stream") == 1


def test_valkey_restores_what_we_dump_and_its_dumps_are_refused_as_by_redis() -> None:
    with final_server() as ours, valkey_server() as theirs, redis_server() as redis:
        here, there = ours.connect(), theirs.connect()
        fill(here, [*map(shortened, WHOLE), ["SELECT", 0]])
        keys: Any = here.ask("KEYS", "*")
        dumps = ask_all(here, [["DUMP", key] for key in keys])
        fill(there, [["RESTORE", key, 0, dump] for key, dump in zip(keys, dumps, strict=True)])
        dump: Any = there.ask("DUMP", "text 1")
        replies = [server.connect().ask("RESTORE", "restored", 0, dump) for server in (ours, redis)]
        assert replies == [Error("ERR DUMP payload version or checksum are wrong")] * 2


ONLY_IN_VALKEY: dict[str, tuple[list[Args], str]] = {
    "fields with deadlines": (
        [["HSET", "h", "f", "v"], ["HPEXPIREAT", "h", 4_000_000_000_123, "FIELDS", 1, "f"]],
        "cannot be read from byte .* the key b'h' is a hash whose fields have deadlines",
    ),
    "functions": (
        [["FUNCTION", "LOAD", "#!lua name=library\nserver.register_function('f', function() return 1 end)"]],
        "b'FUNCTION' was answered with ERR Error registering functions: ERR user_function:2: .* variable 'server'",
    ),
}


@pytest.mark.parametrize("name", ONLY_IN_VALKEY)
def test_what_we_do_not_have_is_refused_by_name(tmp_path: Path, name: str) -> None:
    contents, reason = ONLY_IN_VALKEY[name]
    with valkey_server(data=tmp_path) as theirs:
        rewritten(theirs, contents, [])
        theirs.stop()
    with pytest.raises(NotStarted) as refused, final_server(data=tmp_path):
        pass
    assert re.search(reason, refused.value.trace)


def test_requests_that_redis_7_does_not_know_are_gone_from_a_log_that_was_rewritten(tmp_path: Path) -> None:
    with valkey_server(data=tmp_path) as theirs:
        fill(theirs.connect(), [["SET", "k", "1"], ["SET", "k", "2", "IFEQ", "1"]])
        theirs.stop()
    with pytest.raises(NotStarted) as refused, final_server(data=tmp_path):
        pass
    assert re.search("b'SET' was answered with ERR syntax error", refused.value.trace)
    with valkey_server(data=tmp_path) as theirs:
        rewritten(theirs, [], [])
        theirs.stop()
    with final_server(data=tmp_path) as ours:
        assert ours.connect().ask("GET", "k") == b"2"


def test_data_goes_from_valkey_to_redis_by_way_of_this_server(tmp_path: Path) -> None:
    with valkey_server(data=tmp_path) as theirs:
        rewritten(theirs, FEW, [["SELECT", 1], *STREAMS, FORGOTTEN])
        held = by_score(everything(theirs.connect()))
        theirs.stop()
    with pytest.raises(NotStarted), redis_server(data=tmp_path):
        pass
    with final_server(data=tmp_path) as ours:
        rewritten(ours, [], [])
        ours.stop()
    with redis_server(data=tmp_path) as redis:
        assert by_score(everything(redis.connect())) == held
