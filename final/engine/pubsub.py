"""Publish and subscribe: which clients are subscribed to which channels. None of it is data, so none is logged."""

from collections import OrderedDict

from ..protocol.pattern import Glob
from ..protocol.writer import Encoded, Push, encode
from .client import Client

Subscribers = dict[bytes, dict[Client, None]]

# The kinds of subscriptions: the names of the attributes of `PubSub` and of `Client` that have them.
TO_CHANNELS, TO_PATTERNS, TO_SHARD_CHANNELS = KINDS = ("channels", "patterns", "shard_channels")


class PubSub:
    """Channels, patterns and shard channels, each with its subscribers in the order in which they subscribed.

    Shard channels are those that each shard of a cluster has for itself. Without a cluster they are channels of
    their own, and have no patterns.
    """

    def __init__(self) -> None:
        self.channels: Subscribers = {}
        self.patterns: Subscribers = {}
        self.shard_channels: Subscribers = {}
        self.globs: OrderedDict[bytes, Glob] = OrderedDict()  # a dict that shrank is slow to iterate over

    def subscribe(self, client: Client, name: bytes, kind: str) -> None:
        """Subscribe the client to the channel `name`, or to all channels that match the pattern `name`."""
        if kind == TO_PATTERNS and name not in self.patterns:
            self.globs[name] = Glob(name)
        getattr(self, kind).setdefault(name, {})[client] = None
        getattr(client, kind)[name] = None
        client.subscribed = True

    def unsubscribe(self, client: Client, name: bytes, kind: str) -> None:
        """Unsubscribe the client from the channel or pattern `name`."""
        getattr(client, kind).pop(name, None)
        client.subscribed = any(getattr(client, each) for each in KINDS)
        table: Subscribers = getattr(self, kind)
        if name in table:
            table[name].pop(client, None)
            if not table[name]:
                del table[name]
                if kind == TO_PATTERNS:
                    del self.globs[name]

    def unsubscribe_all(self, client: Client) -> None:
        """Unsubscribe the client from everything."""
        for kind in KINDS:
            for name in list(getattr(client, kind)):
                self.unsubscribe(client, name, kind)

    def publish(self, channel: bytes, message: bytes) -> int:
        """Send a message to all subscribers of a channel; return how many times it was sent."""
        count = send(self.channels.get(channel, {}), [b"message", channel, message])
        for pattern, glob in list(self.globs.items()):
            if glob(channel):
                count += send(self.patterns.get(pattern, {}), [b"pmessage", pattern, channel, message])
        return count

    def publish_to_shard(self, channel: bytes, message: bytes) -> int:
        """Send a message to all subscribers of a shard channel; return how many times it was sent."""
        return send(self.shard_channels.get(channel, {}), [b"smessage", channel, message])


def send(subscribers: dict[Client, None], message: list[bytes]) -> int:
    """Send a message to clients; return how many there are. It is encoded once for all that use the same protocol."""
    clients = list(subscribers)  # a copy: `deliver` disconnects clients that do not read
    encoded: dict[int, Encoded] = {}
    for client in clients:
        if client.protocol not in encoded:
            encoded[client.protocol] = Encoded(encode(Push(message), client.protocol))
        client.deliver(encoded[client.protocol])
    return len(clients)
