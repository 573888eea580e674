"""Commands for HyperLogLog: count different elements approximately, in little memory. See `data/hyperloglog.py`."""

from functools import reduce

from ..data import hyperloglog as hll
from ..data.hll_registers import (
    DENSE,
    LONGEST_ZEROS,
    REGISTERS,
    SPARSE,
    Corrupted,
    make_dense,
    merged,
    packed,
    raise_all,
    runs,
    unpacked,
)
from ..data.hll_registers import registers as decoded
from ..data.store import Store
from ..data.unit import NO_EVENT
from ..engine.command import ADMIN, COUNTED, DENYOOM, FAST, MAY_REPLICATE, READONLY, SYSTEM, WRITE, Group
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError, shown
from ..protocol.writer import Value
from .strings import STRING, keep_raw

GROUP = Group("hyperloglog", "@hyperloglog", "$")


def corrupted() -> ReplyError:
    """For a value whose registers cannot be read."""
    return ReplyError("INVALIDOBJ Corrupted HLL object detected")


def get(db: Store, key: bytes) -> bytes | None:
    """Return the HyperLogLog at `key`, or None if there is no such key. Raises ReplyError for any other value."""
    value = db.get(key, STRING)
    if value is not None and not hll.is_valid(value):
        raise ReplyError("WRONGTYPE Key is not a valid HyperLogLog string value.")
    return value


def registers(value: bytes | bytearray) -> bytes:
    """Return the registers of a value, a byte each. Raises `corrupted`."""
    try:
        return decoded(value)
    except Corrupted:
        raise corrupted() from None


@command(WRITE, DENYOOM, FAST, keys="RW insert")
@complexity("O(1) for each element")
def pfadd(engine: Engine, db: Store, key: bytes, *elements: bytes) -> Value:
    """PFADD key [element ...]: add the elements; answer 1 if the estimate may have changed, else 0."""
    held = get(db, key)
    value = hll.empty() if held is None else bytearray(held)
    most = engine.options.hll_sparse_max_bytes
    try:
        added = [hll.add(value, element, most) for element in elements]
    except Corrupted:
        raise corrupted() from None
    if held is not None and not any(added):
        keep_raw(db, key)
        return 0
    hll.forget_estimate(value)
    db.replace(key, bytes(value))
    keep_raw(db, key)
    db.changed(key, count=sum(added) + (held is None))
    return 1


@command(
    READONLY,
    COUNTED,
    MAY_REPLICATE,
    keys="RW access",
    notes=["RW because it may change the internal representation of the key, and propagate to replicas"],
)
@complexity("O(1) for one key, O(N) for N keys")
def pfcount(db: Store, key: bytes, *keys: bytes) -> Value:
    """PFCOUNT key [key ...]: answer with the estimated number of different elements, in all keys together.

    The estimate of one key is stored with it, so this command may change the value, though not what it means.
    """
    if keys:
        values = (value for each in (key, *keys) if (value := get(db, each)) is not None)
        return hll.estimate(reduce(merged, map(registers, values), bytes(REGISTERS)))
    value = get(db, key)
    if value is None:
        return 0
    keep_raw(db, key)
    known = hll.known_estimate(value)
    if known is not None:
        return known
    count = hll.estimate(registers(value))
    db.replace(key, value[:8] + count.to_bytes(8, "little") + value[16:])
    keep_raw(db, key)
    db.changed(key, event=NO_EVENT)
    return count


@command(WRITE, DENYOOM, keys="RW access insert, RO access")
@complexity("O(N) for N keys, and each takes long")
def pfmerge(engine: Engine, db: Store, destination: bytes, *keys: bytes) -> Value:
    """PFMERGE destkey [sourcekey [sourcekey ...]]: add the elements of all keys to the first; answer OK."""
    values = [value for each in (destination, *keys) if (value := get(db, each)) is not None]
    db.look_up(destination)
    ranks = reduce(merged, map(registers, values), bytes(REGISTERS))
    held = db.get(destination, STRING)
    result = hll.empty() if held is None else bytearray(held)
    if result[4] == SPARSE and any(each[4] == DENSE for each in values):
        make_dense(result)
    raise_all(result, ranks, engine.options.hll_sparse_max_bytes)
    hll.forget_estimate(result)
    db.replace(destination, bytes(result))
    keep_raw(db, destination)
    db.changed(destination, event="pfadd")
    return "OK"


@command(WRITE, DENYOOM, ADMIN, SYSTEM, keys="RW access")
@complexity("Not for applications.")
def pfdebug(db: Store, subcommand: bytes, key: bytes) -> Value:
    """PFDEBUG subcommand key: answer with the registers, or how they are encoded.

    GETREG answers with all registers, and, like TODENSE, encodes them as dense. DECODE answers with the runs of a
    sparse value: `z` and `Z` are zeros, in one byte or two, `v` is a rank and the number of registers.
    """
    value = get(db, key)
    if value is None:
        raise ReplyError("ERR The specified key does not exist")
    keep_raw(db, key)
    name, sparse = subcommand.lower(), value[4] == SPARSE
    if name == b"encoding":
        return "sparse" if sparse else "dense"
    if name == b"decode":
        if not sparse:
            raise ReplyError("ERR HLL encoding is not sparse")
        return " ".join(map(described, runs(value))).encode()
    if name not in (b"getreg", b"todense"):
        raise ReplyError(f"ERR Unknown PFDEBUG subcommand '{shown(subcommand, None)}'")
    ranks = registers(value)
    if sparse:
        dense = bytearray(value)
        make_dense(dense)
        db.replace(key, bytes(dense))
        db.changed(key, event=NO_EVENT)
    return list(ranks) if name == b"getreg" else int(sparse)


def described(run: tuple[int, int]) -> str:
    """Describe a run, (rank, length), as PFDEBUG DECODE does."""
    rank, length = run
    if rank:
        return f"v:{rank},{length}"
    return f"{'z' if length <= LONGEST_ZEROS else 'Z'}:{length}"


@command(ADMIN, SYSTEM)
@complexity("Not for applications.")
def pfselftest() -> Value:
    """PFSELFTEST: check the encodings and the estimate on this machine; answer OK, or with what is wrong."""
    ranks = bytes((place * 31 + place // 97) % 52 for place in range(REGISTERS))
    if unpacked(packed(ranks)) != ranks:
        raise ReplyError("TESTFAILED Registers did not keep their values")
    sparse, dense = hll.empty(), hll.empty()
    make_dense(dense)
    for number in range(1, 2001):
        for value in (sparse, dense):
            hll.add(value, b"%d" % number, 1 << 14)
        if number in (1, 10, 100, 1000, 2000):
            count = hll.estimate(registers(dense))
            if registers(sparse) != registers(dense):
                raise ReplyError("TESTFAILED dense/sparse disagree")
            if abs(count - number) > max(0.05 * number, number == 10):
                raise ReplyError(f"TESTFAILED Too big error. card:{number} abserr:{abs(count - number)}")
    return "OK"
