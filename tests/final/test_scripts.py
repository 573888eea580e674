"""Scripts beyond what they answer, which the transcripts say: the sandbox, those that do not end, and no Lua at all."""

from __future__ import annotations

import gc
import re
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from final.lua.interpreter import Interpreter
from final.protocol.errors import ReplyError
from final.protocol.writer import Value, encode
from final.server_log import LEVELS
from stages.harness.server import Server
from stages.harness.wire import Client, request
from tests.support.oracle import InProcess, final_server, redis_server
from tests.support.scripts import evaluate

pytest.importorskip("lupa")
ENDLESS = "while true do end"


def nested(depth: int, innermost: Value) -> Value:
    """A list in a list in a list …"""
    for _ in range(depth):
        innermost = [innermost]
    return innermost


# The sandbox

GLOBALS = {
    *("_G", "_VERSION", "KEYS", "ARGV", "assert", "collectgarbage", "error", "getmetatable", "ipairs", "load"),
    *("loadstring", "next", "pairs", "pcall", "rawequal", "rawget", "rawset", "select", "setmetatable", "tonumber"),
    *("tostring", "type", "unpack", "xpcall", "string", "table", "math", "coroutine", "redis", "cjson", "bit"),
    *("cmsgpack", "struct", "gcinfo"),
}
WALK = """
local seen, kinds = {}, {}
local function walk(value, path)
    if seen[value] then return end
    if type(value) ~= "nil" then seen[value] = true end
    if type(value) == "userdata" then kinds[#kinds + 1] = path end
    if type(value) ~= "table" then return end
    if getmetatable(value) then walk(getmetatable(value), path .. "<meta>") end
    for key, item in pairs(value) do walk(key, path .. "<key>") walk(item, path .. "." .. tostring(key)) end
end
walk(_G, "_G") walk(getmetatable(""), "string") walk(coroutine.create(function() end), "coroutine")
return kinds
"""


def test_a_script_reaches_what_it_may_and_nothing_else() -> None:
    found = evaluate("local names = {} for name in pairs(_G) do names[#names + 1] = name end return names")
    assert isinstance(found, list)
    assert {name.decode() for name in found if isinstance(name, bytes)} == GLOBALS


def test_no_python_object_is_anywhere_in_reach() -> None:
    assert evaluate(WALK) == [b"_G.cjson.null"]  # a thing of Lua's: it has no members, and is only equal to itself
    assert evaluate("return cjson.null.x") == "ERR user_script:1: attempt to index field 'null' (a userdata value)"
    assert evaluate("return tostring(getmetatable(cjson.null))") == b"nil"


@pytest.mark.parametrize(
    "catch",
    [
        "local _, e = pcall(redis.call, 'boom') return type(e)",
        "return type(redis.pcall('boom'))",
        "local _, e = xpcall(function() redis.call('boom') end, function(e) return type(e) end) return e",
        "local _, e = coroutine.resume(coroutine.create(function() redis.call('boom') end)) return type(e)",
        "local _, e = pcall(coroutine.wrap(function() redis.call('boom') end)) return type(e)",
        "return type(setmetatable({}, {__index = function() return redis.pcall('boom') end}).x)",
    ],
)
def test_a_bug_of_ours_is_no_value_that_a_script_could_catch(catch: str) -> None:
    def call(args: list[bytes], resp: int) -> Value:
        raise KeyError("a bug")

    interpreter = Interpreter(lambda: False, lambda level, text: None)
    interpreter.run_command = call
    with pytest.raises(KeyError, match="a bug"):
        interpreter.run(interpreter.load(catch.encode()), [], [])


@pytest.mark.parametrize("wrap", ["%s", "pcall(function() %s end)", "coroutine.wrap(function() %s end)()"])
def test_a_bug_in_the_hook_ends_the_script(wrap: str) -> None:
    def check() -> bool:
        raise KeyError("a bug")

    interpreter = Interpreter(check, lambda level, text: None)
    with pytest.raises(KeyError, match="a bug"):
        interpreter.run(interpreter.load((wrap % ENDLESS).encode()), [], [])


SHARED = ["redis", "string", "table", "math", "coroutine", "cjson", "bit", "_G"]
CHANGES = [
    "{0}.x = 1",
    "rawset({0}, 'x', 1)",
    "setmetatable({0}, {{}})",
    "table.insert({0}, 1)",
    "table.remove({0})",
    "table.sort({0})",
    "for name in pairs({0}) do {0}[name] = nil end",
    "getmetatable({0}).__index.x = 1",
    "local find = next find({0}) {0}[find({0})] = 1",
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", SHARED)
def test_what_scripts_share_cannot_be_changed(name: str, change: str) -> None:
    refused = evaluate(change.format(name))
    assert isinstance(refused, str) and ("readonly" in refused or "attempt to index" in refused)


def test_a_script_finds_nothing_of_another_one() -> None:
    peer = InProcess()
    evaluate("local t = KEYS t[1] = 'left' ARGV[1] = 'left' getmetatable('')", b"x", peer=peer)
    assert evaluate("return {#KEYS, #ARGV, tostring(rawget(_G, 'x'))}", peer=peer) == [0, 0, b"nil"]
    assert evaluate("redis.setresp(3)", peer=peer) is None
    assert evaluate("return type(redis.call('get', 'missing'))", peer=peer) == b"boolean"


@pytest.mark.parametrize(
    "load",
    [
        r"loadstring('\27Lua')",
        r"load(function() if given then return end given = true return '\27Lua' end)",
    ],
    ids=["a string", "a function"],
)
def test_bytecode_is_not_loaded(load: str) -> None:
    answer = evaluate(f"local given local script, problem = {load} return {{tostring(script), problem}}")
    assert answer == [b"nil", b"bytecode is not allowed"]


def test_bytecode_is_not_run() -> None:
    assert evaluate(b"\x1bLua") == "ERR Error compiling script (new function): bytecode is not allowed"


@pytest.mark.parametrize(
    "script",
    [
        "return setmetatable({}, {__index = function() error('x') end})",
        "return setmetatable({}, {__index = function(t, k) return k end})",
        "return setmetatable({}, {__tostring = function() error('x') end, __call = function() error('y') end})",
        "return coroutine.create(function() end)",
        "return {coroutine.wrap(function() end)}",
        "return {ok = setmetatable({}, {__tostring = function() error('x') end})}",
        "return {map = setmetatable({}, {__pairs = function() error('x') end})}",
        "return {double = cjson.null}",
        "return cjson.null",
    ],
)
def test_strange_values_make_plain_answers(script: str) -> None:
    assert evaluate(script) in (None, [], {}, [None])


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("error({})", "ERR unknown error"),
        ("error({err = {}})", "table"),
        ("error(setmetatable({}, {__index = function() error('x') end}))", "ERR unknown error"),
        ("error(setmetatable({}, {__tostring = function() error('x') end}))", "ERR unknown error"),
        ("error(cjson.null)", "ERR unknown error"),
        ("error(nil)", "ERR nil"),
        ("error(print)", "ERR user_script:1: Script attempted to access nonexistent global variable 'print'"),
        ("local t = {} t.t = t return t", []),
        ("local t = {} t[1] = t return t", nested(1000, ReplyError("ERR reached lua stack limit"))),
        ("local t = {} for i = 1, 999 do t = {t} end return t", nested(999, [])),
        ("return {map = {[{{}}] = {1}}}", {((),): [1]}),
        ("return {set = {[{{}}] = true}}", {((),)}),
        ("return {big_number = ('1'):rep(5000)}", []),
        (
            "local t = {} t[1] = t return {pcall(cjson.encode, t)}",
            [None, b"Cannot serialise, excessive nesting (1001)"],
        ),
        (
            "return {pcall(cjson.decode, ('['):rep(100000))}",
            [None, b"Found too many nested data structures (1001) at character 1001"],
        ),
        ("return #cjson.encode(cjson.decode(('['):rep(1000) .. (']'):rep(1000)))", 2000),
        ("return cjson.encode({[2^31] = 2})", b'{"2147483648":2}'),
        ("return {bit.tobit(0/0), bit.tobit(1/0), bit.tobit(2^52 + 0.5), bit.tobit(1e16)}", [0, 0, 0, 937459712]),
        ("local function f() return 1 + f() end f()", "stack overflow"),
        ("local function f() pcall(f) end f()", None),
        ("local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x", "loop in gettable"),
        ("local t = 'x' while true do t = t .. t end", "not enough memory"),
        ("return #string.rep('xxxxxxxx', 2^24)", "not enough memory"),
        ("return unpack({}, 1, 1e8)", "too many results to unpack"),
        ("return {string.rep('x', -1), string.rep('', 1e6)}", [b"", b""]),
    ],
)
def test_what_is_too_much_is_an_error_and_the_next_script_runs(
    script: str, expected: Value, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("final.lua.interpreter.MOST_MEMORY", 64 << 20)
    peer = InProcess()
    answer = evaluate(script, peer=peer)
    assert answer == expected or repr(answer) == repr(expected) or (type(expected) is str and expected in str(answer))
    encode(answer)
    assert evaluate("return {1, 'x'}", peer=peer) == [1, b"x"]


def test_without_lupa_scripts_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("lupa")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lupa", None)  # as if it were not installed
    assert evaluate("return 1") == "ERR scripts need the Python package lupa: pip install lupa"
    peer = InProcess()
    assert peer.ask("SCRIPT EXISTS abc") == "*1 :0" and peer.ask("SET k v") == "+OK"


# Scripts that do not end


@pytest.fixture(params=["final", "redis"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that says early that it is busy."""
    start = final_server if request.param == "final" else redis_server
    with start("--busy-reply-threshold", "50", "--enable-debug-command", "yes") as running:
        yield running


def run_forever(server: Server, script: str = ENDLESS) -> Client:
    """A client whose script runs, and is known to do so."""
    client, other = server.connect(), server.connect()
    other.ask("PING")
    client.send(request("EVAL", script, 0))
    deadline = time.monotonic() + 60
    while b"BUSY" not in other_reply(other, "PING"):
        assert time.monotonic() < deadline, "the server does not say that it is busy"
    return client


def other_reply(client: Client, *args: str) -> bytes:
    """The bytes of a reply."""
    client.send(request(*args))
    return client.read_reply()


BUSY = b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"
KILLED = b"Script killed by user with SCRIPT KILL"
UNSTOPPABLE = [
    ENDLESS,
    "while true do pcall(function() while true do end end) end",
    "while true do xpcall(function() while true do end end, function(e) while true do end end) end",
    "coroutine.wrap(function() while true do end end)()",
    "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
    "while true do pcall(coroutine.wrap(function() while true do end end)) end",
    "while true do pcall(error, setmetatable({}, {__index = function() while true do end end})) end",
    "local t = setmetatable({}, {__tostring = function() while true do end end}) tostring(t)",
    "while true do redis.pcall('get', 'k') end",
    "while true do redis.pcall('nosuch') end",
    "table.sort({3, 2, 1}, function() while true do end end)",
    "('x'):gsub('x', function() while true do end end)",
]


@pytest.mark.parametrize("script", UNSTOPPABLE)
def test_a_script_is_stopped_whatever_it_does(script: str) -> None:
    asked = [0]

    def check() -> bool:
        asked[0] += 1
        return asked[0] > 3

    interpreter = Interpreter(check, lambda level, text: None)
    answer = interpreter.run(interpreter.load(script.encode()), [], [])
    assert isinstance(answer, ReplyError) and KILLED.decode() in str(answer)


def test_script_kill_ends_a_script_and_meanwhile_others_hear_that_we_are_busy(server: Server) -> None:
    early = server.connect()
    early.ask("SET", "k", "v")
    client = run_forever(server)
    for other in (early, server.connect(), server.connect()):  # the last two came only then
        other.check(request("GET", "k"), BUSY)
        assert other_reply(other, "NOSUCH").startswith(b"-ERR unknown command")
        other.check(request("SCRIPT", "LOAD", "return 1"), BUSY)
        other.check(request("MULTI"), b"+OK\r\n")
        other.check(request("GET", "k"), BUSY)
        assert other_reply(other, "EXEC").startswith(b"-EXECABORT")
    server.connect().check(request("SCRIPT", "KILL"), b"+OK\r\n")
    assert KILLED in client.read_reply()
    client.check(request("GET", "k"), b"$1\r\nv\r\n")
    early.check(request("GET", "k"), b"$1\r\nv\r\n")
    server.connect().check(request("SCRIPT", "KILL"), b"-NOTBUSY No scripts in execution right now.\r\n")


def test_who_comes_while_a_script_runs_is_a_client_like_any_other_after_it(server: Server) -> None:
    client = run_forever(server)
    guest, gone = server.connect(), server.connect()
    guest.check(request("PING"), BUSY)
    gone.check(request("PING"), BUSY)
    gone.close()
    guest.check(request("SCRIPT", "KILL"), b"+OK\r\n")
    client.read_reply()
    guest.check(request("SET", "big", "x" * 300_000), b"+OK\r\n")
    guest.check(request("GET", "big"), b"$300000\r\n" + b"x" * 300_000 + b"\r\n")
    guest.check(request("BLPOP", "nothing", "0.01"), b"*-1\r\n")
    guest.check(request("QUIT"), b"+OK\r\n")
    guest.expect_closed()


def test_a_script_that_has_written_cannot_be_killed_and_shutdown_nosave_ends_the_server(server: Server) -> None:
    client = run_forever(server, "redis.call('set', 'k', 1) " + ENDLESS)
    other = server.connect()
    assert other_reply(other, "SCRIPT", "KILL").startswith(
        b"-UNKILLABLE Sorry the script already executed write commands against the dataset."
    )
    other.check(request("GET", "k"), BUSY)
    other.send(request("SHUTDOWN", "NOSAVE"))
    assert server.wait() == 0
    client.expect_closed()


def test_who_was_answered_just_before_a_script_began_hears_it(server: Server) -> None:
    before, client, slow = server.connect(), server.connect(), server.connect()
    for _ in range(4):  # which of two clients is read first is up to the system
        slow.send(request("DEBUG", "SLEEP", "0.1"))  # meanwhile two requests come, and have the same turn of the loop
        before.send(request("PING"))
        client.send(request("EVAL", ENDLESS, 0))
        assert before.read_reply() in (b"+PONG\r\n", BUSY)
        while before.ask("SCRIPT", "KILL") != "OK":  # it has not begun yet
            pass
        for each in (client, slow):
            each.read_reply()


def test_sigterm_ends_the_server_while_a_script_runs(server: Server) -> None:
    run_forever(server)
    if server.target.is_redis:
        pytest.skip("Redis 7.0 goes on until the script has ended")
    assert server.stop(signal.SIGTERM) == 0


def test_what_was_answered_before_is_in_the_log_when_a_script_had_to_be_ended_with_the_server(tmp_path: Path) -> None:
    with final_server("--busy-reply-threshold", "50", data=tmp_path) as server:
        server.connect().check(request("SET", "kept", "v"), b"+OK\r\n")
        run_forever(server, "redis.call('set', 'lost', 1) " + ENDLESS)
        assert server.stop(signal.SIGTERM) == 0
    with final_server(data=tmp_path) as server:
        client = server.connect()
        assert (client.ask("GET", "kept"), client.ask("GET", "lost")) == (b"v", None)


# Memory

FILL = "local t = {} pcall(function() for i = 1, 1e9 do t[i] = ('x'):rep(i % 100) .. i end end) "
HUNGRY = [
    "local t = {} for i = 1, 1e9 do t[i] = 's' .. i end",
    FILL + "return t",
    FILL + "return redis.pcall('get', 'k')",
    FILL + "return {pcall(redis.call, 'lrange', 'l', 0, -1)}",
    FILL + "for i = 1, 100 do pcall(redis.call, 'get', 'k') end",
    "local t = {} for i = 1, 1e9 do t[i] = redis.call('lrange', 'l', 0, -1) end",
    "local t = {} for i = 1, 1e9 do t[i] = cjson.decode('[[], [], {}, {}]') end",
    "return cjson.decode('[' .. ('[],'):rep(1e6) .. '1]')",
    "for i = 1, 1e9 do KEYS['k' .. i] = i end",
    "local t = {} for i = 1, 1e9 do t[i] = coroutine.wrap(function() coroutine.yield() end) t[i]() end",
    "local s = 'x' while true do s = s:gsub('x', 'xx') end",
    "error(('x'):rep(1e7))",
    "local t = {} for i = 1, 40 do t = {t, t} end return t",
    "local t = {} for i = 1, 40 do t = {t, t} end return cjson.encode(t)",
    "local t = {} for i = 1, 40 do t = {map = {[t] = t}} end return t",
    "local t = {} for i = 1, 40 do t = {set = {[t] = true, [{t}] = true}} end return t",
    "local s, t = ('x'):rep(1e6), {} for i = 1, 100 do t[i] = s end return t",
    "local s, t = ('x'):rep(1e6), {} for i = 1, 100 do t[i] = {err = s} end return t",
    "local t = {} for i = 1, 1e9 do t[i] = loadstring('return ' .. i) end",
]


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> InProcess:
    """A server whose scripts have little memory, and where Python frees nothing but what nobody refers to."""
    monkeypatch.setattr("final.lua.interpreter.MOST_MEMORY", 4 << 20)
    peer = InProcess()
    peer.engine.execute(peer.client, [b"RPUSH", b"l", *[b"value %d" % number for number in range(20_000)]])
    return peer


def held(peer: InProcess) -> int:
    """Bytes that Lua holds."""
    lua = peer.engine.scripts._lua
    assert lua is not None
    return int(lua._lua.get_memory_used())


@pytest.mark.parametrize("script", HUNGRY)
def test_after_a_script_that_ran_out_of_memory_the_next_one_has_it_all(script: str, little: InProcess) -> None:
    answer = evaluate(script, peer=little)
    assert "memory" in repr(answer) or answer is None or answer is True, repr(answer)[:100]
    assert evaluate("return 1", peer=little) == 1
    assert evaluate("return #('x'):rep(1e6)", peer=little) == 1_000_000
    assert held(little) < 3 << 20


def test_a_text_that_takes_too_much_to_compile_is_refused(little: InProcess) -> None:
    refused = evaluate("return 1 --" + "x" * (5 << 20), peer=little)
    assert "not enough memory" in str(refused)
    assert evaluate("return 1", peer=little) == 1


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("return {collectgarbage('stop'), collectgarbage('restart')}", [0, 0]),
        ("return {collectgarbage('setpause', 50), collectgarbage('setpause', 1e6), collectgarbage('setpause')}",
         [200, 50, 1_000_000]),
        ("return {collectgarbage('setstepmul', 0), collectgarbage('setstepmul', 0)}", [200, 0]),
    ],
)  # fmt: skip
def test_no_script_changes_the_collector_for_others(script: str, expected: Value, little: InProcess) -> None:
    for _ in range(2):
        assert evaluate(script, peer=little) == expected
    garbage = "for i = 1, 2000 do local x = ('x'):rep(10000) .. i end return 'done'"  # 20 MB of it
    assert evaluate(garbage, peer=little) == b"done"


def test_what_scripts_held_is_freed_by_script_flush_at_once(little: InProcess) -> None:
    evaluate("return 1", peer=little)
    lua = little.engine.scripts._lua
    assert lua is not None
    interpreter = weakref.ref(lua)
    del lua
    gc.disable()
    try:
        assert little.ask("SCRIPT FLUSH") == "+OK"
        assert interpreter() is None
    finally:
        gc.enable()
    assert evaluate("return 1", peer=little) == 1


@pytest.mark.parametrize(("search", "quantifier"), [("find", "?"), ("match", "*"), ("gsub", "+"), ("gmatch", "-")])
def test_a_pattern_that_would_take_more_stack_than_there_is_is_refused(search: str, quantifier: str) -> None:
    """One that is not refused ends the process, so it runs in a process of its own."""
    script = f"local f = string.{search}(('a'):rep(2e5), ('a{quantifier}'):rep(2e5), '') return f()"
    code = f"from tests.support.scripts import evaluate; print(evaluate({script!r}))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert ran.stdout == "ERR user_script:1: pattern too complex\n", ran.stderr


FAILING = [
    *("return redis.call('nope')", "redis.pcall('nope')", "pcall(redis.call, 'nope')", "redis.pcall('get')"),
    *("redis.pcall('eval', 'return 1', 0)", "redis.pcall('set', 'k', 'v', 'NONO')", "redis.pcall()", "redis.call()"),
    *("return redis.call('incr', 's')", "redis.pcall('incr', 's')", "return redis.pcall('incr', 's')"),
    *("local e = redis.pcall('incr', 's') return {e, e}", "error(redis.pcall('incr', 's'))", "error('x')", "return x"),
    *("return redis.error_reply('MY x')", "redis.error_reply('MY x')", "error(redis.error_reply('MY x'))"),
    *("local e = redis.error_reply('MY x') return {e, {e}}", "return {err = 'MY x'}", "redis.setresp(9)", "x ("),
    "#!lua flags=no-writes\nredis.pcall('set', 'k', 'v')",
    "local e = redis.pcall('nope') return {e.err, e.ignore_error_stats_update and 'counted'}",
    "local e = redis.pcall('nope') e.ignore_error_stats_update = nil return e",
]


def test_errors_in_scripts_are_counted_once_as_in_redis() -> None:
    counted: list[list[object]] = []
    for start in (final_server, redis_server):
        with start() as running:
            client = running.connect()
            client.ask("SET", "s", "x")
            counted.append([])
            for script in FAILING:
                client.ask("CONFIG", "RESETSTAT")
                reply = client.ask("EVAL", script, "0")
                stats = str(client.ask("INFO", "stats"))
                counted[-1].append((script, str(reply), re.findall(r"total_error_replies:\d+", stats)))
    ours, theirs = counted
    assert ours == theirs


def test_errors_of_searching_name_the_place_in_the_script() -> None:
    assert evaluate("\nlocal x = ('x'):find('[a')") == "ERR user_script:2: malformed pattern (missing ']')"
    assert (
        evaluate("local x = string.find(nil, 'x')")
        == "ERR user_script:1: bad argument #1 to 'find' (string expected, got nil)"
    )
    assert str(evaluate("local x = ('x'):gsub('x', function() error('mine', 0) end)")).endswith("mine")
    assert evaluate("return ('x'):find(('a?'):rep(6000), 1, true)") is None  # plain: no pattern


def test_what_a_script_logs_has_the_level_that_it_says(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1, "final")
    evaluate("for level = redis.LOG_DEBUG, redis.LOG_WARNING do redis.log(level, 'level', level) end")
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [
        (level, f"level {number}") for number, level in enumerate(LEVELS.values())
    ]
