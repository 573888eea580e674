"""XADD and XTRIM: add entries to a stream, and remove the first ones."""

from dataclasses import dataclass
from typing import NamedTuple

from ..config.options import Options
from ..data.kinds import Args
from ..data.store import Store
from ..data.stream import Stream
from ..data.stream_node import LARGEST, LAST, SEQUENCE, make_id, show_id
from ..data.unit import AS_REQUESTED, UNLOGGED
from ..engine.args import OptionCursor
from ..engine.command import DENYOOM, FAST, REPLY_FIRST, WRITE, Group
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError, syntax_error, wrong_number_of_arguments
from ..protocol.writer import Value
from .streams import STREAM, parse_id

GROUP = Group("stream", "@stream", "t")


@dataclass(slots=True)
class Trim:
    """How to trim: the options of XTRIM, which XADD has, too."""

    by_id: bool  # MINID, not MAXLEN
    threshold: int
    whole_nodes: bool  # `~`
    at: int  # where the threshold is among the arguments
    limit: int = 0  # 0: none

    def apply(self, value: Stream) -> int:
        """Trim a stream; return the number of entries removed."""
        if self.by_id:
            return value.trim(before=self.threshold, whole_nodes=self.whole_nodes, limit=self.limit)
        return value.trim(self.threshold, whole_nodes=self.whole_nodes, limit=self.limit)

    def logged(self, value: Stream, args: Args) -> list[bytes]:
        """The arguments for the log, which trim exactly what was removed now."""
        result = list(args)
        if self.whole_nodes:
            first = value.nodes[0].base if value.nodes else LAST
            result[self.at - 1 : self.at + 1] = b"=", show_id(first) if self.by_id else b"%d" % len(value)
        return result


class Additions(NamedTuple):
    """The parsed options of XADD or XTRIM, up to the ID."""

    make: bool  # whether to make a key that is missing: not NOMKSTREAM
    trim: Trim | None
    id: int | None  # None: the present time
    partial: bool  # the ID has no sequence yet: `5-*`
    behind: int  # the number of arguments up to the ID, with it


PLAIN = Additions(make=True, trim=None, id=None, partial=False, behind=1)  # for `XADD key * …`


def parse_options(args: Args, adding: bool, replaying: bool, most_entries: int) -> Additions:
    """Parse the options of XADD or, if not `adding`, of XTRIM. When the log is replayed, LIMIT means nothing.

    Without LIMIT, at most 100 nodes of `most_entries` are trimmed.
    """
    make, trim, limit, id, partial = True, None, None, None, False
    options = OptionCursor(args)
    for option in options:
        if option in (b"maxlen", b"minid") and len(options):
            if trim is not None:
                raise ReplyError("ERR syntax error, MAXLEN and MINID options at the same time are not compatible")
            trim = parse_trim(options, option == b"minid")
        elif option == b"limit" and len(options):
            limit = options.integer()
            if limit < 0:
                raise ReplyError("ERR The LIMIT argument must be >= 0.")
        elif option == b"nomkstream" and adding:
            make = False
        elif adding:
            if option != b"*":
                milliseconds, _, sequence = option.partition(b"-")
                partial = sequence == b"*"
                id = parse_id(milliseconds if partial else option)
            break
        else:
            raise syntax_error()
    if limit and trim is None:
        raise ReplyError("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")
    if trim is None and not adding:
        raise ReplyError("ERR syntax error, XTRIM must be called with a trimming strategy")
    if limit is not None and not replaying and not (trim and trim.whole_nodes):
        raise ReplyError("ERR syntax error, LIMIT cannot be used without the special ~ option")
    if trim and trim.whole_nodes and not replaying:
        trim.limit = min(100 * most_entries or 10_000, 1_000_000) if limit is None else limit
    return Additions(make, trim, id, partial, options.position)


def parse_trim(options: OptionCursor, by_id: bool) -> Trim:
    """Parse `[= | ~] threshold`, behind MAXLEN or MINID."""
    sign = options.args[options.position] if len(options) > 1 else b""
    if sign in (b"~", b"="):
        options.value()
    threshold = parse_id(options.value()) if by_id else options.integer()
    if threshold < 0:
        raise ReplyError("ERR The MAXLEN argument must be >= 0.")
    return Trim(by_id, threshold, sign == b"~", options.position - 1)


@command(
    WRITE,
    DENYOOM,
    FAST,
    REPLY_FIRST,
    keys="RW update",
    tips="nondeterministic_output",
    notes=["UPDATE instead of INSERT because of the optional trimming feature"],
)
@complexity("O(1) for the entry, O(N) for N entries trimmed")
def xadd(db: Store, options: Options, key: bytes, id: bytes, field: bytes, value: bytes, *more: bytes) -> Value:
    """XADD key [NOMKSTREAM] [<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> field value [field value ...]: add an entry; answer with its ID.

    The ID `*` is the present time, `5-*` the next one with 5 milliseconds. NOMKSTREAM: do not make a missing key, and
    answer null. MAXLEN and MINID trim the stream: see XTRIM.
    """  # noqa: E501  (the first line is what redis-cli shows)
    args = (id, field, value, *more)
    most = options.stream_node_max_entries, options.stream_node_max_bytes
    asked = PLAIN if id == b"*" else parse_options(args, True, db.unit.replaying, most[0])
    pairs = args[asked.behind :]
    if not pairs or len(pairs) % 2:
        raise wrong_number_of_arguments("xadd")
    if asked.id == 0 and not asked.partial:
        raise ReplyError("ERR The ID specified in XADD must be greater than 0-0")
    if not asked.make and key not in db:
        return None
    held = db.make(key, STREAM)
    added = next_id(held, asked, db)
    length = sum(map(len, pairs))
    if length > LARGEST:
        raise ReplyError("ERR Elements are too large to be stored")
    held.append(added, pairs, length, most)
    answer = show_id(added)
    removed = asked.trim.apply(held) if asked.trim else 0
    log: Args | None = AS_REQUESTED
    if asked.id is None or asked.partial or (asked.trim and asked.trim.whole_nodes):
        trimming = asked.trim.logged(held, args) if asked.trim else args
        id = args[asked.behind - 1] if asked.id is not None and not asked.partial else answer
        log = (b"XADD", key, *trimming[: asked.behind - 1], id, *pairs)
    db.changed(key, log=log)
    if removed:
        db.changed(key, log=UNLOGGED, event="xtrim", count=0)
    return answer


def next_id(held: Stream, asked: Additions, db: Store) -> int:
    """Return the ID for a new entry. Raises ReplyError if it would not be higher than all before it."""
    if held.last_id == LAST:
        raise ReplyError("ERR The stream has exhausted the last possible ID, unable to add more items")
    if asked.id is None:
        return max(make_id(db.unit.now, 0), held.last_id + 1)
    id = asked.id
    if asked.partial and id >> 64 == held.last_id >> 64:
        id = held.last_id + 1
        if id & SEQUENCE == 0:
            raise ReplyError("ERR Elements are too large to be stored")  # Redis's text, if no sequence is left
    if id <= held.last_id:
        raise ReplyError("ERR The ID specified in XADD is equal or smaller than the target stream top item")
    return id


@command(WRITE, keys="RW delete", tips="nondeterministic_output")
@complexity("O(N) for N entries trimmed")
def xtrim(db: Store, options: Options, key: bytes, option: bytes, threshold: bytes, *more: bytes) -> Value:
    """XTRIM key <MAXLEN | MINID> [= | ~] threshold [LIMIT count]: remove the first entries; answer with their number.

    MAXLEN removes down to a length, MINID what is before an ID. With `~` only whole nodes are removed, which is faster,
    and of at most LIMIT entries.
    """
    args = (option, threshold, *more)
    trim = parse_options(args, False, db.unit.replaying, options.stream_node_max_entries).trim
    held = db.get(key, STREAM)
    if held is None or trim is None:
        return 0
    removed = trim.apply(held)
    if removed:
        log = (b"XTRIM", key, *trim.logged(held, args)) if trim.whole_nodes else AS_REQUESTED
        db.changed(key, log=log, count=removed)
    return removed
