"""Commands for sorted sets: members with scores, in order. Ranges, pops and algebra have files of their own."""

import re
from collections.abc import Iterable, Iterator
from itertools import dropwhile, islice, takewhile
from math import isinf, isnan

from ..data.memory import estimate, pair_size
from ..data.random_members import one_of, sample
from ..data.sorted_set import FEW, SortedSet
from ..data.store import KINDS, PIECE, Args, Kind, Store
from ..engine.args import parse_random
from ..engine.client import Client
from ..engine.command import DENYOOM, FAST, READONLY, WRITE, Group
from ..engine.context import Engine
from ..engine.signature import command
from ..protocol.errors import ReplyError, not_a_float, syntax_error
from ..protocol.numeric import parse_float
from ..protocol.writer import Value
from .keys import scan_members

GROUP = Group("sorted-set", "@sortedset", "z")

SORTED_SET = SortedSet
OPTIONS = {b"nx", b"xx", b"gt", b"lt", b"ch", b"incr"}  # of ZADD
NOT_ZERO = re.compile(rb"[+-]?(?:[0.]*[1-9]|0x[0.]*[1-9a-f])", re.IGNORECASE)


def dump(key: bytes, value: SortedSet) -> Iterator[Args]:
    """The requests that make this sorted set anew, a piece at a time."""
    entries = value.entries()
    while piece := list(islice(entries, PIECE)):
        yield b"ZADD", key, *(arg for score, member in piece for arg in (written(score), member))


def encoding(value: SortedSet) -> str:
    """How Redis would keep this sorted set: a few short members in one piece of memory, or a skip list."""
    return "listpack" if value.small else "skiplist"


def size(value: SortedSet, samples: int) -> int:
    """Bytes of memory that this sorted set takes."""
    return value.own_size() + estimate(value.scores.items(), samples, pair_size)


KINDS[SORTED_SET] = Kind("zset", dump, encoding, size, copy=SortedSet.copy)


def written(score: float) -> bytes:
    """A score as text, from which the same score can be read."""
    return b"%.17g" % score


def parse_score(arg: bytes) -> float:
    """Read a score. Raises `not_a_float`, also for what is too large for a float, or so small that it would be zero."""
    score = parse_float(arg)
    if score is None or (isinf(score) and b"n" not in arg.lower()) or (score == 0 and NOT_ZERO.match(arg)):
        raise not_a_float()
    return score


def with_scores(client: Client, entries: Iterable[tuple[float, bytes]], wanted: bool) -> Value:
    """Members, or members and scores: in RESP3 as pairs, in RESP2 in turn."""
    if not wanted:
        return [member for _, member in entries]
    if client.protocol >= 3:
        return [[member, score] for score, member in entries]
    return [arg for score, member in entries for arg in (member, score)]


@command(WRITE, DENYOOM, FAST, keys="RW update")
def zadd(db: Store, key: bytes, first: bytes, second: bytes, *more: bytes) -> Value:
    """ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]: set scores; answer with how many are new.

    NX: only new members. XX: only those that are there. GT, LT: only to a higher or lower score, or a new member.
    CH: count those whose score changed, too. INCR: add to the score; answer with the new one, or null.
    """  # noqa: E501  (the first line is what redis-cli shows)
    args = [first, second, *more]
    options = {each.lower() for each in takewhile(lambda each: each.lower() in OPTIONS, args)}
    scored = list(dropwhile(lambda each: each.lower() in OPTIONS, args))
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


def set_scores(db: Store, key: bytes, pairs: list[tuple[float, bytes]], options: set[bytes]) -> Value:
    """Set scores, or add to one, as the options of ZADD say."""
    incr = b"incr" in options
    if b"xx" in options and db.get(key, SORTED_SET) is None:
        return None if incr else 0
    held = db.make(key, SORTED_SET)
    added = updated = 0
    answer: float | None = None
    try:
        for score, member in pairs:
            old = held.scores.get(member)
            if incr and old is not None:
                score += old
                if isnan(score):
                    raise ReplyError("ERR resulting score is not a number (NaN)")
            if (old is None and b"xx" in options) or (old is not None and not allowed(old, score, options)):
                continue
            answer = score
            added += held.add(member, score)
            updated += old is not None and old != score
    finally:
        if added or updated:
            db.changed(key, event="zincr" if incr else "zadd")
        elif not held:
            db.delete(key)
    return answer if incr else added + updated * (b"ch" in options)


def allowed(old: float, new: float, options: set[bytes]) -> bool:
    """Whether the options let a member that is there have a new score."""
    return not (b"nx" in options or (b"gt" in options and new <= old) or (b"lt" in options and new >= old))


@command(WRITE, DENYOOM, FAST, keys="RW access update")
def zincrby(db: Store, key: bytes, increment: bytes, member: bytes) -> Value:
    """ZINCRBY key increment member: add to the member's score; answer with the new one."""
    return set_scores(db, key, [(parse_score(increment), member)], {b"incr"})


@command(WRITE, FAST, keys="RW delete")
def zrem(db: Store, key: bytes, member: bytes, *members: bytes) -> Value:
    """ZREM key member [member ...]: remove the members; answer with how many there were."""
    held = db.get(key, SORTED_SET)
    gone = [each for each in (member, *members) if held and held.remove(each)]
    if gone:
        db.changed(key)
    return len(gone)


@command(READONLY, FAST, keys="RO")
def zcard(db: Store, key: bytes) -> Value:
    """ZCARD key: answer with the number of members."""
    return len(db.get(key, SORTED_SET) or ())


@command(READONLY, FAST)
def zscore(db: Store, key: bytes, member: bytes) -> Value:
    """ZSCORE key member: answer with the member's score, or null where there is no such member."""
    held = db.get(key, SORTED_SET)
    return held.scores.get(member) if held else None


@command(READONLY, FAST)
def zmscore(db: Store, key: bytes, member: bytes, *members: bytes) -> Value:
    """ZMSCORE key member [member ...]: answer with the members' scores, null where there is none."""
    held = db.get(key, SORTED_SET)
    return [held.scores.get(each) if held else None for each in (member, *members)]


@command(READONLY, FAST)
def zrank(db: Store, key: bytes, member: bytes) -> Value:
    """ZRANK key member: answer with how many members have a lower score, or null where there is no such member."""
    held = db.get(key, SORTED_SET)
    return held.rank(member) if held else None


@command(READONLY, FAST)
def zrevrank(db: Store, key: bytes, member: bytes) -> Value:
    """ZREVRANK key member: answer with how many members have a higher score, or null."""
    held = db.get(key, SORTED_SET)
    rank = held.rank(member) if held else None
    return None if held is None or rank is None else len(held) - 1 - rank


@command(READONLY)
def zrandmember(db: Store, client: Client, key: bytes, *options: bytes) -> Value:
    """ZRANDMEMBER key [count [WITHSCORES]]: answer with a random member, or with `count` different ones.

    A negative count means as many as asked for, some perhaps more than once.
    """
    count, scored = parse_random(options, b"withscores")
    held = db.get(key, SORTED_SET) or SortedSet()
    if count is None:
        return one_of(held.scores) if held else None
    return with_scores(client, [(held.scores[each], each) for each in sample(held.scores, count)], scored)


@command(READONLY)
def zscan(engine: Engine, db: Store, key: bytes, cursor: bytes, *options: bytes) -> Value:
    """ZSCAN key cursor [MATCH pattern] [COUNT count]: answer with the next cursor, and some members and scores."""
    following, members = scan_members(engine, db, key, SORTED_SET, cursor, options, whole=lambda held: len(held) <= FEW)
    held = db.get(key, SORTED_SET) or SortedSet()
    return [b"%d" % following, [each for member in members for each in (member, written(held.scores[member]))]]
