"""Ranges of sorted sets by rank, by score and by lexicographical order: return, count, store or remove them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, nextafter

from ..data.packing import LIMITS
from ..data.sorted_set import Entry, SortedSet
from ..data.store import Store
from ..data.unit import AS_COMMANDED
from ..engine.args import OptionCursor, index_range, integer
from ..engine.client import Client
from ..engine.command import DENYOOM, FAST, READONLY, REPLY_FIRST, WRITE, Group
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError, syntax_error
from ..protocol.numeric import strtod
from ..protocol.writer import Value
from .zset import SORTED_SET, with_scores

GROUP = Group("sorted-set", "@sortedset", "z")

Bound = Entry | None  # an entry before which a range begins, or ends; None: the end of the sorted set


@dataclass
class Range:
    """A range of a sorted set: its two ends as arguments, not yet parsed, and how to read them."""

    low: bytes
    high: bytes
    by: bytes = b"rank"  # or score, or lex
    reverse: bool = False
    offset: int = 0
    count: int = -1  # -1: all

    def ranks(self, held: SortedSet) -> tuple[int, int]:
        """Return the range in ranks: its first, and the one after its last. Raises ReplyError for a wrong end.

        If the range is reversed, ranks are counted from the highest score.
        """
        if self.by == b"rank":
            return index_range(len(held), integer(self.low), integer(self.high))
        low, high = (self.high, self.low) if self.reverse else (self.low, self.high)
        if self.by == b"score":
            first, last = (score_bound(arg, upper) for arg, upper in ((low, False), (high, True)))
        else:
            score = next(held.entries(), (0.0, b""))[0]
            first, last = (lex_bound(arg, score, upper) for arg, upper in ((low, False), (high, True)))
            if score != next(held.entries(reverse=True), (score, b""))[0]:
                return self.walked(held, first, last)
        start, stop = (len(held) if bound is None else held.count_before(bound) for bound in (first, last))
        if self.reverse:
            start, stop = len(held) - stop, len(held) - start
        start += self.offset if self.offset >= 0 else len(held) + 1
        return start, stop if self.count < 0 else min(stop, start + self.count)

    def walked(self, held: SortedSet, low: Bound, high: Bound) -> tuple[int, int]:
        """Return the range between two lexicographical bounds if the scores differ: BYLEX is not meant for that.

        The result is what Redis finds: from the first member that one end allows, and as many more as LIMIT skips,
        until the other end forbids one.
        """
        members = [member for _, member in held.entries(reverse=self.reverse)]

        def above(member: bytes) -> bool:
            return low is not None and member >= low[1]

        def below(member: bytes) -> bool:
            return high is None or member < high[1]

        enter, stay = (below, above) if self.reverse else (above, below)
        start = next((rank for rank, member in enumerate(members) if enter(member)), len(members))
        if start == len(members) or not (enter(members[-1]) and stay(members[0]) and stay(members[start])):
            return 0, 0
        start += self.offset if self.offset >= 0 else len(members)
        stop = next((rank for rank in range(start, len(members)) if not stay(members[rank])), len(members))
        return start, stop if self.count < 0 else min(stop, start + self.count)


def score_bound(arg: bytes, upper: bool) -> Bound:
    """Parse a score such as `1.5`, or `(1.5`, an exclusive one; return where the range begins, or, if `upper`, ends."""
    score = strtod(arg.removeprefix(b"("))
    if score is None:
        raise ReplyError("ERR min or max is not a float")
    if upper != arg.startswith(b"("):  # the bound is after the entries with this score
        if score == inf:
            return None
        score = nextafter(score, inf)
    return score, b""


def lex_bound(arg: bytes, score: float, upper: bool) -> Bound:
    """Parse `[abc`, `(abc`, `-` or `+`; return where the range begins, or, if `upper`, ends. Raises ReplyError."""
    if arg == b"-":
        return score, b""
    if arg == b"+":
        return None
    if arg[:1] not in (b"[", b"("):
        raise ReplyError("ERR min or max not valid string range item")
    after = upper != arg.startswith(b"(")
    return score, arg[1:] + b"\0" * after  # `abc\0` is the next string after `abc`


def get(db: Store, key: bytes, chosen: Range) -> SortedSet:
    """Return the sorted set at a key, an empty one if it does not exist. Raises for wrong ends before a wrong type."""
    if db.kind(key) is not SORTED_SET:
        chosen.ranks(SortedSet())
    return db.get(key, SORTED_SET) or SortedSet()


def entries(db: Store, key: bytes, chosen: Range) -> Iterator[Entry]:
    """Return an iterator over the entries of a range, in its order. Use it up before the sorted set changes."""
    held = get(db, key, chosen)
    return held.entries(*chosen.ranks(held), reverse=chosen.reverse)


def parse_range(args: Sequence[bytes], allowed: tuple[bytes, ...], chosen: Range) -> bool:
    """Parse the options of a range into `chosen`; return whether WITHSCORES is among them.

    `allowed` are the options that this command has. Raises ReplyError.
    """
    scored = False
    options = OptionCursor(args)
    for option in options:
        if option not in allowed:
            raise syntax_error()
        if option == b"withscores":
            scored = True
        elif option == b"rev" and not chosen.reverse:
            chosen.reverse = True
        elif option == b"limit":
            chosen.offset, chosen.count = options.limit()
        elif option in (b"byscore", b"bylex") and chosen.by == b"rank":
            chosen.by = option.removeprefix(b"by")
        else:
            raise syntax_error()
    if chosen.count != -1 and chosen.by == b"rank":
        raise ReplyError("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
    if scored and chosen.by == b"lex":
        raise ReplyError("ERR syntax error, WITHSCORES not supported in combination with BYLEX")
    return scored


def members(db: Store, client: Client, key: bytes, chosen: Range, args: tuple[bytes, ...], *allowed: bytes) -> Value:
    """Parse the options `args`, and return the members of the range, with scores if they ask for them."""
    scored = parse_range(args, (*allowed, b"limit", b"withscores"), chosen)
    return with_scores(client, entries(db, key, chosen), scored)


@command(READONLY)
@complexity("O(log(N)+M) for N members, M in the answer")
def zrange(db: Store, client: Client, key: bytes, start: bytes, stop: bytes, *options: bytes) -> Value:
    """ZRANGE key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]: answer with a range of members.

    By rank, 0 is the first and -1 the last member. By score, `(1` excludes 1, -inf and +inf are the ends. By lex, for
    members of equal scores, `[a` includes a, `(a` excludes it, - and + are the ends. REV reverses the order.
    """
    return members(db, client, key, Range(start, stop), options, b"byscore", b"bylex", b"rev")


@command(READONLY)
@complexity("O(log(N)+M) for N members, M in the answer")
def zrevrange(db: Store, client: Client, key: bytes, start: bytes, stop: bytes, *options: bytes) -> Value:
    """ZREVRANGE key start stop [WITHSCORES]: ZRANGE by rank with REV."""
    return members(db, client, key, Range(start, stop, reverse=True), options)


@command(READONLY)
@complexity("O(log(N)+M) for N members, M in the answer")
def zrangebyscore(db: Store, client: Client, key: bytes, low: bytes, high: bytes, *options: bytes) -> Value:
    """ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]: ZRANGE with BYSCORE."""
    return members(db, client, key, Range(low, high, b"score"), options)


@command(READONLY)
@complexity("O(log(N)+M) for N members, M in the answer")
def zrevrangebyscore(db: Store, client: Client, key: bytes, high: bytes, low: bytes, *options: bytes) -> Value:
    """ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]: ZRANGE with BYSCORE and REV."""
    return members(db, client, key, Range(high, low, b"score", reverse=True), options)


@command(READONLY)
@complexity("O(log(N)+M) for N members, M in the answer")
def zrangebylex(db: Store, client: Client, key: bytes, low: bytes, high: bytes, *options: bytes) -> Value:
    """ZRANGEBYLEX key min max [LIMIT offset count]: ZRANGE with BYLEX."""
    return members(db, client, key, Range(low, high, b"lex"), options)


@command(READONLY)
@complexity("O(log(N)+M) for N members, M in the answer")
def zrevrangebylex(db: Store, client: Client, key: bytes, high: bytes, low: bytes, *options: bytes) -> Value:
    """ZREVRANGEBYLEX key max min [LIMIT offset count]: ZRANGE with BYLEX and REV."""
    return members(db, client, key, Range(high, low, b"lex", reverse=True), options)


@command(WRITE, DENYOOM, REPLY_FIRST, keys="OW update, RO access")
@complexity("O(log(N)+M) for N members, M stored")
def zrangestore(db: Store, key: bytes, source: bytes, low: bytes, high: bytes, *options: bytes) -> Value:
    """ZRANGESTORE dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]: store the range; answer its size."""
    chosen = Range(low, high)
    parse_range(options, (b"byscore", b"bylex", b"rev", b"limit"), chosen)
    return store(db, key, dict((member, score) for score, member in entries(db, source, chosen)))


def store(db: Store, key: bytes, scores: dict[bytes, float], event: str = AS_COMMANDED, count: int = 1) -> int:
    """Set `key` to a new sorted set, or remove it if there are no members. Return their number."""
    held = SortedSet()
    few = len(scores) <= LIMITS.zset_max_listpack_entries
    held.small = few and max(map(len, scores), default=0) <= LIMITS.zset_max_listpack_value
    for member, score in scores.items():
        held.add(member, score)
    db.put_result(key, held, event, count)
    return len(scores)


@command(READONLY, FAST)
@complexity("O(log(N)) for N members")
def zcount(db: Store, key: bytes, low: bytes, high: bytes) -> Value:
    """ZCOUNT key min max: answer with the number of members in the range of scores."""
    return count(db, key, Range(low, high, b"score"))


@command(READONLY, FAST)
@complexity("O(log(N)) for N members")
def zlexcount(db: Store, key: bytes, low: bytes, high: bytes) -> Value:
    """ZLEXCOUNT key min max: answer with the number of members in the lexicographical range."""
    return count(db, key, Range(low, high, b"lex"))


def count(db: Store, key: bytes, chosen: Range) -> int:
    """Return the number of entries in a range."""
    start, stop = chosen.ranks(get(db, key, chosen))
    return max(stop - start, 0)


@command(WRITE, keys="RW delete")
@complexity("O(log(N)+M) for N members, M removed")
def zremrangebyrank(db: Store, key: bytes, start: bytes, stop: bytes) -> Value:
    """ZREMRANGEBYRANK key start stop: remove the members in the range of ranks; answer with their number."""
    return remove(db, key, Range(start, stop))


@command(WRITE, keys="RW delete")
@complexity("O(log(N)+M) for N members, M removed")
def zremrangebyscore(db: Store, key: bytes, low: bytes, high: bytes) -> Value:
    """ZREMRANGEBYSCORE key min max: remove the members in the range of scores; answer with their number."""
    return remove(db, key, Range(low, high, b"score"))


@command(WRITE, keys="RW delete")
@complexity("O(log(N)+M) for N members, M removed")
def zremrangebylex(db: Store, key: bytes, low: bytes, high: bytes) -> Value:
    """ZREMRANGEBYLEX key min max: remove the members in the lexicographical range; answer with their number."""
    return remove(db, key, Range(low, high, b"lex"))


def remove(db: Store, key: bytes, chosen: Range) -> int:
    """Remove the entries of a range; return their number."""
    gone = list(entries(db, key, chosen))
    if gone:
        held = db.make(key, SORTED_SET)
        for _, member in gone:
            held.remove(member)
        db.changed(key, count=len(gone))
    return len(gone)
