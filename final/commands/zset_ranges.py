"""Ranges of sorted sets: by rank, by score and by bytes, to be given, counted, kept or removed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, nextafter

from ..data.sorted_set import FEW, SHORT, Entry, SortedSet
from ..data.store import Store
from ..engine.args import Options, index_range, integer
from ..engine.client import Client
from ..engine.command import DENYOOM, FAST, READONLY, WRITE, Group
from ..engine.signature import command
from ..protocol.errors import ReplyError, syntax_error
from ..protocol.numeric import strtod
from ..protocol.writer import Value
from .zset import SORTED_SET, with_scores

GROUP = Group("sorted-set", "@sortedset", "z")

Bound = Entry | None  # the first entry that is in, or no more in; None: the end


@dataclass
class Range:
    """What part of a sorted set is meant: the words as they came, and how to take them."""

    low: bytes
    high: bytes
    by: bytes = b"rank"  # or score, or lex
    reverse: bool = False
    offset: int = 0
    count: int = -1  # -1: all

    def ranks(self, held: SortedSet) -> tuple[int, int]:
        """The range in ranks: first, and the one behind the last; counted from the end where it is reversed."""
        if self.by == b"rank":
            return index_range(len(held), integer(self.low), integer(self.high))
        low, high = (self.high, self.low) if self.reverse else (self.low, self.high)
        if self.by == b"score":
            first, last = (score_bound(arg, upper) for arg, upper in ((low, False), (high, True)))
        else:
            score = next(held.entries(), (0.0, b""))[0]  # BYLEX is for sets whose scores are all the same
            first, last = (lex_bound(arg, score, upper) for arg, upper in ((low, False), (high, True)))
        start, stop = (len(held) if bound is None else held.count_before(bound) for bound in (first, last))
        if self.reverse:
            start, stop = len(held) - stop, len(held) - start
        start += self.offset if self.offset >= 0 else len(held) + 1
        return start, stop if self.count < 0 else min(stop, start + self.count)


def score_bound(arg: bytes, upper: bool) -> Bound:
    """Read `1.5`, or `(1.5` for one that is not included: the entry before which the range begins, or ends."""
    score = strtod(arg.removeprefix(b"("))
    if score is None:
        raise ReplyError("ERR min or max is not a float")
    if upper != arg.startswith(b"("):  # it begins, or ends, behind the entries with this score
        if score == inf:
            return None
        score = nextafter(score, inf)
    return score, b""


def lex_bound(arg: bytes, score: float, upper: bool) -> Bound:
    """Read `[abc`, `(abc`, `-` or `+`: the entry before which the range begins, or ends."""
    if arg == b"-":
        return score, b""
    if arg == b"+":
        return None
    if arg[:1] not in (b"[", b"("):
        raise ReplyError("ERR min or max not valid string range item")
    behind = upper != arg.startswith(b"(")  # nothing is between `abc` and `abc` with a zero byte
    return score, arg[1:] + b"\0" * behind


def get(db: Store, key: bytes, chosen: Range) -> SortedSet:
    """The sorted set that a range is to be taken from. Words that are no bounds are refused before a wrong type is."""
    if db.kind(key) is not SORTED_SET:
        chosen.ranks(SortedSet())
    return db.get(key, SORTED_SET) or SortedSet()


def entries(db: Store, key: bytes, chosen: Range) -> Iterator[Entry]:
    """The entries of a range, in its order; to be taken before anything changes."""
    held = get(db, key, chosen)
    return held.entries(*chosen.ranks(held), reverse=chosen.reverse)


def parse_range(args: Sequence[bytes], allowed: tuple[bytes, ...], chosen: Range) -> bool:
    """Read the options behind a range into it; tell whether WITHSCORES is among them.

    `allowed` are the options that this command has.
    """
    scored = limited = False
    options = Options(args)
    for option in options:
        if option not in allowed:
            raise syntax_error()
        if option == b"withscores":
            scored = True
        elif option == b"rev" and not chosen.reverse:
            chosen.reverse = True
        elif option == b"limit":
            (chosen.offset, chosen.count), limited = options.limit(), True
        elif option in (b"byscore", b"bylex") and chosen.by == b"rank":
            chosen.by = option.removeprefix(b"by")
        else:
            raise syntax_error()
    if limited and chosen.by == b"rank":
        raise ReplyError("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
    if scored and chosen.by == b"lex":
        raise ReplyError("ERR syntax error, WITHSCORES not supported in combination with BYLEX")
    return scored


def give(db: Store, client: Client, key: bytes, chosen: Range, args: tuple[bytes, ...], *allowed: bytes) -> Value:
    """Answer with a range, as the options say."""
    scored = parse_range(args, (*allowed, b"limit", b"withscores"), chosen)
    return with_scores(client, entries(db, key, chosen), scored)


@command(READONLY)
def zrange(db: Store, client: Client, key: bytes, start: bytes, stop: bytes, *options: bytes) -> Value:
    """ZRANGE key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]: answer with a range of members.

    By rank, from 0, where -1 is the last; by score, where `(1` leaves 1 out, and -inf and +inf are the ends; or, among
    members of the same score, by bytes, `[a` or `(a`, where - and + are the ends. With REV the other way round.
    """
    return give(db, client, key, Range(start, stop), options, b"byscore", b"bylex", b"rev")


@command(READONLY)
def zrevrange(db: Store, client: Client, key: bytes, start: bytes, stop: bytes, *options: bytes) -> Value:
    """ZREVRANGE key start stop [WITHSCORES]: ZRANGE by rank with REV."""
    return give(db, client, key, Range(start, stop, reverse=True), options)


@command(READONLY)
def zrangebyscore(db: Store, client: Client, key: bytes, low: bytes, high: bytes, *options: bytes) -> Value:
    """ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]: ZRANGE with BYSCORE."""
    return give(db, client, key, Range(low, high, b"score"), options)


@command(READONLY)
def zrevrangebyscore(db: Store, client: Client, key: bytes, high: bytes, low: bytes, *options: bytes) -> Value:
    """ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]: ZRANGE with BYSCORE and REV."""
    return give(db, client, key, Range(high, low, b"score", reverse=True), options)


@command(READONLY)
def zrangebylex(db: Store, client: Client, key: bytes, low: bytes, high: bytes, *options: bytes) -> Value:
    """ZRANGEBYLEX key min max [LIMIT offset count]: ZRANGE with BYLEX."""
    return give(db, client, key, Range(low, high, b"lex"), options)


@command(READONLY)
def zrevrangebylex(db: Store, client: Client, key: bytes, high: bytes, low: bytes, *options: bytes) -> Value:
    """ZREVRANGEBYLEX key max min [LIMIT offset count]: ZRANGE with BYLEX and REV."""
    return give(db, client, key, Range(high, low, b"lex", reverse=True), options)


@command(WRITE, DENYOOM, keys="OW update, RO access")
def zrangestore(db: Store, key: bytes, source: bytes, low: bytes, high: bytes, *options: bytes) -> Value:
    """ZRANGESTORE dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]: keep a range of src at dst."""
    chosen = Range(low, high)
    parse_range(options, (b"byscore", b"bylex", b"rev", b"limit"), chosen)
    return store(db, key, dict((member, score) for score, member in entries(db, source, chosen)))


def store(db: Store, key: bytes, scores: dict[bytes, float]) -> int:
    """Set `key` to a new sorted set; one without members removes the key. Return the number of members."""
    held = SortedSet()
    held.small = len(scores) <= FEW and max(map(len, scores), default=0) <= SHORT
    for member, score in scores.items():
        held.add(member, score)
    db.put_result(key, held)
    return len(scores)


@command(READONLY, FAST)
def zcount(db: Store, key: bytes, low: bytes, high: bytes) -> Value:
    """ZCOUNT key min max: answer with how many members have a score in this range."""
    return count(db, key, Range(low, high, b"score"))


@command(READONLY, FAST)
def zlexcount(db: Store, key: bytes, low: bytes, high: bytes) -> Value:
    """ZLEXCOUNT key min max: answer with how many members are in this range of bytes."""
    return count(db, key, Range(low, high, b"lex"))


def count(db: Store, key: bytes, chosen: Range) -> int:
    """How many entries a range has."""
    start, stop = chosen.ranks(get(db, key, chosen))
    return max(stop - start, 0)


@command(WRITE, keys="RW delete")
def zremrangebyrank(db: Store, key: bytes, start: bytes, stop: bytes) -> Value:
    """ZREMRANGEBYRANK key start stop: remove the members in this range of ranks; answer with how many there were."""
    return remove(db, key, Range(start, stop))


@command(WRITE, keys="RW delete")
def zremrangebyscore(db: Store, key: bytes, low: bytes, high: bytes) -> Value:
    """ZREMRANGEBYSCORE key min max: remove the members with a score in this range; answer with how many there were."""
    return remove(db, key, Range(low, high, b"score"))


@command(WRITE, keys="RW delete")
def zremrangebylex(db: Store, key: bytes, low: bytes, high: bytes) -> Value:
    """ZREMRANGEBYLEX key min max: remove the members in this range of bytes; answer with how many there were."""
    return remove(db, key, Range(low, high, b"lex"))


def remove(db: Store, key: bytes, chosen: Range) -> int:
    """Remove the entries of a range; give their number."""
    gone = list(entries(db, key, chosen))
    if gone:
        held = db.make(key, SORTED_SET)
        for _, member in gone:
            held.remove(member)
        db.changed(key)
    return len(gone)
