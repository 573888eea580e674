"""Sets. Their answers are in `support/transcripts` and `support/conversations`; here are chance and rare cases."""

from __future__ import annotations

import pytest

from final.commands import sets
from final.data.kinds import PIECE
from final.protocol.writer import Value
from tests.support.oracle import InProcess


@pytest.fixture
def peer() -> InProcess:
    return InProcess()


def members(peer: InProcess, key: bytes = b"s") -> set[bytes]:
    """What is in a set."""
    return set(sets.members_of(peer.client.db, key))


def ask(peer: InProcess, line: str) -> Value:
    """The value that a request is answered with."""
    return peer.engine.execute(peer.client, line.encode().split())


@pytest.mark.parametrize("length", [1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_a_dump_makes_the_set_anew_in_pieces(peer: InProcess, length: int) -> None:
    ask(peer, "SADD s " + " ".join(map(str, range(length))))
    requests = [list(args) for args in sets.dump(b"copy", members(peer))]
    assert all(len(args) <= PIECE + 2 for args in requests) and len(requests) == -(-length // PIECE)
    peer.ask_all(requests)
    assert members(peer, b"copy") == members(peer)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({b"1", b"-2", b"9223372036854775807"}, "intset"),
        ({b"%d" % number for number in range(512)}, "intset"),
        ({b"%d" % number for number in range(513)}, "hashtable"),
        ({b"1", b"x"}, "hashtable"),
        ({b"01"}, "hashtable"),
        ({b"9223372036854775808"}, "hashtable"),
    ],
    ids=["integers", "512 integers", "513 integers", "a letter", "a leading zero", "too big a number"],
)
def test_a_set_of_a_few_integers_is_an_intset(held: set[bytes], expected: str) -> None:
    assert sets.encoding(held) == expected


@pytest.mark.parametrize("command", ["SPOP", "SRANDMEMBER"])
def test_each_member_has_its_turn(peer: InProcess, command: str) -> None:
    seen = set()
    for _ in range(200):  # that one of four is not among them has a chance of 4 * 0.75**200, or 1 in 10**24
        ask(peer, "SADD s a b c d")
        seen.add(ask(peer, f"{command} s"))
    assert seen == {b"a", b"b", b"c", b"d"}


@pytest.mark.parametrize("count", [1, 3, 9, 10, 50])
def test_what_spop_takes_is_different_and_gone(peer: InProcess, count: int) -> None:
    ask(peer, "SADD s 0 1 2 3 4 5 6 7 8 9")
    taken = ask(peer, f"SPOP s {count}")
    assert len(taken) == min(count, 10) and taken | members(peer) == {b"%d" % number for number in range(10)}
    assert not taken & members(peer)


def test_a_random_choice_is_among_the_members_with_repetitions_only_where_asked_for(peer: InProcess) -> None:
    ask(peer, "SADD s 0 1 2 3 4 5 6 7 8 9")
    several, many = ask(peer, "SRANDMEMBER s 7"), ask(peer, "SRANDMEMBER s -70")
    assert len(several) == len(set(several)) == 7 and set(several) <= members(peer)
    assert len(many) == 70 and set(many) <= members(peer)


def test_what_was_stored_is_a_set_of_its_own(peer: InProcess) -> None:
    ask(peer, "SADD s a b")
    for command in "SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE":
        ask(peer, f"{command} copy s")
        ask(peer, "SADD copy c")
        assert members(peer) == {b"a", b"b"} and members(peer, b"copy") == {b"a", b"b", b"c"}


def test_a_scan_gives_whoever_is_there_throughout_whatever_comes_and_goes(peer: InProcess) -> None:
    staying = [b"stays%d" % number for number in range(700)]
    peer.ask_all([[b"SADD", b"s", *staying], [b"SADD", b"s", *(b"goes%d" % number for number in range(700))]])
    cursor, found, calls = b"0", [], 0
    while calls == 0 or cursor != b"0":
        cursor, names = peer.engine.execute(peer.client, [b"SSCAN", b"s", cursor, b"COUNT", b"50"])
        found += names
        peer.ask_all([[b"SREM", b"s", b"goes%d" % (calls * 20)], [b"SADD", b"s", b"comes%d" % calls]])
        calls += 1
        assert calls < 100
    assert set(staying) <= set(found) and calls > 10
