"""What an administrator does with clients, and sees of them: true of final/, and true of a real Redis."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from stages.harness.server import Server
from stages.harness.wire import Client, request
from tests.support.folders import flush, opened
from tests.support.observing import await_true
from tests.support.oracle import InProcess, OverTheWire, args_of, final_server, redis_server, skip_without_lua
from tests.support.sequences import shapes
from tests.support.shared import Shared

OK = b"+OK\r\n"


def id_of(client: Client) -> int:
    return int(str(client.ask("CLIENT", "ID")))


def field(client: Client, section: str, name: str) -> str:
    """A field of INFO."""
    info = client.ask("INFO", section)
    assert isinstance(info, bytes)
    return dict(line.split(":", 1) for line in info.decode().split("\r\n") if ":" in line)[name]


# CLIENT KILL


def test_the_user_default_is_also_everyone_who_has_not_said_the_password(server: Server) -> None:
    admin, old = server.connect(), server.connect()
    admin.ask("CONFIG", "SET", "requirepass", "secret")
    new = server.connect()
    new.check(request("PING"), b"-NOAUTH Authentication required.\r\n")
    admin.ask("CLIENT", "KILL", "USER", "default")
    assert admin.ask("CONFIG", "SET", "requirepass", "") == "OK"
    for client in old, new:
        assert not client.more(time.monotonic() + 5) and client.ended


def test_a_client_that_is_killed_is_gone(server: Server) -> None:
    killer, victim = server.connect(), server.connect()
    assert killer.ask("CLIENT", "KILL", "ID", id_of(victim)) == 1
    victim.expect_closed()
    assert killer.ask("PING") == "PONG"


def test_the_old_form_kills_by_address_and_oneself_after_the_answer(server: Server) -> None:
    killer = server.connect()
    info = killer.ask("CLIENT", "INFO")
    assert isinstance(info, bytes)
    address = re.search(r" addr=(\S+) ", info.decode())
    assert address
    killer.send(request("CLIENT", "KILL", address[1]))
    killer.expect(OK)
    killer.expect_closed()


def test_oneself_is_spared_unless_one_says_otherwise(server: Server) -> None:
    killer = server.connect()
    own = id_of(killer)
    assert killer.ask("CLIENT", "KILL", "ID", own) == 0
    killer.send(request("CLIENT", "KILL", "ID", own, "SKIPME", "no"))
    killer.expect(b":1\r\n")
    killer.expect_closed()


def test_a_waiting_client_that_is_killed_takes_nothing(server: Server) -> None:
    killer, waiting = server.connect(), server.connect()
    number = id_of(waiting)
    waiting.send(request("BLPOP", "killed", 0))
    while field(killer, "clients", "blocked_clients") != "1":
        pass
    killer.send(request("CLIENT", "KILL", "ID", number) + request("RPUSH", "killed", 1) + request("LLEN", "killed"))
    killer.expect(b":1\r\n:1\r\n:1\r\n")
    assert killer.ask("DEL", "killed") == 1


def test_those_who_listen_are_killed_by_type(server: Server) -> None:
    killer, listening = server.connect(), server.connect()
    listening.ask("SUBSCRIBE", "channel")
    assert killer.ask("CLIENT", "KILL", "TYPE", "pubsub") == 1
    listening.expect_closed()


# CLIENT REPLY


def test_answers_that_are_not_wanted_do_not_come(server: Server) -> None:
    client = server.connect()
    client.send(request("CLIENT", "REPLY", "OFF") + request("SET", "muted", 1) + request("NONSENSE"))
    client.send(request("CLIENT", "REPLY", "SKIP") + request("CLIENT", "REPLY", "ON") + request("GET", "muted"))
    client.expect(OK + b"$1\r\n1\r\n")
    client.send(request("CLIENT", "REPLY", "SKIP") + request("ECHO", "unheard") + request("ECHO", "heard"))
    client.expect(b"$5\r\nheard\r\n")
    client.send(request("CLIENT", "REPLY", "SKIP") * 2 + request("ECHO", "unheard") + request("ECHO", "heard"))
    client.expect(b"$5\r\nheard\r\n")


# CLIENT PAUSE


def test_in_a_pause_of_writes_reads_go_on_and_writes_wait(server: Server) -> None:
    admin, writer = server.connect(), server.connect()
    admin.ask("SET", "paused", 0)
    assert admin.ask("CLIENT", "PAUSE", 60_000, "WRITE") == "OK"
    writer.send(request("GET", "paused") + request("INCR", "paused") + request("INCR", "paused") + request("PING"))
    writer.expect(b"$1\r\n0\r\n")
    assert admin.ask("GET", "paused") == b"0"
    writer.expect_nothing()
    assert admin.ask("CLIENT", "UNPAUSE") == "OK"
    writer.expect(b":1\r\n:2\r\n+PONG\r\n")


def test_in_a_pause_of_writes_a_transaction_waits_at_its_exec(server: Server) -> None:
    admin, writer, reader = server.connect(), server.connect(), server.connect()
    admin.ask("CLIENT", "PAUSE", 60_000, "WRITE")
    reader.send(request("MULTI") + request("GET", "no") + request("EXEC"))
    reader.expect(OK + b"+QUEUED\r\n*1\r\n$-1\r\n")
    writer.send(request("MULTI"))
    writer.expect(OK)
    writer.send(request("PUBLISH", "channel", "message"))
    writer.expect_nothing()
    admin.ask("CLIENT", "UNPAUSE")
    writer.expect(b"+QUEUED\r\n")
    writer.send(request("EXEC"))
    writer.expect(b"*1\r\n:0\r\n")


def test_a_pause_ends_by_itself(server: Server) -> None:
    client = server.connect()
    began = time.monotonic()
    client.send(request("CLIENT", "PAUSE", 150) + request("PING"))
    client.expect(OK + b"+PONG\r\n")
    assert time.monotonic() - began >= 0.14


def test_a_pause_becomes_longer_but_not_shorter(server: Server) -> None:
    client = server.connect()
    began = time.monotonic()
    client.send(request("CLIENT", "PAUSE", 200, "WRITE") + request("CLIENT", "PAUSE", 10, "WRITE"))
    client.send(request("SET", "paused", 0))
    client.expect(OK * 3)
    assert time.monotonic() - began >= 0.19


def test_a_client_whose_request_a_pause_holds_counts_as_blocked(server: Server) -> None:
    admin, writer = server.connect(), server.connect()
    admin.ask("CLIENT", "PAUSE", 60_000, "WRITE")
    writer.send(request("SET", "k", "v"))
    while field(admin, "clients", "blocked_clients") != "1":
        pass
    assert re.search(r"flags=b .* cmd=(set|NULL)", str(admin.ask("CLIENT", "LIST")))
    admin.ask("CLIENT", "UNPAUSE")
    writer.expect(OK)
    assert field(admin, "clients", "blocked_clients") == "0"


SCRIPTS = {
    "EVAL 'return 1' 0": False,
    'EVAL "#!lua\\nreturn 1" 0': False,
    'EVAL "#!lua flags=no-writes\\nreturn 1" 0': True,
    'EVAL "#!lua flags=no-writes,nosuch\\nreturn 1" 0': False,
    "EVAL_RO 'return 1' 0": True,
    "EVALSHA WRITING 0": False,
    "EVALSHA READING 0": True,
    "EVALSHA x 0": False,
    "MULTI | EVALSHA READING 0 | EXEC": True,
    "FCALL writing 0": False,
    "FCALL reading 0": True,
    "FCALL_RO writing 0": False,
    "FCALL_RO reading 0": True,
    "FCALL nosuch 0": False,
    "PFCOUNT k": False,
    "PUBLISH c x": False,
}
LIBRARY = """#!lua name=paused
redis.register_function('writing', function() return 1 end)
redis.register_function{function_name='reading', callback=function() return 1 end, flags={'no-writes'}}
"""


def test_in_a_pause_of_writes_only_scripts_that_say_so_run(server: Server) -> None:
    if server.target.is_final:
        skip_without_lua(SCRIPTS)
    admin = server.connect()
    names = {}
    for name, flags in ("WRITING", ""), ("READING", "no-writes"):
        digest = admin.ask("SCRIPT", "LOAD", f"#!lua flags={flags}\nreturn 1")
        assert isinstance(digest, bytes)
        names[name] = digest.decode()
    admin.ask("FUNCTION", "LOAD", "REPLACE", LIBRARY)
    admin.ask("CLIENT", "PAUSE", 60_000, "WRITE")
    clients = {line: server.connect() for line in SCRIPTS}
    for line, client in clients.items():
        text = re.sub("WRITING|READING", lambda found: names[found[0]], line)
        client.send(b"".join(request(*args_of(each)) for each in shapes(text)))
    for line, client in clients.items():
        if SCRIPTS[line]:
            assert client.more(time.monotonic() + 5), line
    waiting = str(list(SCRIPTS.values()).count(False))
    await_true(lambda: field(admin, "clients", "blocked_clients") == waiting, f"{waiting} blocked clients")
    admin.ask("CLIENT", "UNPAUSE")
    for line, client in clients.items():
        assert client.received or client.more(time.monotonic() + 5), line


def test_in_a_pause_expired_keys_stay_and_nothing_is_evicted(server: Server) -> None:
    admin = server.connect()
    admin.ask("SET", "old", 1, "PX", 1)
    admin.ask("CLIENT", "PAUSE", 60_000, "WRITE")
    time.sleep(0.002)
    assert [admin.ask(*line.split()) for line in ("GET old", "EXISTS old", "TTL old", "DBSIZE")] == [None, 0, -2, 1]
    assert admin.ask("CONFIG", "SET", "maxmemory", 1, "maxmemory-policy", "allkeys-random") == "OK"
    assert admin.ask("DBSIZE") == 1
    admin.ask("CONFIG", "SET", "maxmemory", 0, "maxmemory-policy", "noeviction")
    admin.ask("CLIENT", "UNPAUSE")
    assert [admin.ask(*line.split()) for line in ("GET old", "DBSIZE")] == [None, 0]


# The memory of clients


def test_the_client_that_takes_most_has_to_go(server: Server) -> None:
    admin, large, spared, small = (server.connect() for _ in range(4))
    spared.ask("CLIENT", "NO-EVICT", "ON")
    for client, size in (large, 400_000), (spared, 500_000), (small, 1000):
        client.send(request("GET", "x" * size)[:-3])  # the rest does not come yet
    admin.ask("CONFIG", "SET", "maxmemory-clients", "700kb")
    while field(admin, "stats", "evicted_clients") != "1":
        pass
    assert not large.more(time.monotonic() + 5) and large.ended
    for client in spared, small:
        client.send(b"x\r\n")
        client.expect(b"$-1\r\n")
    admin.ask("CONFIG", "SET", "maxmemory-clients", "0")


LISTED = [
    *("id", "addr", "laddr", "fd", "name", "age", "idle", "flags", "db", "sub", "psub", "ssub", "multi", "qbuf"),
    *("qbuf-free", "argv-mem", "multi-mem", "rbs", "rbp", "obl", "oll", "omem", "tot-mem", "events", "cmd", "user"),
    *("redir", "resp"),
]


def test_a_line_of_client_list_has_the_fields_and_flags_of_redis(server: Server) -> None:
    client, other = server.connect(), server.connect()
    number = id_of(client)
    for line in ("HELLO 3", "CLIENT NO-EVICT ON", "WATCH k", "SUBSCRIBE c", "MULTI", "GET k"):
        client.ask(*line.split())
    client.ask("SET", "k", "x" * 100)
    other.ask("SET", "k", 1)
    listed = other.ask("CLIENT", "LIST", "ID", number)
    assert isinstance(listed, bytes)
    told = dict(each.split("=") for each in listed.decode().split())
    assert [*told][:28] == LISTED
    assert told["flags"] == "Pxde" and told["multi"] == "2" and int(told["multi-mem"]) >= 100
    assert int(told["fd"]) > 2 and int(told["tot-mem"]) > 100 and told["events"] == "r"


# MONITOR


def test_one_who_monitors_hears_what_others_ask_but_no_secrets(server: Server) -> None:
    looking, other = server.connect(), server.connect()
    assert looking.ask("MONITOR") == "OK"
    for args in (["SET", "k", b'a\x00b\n"\xff'], ["AUTH", "default", "x"], ["HELLO", "2", "AUTH", "default", "x"]):
        other.ask(*args)
    for args in (["CONFIG", "GET", "nothing"], ["SELECT", "3"], ["MULTI"], ["GET", "k"], ["EXEC"], ["NONSENSE"]):
        other.ask(*args)
    other.ask("SELECT", "0")
    heard = [looking.read_reply().decode() for _ in range(8)]
    assert [re.sub(r"^\+\d+\.\d{6} \[(\d) 127.0.0.1:\d+\] ", r"\1 ", line).rstrip("\r\n") for line in heard] == [
        r'0 "SET" "k" "a\x00b\n\"\xff"',
        '0 "AUTH" "(redacted)" "(redacted)"',
        '0 "HELLO" "2" "AUTH" "(redacted)" "(redacted)"',
        '3 "SELECT" "3"',
        '3 "MULTI"',
        '3 "GET" "k"',
        '3 "EXEC"',
        '0 "SELECT" "0"',
    ]
    looking.expect_nothing()


def test_one_who_monitors_hears_nothing_more_after_reset(server: Server) -> None:
    looking, other = server.connect(), server.connect()
    looking.ask("MONITOR")
    other.ask("PING")
    looking.read_reply()
    looking.send(request("RESET"))
    assert b"RESET" in looking.read_reply()
    other.ask("PING")
    assert looking.ask("ECHO", "quiet") == b"quiet"


# Limits


def test_one_client_too_many_is_turned_away(server: Server) -> None:
    admin = server.connect()
    before = int(field(admin, "stats", "rejected_connections"))
    admin.ask("CONFIG", "SET", "maxclients", field(admin, "clients", "connected_clients"))
    late = server.connect()
    late.expect(b"-ERR max number of clients reached\r\n")
    late.expect_closed()
    assert int(field(admin, "stats", "rejected_connections")) == before + 1
    admin.ask("CONFIG", "SET", "maxclients", 10_000)


def test_one_who_asks_nothing_for_too_long_is_let_go_but_not_one_who_waits(server: Server) -> None:
    idle, waiting, admin = server.connect(), server.connect(), server.connect()
    waiting.send(request("BLPOP", "nothing", 0))
    admin.ask("CONFIG", "SET", "timeout", 1)
    idle.ask("PING")
    idle.expect_closed()
    again = server.connect()
    assert again.ask("CONFIG", "SET", "timeout", 0) == "OK"
    assert again.ask("RPUSH", "nothing", 1) == 1
    waiting.expect(b"*2\r\n$7\r\nnothing\r\n$1\r\n1\r\n")


# INFO


def test_reads_that_find_and_reads_that_miss_are_counted(server: Server) -> None:
    client = server.connect()
    client.ask("CONFIG", "RESETSTAT")
    for line in ("SET there 1", "GET there", "GET not", "MGET there not nor", "INCR new"):
        client.ask(*line.split())
    client.ask("EXISTS", "there")
    client.ask("SET", "there", 1, "PXAT", 1)
    client.ask("GET", "there")
    assert (field(client, "stats", "keyspace_hits"), field(client, "stats", "keyspace_misses")) == ("3", "4")


def test_redis_py_reads_all_sections(server: Server) -> None:
    with redis_py.Redis(port=server.port) as client:
        info: dict[str, Any] = client.info("everything")
    numbers = {"used_memory", "used_memory_peak", "maxmemory", "connected_clients", "blocked_clients", "expired_keys"}
    assert all(isinstance(info[name], int) for name in numbers)
    assert info["mem_fragmentation_ratio"] > 0
    assert re.fullmatch("[0-9a-f]{40}", info["run_id"])
    assert {"executable", "config_file", "uptime_in_seconds", "instantaneous_ops_per_sec", "role"} <= info.keys()


# DEBUG, which final/ has where the option allows it


def test_debug_is_for_those_whom_the_option_allows() -> None:
    refused = "-ERR DEBUG command not allowed."
    assert InProcess().ask("DEBUG SLEEP 0").startswith(refused)
    assert InProcess().ask("DEBUG NOSUCH").startswith(refused)
    assert InProcess(enable_debug_command="yes").ask("DEBUG SLEEP 0") == "+OK"
    local = InProcess(enable_debug_command="local")
    assert local.ask("DEBUG SLEEP 0") == "+OK"
    local.client.address = "10.0.0.7:50000"
    assert local.ask("DEBUG SLEEP 0").startswith(refused)
    assert local.ask("DEBUG PROTOCOL integer") == ":12345"


def test_debug_can_stop_keys_from_going_by_themselves() -> None:
    peer = InProcess(enable_debug_command="yes")
    peer.ask("DEBUG SET-ACTIVE-EXPIRE 0")
    peer.ask("SET k v PX 1")
    peer.now += 10
    peer.engine.expire()
    assert peer.ask("DBSIZE") == ":1"
    assert peer.ask("DEBUG SET-ACTIVE-EXPIRE 1") == "+OK"
    peer.engine.expire()
    assert peer.ask("DBSIZE") == ":0"


def test_debug_object_tells_how_a_value_is_kept() -> None:
    peer = InProcess(enable_debug_command="yes")
    peer.ask("SET n 1")
    shown = r"\+Value at:0x[0-9a-f]+ refcount:2147483647 encoding:int"
    peer.now += 3000
    assert re.fullmatch(shown + r" serializedlength:2 lru:\d+ lru_seconds_idle:3", peer.ask("DEBUG OBJECT n"))
    assert peer.ask("DEBUG OBJECT nosuch") == "-ERR no such key"
    assert "Try DEBUG HELP" in peer.ask("DEBUG NONSENSE")


def test_debug_error_answers_with_the_error_and_counts_none() -> None:
    peer, answers = InProcess(enable_debug_command="yes"), set[bytes]()
    with redis_server("--enable-debug-command", "yes") as server:
        for each in (peer, OverTheWire(server.connect())):
            asked = [[b"DEBUG", b"ERROR", text] for text in (b"LOADING is it", b"x\ry\nz", b"", b"\x80")]
            answers.add(b"".join(each.ask_all([*asked, [b"DEBUG", b"ERROR"], [b"INFO", b"errorstats"]])))
    assert len(answers) == 1


# OBJECT IDLETIME


DATA = """
    SET k v | SETEX e 1000 \\x00 | RPUSH l a b a | SADD s a b c | ZADD z 1.5 a -0.1 b inf c | HSET h f v g w | SET n 12
    XADD x 1-2 f v g w | XADD x 3-0 f v | XGROUP CREATE x g 0 | SELECT 3 | SET k v | PFADD p a b | SELECT 0
"""


def test_debug_makes_keys_and_digests_as_redis(servers: list[Shared]) -> None:
    asked = [
        *shapes(DATA),
        *("DEBUG DIGEST", "DEBUG DIGEST-VALUE k e l s z h n x nosuch", "DEBUG POPULATE 3", "DEBUG POPULATE 1 l 5"),
        *("DEBUG POPULATE 2 q 20", "DEBUG POPULATE x", "DEBUG POPULATE", "DBSIZE", "GET q:1", "GET l:0", "GET key:2"),
        *("DEBUG LOG hello", "DEBUG CHANGE-REPL-ID", "DEBUG PAUSE-CRON 0", "DEBUG DIGEST", "DEBUG NOSUCH"),
    ]
    replies = [OverTheWire(each.clean().connect()).ask_all(map(args_of, asked)) for each in servers]
    for line, ours, theirs in zip(asked, *replies, strict=True):
        assert ours == theirs, line


RELOADS = """
    DEBUG RELOAD nosuch | DEBUG RELOAD | DEBUG DIGEST | SET k changed | SET new v | SADD s only
    DEBUG RELOAD NOSAVE NOFLUSH MERGE | DEBUG DIGEST | SADD i 1 2 70000 | SREM i 70000 | DEBUG RELOAD | DUMP i
    SET new w | DEL k | PEXPIREAT e 1 | DEBUG RELOAD NOSAVE | GET new | DEBUG DIGEST | MULTI | SET last v | DEBUG RELOAD
    GET last | EXEC | FUNCTION LIST | DEBUG LOADAOF | DEBUG DIGEST | DBSIZE | FUNCTION LIST | GET last
    DEBUG LISTPACK nosuch | DEBUG LISTPACK l | DEBUG LISTPACK h | DEBUG QUICKLIST l | DEBUG QUICKLIST h
    DEBUG QUICKLIST l 1
"""


def test_all_data_can_be_loaded_again(tmp_path: Path) -> None:
    pytest.importorskip("lupa")
    loaded = b"#!lua name=library\nredis.register_function('f', function() return 1 end)"
    asked = [*map(args_of, shapes(DATA)), [b"FUNCTION", b"LOAD", loaded], *map(args_of, shapes(RELOADS))]
    options, replies = ("--enable-debug-command", "yes", "--appendonly", "yes"), []
    for number, start in enumerate((final_server, redis_server)):
        with start(*options, data=tmp_path / str(number)) as server:
            replies.append(OverTheWire(server.connect()).ask_all(asked))
    for args, ours, theirs in zip(asked, *replies, strict=True):
        assert ours == theirs, args


def test_what_cannot_be_loaded_again_changes_nothing(tmp_path: Path) -> None:
    peer = InProcess(enable_debug_command="yes", dir=str(tmp_path))
    assert (peer.ask("SET k v"), peer.ask("DEBUG RELOAD")) == ("+OK", "+OK")
    snapshot = tmp_path / "dump.rdb"
    whole = snapshot.read_bytes()
    refused = "-ERR Error trying to load the RDB dump"
    assert (peer.ask("SET k w"), peer.ask("DEBUG RELOAD NOSAVE NOFLUSH"), peer.ask("GET k")) == ("+OK", refused, "$1 w")
    snapshot.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert (peer.ask("DEBUG RELOAD NOSAVE"), peer.ask("GET k"), peer.ask("PTTL k")) == (refused, "$1 w", ":-1")
    assert peer.ask("DEBUG LOADAOF").startswith("-ERR Error trying to load the AOF")


NODES = "RPUSH l 1 two 3 | DEBUG OBJECT l | RPUSH m x*5000 x*5000 y | DEBUG OBJECT m"


def test_debug_object_tells_of_the_nodes_of_a_list(servers: list[Shared]) -> None:
    asked = [line.encode().replace(b"x*5000", b"x" * 5000).split() for line in shapes(NODES)]
    asked.insert(0, b"CONFIG SET rdbcompression no list-max-listpack-size -1".split())
    replies = [OverTheWire(each.clean().connect()).ask_all(asked) for each in servers]
    ours, theirs = (re.findall(rb"seriali\w+:\d+|ql_.*", b"\n".join(each)) for each in replies)
    assert ours == theirs and len(ours) == 4


COUNTED = """
    SET a 9999 | INCR a | DECR a | SET b 07 | COPY a c | RENAME c d | INCR d | APPEND d 5 | APPEND e 5 | SETRANGE f 0 5
    SETEX a 9 0 | GETSET a 123 | INCRBYFLOAT a 1 | COPY a b REPLACE | INCR b | RPUSH l 1 | SET n -1 | INCR n | MOVE n 1
    FLUSHALL | CONFIG SET maxmemory 1gb maxmemory-policy allkeys-lfu | SET a 5 | INCR n | FLUSHALL
    CONFIG SET maxmemory-policy allkeys-random | SET a 5 | INCR b | CONFIG SET maxmemory 0 maxmemory-policy noeviction
"""


@pytest.mark.parametrize("cause", ["error", "watch"])
def test_what_exec_will_not_run_is_not_queued(server: Server, cause: str) -> None:
    client, other = server.connect(), server.connect()
    for args in (["SET", "k", "v"], ["WATCH", "k"], ["MULTI"], ["SET", "k", "queued"]):
        client.ask(*args)
    if cause == "watch":
        other.ask("SET", "k", "changed")
    else:
        assert "unknown command" in str(client.ask("NOSUCH"))
    for _ in range(2):
        assert client.ask("SET", "k", "x" * 1000) == "QUEUED" and client.ask("GET", "k") == "QUEUED"
    client.send(request("SET", "k", 1) * 20)
    assert [client.read_reply() for _ in range(20)] == [b"+QUEUED\r\n"] * 20
    assert " multi=1 " in str(other.ask("CLIENT", "LIST"))
    assert ("EXECABORT" in str(client.ask("EXEC"))) == (cause == "error")
    assert other.ask("GET", "k") == (b"changed" if cause == "watch" else b"v")


def test_small_integers_are_shared_as_in_redis(servers: list[Shared]) -> None:
    looks = [f"OBJECT REFCOUNT {key}" for key in "abcdefln"]
    asked = [args_of(line) for step in shapes(COUNTED) for line in (step, *looks)]
    replies = [OverTheWire(each.clean().connect()).ask_all(asked) for each in servers]
    for number, (ours, theirs) in enumerate(zip(*replies, strict=True)):
        assert ours == theirs, (asked[number // 9 * 9], asked[number])


MOVED = """
    SET a x | GET a | GET a | RENAME a b | OBJECT FREQ b | COPY b c | OBJECT FREQ c | OBJECT FREQ b | GET b | MOVE b 1
    SELECT 1 | OBJECT FREQ b | SET d x | GET d | SWAPDB 0 1 | SELECT 0 | OBJECT FREQ d | OBJECT FREQ b | RENAMENX b e
    OBJECT FREQ e | SELECT 1 | OBJECT FREQ c | WATCH c | OBJECT FREQ c
"""


@pytest.mark.parametrize("limit", ["0", "1gb"])
def test_how_often_a_key_was_used_goes_with_it(servers: list[Shared], limit: str) -> None:
    options = f"CONFIG SET lfu-log-factor 0 maxmemory {limit} maxmemory-policy allkeys-lfu"  # 0: each use counts
    asked = [args_of(line) for line in (options, *shapes(MOVED))]
    replies = [OverTheWire(each.clean().connect()).ask_all(asked) for each in servers]
    for args, ours, theirs in zip(asked, *replies, strict=True):
        assert ours == theirs, args


def test_how_long_a_key_was_idle_is_known_from_its_first_second_on() -> None:
    peer = InProcess()
    peer.ask("MSET a 1 b 1")
    peer.now += 5000
    peer.ask("GET b")
    peer.ask("TTL a")
    peer.now += 1000
    assert (peer.ask("OBJECT IDLETIME a"), peer.ask("OBJECT IDLETIME b")) == (":6", ":1")


def test_a_key_that_was_loaded_was_last_used_then(tmp_path: Path) -> None:
    before = opened(tmp_path)
    before.ask("MSET a 1 b 1")
    flush(before)
    peer = opened(tmp_path)
    peer.now += 5000
    peer.ask("GET b")
    assert (peer.ask("OBJECT IDLETIME a"), peer.ask("OBJECT IDLETIME b")) == (":5", ":0")


def test_among_many_keys_uses_are_noted_once_somebody_has_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("final.data.objects.TRACKED", 2)
    peer = InProcess()
    for line in ("MSET a 1 b 1 c 1", "GET a"):
        peer.ask(line)
    peer.engine.stores[0].limit_uses(peer.now)  # the server does so some ten times a second
    peer.now += 5000
    assert (peer.ask("GET a"), peer.ask("OBJECT IDLETIME a")) == ("$1 1", ":0")
    peer.now += 5000
    peer.ask("GET b")
    peer.engine.stores[0].limit_uses(peer.now)
    peer.now += 1000
    assert (peer.ask("OBJECT IDLETIME a"), peer.ask("OBJECT IDLETIME b")) == (":6", ":1")


USES = """
    GET k | SET k v | STRLEN k | APPEND k v | EXISTS k | TYPE k | TTL k | PEXPIRETIME k | DUMP k | OBJECT ENCODING k
    TOUCH k | OBJECT FREQ k | OBJECT IDLETIME k | MEMORY USAGE k | EXPIRE k 100 | EXPIRE k 100 XX | PERSIST k | COPY k l
    SETNX k v | MSETNX k v | SET k v NX | MGET x k | GETEX k | LPUSH k v | HGET k f | WATCH k | SCAN 0 | KEYS * | INCR k
    RENAME k l | RENAMENX k l | MOVE k 1 | SORT k | BITCOUNT k | BITOP NOT l k | PFCOUNT k | LCS k k | RANDOMKEY
    RESTORE k 0 x | DEBUG OBJECT k | SETRANGE k 0 "" | SINTERSTORE l k k | SUBSTR k 0 1 | GETRANGE k 0 1
"""


def test_the_same_requests_as_in_redis_are_a_use() -> None:
    ours = InProcess(enable_debug_command="yes")
    with redis_server("--enable-debug-command", "yes") as server:
        peers = ours, OverTheWire(server.connect())
        (answer,) = ours.ask_all([[b"SET", b"k", b"value"]]) and ours.ask_all([[b"DUMP", b"k"]])
        payload = answer.split(b"\r\n", 1)[1][:-2]
        for line in shapes(USES):
            asked = [
                [b"RESTORE", b"k", b"0", payload, b"REPLACE", b"IDLETIME", b"1000"],
                *(args_of(each) for each in ("DEL l", line, "UNWATCH", "OBJECT IDLETIME k", "OBJECT IDLETIME l")),
            ]
            idle = [[len(reply) for reply in peer.ask_all(asked)[-2:]] for peer in peers]  # :0 or :1000, or null
            assert idle[0] == idle[1], line


# MEMORY USAGE


def test_what_is_larger_takes_more_memory() -> None:
    peer = InProcess()
    sizes = []
    for line in (
        "SET k v",
        f"SET k {'v' * 1000}",
        "RPUSH l 1 2 3",
        "SADD s 1 2 3",
        "HSET h f v",
        "ZADD z 1 a",
        "XADD x * f v",
    ):
        peer.ask(line)
        sizes.append(int(peer.ask(f"MEMORY USAGE {line.split()[1]}")[1:]))
    assert sizes[1] - sizes[0] == 999
    assert all(size > 100 for size in sizes)


def test_the_size_of_a_large_collection_is_near_that_of_all_its_parts() -> None:
    peer = InProcess()
    for number in range(1000):
        peer.ask(f"ZADD z {number} member:{number:04}")
        peer.ask(f"HSET h field:{number:04} value:{number:04}")
        peer.ask(f"XADD x * field value:{number:04}")
    for key in "zhx":
        few, everything = (int(peer.ask(f"MEMORY USAGE {key} SAMPLES {count}")[1:]) for count in (5, 0))
        assert few == pytest.approx(everything, rel=0.1)
        assert everything > 1000 * (50 if key == "x" else 100)
    peer.ask("XGROUP CREATE x g 0")
    peer.ask("XREADGROUP GROUP g c STREAMS x >")
    assert int(peer.ask("MEMORY USAGE x")[1:]) > few + 1000 * 150  # what is pending


# INFO


OMITTED = {"atomicvar_api", "gcc_version"}  # of the C compiler
OURS = {"python_version"}
VARYING = re.compile("cmdstat_|latency_percentiles_|errorstat_|db\\d")


@pytest.mark.parametrize("log", ["yes", "no"])
def test_info_has_the_sections_and_fields_of_redis(tmp_path: Path, log: str) -> None:
    names = []
    for start in final_server, redis_server:
        with start("--appendonly", log, data=tmp_path / start.__name__) as server:
            info = server.connect().ask("INFO", "everything")
            assert isinstance(info, bytes)
            lines = info.decode().split("\r\n")
            names.append([line.partition(":")[0] for line in lines if line and not VARYING.match(line)])
    ours, theirs = names
    assert [name for name in ours if name not in OURS] == [name for name in theirs if name not in OMITTED]


SECTIONS = {
    "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats Cluster Keyspace": ["", "default"],
    "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats Errorstats Latencystats Cluster "
    "Keyspace": ["all", "everything", "nosuch ALL"],
    "Stats": ["STATS", "stats nosuch", "stats stats"],
    "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats Errorstats Cluster Keyspace": [
        "commandstats default"
    ],
}


def test_only_what_is_asked_for_is_in_info(server: Server) -> None:
    client = server.connect()
    for shown, asked in SECTIONS.items():
        for sections in asked:
            info = client.ask("INFO", *sections.split())
            assert isinstance(info, bytes)
            assert re.findall("^# (.*)\r", info.decode(), flags=re.MULTILINE) == shown.split(), sections


def test_what_clients_send_and_are_sent_is_counted(server: Server) -> None:
    client = server.connect()
    names = ("total_net_input_bytes", "total_net_output_bytes", "total_reads_processed", "total_writes_processed")
    before = [int(field(client, "stats", name)) for name in names]
    client.ask("SET", "k", "x" * 100_000)
    client.ask("GET", "k")
    after = [int(field(client, "stats", name)) for name in names]
    assert all(100_000 < now - then < 150_000 for then, now in zip(before[:2], after[:2], strict=True))
    assert all(now > then for then, now in zip(before[2:], after[2:], strict=True))


def test_memory_stats_has_the_fields_of_redis(servers: list[Shared]) -> None:
    names = []
    for shared in servers:
        client = shared.clean().connect()
        client.ask("SET", "k", 1)
        told = client.ask("MEMORY", "STATS")
        assert isinstance(told, list)
        names.append(told[::2])
    assert names[0] == names[1]


def test_the_doctor_says_whether_there_is_much(server: Server) -> None:
    client = server.connect()
    assert str(client.ask("MEMORY", "DOCTOR")).startswith('b"Hi Sam, this instance is empty')
    client.ask("DEBUG", "POPULATE", 60_000, "k", 200)
    said = str(client.ask("MEMORY", "DOCTOR"))  # a real Redis may find its memory fragmented
    assert "is empty" not in said and (not server.target.is_final or "I can't find any memory issue" in said)
