"""What is said over a connection that the server itself has opened, to another server. It knows no socket."""

from typing import Protocol

TIMED_OUT = "timed out"  # a reason of `Conversation.closed`


class Line(Protocol):
    """The connection, as a conversation sees it. What it writes is sent once the log holds what was changed before."""

    @property
    def unsent(self) -> int:
        """The number of bytes that the other server has not taken yet."""

    def write(self, data: bytes) -> None:
        """Send these bytes at the end of this iteration of the event loop."""

    def again(self) -> None:
        """Read nothing more, until in its turn in a later iteration the conversation has `received` b""."""

    def limit_silence(self, milliseconds: int) -> None:
        """Close the connection, with the reason TIMED_OUT, when so long nothing comes and nothing goes; 0: never."""

    def close(self) -> None:
        """Close the connection at once; bytes that were not sent are lost. `closed` is not called."""


class Conversation(Protocol):
    """The other half: what the server does with such a connection. All methods are called by the event loop."""

    def opened(self, line: Line) -> None:
        """The other server has accepted the connection."""

    def received(self, data: bytes) -> None:
        """The other server has sent these bytes."""

    def closed(self, reason: str) -> None:
        """There is no connection, or no more: it could not be opened in time, or was closed by the other side."""


class Dial(Protocol):
    """Opens connections. `net/outgoing.py` has the one of the server; a test may hand in its own."""

    def __call__(self, host: str, port: int, conversation: Conversation, timeout: float) -> None:
        """Open a connection for a conversation, within `timeout` seconds. Return at once."""


def unconnected(host: str, port: int, conversation: Conversation, timeout: float) -> None:
    """Open nothing, in an engine without a server."""
    conversation.closed("no network")
