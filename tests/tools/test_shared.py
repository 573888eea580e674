"""A server that tests share is reset, whatever the test before has left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stages.harness.wire import request
from tests.support.oracle import final_server, redis_server
from tests.support.shared import Shared

LEFT_BEHIND: dict[str, list[list[str | int]]] = {
    "data": [["SET", "k", "v"], ["SELECT", 9], ["SET", "k", "v"]],
    "a password": [["CONFIG", "SET", "requirepass", "secret"]],
    "an option": [["CONFIG", "SET", "maxmemory", 1, "maxmemory-policy", "allkeys-lru"]],
    "a user": [["ACL", "SETUSER", "alice", "on"]],
    "other rights": [["ACL", "SETUSER", "default", "-get"]],
    "a pause of writes": [["CLIENT", "PAUSE", 100_000, "WRITE"]],
    "a transaction": [["MULTI"], ["SET", "k", "v"]],
}


@pytest.fixture(scope="module", params=[final_server, redis_server], ids=["final", "redis"])
def shared(request: pytest.FixtureRequest) -> Iterator[Shared]:
    with Shared(request.param) as shared:
        yield shared


@pytest.mark.parametrize("what", LEFT_BEHIND)
def test_what_a_test_leaves_is_reset_for_the_next_one(shared: Shared, what: str) -> None:
    left = shared.clean().connect()
    for args in LEFT_BEHIND[what]:
        left.ask(*args)
    client = shared.clean().connect()
    assert client.ask("DBSIZE") == 0
    client.check(request("SELECT", 9), b"+OK\r\n")
    assert client.ask("DBSIZE") == 0
    client.check(request("SET", "k", "v"), b"+OK\r\n")
    assert client.ask("CONFIG", "GET", "*") == shared.options
    assert client.ask("ACL", "LIST") == shared.users
    assert str(client.ask("CLIENT", "LIST")).count(" laddr=") == 1


def test_another_server_is_started_where_one_has_ended(shared: Shared) -> None:
    shared.clean().kill()
    assert shared.clean().connect().ask("PING") == "PONG"


def test_a_server_that_is_clean_is_not_started_again(shared: Shared) -> None:
    assert shared.clean() is shared.clean()
