"""Commands for sets: members without an order, each once."""

import random

from command import command
from store import SET, Store
from writer import Value


@command
def sadd(db: Store, key: bytes, member: bytes, *members: bytes) -> Value:
    """SADD key member [member ...]: add the members; answer with the number of new ones."""
    held = db.make(key, SET)
    before = len(held)
    held.update((member, *members))
    if len(held) > before:
        db.changed(key)
    return len(held) - before


@command
def srem(db: Store, key: bytes, member: bytes, *members: bytes) -> Value:
    """SREM key member [member ...]: remove the members; answer with the number of removed ones."""
    gone = (db.get(key, SET) or set()) & {member, *members}
    if gone:
        db.make(key, SET).difference_update(gone)
        db.changed(key)
    return len(gone)


@command
def spop(db: Store, key: bytes) -> Value:
    """SPOP key: remove a random member (`random.choice` of a list of them); answer with it, or null if there is no set.

    Log what it has done, `SREM key member`: at a replay chance would choose another one. So call
    `db.changed(key, log=…)` with this record, a list of bytes.
    """
    held = db.get(key, SET)
    if held is None:
        return None
    member = random.choice(list(held))
    held.remove(member)
    db.changed(key, log=[b"SREM", key, member])
    return member


@command
def smembers(db: Store, key: bytes) -> Value:
    """SMEMBERS key: answer with the members, as a set."""
    return db.get(key, SET) or set()


@command
def sismember(db: Store, key: bytes, member: bytes) -> Value:
    """SISMEMBER key member: answer 1 if it is a member, else 0."""
    return int(member in (db.get(key, SET) or ()))


@command
def scard(db: Store, key: bytes) -> Value:
    """SCARD key: answer with the number of members."""
    return len(db.get(key, SET) or ())


@command
def sinter(db: Store, key: bytes, *keys: bytes) -> Value:
    """SINTER key [key ...]: answer with the members that are in all of these sets."""
    return set.intersection(*[db.get(each, SET) or set() for each in (key, *keys)])
