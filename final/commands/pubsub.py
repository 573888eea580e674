"""Commands for publish and subscribe."""

from ..data.store import Store
from ..data.unit import NO_EVENT, Message
from ..engine.client import Client
from ..engine.command import (
    CHANNEL,
    CHANNEL_PATTERNS,
    CHANNELS,
    FAST,
    LOADING,
    MAY_REPLICATE,
    NOSCRIPT,
    PUBSUB,
    STALE,
    WHILE_SUBSCRIBED,
    Group,
)
from ..engine.context import Engine
from ..engine.signature import command
from ..protocol.pattern import Glob
from ..protocol.writer import NO_REPLY, Push, Value

GROUP = Group("pubsub", "", "g")


def change(engine: Engine, client: Client, names: tuple[bytes, ...], arg: bytes) -> Value:
    """Subscribe or unsubscribe, as `arg` says; send a push for each name, with the new number of subscriptions.

    There is no reply, so CLIENT REPLY OFF mutes nothing.
    """
    pattern = arg.startswith(b"p")
    method = engine.pubsub.unsubscribe if b"un" in arg else engine.pubsub.subscribe
    for name in names:
        method(client, name, pattern)
        client.deliver(Push([arg, name, len(client.channels) + len(client.patterns)]))
    if not names:
        client.deliver(Push([arg, None, len(client.channels) + len(client.patterns)]))
    return NO_REPLY


@command(PUBSUB, NOSCRIPT, LOADING, STALE, WHILE_SUBSCRIBED, CHANNELS)
def subscribe(engine: Engine, client: Client, channel: bytes, *channels: bytes) -> Value:
    """SUBSCRIBE channel [channel ...]: receive what is published on the channels."""
    return change(engine, client, (channel, *channels), b"subscribe")


@command(PUBSUB, NOSCRIPT, LOADING, STALE, WHILE_SUBSCRIBED)
def unsubscribe(engine: Engine, client: Client, *channels: bytes) -> Value:
    """UNSUBSCRIBE [channel ...]: end the subscriptions to these channels, or to all."""
    return change(engine, client, channels or tuple(client.channels), b"unsubscribe")


@command(PUBSUB, NOSCRIPT, LOADING, STALE, WHILE_SUBSCRIBED, CHANNEL_PATTERNS)
def psubscribe(engine: Engine, client: Client, pattern: bytes, *patterns: bytes) -> Value:
    """PSUBSCRIBE pattern [pattern ...]: receive what is published on channels that match a pattern."""
    return change(engine, client, (pattern, *patterns), b"psubscribe")


@command(PUBSUB, NOSCRIPT, LOADING, STALE, WHILE_SUBSCRIBED)
def punsubscribe(engine: Engine, client: Client, *patterns: bytes) -> Value:
    """PUNSUBSCRIBE [pattern ...]: end the subscriptions to these patterns, or to all."""
    return change(engine, client, patterns or tuple(client.patterns), b"punsubscribe")


@command(PUBSUB, LOADING, STALE, FAST, MAY_REPLICATE, CHANNEL)
def publish(db: Store, engine: Engine, channel: bytes, message: bytes) -> Value:
    """PUBLISH channel message: send the message to all subscribers; answer with the number of receivers."""
    if engine.primary.feeding:
        db.unit.notes.append(Message(db, (), (b"PUBLISH", channel, message), NO_EVENT))
    return engine.pubsub.publish(channel, message)


@command()
def pubsub(subcommand: bytes, *arguments: bytes) -> Value:
    """PUBSUB subcommand [argument ...]: inspect the subscriptions; see the subcommands."""


@command(PUBSUB, LOADING, STALE, of="pubsub")
def pubsub_channels(engine: Engine, pattern: bytes | None = None) -> Value:
    """PUBSUB CHANNELS [pattern]: answer with the channels that have subscribers, or those that match."""
    return list(engine.pubsub.channels if pattern is None else filter(Glob(pattern), engine.pubsub.channels))


@command(PUBSUB, LOADING, STALE, of="pubsub")
def pubsub_numsub(engine: Engine, *channels: bytes) -> Value:
    """PUBSUB NUMSUB [channel ...]: answer with each channel and its number of subscribers."""
    return [arg for name in channels for arg in (name, len(engine.pubsub.channels.get(name, ())))]


@command(PUBSUB, LOADING, STALE, of="pubsub")
def pubsub_numpat(engine: Engine) -> Value:
    """PUBSUB NUMPAT: answer with the number of patterns that have subscribers."""
    return len(engine.pubsub.patterns)
