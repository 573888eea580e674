"""What the commands answer, as written in `tests/support/transcripts`: true of final/, and true of a real Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.oracle import NOW, InProcess, OverTheWire, check, redis_server, skip_without_lua, transcripts
from tests.support.shared import Shared

SECTIONS = transcripts()
each_section = pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)


@pytest.fixture(scope="module")
def redis() -> Iterator[Shared]:
    with Shared(redis_server) as redis:
        yield redis


@pytest.fixture
def real(redis: Shared) -> OverTheWire:
    """A new client of a real Redis that holds nothing."""
    return OverTheWire(redis.clean().connect())


@each_section
def test_final_answers_as_the_transcript_says(section: list[tuple[str, str]]) -> None:
    skip_without_lua(line for line, _ in section)
    check(InProcess(), section)


@each_section
def test_redis_answers_as_the_transcript_says(section: list[tuple[str, str]], real: OverTheWire) -> None:
    check(real, section)


# As time goes by: the clock is handed in, and nobody sleeps


def test_a_key_lives_to_its_last_millisecond() -> None:
    peer = InProcess()
    peer.ask("SET k v PX 1000")
    peer.now += 1000
    assert [peer.ask("GET k"), peer.ask("PTTL k"), peer.ask("EXISTS k")] == ["$1 v", ":0", ":1"]
    peer.now += 1
    assert [peer.ask("GET k"), peer.ask("PTTL k"), peer.ask("EXISTS k")] == ["$-1", ":-2", ":0"]


def test_the_time_to_live_is_given_to_the_nearest_second() -> None:
    peer = InProcess()
    peer.ask("SET k v EX 10")
    told = {}
    for passed in (0, 500, 501, 1500, 1501, 9501):
        peer.now = NOW + passed
        told[passed] = peer.ask("TTL k")
    assert told == {0: ":10", 500: ":10", 501: ":9", 1500: ":9", 1501: ":8", 9501: ":0"}


def test_time_stands_still_while_a_command_runs() -> None:
    times = iter(range(NOW, NOW + 1000))
    peer = InProcess(lambda: next(times))
    peer.ask("SET k v PX 1")
    assert peer.ask("EXISTS k k k k") == ":4"


def test_what_has_expired_is_in_no_list_and_counts_until_it_is_found() -> None:
    peer = InProcess()
    peer.ask_all([[b"SET", b"%d" % number, b"v", b"PX", b"%d" % (100 + number % 2)] for number in range(1000)])
    peer.ask("SET other v")
    peer.now += 101
    assert peer.ask("DBSIZE") == ":1001"
    assert peer.ask("KEYS *").count("$") == 501
    assert peer.ask("GET 0") == "$-1"
    assert peer.ask("DBSIZE") == ":1000"


def test_what_nobody_asks_for_is_removed_in_time_and_a_little_at_a_time() -> None:
    peer = InProcess()
    peer.ask_all([[b"SET", b"%d" % number, b"v", b"PX", b"100"] for number in range(1000)])
    peer.ask_all([[b"SET", b"0", b"v"], [b"PERSIST", b"1"], [b"EXPIRE", b"2", b"100"]])
    peer.now += 101
    assert peer.engine.expire(most=200)
    assert 700 < int(peer.ask("DBSIZE")[1:]) <= 803
    while peer.engine.expire():
        pass
    assert peer.ask("DBSIZE") == ":3"


def test_exec_does_nothing_where_the_time_of_a_watched_key_was_up_since() -> None:
    peer = InProcess()
    peer.ask("SET k v PX 1000")
    peer.ask("WATCH k")
    peer.now += 1001
    peer.ask("MULTI")
    assert (peer.ask("EXEC"), peer.ask("DBSIZE")) == ("*-1", ":1"), "and leaves the key to who asks for it"
    peer.ask("WATCH k")  # it is overdue by now, which counts as missing
    peer.ask("MULTI")
    assert peer.ask("EXEC") == "*0"


@pytest.mark.parametrize("found", ["by a client", "by nobody"])
def test_exec_hears_of_an_expired_key_from_whoever_removed_it(found: str) -> None:
    peer = InProcess()
    watcher, other = peer.client, peer.connect()
    peer.ask("SET k v PX 1000")
    for overdue, answer in (False, "*-1"), (True, "*0"):
        peer.client = watcher
        peer.now += 1001 * overdue
        peer.ask("WATCH k")
        peer.now += 1001 * (not overdue)
        peer.client = other
        if found == "by a client":
            peer.ask("GET k")
        else:
            peer.engine.expire()
        peer.client = watcher
        peer.ask("MULTI")
        assert peer.ask("EXEC") == answer
        peer.ask("SET k v PX 1000")
