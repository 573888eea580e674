"""What a client is sent, byte for byte as by a real Redis: replies that CLIENT REPLY mutes, and pushes between replies.

A scene has a line for each chunk that a client, which a letter names, sends: ` ; ` separates its requests. `WAIT` at
the end waits until no client is blocked, and `UNBLOCK A …` is CLIENT UNBLOCK with A's ID.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from stages.harness import wire
from stages.harness.server import Server
from stages.harness.wire import request
from tests.support.oracle import PATIENCE, args_of, final_server, redis_server, skip_without_lua
from tests.support.shared import Shared

SCENES = """
# CLIENT REPLY and commands that wait
A: CLIENT REPLY OFF ; BLPOP a 0 ; PING
X: RPUSH a 1
X: LLEN a
A: CLIENT REPLY ON ; CLIENT REPLY SKIP ; BLPOP a 0 ; PING
X: RPUSH a 1
A: PING
X: RPUSH a 1
A: CLIENT REPLY SKIP ; BLPOP a 0 ; PING
A: CLIENT REPLY SKIP ; BLPOP a 0.05 ; PING ; WAIT
A: CLIENT REPLY SKIP ; BLPOP a 0 ; PING
X: UNBLOCK A ERROR
A: CLIENT REPLY OFF ; BLPOP a 0.05 ; PING ; WAIT
A: BLMOVE a b LEFT LEFT 0 ; BZPOPMIN z 0 ; XREAD BLOCK 0 STREAMS s $ ; PING
X: RPUSH a 1
X: ZADD z 1 a
X: XADD s 1 f v
A: BLMOVE a wrong LEFT LEFT 0
X: SET wrong 1 ; RPUSH a 1
A: CLIENT REPLY ON
# Commands that wait for replicas
A: CLIENT REPLY SKIP ; WAIT 1 50 ; PING ; WAIT
A: CLIENT REPLY SKIP ; WAIT 1 0 ; PING
X: UNBLOCK A
A: WAIT 1 0 ; PING
X: UNBLOCK A
A: WAIT 1 0 ; PING
X: CONFIG RESETSTAT ; UNBLOCK A ERROR ; INFO stats
A: HELLO 3 ; SUBSCRIBE c ; WAIT 1 50 ; PING ; WAIT
A: MULTI ; WAIT 1 0 ; PING ; EXEC
# CLIENT REPLY and subscriptions
A: CLIENT REPLY OFF ; SUBSCRIBE c ; PSUBSCRIBE p*
X: PUBLISH c hi ; PUBLISH px hi
A: PING ; PING x ; GET a ; UNSUBSCRIBE c ; PUNSUBSCRIBE ; UNSUBSCRIBE ; PING ; CLIENT REPLY ON ; PING
A: CLIENT REPLY SKIP ; SUBSCRIBE c ; PING
A: CLIENT REPLY SKIP ; UNSUBSCRIBE ; PING
B: HELLO 3 ; CLIENT REPLY OFF ; SUBSCRIBE c ; PSUBSCRIBE p* ; GET a
X: PUBLISH c hi ; PUBLISH px hi
B: PING ; PUBLISH c self ; PUNSUBSCRIBE ; PUNSUBSCRIBE ; PING ; CLIENT REPLY ON ; PING
B: CLIENT REPLY SKIP ; PUBLISH c self ; PING
B: CLIENT REPLY SKIP
X: PUBLISH c hi
B: PUBLISH c self
# CLIENT REPLY and MONITOR
A: CLIENT REPLY OFF ; MONITOR
X: SET a 1
A: CLIENT REPLY ON
X: SET a 1
A: CLIENT REPLY SKIP ; PING ; PING
A: CLIENT REPLY SKIP
X: SET a 2
A: PING
X: SET a 3
A: CLIENT REPLY OFF
A: PING
A: RESET
# CLIENT REPLY and transactions
A: MULTI ; SET a 1 ; CLIENT REPLY OFF ; SET b 1 ; GET a ; EXEC ; PING
A: CLIENT REPLY ON
A: MULTI ; SET a 1 ; CLIENT REPLY SKIP ; SET b 1 ; EXEC ; PING ; PING
A: CLIENT REPLY OFF ; MULTI ; SET a 1 ; CLIENT REPLY ON ; SET b 1 ; GET a ; EXEC ; PING
A: CLIENT REPLY SKIP ; MULTI ; SET a 1 ; EXEC ; PING
A: MULTI ; GET x ; CLIENT REPLY SKIP ; CLIENT REPLY ON ; CLIENT REPLY foo ; EXEC ; PING ; PING
A: MULTI ; CLIENT REPLY OFF ; CLIENT REPLY SKIP ; CLIENT REPLY ON ; EXEC ; PING ; PING
A: MULTI ; SUBSCRIBE c ; CLIENT REPLY OFF ; PING ; UNSUBSCRIBE ; EXEC ; RESET
A: CLIENT REPLY OFF ; MULTI ; NOSUCH ; EXEC ; CLIENT REPLY ON
A: MULTI ; CLIENT REPLY OFF ; NOSUCH ; EXEC ; CLIENT REPLY ON
A: MULTI ; CLIENT REPLY OFF ; LPOP x y z ; EXEC ; CLIENT REPLY ON
# CLIENT REPLY, errors, HELLO, RESET, EVAL and QUIT
A: CLIENT REPLY OFF ; NOSUCH ; GET ; CLIENT REPLY FOO ; CLIENT REPLY ; LPUSH a 1 ; GET a ; CLIENT REPLY ON
A: CLIENT REPLY SKIP ; NOSUCH ; PING ; CLIENT REPLY SKIP ; GET ; PING ; CLIENT REPLY SKIP ; CLIENT REPLY FOO ; PING
A: CLIENT REPLY SKIP ; CLIENT REPLY SKIP ; PING ; PING
A: CLIENT REPLY SKIP ; CLIENT REPLY OFF ; PING ; CLIENT REPLY SKIP ; PING ; CLIENT REPLY ON ; PING
A: CLIENT REPLY SKIP ; CLIENT REPLY ON ; PING
A: CLIENT REPLY OFF ; HELLO 3 ; GET none ; CLIENT REPLY ON ; GET none
A: CLIENT REPLY SKIP ; HELLO 2 ; GET none
A: CLIENT REPLY OFF ; EVAL "return redis.call('ping')" 0 ; SELECT 1 ; RESET ; PING
A: CLIENT REPLY OFF ; QUIT
# HELLO in a transaction
A: MULTI ; GET a ; HELLO 3 ; GET a ; HELLO 2 ; GET a ; EXEC ; GET a
A: MULTI ; GET a ; HELLO 3 ; GET a ; EXEC ; MULTI ; GET a ; HELLO 2 ; GET a ; EXEC
# Messages to oneself
A: HELLO 3 ; SUBSCRIBE c ; PSUBSCRIBE * ; PUBLISH c x ; PING
A: MULTI ; PUBLISH c x ; PING ; PUBLISH c y ; EXEC
A: EVAL "redis.call('publish','c','1') redis.call('publish','c','2') return 7" 0
A: MULTI ; PING ; EVAL "redis.call('publish','c','1') return 7" 0 ; PUBLISH c z ; EXEC
B: MULTI ; SUBSCRIBE c d ; PUBLISH c x ; GET a ; PING ; PING x ; UNSUBSCRIBE c d ; PING ; EXEC ; PING
# Messages to others, and their own replies, in one iteration
A: HELLO 3 ; SUBSCRIBE c
B: HELLO 3 ; SUBSCRIBE c
X: DEBUG SLEEP 0.05
A: PUBLISH c 1 ; PING ; PUBLISH c 2
B: PUBLISH c 3 ; PING ; PUBLISH c 4
# Keyspace events of one's own commands
A: CONFIG SET notify-keyspace-events EA ; HELLO 3 ; PSUBSCRIBE *
A: SET a 1 ; GETEX a EX 100 ; EXPIRE a 100 ; PERSIST a ; INCR a ; GETSET a 5 ; APPEND a x ; SETRANGE a 1 x ; GETDEL a
A: RPUSH l 1 2 3 ; LPOP l ; LPOP l 1 ; RPUSHX l 4 ; LSET l 0 x ; LINSERT l BEFORE x y ; LREM l 0 y ; LTRIM l 0 0
A: RPUSH l 1 2 ; LMOVE l m LEFT LEFT ; RPOPLPUSH l m ; BLPOP m 0 ; BLMOVE m l LEFT LEFT 0 ; LMPOP 1 l LEFT
A: HSET h a 1 b 2 ; HDEL h a ; HINCRBY h b 1 ; HINCRBYFLOAT h b 1 ; HSETNX h q 1 ; HMSET h q 1 ; RENAME h i ; COPY i h
A: SADD s a b ; SREM s a ; SPOP s ; SADD s a ; SMOVE s t a ; SADD s a ; SINTERSTORE u s t ; SUNIONSTORE u s t
A: ZADD z 1 a 2 b ; ZINCRBY z 1 a ; ZREM z b ; ZUNIONSTORE y 1 z ; ZRANGESTORE y z 0 -1 ; ZREMRANGEBYRANK z 0 -1
A: XADD x 1 f v ; XADD x MAXLEN 1 2 f v ; XDEL x 2 ; XGROUP CREATE x g 0 ; XGROUP DESTROY x g ; XSETID x 7-7
A: MSET a 1 b 2 ; SETBIT a 1 1 ; BITOP AND d a b ; BITFIELD a SET u8 0 1 ; PFADD p a ; PFMERGE q p ; GEOADD g 1 1 x
A: MULTI ; SET a 1 ; EXPIRE a 100 ; RPUSH l 1 ; LPOP l ; PING ; EXEC
A: EVAL "redis.call('set','a','1') redis.call('expire','a','100') return 7" 0
# The events of keys that are new or missing, which precede any reply
A: CONFIG SET notify-keyspace-events EAnm ; HELLO 3 ; PSUBSCRIBE *
A: LPUSH l 1 2 ; RPOPLPUSH l m ; LMOVE l k LEFT LEFT ; HSET h a 1 ; SADD s a ; SINTERSTORE u s ; SORT s ALPHA STORE w
A: ZADD z 1 a ; ZRANGESTORE y z 0 -1 ; GEOADD g 1 1 x ; XADD x 1 f v ; MSET a 1 b 2 ; GETEX none EX 1 ; GETDEL none
A: ZUNIONSTORE v 1 none ; SINTERSTORE none none ; MULTI ; LPUSH n 1 ; GET none ; EXEC
# Keyspace events of a command that is served
X: CONFIG SET notify-keyspace-events EA
A: HELLO 3 ; PSUBSCRIBE * ; BLPOP l 0
B: HELLO 3 ; PSUBSCRIBE * ; RPUSH l 1
A: BLMOVE l m LEFT RIGHT 0
B: RPUSH l 1 2
A: BLMPOP 0 1 k LEFT COUNT 2
B: MULTI ; RPUSH k 1 2 ; PING ; EXEC
A: XREAD BLOCK 0 STREAMS x $
B: XADD x 1 f v
# A client that monitors itself
A: MONITOR ; PING ; SET a 1 ; GET a ; ECHO x ; NOSUCH ; GET ; PUBLISH c x ; EVAL "return 1" 0
A: MULTI ; PING ; ECHO a ; EXEC ; MULTI ; GET a ; EXEC ; WATCH a
A: HELLO 3 ; SUBSCRIBE c ; PING ; UNSUBSCRIBE c ; CONFIG GET port ; RESET ; PING
A: MULTI ; PING ; MONITOR ; EXEC ; PING
A: MONITOR ; MONITOR ; PING ; GET a
A: QUIT
# MONITOR and commands that wait
M: MONITOR
A: BLPOP a 0
X: RPUSH a 1
A: BLPOP a 0.05 ; WAIT
A: MULTI ; BLPOP a 0 ; EXEC
A: BLPOP a 0
X: UNBLOCK A
M: RESET
# SLOWLOG and commands that wait
X: CONFIG SET slowlog-log-slower-than 0
A: BLPOP a 0
X: SLOWLOG GET -1
X: RPUSH a 1 ; SLOWLOG GET 3
A: BLPOP a 0.05 ; WAIT
X: SLOWLOG GET 4
A: MULTI ; BLPOP a 0 ; SET s 1 ; EXEC ; SLOWLOG GET 4
A: EVAL "return redis.call('blmpop', 0, 1, 'b', 'LEFT')" 0 ; SLOWLOG GET 4
A: BLMOVE a b LEFT LEFT 0
B: BLMOVE b s LEFT LEFT 0
X: MULTI ; RPUSH a 1 ; EXEC ; SLOWLOG GET 6
A: XREADGROUP GROUP g c BLOCK 0 STREAMS x > ; XGROUP CREATE x g $ MKSTREAM ; XREADGROUP GROUP g c BLOCK 0 STREAMS x >
X: XGROUP DESTROY x g ; SLOWLOG GET 3
# Counters and commands that wait
A: BLPOP a 0
X: CONFIG RESETSTAT ; INFO stats
X: RPUSH a 1 ; INFO stats
A: SET b 1 ; BLMOVE a b LEFT LEFT 0
X: RPUSH a 1 ; INFO stats ; DEL a
A: BLPOP a 0
X: UNBLOCK A ERROR ; INFO stats
A: MULTI ; BLPOP a 0 ; NOSUCH ; EXEC ; MULTI ; PING ; DISCARD ; MULTI ; BLPOP a 0 ; PING ; EXEC ; INFO stats
"""
AWAITED = " ; WAIT"
SHOWN = {b"total_commands_processed", b"total_error_replies", b"keyspace_hits", b"keyspace_misses"}
FOUND = [scene.strip().splitlines() for scene in re.split("^# ", SCENES, flags=re.MULTILINE)[1:]]


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Shared]]:
    """Ours, and a real Redis."""
    with ExitStack() as stack:
        starts = partial(final_server, unhurried=True), redis_server
        yield [stack.enter_context(Shared(partial(start, "--enable-debug-command", "yes"))) for start in starts]


class Scene:
    """The clients of a scene, and what each of them is sent."""

    def __init__(self, server: Server) -> None:
        self.server, self.control = server, server.connect()
        self.clients: dict[str, wire.Client] = {}
        self.ids: dict[str, wire.Reply] = {}

    def play(self, line: str) -> dict[str, bytes]:
        """Send the chunk of a line; return what each client is sent then."""
        name, _, text = line.partition(": ")
        if name not in self.clients:
            self.clients[name] = self.server.connect()
            self.ids[name] = self.clients[name].ask("CLIENT", "ID")
        requests = text.removesuffix(AWAITED).split(" ; ")
        self.clients[name].send(b"".join(request(*self.args(each)) for each in requests))
        if "INFO" in line or "SLOWLOG GET" in line:  # they would count what `control` asks meanwhile
            self.clients[name].more(time.monotonic() + PATIENCE.seconds)
        if "DEBUG SLEEP" not in line:
            self.pings()
        if text.endswith(AWAITED):
            while "blocked_clients:0" not in str(self.control.ask("INFO", "clients")):
                pass
            self.pings()
        return {name: masked(arrived(client)) for name, client in self.clients.items()}

    def pings(self) -> None:
        """Ask for something that MONITOR does not show: for each, the server needs an iteration of its event loop."""
        for _ in range(10):
            self.control.ask("CONFIG", "GET", "port")

    def args(self, text: str) -> list[bytes]:
        """The arguments of a request."""
        args = args_of(text)
        if args[0] == b"UNBLOCK":
            args[:2] = [b"CLIENT", b"UNBLOCK", str(self.ids[args[1].decode()]).encode()]
        return args


def arrived(client: wire.Client) -> bytes:
    """Return what a client has received so far."""
    while client.more(0):
        pass
    data, client.received = client.received, b""
    return data


def masked(data: bytes) -> bytes:
    """Return what a client was sent without times, ports and counts that differ from server to server."""
    data = re.sub(rb"\+\d+\.\d{6} \[(\d+) 127[^]]*\]", rb"+time [\1 address]", data)
    data = re.sub(rb"\+[^\r]*\"(CLIENT\" \"ID|INFO)\"[^\r]*\r\n", b"", data)  # requests of `play`
    data = re.sub(rb"([*%]\d+)\r\n\$6\r\nserver.*?modules\r\n\*0\r\n", rb"\1 hello", data, flags=re.DOTALL)
    data = re.sub(rb"(port\r\n)\$\d\r\n\d+\r\n", rb"\1", data)
    data = re.sub(rb"\*6\r\n:\d+\r\n:\d+\r\n:\d+\r\n(\*\d+\r\n(?:\$\d+\r\n.*?\r\n)*?)\$\d+\r\n127.*?\r\n", rb"\1", data)
    data = re.sub(rb"\*6\r\n:\d+\r\n:\d+\r\n:\d+\r\n", b"", data)
    return re.sub(rb"\$\d+\r\n# Stats\r\n(.*?)(?=\r\n[:*+]|\r\n\Z)", only_shown, data, flags=re.DOTALL)


def only_shown(info: re.Match[bytes]) -> bytes:
    """The fields of INFO that are compared."""
    return b" ".join(line for line in info[1].split(b"\r\n") if line.split(b":")[0] in SHOWN)


@pytest.mark.parametrize(
    "heading, lines", [(lines[0], lines[1:]) for lines in FOUND], ids=[lines[0] for lines in FOUND]
)
def test_the_bytes_are_those_of_redis(servers: list[Shared], heading: str, lines: list[str]) -> None:
    skip_without_lua(lines)
    ours, theirs = (Scene(shared.clean()) for shared in servers)
    for line in lines:
        answers = ours.play(line), theirs.play(line)
        assert answers[0] == answers[1], line


def test_a_slow_log_keeps_the_arguments_of_a_command_that_was_unblocked(servers: list[Shared]) -> None:
    """Redis 7.0 keeps an empty request."""
    scene = Scene(servers[0].clean())
    scene.play("X: CONFIG SET slowlog-log-slower-than 0")
    scene.play("A: BLPOP a 0")
    heard = scene.play("X: SLOWLOG RESET ; UNBLOCK A ; SLOWLOG GET 2")["X"]
    assert re.search(rb"CLIENT\r\n.*UNBLOCK\r\n.*BLPOP\r\n", heard, flags=re.DOTALL)


def test_what_exec_has_answered_is_not_sent_before_its_end_while_a_script_is_busy() -> None:
    """The log does not have it yet. Redis sends it."""
    script = "EVAL 'while true do end' 0"
    skip_without_lua([script])
    with final_server("--busy-reply-threshold", "20") as server:
        scene = Scene(server)
        client, other = server.connect(), server.connect()
        client.ask("MULTI")
        client.send(b"".join(request(*args_of(line)) for line in ("SET k v", "PUBLISH c x", script)))
        client.expect(b"+QUEUED\r\n" * 3)
        client.send(request("EXEC"))
        while not str(other.ask("PING")).startswith("BUSY"):
            pass
        scene.pings()
        assert arrived(client) == b""
        other.ask("SCRIPT", "KILL")
        client.expect(b"*3\r\n+OK\r\n:0\r\n-ERR Script killed by user")
