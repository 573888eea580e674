"""Whatever comes in, final/ answers or says what is wrong with it; it breaks nothing, and takes no more than its share.

A longer run: EXAMPLES=100000 pytest tests/survival/test_input.py, SEED=… for other bytes over the wire, and
`python3 -m tests.tools.fuzzing --seconds 600`, which `--coverage` guides.
"""

from __future__ import annotations

import os
import random
import re
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from final.protocol import reader as reader_module
from final.protocol.reader import ProtocolError, Reader
from stages.harness.server import Server
from stages.harness.wire import request as encoded
from tests.support.folders import data_of, flush, opened
from tests.support.observing import info_number
from tests.support.oracle import UNORDERED, InProcess, OverTheWire, final_server, redis_server, shown
from tests.support.shared import Shared
from tests.tools.fuzzing import corpus, crowd, malformed, mutations, target
from tests.tools.fuzzing.mutations import Piece

EXAMPLES = int(os.environ.get("EXAMPLES", "100"))
SEED = int(os.environ.get("SEED", "1"))
VISITS = int(os.environ.get("VISITS", "400"))
LONG = 300_000  # bytes: what takes quadratic time for so many takes minutes
fuzz = partial(settings, deadline=None, suppress_health_check=list(HealthCheck))
SEEDS = st.integers(0, 2**63)  # what one of them does, `python3 -m tests.tools.fuzzing --only SEED` does again


# In process


@fuzz(max_examples=EXAMPLES)
@given(SEEDS)
def test_a_conversation_gone_wrong_is_answered_however_it_is_cut(seed: int) -> None:
    drawn = random.Random(seed)
    target.check(mutations.conversation(drawn), partial(mutations.cut, drawn))


@fuzz(max_examples=EXAMPLES)
@given(st.lists(st.binary(max_size=40), max_size=5), SEEDS)
def test_any_bytes_are_answered_however_they_are_cut(data: list[bytes], seed: int) -> None:
    drawn = random.Random(seed)
    pieces = [Piece(0, each) for each in data] + [Piece(1, malformed.stream(drawn))]
    target.check(pieces, partial(mutations.cut, drawn))


ARGUMENTS = [b"", b"\r\n", b"$1\r\nx", b"v" * 64, b"v" * 9000, *(b"%d" % number for number in range(20))]


@fuzz(max_examples=EXAMPLES // 4)
@given(SEEDS, st.sampled_from([b"$x\r\n", b"$-1\r\n", b"3\r\nabc\r\n", b"$2\r\nabc\r\n", b""]))
def test_a_request_of_many_arguments_is_read_however_it_is_cut(seed: int, damage: bytes) -> None:
    drawn = random.Random(seed)
    plain = drawn.random() < 0.5
    args = drawn.choices(ARGUMENTS[5:] if plain else ARGUMENTS, k=drawn.randrange(1, 3000))
    data = encoded(*args)
    if damage:
        at = drawn.choice([found.start() for found in re.finditer(rb"\$", data)])
        data = data[:at] + damage + data[at:]

    def read(pieces: list[bytes]) -> tuple[list[list[bytes]], str]:
        reader, found = Reader(), list[list[bytes]]()
        try:
            for piece in pieces:
                reader.feed(piece)
                while (each := reader.next()) is not None:
                    found.append(each)
        except ProtocolError as error:
            return found, str(error)
        return found, ""

    places = sorted(drawn.choices(range(len(data)), k=drawn.choice([0, 3, 10, len(data) // 3000])))
    ends = [*places, len(data)]
    pieces = [data[start:end] for start, end in zip([0, *places], ends, strict=True)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader_module, "MANY", len(args) + 1)  # one argument after the other
        expected = read([data])
    assert read(pieces) == expected and (damage or expected == ([args], ""))


@fuzz(max_examples=EXAMPLES // 4)
@given(SEEDS)
def test_what_a_conversation_left_behind_comes_back_from_the_log(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    peer = opened(folder)
    try:
        with target.limited():
            target.replies(mutations.conversation(random.Random(seed)), lambda data: [data], peer)
    except target.TooLong:
        return
    flush(peer)
    assert recorded(opened(folder, peer.now)) == recorded(peer)


def recorded(peer: InProcess) -> Any:
    """The data, without consumers: in Redis, too, one that has only read its history is in no record of the log."""
    creation = (b"XGROUP", b"CREATECONSUMER")
    return {
        index: {
            key: ([each for each in value if each[:2] != creation] if isinstance(value, list) else value, deadline)
            for key, (value, deadline) in keys.items()
        }
        for index, keys in data_of(peer).items()
    }


# Compared with a real Redis


@pytest.fixture(scope="module")
def shared() -> Iterator[dict[str, Shared]]:
    with Shared(final_server) as ours, Shared(redis_server) as real:
        yield {"final": ours, "redis": real}


@pytest.fixture
def redis(shared: dict[str, Shared]) -> Server:
    return shared["redis"].clean()


@pytest.fixture
def final(shared: dict[str, Shared]) -> Server:
    return shared["final"].clean()


def test_what_is_no_request_is_refused_with_the_words_of_redis(redis: Server, final: Server) -> None:
    drawn = random.Random(SEED)
    streams = [malformed.stream(drawn) for _ in range(EXAMPLES * 3)]
    with ThreadPoolExecutor(100) as pool:
        ours, real = (list(pool.map(partial(malformed.answer, server.port), streams)) for server in (final, redis))
    differ = [each for each in zip(streams, ours, real, strict=True) if each[1] != each[2]]
    assert not differ, f"SEED={SEED}: {len(differ)} differ, the first: {differ[0]}"


WORDS = {
    "digits": b"1" * LONG, "digits and a letter": b"1" * LONG + b"x", "decimals": b"0." + b"1" * LONG,
    "hexadecimal, and then not": b"0x" + b"f" * LONG + b"g", "zeros": b"0" * LONG,
    "a long exponent": b"1e" + b"1" * LONG, "stars": b"*a" * (LONG // 2), "sets": b"[a]" * (LONG // 3),
    "one set": b"[" + b"a" * (LONG // 4) + b"]", "escapes": b"\\a" * (LONG // 2), "blanks": b" " * LONG,
    "quotes": b'"' * LONG,
}  # fmt: skip
TAKING = """
    KEYS $ | SCAN 0 MATCH $ | SCAN $ | CONFIG GET $ | ZADD z $ m | ZRANGEBYSCORE z $ $ | ZCOUNT z ($ $ | INCRBYFLOAT f $
    HINCRBYFLOAT h f $ | SET k $ | INCRBYFLOAT k 1 | INCR k | BLPOP none none 0.001 $ | SORT l BY $ | LPOS l a RANK $
    CONFIG SET maxmemory $ | CONFIG SET hz $ | SPOP s $ | SRANDMEMBER s $ | CLIENT KILL ID $ | SINTERCARD $ s
    XADD x $ f v | XADD x MAXLEN ~ $ 1-1 f v | XADD x MAXLEN 1 LIMIT $ 1-1 f v | XRANGE x $ + | XRANGE x - + COUNT $
    XREAD BLOCK $ STREAMS x 0 | XREAD STREAMS x $ | XGROUP CREATE x g $ MKSTREAM | XGROUP CREATE x $ 0 MKSTREAM
    XCLAIM x g c $ 1-1 | XCLAIM x g c 0 $ | XAUTOCLAIM x $ c 0 0 | XPENDING x $ | XSETID x 1-1 ENTRIESADDED $
    SELECT $ | EXPIRE k $ | CLIENT UNBLOCK $ | OBJECT FREQ $ | PUNSUBSCRIBE $ | $
"""
REQUESTS = [each.split() for line in TAKING.strip().splitlines() for each in line.split("|")]


@pytest.mark.parametrize("arg", WORDS.values(), ids=WORDS)
def test_a_long_word_is_answered_as_by_redis_and_in_time(redis: Server, arg: bytes) -> None:
    requests = [[part.encode().replace(b"$", arg) for part in parts] for parts in REQUESTS]
    setting = [[b"FLUSHALL"], [b"RPUSH", b"l", b"a"], [b"SADD", b"s", b"a"], [b"ZADD", b"z", b"1", b"a"]]
    real = OverTheWire(redis.connect()).ask_all([*setting, *requests])
    with target.limited():
        ours = InProcess().ask_all([*setting, *requests])
    for args, answer, expected in zip([*setting, *requests], ours, real, strict=True):
        if args[0].lower() in UNORDERED:
            answer, expected = (b" ".join(sorted(reply.split())) for reply in (answer, expected))
        assert answer == expected, f"{args[0]!r}: {shown(answer)[:200]}, but Redis: {shown(expected)[:200]}"


QUOTING = """
    $ a b | CLIENT $ | OBJECT $ k | CONFIG SET $ x | EXPIRE k 1 $ | HELLO 3 $ | LATENCY GRAPH $ | REPLCONF $ x
    REPLCONF rdb-filter-only $ | CLIENT KILL TYPE $ | CLIENT KILL USER $ | CLIENT LIST TYPE $ | FUNCTION LIST $
    ACL CAT $ | ACL SETUSER u +$ | ACL SETUSER u ($ | ACL DRYRUN $ get k | ACL DRYRUN default $
"""
QUOTED = {"long": b"X" * 300, "two bytes a letter": "é".encode() * 150, "a zero byte": b"a\0B", "quotes": b"q'\"\r\nz"}


@pytest.mark.parametrize("arg", QUOTED.values(), ids=QUOTED)
def test_an_error_quotes_an_argument_as_redis_does(redis: Server, arg: bytes) -> None:
    lines = [each.split() for line in QUOTING.strip().splitlines() for each in line.split("|")]
    requests = [[part.encode().replace(b"$", arg) for part in parts] for parts in lines]
    ours, real = InProcess().ask_all(requests), OverTheWire(redis.connect()).ask_all(requests)
    for args, answer, expected in zip(requests, ours, real, strict=True):
        assert answer == expected, f"{args!r}: {shown(answer)}, but Redis: {shown(expected)}"


def test_a_word_as_long_as_the_limit_is_taken_and_one_byte_more_is_not(redis: Server, final: Server) -> None:
    for server in (redis, final):
        client = server.connect()
        client.check(encoded("CONFIG", "SET", "proto-max-bulk-len", "1mb"), b"+OK\r\n")  # not only for new ones
        client.check(encoded("SET", "k", b"x" * (1 << 20)) + encoded("APPEND", "k", "y"), b"+OK\r\n" + TOO_LONG)
        client.check(encoded("SETRANGE", "k", 1 << 20, "y"), TOO_LONG)
        client.check(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048577\r\n", b"-ERR Protocol error: invalid bulk length\r\n")
        client.expect_closed()


TOO_LONG = b"-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"


def test_members_are_not_repeated_without_end() -> None:
    peer = InProcess()
    assert [peer.ask(line) for line in ("SADD s a", "HSET h f 1", "ZADD z 1 a")] == [":1"] * 3
    for command in ("SRANDMEMBER s", "HRANDFIELD h", "ZRANDMEMBER z"):
        assert peer.ask(f"{command} -1000").startswith("*1000 ")
        assert peer.ask(f"{command} -1048577") == "-ERR value is out of range"


# Over the wire


def test_a_crowd_that_talks_nonsense_and_leaves_does_no_harm() -> None:
    options = ("--proto-max-bulk-len", "1mb", "--enable-debug-command", "no", "--busy-reply-threshold", "60000")
    with final_server(*options) as server:
        process = info_number(server.connect(), "process_id")  # a visitor may set a password
        before = crowd.memory(process)
        with ThreadPoolExecutor(16) as pool:
            ports = [server.port] * VISITS
            seeds = map(random.Random, range(SEED, SEED + VISITS))
            list(pool.map(crowd.visit, ports, seeds))
        assert server.alive, f"SEED={SEED}: it has ended: {server.errors}"
        client = server.connect()
        for password in corpus.passwords():  # one of the crowd may have set one of them
            client.ask("AUTH", password)
        client.check(encoded("PING"), b"+PONG\r\n")
        assert "Traceback" not in server.errors, f"SEED={SEED}: {server.errors}"
        assert crowd.memory(process) - before < 300 << 20


ANNOUNCED = {
    "a thousand million words": b"*1000000000\r\n$3\r\nSET\r\n",
    "half a gigabyte": b"*2\r\n$4\r\nECHO\r\n$536870912\r\n",
    "a line": b"PING" * 200, "a header": b"*1000",
}  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of another process is read from /proc")
@pytest.mark.parametrize("half", ANNOUNCED.values(), ids=ANNOUNCED)
def test_what_is_only_announced_takes_no_memory(final: Server, half: bytes) -> None:
    clients = int(os.environ.get("CLIENTS", "400"))
    process = info_number(final.connect(), "process_id")
    before = crowd.memory(process)
    with ExitStack() as stack:
        for _ in range(clients):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", final.port), 10))
            connection.sendall(half)
        final.connect().check(encoded("PING"), b"+PONG\r\n")
        each = (crowd.memory(process) - before) / clients
    assert each < 20_000, f"{each:.0f} bytes for each client"


# Before the password, and by web browsers

AUTHENTICATE = encoded("AUTH", "pw")
NOT_YET = b"-NOAUTH Authentication required.\r\n"
NO_WORDS = b", with args beginning with: \r\n"
UNKNOWN = b"-ERR unknown command 'x', with args beginning with: " + b"'x' " * 9 + b"\r\n"
MANY = b"-ERR Protocol error: unauthenticated multibulk length\r\n"
LENGTH = b"-ERR Protocol error: unauthenticated bulk length\r\n"
GUARDED = {  # what is sent; what is answered, and whether the server hangs up then
    "11 words": ([b"*11\r\n"], MANY, True),
    "11 words behind a request": ([b"PING\r\n*11\r\n"], NOT_YET + MANY, True),
    "10 words": ([encoded(*["x"] * 10)], UNKNOWN, False),
    "a word of 16385 bytes": ([b"*2\r\n$4\r\nECHO\r\n$16385\r\n"], LENGTH, True),
    "a word of 16384 bytes": ([b"*1\r\n$16384\r\n"], b"", False),
    "a count that is none": ([b"*2147483648\r\n"], b"-ERR Protocol error: invalid multibulk length\r\n", True),
    "many words in a line": ([b"MGET" + b" x" * 30 + b"\r\n"], NOT_YET, False),
    "11 words with the password": ([AUTHENTICATE, b"*11\r\n"], b"+OK\r\n", False),
    "11 words right behind the password": ([AUTHENTICATE + b"*11\r\n$16385\r\n"], b"+OK\r\n", False),
    "POST": ([b"POST / HTTP/1.1\r\n"], b"", True),
    "Host:": ([b"Host: x\r\n"], b"", True),
    "GET by a browser": ([b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], b"", True),
    "POST in an array": ([encoded("post")], b"", True),
    "Host: in an array": ([encoded("HOST:", "x")], b"", True),
    "POST behind a request": ([b"PING\r\nPOST / HTTP/1.1\r\nPING\r\n"], b"", True),
    "POST in a transaction": ([AUTHENTICATE, b"MULTI\r\n", b"POST /\r\n"], b"+OK\r\n+OK\r\n", True),
    "POST after the password": ([AUTHENTICATE, b"POST /\r\nPING\r\n"], b"+OK\r\n", True),
    "Host:x": ([AUTHENTICATE, b"Host:x\r\n"], b"+OK\r\n-ERR unknown command 'Host:x'" + NO_WORDS, False),
}


@pytest.fixture(scope="module")
def guarded() -> Iterator[dict[str, Server]]:
    with redis_server() as real, final_server() as final:
        for server in (real, final):
            server.connect().ask("CONFIG", "SET", "requirepass", "pw")
        yield {"redis": real, "final": final}


# An iteration of the event loop may be over behind the first request, on a busy machine: then its reply is sent.
EARLIER = {
    "GET by a browser": b"-ERR wrong number of arguments for 'get' command\r\n",
    "POST behind a request": b"-NOAUTH Authentication required.\r\n",
}


@pytest.mark.parametrize("name", GUARDED)
@pytest.mark.parametrize("who", ["redis", "final"])
def test_who_has_not_said_the_password_may_say_little_and_a_browser_nothing(
    guarded: dict[str, Server], who: str, name: str
) -> None:
    chunks, expected, hangs_up = GUARDED[name]
    heard = b""
    with socket.create_connection(("127.0.0.1", guarded[who].port), malformed.SILENCE) as connection:
        closed = False
        for chunk in chunks:
            connection.sendall(chunk)
            try:
                received = connection.recv(1 << 16)
                heard, closed = heard + received, not received
            except TimeoutError:
                pass
            except ConnectionResetError:
                closed = True
        if hangs_up and not closed:
            closed = not connection.recv(1 << 16)
    earlier = EARLIER.get(name, b"") if who == "final" else b""
    assert (heard in (expected, earlier), closed) == (True, hangs_up), heard
