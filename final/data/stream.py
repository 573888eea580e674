"""The stream: entries in the order of their IDs, packed into nodes, so that an entry is not a handful of objects.

An ID is written `milliseconds-sequence`. Here it is one number of 128 bits, the milliseconds above the sequence: so
the next ID is `id + 1`, and IDs compare as numbers.

    IDs        1-1      1-2      2-0      ms 1 1 2, seq 1 2 0          arrays of 64-bit numbers
    fields     name     name     name,age              three references to two tuples
    values     Al       Bob      Cy, 30                text b"AlBobCy30", ends 2 5 7 9, firsts 0 1 2

A node holds up to 100 entries, or 4096 bytes: options set both. Its values are one string, cut at `ends`; `firsts` has
the index of each entry's first value. Entries nearly always have the fields of the entry before, so they share one
tuple of names. An entry with one field takes 44 bytes and its value; as objects, an ID and a tuple of values, it would
take three times as much, and a child process that writes the data would copy the memory of them all, because it counts
references.

To add an entry, append to the last node. To find one, search the nodes, and then the node, by bisection. The head of
a node is trimmed by moving `begin`; what is trimmed stays in memory until the node goes. Deleting from the middle of
a node copies that node.

Redis has the same nodes, as listpacks in a radix tree. Where a node ends can be seen from outside: trimming with `~`
removes only whole nodes. So `size` is the number of bytes that Redis's listpack would have, exactly, deleted entries
included; and `radix_tree_nodes` says for XINFO how large Redis's tree would be.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from .kinds import Args
from .stream_groups import MOST, Group
from .stream_node import LAST, Entry, Node, show_id

NODE = (100, 4096)  # the most entries and bytes of a node (stream-node-max-entries, stream-node-max-bytes)
base_of = attrgetter("base")


class Stream:
    """A stream with its consumer groups. An empty one is a value like any other: its key stays."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []  # without empty ones, except where all entries of one were trimmed by MINID
        self.length = 0
        self.last_id = 0  # of the last entry, though it may be deleted: the next ID has to be higher
        self.max_deleted_id = 0  # the highest ID that XDEL has deleted
        self.entries_added = 0  # the number of entries that were ever added
        self.groups: dict[bytes, Group] = {}

    def __len__(self) -> int:
        return self.length

    def __bool__(self) -> bool:
        return True  # `Store.changed` removes containers that are false

    def append(self, id: int, pairs: Sequence[bytes], length: int | None = None, most: tuple[int, int] = NODE) -> None:
        """Add an entry of fields and values in turn, whose ID must be higher than `last_id`.

        `length` is the number of bytes of all of them, if the caller has it. `most`: a node that would hold more
        entries or bytes is full.
        """
        length = sum(map(len, pairs)) if length is None else length
        fields, values = tuple(pairs[::2]), pairs[1::2]
        node = self.nodes[-1] if self.nodes else None
        if node is not None and node.fields[-1] == fields:
            fields = node.fields[-1]
        if node is None or not node.takes(length, *most):
            node = Node(id, fields)
            self.nodes.append(node)
        node.append(id, fields, values, same=not node.fields or node.fields[0] == fields)
        self.length += 1
        self.last_id = id
        self.entries_added = min(self.entries_added + 1, MOST)

    def entries(self, start: int = 0, stop: int = LAST, reverse: bool = False) -> Iterator[Entry]:
        """The entries with IDs from `start` to `stop`, both included; with `reverse` from the last to the first.

        >>> stream = Stream()
        >>> for id in range(1, 1000): stream.append(id, [b"n", b"%d" % (id * id)])
        >>> next(stream.entries(500)), next(stream.entries(stop=499, reverse=True))
        ((500, [b'n', b'250000']), (499, [b'n', b'249001']))
        """
        if start > stop:
            return
        first = max(bisect_right(self.nodes, start, key=base_of) - 1, 0)
        after = bisect_right(self.nodes, stop, key=base_of)
        for index in range(after - 1, first - 1, -1) if reverse else range(first, after):
            node = self.nodes[index]
            low = node.before(start)
            high = node.before(stop + 1) if node.last > stop else len(node.ms)
            yield from map(node.entry, range(high - 1, low - 1, -1) if reverse else range(low, high))

    def get(self, id: int) -> Entry | None:
        """The entry with this ID, or None."""
        found = self._find(id)
        return None if found is None else self.nodes[found[0]].entry(found[1])

    def delete(self, id: int) -> bool:
        """Delete an entry; return whether it was there."""
        found = self._find(id)
        if found is None:
            return False
        index, at = found
        if len(self.nodes[index]) == 1:
            del self.nodes[index]
        else:
            self.nodes[index].delete(at)
        self.length -= 1
        self.max_deleted_id = max(self.max_deleted_id, id)
        return True

    def trim(self, length: int = -1, before: int = LAST + 1, whole_nodes: bool = False, limit: int = 0) -> int:
        """Remove the first entries: those before an ID, down to a length (-1: any); return how many.

        `whole_nodes`: only nodes of which nothing is to stay. `limit`: at most that many entries, 0 for any number.
        """
        full, gone = self.length, 0
        for node in self.nodes:
            if self.length <= length or (limit and full - self.length + len(node) > limit):
                break
            if node.last >= before or self.length - len(node) < length:
                if not whole_nodes:
                    some = min(self.length - length, node.before(before) - node.begin)
                    node.begin += some
                    self.length -= some
                break
            self.length -= len(node)
            gone += 1
        del self.nodes[:gone]
        return full - self.length

    @property
    def first_id(self) -> int:
        """The ID of the first entry; 0 if there is none."""
        return next((node.id(node.begin) for node in self.nodes if len(node)), 0)

    @property
    def top(self) -> int:
        """The ID of the last entry that is not deleted; 0 if there is none."""
        return next((node.id(-1) for node in reversed(self.nodes) if len(node)), 0)

    def has_deleted_since(self, id: int) -> bool:
        """Whether an entry with this ID or a higher one was deleted (`streamRangeHasTombstones`)."""
        return 0 < self.first_id <= self.max_deleted_id and id <= self.max_deleted_id

    def count_up_to(self, id: int) -> int | None:
        """How many of all entries ever added have this ID or a lower one; None if that cannot be told.

        It can at the ends, if no entry is deleted in between (`streamEstimateDistanceFromFirstEverEntry`).
        """
        if not self.entries_added or id == self.last_id or (not self.length and id < self.last_id):
            return self.entries_added
        first = self.first_id
        if id < self.last_id and self.max_deleted_id < first and id <= first:
            return self.entries_added - self.length + (id == first)
        return None

    def read_by(self, group: Group, id: int) -> None:
        """Count an entry as the last one that a group has read."""
        if group.entries_read is not None and not self.has_deleted_since(id):
            group.entries_read = min(group.entries_read + 1, MOST)
        else:
            group.entries_read = self.count_up_to(id)
        group.last_id = id

    def copy(self) -> "Stream":
        """A copy, which can be changed independently."""
        other = Stream()
        other.__dict__.update(self.__dict__)
        other.nodes = [node.copy() for node in self.nodes]
        other.groups = {name: group.copy() for name, group in self.groups.items()}
        return other

    def requests(self, key: bytes) -> Iterator[Args]:
        """The requests that recreate all but the entries, after those that add them (`rewriteStreamObject`)."""
        if self.length == 0:
            yield b"XADD", key, b"MAXLEN", b"0", b"0-1", b"x", b"y"
        counts = b"ENTRIESADDED", b"%d" % self.entries_added, b"MAXDELETEDID", show_id(self.max_deleted_id)
        yield b"XSETID", key, show_id(self.last_id), *counts
        for name in sorted(self.groups):
            yield from self.groups[name].requests(key, name)

    def _find(self, id: int) -> tuple[int, int] | None:
        """The index of the node of an entry, and that of the entry in it; None if there is no such entry."""
        index = bisect_right(self.nodes, id, key=base_of) - 1
        if index < 0:
            return None
        node = self.nodes[index]
        at = node.before(id)
        return (index, at) if at < len(node.ms) and node.id(at) == id else None


def radix_tree_nodes(keys: Sequence[int], depth: int = 0) -> int:
    """The number of nodes of Redis's radix tree with these keys, in order, as 16 bytes of which `depth` are behind us.

    It has a node for bytes that all keys share, one where they begin to differ, and one at the end of each key.

    >>> radix_tree_nodes([]), radix_tree_nodes([1]), radix_tree_nodes([1, 2]), radix_tree_nodes([1, 2, 2**64])
    (1, 2, 4, 8)
    """
    if len(keys) < 2:
        return 1 + (len(keys) and depth < 16)
    fork = 16 - ((keys[0] ^ keys[-1]).bit_length() + 7) // 8
    ways = groupby(keys, key=lambda key: key >> 8 * (15 - fork))
    return (fork > depth) + 1 + sum(radix_tree_nodes(list(way), fork + 1) for _, way in ways)
