"""Commands for sets that combine several: intersections, unions and differences."""

from itertools import islice

from ..data.store import Store
from ..engine.args import parse_limit
from ..engine.command import DENYOOM, MOVABLEKEYS, READONLY, REPLY_FIRST, WRITE, Group
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError
from ..protocol.numeric import parse_integer
from ..protocol.writer import Value
from .sets import EMPTY, Set, keep_encoding, members_of

GROUP = Group("set", "@set", "s")


@command(READONLY, tips="nondeterministic_output_order")
@complexity("O(N*M) for M sets, the smallest of N members")
def sinter(db: Store, key: bytes, *keys: bytes) -> Value:
    """SINTER key [key ...]: answer with the members that are in all sets."""
    return intersection(db, key, *keys)


@command(READONLY, tips="nondeterministic_output_order")
@complexity("O(N) for N members of all sets")
def sunion(db: Store, key: bytes, *keys: bytes) -> Value:
    """SUNION key [key ...]: answer with the members that are in any set."""
    return union(db, key, *keys)


@command(READONLY, tips="nondeterministic_output_order")
@complexity("O(N) for N members of all sets")
def sdiff(db: Store, key: bytes, *keys: bytes) -> Value:
    """SDIFF key [key ...]: answer with the members of the first set that are in no other."""
    return difference(db, key, *keys)


@command(WRITE, DENYOOM, REPLY_FIRST, keys="RW update, RO access")
@complexity("O(N*M) for M sets, the smallest of N members")
def sinterstore(db: Store, destination: bytes, key: bytes, *keys: bytes) -> Value:
    """SINTERSTORE destination key [key ...]: store the result of SINTER; answer with its size."""
    return store(db, destination, intersection(db, key, *keys))


@command(WRITE, DENYOOM, REPLY_FIRST, keys="OW update, RO access")
@complexity("O(N) for N members of all sets")
def sunionstore(db: Store, destination: bytes, key: bytes, *keys: bytes) -> Value:
    """SUNIONSTORE destination key [key ...]: store the result of SUNION; answer with its size."""
    return store(db, destination, union(db, key, *keys))


@command(WRITE, DENYOOM, REPLY_FIRST, keys="OW update, RO access")
@complexity("O(N) for N members of all sets")
def sdiffstore(db: Store, destination: bytes, key: bytes, *keys: bytes) -> Value:
    """SDIFFSTORE destination key [key ...]: store the result of SDIFF; answer with its size."""
    first, *others = [members_of(db, each) for each in (key, *keys)]
    left = first.difference(*others)
    gone = first - left if is_copied(first, others) else EMPTY
    count = store(db, destination, left)
    keep_encoding(db, destination, left, gone)
    return count


def is_copied(first: Set, others: list[Set]) -> bool:
    """Return whether Redis copies the first set and removes from it, and does not look up each of its members."""
    there = [each for each in (first, *others) if each]
    return len(there) * len(first) // 2 > sum(map(len, there))


def intersection(db: Store, *keys: bytes) -> Set:
    """Return a new set of the members that are in all sets, iterating over the smallest."""
    first, *others = sorted((members_of(db, key) for key in keys), key=len)
    return first.intersection(*others)


def union(db: Store, *keys: bytes) -> Set:
    """Return a new set of the members that are in any set."""
    return EMPTY.union(*[members_of(db, key) for key in keys])


def difference(db: Store, *keys: bytes) -> Set:
    """Return a new set of the members that are in the first set and in no other."""
    first, *others = [members_of(db, key) for key in keys]
    return first.difference(*others)


def store(db: Store, destination: bytes, members: Set) -> int:
    """Set `destination` to a new set; an empty one removes the key. Return the number of members."""
    db.put_result(destination, members)
    return len(members)


@command(READONLY, MOVABLEKEYS)
@complexity("O(N*M) for M sets, the smallest of N members")
def sintercard(db: Store, numkeys: bytes, key: bytes, *more: bytes) -> Value:
    """SINTERCARD numkeys key [key ...] [LIMIT limit]: answer with the size of SINTER's result, at most `limit`."""
    number = parse_integer(numkeys)
    if number is None or number < 1:
        raise ReplyError("ERR numkeys should be greater than 0")
    args = (key, *more)
    if number > len(args):
        raise ReplyError("ERR Number of keys can't be greater than number of args")
    limit = parse_limit(args[number:])
    first, *others = sorted((members_of(db, each) for each in args[:number]), key=len)
    common = (member for member in first if all(member in other for other in others))
    return sum(1 for _ in islice(common, limit or len(first)))
