"""Commands that use two databases: COPY, MOVE, SWAPDB."""

from ..data.kinds import KINDS
from ..data.objects import is_small_integer
from ..data.store import Store
from ..data.unit import NO_EVENT, UNLOGGED
from ..engine.args import OptionCursor
from ..engine.command import DENYOOM, FAST, IN_DANGEROUS, WRITE, Group
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError, same_object, syntax_error
from ..protocol.numeric import parse_integer
from ..protocol.writer import Value

GROUP = Group("generic", "@keyspace", "g")

INT_MIN, INT_MAX = -(2**31), 2**31 - 1  # the range of C's int: Redis stores the index of a database in one


@command(WRITE, DENYOOM, keys="RO access, OW update")
@complexity("O(N) for N elements of a collection, O(1) for a string")
def copy(engine: Engine, db: Store, key: bytes, newkey: bytes, *options: bytes) -> Value:
    """COPY source destination [DB destination-db] [REPLACE]: copy the value and its deadline; answer 1 or 0.

    The answer is 0, and nothing is copied, if `key` is missing, or if `newkey` exists and REPLACE is not set.
    """
    target, replace = db, False
    cursor = OptionCursor(options)
    for option in cursor:
        match option:
            case b"replace":
                replace = True
            case b"db":
                target = database(engine, cursor.integer())
            case _:
                raise syntax_error()
    if target is db and key == newkey:
        raise same_object()
    value = db.peek(key)
    if value is None or (newkey in target and not replace):
        return 0
    target.put(newkey, KINDS[type(value)].copy(value), db.deadline(key))
    alone = "int" if is_small_integer(value) else None  # a copy is not shared
    target.remember(newkey, db.remembered(key) or alone)
    engine.eviction.restored((target.index, newkey), None, None)
    db.changed()  # `db`, the client's database, logs the request
    target.changed(newkey, log=UNLOGGED, event="copy_to")  # publishes the event in the database of `newkey`
    return 1


@command(WRITE, FAST, keys="RW access update")
def move(engine: Engine, db: Store, key: bytes, index: int) -> Value:
    """MOVE key db: move the key and its deadline to another database; answer 1 or 0.

    The answer is 0, and nothing is moved, if the key is missing, or if database `index` has a key of this name.
    """
    target = database(engine, index)
    if target is db:
        raise same_object()
    value = db.peek(key)
    if value is None or key in target:
        return 0
    target.put(key, value, db.deadline(key))
    target.remember(key, db.remembered(key))
    engine.eviction.moved((db.index, key), (target.index, key))
    db.delete(key)
    db.changed(key, event="move_from")
    target.changed(key, log=UNLOGGED, event="move_to", count=0)
    return 1


@command(WRITE, FAST, IN_DANGEROUS)
@complexity("O(N) for N clients that watch keys, or wait for them")
def swapdb(engine: Engine, db: Store, index1: bytes, index2: bytes) -> Value:
    """SWAPDB index1 index2: swap the contents of two databases, for all clients; answer OK.

    For the clients that watch a key of these databases or wait for one, the key has changed, unless it is missing in
    both databases. A key that was missing before and has expired in the other database is not a change.
    """
    indexes = [parse_integer(arg) for arg in (index1, index2)]
    for number, which in zip(indexes, ("first", "second"), strict=True):
        if number is None or not INT_MIN <= number <= INT_MAX:
            raise ReplyError(f"ERR invalid {which} DB index")
    one, other = (database(engine, number or 0) for number in indexes)
    one.swap(other)
    db.changed(event=NO_EVENT, count=1)  # logs the request for the client's database
    observed = {*engine.watching, *engine.waiting}  # the keys that clients watch or wait for
    for now, before in ((one, other), (other, one)):
        changed = []
        for place in observed:
            index, key = place
            if index == now.index and before.held(key) is None and now.overdue(key):
                engine.watching.mark_expired(place)
            elif index == now.index and not (before.held(key) is None and now.held(key) is None):
                changed.append(key)
        now.changed(*changed, log=UNLOGGED, event=NO_EVENT, count=0)
    engine.eviction.swapped(one.index, other.index)
    return "OK"


def database(engine: Engine, index: int) -> Store:
    """Return the database with this index. Raises ReplyError if there is no such database."""
    if not INT_MIN <= index <= INT_MAX:
        raise ReplyError(f"ERR value is out of range, value must between {INT_MIN} and {INT_MAX}")
    if not 0 <= index < len(engine.stores):
        raise ReplyError("ERR DB index is out of range")
    return engine.stores[index]
