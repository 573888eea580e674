"""What one command costs does not grow with what came before it, nor with who else waits, watches or listens.

Each case is timed in processor time, which a busy machine hardly changes, for a size and for a hundred times that. What
takes as long for each is told from what walks over all of them, which takes up to a hundred times as long.
"""

from __future__ import annotations

import gc
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from final.data.events import Events
from final.engine.client import Client
from final.protocol.pattern import Glob, matcher
from tests.support.oracle import InProcess

Run = Callable[[], object]
Case = Callable[[int], tuple[int, Run]]  # for a size: how many steps there are, and what takes them

FEW, MANY = 100, 10_000
MORE = 5  # times as long may a step take: far from 100, and further than what caches and a busy machine do


class Talk(InProcess):
    """An engine with many clients."""

    def by(self, client: Client, *args: object) -> object:
        """One request of a client."""
        return self.engine.execute(client, [str(arg).encode() for arg in args])

    def all_ask(self, count: int, *args: object) -> list[Client]:
        """So many clients come, and ask the same."""
        clients = [self.connect() for _ in range(count)]
        for client in clients:
            self.by(client, *args)
        return clients


def transaction(*args: object, **options: Any) -> Case:
    """The same command again and again in one MULTI."""

    def case(size: int) -> tuple[int, Run]:
        size *= 4
        peer = Talk(**options)

        def run() -> None:
            calls, name = peer.engine.counters.calls, str(args[0]).lower()
            before = calls.calls(name)
            peer.by(peer.client, "MULTI")
            for _ in range(size):
                peer.by(peer.client, *args)
            peer.by(peer.client, "EXEC")
            assert calls.calls(name) - before == size

        return size, run

    return case


def script(size: int) -> tuple[int, Run]:
    """The same command again and again in one script."""
    pytest.importorskip("lupa")
    size *= 4
    peer = Talk()
    peer.by(peer.client, "EVAL", "return 1", 0)  # Lua is started
    text = f"for _ = 1, {size} do redis.call('INCR', 'k') end return redis.call('GET', 'k')"
    return size, lambda: peer.by(peer.client, "EVAL", text, 0)


def served(size: int) -> tuple[int, Run]:
    """Clients wait in one line, and are served one after the other."""
    peer = Talk()
    peer.all_ask(size, "BLPOP", "k", 0)
    return size, lambda: [peer.by(peer.client, "RPUSH", "k", "v") for _ in range(size)]


def served_behind_others(size: int) -> tuple[int, Run]:
    """The same, and before them others wait for a value of another kind."""
    peer = Talk()
    peer.all_ask(size, "BZPOPMIN", "k", 0)
    peer.all_ask(100, "BLPOP", "k", 0)
    return 100, lambda: [peer.by(peer.client, "RPUSH", "k", "v") for _ in range(100)]


def writes_to_what_others_wait_for(size: int) -> tuple[int, Run]:
    """What is written is not what they wait for."""
    peer = Talk()
    peer.all_ask(size, "BLPOP", "k", 0)
    return 100, lambda: [peer.by(peer.client, "SET", "k", "v") for _ in range(100)]


def writes_to_what_a_consumer_waits_for(size: int) -> tuple[int, Run]:
    """Many wait for a list, and one is to be told that its stream is gone."""
    peer = Talk()
    peer.all_ask(size, "BLPOP", "k", 0)
    peer.by(peer.client, "XGROUP", "CREATE", "k", "g", 0, "MKSTREAM")
    peer.all_ask(1, "XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "k", ">")
    return 100, lambda: [peer.by(peer.client, "SET", "k", "v") for _ in range(100)]


def writes_to_what_others_watch(size: int) -> tuple[int, Run]:
    """The first write tells all who watch the key: the next ones have nobody to tell."""
    peer = Talk()
    peer.all_ask(size, "WATCH", "k")
    peer.by(peer.client, "SET", "k", "v")
    return 100, lambda: [peer.by(peer.client, "SET", "k", "v") for _ in range(100)]


def leaves(*args: object) -> Case:
    """Clients go in the order in which they came, whatever they were doing."""

    def case(size: int) -> tuple[int, Run]:
        peer = Talk()
        clients = peer.all_ask(size, *args)
        return size, lambda: deque(map(peer.engine.disconnect, clients), maxlen=0)

    return case


def patterns(size: int) -> tuple[int, Run]:
    """A message is held against each pattern: for each of them, it takes as long."""
    peer = Talk()
    peer.by(peer.client, "PSUBSCRIBE", *(f"*{number}:" for number in range(size)))
    peer.engine.pubsub.publish(b"channel", b"hello")
    return 2 * size, lambda: [peer.engine.pubsub.publish(b"channel", b"hello") for _ in range(2)]


def after_many_patterns(size: int) -> tuple[int, Run]:
    """All patterns but the last one have gone."""
    peer = Talk()
    names = [f"*{number}:" for number in range(4 * size)]
    peer.by(peer.client, "PSUBSCRIBE", *names)
    peer.by(peer.client, "PUNSUBSCRIBE", *names[:-1])
    return 200, lambda: [peer.engine.pubsub.publish(b"channel", b"hello") for _ in range(200)]


def channels(size: int) -> tuple[int, Run]:
    """To listen to many channels, and to stop, one by one."""
    peer = Talk()

    def run() -> None:
        peer.by(peer.client, "SUBSCRIBE", *range(size))
        for number in range(size):
            peer.by(peer.client, "UNSUBSCRIBE", number)

    return size, run


def one_of_the_clients(size: int) -> tuple[int, Run]:
    """CLIENT LIST ID looks for no other clients."""
    peer = Talk()
    peer.all_ask(2 * size, "PING")
    return 200, lambda: [peer.by(peer.client, "CLIENT", "LIST", "ID", peer.client.id) for _ in range(200)]


def newest_slow_ones(size: int) -> tuple[int, Run]:
    """SLOWLOG GET of a few takes no look at the others."""
    peer = Talk(slowlog_log_slower_than=0, slowlog_max_len=10**6)
    for _ in range(2 * size):
        peer.by(peer.client, "GET", "k")
    peer.by(peer.client, "CONFIG", "SET", "slowlog-log-slower-than", -1)
    return 200, lambda: [peer.by(peer.client, "SLOWLOG", "GET", 2) for _ in range(200)]


def deadlines(size: int) -> tuple[int, Run]:
    """A deadline takes the place of another one, again and again."""
    peer = Talk()
    peer.by(peer.client, "SET", "k", "v")
    return size, lambda: [peer.by(peer.client, "PEXPIRE", "k", 10**6 + number) for number in range(size)]


def stream(*args: object, pending: bool = False) -> Case:
    """A command on a stream of so many entries, which are `pending` for a consumer or not; `{n}` counts, from 1."""

    def case(size: int) -> tuple[int, Run]:
        peer = Talk()
        for number in range(size):
            peer.by(peer.client, "XADD", "s", f"{number + 1}-1", "field", f"value {number}")
        peer.by(peer.client, "XGROUP", "CREATE", "s", "g", 0)
        if pending:
            peer.by(peer.client, "XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")
        requests = [[str(arg).replace("{n}", str(number + 1)) for arg in args] for number in range(FEW)]
        return FEW, lambda: [peer.by(peer.client, *each) for each in requests]

    return case


CASES: dict[str, Case] = {
    "INCR in MULTI": transaction("INCR", "k"),
    "INCR in MULTI, with events": transaction("INCR", "k", notify_keyspace_events=Events.parse("KEA")),
    "INCR in MULTI, with a limit": transaction("INCR", "k", maxmemory=10**12),
    "BLPOP leaves": leaves("BLPOP", "k", 0),
    "WATCH leaves": leaves("WATCH", "k"),
    "SUBSCRIBE leaves": leaves("SUBSCRIBE", "k"),
    "MONITOR leaves": leaves("MONITOR"),
    "XADD": stream("XADD", "s", "*", "field", "value"),
    "XADD MAXLEN": stream("XADD", "s", "MAXLEN", 100, "*", "field", "value"),
    "XDEL": stream("XDEL", "s", "{n}-1"),
    "XRANGE": stream("XRANGE", "s", "{n}", "+", "COUNT", 3),
    "XREVRANGE": stream("XREVRANGE", "s", "+", "-", "COUNT", 3),
    "XREAD": stream("XREAD", "COUNT", 3, "STREAMS", "s", "{n}"),
    "XREADGROUP": stream("XREADGROUP", "GROUP", "g", "c", "COUNT", 3, "STREAMS", "s", ">"),
    "XREADGROUP of what is pending": stream(
        "XREADGROUP", "GROUP", "g", "c", "COUNT", 3, "STREAMS", "s", "{n}", pending=True
    ),
    "XACK": stream("XACK", "s", "g", "{n}-1", pending=True),
    "XPENDING": stream("XPENDING", "s", "g", "{n}", "+", 3, "c", pending=True),
    "XCLAIM": stream("XCLAIM", "s", "g", "d", 0, "{n}-1", pending=True),
    "XAUTOCLAIM": stream("XAUTOCLAIM", "s", "g", "d", 0, "{n}", "COUNT", 3, pending=True),
    **{
        each.__name__: each
        for each in (
            script, served, served_behind_others, writes_to_what_others_wait_for,
            writes_to_what_a_consumer_waits_for, writes_to_what_others_watch, patterns,
            after_many_patterns, channels, one_of_the_clients, newest_slow_ones, deadlines,
        )
    },
}  # fmt: skip


def seconds(run: Run) -> float:
    """The processor time that it takes, without the garbage collector, whose cost grows with all that there is."""
    gc.collect()
    gc.disable()
    try:
        began = time.process_time()
        run()
        return time.process_time() - began
    finally:
        gc.enable()


def step(case: Case, size: int) -> float:
    """The processor time of one step."""
    steps, run = case(size)
    return seconds(run) / steps


QUICK = ("INCR in MULTI", "BLPOP leaves", "XREADGROUP", "served", "patterns", "deadlines")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in CASES]
)
def test_a_hundred_times_as_many_do_not_make_a_step_longer(name: str) -> None:
    case = CASES[name]
    if name == "MONITOR leaves":
        assert step(case, 1000) < MORE * max(step(case, 100) for _ in range(3))  # each of them hears of each that comes
        return
    few = max(step(case, FEW) for _ in range(3))
    assert step(case, MANY) < MORE * few


# Patterns: seconds, but few where it was minutes


LONG = 300_000
NASTY = [
    b"[" * LONG, b"[^" * LONG, b"[[^a-" * LONG, b"*[" * LONG, b"[a]" * LONG, b"[" + b"a-b" * LONG, b"[" + rb"\a" * LONG,
    b"?" * LONG, b"*?" * LONG, b"*a" * LONG, b"*" * LONG + b"b", b"\\" * LONG, b"[^]" * LONG, b"*" + b"?" * LONG,
    b"*[ab]" * 1000 + b"c", b"*" + b"[ab]" * 2000 + b"c*", b"*" + b"a?" * 2000 + b"b*",
    b"*" + b"a" * (LONG // 2) + b"b*",
]  # fmt: skip


@pytest.mark.parametrize("pattern", NASTY, ids=lambda pattern: f"{pattern[:8]!r}")
def test_no_pattern_takes_long(pattern: bytes) -> None:
    """The worst one takes less than a second on a quiet machine."""

    def run() -> None:
        matches = matcher(pattern)
        for text in (b"", b"a", b"abc" * 10, b"a" * 1000):
            matches(text)
        if len(set(pattern)) < 3:
            matches(b"a" * 100_000)

    assert seconds(run) < 8


def test_a_pattern_is_read_no_further_than_a_text_needs_it() -> None:
    glob = Glob(b"[a]" * 1_000_000)
    assert not glob(b"aaa")
    assert sum(len(segment.pieces) for segment in glob._segments) == 4


# LCS


def test_a_long_common_subsequence_is_found_in_no_time() -> None:
    letters = random.Random(0)
    one, two = (bytes(letters.choices(b"abcd", k=8000)) for _ in range(2))
    peer = InProcess()
    peer.ask_all([[b"SET", b"one", one], [b"SET", b"two", two]])
    assert seconds(lambda: peer.ask("LCS one two IDX")) < 3
    assert peer.ask("LCS one two LEN") == f":{len(peer.ask_all([[b'LCS', b'one', b'two']])[0].split()[1])}"


def test_lcs_refuses_what_would_take_redis_too_much_memory() -> None:
    peer = InProcess()
    peer.ask_all([[b"SET", b"one", b"a" * 11585], [b"SET", b"two", b"a" * 11584]])
    too_much = "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"
    assert peer.ask("LCS one one") == peer.ask("LCS one one LEN") == too_much
    assert peer.ask("LCS two two LEN") == ":11584"
