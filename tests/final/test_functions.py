"""Functions beyond what the transcripts say: kept in the log, in snapshots and on replicas, and stopped."""

from __future__ import annotations

import gc
import importlib.util
import re
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from final.engine.following import Following
from final.log.rdb.crc import crc64
from final.log.rdb.cursor import BadSnapshot, Cursor
from final.log.rdb.read import read_functions, read_snapshot
from final.log.rdb.write import dump_functions
from final.log.read import CorruptLog
from final.lua.functions import FunctionInterpreter
from final.protocol.errors import ReplyError
from final.protocol.reader import Reader
from stages.harness.server import Server
from stages.harness.wire import Client, Error, parse, request
from tests.support.folders import await_rewrite, fill, flush, opened, write_log
from tests.support.oracle import InProcess, OverTheWire, final_server, redis_server, shown
from tests.support.replicas import Played, chosen
from tests.support.sequences import EXAMPLES
from tests.support.shared import Shared
from tests.tools.replicating import await_equal, await_link, fields

with_lua = pytest.mark.skipif(importlib.util.find_spec("lupa") is None, reason="functions need lupa")

LIBRARY = (
    "#!lua name=shop\n"
    "local count = 0\n"
    "redis.register_function('buy', function(keys, args)\n"
    "    count = count + 1\n"
    "    return redis.call('incrby', keys[1], args[1])\n"
    "end)\n"
    "redis.register_function{function_name='stock', callback=function(keys) return redis.call('get', keys[1]) end,\n"
    "    flags={'no-writes', 'allow-stale'}, description='how many there are'}"
)
OTHER = "#!lua name=other\nredis.register_function('one', function() return 1 end)"
ENDLESS = (
    "#!lua name=endless\n"
    "local function forever() while true do end end\n"
    "redis.register_function('forever', forever)\n"
    "redis.register_function('caught', function() while true do pcall(forever) end end)\n"
    "redis.register_function('written', function() redis.call('set', 'k', 'v') forever() end)"
)
START = {"final": final_server, "redis": redis_server}


def slow(value: str) -> Any:
    """A value for a test that then is slow."""
    return pytest.param(value, marks=pytest.mark.slow)


def start(name: str, *options: str, data: Path | None = None) -> AbstractContextManager[Server]:
    return START[name](*options, data=data)


def libraries(client: Client) -> Any:
    """The libraries of a server, sorted, with their texts and functions."""
    found: Any = client.ask("FUNCTION", "LIST", "WITHCODE")
    return sorted([name, code, sorted(functions, key=repr)] for _, name, _, _, _, functions, _, code in found)


def loaded(*codes: str) -> InProcess:
    """An engine with these libraries."""
    peer = InProcess()
    for code in codes:
        assert peer.sent([b"FUNCTION", b"LOAD", code.encode()]).startswith(b"$")
    return peer


# In the log, in snapshots


@with_lua
@pytest.mark.parametrize(
    "rewritten", ["", slow("yes"), slow("no")], ids=["changes", "a base with a preamble", "without"]
)
@pytest.mark.parametrize(("writer", "reader"), [("final", "redis"), ("redis", "final")])
def test_a_log_with_functions_is_read_by_the_other_server(
    tmp_path: Path, writer: str, reader: str, rewritten: str
) -> None:
    with start(writer, data=tmp_path) as server:
        client = server.connect()
        fill(client, [["FUNCTION", "LOAD", OTHER], ["FUNCTION", "LOAD", LIBRARY], ["FCALL", "buy", 1, "k", 5]])
        fill(client, [["FUNCTION", "LOAD", "REPLACE", LIBRARY], ["FUNCTION", "DELETE", "other"], ["FLUSHALL"]])
        if rewritten:
            client.ask("CONFIG", "SET", "aof-use-rdb-preamble", rewritten)
            client.ask("BGREWRITEAOF")
            await_rewrite(client)
        fill(client, [["FUNCTION", "LOAD", OTHER], ["FCALL", "buy", 1, "k", 2]])
        before = libraries(client)
        server.stop()
    for checker in (["redis-check-aof"], [sys.executable, "-m", "final.check_aof"]):
        manifest = tmp_path / "appendonlydir" / "appendonly.aof.manifest"
        assert subprocess.run([*checker, str(manifest)], capture_output=True, timeout=60).returncode == 0
    with start(reader, data=tmp_path) as server:
        client = server.connect()
        assert libraries(client) == before and [name for name, *_ in before] == [b"other", b"shop"]
        assert [client.ask("FCALL_RO", "stock", 1, "k"), client.ask("FCALL", "one", 0)] == [b"2", 1]


@with_lua
@pytest.mark.slow
@pytest.mark.parametrize(("writer", "reader"), [("final", "redis"), ("redis", "final")])
def test_a_snapshot_with_functions_is_read_by_the_other_server(tmp_path: Path, writer: str, reader: str) -> None:
    there = ("--dir", str(tmp_path), "--appendonly", "no")
    with start(writer, *there) as server:
        client = server.connect()
        fill(client, [["FUNCTION", "LOAD", LIBRARY], ["FUNCTION", "LOAD", OTHER], ["SET", "k", 7], ["SAVE"]])
        before = libraries(client)
    checked = subprocess.run(["redis-check-rdb", str(tmp_path / "dump.rdb")], capture_output=True, timeout=60)
    assert checked.returncode == 0 and b"RDB looks OK" in checked.stdout
    with start(reader, *there) as server:
        client = server.connect()
        assert libraries(client) == before
        assert client.ask("FCALL", "stock", 1, "k") == b"7"


@with_lua
def test_what_the_log_gets_of_functions(tmp_path: Path) -> None:
    peer = opened(tmp_path)
    dump = dump_functions([OTHER.encode()], compressed=False)
    requests = [
        [b"function", b"load", LIBRARY.encode()],
        [b"FUNCTION", b"DELETE", b"nosuch"],
        [b"FUNCTION", b"RESTORE", dump, b"append"],
        [b"FUNCTION", b"RESTORE", dump],
        [b"FCALL", b"buy", b"1", b"k", b"1"],
        [b"FUNCTION", b"DELETE", b"shop"],
        [b"FUNCTION", b"FLUSH"],
    ]
    for args in requests:
        peer.sent(args)
    assert peer.engine.log is not None
    peer.engine.log.flush()
    reader = Reader()
    reader.feed(peer.engine.log._path.read_bytes())
    records = list(iter(reader.next, None))
    expected = [requests[0], requests[2], [b"incrby", b"k", b"1"], requests[5], requests[6]]
    assert records == [[b"SELECT", b"0"], *expected]
    assert peer.engine.unit.changes == 5


@with_lua
def test_a_library_that_cannot_be_loaded_any_more_keeps_the_server_from_starting(tmp_path: Path) -> None:
    write_log(tmp_path, incr=request("FUNCTION", "LOAD", "#!lua name=n\nerror('no')"))
    with pytest.raises(CorruptLog, match="b'FUNCTION' was answered with ERR Error registering functions"):
        opened(tmp_path)


def test_without_lupa_libraries_are_kept_as_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("lupa")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lupa", None)  # as if it were not installed
    write_log(tmp_path, incr=request("FUNCTION", "LOAD", LIBRARY) + request("FUNCTION", "LOAD", OTHER))
    peer = opened(tmp_path)
    missing = "-ERR scripts need the Python package lupa: pip install lupa"
    assert peer.ask('FUNCTION LOAD "#!lua name=a\\n"') == missing
    assert peer.ask("FCALL buy 1 k 1") == missing
    assert peer.ask("FUNCTION DELETE other") == "+OK"
    assert LIBRARY.encode() in peer.sent([b"FUNCTION", b"LIST", b"WITHCODE"])
    assert list(read_functions(parse(peer.sent([b"FUNCTION", b"DUMP"]))[0])) == [LIBRARY.encode()]  # type: ignore[arg-type]
    flush(peer)
    restarted = opened(tmp_path)
    assert restarted.engine.functions.codes == [LIBRARY.encode()]
    assert peer.ask("FUNCTION FLUSH") == "+OK" and peer.ask("FCALL buy 1 k 1") == "-ERR Function not found"


# On replicas


@with_lua
@pytest.mark.parametrize("diskless", ["yes", slow("no")])
@pytest.mark.parametrize(("primary", "replica"), [("final", "redis"), ("redis", "final")])
def test_a_replica_has_the_functions_of_its_primary(primary: str, replica: str, diskless: str) -> None:
    delay = ("--repl-diskless-sync-delay", "0", "--repl-diskless-sync", diskless)
    with start(primary, *delay) as leading, start(replica) as following:
        here, there = leading.connect(), following.connect()
        fill(here, [["FUNCTION", "LOAD", LIBRARY], ["FCALL", "buy", 1, "k", 5]])
        fill(there, [["FUNCTION", "LOAD", OTHER], ["REPLICAOF", "127.0.0.1", leading.port]])
        await_link(there)
        await_equal(here, there)
        assert libraries(there) == libraries(here) and libraries(there)[0][0] == b"shop"
        read_only = Error("READONLY You can't write against a read only replica.")
        for refused in (["LOAD", OTHER], ["FLUSH"], ["DELETE", "shop"], ["RESTORE", "x"]):
            assert there.ask("FUNCTION", *refused) == read_only
        assert [there.ask("FCALL", "buy", 1, "k", 1), there.ask("FCALL", "stock", 1, "k")] == [read_only, b"5"]
        dump: Any = here.ask("FUNCTION", "DUMP")
        fill(here, [["FUNCTION", "LOAD", OTHER], ["FUNCTION", "FLUSH"], ["FUNCTION", "RESTORE", dump]])
        fill(here, [["FUNCTION", "LOAD", "REPLACE", LIBRARY], ["FUNCTION", "LOAD", OTHER], ["FLUSHALL"]])
        fill(here, [["FUNCTION", "DELETE", "shop"], ["FCALL", "one", 0]])
        await_equal(here, there)
        assert libraries(there) == libraries(here) and [name for name, *_ in libraries(there)] == [b"other"]


@with_lua
@pytest.mark.parametrize(("primary", "replica"), [("final", "redis"), ("redis", "final")])
def test_a_replica_gets_the_functions_that_were_loaded_while_the_link_was_broken(primary: str, replica: str) -> None:
    with start(primary, "--repl-diskless-sync-delay", "0") as leading, start(replica) as following:
        here, there = leading.connect(), following.connect()
        fill(here, [["FUNCTION", "LOAD", LIBRARY]])
        fill(there, [["REPLICAOF", "127.0.0.1", leading.port]])
        await_link(there)
        await_equal(here, there)
        meanwhile: list[list[Any]] = [
            ["FUNCTION", "LOAD", OTHER],
            ["FCALL", "buy", 1, "k", 5],
            ["FUNCTION", "DELETE", "shop"],
        ]
        here.send(b"".join(request(*args) for args in [["CLIENT", "KILL", "TYPE", "replica"], *meanwhile]))
        assert [here.read_reply() for _ in range(4)] == [b":1\r\n", b"$5\r\nother\r\n", b":5\r\n", b"+OK\r\n"]
        await_equal(here, there)
        counts = fields(here, "stats")
        assert (counts["sync_full"], counts["sync_partial_ok"]) == ("1", "1")
        assert libraries(there) == libraries(here) and [name for name, *_ in libraries(there)] == [b"other"]
        assert there.ask("GET", "k") == b"5"


@with_lua
@pytest.mark.parametrize(("seconds", "by_client", "by_primary"), [(1.0, False, True), (6.0, False, False)])
def test_a_library_of_the_primary_may_take_longer_to_load(
    seconds: float, by_client: bool, by_primary: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = loaded(OTHER)
    code = b"#!lua name=long\nfor i = 1, 1e6 do end redis.register_function('two', function() return 2 end)"
    clock = chain([0.0], repeat(seconds))
    monkeypatch.setattr("final.engine.functions.time.monotonic", clock.__next__)
    timeout = "-ERR Error registering functions: ERR FUNCTION LOAD timeout"
    assert shown(peer.sent([b"FUNCTION", b"LOAD", code])) == ("$4 long" if by_client else timeout)
    clock = chain([0.0], repeat(seconds))
    monkeypatch.setattr("final.engine.functions.time.monotonic", clock.__next__)
    following = Following(peer.engine, "127.0.0.1:1")
    following.begin(lambda: None)
    following.apply([[b"FUNCTION", b"LOAD", code]])
    monkeypatch.undo()
    assert [peer.ask("FCALL one 0"), peer.ask("FCALL two 0")] == [
        ":1", ":2" if by_primary else "-ERR Function not found"
    ]  # fmt: skip


@with_lua
def test_a_snapshot_that_ends_too_early_leaves_neither_functions_nor_a_second_lua(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer, started = loaded(OTHER), list[weakref.ref[FunctionInterpreter]]()
    start_lua = peer.engine.scripts.start_for_functions

    def start_and_note(too_long: Any) -> FunctionInterpreter:
        lua = start_lua(too_long)
        started.append(weakref.ref(lua))
        return lua

    def torn() -> Iterator[list[bytes]]:
        yield [b"FUNCTION", b"LOAD", LIBRARY.encode()]
        raise BadSnapshot(0, "it ends here")

    monkeypatch.setattr(peer.engine.scripts, "start_for_functions", start_and_note)
    gc.disable()  # it would find the Lua later
    try:
        with pytest.raises(BadSnapshot):
            list(Following(peer.engine, "127.0.0.1:1").replace(torn()))
        assert [lua() for lua in started] == [None]
    finally:
        gc.enable()
    assert [peer.ask("FCALL one 0"), peer.ask("FCALL stock 1 k")] == [":1", "-ERR Function not found"]


@with_lua
def test_a_replica_that_wants_only_functions_gets_no_keys() -> None:
    peer = loaded(LIBRARY, OTHER)
    peer.ask("SET k v")
    peer.ask("CONFIG SET repl-diskless-sync-delay 0")
    chosen(peer)
    expected = {"functions": [LIBRARY, OTHER], "": []}
    for wanted, codes in expected.items():
        played = Played(peer, "REPLCONF capa eof", f'REPLCONF rdb-filter-only "{wanted}"')
        played.ask("SYNC")
        mark = played.until(rb"\$EOF:(.{40})\r\n")
        data = played.until(re.escape(mark[0]) + rb"(.*)" + mark[1])[1]
        found = [args for _, args in read_snapshot(Cursor(data))]
        assert found == [[b"FUNCTION", b"LOAD", code.encode()] for code in codes]
        played.leave()


# Functions that do not end


@with_lua
@pytest.mark.parametrize("name", ["final", "redis"])
def test_function_kill_ends_a_function_and_script_kill_does_not(name: str) -> None:
    with start(name, "--busy-reply-threshold", "50") as server:
        client, other = server.connect(), server.connect()
        fill(client, [["FUNCTION", "LOAD", ENDLESS]])
        busy = b"-BUSY Redis is busy running a script. You can only call %b KILL or SHUTDOWN NOSAVE.\r\n"
        for function in ("forever", "caught"):
            client.send(request("FCALL", function, 0, "argument"))
            await_busy(other)
            for refused in (
                ["PING"],
                ["SCRIPT", "KILL"],
                ["FUNCTION", "LIST"],
                ["FCALL", "forever", 0],
                ["EVAL", "", 0],
            ):
                other.check(request(*refused), busy % b"FUNCTION")
            stats: Any = other.ask("FUNCTION", "STATS")
            assert stats[1][:5] == [b"name", function.encode(), b"command", stats[1][3], b"duration_ms"]
            assert stats[1][3] == [b"FCALL", function.encode(), b"0", b"argument"] and stats[1][5] >= 50
            other.check(request("FUNCTION", "KILL"), b"+OK\r\n")
            killed = (
                rf"-ERR Script killed by user with SCRIPT KILL\.\.\. script: {function}, on @user_function:[24]\.\r\n"
            )
            assert re.fullmatch(killed.encode(), client.read_reply())
        client.send(request("EVAL", "while true do end", 0))
        await_busy(other)
        for refused in (["FUNCTION", "KILL"], ["FUNCTION", "STATS"]):
            other.check(request(*refused), busy % b"SCRIPT")
        other.check(request("SCRIPT", "KILL"), b"+OK\r\n")
        client.read_reply()
        fill(client, [["MULTI"], ["FCALL", "written", 0]])
        client.send(request("EXEC"))
        await_busy(other)
        for kind in ("FUNCTION", "SCRIPT"):
            assert str(other.ask(kind, "KILL")).startswith(
                "UNKILLABLE Sorry the script already executed write commands"
            )
        other.send(request("SHUTDOWN", "NOSAVE"))
        assert server.wait() == 0


def await_busy(client: Client) -> None:
    deadline = time.monotonic() + 60
    while "BUSY" not in str(client.ask("PING")):
        assert time.monotonic() < deadline, "the server does not say that it is busy"


@with_lua
def test_a_library_that_loads_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = loaded(OTHER)
    monkeypatch.setattr("final.engine.functions.LOAD_TIMEOUT", 0.02)
    endless = b"#!lua name=other\nredis.register_function('two', function() return 2 end) while true do end"
    for _ in range(2):
        answer = shown(peer.sent([b"FUNCTION", b"LOAD", b"REPLACE", endless]))
        assert answer == "-ERR Error registering functions: ERR FUNCTION LOAD timeout"
        assert [peer.ask("FCALL one 0"), peer.ask("FCALL two 0")] == [":1", "-ERR Function not found"]


@with_lua
def test_a_log_whose_library_does_not_end_keeps_the_server_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("final.engine.functions.LOAD_TIMEOUT", 0.002)
    write_log(tmp_path, incr=request("FUNCTION", "LOAD", "#!lua name=n\nwhile true do end"))
    with pytest.raises(CorruptLog, match="ERR FUNCTION LOAD timeout"):
        opened(tmp_path)


# Hostile input


@with_lua
def test_a_damaged_dump_changes_nothing() -> None:
    peer = loaded(OTHER)
    dump = dump_functions([LIBRARY.encode()], compressed=True)
    for at in range(len(dump)):
        for damaged in (dump[:at], dump[:at] + bytes([dump[at] ^ 0xFF]) + dump[at + 1 :]):
            answer = shown(peer.sent([b"FUNCTION", b"RESTORE", damaged, b"FLUSH"]))
            assert answer == "-ERR DUMP payload version or checksum are wrong"
    assert peer.engine.functions.codes == [OTHER.encode()] and peer.ask("FCALL one 0") == ":1"


@with_lua
@pytest.mark.slow
def test_a_dump_whose_damage_the_checksum_does_not_show_is_loaded_as_redis_loads_it(real: OverTheWire) -> None:
    peer = InProcess()
    plain, packed = (dump_functions([code.encode()], True)[:-10] for code in (OTHER, LIBRARY))
    assert len(packed) < len(LIBRARY)
    for data in (plain, packed, b"\xf6\x01a\x03LUA\x00" + plain[1:]):
        damaged = [data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :] for at in range(len(data)) for bit in (1, 0x40)]
        requests = [each for one in damaged for each in (restored(one), [b"FUNCTION", b"LIST", b"WITHCODE"])]
        for args, ours, theirs in zip(requests, peer.ask_all(requests), real.ask_all(requests), strict=True):
            assert alike(ours, theirs), args


def restored(data: bytes) -> list[bytes]:
    """A request that restores this, the beginning of a dump of Redis 7.0, in place of all."""
    whole = data + b"\x0a\x00"
    return [b"FUNCTION", b"RESTORE", whole + crc64(whole).to_bytes(8, "little"), b"FLUSH"]


def alike(ours: bytes, theirs: bytes) -> bool:
    """Whether replies are the same, but for the order of libraries and functions, and for which of them is named."""
    told = [re.sub(rb"(Library|Function) '?\w+'? already", rb"\1 already", reply) for reply in (ours, theirs)]
    return told[0] == told[1] or ordered(parse(ours)[0]) == ordered(parse(theirs)[0])


def ordered(value: Any) -> Any:
    """A value whose lists are sorted; maps and sets become lists."""
    items = value.items() if isinstance(value, dict) else value
    return sorted(map(ordered, items), key=repr) if isinstance(value, (list, tuple, dict, set, frozenset)) else value


@with_lua
def test_huge_names_and_libraries(real: OverTheWire) -> None:
    peer, name = InProcess(), b"n" * 100_000
    code = b"#!lua name=%b\nredis.register_function('%b', function() return 1 end)" % (name, name)
    many = b"#!lua name=many\nlocal function one() return 1 end\n"
    many += b"\n".join(b"redis.register_function('f%d', one)" % number for number in range(1000))
    requests = [
        [b"FUNCTION", b"LOAD", code],
        [b"FCALL", name, b"0"],
        [b"FUNCTION", b"LOAD", b"REPLACE", code.replace(b"name=n", b"name=-", 1)],
        [b"FUNCTION", b"LOAD", b"#!lua " + b"x" * 1000 + b"\n"],
        [b"FUNCTION", b"LOAD", many],
        [b"FCALL", b"f999", b"0"],
        [b"FUNCTION", b"STATS"],
        [b"FUNCTION", b"DELETE", name],
        [b"FCALL", b"f0", b"0"],
    ]
    assert peer.ask_all(requests) == real.ask_all(requests)


@with_lua
@pytest.mark.parametrize(
    "rest",
    [
        "redis.register_function('x', function() end) nosuch()",
        "redis.register_function('x', function() end) redis.register_function('x', function() end)",
        "redis.register_function('one', function() end)",
        "redis.register_function('x', function() end",
        "local t = 'x' while true do t = t .. t end",
        "local function f() return 1 + f() end f()",
    ],
)
def test_a_library_that_fails_leaves_nothing(rest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("final.lua.interpreter.MOST_MEMORY", 16 << 20)
    peer = loaded(OTHER, "#!lua name=failing\nredis.register_function('before', function() return 2 end)")
    before, changes = peer.sent([b"FUNCTION", b"LIST", b"WITHCODE"]), peer.engine.unit.changes
    assert peer.sent([b"FUNCTION", b"LOAD", b"REPLACE", f"#!lua name=failing\n{rest}".encode()]).startswith(b"-ERR ")
    assert alike(peer.sent([b"FUNCTION", b"LIST", b"WITHCODE"]), before)
    assert [peer.ask("FCALL before 0"), peer.ask("FCALL one 0"), peer.ask("FCALL x 0")] == [
        ":2",
        ":1",
        "-ERR Function not found",
    ]
    assert peer.engine.unit.changes == changes


@with_lua
def test_a_bug_of_ours_is_no_error_of_the_library() -> None:
    def log(level: int, text: str) -> None:
        raise KeyError("a bug")

    interpreter = FunctionInterpreter(lambda: False, log)
    with pytest.raises(KeyError, match="a bug"):
        interpreter.load_library(b"\nredis.log(redis.LOG_NOTICE, 'x')")
    with pytest.raises(ReplyError, match="nosuch"):
        interpreter.load_library(b"\nnosuch()")
    (function,) = interpreter.load_library(b"\nredis.register_function('one', function() return 1 end)")
    assert interpreter.invoke(function, [], []) == 1


@with_lua
def test_a_library_may_have_functions_whose_names_differ_in_case() -> None:
    peer = loaded(
        "#!lua name=l\n" + "\n".join(f"redis.register_function('{x}', function() return '{x}' end)" for x in "xX")
    )
    assert [peer.ask("FCALL x 0"), peer.ask("FCALL X 0")] == ["$1 x", "$1 x"]
    assert [peer.ask("FUNCTION DELETE l"), peer.ask("FCALL x 0")] == ["+OK", "-ERR Function not found"]


# What a user may


@with_lua
def test_a_function_may_do_what_its_user_may(real: OverTheWire) -> None:
    code = (
        "#!lua name=l\n"
        "redis.register_function('get', function(keys) return redis.call('get', keys[1]) end)\n"
        "redis.register_function('may', function(keys, args) return redis.acl_check_cmd(unpack(args)) end)"
    )
    lines: list[list[str]] = [
        ["FUNCTION", "LOAD", code],
        ["ACL", "SETUSER", "guest", "on", "nopass", "+@all", "-function", "-set", "~a*"],
        ["AUTH", "guest", "x"],
        ["FCALL", "get", "1", "abc"],
        ["FCALL", "get", "1", "b"],
        ["FCALL", "get", "0"],
        ["FCALL", "may", "0", "get", "abc"],
        ["FCALL", "may", "0", "get", "b"],
        ["FCALL", "may", "0", "set", "a", "1"],
        ["FUNCTION", "LIST"],
        ["FUNCTION", "LOAD", code],
        ["AUTH", "default", ""],
        ["ACL", "SETUSER", "guest", "-@scripting", "+fcall", "+function|list"],
        ["AUTH", "guest", "x"],
        ["FCALL", "may", "0", "get", "abc"],
        ["FCALL_RO", "may", "0", "get", "abc"],
        ["EVAL", "return 1", "0"],
        ["FUNCTION", "STATS"],
        ["FUNCTION", "FLUSH"],
        ["AUTH", "default", ""],
        ["ACL", "DELUSER", "guest"],
    ]
    requests = [[arg.encode() for arg in line] for line in lines]
    for args, ours, theirs in zip(requests, InProcess().ask_all(requests), real.ask_all(requests), strict=True):
        assert ours == theirs, args


@with_lua
@pytest.mark.parametrize("option", ["min-replicas-to-write", "maxmemory"])
def test_what_the_flags_forbid_is_refused_when_redis_refuses_it(real: OverTheWire, option: str) -> None:
    code = "#!lua name=l\n" + "\n".join(
        f"redis.register_function{{function_name='f{number}', flags={{{flags}}}, callback=function() {body} end}}"
        for number, (flags, body) in enumerate(
            [
                ("", "return redis.call('set', 'k', 'v')"),
                ("'no-writes'", "return redis.call('get', 'k')"),
                ("'no-writes'", "return redis.call('set', 'k', 'v')"),
                ("'allow-oom'", "return redis.call('set', 'k', 'v')"),
                ("'allow-stale', 'no-cluster'", "return 1"),
            ]
        )
    )
    calls = [[name, f"f{number}", "0"] for name in ("FCALL", "FCALL_RO") for number in range(6)]
    calls += [["EVAL", f"#!lua{flags}\nreturn 1", "0"] for flags in ("", " flags=no-writes", " flags=allow-oom")]
    queued = [each for call in calls for each in (["MULTI"], call, ["EXEC"])]
    lines = [["FUNCTION", "LOAD", code], ["CONFIG", "SET", option, "1"], *calls, *queued, ["FUNCTION", "LOAD", code]]
    requests = [[arg.encode() for arg in line] for line in [*lines, ["CONFIG", "SET", option, "0"]]]
    for args, ours, theirs in zip(requests, InProcess().ask_all(requests), real.ask_all(requests), strict=True):
        assert ours == theirs, args


@with_lua
def test_info_counts_functions_and_their_memory() -> None:
    peer = loaded(LIBRARY)
    peer.ask("EVAL 'return 1' 0")
    text = peer.sent([b"INFO", b"memory"]).decode()
    found = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    assert (found["number_of_libraries"], found["number_of_functions"]) == ("1", "2")
    assert int(found["used_memory_functions"]) == len(LIBRARY)
    assert int(found["used_memory_vm_functions"]) > 0 < int(found["used_memory_vm_eval"])


# Anything, beside a real Redis


@pytest.fixture(scope="module")
def redis() -> Iterator[Shared]:
    with Shared(redis_server) as redis:
        yield redis


@pytest.fixture
def real(redis: Shared) -> OverTheWire:
    """A new client of a real Redis that holds nothing."""
    return OverTheWire(redis.clean().connect())


NAMES = st.sampled_from(["a", "b", "A", "long_1"])
BODIES = st.sampled_from(
    [
        *(
            "return 1",
            "return {keys, args}",
            "return redis.call('incr', keys[1])",
            "return redis.pcall('get', keys[1])",
        ),
        *("local x = redis.call('lpush', 'k', 1) return x", "return #keys + #args", "return nosuch", "redis.nosuch()"),
        *(
            "error('x')",
            "error({err='A b'})",
            "return {err='A b'}",
            "return {ok='fine'}",
            "return redis.status_reply('x')",
        ),
        *(
            "redis.register_function('x', 1)",
            "return string.format('%d', 3)",
            "x = 1",
            "return unpack(args)",
            "return nil",
        ),
        *("redis.setresp(3) return redis.call('hgetall', keys[1])", "redis.call('set', 'k', 'v') error('late')"),
    ]
)
FLAGS = st.lists(st.sampled_from(["no-writes", "allow-oom", "NO-WRITES", "allow-stale", "x", "no-cluster"]), max_size=2)
PLAIN = st.builds("redis.register_function('{}', function(keys, args) {} end)".format, NAMES, BODIES)


def named(name: str, body: str, flags: list[str], description: str | None) -> str:
    about = "" if description is None else f", description='{description}'"
    listed = ", ".join(map(repr, flags))
    call = f"callback=function(keys, args) {body} end"
    return f"redis.register_function{{function_name='{name}', {call}, flags={{{listed}}}{about}}}"


NAMED = st.builds(named, NAMES, BODIES, FLAGS, st.sampled_from([None, "", "what it does"]))
ODD = st.sampled_from(
    [
        *(
            "nosuch()",
            "local x = 1",
            "redis.call('get', 'k')",
            "redis.register_function('f-', function() end)",
            "x = 1",
        ),
        *("redis.register_function()", "redis.register_function(1, function() end)", "return 1 +"),
    ]
)
TEXTS = st.builds(
    lambda first, name, statements: f"#!{first} name={name}\n" + "\n".join(statements),
    st.sampled_from(["lua", "lua", "LUA", "js"]),
    NAMES,
    st.lists(PLAIN | PLAIN | NAMED | ODD, max_size=3),
)
# Redis crashes when it deletes a library with functions whose names differ only in lower and upper case.
CODES = TEXTS.filter(lambda code: not {"'a'", "'A'"} <= {*re.findall("'[aA]'", code)}).map(str.encode)
CALLS = st.builds(
    lambda name, function, arguments: [name, function.encode(), *arguments],
    st.sampled_from([b"FCALL", b"FCALL_RO", b"fcall"]),
    NAMES,
    st.lists(st.sampled_from([b"0", b"1", b"2", b"k", b"-1", b"x"]), min_size=1, max_size=4),
)
REQUESTS = st.one_of(
    st.builds(lambda replace, code: [b"FUNCTION", b"LOAD", *replace, code], st.sampled_from([[], [b"REPLACE"]]), CODES),
    st.builds(lambda name: [b"FUNCTION", b"DELETE", name.encode()], NAMES),
    st.builds(
        lambda codes, policy: [b"FUNCTION", b"RESTORE", dump_functions(codes, compressed=False), *policy],
        st.lists(CODES, max_size=2),
        st.sampled_from([[], [b"APPEND"], [b"replace"], [b"FLUSH"], [b"x"]]),
    ),
    CALLS,
    CALLS,
    st.sampled_from([[b"FUNCTION", b"STATS"], [b"MULTI"], [b"EXEC"], [b"FUNCTION", b"FLUSH"]]),
    st.builds(lambda name, code: [b"FUNCTION", b"LIST", *name, *code],
              st.sampled_from([[], [b"LIBRARYNAME", b"*"], [b"libraryname", b"A"], [b"libraryname"]]),
              st.sampled_from([[], [b"WITHCODE"], [b"x"]])),
)  # fmt: skip


@with_lua
def test_any_sequence_has_the_same_replies(redis: Shared) -> None:
    client = redis.clean().connect()
    peer, real = InProcess(), OverTheWire(client)
    looks = [[b"DISCARD"], [b"FUNCTION", b"LIST", b"WITHCODE"], [b"GET", b"k"]]
    clear = [[b"HELLO", b"2"], [b"FUNCTION", b"FLUSH"], [b"FLUSHALL"]]

    @settings(max_examples=EXAMPLES // 3, deadline=None)
    @given(st.sampled_from([b"2", b"3"]), st.lists(REQUESTS, max_size=20))
    def holds(version: bytes, sequence: list[list[bytes]]) -> None:
        requests = [[b"HELLO", version], *sequence, *looks, *clear]
        for args, ours, theirs in zip(requests, peer.ask_all(requests), real.ask_all(requests), strict=True):
            if args[0] != b"HELLO":
                assert alike(ours, theirs), f"{args}: {shown(ours)}, but Redis: {shown(theirs)}"

    holds()
