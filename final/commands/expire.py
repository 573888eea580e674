"""Commands for expiry. Deadlines are stored and logged as Unix times in milliseconds."""

from ..data.store import Store
from ..engine.args import integer
from ..engine.command import FAST, NO_TOUCH, READONLY, REPLY_FIRST, WRITE, Group
from ..engine.signature import command
from ..protocol.errors import ReplyError, invalid_expire_time, shown
from ..protocol.writer import Value

GROUP = Group("generic", "@keyspace", "g")


def from_now(db: Store, unit: bytes, amount: bytes, command: str) -> int:
    """Return the deadline that `EX 10`, `PX 10000`, `EXAT …` or `PXAT …` means, as a Unix time in milliseconds.

    Raises `invalid_expire_time` for an amount that is not positive, or beyond 64 bits. EXAT and PXAT accept a time that
    has passed. `command` is the name for the error.
    """
    number = integer(amount)
    if number <= 0:
        raise invalid_expire_time(command)
    return absolute(db, number, seconds=unit in (b"ex", b"exat"), relative=unit in (b"ex", b"px"), command=command)


def absolute(db: Store, number: int, seconds: bool, relative: bool, command: str) -> int:
    """Return a time as a Unix time in milliseconds. Raises `invalid_expire_time` beyond 64 bits."""
    deadline = number * 1000 if seconds else number
    if not -(2**63) <= deadline < 2**63:
        raise invalid_expire_time(command)
    if relative:
        deadline += db.unit.now
    if deadline >= 2**63:
        raise invalid_expire_time(command)
    return deadline


def set_deadline(db: Store, key: bytes, deadline: int) -> None:
    """Set the deadline of an existing key. A key whose new deadline has passed is deleted at once."""
    if deadline <= db.unit.now:
        db.delete(key)
        db.changed(key, log=(b"DEL", key), event="del")
    else:
        db.expire_at(key, deadline)
        db.changed(key, log=(b"PEXPIREAT", key, b"%d" % deadline), event="expire")


@command(WRITE, FAST, REPLY_FIRST, keys="RW update")
def expire(db: Store, key: bytes, seconds: bytes, *condition: bytes) -> Value:
    """EXPIRE key seconds [NX | XX | GT | LT]: set the time to live in seconds; answer 1, or 0 if nothing was set."""
    return expire_if(db, "expire", key, seconds, condition, in_seconds=True, relative=True)


@command(WRITE, FAST, REPLY_FIRST, keys="RW update")
def pexpire(db: Store, key: bytes, milliseconds: bytes, *condition: bytes) -> Value:
    """PEXPIRE key milliseconds [NX | XX | GT | LT]: EXPIRE in milliseconds."""
    return expire_if(db, "pexpire", key, milliseconds, condition, in_seconds=False, relative=True)


@command(WRITE, FAST, REPLY_FIRST, keys="RW update")
def expireat(db: Store, key: bytes, seconds: bytes, *condition: bytes) -> Value:
    """EXPIREAT key unix-time-seconds [NX | XX | GT | LT]: set the time at which the key expires; answer 1, else 0."""
    return expire_if(db, "expireat", key, seconds, condition, in_seconds=True, relative=False)


@command(WRITE, FAST, REPLY_FIRST, keys="RW update")
def pexpireat(db: Store, key: bytes, milliseconds: bytes, *condition: bytes) -> Value:
    """PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]: EXPIREAT in milliseconds."""
    return expire_if(db, "pexpireat", key, milliseconds, condition, in_seconds=False, relative=False)


def expire_if(
    db: Store, command: str, key: bytes, amount: bytes, condition: tuple[bytes, ...], in_seconds: bool, relative: bool
) -> int:
    """Set a deadline for the four commands above if the key exists and the conditions hold; return 1, else 0."""
    conditions = parse_conditions(condition) if condition else None
    deadline = absolute(db, integer(amount), in_seconds, relative, command)
    if key not in db or (conditions and not hold(conditions, db.deadline(key), deadline)):
        return 0
    set_deadline(db, key, deadline)
    return 1


def parse_conditions(options: tuple[bytes, ...]) -> set[bytes]:
    """Return the options NX, XX, GT and LT in lower case. Raises ReplyError for others, and for a contradiction."""
    conditions = {option.lower() for option in options}
    for option in options:
        if option.lower() not in (b"nx", b"xx", b"gt", b"lt"):
            raise ReplyError(f"ERR Unsupported option {shown(option, None)}")
    if b"nx" in conditions and len(conditions) > 1:
        raise ReplyError("ERR NX and XX, GT or LT options at the same time are not compatible")
    if {b"gt", b"lt"} <= conditions:
        raise ReplyError("ERR GT and LT options at the same time are not compatible")
    return conditions


def hold(conditions: set[bytes], old: int | None, new: int) -> bool:
    """Return whether the conditions hold for a key with the deadline `old`, or none, that is to get the deadline `new`.

    NX: only if the key has no deadline. XX: only if it has one. GT: only if the new deadline is later. LT: only if it
    is earlier. For GT and LT, no deadline counts as infinitely late.
    """
    return not (
        (b"nx" in conditions and old is not None)
        or (b"xx" in conditions and old is None)
        or (b"gt" in conditions and (old is None or new <= old))
        or (b"lt" in conditions and old is not None and new >= old)
    )


@command(READONLY, FAST, NO_TOUCH, tips="nondeterministic_output")
def ttl(db: Store, key: bytes) -> Value:
    """TTL key: answer with the seconds until the key expires, -1 if it has no deadline, -2 if it does not exist."""
    return rounded(remaining(db, key))


@command(READONLY, FAST, NO_TOUCH, tips="nondeterministic_output")
def pttl(db: Store, key: bytes) -> Value:
    """PTTL key: TTL in milliseconds."""
    return remaining(db, key)


@command(READONLY, FAST, NO_TOUCH)
def expiretime(db: Store, key: bytes) -> Value:
    """EXPIRETIME key: answer with the Unix time in seconds at which the key expires, or -1 or -2 as TTL does."""
    return rounded(kept_deadline(db, key))


@command(READONLY, FAST, NO_TOUCH)
def pexpiretime(db: Store, key: bytes) -> Value:
    """PEXPIRETIME key: EXPIRETIME in milliseconds."""
    return kept_deadline(db, key)


@command(WRITE, FAST, keys="RW update")
def persist(db: Store, key: bytes) -> Value:
    """PERSIST key: remove the deadline; answer 1, or 0 if the key had none or does not exist."""
    if key not in db or not db.persist(key):
        return 0
    db.changed(key)
    return 1


def kept_deadline(db: Store, key: bytes) -> int:
    """Return the deadline of a key; -1 if it has none, -2 if the key does not exist."""
    if key not in db:
        return -2
    deadline = db.deadline(key)
    return -1 if deadline is None else deadline


def remaining(db: Store, key: bytes) -> int:
    """Return the milliseconds until a key expires; -1 if it has no deadline, -2 if it does not exist."""
    deadline = kept_deadline(db, key)
    return deadline if deadline < 0 else max(deadline - db.unit.now, 0)


def rounded(milliseconds: int) -> int:
    """Round milliseconds to seconds. The negative answers are returned unchanged."""
    return milliseconds if milliseconds < 0 else (milliseconds + 500) // 1000
