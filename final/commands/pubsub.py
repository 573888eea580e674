"""Publish and subscribe."""

from ..engine.client import Client
from ..engine.command import FAST, LOADING, MAY_REPLICATE, NOSCRIPT, PUBSUB, STALE, WHILE_SUBSCRIBED, Group
from ..engine.context import Engine
from ..engine.signature import command
from ..protocol.pattern import Glob
from ..protocol.writer import Push, Replies, Value

GROUP = Group("pubsub", "@pubsub", "g")


def change(engine: Engine, client: Client, names: tuple[bytes, ...], arg: bytes) -> Value:
    """Subscribe or unsubscribe, as `arg` says: one push for each name, with how much is listened to after it."""
    pattern = arg.startswith(b"p")
    method = engine.hub.unsubscribe if b"un" in arg else engine.hub.subscribe
    replies = Replies()
    for name in names:
        method(client, name, pattern)
        replies.append(Push([arg, name, len(client.channels) + len(client.patterns)]))
    return replies or Push([arg, None, len(client.channels) + len(client.patterns)])


@command(PUBSUB, NOSCRIPT, LOADING, STALE, WHILE_SUBSCRIBED)
def subscribe(engine: Engine, client: Client, channel: bytes, *channels: bytes) -> Value:
    """SUBSCRIBE channel [channel ...]: hear what is published on these channels."""
    return change(engine, client, (channel, *channels), b"subscribe")


@command(PUBSUB, NOSCRIPT, LOADING, STALE, WHILE_SUBSCRIBED)
def unsubscribe(engine: Engine, client: Client, *channels: bytes) -> Value:
    """UNSUBSCRIBE [channel ...]: hear them, or any channel, no more."""
    return change(engine, client, channels or tuple(client.channels), b"unsubscribe")


@command(PUBSUB, NOSCRIPT, LOADING, STALE, WHILE_SUBSCRIBED)
def psubscribe(engine: Engine, client: Client, pattern: bytes, *patterns: bytes) -> Value:
    """PSUBSCRIBE pattern [pattern ...]: hear what is published on channels that match."""
    return change(engine, client, (pattern, *patterns), b"psubscribe")


@command(PUBSUB, NOSCRIPT, LOADING, STALE, WHILE_SUBSCRIBED)
def punsubscribe(engine: Engine, client: Client, *patterns: bytes) -> Value:
    """PUNSUBSCRIBE [pattern ...]: hear them, or any pattern, no more."""
    return change(engine, client, patterns or tuple(client.patterns), b"punsubscribe")


@command(PUBSUB, LOADING, STALE, FAST, MAY_REPLICATE)
def publish(engine: Engine, channel: bytes, message: bytes) -> Value:
    """PUBLISH channel message: send the message to who listens; answer with how many times it was sent."""
    return engine.hub.publish(channel, message)


@command()
def pubsub(subcommand: bytes, *arguments: bytes) -> Value:
    """PUBSUB subcommand [argument ...]: who listens to what. See the subcommands below."""


@command(PUBSUB, LOADING, STALE, of="pubsub")
def pubsub_channels(engine: Engine, pattern: bytes | None = None) -> Value:
    """PUBSUB CHANNELS [pattern]: answer with the channels that someone listens to."""
    return list(engine.hub.channels if pattern is None else filter(Glob(pattern), engine.hub.channels))


@command(PUBSUB, LOADING, STALE, of="pubsub")
def pubsub_numsub(engine: Engine, *channels: bytes) -> Value:
    """PUBSUB NUMSUB [channel ...]: answer with each channel and how many listen to it."""
    return [arg for name in channels for arg in (name, len(engine.hub.channels.get(name, ())))]


@command(PUBSUB, LOADING, STALE, of="pubsub")
def pubsub_numpat(engine: Engine) -> Value:
    """PUBSUB NUMPAT: answer with the number of patterns that someone listens to."""
    return len(engine.hub.patterns)
