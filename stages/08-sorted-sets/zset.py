"""Commands for sorted sets: members in the order of their scores."""

from dataclasses import dataclass
from itertools import takewhile
from math import inf, isnan, nextafter

from client import Client
from command import command
from errors import ReplyError, not_an_integer, syntax_error
from lists import span
from numeric import parse_float
from reader import parse_integer
from sorted_set import Entry, SortedSet
from store import SORTED_SET, Store
from writer import Value

ZADD_OPTIONS = {b"nx", b"xx", b"gt", b"lt", b"ch", b"incr"}


@command
def zadd(db: Store, key: bytes, first: bytes, second: bytes, *more: bytes) -> Value:
    """ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]: set scores, as `set_scores` says."""
    args = [first, second, *more]
    leading = list(takewhile(lambda arg: arg.lower() in ZADD_OPTIONS, args))
    options, rest = {option.lower() for option in leading}, args[len(leading) :]
    if not rest or len(rest) % 2:
        raise syntax_error()
    if {b"nx", b"xx"} <= options:
        raise ReplyError("ERR XX and NX options at the same time are not compatible")
    if len(options & {b"gt", b"lt", b"nx"}) > 1:
        raise ReplyError("ERR GT, LT, and/or NX options at the same time are not compatible")
    if b"incr" in options and len(rest) > 2:
        raise ReplyError("ERR INCR option supports a single increment-element pair")
    pairs = [(parse_score(score), member) for score, member in zip(rest[::2], rest[1::2], strict=True)]
    return set_scores(db, key, pairs, options)


def set_scores(db: Store, key: bytes, pairs: list[Entry], options: set[bytes]) -> Value:
    """Set the score of each member in `pairs`, as far as `options` of ZADD, in lower case, allow; return the answer.

    | option | meaning                                                                     |
    |--------|-----------------------------------------------------------------------------|
    | nx, xx | only new members; only members that exist                                   |
    | gt, lt | a member that exists only if its score gets greater, or less; all new ones  |
    | incr   | the number is added to the score that the member has, if any; one pair      |
    | ch     | the answer is the number of members that are new, or have another score now |

    The answer is the number of new members; with incr the new score, or null if nothing was allowed. Call
    `db.changed(key)` if something has changed. With xx and no such key none is made. With incr infinity minus infinity
    is not a number: raise `ReplyError("ERR resulting score is not a number (NaN)")`. Ask nx and xx first: what they
    do not allow is not added. Ask gt and lt afterwards: they compare the sum.

    >>> db = Store()
    >>> set_scores(db, b"z", [(1.0, b"a"), (2.0, b"b")], set())
    2
    >>> set_scores(db, b"z", [(5.0, b"a")], {b"incr"})
    6.0
    >>> set_scores(db, b"z", [(3.0, b"a"), (3.0, b"b"), (3.0, b"c")], {b"gt", b"ch"})
    2
    """
    if b"xx" in options and key not in db:
        return None if b"incr" in options else 0
    held = db.make(key, SORTED_SET)
    new = other = 0
    result: float | None = None
    for score, member in pairs:
        old = held.scores.get(member)
        if (b"nx" in options and old is not None) or (b"xx" in options and old is None):
            continue
        if b"incr" in options and old is not None:
            score += old
            if isnan(score):
                raise ReplyError("ERR resulting score is not a number (NaN)")
        if old is not None and ((b"gt" in options and score <= old) or (b"lt" in options and score >= old)):
            continue
        result = score
        new += held.add(member, score)
        other += old is not None and score != old
    if new or other:
        db.changed(key)
    if b"incr" in options:
        return result
    return new + other if b"ch" in options else new


def parse_score(arg: bytes) -> float:
    """Parse a score. Raises ReplyError if it is none."""
    score = parse_float(arg)
    if score is None:
        raise ReplyError("ERR value is not a valid float")
    return score


@command
def zincrby(db: Store, key: bytes, increment: bytes, member: bytes) -> Value:
    """ZINCRBY key increment member: ZADD with INCR."""
    return set_scores(db, key, [(parse_score(increment), member)], {b"incr"})


@command
def zrem(db: Store, key: bytes, member: bytes, *members: bytes) -> Value:
    """ZREM key member [member ...]: remove the members; answer with the number of removed ones."""
    held = db.get(key, SORTED_SET) or SortedSet()
    gone = sum(held.remove(each) for each in (member, *members))
    if gone:
        db.changed(key)
    return gone


@command
def zcard(db: Store, key: bytes) -> Value:
    """ZCARD key: answer with the number of members."""
    return len(db.get(key, SORTED_SET) or ())


@command
def zscore(db: Store, key: bytes, member: bytes) -> Value:
    """ZSCORE key member: answer with the score of the member, or null."""
    return (db.get(key, SORTED_SET) or SortedSet()).scores.get(member)


@command
def zrank(db: Store, key: bytes, member: bytes) -> Value:
    """ZRANK key member: answer with the number of members before this one, or null."""
    return (db.get(key, SORTED_SET) or SortedSet()).rank(member)


@command
def zrevrank(db: Store, key: bytes, member: bytes) -> Value:
    """ZREVRANK key member: answer with the number of members behind this one, or null."""
    held = db.get(key, SORTED_SET) or SortedSet()
    rank = held.rank(member)
    return None if rank is None else len(held) - 1 - rank


@dataclass
class Range:
    """What ZRANGE asks for."""

    start: bytes
    stop: bytes
    by_score: bool = False
    reverse: bool = False
    offset: int = 0  # LIMIT offset count
    count: int = -1  # negative: all

    def ranks(self, held: SortedSet) -> range:
        """Return the ranks of the members of `held` that are asked for; if `reverse`, counted from the last member.

        By index they are `span` of the two indexes. By score they lie between two bounds (`bound`); if `reverse`, the
        first argument is the higher one. Of these, `offset` are left out at the beginning, and at most `count` stay; an
        offset that is negative leaves out all.

        >>> held = SortedSet()
        >>> for number in range(10):
        ...     _ = held.add(b"%d" % number, number)
        >>> Range(b"-3", b"-1").ranks(held), Range(b"2", b"(5", by_score=True).ranks(held)
        (range(7, 10), range(2, 5))
        >>> Range(b"(5", b"2", True, reverse=True, offset=1, count=5).ranks(held)  # 3 and 2
        range(6, 8)
        """
        if not self.by_score:
            return span(parse_index(self.start), parse_index(self.stop), len(held))
        low, high = (self.stop, self.start) if self.reverse else (self.start, self.stop)
        first, end = bound(held, low, upper=False), bound(held, high, upper=True)
        if self.reverse:
            first, end = len(held) - end, len(held) - first
        first = first + self.offset if self.offset >= 0 else end
        return range(first, max(first, end if self.count < 0 else min(end, first + self.count)))


def bound(held: SortedSet, arg: bytes, upper: bool) -> int:
    """Return the rank at which a range of scores begins, if `arg` is its lower bound, or ends, if it is its upper one.

    That is a number of entries of `held`. `(5` is 5 without the score 5 itself:

    | lower bound (not `upper`) | upper bound (`upper`) | the entries that count     |
    |---------------------------|-----------------------|----------------------------|
    | `5`                       | `(5`                  | those with a score < 5     |
    | `(5`                      | `5`                   | those with a score <= 5    |

    `held.count_before((score, b""))` counts the scores below `score`. For <= give it the next higher float,
    `nextafter(score, inf)`. Above infinity there is no float: <= inf are all, `len(held)`. If the argument is no
    number, raise `ReplyError("ERR min or max is not a float")`.

    >>> held = SortedSet()
    >>> for number in (4, 5, 6):
    ...     _ = held.add(b"%d" % number, number)
    >>> bound(held, b"5", upper=False), bound(held, b"(5", upper=False)
    (1, 2)
    >>> bound(held, b"5", upper=True), bound(held, b"(5", upper=True)
    (2, 1)
    >>> bound(held, b"(inf", upper=False)
    3
    """
    score = parse_float(arg.removeprefix(b"("))
    if score is None:
        raise ReplyError("ERR min or max is not a float")
    if upper == arg.startswith(b"("):
        return held.count_before((score, b""))
    return len(held) if score == inf else held.count_before((nextafter(score, inf), b""))


@command
def zcount(db: Store, key: bytes, low: bytes, high: bytes) -> Value:
    """ZCOUNT key min max: answer with the number of members with a score between these bounds, as ZRANGE has them."""
    return len(Range(low, high, by_score=True).ranks(db.get(key, SORTED_SET) or SortedSet()))


@command
def zrange(db: Store, client: Client, key: bytes, start: bytes, stop: bytes, *options: bytes) -> Value:
    """ZRANGE key start stop [BYSCORE] [REV] [LIMIT offset count] [WITHSCORES]: answer with members in order."""
    chosen, scored = parse_range(start, stop, options)
    held = db.get(key, SORTED_SET) or SortedSet()
    ranks = chosen.ranks(held)
    if not chosen.reverse:
        return shown(client, held.entries(ranks.start, ranks.stop), scored)
    entries = held.entries(len(held) - ranks.stop, len(held) - ranks.start)
    return shown(client, entries[::-1], scored)


@command
def zrevrange(db: Store, client: Client, key: bytes, start: bytes, stop: bytes, *options: bytes) -> Value:
    """ZREVRANGE key start stop [WITHSCORES]: ZRANGE with REV, as redis-py still sends it."""
    if [option.lower() for option in options] not in ([], [b"withscores"]):
        raise syntax_error()
    return zrange(db, client, key, start, stop, b"rev", *options)


def parse_range(start: bytes, stop: bytes, options: tuple[bytes, ...]) -> tuple[Range, bool]:
    """Parse the arguments of ZRANGE; return them, and whether there is WITHSCORES."""
    chosen, scored, limited = Range(start, stop), False, False
    rest = iter(options)
    for option in rest:
        match option.lower():
            case b"byscore":
                chosen.by_score = True
            case b"rev":
                chosen.reverse = True
            case b"withscores":
                scored = True
            case b"limit":
                offset, count = next(rest, None), next(rest, None)
                if offset is None or count is None:
                    raise syntax_error()
                chosen.offset, chosen.count, limited = parse_index(offset), parse_index(count), True
            case _:
                raise syntax_error()
    if limited and not chosen.by_score:
        raise ReplyError("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
    return chosen, scored


def parse_index(arg: bytes) -> int:
    """Parse an integer. Raises `not_an_integer()`."""
    number = parse_integer(arg)
    if number is None:
        raise not_an_integer()
    return number


def shown(client: Client, entries: list[Entry], scored: bool) -> Value:
    """Return members, or members with their scores: as pairs in RESP3, all in one array in RESP2."""
    if not scored:
        return [member for _, member in entries]
    if client.protocol >= 3:
        return [[member, score] for score, member in entries]
    return [each for score, member in entries for each in (member, score)]


@command
def zpopmin(db: Store, key: bytes) -> Value:
    """ZPOPMIN key: remove the member with the lowest score; answer with it and its score, or with an empty array."""
    held = db.get(key, SORTED_SET) or SortedSet()
    entries = held.entries(0, 1)
    for _, member in entries:
        held.remove(member)
        db.changed(key)
    return [each for score, member in entries for each in (member, score)]
