"""Publish and subscribe: messages to whom it may concern. None of it is data, so none of it is kept or logged."""

from client import Client
from command import command
from errors import unknown_subcommand, wrong_number_of_arguments
from pattern import matcher
from writer import Push, Replies, Value

Topic = tuple[bytes, bytes]  # what one subscribes to: b"channel" or b"pattern", and its name


class PubSub:
    """Who is subscribed to what: for each topic its subscribers, for each client its topics (`client.topics`).

    >>> pubsub, client = PubSub(), Client(id=1, deliver=print)
    >>> pubsub.subscribe(client, (b"channel", b"news"))
    >>> pubsub.subscribe(client, (b"pattern", b"n*"))
    >>> pubsub.publish(b"news", b"hi"), pubsub.publish(b"weather", b"rain")
    [b'message', b'news', b'hi']
    [b'pmessage', b'n*', b'news', b'hi']
    (2, 0)
    >>> pubsub.unsubscribe(client, (b"channel", b"news"))
    >>> client.topics, list(pubsub.subscribers)
    ({(b'pattern', b'n*'): None}, [(b'pattern', b'n*')])
    """

    def __init__(self) -> None:
        self.subscribers: dict[Topic, dict[Client, None]] = {}  # in the order in which they came; none is empty

    def subscribe(self, client: Client, topic: Topic) -> None:
        """Subscribe a client to a topic. If it is subscribed already, nothing changes."""
        self.subscribers.setdefault(topic, {})[client] = None
        client.topics[topic] = None

    def unsubscribe(self, client: Client, topic: Topic) -> None:
        """End a subscription, if there is one. A topic without subscribers is forgotten."""
        if topic in client.topics:
            del client.topics[topic], self.subscribers[topic][client]
            if not self.subscribers[topic]:
                del self.subscribers[topic]

    def leave(self, client: Client) -> None:
        """End all subscriptions of a client."""
        for topic in list(client.topics):
            self.unsubscribe(client, topic)

    def publish(self, channel: bytes, message: bytes) -> int:
        """Have a Push delivered to each subscriber; return how many were delivered.

        It is `message`, the channel and the message for a client that is subscribed to the channel; and `pmessage`, the
        pattern, the channel and the message for each pattern of a client that matches the channel (`matcher`). Who is
        subscribed to both has both. Channels come before patterns.
        """
        count = 0
        for client in self.subscribers.get((b"channel", channel), ()):
            client.deliver(Push([b"message", channel, message]))
            count += 1
        for (kind, name), clients in self.subscribers.items():
            if kind == b"pattern" and matcher(name)(channel):
                for client in clients:
                    client.deliver(Push([b"pmessage", name, channel, message]))
                    count += 1
        return count


def change(pubsub: PubSub, client: Client, kind: bytes, verb: bytes, names: tuple[bytes, ...]) -> Value:
    """Subscribe to topics of a kind, or unsubscribe, as `verb` ends in `unsubscribe` or not; return Replies.

    One reply for each name, as it is done: a Push of the verb, the name, and the number of the client's topics now. If
    there are no names, one Push with None for the name.

    >>> change(PubSub(), Client(id=1), b"channel", b"subscribe", (b"a", b"b"))
    [[b'subscribe', b'a', 1], [b'subscribe', b'b', 2]]
    >>> change(PubSub(), Client(id=1), b"pattern", b"punsubscribe", ())
    [[b'punsubscribe', None, 0]]
    """
    replies = Replies()
    act = pubsub.unsubscribe if verb.endswith(b"unsubscribe") else pubsub.subscribe
    for name in names:
        act(client, (kind, name))
        replies.append(Push([verb, name, len(client.topics)]))
    return replies or Replies([Push([verb, None, len(client.topics)])])


@command
def subscribe(pubsub: PubSub, client: Client, channel: bytes, *channels: bytes) -> Value:
    """SUBSCRIBE channel [channel ...]: receive what is published on the channels."""
    return change(pubsub, client, b"channel", b"subscribe", (channel, *channels))


@command
def unsubscribe(pubsub: PubSub, client: Client, *channels: bytes) -> Value:
    """UNSUBSCRIBE [channel ...]: end subscriptions to these channels; without arguments to all channels."""
    return change(pubsub, client, b"channel", b"unsubscribe", channels or names(client, b"channel"))


@command
def psubscribe(pubsub: PubSub, client: Client, pattern: bytes, *patterns: bytes) -> Value:
    """PSUBSCRIBE pattern [pattern ...]: receive what is published on channels that match a pattern."""
    return change(pubsub, client, b"pattern", b"psubscribe", (pattern, *patterns))


@command
def punsubscribe(pubsub: PubSub, client: Client, *patterns: bytes) -> Value:
    """PUNSUBSCRIBE [pattern ...]: end subscriptions to these patterns; without arguments to all patterns."""
    return change(pubsub, client, b"pattern", b"punsubscribe", patterns or names(client, b"pattern"))


def names(client: Client, kind: bytes) -> tuple[bytes, ...]:
    """Return the names of a client's topics of a kind."""
    return tuple(name for each, name in client.topics if each == kind)


@command
def publish(pubsub: PubSub, channel: bytes, message: bytes) -> Value:
    """PUBLISH channel message: send the message to all subscribers; answer with how many that were."""
    return pubsub.publish(channel, message)


@command
def pubsub(pubsub: PubSub, subcommand: bytes, *arguments: bytes) -> Value:
    """PUBSUB CHANNELS [pattern] | NUMSUB [channel ...] | NUMPAT: answer to who asks about subscriptions.

    CHANNELS answers with the channels that have subscribers; with a pattern, only with those that match it. NUMSUB
    answers with an array of channel, number of its subscribers, channel, number … for the channels that are named.
    NUMPAT answers with the number of patterns that have subscribers.

    The subcommand may be in upper or lower case. Raises `wrong_number_of_arguments`, here of `pubsub|channels` and
    `pubsub|numpat`, for one of these with too many arguments, and `unknown_subcommand` for any other.
    """
    match [subcommand.lower(), *arguments]:
        case [b"channels"]:
            return [name for kind, name in pubsub.subscribers if kind == b"channel"]
        case [b"channels", pattern]:
            return [name for kind, name in pubsub.subscribers if kind == b"channel" and matcher(pattern)(name)]
        case [b"numsub", *channels]:
            return [each for name in channels for each in (name, len(pubsub.subscribers.get((b"channel", name), ())))]
        case [b"numpat"]:
            return sum(kind == b"pattern" for kind, _ in pubsub.subscribers)
        case [b"channels" | b"numpat" as name, *_]:
            raise wrong_number_of_arguments(f"pubsub|{name.decode()}")
        case _:
            raise unknown_subcommand("PUBSUB", subcommand)
