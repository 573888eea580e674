"""XGROUP: make and remove the consumer groups of streams; and what the commands for groups share."""

from collections.abc import Sequence

from ..data.kinds import Args
from ..data.store import Store
from ..data.stream import Stream
from ..data.stream_groups import Consumer, Delivery
from ..data.stream_groups import Group as ConsumerGroup
from ..data.stream_node import show_id
from ..data.unit import NO_EVENT, UNLOGGED
from ..engine.args import OptionCursor
from ..engine.command import DENYOOM, INTERNAL, REPLY_FIRST, WRITE, Group
from ..engine.signature import command, complexity, describe
from ..protocol.errors import ReplyError, wrong_options
from ..protocol.writer import Value
from .streams import STREAM, parse_bound, parse_id

GROUP = Group("stream", "@stream", "t")


def text(arg: bytes) -> str:
    """Return a name as it is quoted in an error."""
    return arg.split(b"\0")[0].decode(errors="surrogateescape")


def group_at(db: Store, key: bytes, name: bytes) -> tuple[Stream, ConsumerGroup]:
    """Return a stream and its group. Raises ReplyError if either is missing."""
    held = db.get(key, STREAM)
    if held is None or name not in held.groups:
        raise ReplyError(f"NOGROUP No such key '{text(key)}' or consumer group '{text(name)}'")
    return held, held.groups[name]


def note(db: Store, key: bytes, log: Args | None, event: str | None = NO_EVENT, count: int = 1) -> None:
    """Note a change in a group: as in Redis, it is none for WATCH, and wakes nobody."""
    db.changed(key, log=log, event=event, touch=False, wake=False, count=count)


def use_consumer(db: Store, key: bytes, group: ConsumerGroup, name: bytes, log: Args = UNLOGGED) -> Consumer:
    """Return a consumer, which is seen now; make it if it is missing, and log that with `log`."""
    consumer = group.consumers.get(name)
    if consumer is None:
        consumer = make_consumer(db, key, group, name, log)
    consumer.seen = present(db)
    return consumer


def make_consumer(db: Store, key: bytes, group: ConsumerGroup, name: bytes, log: Args | None) -> Consumer:
    """Make a consumer, which must be missing."""
    consumer = group.consumers[name] = Consumer(name, present(db))
    note(db, key, log, event="xgroup-createconsumer")
    return consumer


def present(db: Store) -> int:
    """Return the time, also while the log is replayed."""
    return db.unit.clock() if db.unit.replaying else db.unit.now


def claim_request(
    key: bytes, group: ConsumerGroup, name: bytes, id: bytes, delivery: Delivery
) -> tuple[bytes, ...]:  # fmt: skip
    """Return the request for the log that repeats a delivery (`streamPropagateXCLAIM`); `name` is the group's."""
    when = b"TIME", b"%d" % delivery.time, b"RETRYCOUNT", b"%d" % delivery.count
    last = b"FORCE", b"JUSTID", b"LASTID", show_id(group.last_id)
    return b"XCLAIM", key, name, delivery.consumer.name, b"0", id, *when, *last


def last_id_request(key: bytes, group: ConsumerGroup, name: bytes) -> tuple[bytes, ...]:
    """Return the request for the log that sets how far a group has read (`streamPropagateGroupID`)."""
    read = b"-1" if group.entries_read is None else b"%d" % group.entries_read
    return b"XGROUP", b"SETID", key, name, show_id(group.last_id), b"ENTRIESREAD", read


# XGROUP


@command()
def xgroup(subcommand: bytes, *arguments: bytes) -> Value:
    """XGROUP subcommand [argument ...]: manage the consumer groups of a stream; see the subcommands."""


def stream_of_group(db: Store, key: bytes, name: bytes | None) -> Stream:
    """Return the stream for a subcommand of XGROUP. Raises ReplyError if it is missing, or has no group `name`."""
    held = db.get(key, STREAM)
    if held is None:
        raise ReplyError(
            "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the "
            "MKSTREAM option to create an empty stream automatically."
        )
    if name is not None and name not in held.groups:
        raise ReplyError(f"NOGROUP No such consumer group '{text(name)}' for key name '{text(key)}'")
    return held


def parse_group_options(options: Sequence[bytes], mkstream: bool) -> tuple[int | None, bool]:
    """Parse `[MKSTREAM] [ENTRIESREAD entries-read]`; return the latter or None, and whether MKSTREAM is there."""
    read, make = -1, False
    cursor = OptionCursor(options)
    for option in cursor:
        if option == b"mkstream" and mkstream:
            make = True
        elif option == b"entriesread" and len(cursor):
            read = cursor.integer()
            if read < -1:
                raise ReplyError("ERR value for ENTRIESREAD must be positive or -1")
        else:
            raise wrong_options("XGROUP")
    return None if read == -1 else read, make


@command(WRITE, DENYOOM, REPLY_FIRST, of="xgroup", keys="RW insert")
def xgroup_create(db: Store, key: bytes, group: bytes, id: bytes, *options: bytes) -> Value:
    """XGROUP CREATE key groupname <id | $> [MKSTREAM] [ENTRIESREAD entries_read]: make a group that begins behind an ID.

    `$` is the last ID. MKSTREAM: make the stream, if it is missing.
    """  # noqa: E501  (the first line is what redis-cli shows)
    read, make = parse_group_options(options, mkstream=True)
    held = db.get(key, STREAM) if make else stream_of_group(db, key, None)
    if len(options) > 3:
        raise wrong_options("XGROUP")
    last = (held.last_id if held else 0) if id == b"$" else parse_id(id)
    new = held is None
    held = db.make(key, STREAM)
    if group in held.groups:
        raise ReplyError("BUSYGROUP Consumer Group name already exists")
    held.groups[group] = ConsumerGroup(last, read)
    db.changed(key, event="xgroup-create", touch=new, wake=False)
    return "OK"


@command(WRITE, REPLY_FIRST, of="xgroup", keys="RW update")
def xgroup_setid(db: Store, key: bytes, group: bytes, id: bytes, *options: bytes) -> Value:
    """XGROUP SETID key groupname <id | $> [ENTRIESREAD entries_read]: set the last ID that was delivered to the group."""  # noqa: E501
    read, _ = parse_group_options(options, mkstream=False)
    held = stream_of_group(db, key, group)
    if len(options) > 2:
        raise wrong_options("XGROUP")
    found = held.groups[group]
    found.last_id, found.entries_read = held.last_id if id == b"$" else parse_bound(id, 0), read
    note(db, key, None, event="xgroup-setid")
    return "OK"


@command(WRITE, REPLY_FIRST, of="xgroup", keys="RW delete")
@complexity("O(N) for N pending entries of the group")
def xgroup_destroy(db: Store, key: bytes, group: bytes) -> Value:
    """XGROUP DESTROY key groupname: remove a group with all its consumers; answer with the number of removed groups."""
    if stream_of_group(db, key, None).groups.pop(group, None) is None:
        return 0
    db.changed(key, event="xgroup-destroy", touch=False)
    return 1


@command(WRITE, DENYOOM, of="xgroup", keys="RW insert")
def xgroup_createconsumer(db: Store, key: bytes, group: bytes, consumer: bytes) -> Value:
    """XGROUP CREATECONSUMER key groupname consumername: make a consumer; answer with the number of new consumers."""
    found = stream_of_group(db, key, group).groups[group]
    if consumer in found.consumers:
        return 0
    make_consumer(db, key, found, consumer, log=None)
    return 1


@command(WRITE, of="xgroup", keys="RW delete")
def xgroup_delconsumer(db: Store, key: bytes, group: bytes, consumer: bytes) -> Value:
    """XGROUP DELCONSUMER key groupname consumername: remove a consumer; answer with the number of entries it had pending."""  # noqa: E501
    found = stream_of_group(db, key, group).groups[group]
    gone = found.consumers.get(consumer)
    if gone is None:
        return 0
    found.remove(gone)
    note(db, key, None, event="xgroup-delconsumer")
    return len(gone.pending)


def see_consumer(db: Store, key: bytes, group: bytes, consumer: bytes, seen: int) -> None:
    """Say when a consumer was last seen, in milliseconds since 1970."""
    found = group_at(db, key, group)[1].consumers.get(consumer)
    if found is None:
        raise ReplyError("ERR no such consumer")
    found.seen = seen


INTERNAL[b"see_consumer"] = describe(see_consumer, (WRITE,))
