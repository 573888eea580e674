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
from ..engine.key_specs import NOT_KEY
from ..engine.pubsub import TO_CHANNELS, TO_PATTERNS, TO_SHARD_CHANNELS, Subscribers
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError
from ..protocol.pattern import Glob
from ..protocol.writer import NO_REPLY, Push, Value

GROUP = Group("pubsub", "", "g")


def change(engine: Engine, client: Client, kind: str, names: tuple[bytes, ...], arg: bytes) -> Value:
    """Subscribe or unsubscribe, as `arg` says; send a push for each name, with the new number of subscriptions.

    There is no reply, so CLIENT REPLY OFF mutes nothing.
    """
    method = engine.pubsub.unsubscribe if b"un" in arg else engine.pubsub.subscribe
    for name in names:
        method(client, name, kind)
        client.deliver(Push([arg, name, count(client, kind)]))
    if not names:
        client.deliver(Push([arg, None, count(client, kind)]))
    return NO_REPLY


def count(client: Client, kind: str) -> int:
    """Return the number of a client's subscriptions: to channels and patterns together, or to shard channels."""
    return len(client.shard_channels) if kind == TO_SHARD_CHANNELS else len(client.channels) + len(client.patterns)


@command(PUBSUB, NOSCRIPT, LOADING, STALE, WHILE_SUBSCRIBED, CHANNELS)
@complexity("O(N) for N channels")
def subscribe(engine: Engine, client: Client, channel: bytes, *channels: bytes) -> Value:
    """SUBSCRIBE channel [channel ...]: receive what is published on the channels."""
    return change(engine, client, TO_CHANNELS, (channel, *channels), b"subscribe")


@command(PUBSUB, NOSCRIPT, LOADING, STALE, WHILE_SUBSCRIBED)
@complexity("O(N) for N channels of the client")
def unsubscribe(engine: Engine, client: Client, *channels: bytes) -> Value:
    """UNSUBSCRIBE [channel ...]: end the subscriptions to these channels, or to all."""
    return change(engine, client, TO_CHANNELS, channels or tuple(client.channels), b"unsubscribe")


@command(PUBSUB, NOSCRIPT, LOADING, STALE, WHILE_SUBSCRIBED, CHANNEL_PATTERNS)
@complexity("O(N) for N patterns of the client")
def psubscribe(engine: Engine, client: Client, pattern: bytes, *patterns: bytes) -> Value:
    """PSUBSCRIBE pattern [pattern ...]: receive what is published on channels that match a pattern."""
    return change(engine, client, TO_PATTERNS, (pattern, *patterns), b"psubscribe")


@command(PUBSUB, NOSCRIPT, LOADING, STALE, WHILE_SUBSCRIBED)
@complexity("O(N+M) for N patterns of the client, M of all clients")
def punsubscribe(engine: Engine, client: Client, *patterns: bytes) -> Value:
    """PUNSUBSCRIBE [pattern ...]: end the subscriptions to these patterns, or to all."""
    return change(engine, client, TO_PATTERNS, patterns or tuple(client.patterns), b"punsubscribe")


@command(PUBSUB, LOADING, STALE, FAST, MAY_REPLICATE, CHANNEL)
@complexity("O(N+M) for N subscribers of the channel, M patterns of all clients")
def publish(db: Store, engine: Engine, channel: bytes, message: bytes) -> Value:
    """PUBLISH channel message: send the message to all subscribers; answer with the number of receivers."""
    if engine.primary.feeding:
        db.unit.notes.append(Message(db, (), (b"PUBLISH", channel, message), NO_EVENT))
    return engine.pubsub.publish(channel, message)


@command(PUBSUB, NOSCRIPT, LOADING, STALE, WHILE_SUBSCRIBED, CHANNELS, keys=NOT_KEY)
@complexity("O(N) for N channels")
def ssubscribe(engine: Engine, client: Client, key: bytes, *keys: bytes) -> Value:
    """SSUBSCRIBE shardchannel [shardchannel ...]: receive what SPUBLISH publishes on the shard channels."""
    if client.deny_blocking:
        raise ReplyError("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client")
    return change(engine, client, TO_SHARD_CHANNELS, (key, *keys), b"ssubscribe")


@command(PUBSUB, NOSCRIPT, LOADING, STALE, WHILE_SUBSCRIBED, keys=NOT_KEY)
@complexity("O(N) for N channels of the client")
def sunsubscribe(engine: Engine, client: Client, *keys: bytes) -> Value:
    """SUNSUBSCRIBE [shardchannel ...]: end the subscriptions to these shard channels, or to all."""
    return change(engine, client, TO_SHARD_CHANNELS, keys or tuple(client.shard_channels), b"sunsubscribe")


@command(PUBSUB, LOADING, STALE, FAST, MAY_REPLICATE, CHANNEL, keys=NOT_KEY)
@complexity("O(N) for N subscribers of the channel")
def spublish(db: Store, engine: Engine, key: bytes, message: bytes) -> Value:
    """SPUBLISH shardchannel message: send the message to all subscribers of the shard channel; answer with how many."""
    if engine.primary.feeding:
        db.unit.notes.append(Message(db, (), (b"SPUBLISH", key, message), NO_EVENT))
    return engine.pubsub.publish_to_shard(key, message)


@command()
def pubsub(subcommand: bytes, *arguments: bytes) -> Value:
    """PUBSUB subcommand [argument ...]: inspect the subscriptions; see the subcommands."""


@command(PUBSUB, LOADING, STALE, of="pubsub")
@complexity("O(N) for N channels")
def pubsub_channels(engine: Engine, pattern: bytes | None = None) -> Value:
    """PUBSUB CHANNELS [pattern]: answer with the channels that have subscribers, or those that match."""
    return matching(engine.pubsub.channels, pattern)


def matching(channels: Subscribers, pattern: bytes | None) -> Value:
    """Return the channels, or those that match a pattern."""
    return list(channels if pattern is None else filter(Glob(pattern), channels))


@command(PUBSUB, LOADING, STALE, of="pubsub")
@complexity("O(N) for N channels")
def pubsub_numsub(engine: Engine, *channels: bytes) -> Value:
    """PUBSUB NUMSUB [channel ...]: answer with each channel and its number of subscribers."""
    return counted(engine.pubsub.channels, channels)


def counted(subscribers: Subscribers, channels: tuple[bytes, ...]) -> Value:
    """Return each of the channels and the number of its subscribers."""
    return [arg for name in channels for arg in (name, len(subscribers.get(name, ())))]


@command(PUBSUB, LOADING, STALE, of="pubsub")
@complexity("O(N) for N channels")
def pubsub_shardchannels(engine: Engine, pattern: bytes | None = None) -> Value:
    """PUBSUB SHARDCHANNELS [pattern]: answer with the shard channels that have subscribers, or those that match."""
    return matching(engine.pubsub.shard_channels, pattern)


@command(PUBSUB, LOADING, STALE, of="pubsub")
@complexity("O(N) for N channels")
def pubsub_shardnumsub(engine: Engine, *channels: bytes) -> Value:
    """PUBSUB SHARDNUMSUB [shardchannel ...]: answer with each shard channel and its number of subscribers."""
    return counted(engine.pubsub.shard_channels, channels)


@command(PUBSUB, LOADING, STALE, of="pubsub")
def pubsub_numpat(engine: Engine) -> Value:
    """PUBSUB NUMPAT: answer with the number of patterns that have subscribers."""
    return len(engine.pubsub.patterns)
