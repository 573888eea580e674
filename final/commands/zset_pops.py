"""Pop the members with the lowest or highest scores of sorted sets, or block until a sorted set has members."""

from ..data.sorted_set import Entry
from ..data.store import Store
from ..engine.args import parse_mpop
from ..engine.client import Client
from ..engine.command import BLOCKING, FAST, MOVABLEKEYS, NOSCRIPT, WRITE, Group
from ..engine.signature import command, complexity
from ..engine.wait import serve_or_wait
from ..protocol.errors import ReplyError, syntax_error
from ..protocol.numeric import parse_integer
from ..protocol.writer import NULL_ARRAY, Value
from .zset import SORTED_SET, with_scores

GROUP = Group("sorted-set", "@sortedset", "z")

MIN, MAX = b"MIN", b"MAX"


@command(WRITE, FAST, keys="RW access delete")
@complexity("O(log(N)*M) for M of N members")
def zpopmin(db: Store, client: Client, key: bytes, *count: bytes) -> Value:
    """ZPOPMIN key [count]: remove the members with the lowest scores; answer with them and their scores."""
    return pop(db, client, key, count, highest=False)


@command(WRITE, FAST, keys="RW access delete")
@complexity("O(log(N)*M) for M of N members")
def zpopmax(db: Store, client: Client, key: bytes, *count: bytes) -> Value:
    """ZPOPMAX key [count]: remove the members with the highest scores; answer with them and their scores."""
    return pop(db, client, key, count, highest=True)


def pop(db: Store, client: Client, key: bytes, count: tuple[bytes, ...], highest: bool) -> Value:
    """Pop one entry, or up to `count` entries, for ZPOPMIN and ZPOPMAX; return the reply."""
    if len(count) > 1:
        raise syntax_error()
    number = parse_integer(count[0]) if count else 1
    if number is None or number < 0:
        raise ReplyError("ERR value is out of range, must be positive")
    popped = pop_entries(db, key, number, highest)
    if count:
        return with_scores(client, popped, True)
    return [arg for score, member in popped for arg in (member, score)]  # no pairs without a count, in RESP3 either


def pop_entries(db: Store, key: bytes, count: int, highest: bool, log: tuple[bytes, ...] | None = None) -> list[Entry]:
    """Remove up to `count` entries with the lowest, or highest, scores; return them."""
    held = db.get(key, SORTED_SET)
    if held is None or not count:
        return []
    popped = list(held.entries(0, count, reverse=highest))
    for _, member in popped:
        held.remove(member)
    db.changed(key, log=log, event="zpopmax" if highest else "zpopmin", count=len(popped))
    return popped


@command(WRITE, FAST, BLOCKING, NOSCRIPT, keys="RW access delete")
@complexity("O(log(N)) for N members")
def bzpopmin(db: Store, key: bytes, *keys: bytes, timeout: bytes) -> Value:
    """BZPOPMIN key [key ...] timeout: ZPOPMIN from the first key that has members; block while none has."""
    return blocking_pop(db, (key, *keys), timeout, highest=False)


@command(WRITE, FAST, BLOCKING, NOSCRIPT, keys="RW access delete")
@complexity("O(log(N)) for N members")
def bzpopmax(db: Store, key: bytes, *keys: bytes, timeout: bytes) -> Value:
    """BZPOPMAX key [key ...] timeout: ZPOPMAX from the first key that has members; block while none has."""
    return blocking_pop(db, (key, *keys), timeout, highest=True)


def blocking_pop(db: Store, keys: tuple[bytes, ...], timeout: bytes, highest: bool) -> Value:
    """Pop one entry and return key, member and score, or block."""

    def serve(key: bytes) -> Value:
        [(score, member)] = pop_entries(db, key, 1, highest, log=(b"ZPOPMAX" if highest else b"ZPOPMIN", key))
        return [key, member, score]

    return serve_or_wait(db, keys, SORTED_SET, serve, timeout, NULL_ARRAY)


@command(WRITE, MOVABLEKEYS, keys="RW access delete")
@complexity("O(K)+O(M*log(N)) for K keys, M of N members removed")
def zmpop(db: Store, numkeys: bytes, first: bytes, second: bytes, *more: bytes) -> Value:
    """ZMPOP numkeys key [key ...] <MIN | MAX> [COUNT count]: pop from the first key that has members."""
    keys, end, count = parse_mpop(numkeys, (first, second, *more), (MIN, MAX))
    return next((pop_from(db, key, end, count) for key in keys if db.get(key, SORTED_SET)), NULL_ARRAY)


@command(WRITE, BLOCKING, MOVABLEKEYS, keys="RW access delete")
@complexity("O(K)+O(M*log(N)) for K keys, M of N members removed")
def bzmpop(db: Store, timeout: bytes, numkeys: bytes, first: bytes, second: bytes, *more: bytes) -> Value:
    """BZMPOP timeout numkeys key [key ...] <MIN | MAX> [COUNT count]: ZMPOP; block while no key has members."""
    keys, end, count = parse_mpop(numkeys, (first, second, *more), (MIN, MAX))
    return serve_or_wait(db, keys, SORTED_SET, lambda key: pop_from(db, key, end, count), timeout, NULL_ARRAY)


def pop_from(db: Store, key: bytes, end: bytes, count: int) -> Value:
    """Pop up to `count` entries of a key that has members; return the key, and pairs of member and score."""
    number = b"%d" % min(count, len(db.make(key, SORTED_SET)))
    popped = pop_entries(db, key, count, highest=end == MAX, log=(b"ZPOP" + end, key, number))
    return [key, [[member, score] for score, member in popped]]
