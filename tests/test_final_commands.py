"""What the commands answer, as written in `tests/transcripts`: true of final/, and true of a real Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stages.running import Server
from tests.oracle import InProcess, OverTheWire, check, redis_server, transcripts

SECTIONS = transcripts()
each_section = pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with redis_server() as server:
        yield server


@pytest.fixture
def real(redis: Server) -> OverTheWire:
    """A new client of a real Redis that holds nothing."""
    peer = OverTheWire(redis.connect())
    peer.ask_all([[b"FLUSHALL"]])
    return peer


@each_section
def test_final_answers_as_the_transcript_says(section: list[tuple[str, str]]) -> None:
    check(InProcess(), section)


@each_section
def test_redis_answers_as_the_transcript_says(section: list[tuple[str, str]], real: OverTheWire) -> None:
    check(real, section)
