"""Whether a connection reads from its client: not from one that sends faster than it is served."""

from .connection_state import CLOSING
from .sending import CHUNK, LARGE_CHUNK, SMALL, Sending


class Reading(Sending):
    """The receiving half of a connection, as far as it limits what is received."""

    reading = True  # the transport reads from the client

    @property
    def should_read(self) -> bool:
        """Return whether to read from the client: not while it is choked, or queued with more than SMALL bytes."""
        waits = self in self.iteration.queue  # type: ignore[comparison-overlap]  # a connection is Served
        return not (self.choked or (self.reader.held > SMALL and waits))

    def update_reading(self) -> None:
        """Read from the client or stop reading, as `should_read` says."""
        if self.reading is self.should_read or self.state is CLOSING or self.transport.is_closing():
            return
        self.reading = not self.reading
        if self.reading:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def set_chunk(self) -> None:
        """Set how many bytes one read returns at most: more in the middle of a large argument."""
        if hasattr(self.transport, "max_size"):  # asyncio's own reads 256 KiB at once: too long for other clients
            self.transport.max_size = LARGE_CHUNK if self.reader.awaited > LARGE_CHUNK else CHUNK
