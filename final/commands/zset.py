"""Commands for sorted sets: members in the order of their scores. Ranges, pops and set operations have own files."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice, takewhile
from math import isnan

from ..data.kinds import KINDS, PIECE, Args, Form, Kind
from ..data.memory import estimate, pair_size
from ..data.random_members import one_of, sample
from ..data.sorted_set import SortedSet
from ..data.store import Store
from ..data.unit import AS_REQUESTED
from ..engine.args import parse_random
from ..engine.client import Client
from ..engine.command import DENYOOM, FAST, READONLY, REPLY_FIRST, WRITE, Group
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..log.rdb.packed import pack_listpack
from ..protocol.errors import ReplyError, not_a_float, syntax_error
from ..protocol.numeric import parse_double
from ..protocol.writer import Value
from .keys import scan_members

GROUP = Group("sorted-set", "@sortedset", "z")

SORTED_SET = SortedSet
ZADD_OPTIONS = {b"nx", b"xx", b"gt", b"lt", b"ch", b"incr"}
MOST_WHOLE = 2.0**62  # up to this, a listpack has scores that are whole as integers (`double2ll`)


def dump(key: bytes, value: SortedSet) -> Iterator[Args]:
    """Yield the requests that create this sorted set, at most PIECE members in each."""
    entries = value.entries()
    while piece := list(islice(entries, PIECE)):
        yield b"ZADD", key, *(arg for score, member in piece for arg in (written(score), member))


def encoding(value: SortedSet) -> str:
    """Return the encoding that Redis would use: a listpack for few short members, else a skip list."""
    return "listpack" if value.small else "skiplist"


def size(value: SortedSet, samples: int) -> int:
    """Return the memory that this sorted set takes, in bytes, estimated from `samples` members."""
    return value.own_size() + estimate(value.scores.items(), samples, pair_size)


def rdb(value: SortedSet, remembered: str | None) -> Form:
    """Return what this sorted set is in a snapshot: members and scores in turn; packed, or from the highest on."""
    if value.small:
        pairs = ((member, packed_score(score)) for score, member in value.entries())
        return 17, (pack_listpack(chain.from_iterable(pairs)),)
    highest_first = (item for score, member in value.entries(reverse=True) for item in (member, score))
    return 5, chain[bytes | float]((len(value),), highest_first)


def packed_score(score: float) -> int | bytes:
    """Return a score as a listpack has it."""
    return int(score) if -MOST_WHOLE <= score <= MOST_WHOLE and score.is_integer() else written(score)


KINDS[SORTED_SET] = Kind("zset", dump, encoding, size, copy=SortedSet.copy, rdb=rdb, parts=SortedSet.parts)


def written(score: float) -> bytes:
    """Format a score with 17 significant digits, from which the same float can be parsed."""
    return b"%.17g" % score


def parse_score(arg: bytes) -> float:
    """Parse a score. Raises `not_a_float`."""
    score = parse_double(arg)
    if score is None:
        raise not_a_float()
    return score


def with_scores(client: Client, entries: Iterable[tuple[float, bytes]], wanted: bool) -> Value:
    """Return the members, or members and scores if they are `wanted`: as pairs in RESP3, alternating in RESP2."""
    if not wanted:
        return [member for _, member in entries]
    if client.protocol >= 3:
        return [[member, score] for score, member in entries]
    return [arg for score, member in entries for arg in (member, score)]


@command(WRITE, DENYOOM, FAST, REPLY_FIRST, keys="RW update")
@complexity("O(log(N)) for each member added to N")
def zadd(db: Store, key: bytes, first: bytes, second: bytes, *more: bytes) -> Value:
    """ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]: set scores; answer with the number of new members.

    NX: add new members only. XX: update existing members only. GT, LT: update only to a higher, or lower, score.
    CH: count changed members, too. INCR: add to the score; answer with the sum, or null if nothing was set.
    """  # noqa: E501  (the first line is what redis-cli shows)
    if not more and first.lower() not in ZADD_OPTIONS:  # most requests; this saves 1 µs of 7
        return set_scores(db, key, [(parse_score(first), second)], set())
    args = [first, second, *more]
    leading = list(takewhile(lambda each: each.lower() in ZADD_OPTIONS, args))
    options, scored = {each.lower() for each in leading}, args[len(leading) :]
    if not scored or len(scored) % 2:
        raise syntax_error()
    if {b"nx", b"xx"} <= options:
        raise ReplyError("ERR XX and NX options at the same time are not compatible")
    if len(options & {b"gt", b"lt", b"nx"}) > 1:
        raise ReplyError("ERR GT, LT, and/or NX options at the same time are not compatible")
    if b"incr" in options and len(scored) > 2:
        raise ReplyError("ERR INCR option supports a single increment-element pair")
    pairs = [(parse_score(score), member) for score, member in zip(scored[::2], scored[1::2], strict=True)]
    return set_scores(db, key, pairs, options)


def set_scores(
    db: Store, key: bytes, pairs: list[tuple[float, bytes]], options: set[bytes], log: Args | None = AS_REQUESTED
) -> Value:
    """Set the scores of `pairs`, or add to one, as the options of ZADD say; return ZADD's answer."""
    incr = b"incr" in options
    if b"xx" in options and db.get(key, SORTED_SET) is None:
        return None if incr else 0
    held = db.make(key, SORTED_SET)
    added = updated = 0
    answer: float | None = None
    try:
        for score, member in pairs:
            old = held.scores.get(member)
            if (b"xx" if old is None else b"nx") in options:
                continue
            if incr and old is not None:
                score += old
                if isnan(score):
                    raise ReplyError("ERR resulting score is not a number (NaN)")
            if options and old is not None and not allowed(old, score, options):
                continue
            answer = score
            added += held.add(member, score)
            updated += old is not None and old != score
    finally:
        if added or updated:
            db.changed(key, log=log, event="zincr" if incr else "zadd", count=added + updated)
        elif not held:
            db.delete(key)
    return answer if incr else added + updated * (b"ch" in options)


def allowed(old: float, new: float, options: set[bytes]) -> bool:
    """Return whether GT and LT of ZADD allow the score of an existing member to change from `old` to `new`."""
    return not ((b"gt" in options and new <= old) or (b"lt" in options and new >= old))


@command(WRITE, DENYOOM, FAST, REPLY_FIRST, keys="RW access update")
@complexity("O(log(N)) for N members")
def zincrby(db: Store, key: bytes, increment: bytes, member: bytes) -> Value:
    """ZINCRBY key increment member: add to the member's score; answer with the sum."""
    if increment.lower() in ZADD_OPTIONS:
        raise syntax_error()
    return set_scores(db, key, [(parse_score(increment), member)], {b"incr"})


@command(WRITE, FAST, keys="RW delete")
@complexity("O(M*log(N)) for M of N members removed")
def zrem(db: Store, key: bytes, member: bytes, *members: bytes) -> Value:
    """ZREM key member [member ...]: remove members; answer with the number of removed members."""
    held = db.get(key, SORTED_SET)
    gone = [each for each in (member, *members) if held and held.remove(each)]
    if gone:
        db.changed(key, count=len(gone))
    return len(gone)


@command(READONLY, FAST, keys="RO")
def zcard(db: Store, key: bytes) -> Value:
    """ZCARD key: answer with the number of members."""
    return len(db.get(key, SORTED_SET) or ())


@command(READONLY, FAST)
def zscore(db: Store, key: bytes, member: bytes) -> Value:
    """ZSCORE key member: answer with the member's score, or null if the member does not exist."""
    held = db.get(key, SORTED_SET)
    return held.scores.get(member) if held else None


@command(READONLY, FAST)
@complexity("O(N) for N members asked for")
def zmscore(db: Store, key: bytes, member: bytes, *members: bytes) -> Value:
    """ZMSCORE key member [member ...]: answer with the scores of the members, null for each that does not exist."""
    held = db.get(key, SORTED_SET)
    return [held.scores.get(each) if held else None for each in (member, *members)]


@command(READONLY, FAST)
@complexity("O(log(N)) for N members")
def zrank(db: Store, key: bytes, member: bytes) -> Value:
    """ZRANK key member: answer with the member's rank, 0 for the lowest score, or null if it does not exist."""
    held = db.get(key, SORTED_SET)
    return held.rank(member) if held else None


@command(READONLY, FAST)
@complexity("O(log(N)) for N members")
def zrevrank(db: Store, key: bytes, member: bytes) -> Value:
    """ZREVRANK key member: answer with the member's rank, 0 for the highest score, or null."""
    held = db.get(key, SORTED_SET)
    rank = held.rank(member) if held else None
    return None if held is None or rank is None else len(held) - 1 - rank


@command(READONLY, tips="nondeterministic_output")
@complexity("O(N) for N elements in the answer")
def zrandmember(db: Store, client: Client, key: bytes, *options: bytes) -> Value:
    """ZRANDMEMBER key [count [WITHSCORES]]: answer with a random member, or with at most `count` distinct members.

    With a negative count, answer with exactly -count members, which may repeat. WITHSCORES adds the scores.
    """
    count, scored = parse_random(options, b"withscores")
    held = db.get(key, SORTED_SET) or SortedSet()
    if count is None:
        return one_of(held.scores) if held else None
    return with_scores(client, [(held.scores[each], each) for each in sample(held.scores, count)], scored)


@command(READONLY, tips="nondeterministic_output")
@complexity("O(1) for one call, O(N) until the cursor is 0 again")
def zscan(engine: Engine, db: Store, key: bytes, cursor: bytes, *options: bytes) -> Value:
    """ZSCAN key cursor [MATCH pattern] [COUNT count]: answer with the next cursor, and some members and scores."""
    following, members = scan_members(engine, db, key, SORTED_SET, cursor, options, small="listpack")
    held = db.get(key, SORTED_SET) or SortedSet()
    return [b"%d" % following, [each for member in members for each in (member, written(held.scores[member]))]]
