"""Commands for lists as queues: moving elements from one to another, and waiting until there are some."""

from ..data.store import AS_REQUESTED, UNLOGGED, Args, Store
from ..engine.args import parse_several
from ..engine.command import BLOCKING, DENYOOM, MOVABLEKEYS, NOSCRIPT, WRITE, Group
from ..engine.signature import command
from ..engine.wait import serve_or_wait
from ..protocol.errors import syntax_error
from ..protocol.writer import NULL_ARRAY, Value
from .lists import LEFT, LIST, RIGHT, pop

GROUP = Group("list", "@list", "l")


def end(arg: bytes) -> bytes:
    """Read LEFT or RIGHT."""
    if arg.upper() not in (LEFT, RIGHT):
        raise syntax_error()
    return arg.upper()


@command(WRITE, MOVABLEKEYS, keys="RW access delete")
def lmpop(db: Store, numkeys: bytes, first: bytes, second: bytes, *more: bytes) -> Value:
    """LMPOP numkeys key [key ...] LEFT | RIGHT [COUNT count]: pop from the first list there is; answer with both."""
    keys, side, count = parse_several(numkeys, (first, second, *more), (LEFT, RIGHT))
    return next((pop_from(db, key, side, count) for key in keys if db.get(key, LIST)), NULL_ARRAY)


def pop_from(db: Store, key: bytes, side: bytes, count: int) -> Value:
    """Take some elements from a list that is there: its key, and the elements. The log gets how many there were."""
    number = min(count, len(db.make(key, LIST)))
    return [key, pop(db, key, side, number, log=(side[:1] + b"POP", key, b"%d" % number))]


@command(WRITE, DENYOOM, keys="RW access delete, RW insert")
def lmove(db: Store, source: bytes, destination: bytes, wherefrom: bytes, whereto: bytes) -> Value:
    """LMOVE source destination LEFT | RIGHT LEFT | RIGHT: take an element here, add it there; answer with it."""
    sides = end(wherefrom), end(whereto)
    return move(db, source, destination, *sides)


@command(WRITE, DENYOOM, keys="RW access delete, RW insert")
def rpoplpush(db: Store, source: bytes, destination: bytes) -> Value:
    """RPOPLPUSH source destination: what LMOVE does with RIGHT LEFT."""
    return move(db, source, destination, RIGHT, LEFT)


def move(
    db: Store, source: bytes, destination: bytes, wherefrom: bytes, whereto: bytes, log: Args | None = None
) -> Value:
    """Move one element, perhaps within one list; give it, or None where there is none."""
    held = db.get(source, LIST)
    if held is None:
        return None
    there = db.get(destination, LIST)  # before anything is taken: it may be of another type
    element = held.popleft() if wherefrom == LEFT else held.pop()
    if there is None:
        there = db.make(destination, LIST)
    if whereto == LEFT:
        there.appendleft(element)
    else:
        there.append(element)
    db.changed(destination, log=log, event="lpush" if whereto == LEFT else "rpush")
    db.changed(source, log=UNLOGGED if log else AS_REQUESTED, event="lpop" if wherefrom == LEFT else "rpop")
    return element


@command(WRITE, NOSCRIPT, BLOCKING, keys="RW access delete")
def blpop(db: Store, key: bytes, *keys: bytes, timeout: bytes) -> Value:
    """BLPOP key [key ...] timeout: LPOP from the first list there is; answer with both. Wait, if there is none."""
    return blocking_pop(db, (key, *keys), LEFT, timeout)


@command(WRITE, NOSCRIPT, BLOCKING, keys="RW access delete")
def brpop(db: Store, key: bytes, *keys: bytes, timeout: bytes) -> Value:
    """BRPOP key [key ...] timeout: RPOP from the first list there is; answer with both. Wait, if there is none."""
    return blocking_pop(db, (key, *keys), RIGHT, timeout)


def blocking_pop(db: Store, keys: tuple[bytes, ...], side: bytes, timeout: bytes) -> Value:
    """Take one element: its key, and the element; or wait. The log gets the pop."""

    def serve(key: bytes) -> Value:
        return [key, *pop(db, key, side, 1, log=(side[:1] + b"POP", key))]

    return serve_or_wait(db, keys, LIST, serve, timeout, NULL_ARRAY)


@command(WRITE, BLOCKING, MOVABLEKEYS, keys="RW access delete")
def blmpop(db: Store, timeout: bytes, numkeys: bytes, first: bytes, second: bytes, *more: bytes) -> Value:
    """BLMPOP timeout numkeys key [key ...] LEFT | RIGHT [COUNT count]: LMPOP, or wait for a list."""
    keys, side, count = parse_several(numkeys, (first, second, *more), (LEFT, RIGHT))
    return serve_or_wait(db, keys, LIST, lambda key: pop_from(db, key, side, count), timeout, NULL_ARRAY)


@command(WRITE, DENYOOM, NOSCRIPT, BLOCKING, keys="RW access delete, RW insert")
def blmove(db: Store, source: bytes, destination: bytes, wherefrom: bytes, whereto: bytes, timeout: bytes) -> Value:
    """BLMOVE source destination LEFT | RIGHT LEFT | RIGHT timeout: LMOVE, or wait for the source."""
    sides = end(wherefrom), end(whereto)
    log = (b"LMOVE", source, destination, *sides)
    return blocking_move(db, source, destination, *sides, timeout, log)


@command(WRITE, DENYOOM, NOSCRIPT, BLOCKING, keys="RW access delete, RW insert")
def brpoplpush(db: Store, source: bytes, destination: bytes, timeout: bytes) -> Value:
    """BRPOPLPUSH source destination timeout: RPOPLPUSH, or wait for the source."""
    return blocking_move(db, source, destination, RIGHT, LEFT, timeout, (b"RPOPLPUSH", source, destination))


def blocking_move(
    db: Store, source: bytes, destination: bytes, wherefrom: bytes, whereto: bytes, timeout: bytes, log: Args
) -> Value:
    """Move one element, or wait for one."""

    def serve(key: bytes) -> Value:
        return move(db, key, destination, wherefrom, whereto, log)

    return serve_or_wait(db, (source,), LIST, serve, timeout, otherwise=None)
