"""Commands for sets: members without order, each of them once, and what sets have in common."""

from collections.abc import Iterator
from itertools import islice
from sys import getsizeof

from ..data.memory import estimate
from ..data.random_members import one_of, sample
from ..data.store import KINDS, NO_EVENT, PIECE, UNLOGGED, Args, Kind, Store
from ..engine.args import parse_limit, parse_random
from ..engine.command import DENYOOM, FAST, MOVABLEKEYS, READONLY, WRITE, Group
from ..engine.context import Engine
from ..engine.signature import command
from ..protocol.errors import ReplyError, not_positive, syntax_error
from ..protocol.numeric import parse_integer
from ..protocol.writer import Value
from .keys import scan_members

GROUP = Group("set", "@set", "s")

Set = set[bytes]
SET: type[Set] = set
EMPTY: Set = set()  # what a missing key counts as; never changed
INTEGERS_AT_MOST = 512  # so many members, all of them integers, are an intset (Redis: set-max-intset-entries)


def dump(key: bytes, value: Set) -> Iterator[Args]:
    """The requests that make this set anew, a piece at a time."""
    members = iter(value)
    while piece := list(islice(members, PIECE)):
        yield b"SADD", key, *piece


def encoding(value: Set) -> str:
    """How Redis would keep this set: a few integers in one sorted piece of memory, all else in a table."""
    small = len(value) <= INTEGERS_AT_MOST and all(parse_integer(member) is not None for member in value)
    return "intset" if small else "hashtable"


def size(value: Set, samples: int) -> int:
    """Bytes of memory that this set takes."""
    return getsizeof(value) + estimate(value, samples)


KINDS[SET] = Kind("set", dump, encoding, size, copy=set.copy)


def members_of(db: Store, key: bytes) -> Set:
    """The members, to be looked at only; none where there is no such key."""
    return db.get(key, SET) or EMPTY


@command(WRITE, DENYOOM, FAST, keys="RW insert")
def sadd(db: Store, key: bytes, member: bytes, *members: bytes) -> Value:
    """SADD key member [member ...]: add the members; answer with how many of them are new."""
    held = db.make(key, SET)
    before = len(held)
    held.update((member, *members))
    if len(held) > before:
        db.changed(key)
    return len(held) - before


@command(WRITE, FAST, keys="RW delete")
def srem(db: Store, key: bytes, member: bytes, *members: bytes) -> Value:
    """SREM key member [member ...]: remove the members; answer with how many there were."""
    held = members_of(db, key)
    gone = held.intersection((member, *members))
    if gone:
        held -= gone
        db.changed(key)
    return len(gone)


@command(WRITE, FAST, keys="RW access delete, RW insert")
def smove(db: Store, source: bytes, destination: bytes, member: bytes) -> Value:
    """SMOVE source destination member: move it, if it is in the source; answer 1, else 0."""
    held = db.get(source, SET)
    if held is None:
        return 0
    there = members_of(db, destination)
    if source == destination or member not in held:
        return int(member in held)
    new = member not in there
    held.remove(member)
    db.changed(source, event="srem")
    if new:
        db.make(destination, SET).add(member)
        db.changed(destination, log=UNLOGGED, event="sadd")
    return 1


@command(READONLY, FAST, keys="RO")
def sismember(db: Store, key: bytes, member: bytes) -> Value:
    """SISMEMBER key member: answer 1 where it is a member, else 0."""
    return int(member in members_of(db, key))


@command(READONLY, FAST)
def smismember(db: Store, key: bytes, member: bytes, *members: bytes) -> Value:
    """SMISMEMBER key member [member ...]: answer with 1 or 0 for each of them."""
    held = members_of(db, key)
    return [int(each in held) for each in (member, *members)]


@command(READONLY)
def smembers(db: Store, key: bytes) -> Value:
    """SMEMBERS key: answer with all members."""
    return set(members_of(db, key))  # a copy: in a transaction the answer is sent after later commands


@command(READONLY, FAST, keys="RO")
def scard(db: Store, key: bytes) -> Value:
    """SCARD key: answer with the number of members."""
    return len(members_of(db, key))


@command(WRITE, FAST, keys="RW access delete")
def spop(db: Store, key: bytes, *count: bytes) -> Value:
    """SPOP key [count]: take a random member, null where there is none; with a count so many. The log gets which."""
    if len(count) > 1:
        raise syntax_error()
    number = parse_integer(count[0]) if count else 1
    if number is None or number < 0:
        raise not_positive()
    held = members_of(db, key)
    if not count:
        return take_one(db, key, held) if held else None
    taken = set(sample(held, number))
    if taken:
        held -= taken
        note_taken(db, key, taken, all_of_it=not held)
    return taken


def take_one(db: Store, key: bytes, held: Set) -> bytes:
    """Take a random member out of a set that has some."""
    member = one_of(held)
    held.remove(member)
    db.changed(key, log=(b"SREM", key, member))
    return member


def note_taken(db: Store, key: bytes, taken: Set, all_of_it: bool) -> None:
    """Note what SPOP took: for the log an SREM for each member, or DEL, and for listeners one event."""
    first, *others = [(b"DEL", key)] if all_of_it else [(b"SREM", key, member) for member in taken]
    db.changed(key, log=first)
    for record in others:
        db.changed(key, log=record, event=NO_EVENT)


@command(READONLY)
def srandmember(db: Store, key: bytes, *count: bytes) -> Value:
    """SRANDMEMBER key [count]: answer with a random member, or with `count` different ones.

    A negative count means as many as asked for, some perhaps more than once.
    """
    number, _ = parse_random(count)
    held = members_of(db, key)
    if number is None:
        return one_of(held) if held else None
    return sample(held, number)


@command(READONLY)
def sinter(db: Store, key: bytes, *keys: bytes) -> Value:
    """SINTER key [key ...]: answer with the members that are in all of the sets."""
    return intersection(db, key, *keys)


@command(READONLY)
def sunion(db: Store, key: bytes, *keys: bytes) -> Value:
    """SUNION key [key ...]: answer with the members that are in any of the sets."""
    return union(db, key, *keys)


@command(READONLY)
def sdiff(db: Store, key: bytes, *keys: bytes) -> Value:
    """SDIFF key [key ...]: answer with the members of the first set that are in none of the others."""
    return difference(db, key, *keys)


@command(WRITE, DENYOOM, keys="RW update, RO access")
def sinterstore(db: Store, destination: bytes, key: bytes, *keys: bytes) -> Value:
    """SINTERSTORE destination key [key ...]: keep there what SINTER finds; answer with how many that are."""
    return store(db, destination, intersection(db, key, *keys))


@command(WRITE, DENYOOM, keys="OW update, RO access")
def sunionstore(db: Store, destination: bytes, key: bytes, *keys: bytes) -> Value:
    """SUNIONSTORE destination key [key ...]: keep there what SUNION finds; answer with how many that are."""
    return store(db, destination, union(db, key, *keys))


@command(WRITE, DENYOOM, keys="OW update, RO access")
def sdiffstore(db: Store, destination: bytes, key: bytes, *keys: bytes) -> Value:
    """SDIFFSTORE destination key [key ...]: keep there what SDIFF finds; answer with how many that are."""
    return store(db, destination, difference(db, key, *keys))


def intersection(db: Store, *keys: bytes) -> Set:
    """What is in all of the sets, as a new set; the smallest one is gone through."""
    first, *others = sorted((members_of(db, key) for key in keys), key=len)
    return first.intersection(*others)


def union(db: Store, *keys: bytes) -> Set:
    """What is in any of the sets, as a new set."""
    return EMPTY.union(*[members_of(db, key) for key in keys])


def difference(db: Store, *keys: bytes) -> Set:
    """What is in the first set and in none of the others, as a new set."""
    first, *others = [members_of(db, key) for key in keys]
    return first.difference(*others)


def store(db: Store, destination: bytes, members: Set) -> int:
    """Set `destination` to a new set; an empty one removes the key. Return the number of members."""
    db.put_result(destination, members)
    return len(members)


@command(READONLY, MOVABLEKEYS)
def sintercard(db: Store, numkeys: bytes, key: bytes, *more: bytes) -> Value:
    """SINTERCARD numkeys key [key ...] [LIMIT limit]: answer with how many SINTER would find, at most `limit`."""
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


@command(READONLY)
def sscan(engine: Engine, db: Store, key: bytes, cursor: bytes, *options: bytes) -> Value:
    """SSCAN key cursor [MATCH pattern] [COUNT count]: answer with the next cursor, and some members."""
    following, members = scan_members(
        engine, db, key, SET, cursor, options, whole=lambda held: encoding(held) == "intset"
    )
    return [b"%d" % following, members]
