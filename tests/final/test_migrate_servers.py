"""MIGRATE between servers, and `redis-cli --cluster import`: Redis as the model, as the target, and as the cluster."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from stages.harness.ports import free_port
from stages.harness.server import Server
from stages.harness.wire import Client, request
from tests.support.observing import await_true
from tests.support.oracle import args_of, final_server, redis_server, shown
from tests.support.talk import read_requests

LARGE = 12_000_000  # bytes: more than the system takes for a connection that nobody reads
CHANGED = "ERR a key was changed meanwhile: it stays here, and the target may have an older value"
MOVED = "MIGRATE 127.0.0.1 {target}"
REQUESTS = f"""
MIGRATE
MIGRATE h 1 k 0
MIGRATE h 1 k x y
MIGRATE h 1 k 0 y
MIGRATE h 1 none 0 10
MIGRATE h 1 k 0 10 FOO
MIGRATE h 1 k 0 10 AUTH
MIGRATE h 1 k 0 10 AUTH2 u
MIGRATE h 1 k 0 10 COPY KEYS j
MIGRATE h 1 "" 0 10 KEYS
MIGRATE h 1 "" x 10 KEYS k
MIGRATE h 1 "" 0 10 KEYS none k FOO
MIGRATE 127.0.0.1 {{closed}} k 0 100
MIGRATE 127.0.0.1 {{closed}} "" 0 100 KEYS none
MIGRATE 127.0.0.1 abc k 0 100
MIGRATE 127.0.0.1 -5 k 0 100
MIGRATE "" 1 k 0 100
{MOVED} k 0 -10 COPY
{MOVED} k 0 1000 COPY
{MOVED}xx k 0 1000 COPY replace
{MOVED} k 99 1000
{MOVED} k -1 1000 AUTH secret
{MOVED} "" 3 0 AUTH2 default any KEYS list none k
EXISTS k list
{MOVED} h 0 1000
{MOVED} timed 2 1000
{MOVED} "" 0 1000 COPY KEYS z s
{MOVED} "" 0 1000 KEYS z x s
EXISTS z x s
{MOVED} "" 0 1000 REPLACE KEYS z x s s2
EXISTS z x s
""".strip().splitlines()
DATA = """
SET k v
RPUSH list a b c
HSET h f v
SET timed t PX 10000000
ZADD z 1 m
SADD s m
XADD x 1-1 f v
""".strip().splitlines()


def ask(client: Client, line: str) -> str:
    """Send a request; return the reply as in a transcript."""
    return shown(*asked(client, [args_of(line)]))


@pytest.fixture(scope="module")
def target() -> Iterator[Server]:
    """A real Redis to which keys are moved."""
    with redis_server() as server:
        yield server


def done_by(start: Callable[..., contextlib.AbstractContextManager[Server]], target: Server, folder: Path) -> list[str]:
    """What a source answers to REQUESTS, what it logs, and what the target is sent and has in the end."""
    there = target.connect()
    there.ask("FLUSHALL")
    watching = target.connect()
    watching.ask("MONITOR")
    found = []
    with start(data=folder) as source:
        client = source.connect()
        for line in DATA:
            ask(client, line)
        log = next(folder.glob("*/*.incr.aof")).open("rb")
        log.read()
        for line in REQUESTS:
            found.append(f"{line} -> {ask(client, line.format(target=target.port, closed=free_port()))}")
        found += [str(args) for args in read_requests(log.read())]
    there.ask("SELECT", 0)
    found += [f"{line}: {ask(there, line)}" for line in ("GET k", "HGETALL h", "ZCARD z", "SCARD s", "XLEN x")]
    there.ask("SELECT", 3)
    found += [f"{line}: {ask(there, line)}" for line in ("GET k", "LRANGE list 0 -1")]
    there.ask("SELECT", 2)
    assert 9_000_000 < int(str(there.ask("PTTL", "timed"))) <= 10_000_000
    return found


def test_replies_log_and_effect_are_those_of_redis(target: Server, tmp_path: Path) -> None:
    ours, theirs = (
        done_by(start, target, tmp_path / start.__name__)
        for start in (final_server, redis_server)
        if not (tmp_path / start.__name__).mkdir()  # type: ignore[func-returns-value]
    )
    assert ours == theirs


def test_what_the_target_is_sent_is_what_redis_sends(target: Server) -> None:
    sent = []
    for start in (final_server, redis_server):
        with start() as source:
            client, there, watching = source.connect(), target.connect(), target.connect()
            there.ask("FLUSHALL")
            watching.ask("MONITOR")
            for line in DATA[:2]:
                ask(client, line)
            ask(client, f'MIGRATE 127.0.0.1 {target.port} "" 4 1000 REPLACE KEYS k none list')
            there.ask("PING")
            lines: list[str] = []
            while not lines or "PING" not in lines[-1]:
                lines.append(shown(watching.read_reply()).partition("] ")[2])
            sent.append(lines)
    assert [each.split()[:2] for each in sent[0]] == [each.split()[:2] for each in sent[1]]
    assert sent[0][1] == sent[1][1]  # a string has the same bytes, a list is packed by Redis


def test_other_clients_are_served_while_the_target_is_silent(target: Server) -> None:
    with redis_server() as stopped, final_server() as source:
        client, other = source.connect(), source.connect()
        ask(client, "SET k v")
        client.ask("SET", "large", "x" * LARGE)
        ask(client, f"MIGRATE 127.0.0.1 {stopped.port} k 0 1000 COPY")
        stopped.own_program.signal(signal.SIGSTOP)
        try:
            for key, doing in (("large", "writing"), ("k", "reading")):
                client.send(b"MIGRATE 127.0.0.1 %d %b 0 100 REPLACE\r\n" % (stopped.port, key.encode()))
                assert ask(other, "GET k") == "$1 v"
                assert shown(client.read_reply()) == f"-IOERR error or timeout {doing} to target instance"
            assert ask(other, "EXISTS k large") == ":2"
        finally:
            stopped.own_program.signal(signal.SIGCONT)
        assert ask(client, f'MIGRATE 127.0.0.1 {stopped.port} "" 0 60000 REPLACE KEYS k large') == "+OK"
        assert ask(stopped.connect(), "STRLEN large") == f":{LARGE}"


@pytest.mark.parametrize("start", [final_server, redis_server])
def test_no_change_is_lost_while_keys_are_moved(
    start: Callable[..., contextlib.AbstractContextManager[Server]],
) -> None:
    """Writers increment counters, push to lists and add to sets; all of it is found, here or there."""
    rounds, keys = 150, 3
    with final_server() as source, start() as target:
        mover, there = source.connect(), target.connect()
        counts = {"string": 0, "hash": 0, "list": 0}
        answers: dict[str, int] = {}

        def collect(key: int) -> None:
            """Take what has come to the target, and add it up."""
            counts["string"] += int(value if isinstance(value := there.ask("GETDEL", f"string:{key}"), bytes) else 0)
            counts["hash"] += int(value if isinstance(value := there.ask("HGET", f"hash:{key}", "f"), bytes) else 0)
            counts["list"] += int(str(there.ask("LLEN", f"list:{key}")))
            there.ask("DEL", f"hash:{key}", f"list:{key}")

        def write(client: Client) -> None:
            for at in range(rounds):
                client.ask("INCR", f"string:{at % keys}")
                client.ask("HINCRBY", f"hash:{at % keys}", "f", 1)
                client.ask("RPUSH", f"list:{at % keys}", at)

        writers = [threading.Thread(target=write, args=[source.connect()]) for _ in range(2)]
        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            for key in range(keys):
                for name in counts:
                    answer = shown_answer(mover.ask("MIGRATE", "127.0.0.1", target.port, f"{name}:{key}", 0, 60000))
                    answers[answer] = answers.get(answer, 0) + 1
                    if answer.startswith("ERR"):
                        there.ask("DEL", f"{name}:{key}")  # a copy that has become old
                collect(key)
        for key in range(keys):
            for name in counts:
                mover.ask("MIGRATE", "127.0.0.1", target.port, f"{name}:{key}", 0, 60000)
            collect(key)
        assert mover.ask("DBSIZE") == 0
    assert counts == dict.fromkeys(counts, 2 * rounds), answers
    assert answers.keys() <= {"OK", "NOKEY", CHANGED} and "OK" in answers, answers


def shown_answer(reply: object) -> str:
    """A simple string or an error, as text."""
    return reply.decode() if isinstance(reply, bytes) else str(reply)


# redis-cli --cluster import


PASSWORD = "secret"
MADE = 300  # keys of each type


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[Server]]:
    """A cluster of three real nodes."""
    if shutil.which("redis-cli") is None:
        pytest.skip("there is no redis-cli on this machine")
    with ExitStack() as stack:
        options = ("--cluster-enabled", "yes")
        nodes = [
            stack.enter_context(
                redis_server(*options, "--cluster-port", str(free_port()), "--cluster-node-timeout", "60000")
            )
            for _ in range(3)
        ]
        addresses = [f"127.0.0.1:{node.port}" for node in nodes]
        run("--cluster", "create", *addresses, "--cluster-replicas", "0", "--cluster-yes")
        for node in nodes:  # `create` waits until they agree, but not until each serves
            await_true(partial(serves, node.connect()), "each node takes requests")
        yield nodes


def serves(client: Client) -> bool:
    """Whether a node takes requests for keys."""
    return b"cluster_state:ok" in asked(client, [["CLUSTER", "INFO"]])[0]


def run(*args: str, status: int = 0) -> str:
    """Run redis-cli; return what it prints."""
    done = subprocess.run(["redis-cli", *args], capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def asked(client: Client, requests: Iterable[Sequence[bytes | str | int]]) -> list[bytes]:
    """Send requests in one pipeline; return the bytes of each reply."""
    sent = [request(*args) for args in requests]
    client.send(b"".join(sent))
    return [client.read_reply() for _ in sent]


def fill(client: Client) -> None:
    """Make keys of all types, some with a deadline."""
    requests = []
    for at in range(MADE):
        requests += [
            f"SET string:{at} value{at}",
            f"HSET hash:{at} a {at} b {at + 1}",
            f"RPUSH list:{at} {at} x y",
            f"SADD set:{at} {at} x {at + 1}",
            f"ZADD zset:{at} {at} x 0.5 y",
            f"XADD stream:{at} 1-{at + 1} f {at}",
            f"XGROUP CREATE stream:{at} g 0",
            f"PFADD log:{at} {at} x",
            f"PEXPIRE string:{at} 10000000",
        ]
    replies = asked(client, map(str.split, requests))
    assert not [each for each in replies if each.startswith(b"-")]


def contents(servers: list[Server]) -> dict[bytes, tuple[bytes, bytes, bool]]:
    """The type, the value, and whether there is no deadline, of each key of these servers."""
    readers: dict[bytes, list[str | int]] = {  # "" stands for the key
        b"+string\r\n": ["GET", ""],
        b"+list\r\n": ["LRANGE", "", 0, -1],
        b"+hash\r\n": ["HGETALL", ""],
        b"+set\r\n": ["SORT", "", "ALPHA"],
        b"+zset\r\n": ["ZRANGE", "", 0, -1, "WITHSCORES"],
        b"+stream\r\n": ["XRANGE", "", "-", "+"],
    }
    found: dict[bytes, tuple[bytes, bytes, bool]] = {}
    for server in servers:
        client = server.connect()
        names = client.ask("KEYS", "*")
        assert isinstance(names, list)
        kinds = asked(client, [["TYPE", name] for name in names])
        values = asked(
            client, [[arg or name for arg in readers[kind]] for kind, name in zip(kinds, names, strict=True)]
        )
        deadlines = asked(client, [["PTTL", name] for name in names])
        for name, kind, value, deadline in zip(names, kinds, values, deadlines, strict=True):
            assert name not in found
            found[name] = (kind, value, deadline.startswith(b":-"))
    return found


@pytest.mark.slow
def test_a_cluster_takes_the_keys_over_with_one_command(cluster: list[Server]) -> None:
    with final_server() as source:
        client = source.connect()
        fill(client)
        before = contents([source])
        take_over = [
            "--cluster",
            "import",
            f"127.0.0.1:{cluster[0].port}",
            "--cluster-from",
            f"127.0.0.1:{source.port}",
        ]
        run(*take_over, "--cluster-copy")
        assert contents(cluster) == before == contents([source])
        asked(client, [["HSET", f"hash:{at}", "new", at] for at in range(0, MADE, 2)])
        before = contents([source])
        assert "BUSYKEY" in run(*take_over, status=1)
        run(*take_over, "--cluster-copy", "--cluster-replace")
        assert contents(cluster) == before == contents([source])
        for server in (source, *cluster):
            server.connect().ask("CONFIG", "SET", "requirepass", PASSWORD)
        run("-a", PASSWORD, "--no-auth-warning", *take_over, "--cluster-from-pass", PASSWORD, "--cluster-replace")
        for server in (source, *cluster):
            asked(server.connect(), [["AUTH", PASSWORD], ["CONFIG", "SET", "requirepass", ""]])
        assert contents(cluster) == before and client.ask("DBSIZE") == 0
