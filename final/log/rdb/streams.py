"""A stream in a snapshot: read in the three forms that Redis has written, 5.0 to 6.2, 7.0, and 7.2; written as by 7.0.

    number of nodes; of each: the ID of its first entry (a string of 16 bytes), a listpack
    length, last ID; since 7.0: first ID, highest deleted ID, number of entries ever added
    number of groups; of each: name, last ID; since 7.0: number of entries read
        number of pending entries; of each: ID (16 bytes), time (8), number of deliveries
        number of consumers; of each: name, when seen (8 bytes); since 7.2: when active (8)
            number of its pending entries; of each: ID (16 bytes)

The listpack of a node has the number of its entries, the number of deleted ones, the names of the fields of the first
entry (their number, the names, 0), and the entries, deleted ones too:

    flags, ID as the difference to the first (two numbers), [number of fields,] values, number of elements

If the flags do not say that an entry has the fields of the first one, each value follows its field.
"""

from collections.abc import Iterator

from ...data.kinds import Item, Raw
from ...data.stream import Stream
from ...data.stream_groups import MOST, Consumer, Group
from ...data.stream_node import SEQUENCE, Entry, Node, make_id, show_id
from ...protocol.numeric import parse_integer
from .cursor import Cursor
from .packed import listpack, little, pack_listpack

STREAMS = {15, 19, 21}  # types of values: RDB_TYPE_STREAM_LISTPACKS, …_2, …_3
WRITTEN = 19
DELETED, SAME_FIELDS = 1, 2  # flags of an entry


def read_stream(key: bytes, form: int, cursor: Cursor) -> Iterator[list[bytes]]:
    """The requests that recreate a stream. Raises ValueError for damaged data."""
    state = Stream()  # all but the entries, of which it holds the first one
    for _ in range(cursor.size()):
        base = int.from_bytes(cursor.string()[:16], "big")
        for id, pairs in entries(base, listpack(cursor.string())):
            if not state.nodes:
                state.append(id, pairs)
            yield [b"XADD", key, show_id(id), *pairs]
    state.length = state.entries_added = cursor.size()
    state.last_id = sized_id(cursor)
    if form > 15:
        sized_id(cursor)  # the first ID
        state.max_deleted_id = sized_id(cursor)
        state.entries_added = min(cursor.size(), MOST)
    for _ in range(cursor.size()):
        name = cursor.string()
        state.groups[name] = read_group(cursor, form, state)
    yield from (list(args) for args in state.requests(key))
    for name, group in state.groups.items():
        yield from ([b"see_consumer", key, name, each.name, b"%d" % each.seen] for each in group.consumers.values())


def entries(base: int, elements: list[bytes]) -> Iterator[Entry]:
    """The entries in a listpack; `base` is the ID of the first."""
    count, deleted, fields = numbers(elements, 0, 3)
    names = elements[3 : 3 + fields]
    place = 3 + len(names) + 1
    for _ in range(count + deleted):
        flags, milliseconds, sequence = numbers(elements, place, 3)
        place += 3
        if flags & SAME_FIELDS:
            pairs = [arg for pair in zip(names, elements[place:], strict=False) for arg in pair]
            place += len(names) + 1
        else:
            (size,) = numbers(elements, place, 1)
            pairs = elements[place + 1 : place + 1 + 2 * size]
            place += 1 + len(pairs) + 1
        if not flags & DELETED:
            yield make_id((base >> 64) + milliseconds & SEQUENCE, base + sequence & SEQUENCE), pairs
    if place != len(elements):
        raise ValueError("a node of a stream with another number of elements than it says")


def numbers(elements: list[bytes], place: int, count: int) -> list[int]:
    """The next elements, which have to be integers."""
    found = [number for each in elements[place : place + count] if (number := parse_integer(each)) is not None]
    if len(found) < count:
        raise ValueError("a node of a stream without a number where one has to be")
    return found


def read_group(cursor: Cursor, form: int, state: Stream) -> Group:
    """A consumer group of a stream, with its consumers and pending entries."""
    last_id = sized_id(cursor)
    group = Group(last_id, state.count_up_to(last_id))
    if form > 15:
        read = cursor.size()
        group.entries_read = None if read == SEQUENCE else min(read, MOST)  # -1, as an unsigned number
    deliveries = {}
    for _ in range(cursor.size()):
        id = raw_id(cursor)
        deliveries[id] = little(cursor.take(8), signed=True), cursor.size()
    for _ in range(cursor.size()):
        consumer = Consumer(cursor.string(), little(cursor.take(8), signed=True))
        cursor.take(8 if form > 19 else 0)
        group.consumers[consumer.name] = consumer
        for _ in range(cursor.size()):
            id = raw_id(cursor)
            if id not in deliveries:
                raise ValueError("a stream with an entry that is pending for two consumers, or not for its group")
            group.deliver(id, consumer, *deliveries.pop(id))
    if deliveries:
        raise ValueError("a stream with an entry that is pending for no consumer")
    return group


def raw_id(cursor: Cursor) -> int:
    """An ID in 16 bytes, the highest first."""
    return int.from_bytes(cursor.take(16), "big")


def sized_id(cursor: Cursor) -> int:
    """An ID as two integers."""
    return make_id(cursor.size(), cursor.size())


def write_stream(stream: Stream) -> Iterator[Item]:
    """What a stream consists of, in the form WRITTEN. Deleted entries are left out."""
    nodes = [node for node in stream.nodes if len(node)]
    yield len(nodes)
    for node in nodes:
        yield raw(node.base)
        yield pack_listpack(elements_of(node))
    yield stream.length
    for id in (stream.last_id, stream.first_id, stream.max_deleted_id):
        yield from (id >> 64, id & SEQUENCE)
    yield stream.entries_added
    yield len(stream.groups)
    for name in sorted(stream.groups):
        yield name
        yield from write_group(stream.groups[name])


def elements_of(node: Node) -> Iterator[bytes | int]:
    """The elements of a node's listpack."""
    names = node.fields[node.begin]
    yield from (len(node), 0, len(names))
    yield from names
    yield 0
    for at in range(node.begin, len(node.ms)):
        id, pairs = node.entry(at)
        same = node.fields[at] == names
        yield from (SAME_FIELDS if same else 0, signed((id >> 64) - (node.base >> 64)), signed(id - node.base))
        if same:
            yield from pairs[1::2]
            yield len(names) + 3
        else:
            yield len(pairs) // 2
            yield from pairs
            yield len(pairs) + 4


def write_group(group: Group) -> Iterator[Item]:
    """What a consumer group consists of."""
    yield from (group.last_id >> 64, group.last_id & SEQUENCE)
    yield SEQUENCE if group.entries_read is None else group.entries_read
    yield len(group.pending)
    for id in group.pending.since(0):
        delivery = group.pending.deliveries[id]
        yield Raw(raw(id) + delivery.time.to_bytes(8, "little", signed=True))
        yield delivery.count
    yield len(group.consumers)
    for consumer in (group.consumers[name] for name in sorted(group.consumers)):
        yield consumer.name
        yield Raw(consumer.seen.to_bytes(8, "little", signed=True))
        yield len(consumer.pending)
        yield Raw(b"".join(map(raw, consumer.pending.since(0))))


def raw(id: int) -> bytes:
    """An ID in 16 bytes, as `raw_id` reads it."""
    return id.to_bytes(16, "big")


def signed(difference: int) -> int:
    """The difference of two 64-bit numbers, as Redis stores it."""
    difference &= SEQUENCE
    return difference - 2**64 if difference >> 63 else difference
