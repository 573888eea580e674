"""Commands for expiry. A deadline is a moment, not a span: milliseconds since 1970, in the store and in the log."""

from command import command
from errors import invalid_expire_time, not_an_integer
from reader import parse_integer
from store import Store
from writer import Value

UNITS = {  # the option of SET: milliseconds in one of it, and whether it counts from now (else from 1970)
    b"ex": (1000, True),
    b"px": (1, True),
    b"exat": (1000, False),
    b"pxat": (1, False),
}


def moment(db: Store, unit: bytes, amount: int, command: str) -> int:
    """Return the moment that `amount` in a unit of UNITS means, in milliseconds since 1970; the time is `db.now`.

    The amount may be negative, and the moment in the past. Raises `invalid_expire_time(command)` if the moment is no
    64-bit integer.

    >>> db = Store()
    >>> db.now = 5000
    >>> [moment(db, unit, 7, "set") for unit in (b"ex", b"px", b"exat", b"pxat")]
    [12000, 5007, 7000, 7]
    """
    milliseconds, from_now = UNITS[unit]
    when = amount * milliseconds + (db.now if from_now else 0)
    if not -(2**63) <= when < 2**63:
        raise invalid_expire_time(command)
    return when


def from_option(db: Store, unit: bytes, arg: bytes, command: str) -> int:
    """Return the moment that an option of SET or GETEX means, such as `EX 10`: `moment` of an argument.

    Raises `not_an_integer()`, and `invalid_expire_time(command)` if the amount is not positive.
    """
    amount = parse_integer(arg)
    if amount is None:
        raise not_an_integer()
    if amount <= 0:
        raise invalid_expire_time(command)
    return moment(db, unit, amount, command)


def set_deadline(db: Store, key: bytes, deadline: int) -> int:
    """Give a key a deadline for the four commands below; return 1, or 0 if there is no such key.

    Call `db.expire_at` and `db.changed(key)`, with the record `PEXPIREAT key deadline`: a span would begin again at
    each replay. If the deadline is not later than `db.now`, the key is deleted at once, and the record is `DEL key`.

    >>> db = Store()
    >>> db.put(b"k", b"v")
    >>> set_deadline(db, b"k", 9000), set_deadline(db, b"missing", 9000)
    (1, 0)
    >>> db.deadline(b"k"), db.records
    (9000, [[b'PEXPIREAT', b'k', b'9000']])
    """
    if key not in db:
        return 0
    if deadline <= db.now:
        db.delete(key)
        db.changed(key, log=[b"DEL", key])
    else:
        db.expire_at(key, deadline)
        db.changed(key, log=[b"PEXPIREAT", key, b"%d" % deadline])
    return 1


@command
def expire(db: Store, key: bytes, seconds: int) -> Value:
    """EXPIRE key seconds: have the key vanish after so many seconds; answer 1, or 0 if there is no such key."""
    return set_deadline(db, key, moment(db, b"ex", seconds, "expire"))


@command
def pexpire(db: Store, key: bytes, milliseconds: int) -> Value:
    """PEXPIRE key milliseconds: EXPIRE in milliseconds."""
    return set_deadline(db, key, moment(db, b"px", milliseconds, "pexpire"))


@command
def expireat(db: Store, key: bytes, seconds: int) -> Value:
    """EXPIREAT key unix-time-seconds: EXPIRE with a moment."""
    return set_deadline(db, key, moment(db, b"exat", seconds, "expireat"))


@command
def pexpireat(db: Store, key: bytes, milliseconds: int) -> Value:
    """PEXPIREAT key unix-time-milliseconds: EXPIRE with a moment in milliseconds."""
    return set_deadline(db, key, moment(db, b"pxat", milliseconds, "pexpireat"))


@command
def persist(db: Store, key: bytes) -> Value:
    """PERSIST key: take the key's deadline away; answer 1, or 0 if it has none or there is no such key.

    Call `db.changed(key)` if it had one. Ask `key in db` first: a key that has expired is not there.
    """
    if key not in db or not db.persist(key):
        return 0
    db.changed(key)
    return 1


@command
def ttl(db: Store, key: bytes) -> Value:
    """TTL key: answer with the seconds that the key has left, rounded; -1 if it has no deadline, -2 if there is no key.

    1499 milliseconds are 1 second, 1500 are 2.
    """
    left = pttl(db, key)
    return left if left < 0 else (left + 500) // 1000


@command
def pttl(db: Store, key: bytes) -> Value:
    """PTTL key: TTL in milliseconds."""
    if key not in db:
        return -2
    deadline = db.deadline(key)
    return -1 if deadline is None else deadline - db.now


@command
def expiretime(db: Store, key: bytes) -> Value:
    """EXPIRETIME key: answer with the key's deadline in seconds since 1970, rounded; -1 and -2 as TTL."""
    when = pexpiretime(db, key)
    return when if when < 0 else (when + 500) // 1000


@command
def pexpiretime(db: Store, key: bytes) -> Value:
    """PEXPIRETIME key: EXPIRETIME in milliseconds."""
    if key not in db:
        return -2
    deadline = db.deadline(key)
    return -1 if deadline is None else deadline
