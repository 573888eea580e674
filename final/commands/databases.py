"""Commands that use two databases: COPY, MOVE, SWAPDB."""

from ..data.store import AS_REQUESTED, KINDS, NO_EVENT, UNLOGGED, Store
from ..engine.args import Options
from ..engine.command import DENYOOM, FAST, WRITE, Group
from ..engine.context import Engine
from ..engine.signature import command
from ..protocol.errors import ReplyError, same_object, syntax_error
from ..protocol.numeric import parse_integer
from ..protocol.writer import Value

GROUP = Group("generic", "@keyspace", "g")

INT_MIN, INT_MAX = -(2**31), 2**31 - 1  # of C's int, the type of an index of a database in Redis


@command(WRITE, DENYOOM, keys="RO access, OW update")
def copy(engine: Engine, db: Store, key: bytes, newkey: bytes, *options: bytes) -> Value:
    """COPY source destination [DB destination-db] [REPLACE]: copy the value and its deadline; answer 1, else 0."""
    target, replace = db, False
    cursor = Options(options)
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
    db.changed()  # logs the request, for the database in which it was made
    target.changed(newkey, log=UNLOGGED, event="copy_to")  # publishes the event, for the database that has changed
    return 1


@command(WRITE, FAST, keys="RW access update")
def move(engine: Engine, db: Store, key: bytes, index: int) -> Value:
    """MOVE key db: move the key and its deadline to another database, unless it has such a key; answer 1, else 0."""
    target = database(engine, index)
    if target is db:
        raise same_object()
    value = db.peek(key)
    if value is None or key in target:
        return 0
    target.put(key, value, db.deadline(key))
    db.delete(key)
    db.changed(key, event="move_from")
    target.changed(key, log=UNLOGGED, event="move_to")
    return 1


@command(WRITE, FAST)
def swapdb(engine: Engine, index1: bytes, index2: bytes) -> Value:
    """SWAPDB index1 index2: swap the contents of two databases, for all clients."""
    indexes = [parse_integer(arg) for arg in (index1, index2)]
    for number, which in zip(indexes, ("first", "second"), strict=True):
        if number is None or not INT_MIN <= number <= INT_MAX:
            raise ReplyError(f"ERR invalid {which} DB index")
    one, other = (database(engine, number or 0) for number in indexes)
    one.swap(other)
    observed = {*engine.watching, *engine.waiting}  # keys that clients watch, or are blocked on
    for db, before, log in ((one, other, AS_REQUESTED), (other, one, UNLOGGED)):
        changed = []
        for place in observed:
            index, key = place
            if index == db.index and before.held(key) is None and db.overdue(key):
                engine.watching.missed(place)
            elif index == db.index and not (before.held(key) is None and db.held(key) is None):
                changed.append(key)
        db.changed(*changed, log=log, event=NO_EVENT)
    if engine.eviction.keeping:
        engine.eviction.forget_all()
    return "OK"


def database(engine: Engine, index: int) -> Store:
    """Return the database with this index. Raises ReplyError if the index is out of range."""
    if not INT_MIN <= index <= INT_MAX:
        raise ReplyError(f"ERR value is out of range, value must between {INT_MIN} and {INT_MAX}")
    if not 0 <= index < len(engine.stores):
        raise ReplyError("ERR DB index is out of range")
    return engine.stores[index]
