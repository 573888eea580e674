"""Checkpoint 08: members stay in the order of their scores, whatever happens to them; chance is not in the log."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.harness.checkpoint import Dice, Modules, step
from stages.harness.log import has_records, log_of, logged, settle
from stages.harness.server import Server
from stages.harness.target import Target
from stages.harness.wire import Client, request

Start = Callable[..., Server]
Pairs = list[tuple[float, bytes]]  # scores and members

NULL, EMPTY = b"$-1\r\n", b"*0\r\n"
WRONG_TYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
SORTED_SET = """
import random
from sorted_set import SortedSet

held = SortedSet()
everything = lambda: held.entries(0, len(held))

def difference(wanted):
    "The first place where `entries` is not what is wanted: (place, got, wanted); or None."
    got = everything()
    for place in range(max(len(got), len(wanted))):
        if got[place : place + 1] != wanted[place : place + 1]:
            return place, got[place : place + 1], wanted[place : place + 1]

"""
"""What the checks of the structure begin with."""


def check_structure(modules: Modules, source: str, expected: object, **names: Any) -> None:
    """Run the source after SORTED_SET, and assert that its `result` is what is expected."""
    modules.check(SORTED_SET + textwrap.dedent(source), expected, **names)


def array(*items: bytes | str | int) -> bytes:
    """Encode an array of bulk strings: that is what a request is, too."""
    return request(*items)


def bulk(value: bytes | str) -> bytes:
    """Encode a bulk string."""
    return request(value)[4:]


def integer(number: int) -> bytes:
    """Encode an integer."""
    return b":%d\r\n" % number


def number(score: float) -> bytes:
    """Write a score as Redis does: without a point if it is whole."""
    return b"%.17g" % score


def zadd(key: bytes, pairs: Pairs, *options: str) -> bytes:
    """Make a ZADD of scores and members."""
    return request("ZADD", key, *options, *(each for score, member in pairs for each in (number(score), member)))


def flat(pairs: Pairs) -> bytes:
    """Encode members and scores as RESP2 has them: all in one array."""
    return array(*(each for score, member in pairs for each in (member, number(score))))


def members(pairs: Pairs) -> bytes:
    """Encode the members alone."""
    return array(*(member for _, member in pairs)) if pairs else EMPTY


def check_scores(client: Client, key: bytes, pairs: Pairs) -> None:
    """Assert that the sorted set has these members with these scores, and no others."""
    client.check(request("ZCARD", key), integer(len(pairs)))
    for score, member in pairs:
        client.check(request("ZSCORE", key, member), bulk(number(score)))


@pytest.fixture
def server_options(tmp_path: Path) -> dict[str, Any]:
    """The server that the tests share keeps a log, and makes no fsync."""
    return {"data": tmp_path, "appendfsync": "no"}


@pytest.fixture
def log(server: Server) -> Path:
    """The log of the shared server."""
    assert server.data
    logged(server.data)
    return log_of(server.data)


@pytest.fixture
def modules(modules: Modules, target: Target) -> Modules:
    """Look into the target's modules; not into those of `final/`, which have grown out of the form they have here."""
    if target.is_final:
        pytest.skip("final/ has grown out of the form that its modules have here")
    return modules


# Chance


@step(1)
@pytest.mark.read("Step 1: chance and the log")
def test_spop_removes_a_member_and_answers_with_it(client: Client, rng: Dice) -> None:
    """SPOP removes members one by one, each once, and answers null when there is none. Then the key is gone.

    `random.choice(list(held))` is a random member, and `held.remove(member)` removes it.

    `db.changed(key, log=…)`, with the record as a list of bytes, removes the empty set. `db.get(key, SET)` is None if
    there is no such key.
    """
    key, string, names = rng.key(), rng.key(), {rng.key() for _ in range(8)}
    client.check(request("SADD", key, *names), integer(8))
    popped = [client.ask("SPOP", key) for _ in range(3)]
    assert set(popped) < names, f"SPOP answered with {popped}; the members were {sorted(names)}"
    client.check(request("SCARD", key), integer(5))
    popped += [client.ask("SPOP", key) for _ in range(5)]
    assert sorted(popped, key=repr) == sorted(names, key=repr), "each member once, in any order"
    client.check(request("EXISTS", key) + request("SPOP", key), integer(0) + NULL)
    client.check(request("SET", string, "v") + request("SPOP", string), b"+OK\r\n" + WRONG_TYPE)


@step(1)
@pytest.mark.read("Step 1: chance and the log")
def test_spop_chooses_at_random(client: Client, rng: Dice) -> None:
    """Of 200 sets with the same two members SPOP takes sometimes the one, sometimes the other.

    The set's own `pop()`, and the first one in a loop, are not random: in one process, equal sets give the same member.
    """
    base, names = rng.key(), [rng.key(), rng.key()]
    client.check(b"".join(request("SADD", base + b"%d" % each, *names) for each in range(200)), integer(2) * 200)
    popped = [client.ask("SPOP", base + b"%d" % each) for each in range(200)]
    counts = [popped.count(name) for name in names]
    assert sum(counts) == 200, f"200 members were expected, of {names}"
    assert min(counts) > 40, f"the two members of 200 equal sets were popped {counts[0]} and {counts[1]} times"


@step(1)
@pytest.mark.read("Step 1: chance and the log")
def test_spop_is_logged_as_what_it_has_done(client: Client, log: Path, rng: Dice) -> None:
    """The log has `SREM key member` for each SPOP that has removed a member, and nothing for the others.

    `SPOP key` in the log would remove another member when it is replayed.

    Pass the record, a list of bytes, to the store: `db.changed(key, log=[b"SREM", key, member])`.
    """
    key = rng.key()
    client.check(request("SADD", key, "a", "b", "c"), integer(3))
    settle(client)
    before = log.stat().st_size
    popped = [client.ask("SPOP", key) for _ in range(4)]
    client.check(request("SPOP", rng.key()), NULL)
    settle(client)
    expected = [[b"SREM", key, member] for member in popped if isinstance(member, bytes)]
    has_records(log.read_bytes()[before:], expected, "This was added to the log.", request("SPOP", key) * 4)


@step(1)
@pytest.mark.read("Step 1: chance and the log")
def test_the_same_members_are_there_after_kill_9(start: Start, tmp_path: Path, rng: Dice) -> None:
    """Of 40 members SPOP removes 20. After `kill -9` and a new start the same 20 are left.

    Are others left? Then the log has SPOP, and the replay has removed at random again.
    """
    key = rng.key()
    first = start(data=tmp_path, appendfsync="no")
    client = first.connect()
    client.ask("SADD", key, *(rng.key() for _ in range(40)))
    for _ in range(20):
        client.ask("SPOP", key)
    before = client.ask("SMEMBERS", key)
    settle(client)
    first.kill()
    after = start(data=tmp_path, appendfsync="no").connect().ask("SMEMBERS", key)
    assert isinstance(before, list) and isinstance(after, list)
    assert sorted(after) == sorted(before), "the members before and after"
    assert len(before) == 20, "20 of 40 members were removed"


# An order


@step(2)
@pytest.mark.read("Step 2: an order in blocks")
def test_entries_are_ordered_by_score_and_then_by_bytes(modules: Modules) -> None:
    """`add` puts new members at their places: by score, then by the bytes of the member. It returns True for a new one.
    The result is what `add` returned for each, `entries(0, len(held))`, the dictionary `scores`, and `len`.

    An entry is the tuple `(score, member)`, and tuples compare in just this order. `insort(block, entry)` inserts one
    into a sorted list.

    `add` sets `self.scores[member]`, then calls `self._insert((score, member))`. The first entry makes the first block,
    `[entry]`: an empty block has no last entry, and `_find` would fail on it.
    """
    pairs: Pairs = [(2.0, b"b"), (10.0, b"k"), (-1.5, b"z"), (2.0, b"a"), (2.0, b"B"), (9.0, b"a\xff"), (1e300, b"")]
    pairs += [(2.0, b"aa"), (-1e300, b"low")]
    check_structure(
        modules,
        """
        added = [held.add(member, score) for score, member in pairs]
        result = [added, everything(), dict(sorted(held.scores.items())), len(held)]
        """,
        [[True] * 9, sorted(pairs), {member: score for score, member in sorted(pairs, key=lambda pair: pair[1])}, 9],
        pairs=pairs,
    )


@step(2)
@pytest.mark.read("Step 2: an order in blocks")
@pytest.mark.parametrize("how", ["at random", "upwards", "downwards", "with equal scores"])
def test_thousands_of_members_stay_in_order(modules: Modules, rng: Dice, how: str) -> None:
    """Five thousand members, added at random, upwards, downwards, or with few different scores, are all in order.
    The result is `len`, and the first place at which `entries(0, 5000)` differs from what it should be, or None.

    Is the first wrong place 500 or higher? Then it may be `entries`, and not the order. Behind the first block `start`
    is negative, and a slice with a negative start counts from the block's end: `block[max(start, 0) : stop]`.

    Is one missing, or twice there? When a block is cut in two, each entry goes into one of the halves:
    `self.blocks[index : index + 1] = block[:half], block[half:]`.

    Is it an IndexError? An entry greater than all others belongs to the last block: `bisect_left` returns the number of
    blocks then, and there is no such block.
    """
    check_structure(
        modules,
        """
        random.seed(seed)
        scores = [number // 500 if how == "with equal scores" else number for number in range(5000)]
        names = random.sample(range(10**8), 5000)
        pairs = [(float(score), b"%08d" % name) for score, name in zip(scores, names)]
        if how == "downwards":
            pairs.reverse()
        if how in ("at random", "with equal scores"):
            random.shuffle(pairs)
        for score, member in pairs:
            held.add(member, score)
        result = len(held), difference(sorted(pairs))
        """,
        (5000, None),
        how=how,
        seed=rng.randrange(10**6),
    )


@step(2)
@pytest.mark.read("Step 2: an order in blocks")
def test_no_block_is_too_long_and_none_is_empty(modules: Modules) -> None:
    """After 5000 additions no block is longer than LONGEST, 1000, and none is empty. (If your structure has no blocks,
    this has nothing to say.) The result is the number of blocks that are too long, of empty ones, and whether a block
    is shorter than 100.

    A block that is cut in the middle leaves two halves of 500. Look at its length after each insertion.
    """
    check_structure(
        modules,
        """
        for number in range(5000):
            held.add(b"%d" % number, float(number * 7919 % 5000))
        lengths = [len(block) for block in getattr(held, "blocks", [])]
        result = [sum(length > 1000 for length in lengths), lengths.count(0), min(lengths or [100]) < 100]
        """,
        [0, 0, False],
    )


@step(2)
@pytest.mark.read("Step 2: an order in blocks")
def test_entries_returns_any_range_of_ranks(modules: Modules, rng: Dice) -> None:
    """`entries(start, stop)` returns those with the ranks from `start` up to, but not including, `stop`.
    There are 4000 members, and each member's score is its rank. The result is the first call that was answered wrongly,
    with the ranks it returned (`first, last, how many`), or None.

    A range may begin in one block and end in another, and `stop` may be greater than the number of members.

    For each block, `block[max(start, 0) : stop]` is its part, if `start` and `stop` are counted from its beginning.
    Take its length from both before you go on to the next.
    """
    ranges = [(0, 0), (0, 1), (0, 4000), (3999, 4000), (3999, 9999), (4000, 9999), (9000, 9999), (700, 700)]
    ranges += [(start, start + rng.choice([1, 3, 40, 1500])) for start in rng.sample(range(4000), 80)]
    check_structure(
        modules,
        """
        random.seed(seed)
        for number in random.sample(range(4000), 4000):
            held.add(b"%d" % number, float(number))
        result = None
        for start, stop in ranges:
            got = [int(score) for score, _ in held.entries(start, stop)]
            if got != list(range(4000))[start:stop]:
                result = f"entries({start}, {stop})", got[:1], got[-1:], len(got)
                break
        """,
        None,
        ranges=ranges,
        seed=rng.randrange(10**6),
    )


# Changes


@step(3)
@pytest.mark.read("Step 3: the old entry goes first")
def test_another_score_moves_a_member(modules: Modules) -> None:
    """A member that gets another score is at its new place, and no longer at the old one.
    The result has, for each change, what `add` returned, and all entries.

    Is the member there twice? `self._delete((old, member))` has to come first, with the score that the dictionary had.

    For the score that it has, nothing changes. `add` returns True only for a new member.
    """
    check_structure(
        modules,
        """
        for member, score in ((b"a", 1.0), (b"b", 2.0), (b"c", 2.0), (b"d", 3.0)):
            held.add(member, score)
        result = []
        for member, score in ((b"a", 2.5), (b"c", 2.0), (b"d", -1.0), (b"b", 2.5), (b"c", 0.0)):
            result.append((held.add(member, score), everything()))
        result.append(dict(sorted(held.scores.items())))
        """,
        [
            (False, [(2.0, b"b"), (2.0, b"c"), (2.5, b"a"), (3.0, b"d")]),
            (False, [(2.0, b"b"), (2.0, b"c"), (2.5, b"a"), (3.0, b"d")]),
            (False, [(-1.0, b"d"), (2.0, b"b"), (2.0, b"c"), (2.5, b"a")]),
            (False, [(-1.0, b"d"), (2.0, b"c"), (2.5, b"a"), (2.5, b"b")]),
            (False, [(-1.0, b"d"), (0.0, b"c"), (2.5, b"a"), (2.5, b"b")]),
            {b"a": 2.5, b"b": 2.5, b"c": 0.0, b"d": -1.0},
        ],
    )


@step(3)
@pytest.mark.read("Step 3: the old entry goes first")
def test_the_score_that_it_has_changes_nothing(modules: Modules) -> None:
    """`add` with the score that the member has changes nothing, also if it is written otherwise: -0.0 equals 0.0.
    The result has what `add` returned, and how the two scores are written in `scores` and in the entries.

    If you delete the entry and insert it again, the new zero takes the place of the old one.

    First of all: `if old == score: return False`.
    """
    check_structure(
        modules,
        """
        for member, score in ((b"a", 0.0), (b"b", -0.0)):
            held.add(member, score)
        result = [held.add(b"a", -0.0), held.add(b"b", 0.0)]
        result += [[repr(held.scores[member]) for member in (b"a", b"b")], [repr(score) for score, _ in everything()]]
        """,
        [False, False, ["0.0", "-0.0"], ["0.0", "-0.0"]],
    )


@step(3)
@pytest.mark.read("Step 3: the old entry goes first")
def test_remove_removes_one_member(modules: Modules) -> None:
    """`remove` removes this member alone, from `scores` and from the order, and returns whether it was there.
    The result has, for each call, what it returned, and all entries; then `scores`, and what is there after one `add`.

    Is it an IndexError in `_find`? A block that has no entry has no last one: when the last entry of a block is gone,
    the block has to go, too. Then there may be no block at all.

    Take the score out of `scores`, and delete the entry with it: `(score, member)`. Is another member gone that has the
    same score? Then only the score was looked for.
    """
    check_structure(
        modules,
        """
        for member, score in ((b"a", 5.0), (b"b", 5.0), (b"c", 5.0), (b"zero", 0.0)):
            held.add(member, score)
        result = []
        for member in (b"b", b"b", b"missing", b"zero", b"c", b"a", b"a"):
            result.append((held.remove(member), everything()))
        result.append(held.scores)
        result.append([held.add(b"again", 1.0), everything()])
        """,
        [
            (True, [(0.0, b"zero"), (5.0, b"a"), (5.0, b"c")]),
            (False, [(0.0, b"zero"), (5.0, b"a"), (5.0, b"c")]),
            (False, [(0.0, b"zero"), (5.0, b"a"), (5.0, b"c")]),
            (True, [(5.0, b"a"), (5.0, b"c")]),
            (True, [(5.0, b"a")]),
            (True, []),
            (False, []),
            {b"again": 1.0},
            [True, [(1.0, b"again")]],
        ],
    )


@step(3)
@pytest.mark.read("Step 3: the old entry goes first")
def test_whole_blocks_can_go(modules: Modules) -> None:
    """Of 5000 members a long run is removed, so that whole blocks get empty, and then some are added there again.
    The result is, after both, the number of members, and the first place that is wrong in `entries`, or None.

    Is it an IndexError, or is the order wrong? An empty block has no last entry to compare with: delete the block.
    """
    check_structure(
        modules,
        """
        pairs = [(float(number), b"%d" % number) for number in range(5000)]
        for score, member in pairs:
            held.add(member, score)
        for score, member in pairs[:3500] + pairs[4900:]:
            held.remove(member)
        result = [len(held), difference(pairs[3500:4900])]
        for score, member in pairs[1000:1100] + pairs[4990:]:
            held.add(member, score)
        result += [len(held), difference(pairs[1000:1100] + pairs[3500:4900] + pairs[4990:])]
        """,
        [1400, None, 1510, None],
    )


@step(3)
@pytest.mark.read("Step 3: the old entry goes first")
def test_many_changes_in_any_order(modules: Modules, rng: Dice) -> None:
    """20 000 random changes: new members, other scores, the same score again, members removed.
    The result is the first call that returned something else than it should, or the first place that is wrong in
    `entries`; or None. After each 2000 changes all entries are looked at.

    The dictionary and the order have to say the same after each call.
    """
    check_structure(
        modules,
        """
        random.seed(seed)
        model, result = {}, None
        for count in range(1, 20001):
            member, score = b"%d" % random.randrange(4000), float(random.randrange(60))
            if random.random() < 0.3:
                call, got, wanted = f"remove({member})", held.remove(member), member in model
                model.pop(member, None)
            else:
                call, got, wanted = f"add({member}, {score})", held.add(member, score), member not in model
                model[member] = score
            if got is not wanted or (count % 2000 == 0 and difference(sorted((s, m) for m, s in model.items()))):
                result = call, got, wanted, difference(sorted((s, m) for m, s in model.items()))
                break
        """,
        None,
        seed=rng.randrange(10**6),
    )


# Ranks


@step(4)
@pytest.mark.read("Step 4: a rank is a sum")
def test_rank_is_the_number_of_members_before(modules: Modules, rng: Dice) -> None:
    """`rank` returns how many members come before this one, and None for one that is not there.
    4000 members are added at random, every third is removed, and each of the others is asked for its rank. The result
    is the first one with a wrong rank: its score, what `rank` returned, and the right one; or None. Then come the ranks
    of a member that was removed, and of one that never was there.

    Is it a KeyError? Who is not there has no rank: None. `self.scores.get(member)` is None then.

    Is it wrong from the second block on? All entries of the blocks before count, too.
    """
    check_structure(
        modules,
        """
        random.seed(seed)
        for number in random.sample(range(4000), 4000):
            held.add(b"%d" % number, number / 4)
        for number in range(0, 4000, 3):
            held.remove(b"%d" % number)
        left = [number for number in range(4000) if number % 3]
        wrong = [(number / 4, held.rank(b"%d" % number), rank) for rank, number in enumerate(left)]
        wrong = [each for each in wrong if each[1] != each[2]]
        result = [wrong[0] if wrong else None, held.rank(b"0"), held.rank(b"missing")]
        """,
        [None, None, None],
        seed=rng.randrange(10**6),
    )


@step(4)
@pytest.mark.read("Step 4: a rank is a sum")
def test_equal_scores_are_ranked_by_bytes(modules: Modules) -> None:
    """Members with the same score are ranked by their bytes. The result is the ranks of a, b, B, é (UTF-8) and zz, all
    with the score 1; then the same after b has got the score 0.

    The rank of a member is `count_before` of its entry, score and member.
    """
    check_structure(
        modules,
        """
        names = [b"a", b"b", b"B", "é".encode(), b"zz"]
        for name in names:
            held.add(name, 1.0)
        result = [[held.rank(name) for name in names]]
        held.add(b"b", 0.0)
        result.append([held.rank(name) for name in names])
        """,
        [[1, 2, 0, 4, 3], [2, 0, 1, 4, 3]],
    )


@step(4)
@pytest.mark.read("Step 4: a rank is a sum")
def test_count_before_counts_for_an_entry_that_is_not_there(modules: Modules) -> None:
    """`count_before` returns the number of entries that are less than the one given, which need not be in the set.
    There are three members with each of the scores 0 to 999. The result is what it returned for some bounds: before the
    first, at and between scores, and behind the last; and for an empty set.

    `(7.0, b"")` is less than all entries with the score 7. Behind the last one all count: those of the last block, too.

    Are there no blocks? Then it is 0.
    """
    check_structure(
        modules,
        """
        result = [held.count_before((1.0, b"a"))]
        for number in range(3000):
            held.add(b"%d" % number, float(number // 3))
        bounds = [(-1.0, b""), (0.0, b""), (7.0, b""), (7.5, b""), (333.0, b""), (500.0, b"z"), (999.0, b"")]
        bounds += [(999.0, b"a"), (1e9, b""), (7.0, b"22"), (7.0, b"220")]
        result += [held.count_before(bound) for bound in bounds]
        """,
        [0, 0, 0, 21, 24, 999, 1503, 2997, 3000, 3000, 22, 23],
    )


# Scores


@step(5)
@pytest.mark.read("Step 5: ZADD")
def test_zadd_sets_scores_and_answers_with_the_number_of_new_members(client: Client, rng: Dice) -> None:
    """ZADD sets the score of each member, and answers with the number of new ones. ZSCORE, ZCARD and ZRANK find them.

    `held.add(member, score)` returns whether it is new. Count that.

    10 comes after 9: scores are numbers, not texts.
    """
    key = rng.key()
    client.check(zadd(key, [(9, b"a"), (10, b"b"), (-1.5, b"c")]), integer(3))
    client.check(request("TYPE", key), b"+zset\r\n")
    check_scores(client, key, [(9, b"a"), (10, b"b"), (-1.5, b"c")])
    client.check(b"".join(request("ZRANK", key, each) for each in "cabx"), integer(0) + integer(1) + integer(2) + NULL)
    client.check(zadd(key, [(11, b"a"), (10, b"b"), (5, b"d")]), integer(1))
    check_scores(client, key, [(11, b"a"), (10, b"b"), (-1.5, b"c"), (5, b"d")])
    client.check(b"".join(request("ZRANK", key, each) for each in "cdba"), b"".join(map(integer, range(4))))
    client.check(request("ZADD", key, "inf", "a", "-inf", "b"), integer(0))
    client.check(request("ZSCORE", key, "a") + request("ZSCORE", key, "b"), bulk("inf") + bulk("-inf"))


@step(5)
@pytest.mark.read("Step 5: ZADD")
def test_options_say_which_scores_are_set(client: Client, rng: Dice) -> None:
    """NX, XX, GT and LT, alone and together, decide for each member whether its score is set.
    One ZADD gives the score 5 to a member that is new, and to three that have 9, 5 and 1: less, the same, and greater.

    NX: only new ones. XX: only others. GT and LT: of those that exist, only to a greater, or smaller, score;
    new ones as usual, unless XX is there, too.

    Is there a WRONGTYPE, or an error? `options` has the names in lower case, as bytes.
    """
    old: Pairs = [(9, b"less"), (5, b"same"), (1, b"greater")]
    for options, allowed in (
        *(("", "new less greater"), ("NX", "new"), ("XX", "less greater"), ("GT", "new greater"), ("lt", "new less")),
        *(("XX GT", "greater"), ("LT XX", "less")),
    ):
        key = rng.key()
        client.check(zadd(key, old), integer(3))
        new = [(5.0, b"new"), *((5.0, member) for _, member in old)]
        # in one check, so that a failure shows the ZADD, with its options, and the scores together
        sent = zadd(key, new, *options.split()) + request("ZCARD", key)
        replies = integer("new" in allowed) + integer(3 + ("new" in allowed))
        for score, member in old:
            sent += request("ZSCORE", key, member)
            replies += bulk(number(5.0 if member.decode() in allowed.split() else score))
        client.check(sent + request("ZSCORE", key, "new"), replies + (bulk("5") if "new" in allowed else NULL))


@step(5)
@pytest.mark.read("Step 5: ZADD")
def test_ch_counts_members_that_have_another_score(client: Client, rng: Dice) -> None:
    """With CH the answer is the number of members that are new or have another score now.

    A member that gets the score that it has does not count. One that is named twice counts each time it changes.
    """
    key = rng.key()
    client.check(zadd(key, [(1, b"a"), (2, b"b"), (3, b"c")], "CH"), integer(3))
    client.check(zadd(key, [(1, b"a"), (7, b"b"), (3, b"c"), (4, b"d")], "CH"), integer(2))
    client.check(zadd(key, [(1, b"a"), (7, b"b"), (3, b"c"), (4, b"d")], "CH"), integer(0))
    client.check(zadd(key, [(8, b"b"), (2, b"c"), (1, b"e")], "GT", "CH"), integer(2))
    client.check(zadd(key, [(9, b"a"), (9, b"f")], "ch", "nx"), integer(1))
    client.check(zadd(key, [(5, b"g"), (5, b"g"), (6, b"g")], "CH"), integer(2))
    client.check(zadd(key, [(5, b"h"), (6, b"h")]), integer(1))
    check_scores(client, key, [(1, b"a"), (8, b"b"), (3, b"c"), (4, b"d"), (1, b"e"), (9, b"f"), (6, b"g"), (6, b"h")])


@step(5)
@pytest.mark.read("Step 5: ZADD")
def test_incr_adds_to_the_score_and_answers_with_it(client: Client, rng: Dice) -> None:
    """ZINCRBY, and ZADD with INCR, add to the score, or begin with the number, and answer with the new score.

    The old score is `held.scores.get(member)`; None if there is none.

    The answer is a float; the writer sends it as a bulk string in RESP2.
    """
    key = rng.key()
    client.check(request("ZINCRBY", key, 5, "a"), bulk("5"))
    client.check(request("ZINCRBY", key, "-1.5", "a"), bulk("3.5"))
    client.check(request("ZADD", key, "INCR", "0.5", "a"), bulk("4"))
    client.check(request("ZADD", key, "INCR", 0, "a"), bulk("4"))
    client.check(request("ZADD", key, "CH", "INCR", -3, "b"), bulk("-3"))
    client.check(request("ZRANK", key, "b") + request("ZRANK", key, "a"), integer(0) + integer(1))
    check_scores(client, key, [(4, b"a"), (-3, b"b")])


@step(5)
@pytest.mark.read("Step 5: ZADD")
def test_incr_with_options_answers_null_if_nothing_is_allowed(client: Client, rng: Dice) -> None:
    """With INCR the options look at the sum, not at the number that is added; null says that nothing was set.
    The member has 10 points, and gets -1, 0 or 1 of them; or it is new, and gets 3.

    Add first, then compare. Keep the new score in a variable, None at the beginning: then it is None at the end if
    nothing was allowed. 0 is a score, and no null.
    """
    for options, answers in (
        *(("", "9 10 11 3"), ("NX", "- - - 3"), ("XX", "9 10 11 -"), ("GT", "- - 11 3"), ("LT", "9 - - 3")),
        *(("XX GT", "- - 11 -"), ("XX LT", "9 - - -")),
    ):
        for amount, answer in zip((-1, 0, 1, 3), answers.split(), strict=True):
            key, member = rng.key(), b"new" if amount == 3 else b"old"
            client.check(zadd(key, [(10, b"old")]), integer(1))
            sent = request("ZADD", key, *options.split(), "INCR", amount, member)
            client.check(sent, NULL if answer == "-" else bulk(answer))
            after = answer if answer != "-" else "10" if member == b"old" else ""
            client.check(request("ZSCORE", key, member), bulk(after) if after else NULL)


@step(5)
@pytest.mark.read("Step 5: ZADD")
def test_infinity_minus_infinity_is_an_error_and_changes_nothing(client: Client, log: Path, rng: Dice) -> None:
    """To add minus infinity to infinity is an error, and the score stays; so it is with GT, LT and XX. With NX the
    answer is null: the member is there, so nothing is added.

    `math.isnan(score)` says whether the sum is a number, before anything is set.

    Ask in this order: NX and XX, then the sum and whether it is a number, then GT and LT, which compare the sum.
    """
    key = rng.key()
    error = b"-ERR resulting score is not a number (NaN)\r\n"
    client.check(request("ZADD", key, "inf", "a", "-inf", "b", 1, "c"), integer(3))
    settle(client)
    before = log.stat().st_size
    client.check(request("ZINCRBY", key, "-inf", "a") + request("ZADD", key, "INCR", "+inf", "b"), error * 2)
    for option in ("GT", "LT", "XX"):
        client.check(request("ZADD", key, option, "INCR", "-inf", "a"), error)
    client.check(request("ZINCRBY", key, "nan", "c"), b"-ERR value is not a valid float\r\n")
    client.check(request("ZSCORE", key, "a") + request("ZSCORE", key, "b"), bulk("inf") + bulk("-inf"))
    settle(client)
    has_records(log.read_bytes()[before:], [], "This was added to the log by requests that were errors.", b"")
    client.check(request("ZADD", key, "NX", "INCR", "-inf", "a"), NULL)


@step(5)
@pytest.mark.read("Step 5: ZADD")
def test_xx_makes_no_key(client: Client, rng: Dice) -> None:
    """ZADD with XX at a key that does not exist answers 0, or null with INCR, and makes none. Errors make none, either.

    `db.make` makes the key. Ask `key in db` before, if XX is among the options.
    """
    key = rng.key()
    client.check(zadd(key, [(1, b"a")], "XX") + zadd(key, [(1, b"a")], "XX", "CH"), integer(0) * 2)
    client.check(zadd(key, [(1, b"a")], "XX", "INCR"), NULL)
    client.check(request("ZADD", key, 1, "a", "much", "b"), b"-ERR value is not a valid float\r\n")
    client.check(request("EXISTS", key) + request("TYPE", key), integer(0) + b"+none\r\n")
    client.check(zadd(key, [(1, b"a")], "GT") + zadd(key, [(2, b"b")], "NX"), integer(1) * 2)
    client.check(request("SET", key, "v") + zadd(key, [(1, b"a")]), b"+OK\r\n" + WRONG_TYPE)
    client.check(zadd(key, [(1, b"a")], "XX") + request("ZINCRBY", key, 1, "a"), WRONG_TYPE * 2)


@step(5)
@pytest.mark.read("Step 5: ZADD")
def test_only_what_has_changed_something_is_logged(client: Client, log: Path, rng: Dice) -> None:
    """ZADD, ZINCRBY, ZREM and ZPOPMIN are logged when they have changed something, once, and otherwise not.

    A ZADD that only gives another score to a member has changed something, although its answer is 0.

    Call `db.changed(key)` once for a request, not for each pair, and not if the score is the one that it was.
    """
    key = rng.key()
    client.check(zadd(key, [(1, b"a"), (2, b"b"), (3, b"c")]), integer(3))
    settle(client)
    before = log.stat().st_size
    for args, reply, changes in (
        (["ZADD", key, 1, "a", 2, "b"], integer(0), False),
        (["ZADD", key, 5, "a", 6, "b"], integer(0), True),
        (["ZADD", key, "NX", 7, "a"], integer(0), False),
        (["ZADD", key, "XX", "CH", 7, "new"], integer(0), False),
        (["ZADD", key, "GT", 1, "a"], integer(0), False),
        (["ZADD", key, "INCR", "LT", 1, "a"], NULL, False),
        (["ZINCRBY", key, 0, "a"], bulk("5"), False),
        (["ZINCRBY", key, 2, "a"], bulk("7"), True),
        (["ZADD", key, 1, "n", 2, "m"], integer(2), True),
        (["ZREM", key, "m", "n", "o"], integer(2), True),
        (["ZREM", key, "m"], integer(0), False),
        (["ZPOPMIN", rng.key()], EMPTY, False),
    ):
        assert isinstance(args, list)
        client.check(request(*args), reply)
        settle(client)
        expected = [[arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]] if changes else []
        has_records(log.read_bytes()[before:], expected, "This was added to the log.", request(*args))
        before = log.stat().st_size


@step(5)
@pytest.mark.read("Step 5: ZADD")
def test_zrevrank_counts_from_the_highest_score(client: Client, rng: Dice) -> None:
    """ZREVRANK answers 0 for the member with the highest score, and null for one that is not there.

    Is it null for the lowest? Its rank is 0, and 0 is false: ask `is None`.

    Nine members have the ranks 0 to 8. The one with rank 8 has none behind it.
    """
    key, string = rng.key(), rng.key()
    names = [rng.key() for _ in range(9)]
    client.check(request("ZREVRANK", key, "a"), NULL)
    client.check(zadd(key, [(float(place), name) for place, name in enumerate(names)]), integer(9))
    for place, name in enumerate(names):
        client.check(request("ZREVRANK", key, name) + request("ZRANK", key, name), integer(8 - place) + integer(place))
    client.check(request("ZREVRANK", key, "missing"), NULL)
    client.check(request("SET", string, "v") + request("ZREVRANK", string, "a"), b"+OK\r\n" + WRONG_TYPE)


@step(5)
@pytest.mark.read("Step 5: ZADD")
def test_zpopmin_takes_the_lowest_until_the_key_is_gone(client: Client, rng: Dice) -> None:
    """ZPOPMIN removes the member with the lowest score and answers with it and its score; with an empty array if there
    is none. Then the key is gone.

    `held.entries(0, 1)` is the first entry, if any. The answer is the member first, then the score.

    Does EXISTS still answer 1? `db.changed(key)` removes an empty container.
    """
    key = rng.key()
    client.check(request("ZPOPMIN", key), EMPTY)
    client.check(zadd(key, [(2, b"c"), (1.5, b"b"), (1.5, b"a")]), integer(3))
    for score, member in ((1.5, b"a"), (1.5, b"b")):
        client.check(request("ZPOPMIN", key), flat([(score, member)]))
        client.check(request("ZSCORE", key, member), NULL)
    client.check(request("ZCARD", key) + request("ZRANK", key, "c"), integer(1) + integer(0))
    client.check(request("ZPOPMIN", key) + request("EXISTS", key), flat([(2, b"c")]) + integer(0))
    client.check(request("ZPOPMIN", key), EMPTY)
    client.check(request("SET", key, "v") + request("ZPOPMIN", key), b"+OK\r\n" + WRONG_TYPE)


@step(5)
@pytest.mark.read("Step 5: ZADD")
def test_scores_are_the_same_after_kill_9(start: Start, tmp_path: Path, rng: Dice) -> None:
    """After `kill -9` and a new start all members have their scores and ranks.

    Is a score too high? Then an increment is in the log twice. Is a member back? Look whether ZPOPMIN calls `changed`.
    """
    key, names = rng.key(), [rng.key() for _ in range(50)]
    first = start(data=tmp_path, appendfsync="no")
    client = first.connect()
    for name in names:
        client.ask("ZADD", key, rng.randrange(40), name)
    for _ in range(100):
        client.ask("ZINCRBY", key, rng.choice(["-0.5", "1", "2.25"]), rng.choice(names))
        client.ask("ZADD", key, rng.choice(["GT", "LT"]), rng.randrange(60), rng.choice(names))
    for _ in range(10):
        client.ask("ZPOPMIN", key)
    client.ask("ZREM", key, *names[:5])
    before = [(client.ask("ZSCORE", key, name), client.ask("ZRANK", key, name)) for name in names]
    settle(client)
    first.kill()
    client = start(data=tmp_path, appendfsync="no").connect()
    after = [(client.ask("ZSCORE", key, name), client.ask("ZRANK", key, name)) for name in names]
    assert after == before, "score and rank of each member, before and after"
    assert sum(score is None for score, _ in before) >= 10, "ZPOPMIN and ZREM have removed members"


# Ranges


def ten(key: bytes) -> Pairs:
    """Ten members, in order: the scores 0, 0, 1, 1, … 4, 4."""
    return [(float(place // 2), b"%b%d" % (key[:2], place)) for place in range(10)]


@step(6)
@pytest.mark.read("Step 6: ranges")
def test_zrange_by_index_includes_both_ends(client: Client, rng: Dice) -> None:
    """ZRANGE key start stop answers with the members of these ranks, both ends included; -1 is the last one.
    There are ten members.

    Is the last one always missing? Without LIMIT `count` is -1, and that means: all.

    `span` of `lists.py` has the rules of LRANGE, and they are the same here. `parse_index` parses an argument.

    With REV the first member is the one with the highest score. `Range.ranks` counts from there then, and `zrange`
    turns them round: by index there is nothing more to do in `ranks`.
    """
    key = rng.key()
    pairs = ten(key)
    client.check(zadd(key, rng.sample(pairs, 10)), integer(10))
    for start in (-99, -11, -10, -9, -1, 0, 1, 9, 10, 99):
        for stop in (-99, -11, -10, -2, -1, 0, 1, 8, 9, 10, 99):
            first, last = (max(start + 10, 0) if start < 0 else start), (stop + 10 if stop < 0 else stop)
            for order, option in ((pairs, []), (pairs[::-1], ["REV"])):
                expected = members(order[first : max(last + 1, 0)])
                client.check(request("ZRANGE", key, start, stop, *option), expected)
    client.check(request("ZRANGE", rng.key(), 0, -1), EMPTY)
    client.check(request("ZRANGE", rng.key(), 0, "x"), b"-ERR value is not an integer or out of range\r\n")
    client.check(request("ZRANGE", key, 0, 0), members(pairs[:1]))
    client.check(request("ZRANGE", key, 0, 0, "rev"), members(pairs[-1:]))


BOUNDS = ["-inf", "-1", "(0", "0", "(1", "1", "1.5", "(1.5", "(3", "3", "4", "(4", "5", "+inf", "(inf", "(-inf"]


def between(pairs: Pairs, low: str, high: str) -> Pairs:
    """Return the pairs with a score between two bounds; a bound that begins with a parenthesis is excluded."""

    def above(score: float) -> bool:
        return score > float(low[1:]) if low[0] == "(" else score >= float(low)

    def below(score: float) -> bool:
        return score < float(high[1:]) if high[0] == "(" else score <= float(high)

    return [(score, member) for score, member in pairs if above(score) and below(score)]


@step(6)
@pytest.mark.read("Step 6: ranges")
def test_zrange_by_score_includes_its_bounds_unless_they_have_a_parenthesis(client: Client, rng: Dice) -> None:
    """ZRANGE … BYSCORE answers with the members between two bounds; `(1` does not include the score 1.
    Ten members have the scores 0, 0, 1, 1, … 4, 4; `bottom` has -inf, `top` and `topmost` have +inf.

    `count_before((score, b""))` is the number of entries with a lower score: the ends of the range, if the lower bound
    is included, and if the upper one is not. In the other two cases the entries with the score itself count, too.

    `nextafter(score, inf)` is the next higher float. Above infinity there is none: then all entries count.
    """
    key = rng.key()
    pairs = [*ten(key), (math.inf, b"top"), (math.inf, b"topmost")]
    pairs.insert(0, (-math.inf, b"bottom"))
    client.check(zadd(key, rng.sample(pairs, 13)), integer(13))
    for low in BOUNDS:
        for high in BOUNDS:
            expected = between(pairs, low, high)
            client.check(request("ZRANGE", key, low, high, "BYSCORE"), members(expected))


@step(6)
@pytest.mark.read("Step 6: ranges")
def test_zcount_counts_between_two_bounds(client: Client, rng: Dice) -> None:
    """ZCOUNT answers with the number of members that ZRANGE with BYSCORE would find.
    Ten members have the scores 0, 0, 1, 1, … 4, 4.

    If the lower bound is above the upper one, it is 0: a range whose end is before its start has to be empty.
    """
    key = rng.key()
    pairs = ten(key)
    client.check(zadd(key, rng.sample(pairs, 10)), integer(10))
    for low in BOUNDS:
        for high in BOUNDS:
            client.check(request("ZCOUNT", key, low, high), integer(len(between(pairs, low, high))))
    client.check(request("ZCOUNT", rng.key(), "-inf", "+inf"), integer(0))


@step(6)
@pytest.mark.read("Step 6: ranges")
def test_a_bound_that_is_no_number_is_an_error(client: Client, rng: Dice) -> None:
    """A bound must be a number, also if there is no such key.

    `parse_float` returns None for what is no number. Take the parenthesis off first, and only one.
    """
    key = rng.key()
    error = b"-ERR min or max is not a float\r\n"
    for bound in ("x", "((1", "(x", "nan", "1)", "[1"):
        for low, high in ((bound, "5"), ("5", bound)):
            client.check(request("ZRANGE", key, low, high, "BYSCORE") + request("ZCOUNT", key, low, high), error * 2)
    client.check(zadd(key, [(1, b"a")]) + request("ZCOUNT", key, "1", "x"), integer(1) + error)


@step(6)
@pytest.mark.read("Step 6: ranges")
def test_in_reverse_the_higher_bound_comes_first(client: Client, rng: Dice) -> None:
    """With BYSCORE and REV the first argument is the higher bound, and the members come from the highest to the lowest.
    Ten members have the scores 0, 0, 1, 1, … 4, 4.

    Is it empty? Swap the two bounds.

    `ranks` returns ranks that are counted from the last member then: of `n` members the one with rank r has n - 1 - r
    there, so from `first` up to `end` becomes from `n - end` up to `n - first`.
    """
    key = rng.key()
    pairs = ten(key)
    client.check(zadd(key, rng.sample(pairs, 10)), integer(10))
    for low in BOUNDS:
        for high in BOUNDS:
            expected = between(pairs, low, high)[::-1]
            client.check(request("ZRANGE", key, high, low, "BYSCORE", "REV"), members(expected))


@step(6)
@pytest.mark.read("Step 6: ranges")
def test_limit_leaves_out_some_and_ends_after_some(client: Client, rng: Dice) -> None:
    """LIMIT offset count leaves out `offset` members of those that were found, and answers with `count` at most.
    A negative count means all the others; a negative offset leaves out all. With REV the first ones are the highest.
    Ten members have the scores 0, 0, 1, 1, … 4, 4, and the six with 1, 2 and 3 are asked for.

    Is the last one always missing? A count of -1 means all. Is it wrong with a negative offset? It would count from the
    end of the range: it leaves out all.

    First reverse, then count from there.

    Does a large count answer with members that are above the bound? `end` stays the end: take the smaller one.
    """
    key = rng.key()
    pairs = ten(key)
    client.check(zadd(key, rng.sample(pairs, 10)), integer(10))
    found = between(pairs, "1", "(4")
    for offset in (-2, -1, 0, 1, 2, 5, 6, 7, 99):
        for count in (-99, -1, 0, 1, 2, 5, 6, 99):
            for order, args in ((found, ["1", "(4"]), (found[::-1], ["(4", "1", "REV"])):
                left = order[offset:] if offset >= 0 else []
                expected = members(left if count < 0 else left[:count])
                client.check(request("ZRANGE", key, *args, "BYSCORE", "LIMIT", offset, count), expected)


@step(6)
@pytest.mark.read("Step 6: ranges")
def test_withscores_adds_the_scores(client: Client, connect: Callable[[], Client], rng: Dice) -> None:
    """WITHSCORES answers with members and scores: all in one array in RESP2, in pairs in RESP3, with doubles.

    This is given, and needs `ranks` and `entries`.
    """
    key, other = rng.key(), connect()
    pairs: Pairs = [(-1.5, b"a"), (2, b"b"), (1000000, b"c")]
    client.check(zadd(key, pairs), integer(3))
    client.check(request("ZRANGE", key, 0, -1, "WITHSCORES"), flat(pairs))
    client.check(request("ZRANGE", key, 0, 1, "REV", "WITHSCORES"), flat(pairs[:0:-1]))
    client.check(request("ZRANGE", key, 2, "+inf", "BYSCORE", "WITHSCORES", "LIMIT", 1, 1), flat(pairs[2:]))
    client.check(request("ZREVRANGE", key, 0, 1, "WITHSCORES"), flat(pairs[:0:-1]))
    client.check(request("ZREVRANGE", key, 1, -1), members(pairs[1::-1]))
    other.ask("HELLO", 3)
    expected = b"*2\r\n" + b"".join(b"*2\r\n$1\r\n%b\r\n,%b\r\n" % (name, number(score)) for score, name in pairs[:2])
    other.check(request("ZRANGE", key, 0, 1, "WITHSCORES"), expected)


@step(6)
@pytest.mark.read("Step 6: ranges")
def test_a_leaderboard_of_thousands_changes_all_the_time(client: Client, rng: Dice) -> None:
    """3000 players win and lose points, and some leave. Then ranks, pages and counts all say the same.

    Do the earlier checks pass, and this one does not? Look at the borders between blocks.
    """
    key = rng.key()
    points = {b"player:%d" % each: float(rng.randrange(500)) for each in range(3000)}
    client.check(zadd(key, [(score, member) for member, score in points.items()]), integer(3000))
    sent, replies = b"", b""
    for player in rng.choices(list(points), k=2000):
        amount = rng.choice([-50, -1, 1, 7.5, 100])
        points[player] += amount
        sent, replies = sent + request("ZINCRBY", key, number(amount), player), replies + bulk(number(points[player]))
    client.check(sent, replies)
    for player in rng.sample(list(points), 100):
        del points[player]
        client.check(request("ZREM", key, player), integer(1))
    order = sorted((score, member) for member, score in points.items())
    for rank in rng.sample(range(2900), 60):
        client.check(request("ZREVRANK", key, order[rank][1]), integer(2899 - rank))
        client.check(request("ZRANGE", key, rank, rank + 9, "WITHSCORES"), flat(order[rank : rank + 10]))
        low, high = f"({order[rank][0]}", f"{order[rank][0] + 50}"
        client.check(request("ZCOUNT", key, low, high), integer(len(between(order, low, high))))
    client.check(request("ZRANGE", key, 0, -1), members(order))
