"""Unions, intersections and differences of sorted sets, and of plain sets, whose members count with the score 1."""

from collections.abc import Callable
from math import isnan

from ..data.sorted_set import SortedSet
from ..data.store import Store
from ..engine.args import OptionCursor, integer, parse_limit
from ..engine.client import Client
from ..engine.command import DENYOOM, MOVABLEKEYS, READONLY, REPLY_FIRST, WRITE, Group
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError, syntax_error, wrong_type
from ..protocol.writer import Value
from .zset import parse_score, with_scores
from .zset_ranges import store

GROUP = Group("sorted-set", "@sortedset", "z")

Scores = dict[bytes, float]
Input = tuple[Scores, float]  # the scores of one key, and their weight
Aggregate = Callable[[float, float], float]  # combines two scores of a member
Operation = Callable[[list[Input], Aggregate], Scores]


def add(one: float, other: float) -> float:
    """Return the sum of two scores; that of opposite infinities is 0, because a score cannot be NaN."""
    total = one + other
    return 0.0 if isnan(total) else total


AGGREGATES: dict[bytes, Aggregate] = {b"sum": add, b"min": min, b"max": max}


def parse(
    db: Store, command: str, numkeys: bytes, args: tuple[bytes, ...], allowed: tuple[bytes, ...]
) -> tuple[list[Input], Aggregate, bool]:
    """Parse `numkeys key … [WEIGHTS …] [AGGREGATE …] [WITHSCORES]`, of which `allowed` are the options of the command.

    Return the inputs, the aggregate function, and whether WITHSCORES is among the options. Raises ReplyError.
    """
    number = integer(numkeys)
    if number < 1:
        raise ReplyError(f"ERR at least 1 input key is needed for '{command}' command")
    if number > len(args):
        raise syntax_error()
    inputs = [scores_of(db, key) for key in args[:number]]
    options = OptionCursor(args[number:])
    weights, scored = [1.0] * number, False
    aggregate: Aggregate = add
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
    """Return the number of members."""
    return len(one[0])


def scores_of(db: Store, key: bytes) -> Scores:
    """Return the scores at a key: those of a sorted set, 1 for each member of a set, none for a missing key."""
    value = db.peek(key)
    if value is None:
        return {}
    if isinstance(value, SortedSet):
        return value.scores
    if isinstance(value, set):
        return dict.fromkeys(value, 1.0)
    raise wrong_type()


def weight(arg: bytes) -> float:
    """Parse a weight. Raises ReplyError."""
    try:
        return parse_score(arg)
    except ReplyError:
        raise ReplyError("ERR weight value is not a float") from None


def weigh(scores: Scores, factor: float) -> Scores:
    """Return the scores multiplied by `factor`; infinity times zero is zero."""
    if factor == 1:
        return scores
    return {member: 0.0 if isnan(score * factor) else score * factor for member, score in scores.items()}


def union(inputs: list[Input], aggregate: Aggregate) -> Scores:
    """Return the members of any input. As in Redis the smallest comes first: sums of floats depend on the order."""
    result: Scores = {}
    for scores, factor in sorted(inputs, key=size):
        for member, score in weigh(scores, factor).items():
            result[member] = aggregate(result[member], score) if member in result else score
    return result


def intersection(inputs: list[Input], aggregate: Aggregate) -> Scores:
    """Return the members of all inputs, aggregated from the smallest input on.

    As in Redis, infinity times zero is zero in the smallest input, but NaN in the others until it is aggregated
    (`zunionInterAggregate` in `t_zset.c`).
    """
    smallest, *others = sorted(inputs, key=size)
    members = common([scores for scores, _ in inputs])
    result = weigh({member: smallest[0][member] for member in members}, smallest[1])
    for scores, factor in others:
        for member in members:
            result[member] = aggregate(result[member], scores[member] * factor)
    return result


def common(inputs: list[Scores]) -> list[bytes]:
    """Return the members of all inputs, iterating over the smallest."""
    return [member for member in min(inputs, key=len) if all(member in scores for scores in inputs)]


def difference(inputs: list[Input], _: Aggregate) -> Scores:
    """Return the members of the first input that are in no other."""
    first, *others = [scores for scores, _ in inputs]
    return {member: score for member, score in first.items() if not any(member in each for each in others)}


AGGREGATION = (b"weights", b"aggregate")  # options of unions and intersections


def result(
    db: Store, client: Client, command: str, numkeys: bytes, args: tuple[bytes, ...], operation: Operation
) -> Value:
    """Return the result of the operation, in the order of the scores."""
    allowed = (b"withscores",) if operation is difference else (*AGGREGATION, b"withscores")
    inputs, aggregate, scored = parse(db, command, numkeys, args, allowed)
    entries = sorted((score, member) for member, score in operation(inputs, aggregate).items())
    return with_scores(client, entries, scored)


def store_result(
    db: Store, command: str, key: bytes, numkeys: bytes, args: tuple[bytes, ...], operation: Operation
) -> Value:
    """Store the result of the operation at `key`; return the number of members."""
    allowed = () if operation is difference else AGGREGATION
    inputs, aggregate, _ = parse(db, command, numkeys, args, allowed)
    return store(db, key, operation(inputs, aggregate))


@command(READONLY, MOVABLEKEYS)
@complexity("O(N)+O(M*log(M)) for N members of all sets, M in the result")
def zunion(db: Store, client: Client, numkeys: bytes, key: bytes, *more: bytes) -> Value:
    """ZUNION numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]: the union."""  # noqa: E501
    return result(db, client, "zunion", numkeys, (key, *more), union)


@command(READONLY, MOVABLEKEYS)
@complexity("O(N*K)+O(M*log(M)) for K sets, the smallest of N members, M in the result")
def zinter(db: Store, client: Client, numkeys: bytes, key: bytes, *more: bytes) -> Value:
    """ZINTER numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]: the intersection."""  # noqa: E501
    return result(db, client, "zinter", numkeys, (key, *more), intersection)


@command(READONLY, MOVABLEKEYS)
@complexity("O(L+(N-K)*log(N)) for L members of all sets, N of the first, K in the result")
def zdiff(db: Store, client: Client, numkeys: bytes, key: bytes, *more: bytes) -> Value:
    """ZDIFF numkeys key [key ...] [WITHSCORES]: answer with the members of the first that are in no other."""
    return result(db, client, "zdiff", numkeys, (key, *more), difference)


@command(READONLY, MOVABLEKEYS)
@complexity("O(N*K) for K sets, the smallest of N members")
def zintercard(db: Store, numkeys: bytes, key: bytes, *more: bytes) -> Value:
    """ZINTERCARD numkeys key [key ...] [LIMIT limit]: answer with the size of ZINTER's result, at most `limit`."""
    args = (key, *more)
    number = max(integer(numkeys), 0)
    inputs, _, _ = parse(db, "zintercard", numkeys, args[:number], ())
    limit = parse_limit(args[number:])
    found = len(common([scores for scores, _ in inputs]))
    return min(found, limit) if limit else found


@command(WRITE, DENYOOM, MOVABLEKEYS, REPLY_FIRST, keys="OW update, RO access")
@complexity("O(N)+O(M*log(M)) for N members of all sets, M in the result")
def zunionstore(db: Store, destination: bytes, numkeys: bytes, key: bytes, *more: bytes) -> Value:
    """ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]: store the union; answer with its size."""  # noqa: E501
    return store_result(db, "zunionstore", destination, numkeys, (key, *more), union)


@command(WRITE, DENYOOM, MOVABLEKEYS, REPLY_FIRST, keys="OW update, RO access")
@complexity("O(N*K)+O(M*log(M)) for K sets, the smallest of N members, M in the result")
def zinterstore(db: Store, destination: bytes, numkeys: bytes, key: bytes, *more: bytes) -> Value:
    """ZINTERSTORE destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]: store the intersection; answer with its size."""  # noqa: E501
    return store_result(db, "zinterstore", destination, numkeys, (key, *more), intersection)


@command(WRITE, DENYOOM, MOVABLEKEYS, REPLY_FIRST, keys="OW update, RO access")
@complexity("O(L+(N-K)*log(N)) for L members of all sets, N of the first, K in the result")
def zdiffstore(db: Store, destination: bytes, numkeys: bytes, key: bytes, *more: bytes) -> Value:
    """ZDIFFSTORE destination numkeys key [key ...]: store the result of ZDIFF; answer with its size."""
    return store_result(db, "zdiffstore", destination, numkeys, (key, *more), difference)
