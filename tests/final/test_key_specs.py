"""Where the keys of a request stand: commands say the same as in the real Redis, and all that depends on it agrees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import final.commands  # noqa: F401  (they enter themselves into the table)
from final.engine.command import COMMANDS
from stages.harness.wire import Client, Error
from tests.support.oracle import InProcess, args_of, final_server, redis_server

REQUESTS = """
SET k v|SET k v GET|GETEX k|GETDEL k|MSET a 1 b 2|MSETNX a 1 b 2|MGET a b c|COPY a b|RENAME a b|LCS a b
SORT k BY w* GET v*|SORT k STORE d|SORT k STORE a STORE b|SORT_RO k BY w*|LMOVE a b LEFT RIGHT|BLMOVE a b LEFT LEFT 0
BLPOP a b 0|LMPOP 2 a b LEFT|BLMPOP 0 1 a RIGHT COUNT 2|ZMPOP 1 a MIN|BZMPOP 0 2 a b MAX|BZPOPMIN a b 0|SMOVE a b m
ZUNION 2 a b|ZUNION 0 a|ZUNION x a|ZUNION 5 a b|ZUNIONSTORE d 2 a b WEIGHTS 1 2|ZDIFFSTORE d 1 a|ZINTERCARD 2 a b
SINTERCARD 2 a b LIMIT 1|SINTERSTORE d a b|SUNIONSTORE d a|SDIFF a b|ZRANGESTORE d s 0 -1|EVAL s 0|EVAL s 2 a b c
EVAL s x|EVALSHA_RO s 1 a|OBJECT ENCODING k|MEMORY USAGE k|WATCH a b|TOUCH a b|DEL a b|EXPIRE k 1|XYZ a|PING|GET
CONFIG GET x|OBJECT HELP|RANDOMKEY x|XADD k * f v|XTRIM k MAXLEN 1|XGROUP CREATE k g 0|XGROUP HELP|XINFO STREAM k
XREAD STREAMS a b 0 0|XREAD COUNT 1 BLOCK 0 STREAMS a 0|XREAD STREAMS a b 0|XREAD STREAMS a|XREAD a b c|XACK k g 1
XREAD STREAMS STREAMS 0|XREAD COUNT 1 a b
MIGRATE h 1 k 0 9|MIGRATE h 1 k 0 9 KEYS a b|MIGRATE h 1 "" 0 9 KEYS a b|MIGRATE h 1 "" 0 9 KEYS|MIGRATE h 1 "" 0 9
MIGRATE h 1 k 0 9 AUTH KEYS|MIGRATE h 1 "" 0 9 copy replace AUTH KEYS keys a|MIGRATE h 1 "" 0 9 AUTH2 KEYS KEYS COPY a
MIGRATE h 1 "" 0 9 AUTH2 KEYS KEYS KEYS a b|MIGRATE h 1 k 0|MIGRATE h 1 k 0 9 COPY|MIGRATE h 1 k 0 9 AUTH2 a
XREADGROUP GROUP g c STREAMS a >|XREADGROUP GROUP STREAMS STREAMS NOACK STREAMS a b > >|XREADGROUP GROUP g c NOACK a >
"""
LOOK_UPS = """
ZUNION 2 z t|ZINTER 2 z none|ZDIFF 2 z t|ZINTERCARD 2 z t|SINTERCARD 2 t none|SORT_RO l BY none|SORT l BY none
SORT l ALPHA STORE d|ZUNIONSTORE d 2 z none|SINTERSTORE d t none|SUNION t none|SET s 1|COPY s c|OBJECT ENCODING s
MEMORY USAGE s|TYPE s|TTL s|EXISTS s none|TOUCH s none|WATCH s|LCS s s|MGET s none l|LPOP l|RENAME c e|PERSIST s
EXPIRE s 100|LPOS l c|ZRANGESTORE d z 0 -1|SCAN 0|HSCAN h 0|ZRANGEBYSCORE none 0 1|SMEMBERS t|APPEND s x|STRLEN s
XADD x 1 f v|XRANGE x - +|XLEN none|XGROUP CREATE x g 0|XGROUP SETID x g 0
XACK x g 1|XACK none g 1|XINFO STREAM x|XINFO GROUPS none|XPENDING x g|XCLAIM x g c 0 1|XAUTOCLAIM x g c 0 0|XDEL x 1
XTRIM x MAXLEN 1|XSETID x 5|XREVRANGE none + -|XGROUP DESTROY x g
XREAD STREAMS x 0|XREAD STREAMS none x 0 0|XREADGROUP GROUP no c STREAMS x >|XINFO STREAM none|XPENDING none g
GETSET none 1|GETDEL none|GETEX none|GETEX s|SET none 1 GET|GETDEL none|SET s 2 GET|PFCOUNT none|PFCOUNT s
PFMERGE p none|BITFIELD none GET u1 0|BITFIELD s GET u1 0|BITFIELD s SET u1 0 0|GETRANGE none x 1|GETRANGE l 0 1
LPOS l a RANK 0|OBJECT FREQ none|MEMORY USAGE none|GEOSEARCH none FROMLONLAT 1 1 BYRADIUS 1 m
GEODIST none a b|PFDEBUG GETREG none
HGETALL none|HINCRBY h a 1|SMOVE t u a|SISMEMBER t b|BLPOP l 1|LRANGE l 0 -1|EXPIRETIME s|ZRANDMEMBER z|SETNX s 1
MIGRATE 127.0.0.1 1 s 0 9|MIGRATE h 1 none 0 9|MIGRATE 127.0.0.1 1 "" 0 9 KEYS none s none
"""
BEGIN = "SET s 1|RPUSH l a b c d e|SADD t a b|ZADD z 1 a 2 b|HSET h a 1"
Pair = tuple[Client, Client]


def lines(text: str) -> list[str]:
    """The requests of a table."""
    return [each for line in text.strip().splitlines() for each in line.split("|")]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """A client of ours and one of the real Redis, both with the same data."""
    with ExitStack() as stack:
        servers = [stack.enter_context(start()) for start in (final_server, redis_server)]
        clients = [server.connect() for server in servers]
        for client in clients:
            for request in lines(BEGIN):
                client.ask(*request.split())
        yield clients[0], clients[1]


def comparable(reply: Any) -> Any:
    """A reply in which the order of flags, which are sets, does not matter."""
    if isinstance(reply, list) and reply and all(isinstance(each, str) for each in reply):
        return sorted(reply)
    if isinstance(reply, list):
        return [comparable(each) for each in reply]
    return (reply.text if hasattr(reply, "text") else str(reply)) if isinstance(reply, Error) else reply


@pytest.mark.parametrize("name", [name.decode() for name, entry in COMMANDS.items() if entry.key_specs])
def test_the_key_specifications_are_those_of_redis(pair: Pair, name: str) -> None:
    ours, theirs = (client.ask("COMMAND", "INFO", name) for client in pair)
    assert isinstance(ours, list) and isinstance(theirs, list)
    (our,), (their,) = ours, theirs
    assert our[3:6] == their[3:6]
    assert comparable(our[8]) == comparable(their[8])


@pytest.mark.parametrize("request_", lines(REQUESTS))
@pytest.mark.parametrize("subcommand", ["GETKEYS", "GETKEYSANDFLAGS"])
def test_the_keys_of_a_request_are_those_that_redis_finds(pair: Pair, subcommand: str, request_: str) -> None:
    ours, theirs = (client.ask("COMMAND", subcommand, *args_of(request_)) for client in pair)
    assert comparable(ours) == comparable(theirs)


def counts(client: Client) -> tuple[int, int]:
    """The hits and misses that a server has counted."""
    info = client.ask("INFO", "stats")
    assert isinstance(info, bytes)
    found = dict(line.split(b":") for line in info.splitlines() if line.startswith(b"keyspace_"))
    return int(found[b"keyspace_hits"]), int(found[b"keyspace_misses"])


@pytest.mark.parametrize("request_", lines(LOOK_UPS))
def test_a_request_counts_as_many_hits_and_misses_as_in_redis(pair: Pair, request_: str) -> None:
    found = []
    for client in pair:
        hits, misses = counts(client)
        client.ask(*args_of(request_))
        client.ask("UNWATCH")
        after = counts(client)
        found.append((after[0] - hits, after[1] - misses))
    assert found[0] == found[1]


@pytest.mark.parametrize("request_", ["ZUNION 1 z", "SINTERCARD 1 t", "SORT_RO l", "ZUNIONSTORE d 1 z"])
def test_a_request_counts_as_a_use_of_each_of_its_keys(request_: str) -> None:
    peer = InProcess(maxmemory=1 << 30)
    for each in lines(BEGIN):
        peer.ask(each)
    key = request_.split()[-1]
    peer.ask(f"OBJECT IDLETIME {key}")
    peer.now += 5000
    assert peer.ask(f"OBJECT IDLETIME {key}") == ":5"
    peer.ask(request_)
    assert peer.ask(f"OBJECT IDLETIME {key}") == ":0"
