"""Several clients at once, on `python -m final` and on a real Redis: both do what `support/conversations` says."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from stages.harness.server import Server
from stages.harness.wire import request as encoded
from tests.support.machine import within
from tests.support.oracle import args_of, final_server, redis_server, skip_without_lua
from tests.support.shared import Shared
from tests.support.talk import OPTIONS, Step, Talk, conversations

CONVERSATIONS = conversations()
BLOCKING = [
    *("BLPOP a 0.023", "BLMOVE a b LEFT LEFT 0.023", "BRPOPLPUSH a b 0.023", "BLMPOP 0.023 2 a b LEFT COUNT 3"),
    "XREAD BLOCK 23 STREAMS a b $ $",
]


@pytest.fixture(scope="module", params=[partial(final_server, unhurried=True), redis_server], ids=["final", "redis"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shared, Path]]:
    folder = tmp_path_factory.mktemp("data")
    with Shared(lambda: request.param(*OPTIONS, data=folder)) as shared:
        yield shared, folder


@pytest.fixture
def server(shared: tuple[Shared, Path]) -> tuple[Server, Path]:
    """A server that holds nothing, and the folder where its log is."""
    return shared[0].clean(), shared[1]


@pytest.mark.parametrize("steps", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_everyone_hears_what_the_conversation_says(server: tuple[Server, Path], steps: list[Step]) -> None:
    if server[0].target.is_final:
        skip_without_lua(asked for asked, _ in steps)
    talk = Talk(*server)
    for number, (asked, expected) in enumerate(steps, start=1):
        talk.ask(asked)
        heard = talk.heard()
        assert re.fullmatch(".*".join(map(re.escape, expected.split("…"))), heard), (
            f"line {number}: {asked}\nexpected: {expected}\nheard:    {heard}"
        )
    talk.end()


@pytest.mark.parametrize("line", BLOCKING)
def test_a_timeout_is_in_seconds_to_the_millisecond(server: tuple[Server, Path], line: str) -> None:
    client = server[0].connect()
    client.ask("DEL", "a", "b")
    began = time.monotonic()
    client.check(encoded(*args_of(line)), b"*-1\r\n")
    assert 0.023 <= time.monotonic() - began < within(5)


def test_what_arrives_while_a_client_waits_is_answered_when_its_time_is_up(server: tuple[Server, Path]) -> None:
    client, other = server[0].connect(), server[0].connect()
    client.ask("DEL", "a")
    client.send(encoded("BLPOP", "a", "0.05"))
    for arg in b"one", b"two", b"three":  # each in a chunk of its own
        other.ask("PING")
        client.send(encoded("ECHO", arg))
    client.expect(b"*-1\r\n$3\r\none\r\n$3\r\ntwo\r\n$5\r\nthree\r\n")
    other.ask("RPUSH", "a", 1)
    assert other.ask("LPOP", "a") == b"1"
