"""Commands for lists as queues: move elements between lists, pop from one of several lists, block until one has any."""

from ..data.kinds import Args
from ..data.store import Store
from ..data.unit import AS_REQUESTED, UNLOGGED
from ..engine.args import parse_mpop
from ..engine.command import BLOCKING, DENYOOM, MOVABLEKEYS, NOSCRIPT, REPLY_FIRST, REPLY_SECOND, WRITE, Group
from ..engine.signature import command, complexity
from ..engine.wait import serve_or_wait
from ..protocol.errors import syntax_error
from ..protocol.writer import NULL_ARRAY, Value
from .lists import LEFT, LIST, RIGHT, pop

GROUP = Group("list", "@list", "l")


def end(arg: bytes) -> bytes:
    """Parse LEFT or RIGHT. Raises `syntax_error`."""
    if arg.upper() not in (LEFT, RIGHT):
        raise syntax_error()
    return arg.upper()


@command(WRITE, MOVABLEKEYS, REPLY_FIRST, keys="RW access delete")
@complexity("O(N+M) for N keys, M elements removed")
def lmpop(db: Store, numkeys: bytes, first: bytes, second: bytes, *more: bytes) -> Value:
    """LMPOP numkeys key [key ...] <LEFT | RIGHT> [COUNT count]: pop from the first list that exists."""
    keys, side, count = parse_mpop(numkeys, (first, second, *more), (LEFT, RIGHT))
    return next((pop_from(db, key, side, count) for key in keys if db.get(key, LIST)), NULL_ARRAY)


def pop_from(db: Store, key: bytes, side: bytes, count: int) -> Value:
    """Pop up to `count` elements from an existing list; return its key and the elements. Log how many were popped."""
    number = min(count, len(db.make(key, LIST)))
    return [key, pop(db, key, side, number, log=(side[:1] + b"POP", key, b"%d" % number))]


@command(WRITE, DENYOOM, REPLY_SECOND, keys="RW access delete, RW insert")
def lmove(db: Store, source: bytes, destination: bytes, wherefrom: bytes, whereto: bytes) -> Value:
    """LMOVE source destination <LEFT | RIGHT> <LEFT | RIGHT>: move an element from one end to another; answer with it."""  # noqa: E501
    sides = end(wherefrom), end(whereto)
    return move(db, source, destination, *sides)


@command(WRITE, DENYOOM, REPLY_SECOND, keys="RW access delete, RW insert")
def rpoplpush(db: Store, source: bytes, destination: bytes) -> Value:
    """RPOPLPUSH source destination: LMOVE with RIGHT LEFT."""
    return move(db, source, destination, RIGHT, LEFT)


def move(
    db: Store, source: bytes, destination: bytes, wherefrom: bytes, whereto: bytes, log: Args | None = None
) -> Value:
    """Move one element, also within one list; return it, or None if the source does not exist."""
    held = db.get(source, LIST)
    if held is None:
        return None
    there = db.get(destination, LIST)  # raises `wrong_type` before the element is popped
    element = held.popleft() if wherefrom == LEFT else held.pop()
    if there is None:
        there = db.make(destination, LIST)
    if whereto == LEFT:
        there.appendleft(element)
    else:
        there.append(element)
    db.changed(destination, log=log, event="lpush" if whereto == LEFT else "rpush")
    event = "lpop" if wherefrom == LEFT else "rpop"
    db.changed(source, log=UNLOGGED if log else AS_REQUESTED, event=event, count=0)
    return element


@command(WRITE, NOSCRIPT, BLOCKING, REPLY_FIRST, keys="RW access delete")
@complexity("O(N) for N keys")
def blpop(db: Store, key: bytes, *keys: bytes, timeout: bytes) -> Value:
    """BLPOP key [key ...] timeout: LPOP from the first list that exists; block while none does."""
    return blocking_pop(db, (key, *keys), LEFT, timeout)


@command(WRITE, NOSCRIPT, BLOCKING, REPLY_FIRST, keys="RW access delete")
@complexity("O(N) for N keys")
def brpop(db: Store, key: bytes, *keys: bytes, timeout: bytes) -> Value:
    """BRPOP key [key ...] timeout: RPOP from the first list that exists; block while none does."""
    return blocking_pop(db, (key, *keys), RIGHT, timeout)


def blocking_pop(db: Store, keys: tuple[bytes, ...], side: bytes, timeout: bytes) -> Value:
    """Pop one element and return its key and the element, or block. Log LPOP or RPOP."""

    def serve(key: bytes) -> Value:
        return [key, *pop(db, key, side, 1, log=(side[:1] + b"POP", key))]

    return serve_or_wait(db, keys, LIST, serve, timeout, NULL_ARRAY)


@command(WRITE, BLOCKING, MOVABLEKEYS, REPLY_FIRST, keys="RW access delete")
@complexity("O(N+M) for N keys, M elements removed")
def blmpop(db: Store, timeout: bytes, numkeys: bytes, first: bytes, second: bytes, *more: bytes) -> Value:
    """BLMPOP timeout numkeys key [key ...] <LEFT | RIGHT> [COUNT count]: LMPOP; block while no list exists."""
    keys, side, count = parse_mpop(numkeys, (first, second, *more), (LEFT, RIGHT))
    return serve_or_wait(db, keys, LIST, lambda key: pop_from(db, key, side, count), timeout, NULL_ARRAY)


@command(WRITE, DENYOOM, NOSCRIPT, BLOCKING, REPLY_SECOND, keys="RW access delete, RW insert")
def blmove(db: Store, source: bytes, destination: bytes, wherefrom: bytes, whereto: bytes, timeout: bytes) -> Value:
    """BLMOVE source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout: LMOVE; block while the source does not exist."""
    sides = end(wherefrom), end(whereto)
    log = (b"LMOVE", source, destination, *sides)
    return blocking_move(db, source, destination, *sides, timeout, log)


@command(WRITE, DENYOOM, NOSCRIPT, BLOCKING, REPLY_SECOND, keys="RW access delete, RW insert")
def brpoplpush(db: Store, source: bytes, destination: bytes, timeout: bytes) -> Value:
    """BRPOPLPUSH source destination timeout: RPOPLPUSH; block while the source does not exist."""
    return blocking_move(db, source, destination, RIGHT, LEFT, timeout, (b"RPOPLPUSH", source, destination))


def blocking_move(
    db: Store, source: bytes, destination: bytes, wherefrom: bytes, whereto: bytes, timeout: bytes, log: Args
) -> Value:
    """Move one element and return it, or block."""

    def serve(key: bytes) -> Value:
        return move(db, key, destination, wherefrom, whereto, log)

    return serve_or_wait(db, (source,), LIST, serve, timeout, otherwise=None)
