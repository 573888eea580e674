"""The replication backlog: the end of the stream of changes, from which replicas are fed. It knows no replica.

An offset is a number of bytes since the stream began. The bytes are kept in blocks, so that old ones are dropped
without moving the rest.
"""

from collections import deque

BLOCK = 16 * 1024  # bytes in a block; the last one may have fewer (Redis: PROTO_REPLY_CHUNK_BYTES)
LEAST = 16 * 1024  # bytes of the smallest backlog (CONFIG_REPL_BACKLOG_MIN_SIZE)


class Backlog:
    """At least the last `size` bytes of the stream, or all of it while it is shorter.

    >>> backlog = Backlog(1 << 20, start=100)
    >>> backlog.append(b"hello")
    >>> backlog.start, backlog.end, backlog.since(102), backlog.since(99), backlog.since(106)
    (100, 105, b'llo', None, None)
    """

    def __init__(self, size: int, start: int = 0) -> None:
        self.size = size  # it may be changed
        self.start = start  # the offset of the first byte that is kept
        self.end = start  # the offset after the last byte
        self._blocks: deque[bytearray] = deque([bytearray()])

    def append(self, data: bytes) -> None:
        """Add bytes to the end. `trim` drops old ones."""
        self.end += len(data)
        last = self._blocks[-1]
        space = BLOCK - len(last)
        if len(data) <= space:
            last += data
            return
        last += data[:space]
        self._blocks.extend(bytearray(data[at : at + BLOCK]) for at in range(space, len(data), BLOCK))

    def read(self, offset: int, most: int) -> bytes:
        """Return bytes from `offset` on, which must be kept: at most this many, and b"" only at the end."""
        at, skipped = divmod(offset - self.start, BLOCK)
        pieces, missing = [], min(most, self.end - offset)
        while missing > 0:
            piece = self._blocks[at][skipped : skipped + missing]
            pieces.append(piece)
            at, skipped, missing = at + 1, 0, missing - len(piece)
        return b"".join(pieces)

    def since(self, offset: int) -> bytes | None:
        """Return all bytes from `offset` on; None if the first of them is not kept any more, or not there yet."""
        return self.read(offset, self.end - offset) if self.start <= offset <= self.end else None

    @property
    def excess(self) -> bool:
        """Whether the first block is not needed to have `size` bytes."""
        return self.end - self.start - BLOCK > max(self.size, LEAST)

    def trim(self, needed: int) -> None:
        """Drop the first blocks, as long as there is an `excess`, and no byte from the offset `needed` on."""
        while self.excess and self.start + BLOCK <= needed:
            self._blocks.popleft()
            self.start += BLOCK
