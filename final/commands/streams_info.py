"""XINFO: describe a stream, its groups and their consumers."""

from itertools import islice

from ..data.store import Store
from ..data.stream import Stream, radix_tree_nodes
from ..data.stream_groups import Consumer
from ..data.stream_groups import Group as ConsumerGroup
from ..data.stream_node import show_id
from ..engine.args import integer
from ..engine.command import READONLY, Group
from ..engine.signature import command
from ..protocol.errors import no_such_key, wrong_options
from ..protocol.writer import Value
from .streams import STREAM, replies
from .streams_groups import stream_of_group

GROUP = Group("stream", "@stream", "t")

FEW = 10  # entries that XINFO STREAM FULL shows, unless COUNT says otherwise


@command()
def xinfo(subcommand: bytes, *arguments: bytes) -> Value:
    """XINFO subcommand [argument ...]: describe a stream and its groups; see the subcommands."""


def existing(db: Store, key: bytes) -> Stream:
    """Return the stream at a key. Raises `no_such_key` and `wrong_type`."""
    held = db.get(key, STREAM)
    if held is None:
        raise no_such_key()
    return held


@command(READONLY, of="xinfo")
def xinfo_stream(db: Store, key: bytes, *options: bytes) -> Value:
    """XINFO STREAM key [FULL [COUNT count]]: describe a stream; FULL adds its entries, groups and consumers."""
    held = existing(db, key)
    about: dict[bytes, Value] = {
        b"length": len(held),
        b"radix-tree-keys": len(held.nodes),
        b"radix-tree-nodes": radix_tree_nodes([node.base for node in held.nodes]),
        b"last-generated-id": show_id(held.last_id),
        b"max-deleted-entry-id": show_id(held.max_deleted_id),
        b"entries-added": held.entries_added,
        b"recorded-first-entry-id": show_id(held.first_id),
    }
    match [option.lower() for option in options]:
        case []:
            ends = [next(iter(replies(held.entries(reverse=last), 1)), None) for last in (False, True)]
            return about | {b"groups": len(held.groups), b"first-entry": ends[0], b"last-entry": ends[1]}
        case [b"full"]:
            count = FEW
        case [b"full", b"count", number]:
            count = integer(number) if integer(number) >= 0 else FEW
        case _:
            raise wrong_options("XINFO")
    most = count or None
    groups = [full_group(held, name, most) for name in sorted(held.groups)]
    return about | {b"entries": replies(held.entries(), most), b"groups": groups}


def full_group(held: Stream, name: bytes, most: int | None) -> Value:
    """Describe a group for XINFO STREAM FULL, with at most this many pending entries in each list."""
    group = held.groups[name]
    pending = [
        [show_id(id), each.consumer.name, each.time, each.count]
        for id in islice(group.pending.since(0), most)
        for each in (group.pending.deliveries[id],)
    ]
    return {
        b"name": name,
        b"last-delivered-id": show_id(group.last_id),
        b"entries-read": group.entries_read,
        b"lag": lag(held, group),
        b"pel-count": len(group.pending),
        b"pending": pending,
        b"consumers": [full_consumer(group.consumers[each], most) for each in sorted(group.consumers)],
    }


def full_consumer(consumer: Consumer, most: int | None) -> Value:
    """Describe a consumer for XINFO STREAM FULL."""
    pending = [
        [show_id(id), each.time, each.count]
        for id in islice(consumer.pending.since(0), most)
        for each in (consumer.pending.deliveries[id],)
    ]
    return {
        b"name": consumer.name,
        b"seen-time": consumer.seen,
        b"pel-count": len(consumer.pending),
        b"pending": pending,
    }


def lag(held: Stream, group: ConsumerGroup) -> int | None:
    """Return how many entries the group has not read; None if that cannot be told."""
    read = group.entries_read
    if read is None or not held.entries_added or held.has_deleted_since(group.last_id):
        read = held.count_up_to(group.last_id)
    return None if read is None else held.entries_added - read


@command(READONLY, of="xinfo")
def xinfo_groups(db: Store, key: bytes) -> Value:
    """XINFO GROUPS key: describe the groups of a stream."""
    held = existing(db, key)
    return [
        {
            b"name": name,
            b"consumers": len(group.consumers),
            b"pending": len(group.pending),
            b"last-delivered-id": show_id(group.last_id),
            b"entries-read": group.entries_read,
            b"lag": lag(held, group),
        }
        for name, group in sorted(held.groups.items())
    ]


@command(READONLY, of="xinfo", tips="nondeterministic_output")
def xinfo_consumers(db: Store, key: bytes, group: bytes) -> Value:
    """XINFO CONSUMERS key groupname: describe the consumers of a group."""
    existing(db, key)
    found = stream_of_group(db, key, group).groups[group]
    return [
        {b"name": name, b"pending": len(each.pending), b"idle": max(db.unit.now - each.seen, 0)}
        for name, each in sorted(found.consumers.items())
    ]
