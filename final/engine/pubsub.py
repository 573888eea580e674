"""Publish and subscribe: which clients listen to which channels. Nothing of it is kept, so nothing is logged."""

from collections import OrderedDict

from ..protocol.pattern import Glob
from ..protocol.writer import Push
from .client import Client


class Hub:
    """Channels and patterns, each with the clients that listen, in the order in which they came."""

    def __init__(self) -> None:
        self.channels: dict[bytes, dict[Client, None]] = {}
        self.patterns: dict[bytes, dict[Client, None]] = {}
        self.globs: OrderedDict[bytes, Glob] = OrderedDict()  # a plain dict walks over those that have gone, too

    def subscribe(self, client: Client, name: bytes, pattern: bool) -> None:
        """Have the client hear what is published on a channel, or on all channels that match a pattern."""
        if pattern and name not in self.patterns:
            self.globs[name] = Glob(name)
        self._table(pattern).setdefault(name, {})[client] = None
        self._own(client, pattern)[name] = None

    def unsubscribe(self, client: Client, name: bytes, pattern: bool) -> None:
        """Have the client hear it no more."""
        self._own(client, pattern).pop(name, None)
        table = self._table(pattern)
        if name in table:
            table[name].pop(client, None)
            if not table[name]:
                del table[name]
                if pattern:
                    del self.globs[name]

    def leave(self, client: Client) -> None:
        """The client has gone, or wants to hear nothing more."""
        for pattern in (False, True):
            for name in list(self._own(client, pattern)):
                self.unsubscribe(client, name, pattern)

    def publish(self, channel: bytes, message: bytes) -> int:
        """Send a message to everyone who listens; tell how many times it was sent."""
        count = 0
        for client in list(self.channels.get(channel, ())):
            client.deliver(Push([b"message", channel, message]))
            count += 1
        for pattern, glob in list(self.globs.items()):
            if glob(channel):
                for client in list(self.patterns.get(pattern, ())):  # who does not read is cut off meanwhile
                    client.deliver(Push([b"pmessage", pattern, channel, message]))
                    count += 1
        return count

    def _table(self, pattern: bool) -> dict[bytes, dict[Client, None]]:
        return self.patterns if pattern else self.channels

    def _own(self, client: Client, pattern: bool) -> dict[bytes, None]:
        return client.patterns if pattern else client.channels
