"""The consumer groups of a stream: what was delivered to whom, and is not acknowledged yet.

A group hands out each entry to one of its consumers, and keeps a list of deliveries until they are acknowledged: the
pending entries list, PEL. Each consumer has a list of its own, of the same deliveries. Both are sorted by ID: most IDs
come in order, but an entry may be claimed by another consumer, or delivered again after XGROUP SETID.

A list is a dictionary from ID to delivery, and the IDs in order, in blocks of at most LONGEST. So to find the first ID
from a given one, to add one and to remove one, takes two bisections, and moves a few hundred references at most.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from sys import getsizeof

from .kinds import Args
from .stream_node import show_id

LONGEST = 512  # IDs in a block of a list
MOST = 2**63 - 1  # where counters end, so that each fits into a reply, and into the log
last_of = itemgetter(-1)


@dataclass(slots=True, eq=False)
class Delivery:
    """An entry that was delivered and is not acknowledged (`streamNACK`)."""

    consumer: "Consumer"
    time: int  # of the last delivery, in milliseconds since 1970
    count: int  # how often it was delivered


class Pending:
    """Deliveries by ID, in order.

    >>> pending = Pending()
    >>> for id in (5, 3, 9): pending.put(id, Delivery(Consumer(b"alice", 0), 0, 1))
    >>> list(pending.since(4)), pending.first, pending.last, len(pending)
    ([5, 9], 3, 9, 3)
    """

    def __init__(self) -> None:
        self.deliveries: dict[int, Delivery] = {}
        self._blocks: list[list[int]] = []  # without empty ones

    def __len__(self) -> int:
        return len(self.deliveries)

    def get(self, id: int) -> Delivery | None:
        """The delivery of this ID, or None."""
        return self.deliveries.get(id)

    def put(self, id: int, delivery: Delivery) -> None:
        """Set the delivery of an ID."""
        if id not in self.deliveries:
            self._insert(id)
        self.deliveries[id] = delivery

    def pop(self, id: int) -> Delivery | None:
        """Remove an ID; return its delivery, or None if it is not there."""
        delivery = self.deliveries.pop(id, None)
        if delivery is not None:
            index = bisect_left(self._blocks, id, key=last_of)
            block = self._blocks[index]
            del block[bisect_left(block, id)]
            if not block:
                del self._blocks[index]
        return delivery

    def since(self, start: int) -> Iterator[int]:
        """The IDs from `start` on, in order. The list must not change meanwhile."""
        index = bisect_left(self._blocks, start, key=last_of)
        for number in range(index, len(self._blocks)):
            block = self._blocks[number]
            yield from block[bisect_left(block, start) :] if number == index else block

    @property
    def first(self) -> int:
        """The lowest ID; there must be one."""
        return self._blocks[0][0]

    @property
    def last(self) -> int:
        """The highest ID; there must be one."""
        return self._blocks[-1][-1]

    def own_size(self) -> int:
        """Bytes of memory, without the deliveries."""
        blocks = sum(getsizeof(block) for block in self._blocks)
        return getsizeof(self.deliveries) + getsizeof(self._blocks) + blocks

    def _insert(self, id: int) -> None:
        blocks = self._blocks
        if not blocks or (id > blocks[-1][-1] and len(blocks[-1]) == LONGEST):
            blocks.append([id])
            return
        index = min(bisect_left(blocks, id, key=last_of), len(blocks) - 1)
        insort(blocks[index], id)
        if len(blocks[index]) > LONGEST:
            half = LONGEST // 2
            blocks[index : index + 1] = blocks[index][:half], blocks[index][half:]


class Consumer:
    """One consumer of a group."""

    def __init__(self, name: bytes, seen: int) -> None:
        self.name = name
        self.seen = seen  # when it last read or claimed something, in milliseconds since 1970
        self.pending = Pending()


class Group:
    """A consumer group."""

    def __init__(self, last_id: int, entries_read: int | None = None) -> None:
        self.last_id = last_id  # the last entry that was delivered to any consumer
        self.entries_read = entries_read  # its number among all entries ever added; None: unknown
        self.pending = Pending()
        self.consumers: dict[bytes, Consumer] = {}

    def deliver(self, id: int, consumer: Consumer, time: int, count: int) -> Delivery:
        """Make the entry with this ID pending for a consumer, and for no other."""
        count = min(count, MOST)
        delivery = self.pending.get(id)
        if delivery is None:
            delivery = Delivery(consumer, time, count)
            self.pending.put(id, delivery)
        else:
            delivery.consumer.pending.pop(id)
            delivery.consumer, delivery.time, delivery.count = consumer, time, count
        consumer.pending.put(id, delivery)
        return delivery

    def acknowledge(self, id: int) -> bool:
        """Remove an ID from the pending ones; return whether it was pending."""
        delivery = self.pending.pop(id)
        if delivery is None:
            return False
        delivery.consumer.pending.pop(id)
        return True

    def remove(self, consumer: Consumer) -> None:
        """Remove a consumer with all that is pending for it."""
        for id in consumer.pending.deliveries:
            self.pending.pop(id)
        del self.consumers[consumer.name]

    def requests(self, key: bytes, name: bytes) -> Iterator[Args]:
        """The requests that recreate this group of the stream at `key`."""
        read = b"-1" if self.entries_read is None else b"%d" % self.entries_read
        yield b"XGROUP", b"CREATE", key, name, show_id(self.last_id), b"ENTRIESREAD", read
        for consumer in (self.consumers[each] for each in sorted(self.consumers)):
            if not len(consumer.pending):
                yield b"XGROUP", b"CREATECONSUMER", key, name, consumer.name
            for id in consumer.pending.since(0):
                each = self.pending.deliveries[id]
                when = b"TIME", b"%d" % each.time, b"RETRYCOUNT", b"%d" % each.count
                yield b"XCLAIM", key, name, consumer.name, b"0", show_id(id), *when, b"JUSTID", b"FORCE"

    def copy(self) -> "Group":
        """A copy, which can be changed independently."""
        other = Group(self.last_id, self.entries_read)
        other.consumers = {name: Consumer(name, each.seen) for name, each in self.consumers.items()}
        for id, delivery in self.pending.deliveries.items():
            other.deliver(id, other.consumers[delivery.consumer.name], delivery.time, delivery.count)
        return other

    def own_size(self) -> int:
        """Bytes of memory."""
        each = getsizeof(self.last_id) + getsizeof(Delivery(Consumer(b"", 0), 0, 0))  # an ID and its delivery
        lists = [self.pending, *(consumer.pending for consumer in self.consumers.values())]
        return sum(map(Pending.own_size, lists)) + each * len(self.pending) + sum(map(getsizeof, self.consumers))
