"""A server that is a replica: `final/replication/replica.py` and what it needs. The test plays its primary."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from final.log.split import Malformed
from final.replication.outgoing import Conversation
from final.replication.replica_state import TRANSITIONS, Event, State
from final.replication.stream import Stream
from final.replication.transfer import Transfer
from stages.harness.server import Server
from stages.harness.wire import Client, Error, request
from tests.support.folders import everything
from tests.support.machine import busy_time_of
from tests.support.observing import await_true
from tests.support.oracle import InProcess, final_server, redis_server
from tests.support.played_primary import MARK, REPLID, PlayedPrimary, snapshot_of, stream
from tests.support.server_log import messages
from tests.support.shared import Shared

DATA = ("SET a 1", "RPUSH l x y", "SET soon v PX 100000000", "SELECT 3", "HSET h f v", "XADD s 5-5 f v")


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    with Shared(lambda: final_server("--repl-timeout", "60")) as shared:
        yield shared


@pytest.fixture
def server(shared: Shared) -> Iterator[Server]:
    """A server with a key `old`; after the test it is no replica."""
    server = shared.clean()
    server.begin_test()
    server.connect().ask("SET", "old", "data")
    yield server
    with suppress(Exception):
        server.connect().ask("REPLICAOF", "NO", "ONE")


@pytest.fixture
def primary() -> Iterator[PlayedPrimary]:
    with PlayedPrimary() as primary:
        yield primary


@pytest.fixture
def replica(server: Server, primary: PlayedPrimary) -> Client:
    """A client of a replica that is synchronised with DATA, at offset 1000."""
    client = follow(server, primary)
    primary.greet()
    primary.send_all(snapshot_of(*DATA), 1000)
    primary.await_ack()
    return client


def follow(server: Server, primary: PlayedPrimary) -> Client:
    client = server.connect()
    assert client.ask("REPLICAOF", "127.0.0.1", primary.port) == "OK"
    return client


def fields(client: Client) -> dict[str, str]:
    text: Any = client.ask("INFO", "replication")
    return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)


# Full synchronisation


@pytest.mark.parametrize("marked", [False, True], ids=["a length", "a mark"])
@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_a_full_synchronisation_replaces_all_data(
    server: Server, primary: PlayedPrimary, marked: bool, piece: int
) -> None:
    client = follow(server, primary)
    primary.greet()
    data = snapshot_of(*DATA)
    header, end = (b"$EOF:%b\r\n" % MARK, MARK) if marked else (b"$%d\r\n" % len(data), b"")
    everything_sent = b"\n+FULLRESYNC %b 1000\r\n\n\n" % REPLID.encode() + header + data + end + stream(["SET b 2"])
    primary.send(*(everything_sent[at : at + piece] for at in range(0, len(everything_sent), piece)))
    primary.offset = 1000 + len(stream(["SET b 2"]))
    primary.change_and_wait()
    assert everything(client).keys() == {"0 b'a'", "0 b'l'", "0 b'soon'", "0 b'b'", "3 b'h'", "3 b's'"}
    client.ask("SELECT", 0)
    assert client.ask("LRANGE", "l", 0, -1) == [b"x", b"y"]


@pytest.mark.parametrize(("arguments", "option"), [(1, "replicaof"), (2, "replicaof"), (1, "slaveof"), (2, "slaveof")])
def test_a_server_can_be_started_as_a_replica(primary: PlayedPrimary, arguments: int, option: str) -> None:
    address = ["127.0.0.1", str(primary.port)]
    with final_server(
        f"--{option}", *(address if arguments == 2 else [" ".join(address)]), "--appendonly", "no"
    ) as server:
        assert primary.greet() == [b"?", b"-1"]
        assert server.connect().ask("CONFIG", "GET", option) == [option.encode(), " ".join(address).encode()]


def test_what_a_replica_says_first(server: Server, primary: PlayedPrimary) -> None:
    server.connect().ask("CONFIG", "SET", "replica-announce-ip", "10.0.0.7", "replica-announce-port", 7007)
    server.connect().ask("CONFIG", "SET", "masteruser", "me", "masterauth", "secret")
    follow(server, primary)
    offset = primary.greet()
    assert primary.greeting == [
        [b"PING"],
        [b"AUTH", b"me", b"secret"],
        [b"REPLCONF", b"listening-port", b"7007"],
        [b"REPLCONF", b"ip-address", b"10.0.0.7"],
        [b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"],
        [b"PSYNC", *offset],
    ]


def test_clients_see_the_old_data_until_all_of_the_new_is_there(server: Server, primary: PlayedPrimary) -> None:
    client = follow(server, primary)
    primary.greet()
    assert (client.ask("ROLE"), client.ask("GET", "old")) == (role(primary, b"handshake", -1), b"data")
    data = snapshot_of(*DATA)
    primary.send(b"+FULLRESYNC %b 0\r\n$%d\r\n" % (REPLID.encode(), len(data)), data[:-1])
    await_true(lambda: client.ask("ROLE") == role(primary, b"sync", -1), "it receives")
    await_true(lambda: fields(client)["master_sync_left_bytes"] == "1", "all but one byte is there")
    assert (client.ask("GET", "old"), client.ask("GET", "a")) == (b"data", None)
    primary.send(data[-1:])
    primary.await_ack()
    assert (client.ask("GET", "old"), client.ask("GET", "a")) == (None, b"1")
    assert client.ask("ROLE") == role(primary, b"connected", 0)


def role(primary: PlayedPrimary, state: bytes, offset: int) -> list[Any]:
    return [b"slave", b"127.0.0.1", primary.port, state, offset]


def test_all_that_clients_watch_and_wait_for_has_changed_after_a_full_synchronisation(
    server: Server, primary: PlayedPrimary
) -> None:
    watching, waiting = server.connect(), server.connect()
    client = follow(server, primary)
    watching.ask("WATCH", "old")
    waiting.send(request("XREAD", "BLOCK", 0, "STREAMS", "s", "0"))
    primary.greet()
    primary.send_all(snapshot_of("XADD s 5-5 f v"))
    primary.await_ack()
    watching.ask("MULTI")
    watching.ask("PING")
    assert watching.ask("EXEC") is None
    waiting.expect(b"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n5-5\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n")
    assert client.ask("DBSIZE") == 1


def test_the_log_begins_again_with_the_new_data(tmp_path: Any, primary: PlayedPrimary) -> None:
    with final_server(data=tmp_path) as server:
        server.connect().ask("SET", "old", "data")
        follow(server, primary)
        assert primary.greet() == [b"?", b"-1"]
        primary.send_all(snapshot_of(*DATA))
        primary.change_and_wait("SELECT 0", "INCR a", "SELECT 3", "HSET h g w")
        await_true(lambda: persistent(server), "the log is rewritten")
        server.kill()
    with final_server(data=tmp_path) as server:
        client = server.connect()
        assert (client.ask("GET", "old"), client.ask("GET", "a")) == (None, b"2")
        client.ask("SELECT", 3)
        assert client.ask("HGETALL", "h") == [b"f", b"v", b"g", b"w"]


def persistent(server: Server) -> bool:
    text: Any = server.connect().ask("INFO", "persistence")
    return b"aof_rewrite_in_progress:0" in text and b"aof_rewrite_scheduled:0" in text


# The stream


def test_the_stream_is_executed(replica: Client, primary: PlayedPrimary) -> None:
    primary.change_and_wait("SELECT 3", "HSET h g w", "SELECT 0", "PING", "MULTI", "INCR a", "DEL l", "EXEC")
    assert (replica.ask("GET", "a"), replica.ask("EXISTS", "l"), replica.ask("DBSIZE")) == (b"2", 0, 2)
    replica.ask("SELECT", 3)
    assert replica.ask("HGET", "h", "g") == b"w"
    assert fields(replica)["slave_repl_offset"] == str(primary.offset)


def test_an_acknowledgement_is_sent_at_once_when_the_primary_asks(replica: Client, primary: PlayedPrimary) -> None:
    for number in range(100):  # one each second would take 100 seconds
        primary.change(f"SET a {number}", "REPLCONF GETACK *")
        primary.await_ack()


def test_a_transaction_is_executed_as_a_whole_or_not_at_all(replica: Client, primary: PlayedPrimary) -> None:
    primary.change_and_wait("SET a 5")
    primary.send(stream(["MULTI", "SET a 6", "SET l 7"]))
    primary.hang_up()
    assert primary.greet() == [REPLID.encode(), b"%d" % (primary.offset + 1)]
    assert (replica.ask("GET", "a"), replica.ask("TYPE", "l")) == (b"5", "list")
    primary.send(b"+CONTINUE\r\n")
    primary.change_and_wait("MULTI", "SET a 6", "SET l 7", "EXEC")
    assert replica.ask("MGET", "a", "l") == [b"6", b"7"]


def test_a_replica_continues_under_the_new_id_of_a_primary_that_was_promoted(
    replica: Client, primary: PlayedPrimary
) -> None:
    new = "f" * 40
    primary.hang_up()
    primary.greet()
    primary.send(b"+CONTINUE %b\r\n" % new.encode())
    primary.await_ack()
    found = fields(replica)
    assert (found["master_replid"], found["master_replid2"], found["second_repl_offset"]) == (new, REPLID, "1001")


def test_a_database_that_the_stream_has_selected_stays_selected_after_a_reconnection(
    replica: Client, primary: PlayedPrimary
) -> None:
    primary.change_and_wait("SELECT 3", "SET one 1")
    primary.hang_up()
    primary.greet()
    primary.send(b"+CONTINUE\r\n")
    primary.change_and_wait("SET two 2")
    replica.ask("SELECT", 3)
    assert replica.ask("MGET", "one", "two") == [b"1", b"2"]


def test_a_database_that_the_stream_has_selected_stays_selected_with_another_primary(
    replica: Client, primary: PlayedPrimary
) -> None:
    primary.change_and_wait("SELECT 3", "SET one 1")
    with PlayedPrimary() as sibling:
        replica.ask("REPLICAOF", "127.0.0.1", sibling.port)
        assert sibling.greet() == [REPLID.encode(), b"%d" % (primary.offset + 1)]
        sibling.send(b"+CONTINUE\r\n")
        sibling.offset = primary.offset
        sibling.change_and_wait("SET two 2")
        replica.ask("SELECT", 3)
        assert replica.ask("MGET", "one", "two") == [b"1", b"2"]


def test_a_snapshot_says_which_database_the_stream_has_selected(server: Server, primary: PlayedPrimary) -> None:
    client = follow(server, primary)
    primary.greet()
    header, rest = WHOLE[:9], WHOLE[9:-8]
    primary.send_all(header + b"\xfa\x0erepl-stream-db\x013" + rest + bytes(8), 1000)
    primary.await_ack()
    primary.change_and_wait("SET one 1")
    client.ask("SELECT", 3)
    assert client.ask("GET", "one") == b"1"


@pytest.mark.parametrize("line", ["SYNC", "PSYNC ? -1", f"PSYNC {REPLID} 1001"])
def test_the_primary_cannot_be_a_replica_that_never_reads(replica: Client, primary: PlayedPrimary, line: str) -> None:
    primary.change_and_wait(line)
    assert fields(replica)["connected_slaves"] == "0"


def test_an_error_in_the_stream_is_logged_and_the_replica_goes_on(
    server: Server, replica: Client, primary: PlayedPrimary
) -> None:
    primary.change_and_wait("LPUSH a x", "NOSUCH x", "SET b 2")
    assert replica.ask("GET", "b") == b"2"
    await_true(lambda: "NOSUCH" in server.errors, "it is logged")
    lines = [line for line in server.errors.splitlines() if "fails here" in line]
    assert [messages(line).split(" fails")[0] for line in lines] == ["the primary's LPUSH", "the primary's NOSUCH"]


def test_a_database_that_is_not_here_breaks_the_stream(server: Server, replica: Client, primary: PlayedPrimary) -> None:
    primary.change("SET b 2", "SELECT 20", "SET a 20")
    primary.await_end()
    assert primary.greet() == [b"?", b"-1"]
    assert replica.ask("MGET", "a", "b") == [b"1", b"2"]


def test_keys_expire_when_the_primary_says_so(replica: Client, primary: PlayedPrimary) -> None:
    primary.change_and_wait("SET b x PXAT 1", "RPUSH c 1 2", "PEXPIREAT c 1000", "SET d 1 PXAT 1", "APPEND d 2")
    assert replica.ask("DBSIZE") == 6
    assert [replica.ask(*args) for args in (("GET", "b"), ("EXISTS", "c"), ("TTL", "d"))] == [None, 0, -2]
    keys: Any = replica.ask("KEYS", "*")
    assert sorted(keys) == [b"a", b"l", b"soon"]
    primary.change_and_wait("PERSIST d", "DEL b")
    assert (replica.ask("GET", "d"), replica.ask("DBSIZE")) == (b"12", 5)


def test_keys_that_have_expired_count_as_missing(server: Server, replica: Client, primary: PlayedPrimary) -> None:
    primary.change_and_wait("SET b x PXAT 1", "RPUSH c 1", "PEXPIREAT c 1")
    replica.ask("CONFIG", "SET", "notify-keyspace-events", "Em")
    listening = server.connect()
    listening.ask("SUBSCRIBE", "__keyevent@0__:keymiss")
    replica.ask("CONFIG", "RESETSTAT")
    for args in (["GET", "b"], ["LLEN", "c"], ["MGET", "b", "a"], ["OBJECT", "ENCODING", "b"], ["SINTER", "c", "c"]):
        replica.ask(*args)
    stats: Any = replica.ask("INFO", "stats")
    assert b"keyspace_hits:1\r\nkeyspace_misses:6\r\n" in stats
    for key in (b"b", b"c", b"b", b"c", b"c"):  # not for OBJECT
        listening.expect(b"*3\r\n$7\r\nmessage\r\n$22\r\n__keyevent@0__:keymiss\r\n$1\r\n%b\r\n" % key)


def test_a_random_key_is_found_even_if_all_have_expired(replica: Client, primary: PlayedPrimary) -> None:
    primary.change_and_wait("DEL a l soon", "SET b x PXAT 1")
    assert replica.ask("RANDOMKEY") == b"b"


def test_clients_hear_of_the_primarys_changes(server: Server, replica: Client, primary: PlayedPrimary) -> None:
    replica.ask("CONFIG", "SET", "notify-keyspace-events", "KA")
    listening, waiting, monitoring = server.connect(), server.connect(), server.connect()
    listening.ask("PSUBSCRIBE", "*")
    waiting.send(request("XREAD", "BLOCK", 0, "STREAMS", "new", "0"))
    await_true(lambda: b" cmd=xread" in replica.ask("CLIENT", "LIST"), "it waits")  # type: ignore[operator]
    monitoring.ask("MONITOR")
    primary.change("PUBLISH channel hi", "XADD new 1-1 f v")
    waiting.expect(b"*1\r\n*2\r\n$3\r\nnew\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n")
    listening.expect(b"*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$7\r\nchannel\r\n$2\r\nhi\r\n")
    listening.expect(b"*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$18\r\n__keyspace@0__:new\r\n$4\r\nxadd\r\n")
    assert b'"PUBLISH" "channel" "hi"' in monitoring.read_reply()


# What clients may do


READONLY = "READONLY You can't write against a read only replica."


@pytest.mark.parametrize("line", ["SET a 1", "FLUSHALL", "SORT l", "BLPOP l 1", "PFADD x 1", "SPOP x", "RESTORE x 0 x"])
def test_writes_are_refused(replica: Client, line: str) -> None:
    assert replica.ask(*line.split()) == Error(READONLY)


def test_a_transaction_with_a_write_is_refused(replica: Client) -> None:
    asked = [replica.ask(*line.split()) for line in ("MULTI", "GET a", "SET a 1", "EXEC")]
    refused = Error("EXECABORT Transaction discarded because of previous errors.")
    assert asked == ["OK", "QUEUED", Error(READONLY), refused]


def test_a_transaction_that_began_on_a_primary_is_refused(server: Server, primary: PlayedPrimary) -> None:
    client = server.connect()
    assert [client.ask("MULTI"), client.ask("SET", "old", "x")] == ["OK", "QUEUED"]
    follow(server, primary)
    assert client.ask("EXEC") == Error(f"EXECABORT Transaction discarded because of: {READONLY}")


def test_blocked_clients_are_disconnected_when_the_server_becomes_a_replica(
    server: Server, primary: PlayedPrimary
) -> None:
    client = server.connect()
    client.send(request("BLPOP", "nothing", 0))
    await_true(lambda: b" cmd=blpop" in server.connect().ask("CLIENT", "LIST"), "it waits")  # type: ignore[operator]
    follow(server, primary)
    client.expect(b"-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n")
    client.expect_closed()


def test_a_replica_may_accept_writes(replica: Client, primary: PlayedPrimary) -> None:
    assert replica.ask("CONFIG", "SET", "replica-read-only", "no") == "OK"
    assert (replica.ask("SET", "mine", "1"), replica.ask("GET", "mine")) == ("OK", b"1")
    primary.change_and_wait("SET b 2")  # what clients write does not count


def test_the_primary_is_a_client(replica: Client, primary: PlayedPrimary) -> None:
    primary.change_and_wait("SET b 2")
    listed: Any = replica.ask("CLIENT", "LIST", "TYPE", "master")
    assert listed.count(b"\n") == 1 and f"addr=127.0.0.1:{primary.port} ".encode() in listed and b"flags=M " in listed
    assert replica.ask("CLIENT", "KILL", "TYPE", "master") == 1
    primary.await_end()
    assert primary.greet()[0] == REPLID.encode()


def test_a_replica_that_must_not_show_old_data_answers_with_an_error(replica: Client, primary: PlayedPrimary) -> None:
    replica.ask("CONFIG", "SET", "replica-serve-stale-data", "no")
    assert replica.ask("GET", "a") == b"1"
    primary.listener.close()
    primary.hang_up()
    down = Error("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.")
    await_true(lambda: replica.ask("GET", "a") == down, "it has noticed")
    assert [replica.ask(*args) for args in (("PING",), ("EVAL", "return 1", "0"), ("SET", "a", "1"))] == [
        down,
        down,
        Error(READONLY),
    ]
    assert fields(replica)["master_link_status"] == "down"
    assert replica.ask("MULTI") == "OK" and replica.ask("GET", "a") == down


def test_a_script_that_writes_is_refused_unless_the_primary_sends_it(replica: Client, primary: PlayedPrimary) -> None:
    pytest.importorskip("lupa")
    primary.change_and_wait("""EVAL "return redis.call('append', KEYS[1], '')" 1 a""")  # as Redis before version 5 does
    primary.change_and_wait("""EVAL "#!lua\\nreturn redis.call('set', KEYS[1], 'v')" 1 b""")
    assert replica.ask("GET", "b") == b"v"
    answer = replica.ask("EVAL", "return redis.call('set', KEYS[1], '1')", "1", "a")
    assert str(answer).startswith(f"{READONLY} script: ")
    assert replica.ask("EVAL", "#!lua\nreturn 1", "0") == Error(READONLY)
    assert replica.ask("EVAL", "#!lua flags=no-writes\nreturn redis.call('get', 'a')", "0") == b"1"
    assert replica.ask("EVAL", "return redis.call('get', 'a')", "0") == b"1"


def test_hello_names_the_role(replica: Client) -> None:
    hello: Any = replica.ask("HELLO")
    assert hello[hello.index(b"role") + 1] == b"replica"


# REPLICAOF


def test_replicaof_answers_as_redis_does(server: Server, primary: PlayedPrimary) -> None:
    asked = [
        ("REPLICAOF", "127.0.0.1", "x"),
        ("REPLICAOF", "127.0.0.1", "65536"),
        ("REPLICAOF", "no", "one"),
        ("SLAVEOF", "127.0.0.1", str(primary.port)),
        ("REPLICAOF", "127.0.0.1", str(primary.port)),
        ("CONFIG", "GET", "replicaof"),
        ("CONFIG", "SET", "replicaof", "x 1"),
        ("SLAVEOF", "NO", "ONE"),
        ("CONFIG", "GET", "replicaof"),
    ]
    with redis_server() as real:
        theirs, ours = real.connect(), server.connect()
        assert [ours.ask(*args) for args in asked] == [theirs.ask(*args) for args in asked]


def test_a_replica_becomes_a_primary_that_its_replicas_can_follow(
    server: Server, replica: Client, primary: PlayedPrimary
) -> None:
    primary.change_and_wait("SET b 2")
    assert replica.ask("REPLICAOF", "NO", "ONE") == "OK"
    primary.await_end()
    assert replica.ask("SET", "mine", "1") == "OK"
    found = fields(replica)
    following = primary.offset + 1
    assert (found["role"], found["master_replid2"], found["second_repl_offset"]) == ("master", REPLID, str(following))
    other = server.connect()
    for args in (["REPLCONF", "capa", "psync2"], ["PSYNC", REPLID, following]):
        other.send(request(*args))
    other.expect(b"+OK\r\n+CONTINUE %b\r\n" % found["master_replid"].encode())
    other.expect(stream(["SELECT 0", "SET mine 1"]))


def test_the_stream_is_passed_on_as_it_is(server: Server, replica: Client, primary: PlayedPrimary) -> None:
    other = server.connect()
    for args in (["REPLCONF", "capa", "psync2"], ["PSYNC", REPLID, 1001]):
        other.send(request(*args))
    other.expect(b"+OK\r\n+CONTINUE %b\r\n" % REPLID.encode())
    lines = ["SELECT 3", "MULTI", "SET b 2", "EXEC", "PING", "SET c 3", "NOSUCH x"]
    primary.change(*lines)
    other.expect(stream(lines))


# Primaries that lie


def damaged(data: bytes) -> bytes:
    return data[:-12] + bytes([data[-12] ^ 1]) + data[-11:]


FULL = b"+FULLRESYNC %b 0\r\n" % REPLID.encode()
WHOLE = snapshot_of(*DATA)
LIES: dict[str, tuple[bytes, bool, str]] = {  # the bytes after PSYNC; whether the primary hangs up; what is logged
    "nonsense instead of an answer": (b"HTTP/1.1 400 Bad Request\r\n\r\n", False, "PSYNC was answered with HTTP/1.1"),
    "an error": (b"-NOMASTERLINK Can't SYNC while not connected with my master\r\n", False, "-NOMASTERLINK Can't"),
    "a line without an end": (b"x" * 100_000, False, "a line without an end"),
    "a wrong ID": (b"+FULLRESYNC abc 0\r\n", False, "PSYNC was answered with +FULLRESYNC abc 0"),
    "no length": (FULL + b"*1\r\n$4\r\nPING\r\n", False, "a snapshot cannot begin with b'*1'"),
    "a negative length": (FULL + b"$-1\r\n", False, "a snapshot cannot begin with b'$-1'"),
    "an error instead of a snapshot": (FULL + b"-ERR no fork\r\n", False, "the primary cannot send a snapshot"),
    "a snapshot that ends early": (FULL + b"$%d\r\n" % len(WHOLE) + WHOLE[:-20], True, "the connection was closed"),
    "a marked one that ends early": (FULL + b"$EOF:%b\r\n" % MARK + WHOLE, True, "the connection was closed"),
    "an empty snapshot": (FULL + b"$0\r\n", False, "cannot be loaded: at byte 0: it is empty"),
    "a length that is too small": (FULL + b"$%d\r\n" % (len(WHOLE) - 9) + WHOLE, False, "the file ends too early"),
    "a wrong checksum": (FULL + b"$%d\r\n" % len(WHOLE) + damaged(WHOLE), False, "cannot be loaded: at byte"),
    "no snapshot": (FULL + b"$100\r\n" + b"x" * 100, False, "cannot be loaded: at byte 0"),
    "a value that cannot be": (
        FULL + b"$26\r\nREDIS0010\xfe\x00\x12\x01b\x05\x00\x00\xff" + bytes(8), False, "a list node of an unknown type",
    ),
    "a database that there is not": (
        FULL + b"$25\r\nREDIS0010\xfe\x20\x00\x01a\x011\xff" + bytes(8), False, "DB index is out of range",
    ),
    "nonsense in the stream": (b"+CONTINUE\r\nnonsense\r\n", False, "the stream is damaged: expected '*'"),
    "a header without an end": (b"+CONTINUE\r\n*" + b"1" * 100_000, False, "the stream is damaged"),
    "a length beyond all limits": (b"+CONTINUE\r\n*1\r\n$99999999999999\r\n", False, "a unit that is too long"),
    "a count beyond all limits": (b"+CONTINUE\r\n*999999999\r\n", False, "a unit that is too long"),
    "MULTI in MULTI": (b"+CONTINUE\r\n" + 2 * request("MULTI"), False, "MULTI inside MULTI"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_primary_that_lies_changes_nothing_and_is_logged_once(
    server: Server, primary: PlayedPrimary, lie: str
) -> None:
    sent, hangs_up, problem = LIES[lie]
    before = server.connect().ask("GET", "old"), server.connect().ask("DBSIZE")
    client = follow(server, primary)
    primary.greet()
    with suppress(ConnectionError):
        primary.send(sent)
    if hangs_up:
        primary.hang_up()
    else:
        primary.await_end()
    await_true(lambda: problem in server.errors, "it is logged")
    assert (client.ask("GET", "old"), client.ask("DBSIZE")) == before == (b"data", 1)
    lines = [line for line in server.errors.splitlines() if not line.endswith("it continues")]
    assert len(lines) == 1, lines
    assert fields(client)["master_link_status"] == "down"


def test_after_a_damaged_stream_all_data_is_asked_for(replica: Client, primary: PlayedPrimary) -> None:
    primary.send(b"nonsense")
    primary.await_end()
    assert primary.greet() == [b"?", b"-1"]


@pytest.mark.parametrize("problem", ["no disk", "a damaged snapshot"])
def test_a_snapshot_that_is_of_no_use_is_not_asked_for_each_second(tmp_path: Path, problem: str) -> None:
    peer = InProcess(dir=str(tmp_path / "missing" if problem == "no disk" else tmp_path))
    dialled: list[Conversation] = []
    peer.engine.dial = lambda host, port, conversation, timeout: dialled.append(conversation)
    peer.ask("REPLICAOF 127.0.0.1 1")
    replica = peer.engine.replica
    assert replica is not None
    for number, seconds in enumerate((2, 4, 8), start=1):
        replica.tick(peer.now)
        assert len(dialled) == number
        replica.opened(Deaf())
        replica.received(3 * b"+OK\r\n")
        replica.received(FULL + b"$9\r\nREDIS0010")
        peer.now += seconds * 1000 - 1
        replica.tick(peer.now)
        assert len(dialled) == number
        peer.now += 1


class Deaf:
    """A connection over which nothing is heard (a `Line`)."""

    unsent = 0

    def write(self, data: bytes) -> None: ...
    def again(self) -> None: ...
    def limit_silence(self, milliseconds: int) -> None: ...
    def close(self) -> None: ...


def test_an_unreachable_primary_is_logged_once(server: Server, primary: PlayedPrimary) -> None:
    primary.listener.close()
    client = follow(server, primary)
    # The end of an earlier test's primary may be read only now: this test's own lines are told by their port.
    address = f"127.0.0.1:{primary.port}"
    await_true(lambda: address in server.errors, "it is logged")
    assert client.ask("ROLE") in (role(primary, b"connect", -1), role(primary, b"connecting", -1))
    logged = [line for line in messages(server.errors).splitlines() if address in line]
    assert logged == [f"no replication from {address}: Connection refused"]


def test_a_wrong_password_is_logged(server: Server, primary: PlayedPrimary) -> None:
    client = follow(server, primary)
    client.ask("CONFIG", "SET", "masterauth", "wrong")
    primary.accept()
    assert primary.next_request() == [b"PING"]
    primary.send(b"-NOAUTH Authentication required.\r\n")
    assert primary.next_request() == [b"AUTH", b"wrong"]
    primary.send(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")
    primary.await_end()
    await_true(lambda: "AUTH was answered with -WRONGPASS invalid" in server.errors, "it is logged")


@pytest.mark.slow
def test_a_silent_primary_is_given_up(server: Server, primary: PlayedPrimary) -> None:
    server.connect().ask("CONFIG", "SET", "repl-timeout", 1)
    follow(server, primary)
    primary.greet()
    primary.await_end()
    await_true(lambda: "the primary is silent" in server.errors, "it is logged")


# The stream and the states, by themselves


@pytest.mark.parametrize("piece", [1, 2, 39, 40, 41, 1000])
@pytest.mark.parametrize("header", [b"$%d" % len(WHOLE), b"$EOF:%b" % MARK])
def test_a_snapshot_is_complete_wherever_its_bytes_are_cut(tmp_path: Path, header: bytes, piece: int) -> None:
    transfer = Transfer(header, tmp_path)
    sent = WHOLE + MARK * header.startswith(b"$EOF") + b"the stream"
    at, rest = 0, None
    while rest is None:
        rest = transfer.take(sent[at : at + piece])
        at += piece
    assert rest + sent[at:] == b"the stream"
    assert next(transfer.requests()) == [b"SELECT", b"0"]


@pytest.mark.parametrize("piece", [1, 2, 13, 1000])
def test_the_stream_is_split_wherever_it_is_cut(piece: int) -> None:
    lines = ["SET a 1", "MULTI", "SET a 2", "SET b 3", "EXEC", "SET c " + 300 * "x", "PING"]
    data = stream(lines)
    split, units, taken = Stream(10_000), [], b""
    for at in range(0, len(data), piece):
        split.feed(data[at : at + piece])
        units += list(split.units())
        taken += split.taken()
    assert [len(unit) for unit in units] == [1, 2, 1, 1]
    assert taken == data


def test_work_on_a_long_unit_is_proportional_to_its_length() -> None:
    """50 000 arguments in pieces of 1 KB: to parse all that has come after each piece would take many seconds."""
    data = request("RPUSH", "l", *("x" * 20 for _ in range(50_000)))
    split, units = Stream(1 << 30), []
    clock = busy_time_of(os.getpid())
    began = clock()
    for at in range(0, len(data), 1024):
        split.feed(data[at : at + 1024])
        units += list(split.units())
    assert [len(unit[0]) for unit in units] == [50_002]
    assert clock() - began < 3


def test_a_unit_beyond_the_limit_is_refused() -> None:
    split = Stream(1000)
    split.feed(request("MULTI"))
    for _ in range(10):
        split.feed(request("SET", "a", "x" * 70))
        list(split.units())
    split.feed(request("SET", "a", "x" * 70))
    with pytest.raises(Malformed):
        list(split.units())


def test_every_state_of_a_replica_can_be_reached_and_left() -> None:
    assert set(TRANSITIONS) == set(State)
    reached = {state for row in TRANSITIONS.values() for state in row.values()}
    assert reached == set(State)
    assert {event for row in TRANSITIONS.values() for event in row} == set(Event)
    assert [state for state, row in TRANSITIONS.items() if Event.LEFT not in row] == [State.OVER]


def test_a_write_is_refused_in_a_pipeline_of_a_transaction(replica: Client) -> None:
    replica.send(request("MULTI") + request("GET", "b") + request("SET", "b", 2) + request("EXEC"))
    refused = b"-READONLY You can't write against a read only replica.\r\n"
    aborted = b"-EXECABORT Transaction discarded because of previous errors.\r\n"
    replica.expect(b"+OK\r\n+QUEUED\r\n" + refused + aborted)
