"""Publish and subscribe: which clients are subscribed to which channels. None of it is data, so none is logged."""

from collections import OrderedDict

from ..protocol.pattern import Glob
from ..protocol.writer import Push
from .client import Client


class Hub:
    """Channels and patterns, each with its subscribers in the order in which they subscribed."""

    def __init__(self) -> None:
        self.channels: dict[bytes, dict[Client, None]] = {}
        self.patterns: dict[bytes, dict[Client, None]] = {}
        self.globs: OrderedDict[bytes, Glob] = OrderedDict()  # iterating over a plain dict also visits removed entries

    def subscribe(self, client: Client, name: bytes, pattern: bool) -> None:
        """Subscribe the client to the channel `name`, or to all channels that match the pattern `name`."""
        if pattern and name not in self.patterns:
            self.globs[name] = Glob(name)
        self._subscribers(pattern).setdefault(name, {})[client] = None
        self._subscriptions(client, pattern)[name] = None

    def unsubscribe(self, client: Client, name: bytes, pattern: bool) -> None:
        """Unsubscribe the client from the channel or pattern `name`."""
        self._subscriptions(client, pattern).pop(name, None)
        table = self._subscribers(pattern)
        if name in table:
            table[name].pop(client, None)
            if not table[name]:
                del table[name]
                if pattern:
                    del self.globs[name]

    def leave(self, client: Client) -> None:
        """Unsubscribe the client from everything."""
        for pattern in (False, True):
            for name in list(self._subscriptions(client, pattern)):
                self.unsubscribe(client, name, pattern)

    def publish(self, channel: bytes, message: bytes) -> int:
        """Send a message to all subscribers of a channel; return how many times it was sent."""
        count = 0
        for client in list(self.channels.get(channel, ())):  # copies: `deliver` disconnects clients that do not read
            client.deliver(Push([b"message", channel, message]))
            count += 1
        for pattern, glob in list(self.globs.items()):
            if glob(channel):
                for client in list(self.patterns.get(pattern, ())):
                    client.deliver(Push([b"pmessage", pattern, channel, message]))
                    count += 1
        return count

    def _subscribers(self, pattern: bool) -> dict[bytes, dict[Client, None]]:
        return self.patterns if pattern else self.channels

    def _subscriptions(self, client: Client, pattern: bool) -> dict[bytes, None]:
        return client.patterns if pattern else client.channels
