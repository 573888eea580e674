"""BITFIELD: integers of any width in a string, which is an array of bits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..data.store import Store
from ..engine.args import OptionCursor, integer
from ..engine.command import DENYOOM, FAST, READONLY, REPLY_FIRST, WRITE, Group
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError, syntax_error
from ..protocol.numeric import parse_integer
from ..protocol.writer import Value
from .bitmaps import padded, parse_offset, part
from .strings import STRING, keep_raw

GROUP = Group("bitmap", "@bitmap", "$")
MOST = 2**63 - 1  # an int64_t


@dataclass(frozen=True)
class Field:
    """A subcommand of BITFIELD: what to do with which bits."""

    action: bytes  # get, set or incrby
    signed: bool
    width: int  # bits
    offset: int
    number: int  # the value to set, or the increment
    overflow: bytes  # wrap, sat or fail

    def read(self, value: bytes | bytearray) -> int:
        """Return the integer in these bits of a string."""
        held = part(value, self.offset, self.width)
        return held - (1 << self.width) if self.signed and held >> (self.width - 1) else held

    def write(self, value: bytearray, number: int) -> None:
        """Replace these bits of a string, which is long enough, by an integer that fits."""
        first, after = self.offset >> 3, (self.offset + self.width + 7) >> 3
        shift = 8 * after - self.offset - self.width
        mask = (1 << self.width) - 1
        held = int.from_bytes(value[first:after]) & ~(mask << shift)
        value[first:after] = (held | (number & mask) << shift).to_bytes(after - first)

    def fitted(self, number: int) -> int | None:
        """Return the integer as it fits into the bits, or None if it does not and `overflow` is fail.

        >>> [Field(b"set", False, 4, 0, 0, overflow).fitted(17) for overflow in (b"wrap", b"sat", b"fail")]
        [1, 15, None]
        """
        low = -(1 << (self.width - 1)) if self.signed else 0
        high = low + (1 << self.width) - 1
        if low <= number <= high:
            return number
        if self.overflow == b"fail":
            return None
        if self.overflow == b"sat":
            wraps = self.action == b"set" and self.width < 64 and high - number > MOST  # in Redis, which subtracts so
            return low if number < low and not wraps else high
        return (number - low) % (1 << self.width) + low


def parse_type(arg: bytes) -> tuple[bool, int]:
    """Parse the type of a field, such as `u8` or `i64`; return whether it is signed, and its width in bits."""
    width = parse_integer(arg[1:])
    if arg[:1] not in (b"i", b"u") or width is None or not 1 <= width <= (64 if arg[:1] == b"i" else 63):
        raise ReplyError(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."
        )
    return arg[:1] == b"i", width


def parse_fields(engine: Engine, args: Sequence[bytes]) -> Iterator[Field]:
    """Parse the subcommands of BITFIELD. OVERFLOW holds for those behind it. Raises ReplyError."""
    overflow = b"wrap"
    options = OptionCursor(args)
    for option in options:
        if option == b"overflow":
            overflow = options.value().lower()
            if overflow not in (b"wrap", b"sat", b"fail"):
                raise ReplyError("ERR Invalid OVERFLOW type specified")
        elif option in (b"get", b"set", b"incrby"):
            kind, place, *number = options.values(2 if option == b"get" else 3)
            signed, width = parse_type(kind)
            offset = parse_offset(engine, place, width)
            chosen = integer(number[0]) if number else 0
            if option == b"set" and not signed:
                chosen %= 1 << 64  # as in Redis, where -1 is a large unsigned integer
            yield Field(option, signed, width, offset, chosen, overflow)
        else:
            raise syntax_error()


def uses_of_bitfield(args: list[bytes]) -> Iterator[tuple[int, str]]:
    """Yield the index of BITFIELD's key, with how it is used: it is only read if all subcommands are GET and OVERFLOW.

    What is no subcommand might write (`bitfieldGetKeys`).
    """
    at = 2
    while at < len(args):
        following = {b"get": 2, b"overflow": 1}.get(args[at].lower())
        if following is None or at + following >= len(args):
            yield 1, "RW access update"
            return
        at += 1 + following
    yield 1, "RO access"


@command(
    WRITE,
    DENYOOM,
    REPLY_FIRST,
    keys="RW access update variable_flags",
    find_keys=uses_of_bitfield,
    notes=["This command allows both access and modification of the key"],
)
@complexity("O(1) for each operation")
def bitfield(engine: Engine, db: Store, key: bytes, *subcommands: bytes) -> Value:
    """BITFIELD key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value | INCRBY encoding offset increment> ...]: read and write integers of any width; answer with each result.

    A type is `i` (signed) or `u` (unsigned) and the number of bits. The offset counts bits, or, written as `#3`, fields
    of that type. SET answers with the old integer, INCRBY with the sum, or with null if OVERFLOW FAIL prevented it.
    """  # noqa: E501  (the first line is what redis-cli shows)
    fields = list(parse_fields(engine, subcommands))
    held = db.get(key, STRING)
    writes = [field for field in fields if field.action != b"get"]
    if not writes:
        db.look_up(key)
        return [field.read(held or b"") for field in fields]
    value = padded(held or b"", (max(field.offset + field.width - 1 for field in writes) >> 3) + 1)
    grew = held is None or len(value) > len(held)
    changed = 0
    replies: list[Value] = []
    for field in fields:
        old = field.read(value)
        if field.action == b"get":
            replies.append(old)
            continue
        new = field.fitted(field.number + (old if field.action == b"incrby" else 0))
        if new is not None:
            field.write(value, new)
            changed += grew or new != old
        replies.append(None if new is None else old if field.action == b"set" else new)
    if changed or grew:
        db.replace(key, bytes(value))
    keep_raw(db, key)
    if changed:
        db.changed(key, event="setbit", count=changed)
    return replies


@command(READONLY, FAST)
@complexity("O(1) for each operation")
def bitfield_ro(engine: Engine, db: Store, key: bytes, *subcommands: bytes) -> Value:
    """BITFIELD_RO key [GET encoding offset [GET encoding offset ...]]: BITFIELD that only reads."""
    fields = list(parse_fields(engine, subcommands))
    if any(field.action != b"get" for field in fields):
        raise ReplyError("ERR BITFIELD_RO only supports the GET subcommand")
    held = db.get(key, STRING) or b""
    return [field.read(held) for field in fields]
