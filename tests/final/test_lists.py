"""Lists. What they answer is in `support/transcripts` and `support/conversations`; here is what nobody asks."""

from __future__ import annotations

import pytest

from final.commands import lists
from final.data.kinds import PIECE
from tests.support.oracle import InProcess


@pytest.mark.parametrize("length", [1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_a_dump_makes_the_list_anew_in_pieces(length: int) -> None:
    peer = InProcess()
    peer.ask("RPUSH l " + " ".join(map(str, range(length))))
    held = peer.client.db.get(b"l", lists.LIST)
    assert held is not None
    requests = [list(args) for args in lists.dump(b"copy", held)]
    assert all(len(args) <= PIECE + 2 for args in requests) and len(requests) == -(-length // PIECE)
    peer.ask_all(requests)
    assert peer.client.db.get(b"copy", lists.LIST) == held


@pytest.mark.parametrize("length", [1, 2, 5, 200])
def test_a_range_is_the_same_from_whichever_end_it_is_walked(length: int) -> None:
    peer = InProcess()
    args = [str(number) for number in range(length)]
    peer.ask("RPUSH l " + " ".join(args))
    for start in range(-length - 2, length + 2, 1 + length // 20):
        for stop in range(-length - 2, length + 2, 1 + length // 20):
            first = max(start + length if start < 0 else start, 0)
            after = max((stop + length if stop < 0 else stop) + 1, 0)
            expected = [f"${len(arg)} {arg}" for arg in args[first:after]]
            assert peer.ask(f"LRANGE l {start} {stop}") == " ".join([f"*{len(expected)}", *expected])


@pytest.mark.parametrize("count", [-250, -7, -1, 0, 1, 7, 250])
def test_lrem_removes_from_the_end_that_was_said_and_keeps_the_order(count: int) -> None:
    peer = InProcess()
    args = [b"x" if number % 3 else b"%d" % number for number in range(300)]
    peer.ask_all([[b"RPUSH", b"l", *args]])
    kept = args[::-1] if count < 0 else args[:]
    for _ in range(min(abs(count) or 200, 200)):
        kept.remove(b"x")
    assert peer.ask(f"LREM l {count} x") == f":{300 - len(kept)}"
    assert list(peer.client.db.get(b"l", lists.LIST) or ()) == (kept[::-1] if count < 0 else kept)
