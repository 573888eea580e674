"""Unions, intersections and differences of sorted sets; a plain set takes part with every score 1."""

from collections.abc import Callable
from math import isnan

from ..data.sorted_set import SortedSet
from ..data.store import Store
from ..engine.args import Options, integer, parse_limit
from ..engine.client import Client
from ..engine.command import DENYOOM, MOVABLEKEYS, READONLY, WRITE, Group
from ..engine.signature import command
from ..protocol.errors import ReplyError, syntax_error, wrong_type
from ..protocol.writer import Value
from .zset import parse_score, with_scores
from .zset_ranges import store

GROUP = Group("sorted-set", "@sortedset", "z")

Scores = dict[bytes, float]
Input = tuple[Scores, float]  # and the weight by which they are multiplied
Join = Callable[[float, float], float]  # how two scores of one member become one


def add(one: float, other: float) -> float:
    """The sum; infinities of opposite signs cancel out, since a score cannot be NaN."""
    total = one + other
    return 0.0 if isnan(total) else total


AGGREGATES: dict[bytes, Join] = {b"sum": add, b"min": min, b"max": max}


def parse(
    db: Store, command: str, numkeys: bytes, args: tuple[bytes, ...], allowed: tuple[bytes, ...]
) -> tuple[list[Input], Join, bool]:
    """Read `numkeys key … [WEIGHTS …] [AGGREGATE …] [WITHSCORES]`: scores and weights; how to join two; a flag."""
    number = integer(numkeys)
    if number < 1:
        raise ReplyError(f"ERR at least 1 input key is needed for '{command}' command")
    if number > len(args):
        raise syntax_error()
    inputs = [scores_of(db, key) for key in args[:number]]
    options = Options(args[number:])
    weights, scored = [1.0] * number, False
    aggregate: Join = add
    for option in options:
        if option not in allowed:
            raise syntax_error()
        if option == b"withscores":
            scored = True
        elif option == b"weights":
            weights = [weight(each) for each in options.values(number)]
        elif (name := options.value().lower()) in AGGREGATES:
            aggregate = AGGREGATES[name]
        else:
            raise syntax_error()
    return list(zip(inputs, weights, strict=True)), aggregate, scored


def size(one: Input) -> int:
    """The number of members."""
    return len(one[0])


def scores_of(db: Store, key: bytes) -> Scores:
    """The scores of a sorted set; of a set, 1 for each member; none where there is no such key."""
    value = db.peek(key)
    if value is None:
        return {}
    if isinstance(value, SortedSet):
        return value.scores
    if isinstance(value, set):
        return dict.fromkeys(value, 1.0)
    raise wrong_type()


def weight(arg: bytes) -> float:
    """Read a weight."""
    try:
        return parse_score(arg)
    except ReplyError:
        raise ReplyError("ERR weight value is not a float") from None


def weigh(scores: Scores, factor: float) -> Scores:
    """Multiply all scores; infinity times zero is zero."""
    if factor == 1:
        return scores
    return {member: 0.0 if isnan(score * factor) else score * factor for member, score in scores.items()}


def union(inputs: list[Input], aggregate: Join) -> Scores:
    """The members of any of them, the smallest input first, as in Redis: sums of floats depend on their order."""
    result: Scores = {}
    for scores, factor in sorted(inputs, key=size):
        for member, score in weigh(scores, factor).items():
            result[member] = aggregate(result[member], score) if member in result else score
    return result


def intersection(inputs: list[Input], aggregate: Join) -> Scores:
    """The members of all of them, the smallest input first.

    Infinity times zero is zero in that one. In the others it is NaN until it is joined (`zunionInterAggregate`).
    """
    smallest, *others = sorted(inputs, key=size)
    members = common([scores for scores, _ in inputs])
    result = weigh({member: smallest[0][member] for member in members}, smallest[1])
    for scores, factor in others:
        for member in members:
            result[member] = aggregate(result[member], scores[member] * factor)
    return result


def common(inputs: list[Scores]) -> list[bytes]:
    """The members of all of them, going through the smallest."""
    return [member for member in min(inputs, key=len) if all(member in scores for scores in inputs)]


def difference(inputs: list[Input], _: Join) -> Scores:
    """The members of the first and of no other."""
    first, *others = [scores for scores, _ in inputs]
    return {member: score for member, score in first.items() if not any(member in each for each in others)}


Operation = Callable[[list[Input], Join], Scores]
JOINING = (b"weights", b"aggregate")


def give(
    db: Store, client: Client, command: str, numkeys: bytes, args: tuple[bytes, ...], operation: Operation
) -> Value:
    """Answer with what comes of the operation, in the order of the scores."""
    allowed = (b"withscores",) if operation is difference else (*JOINING, b"withscores")
    inputs, aggregate, scored = parse(db, command, numkeys, args, allowed)
    entries = sorted((score, member) for member, score in operation(inputs, aggregate).items())
    return with_scores(client, entries, scored)


def keep(db: Store, command: str, key: bytes, numkeys: bytes, args: tuple[bytes, ...], operation: Operation) -> Value:
    """Keep at the key what comes of the operation; answer with the number of members."""
    allowed = () if operation is difference else JOINING
    inputs, aggregate, _ = parse(db, command, numkeys, args, allowed)
    return store(db, key, operation(inputs, aggregate))


@command(READONLY, MOVABLEKEYS)
def zunion(db: Store, client: Client, numkeys: bytes, key: bytes, *more: bytes) -> Value:
    """ZUNION numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]: what is in any."""
    return give(db, client, "zunion", numkeys, (key, *more), union)


@command(READONLY, MOVABLEKEYS)
def zinter(db: Store, client: Client, numkeys: bytes, key: bytes, *more: bytes) -> Value:
    """ZINTER numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]: what is in all."""
    return give(db, client, "zinter", numkeys, (key, *more), intersection)


@command(READONLY, MOVABLEKEYS)
def zdiff(db: Store, client: Client, numkeys: bytes, key: bytes, *more: bytes) -> Value:
    """ZDIFF numkeys key [key ...] [WITHSCORES]: the members of the first that are in no other."""
    return give(db, client, "zdiff", numkeys, (key, *more), difference)


@command(READONLY, MOVABLEKEYS)
def zintercard(db: Store, numkeys: bytes, key: bytes, *more: bytes) -> Value:
    """ZINTERCARD numkeys key [key ...] [LIMIT limit]: answer with how many members are in all; at most the limit."""
    args = (key, *more)
    number = max(integer(numkeys), 0)
    inputs, _, _ = parse(db, "zintercard", numkeys, args[:number], ())
    limit = parse_limit(args[number:])
    found = len(common([scores for scores, _ in inputs]))
    return min(found, limit) if limit else found


@command(WRITE, DENYOOM, MOVABLEKEYS, keys="OW update, RO access")
def zunionstore(db: Store, destination: bytes, numkeys: bytes, key: bytes, *more: bytes) -> Value:
    """ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM | MIN | MAX]: keep what is in any."""  # noqa: E501
    return keep(db, "zunionstore", destination, numkeys, (key, *more), union)


@command(WRITE, DENYOOM, MOVABLEKEYS, keys="OW update, RO access")
def zinterstore(db: Store, destination: bytes, numkeys: bytes, key: bytes, *more: bytes) -> Value:
    """ZINTERSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM | MIN | MAX]: keep what is in all."""  # noqa: E501
    return keep(db, "zinterstore", destination, numkeys, (key, *more), intersection)


@command(WRITE, DENYOOM, MOVABLEKEYS, keys="OW update, RO access")
def zdiffstore(db: Store, destination: bytes, numkeys: bytes, key: bytes, *more: bytes) -> Value:
    """ZDIFFSTORE destination numkeys key [key ...]: keep the members of the first that are in no other."""
    return keep(db, "zdiffstore", destination, numkeys, (key, *more), difference)
