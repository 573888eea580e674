"""Commands for deadlines: when a key is to go by itself. Times are kept, and logged, as milliseconds since 1970."""

from ..data.store import Store
from ..engine.args import integer
from ..engine.command import FAST, NO_TOUCH, READONLY, WRITE, Group
from ..engine.signature import command
from ..protocol.errors import ReplyError, invalid_expire_time, shown
from ..protocol.writer import Value

GROUP = Group("generic", "@keyspace", "g")


def from_now(db: Store, unit: bytes, amount: bytes, command: str) -> int:
    """The deadline that `EX 10`, `PX 10000`, `EXAT …` or `PXAT …` means. Raises where it is not in the future.

    A time that is past counts as right for the two that give it absolutely.
    """
    number = integer(amount)
    if number <= 0:
        raise invalid_expire_time(command)
    return absolute(db, number, seconds=unit in (b"ex", b"exat"), relative=unit in (b"ex", b"px"), command=command)


def absolute(db: Store, number: int, seconds: bool, relative: bool, command: str) -> int:
    """Turn a time into milliseconds since 1970. Raises `invalid_expire_time` beyond 64 bits."""
    deadline = number * 1000 if seconds else number
    if not -(2**63) <= deadline < 2**63:
        raise invalid_expire_time(command)
    if relative:
        deadline += db.unit.now
    if deadline >= 2**63:
        raise invalid_expire_time(command)
    return deadline


def set_deadline(db: Store, key: bytes, deadline: int) -> None:
    """Have the key, which is there, expire at this time: at once, if that is past."""
    if deadline <= db.unit.now:
        db.delete(key)
        db.changed(key, log=(b"DEL", key), event="del")
    else:
        db.expire_at(key, deadline)
        db.changed(key, log=(b"PEXPIREAT", key, b"%d" % deadline), event="expire")


@command(WRITE, FAST, keys="RW update")
def expire(db: Store, key: bytes, seconds: bytes, *condition: bytes) -> Value:
    """EXPIRE key seconds [NX | XX | GT | LT]: have the key expire after so many seconds; answer 1, else 0."""
    return expire_if(db, "expire", key, seconds, condition, in_seconds=True, relative=True)


@command(WRITE, FAST, keys="RW update")
def pexpire(db: Store, key: bytes, milliseconds: bytes, *condition: bytes) -> Value:
    """PEXPIRE key milliseconds [NX | XX | GT | LT]: have the key expire after so many milliseconds."""
    return expire_if(db, "pexpire", key, milliseconds, condition, in_seconds=False, relative=True)


@command(WRITE, FAST, keys="RW update")
def expireat(db: Store, key: bytes, seconds: bytes, *condition: bytes) -> Value:
    """EXPIREAT key unix-time-seconds [NX | XX | GT | LT]: have the key expire at this time."""
    return expire_if(db, "expireat", key, seconds, condition, in_seconds=True, relative=False)


@command(WRITE, FAST, keys="RW update")
def pexpireat(db: Store, key: bytes, milliseconds: bytes, *condition: bytes) -> Value:
    """PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]: have the key expire at this time."""
    return expire_if(db, "pexpireat", key, milliseconds, condition, in_seconds=False, relative=False)


def expire_if(
    db: Store, command: str, key: bytes, amount: bytes, condition: tuple[bytes, ...], in_seconds: bool, relative: bool
) -> int:
    """The four above: NX only where the key has no deadline, XX where it has one, GT later, LT earlier than that.

    No deadline counts as one that is infinitely late.
    """
    conditions = {arg.lower() for arg in condition}
    for arg in condition:
        if arg.lower() not in (b"nx", b"xx", b"gt", b"lt"):
            raise ReplyError(f"ERR Unsupported option {shown(arg)}")
    if b"nx" in conditions and len(conditions) > 1:
        raise ReplyError("ERR NX and XX, GT or LT options at the same time are not compatible")
    if {b"gt", b"lt"} <= conditions:
        raise ReplyError("ERR GT and LT options at the same time are not compatible")
    deadline = absolute(db, integer(amount), in_seconds, relative, command)
    if key not in db:
        return 0
    old = db.deadline(key)
    if (
        (b"nx" in conditions and old is not None)
        or (b"xx" in conditions and old is None)
        or (b"gt" in conditions and (old is None or deadline <= old))
        or (b"lt" in conditions and old is not None and deadline >= old)
    ):
        return 0
    set_deadline(db, key, deadline)
    return 1


@command(READONLY, FAST, NO_TOUCH)
def ttl(db: Store, key: bytes) -> Value:
    """TTL key: answer with the seconds until it expires; -1: it does not; -2: there is no such key."""
    return rounded(remaining(db, key))


@command(READONLY, FAST, NO_TOUCH)
def pttl(db: Store, key: bytes) -> Value:
    """PTTL key: answer with the milliseconds until it expires; -1: it does not; -2: there is no such key."""
    return remaining(db, key)


@command(READONLY, FAST, NO_TOUCH)
def expiretime(db: Store, key: bytes) -> Value:
    """EXPIRETIME key: answer with the Unix time in seconds at which it expires; -1: it does not; -2: no such key."""
    return rounded(kept_deadline(db, key))


@command(READONLY, FAST, NO_TOUCH)
def pexpiretime(db: Store, key: bytes) -> Value:
    """PEXPIRETIME key: answer with the Unix time in milliseconds at which it expires; -1: it does not; -2: no key."""
    return kept_deadline(db, key)


@command(WRITE, FAST, keys="RW update")
def persist(db: Store, key: bytes) -> Value:
    """PERSIST key: have it not expire; answer 1, or 0 where there was no deadline, or no such key."""
    if key not in db or not db.persist(key):
        return 0
    db.changed(key)
    return 1


def kept_deadline(db: Store, key: bytes) -> int:
    """The deadline of a key; -1 where it has none, -2 where there is no such key."""
    if key not in db:
        return -2
    deadline = db.deadline(key)
    return -1 if deadline is None else deadline


def remaining(db: Store, key: bytes) -> int:
    """The milliseconds until a key expires; -1 where it does not, -2 where there is no such key."""
    deadline = kept_deadline(db, key)
    return deadline if deadline < 0 else max(deadline - db.unit.now, 0)


def rounded(milliseconds: int) -> int:
    """Milliseconds as seconds, to the nearest; negative ones mean something else and stay."""
    return milliseconds if milliseconds < 0 else (milliseconds + 500) // 1000
