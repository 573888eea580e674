"""Commands for sets: distinct members without an order."""

from collections.abc import Collection, Iterator
from itertools import chain, islice
from sys import getsizeof

from ..data.intset import integers, least_width, width_of
from ..data.kinds import KINDS, PIECE, Args, Form, Kind
from ..data.memory import estimate
from ..data.packing import LIMITS
from ..data.random_members import one_of, sample
from ..data.store import Store
from ..data.unit import NO_EVENT, UNLOGGED
from ..engine.args import parse_random
from ..engine.command import DENYOOM, FAST, READONLY, REPLY_SECOND, WRITE, Group
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..log.rdb.packed import pack_intset
from ..protocol.errors import not_positive, syntax_error
from ..protocol.numeric import parse_integer
from ..protocol.writer import Value
from .keys import scan_members

GROUP = Group("set", "@set", "s")

Set = set[bytes]
SET: type[Set] = set
EMPTY: Set = set()  # the value of a missing key; never changed
SPOP_COPIES = 5  # if SPOP leaves so much less than it pops, Redis makes a new set (SPOP_MOVE_STRATEGY_MUL)


def dump(key: bytes, value: Set) -> Iterator[Args]:
    """Yield the requests that create this set, at most PIECE members in each."""
    members = iter(value)
    while piece := list(islice(members, PIECE)):
        yield b"SADD", key, *piece


def encoding(value: Set) -> str:
    """Return the encoding that Redis would use: an intset for few members that are all integers, else a hash table."""
    return "intset" if len(value) <= LIMITS.set_max_intset_entries and integers(value) is not None else "hashtable"


def keep_encoding(db: Store, key: bytes, held: Set, gone: Collection[bytes]) -> None:
    """Remember what only shows in what is `gone` from a set: that it is a hash table, or how wide its integers are."""
    most, remembered = LIMITS.set_max_intset_entries, db.remembered(key)
    if not held or remembered == "hashtable" or (len(held) > most and not remembered):
        return
    numbers = integers(gone)
    if not remembered and (len(held) + len(gone) > most or numbers is None):
        if encoding(held) == "intset":
            db.remember(key, "hashtable")
    elif numbers and (width := width_of(numbers)) > least_width(remembered):
        rest = integers(held)
        if rest and width_of(rest) < width:
            db.remember(key, f"intset-{width}")


def size(value: Set, samples: int) -> int:
    """Return the memory that this set takes, in bytes, estimated from `samples` members."""
    return getsizeof(value) + estimate(value, samples)


def rdb(value: Set, remembered: str | None) -> Form:
    """Return what this set is in a snapshot: integers in order, packed, or members."""
    small = remembered != "hashtable" if remembered else len(value) <= LIMITS.set_max_intset_entries
    if small and (numbers := integers(value)) is not None:
        return 11, (pack_intset(sorted(numbers), least_width(remembered)),)
    return 2, chain((len(value),), value)


KINDS[SET] = Kind("set", dump, encoding, size, copy=set.copy, rdb=rdb)


def members_of(db: Store, key: bytes) -> Set:
    """Return the set at a key, EMPTY if the key does not exist. The caller must not add to it."""
    return db.get(key, SET) or EMPTY


@command(WRITE, DENYOOM, FAST, keys="RW insert")
@complexity("O(1) for each member")
def sadd(db: Store, key: bytes, member: bytes, *members: bytes) -> Value:
    """SADD key member [member ...]: add members; answer with the number of new members."""
    held = db.make(key, SET)
    before = len(held)
    held.update((member, *members))
    if len(held) > before:
        unpack(db, key, held, (member, *members))
        db.changed(key, count=len(held) - before)
    return len(held) - before


def unpack(db: Store, key: bytes, held: Set, new: Collection[bytes]) -> None:
    """Let a set that is remembered as an intset be a hash table, if its new members, of `new`, make it one."""
    if (db.remembered(key) or "hashtable") == "hashtable":
        return
    if len(held) > LIMITS.set_max_intset_entries or integers(new) is None:
        db.remember(key, "hashtable")


@command(WRITE, FAST, keys="RW delete")
@complexity("O(N) for N members removed")
def srem(db: Store, key: bytes, member: bytes, *members: bytes) -> Value:
    """SREM key member [member ...]: remove members; answer with the number of removed members."""
    held = members_of(db, key)
    gone = held.intersection((member, *members))
    if gone:
        held -= gone
        keep_encoding(db, key, held, gone)
        db.changed(key, count=len(gone))
    return len(gone)


@command(WRITE, FAST, keys="RW access delete, RW insert")
def smove(db: Store, source: bytes, destination: bytes, member: bytes) -> Value:
    """SMOVE source destination member: move the member; answer 1, or 0 if the source does not contain it."""
    db.expired(destination)  # it is removed even if nothing moves
    held = db.get(source, SET)
    if held is None:
        return 0
    there = members_of(db, destination)
    if source == destination or member not in held:
        return int(member in held)
    new = member not in there
    held.remove(member)
    keep_encoding(db, source, held, (member,))
    db.changed(source, event="srem")
    if new:
        target = db.make(destination, SET)
        target.add(member)
        unpack(db, destination, target, (member,))
        db.changed(destination, log=UNLOGGED, event="sadd")
    return 1


@command(READONLY, FAST, keys="RO")
def sismember(db: Store, key: bytes, member: bytes) -> Value:
    """SISMEMBER key member: answer 1 if the set contains the member, else 0."""
    return int(member in members_of(db, key))


@command(READONLY, FAST)
@complexity("O(N) for N members asked for")
def smismember(db: Store, key: bytes, member: bytes, *members: bytes) -> Value:
    """SMISMEMBER key member [member ...]: answer SISMEMBER for each member."""
    held = members_of(db, key)
    return [int(each in held) for each in (member, *members)]


@command(READONLY, tips="nondeterministic_output_order")
@complexity("O(N) for N members")
def smembers(db: Store, key: bytes) -> Value:
    """SMEMBERS key: answer with all members."""
    return set(members_of(db, key))  # a copy: in a transaction the answer is sent after later commands


@command(READONLY, FAST, keys="RO")
def scard(db: Store, key: bytes) -> Value:
    """SCARD key: answer with the number of members."""
    return len(members_of(db, key))


@command(WRITE, FAST, REPLY_SECOND, keys="RW access delete", tips="nondeterministic_output")
@complexity("O(1) for one member, O(N) for N")
def spop(db: Store, key: bytes, *count: bytes) -> Value:
    """SPOP key [count]: remove and answer with a random member, or null; with a count, up to `count` of them."""
    if len(count) > 1:
        raise syntax_error()
    number = parse_integer(count[0]) if count else 1
    if number is None or number < 0:
        raise not_positive()
    held = members_of(db, key)
    if not count:
        return pop_one(db, key, held) if held else None
    popped = set(sample(held, number))
    if popped:
        held -= popped
        if len(popped) >= SPOP_COPIES * len(held):
            db.remember(key, None)
        else:
            keep_encoding(db, key, held, popped)
        log_popped(db, key, popped, emptied=not held)
    return popped


def pop_one(db: Store, key: bytes, held: Set) -> bytes:
    """Remove and return a random member of a set that is not empty; log SREM."""
    member = one_of(held)
    held.remove(member)
    keep_encoding(db, key, held, (member,))
    db.changed(key, log=(b"SREM", key, member))
    return member


def log_popped(db: Store, key: bytes, popped: Set, emptied: bool) -> None:
    """Log an SREM for each member that SPOP removed, or DEL if the set is `emptied`, and publish one event."""
    first, *others = [(b"DEL", key)] if emptied else [(b"SREM", key, member) for member in popped]
    db.changed(key, log=first, count=len(popped) - len(others))  # each of the others counts itself
    for record in others:
        db.changed(key, log=record, event=NO_EVENT)


@command(READONLY, tips="nondeterministic_output")
@complexity("O(1) for one member, O(N) for N")
def srandmember(db: Store, key: bytes, *count: bytes) -> Value:
    """SRANDMEMBER key [count]: answer with a random member, or with at most `count` distinct members.

    With a negative count, answer with exactly -count members, which may repeat.
    """
    number, _ = parse_random(count)
    held = members_of(db, key)
    if number is None:
        return one_of(held) if held else None
    return sample(held, number)


@command(READONLY, tips="nondeterministic_output")
@complexity("O(1) for one call, O(N) until the cursor is 0 again")
def sscan(engine: Engine, db: Store, key: bytes, cursor: bytes, *options: bytes) -> Value:
    """SSCAN key cursor [MATCH pattern] [COUNT count]: answer with the next cursor, and some members."""
    following, members = scan_members(engine, db, key, SET, cursor, options, small="intset")
    return [b"%d" % following, members]
