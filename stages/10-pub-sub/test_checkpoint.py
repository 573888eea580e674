"""Checkpoint 10: a message reaches all who have subscribed, at once, and nobody else; who does not read is cut off."""

from __future__ import annotations

import select
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.harness.checkpoint import Dice, Modules, step
from stages.harness.log import has_records, log_of, logged, settle
from stages.harness.server import Server
from stages.harness.target import Target
from stages.harness.wire import Client, Reply, parse, request

Start = Callable[..., Server]
Connect = Callable[[], Client]

OK, PONG, QUEUED = b"+OK\r\n", b"+PONG\r\n", b"+QUEUED\r\n"
PING = request("PING")
MIB = 1 << 20
MANY = 100  # round trips after which a server has noticed that another connection has ended
TABLES = """
from client import Client
from pubsub import PubSub

pubsub, alice, bob = PubSub(), Client(id=1), Client(id=2)
names = {alice: "alice", bob: "bob"}
news, sport, pattern = (b"channel", b"news"), (b"channel", b"sport"), (b"pattern", b"news")

def tables():
    left = {topic: [names[each] for each in clients] for topic, clients in pubsub.subscribers.items()}
    return left, {names[each]: list(each.topics) for each in names}
"""
"""What the checks of the two tables begin with; `tables()` shows both as plain data."""


def bulk(value: bytes | str) -> bytes:
    """Encode a bulk string."""
    return request(value)[4:]


def integer(number: int) -> bytes:
    """Encode an integer."""
    return b":%d\r\n" % number


def push(*items: bytes | str | int | None, sign: bytes = b"*") -> bytes:
    """Encode a message as a client in RESP2 receives it; with the sign `>` as one in RESP3 does."""
    null = b"$-1\r\n" if sign == b"*" else b"_\r\n"
    encoded = [null if item is None else integer(item) if isinstance(item, int) else bulk(item) for item in items]
    return b"%b%d\r\n%b" % (sign, len(items), b"".join(encoded))


def message(channel: bytes, text: bytes | str, sign: bytes = b"*") -> bytes:
    """Encode what a subscriber of a channel receives."""
    return push("message", channel, text, sign=sign)


def subscribed(connect: Connect, *channels: bytes, verb: str = "subscribe") -> Client:
    """Connect, and subscribe to channels, or to patterns."""
    client = connect()
    client.check(request(verb, *channels), b"".join(push(verb, each, i) for i, each in enumerate(channels, 1)))
    return client


def resp3(connect: Connect) -> Client:
    """Connect, and change to RESP3."""
    client = connect()
    client.ask("HELLO", 3)
    return client


def replies(client: Client, count: int) -> list[Reply]:
    """Read that many replies."""
    return [parse(client.read_reply())[0] for _ in range(count)]


def number(client: Client, *args: bytes | str | int) -> int:
    """Ask for an integer."""
    reply = client.ask(*args)
    assert isinstance(reply, int), f"{args[0]!r} was answered with {reply!r}, not with an integer"
    return reply


def nobody_hears(client: Client, channel: bytes, why: str) -> None:
    """Publish until nobody is subscribed any more: a server that has answered so often has seen who has gone."""
    for _ in range(MANY):
        if not number(client, "PUBLISH", channel, "anybody?"):
            return
        time.sleep(0.005)
    raise AssertionError(why)


def skip_bytes(client: Client, count: int) -> int:
    """Receive up to that many bytes, forget them, and return how many came before the end of the connection."""
    left = count
    while left and select.select([client.socket], [], [], client.patience.seconds)[0]:
        try:
            data = client.socket.recv(min(left, MIB))
        except ConnectionResetError:
            break
        if not data:
            break
        left -= len(data)
    return count - left


@pytest.fixture
def modules(modules: Modules, target: Target) -> Modules:
    """Look into the target's modules; not into those of `final/`, which have grown out of the form they have here."""
    if target.is_final:
        pytest.skip("final/ has grown out of the form that its modules have here")
    return modules


# What is no reply


@step(1)
@pytest.mark.read("Step 1: what is no reply")
def test_replies_are_written_one_after_the_other(modules: Modules) -> None:
    """`encode` writes each item of Replies, one behind the other, with no array around them.
    The result has the bytes in RESP2, then in RESP3.

    A `Replies` is a list, too. The first `case` that fits is taken: ask for `Replies()` before `list()`.

    Each item is written by `encode` in the same protocol: a null inside is `$-1` in RESP2 and `_` in RESP3.
    """
    modules.check(
        """
        from writer import Replies, encode

        value = Replies([1, "OK", [b"a", None], None])
        result = [encode(value), encode(value, 3), encode(Replies()), encode(Replies([[]]))]
        """,
        [
            b":1\r\n+OK\r\n*2\r\n$1\r\na\r\n$-1\r\n$-1\r\n",
            b":1\r\n+OK\r\n*2\r\n$1\r\na\r\n_\r\n_\r\n",
            b"",
            b"*0\r\n",
        ],
    )


@step(1)
@pytest.mark.read("Step 1: what is no reply")
def test_a_push_has_a_sign_of_its_own_in_resp3_and_is_an_array_in_resp2(modules: Modules) -> None:
    """`encode` writes a Push like an array; in RESP3 its sign is `>`, also inside Replies.
    The result has the bytes in RESP2, then in RESP3; then two of them in Replies, in RESP3.

    RESP2 has no pushes: there it is a plain array, `*`. `case Push() if resp3` fits only in RESP3.

    `_aggregate(b">", value, protocol)` does the rest, if it comes before `list()`.
    """
    modules.check(
        """
        from writer import Push, Replies, encode

        value = Push([b"message", None, 7])
        result = [encode(value), encode(value, 3), encode(Replies([value, value]), 3)]
        """,
        [
            b"*3\r\n$7\r\nmessage\r\n$-1\r\n:7\r\n",
            b">3\r\n$7\r\nmessage\r\n_\r\n:7\r\n",
            b">3\r\n$7\r\nmessage\r\n_\r\n:7\r\n" * 2,
        ],
    )


@step(1)
@pytest.mark.read("Step 1: what is no reply")
def test_a_list_inside_a_push_is_an_array_in_both_protocols(modules: Modules) -> None:
    """A list that is no Push stays an array, also inside a push, and a tuple, too.
    The result has the bytes of a Push with a list inside in RESP3; of a list with a Push inside in RESP2 and RESP3.

    The type of each value decides its sign: `Push` is a class of its own for that.
    """
    modules.check(
        """
        from writer import Push, encode

        result = [encode(Push([[1], (2,)]), 3), encode([Push([1])], 2), encode([Push([1])], 3)]
        """,
        [b">2\r\n*1\r\n:1\r\n*1\r\n:2\r\n", b"*1\r\n*1\r\n:1\r\n", b"*1\r\n>1\r\n:1\r\n"],
    )


# Who is subscribed to what


@step(2)
@pytest.mark.read("Step 2: two tables that mirror each other")
def test_a_subscription_is_in_both_tables(modules: Modules) -> None:
    """`PubSub.subscribe` enters a client at the topic, and the topic at the client; a second time changes nothing.
    The result is `subscribers`, and the `topics` of both clients, after Alice has subscribed to news, the pattern news,
    and news again, and Bob to news and sport.

    `self.subscribers[topic]` is a dictionary of clients, and may be missing: `setdefault(topic, {})`.

    `client.topics` is a dictionary, too, whose values are None: it is a set that keeps its order.
    """
    modules.check(
        TABLES
        + """
for client, topic in ((alice, news), (alice, pattern), (alice, news), (bob, news), (bob, sport)):
    pubsub.subscribe(client, topic)
result = tables()
""",
        (
            {
                (b"channel", b"news"): ["alice", "bob"],
                (b"pattern", b"news"): ["alice"],
                (b"channel", b"sport"): ["bob"],
            },
            {
                "alice": [(b"channel", b"news"), (b"pattern", b"news")],
                "bob": [(b"channel", b"news"), (b"channel", b"sport")],
            },
        ),
    )


@step(2)
@pytest.mark.read("Step 2: two tables that mirror each other")
def test_a_subscription_ends_in_both_tables_and_a_topic_without_subscribers_is_forgotten(modules: Modules) -> None:
    """`PubSub.unsubscribe` takes a subscription out of both tables; where there is none, nothing happens.
    Alice and Bob are subscribed to news, Bob to sport. The result is both tables after Alice has left news, and after
    she has left it again, and sport, to which she was never subscribed; then after Bob has left both.

    When the last subscriber has gone, `del self.subscribers[topic]`: else there is one more entry for each channel that
    was ever used, and that is for ever.

    Is there a KeyError? Ask `topic in client.topics` first: nobody must die because he leaves what he is not in.
    """
    modules.check(
        TABLES
        + """
for client, topic in ((alice, news), (bob, news), (bob, sport)):
    pubsub.subscribe(client, topic)
pubsub.unsubscribe(alice, news)
result = [tables()]
pubsub.unsubscribe(alice, news), pubsub.unsubscribe(alice, sport)
result.append(tables())
pubsub.unsubscribe(bob, news), pubsub.unsubscribe(bob, sport)
result.append(tables())
""",
        [
            *[
                (
                    {(b"channel", b"news"): ["bob"], (b"channel", b"sport"): ["bob"]},
                    {"alice": [], "bob": [(b"channel", b"news"), (b"channel", b"sport")]},
                )
            ]
            * 2,
            ({}, {"alice": [], "bob": []}),
        ],
    )


@step(2)
@pytest.mark.read("Step 2: two tables that mirror each other")
def test_each_channel_is_answered_on_its_own_with_the_number_of_subscriptions(client: Client, rng: Dice) -> None:
    """SUBSCRIBE with three channels is answered three times: `subscribe`, the channel, and the number until then.

    Does the connection end, with a KeyError? `Engine.run` has to hand in `self.pubsub` for the type PubSub.

    Is it an array of three arrays? Return `Replies`, and a `Push` in it for each name.

    Is the number 3 in each? Take `len(client.topics)` after each subscription, not at the end.
    """
    one, two, three, four = (rng.key() for _ in range(4))
    expected = push("subscribe", one, 1) + push("subscribe", two, 2) + push("subscribe", three, 3)
    client.check(request("SUBSCRIBE", one, two, three), expected)
    client.check(request("SUBSCRIBE", four), push("subscribe", four, 4))


@step(2)
@pytest.mark.read("Step 2: two tables that mirror each other")
def test_subscribing_again_is_answered_and_counts_once(client: Client, rng: Dice) -> None:
    """Who is subscribed already is answered like the first time, with the number of subscriptions, which stays.

    Each name has its reply, whether something has changed or not.
    """
    one, two = rng.key(), rng.key()
    expected = push("subscribe", one, 1) * 2 + push("subscribe", two, 2) + push("subscribe", one, 2)
    client.check(request("SUBSCRIBE", one, one, two) + request("SUBSCRIBE", one), expected)


@step(2)
@pytest.mark.read("Step 2: two tables that mirror each other")
def test_channels_and_patterns_are_counted_together(client: Client, rng: Dice) -> None:
    """The number in the replies is that of channels and patterns; a channel and a pattern of one name are two.

    A topic is a pair of the kind and the name: `(kind, name)`.

    The reply begins with the verb: `subscribe`, `psubscribe`, `unsubscribe` or `punsubscribe`.
    """
    name, other = rng.key(), rng.key()
    client.check(request("SUBSCRIBE", name), push("subscribe", name, 1))
    expected = push("psubscribe", name, 2) + push("psubscribe", other, 3)
    client.check(request("PSUBSCRIBE", name, other), expected)
    client.check(request("UNSUBSCRIBE", name), push("unsubscribe", name, 2))
    client.check(request("SUBSCRIBE", other), push("subscribe", other, 3))
    client.check(request("PUNSUBSCRIBE", other), push("punsubscribe", other, 2))


@step(2)
@pytest.mark.read("Step 2: two tables that mirror each other")
def test_who_leaves_what_it_is_not_in_is_answered_as_well(client: Client, rng: Dice) -> None:
    """UNSUBSCRIBE from a channel that one is not subscribed to is answered with the number of subscriptions.

    Is the connection closed? `del` raises KeyError for what is not there.

    A pattern of that name is another topic, and stays.
    """
    one, two = rng.key(), rng.key()
    client.check(request("UNSUBSCRIBE", one, two), push("unsubscribe", one, 0) + push("unsubscribe", two, 0))
    client.check(request("PSUBSCRIBE", one), push("psubscribe", one, 1))
    client.check(request("UNSUBSCRIBE", one), push("unsubscribe", one, 1))
    client.check(request("SUBSCRIBE", two), push("subscribe", two, 2))
    client.check(request("PUNSUBSCRIBE", two), push("punsubscribe", two, 2))
    client.check(request("UNSUBSCRIBE", two, two), push("unsubscribe", two, 1) * 2)


@step(2)
@pytest.mark.read("Step 2: two tables that mirror each other")
def test_unsubscribe_with_nothing_to_end_is_answered_with_null(client: Client) -> None:
    """UNSUBSCRIBE without arguments, of a client without subscriptions, is answered once, with null for the channel.

    Is there no answer? Each request needs one. An empty Replies writes nothing at all.

    `replies or Replies([…])`: one Push with None.
    """
    client.check(request("UNSUBSCRIBE"), push("unsubscribe", None, 0))
    client.check(request("PUNSUBSCRIBE"), push("punsubscribe", None, 0))


@step(2)
@pytest.mark.read("Step 2: two tables that mirror each other")
@pytest.mark.parametrize("kind", ["channels", "patterns"])
def test_unsubscribe_without_arguments_ends_all_of_a_kind(client: Client, rng: Dice, kind: str) -> None:
    """UNSUBSCRIBE alone ends the subscriptions to all channels, and PUNSUBSCRIBE those to all patterns, in any order.

    `unsubscribe` and `punsubscribe` are given: they call `change` with the names. Has it changed what it iterates over?

    Each of them has its reply, with the number of subscriptions that are left, of both kinds.
    """
    names, other = [rng.key() for _ in range(3)], rng.key()
    verb, rest = ("subscribe", "psubscribe") if kind == "channels" else ("psubscribe", "subscribe")
    undo = verb.replace("subscribe", "unsubscribe")
    client.check(request(rest, other), push(rest, other, 1))
    client.check(request(verb, *names), b"".join(push(verb, each, i) for i, each in enumerate(names, 2)))
    client.send(request(undo))
    got = replies(client, 3)
    sent = f"{verb} with three names, and then {undo} alone"
    ended = sorted([undo.encode(), name] for name in names)
    assert sorted(each[:2] for each in got if isinstance(each, list)) == ended, f"after {sent}: {got}"
    assert [each[2] for each in got if isinstance(each, list)] == [3, 2, 1], f"after {sent}: the numbers in {got}"
    client.check(request(undo), push(undo, None, 1))
    client.check(request(rest, other), push(rest, other, 1))


@step(2)
@pytest.mark.read("Step 2: two tables that mirror each other")
def test_in_resp3_the_replies_are_pushes(connect: Connect, rng: Dice) -> None:
    """In RESP3 each reply to SUBSCRIBE and its kin has the sign `>`.

    Is it `*3` in place of `>3`? Each item of the Replies is a `Push`, not a list.

    That holds for the reply with null, too, if there is nothing to end.
    """
    client, one, two = resp3(connect), rng.key(), rng.key()
    expected = push("subscribe", one, 1, sign=b">") + push("subscribe", two, 2, sign=b">")
    client.check(request("SUBSCRIBE", one, two), expected)
    client.check(request("PSUBSCRIBE", one), push("psubscribe", one, 3, sign=b">"))
    client.check(request("UNSUBSCRIBE", two), push("unsubscribe", two, 2, sign=b">"))
    client.check(request("UNSUBSCRIBE"), push("unsubscribe", one, 1, sign=b">"))
    client.check(request("UNSUBSCRIBE"), push("unsubscribe", None, 1, sign=b">"))


# Publish


@step(3)
@pytest.mark.read("Step 3: publish")
def test_a_message_reaches_all_subscribers_and_nobody_else(client: Client, connect: Connect, rng: Dice) -> None:
    """PUBLISH sends `message`, the channel and the text to each subscriber; its answer is how many that were.
    Three clients are connected, two of them are subscribed to the channel, and one to another channel, too.

    `self.subscribers.get((b"channel", channel), ())` has the clients; each one has a `deliver`.

    Has the publisher received it? Call `deliver` of each subscriber, not of the client that publishes.

    The answer counts clients, not channels.
    """
    one, other = rng.key(), rng.key()
    alice, bob = subscribed(connect, one), subscribed(connect, one, other)
    client.check(request("PUBLISH", one, "hello"), integer(2))
    for each in (alice, bob):
        each.expect(message(one, "hello"))
    client.check(request("PUBLISH", other, "for Bob"), integer(1))
    client.check(request("PUBLISH", one, "again"), integer(2))
    alice.expect(message(one, "again"))
    bob.expect(message(other, "for Bob") + message(one, "again"))


@step(3)
@pytest.mark.read("Step 3: publish")
def test_nobody_keeps_a_message_for_who_comes_later(client: Client, connect: Connect, rng: Dice) -> None:
    """A message to a channel without subscribers is answered with 0, and who subscribes later does not receive it.

    None of it is data. A channel is no key: there may be a string of the same name.
    """
    channel = rng.key()
    client.check(request("SET", channel, "a string"), OK)
    client.check(request("PUBLISH", channel, "too early"), integer(0))
    later = subscribed(connect, channel)
    client.check(request("PUBLISH", channel, "in time"), integer(1))
    later.expect(message(channel, "in time"))
    client.check(request("GET", channel), bulk("a string"))


@step(3)
@pytest.mark.read("Step 3: publish")
@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        (b"*", [b"", b"news", b"a.b"], []),
        (b".tech", [b".tech"], [b".techno", b"xtech", b".TECH"]),
        (b".t?ch", [b".tech", b".t.ch"], [b".tch", b".teech"]),
        (b".t[ae]ch", [b".tach", b".tech"], [b".tich", b".t[ae]ch"]),
        (b".[^x]*", [b".y", b".yx"], [b".x", b".xy", b"."]),
        (b"\\*", [b"*"], [b"a", b"\\*"]),
    ],
)
def test_a_pattern_hears_all_channels_that_match_it(
    client: Client, connect: Connect, rng: Dice, pattern: bytes, matching: list[bytes], others: list[bytes]
) -> None:
    """Who is subscribed to a pattern receives `pmessage`, the pattern, the channel and the text, of all that match.
    Each channel and the pattern begin with the same random name.

    It is `pmessage`, not `message`, and has four items: a client has to know which of its patterns that was.

    `matcher(pattern)` of `pattern.py` returns a function: call it with the channel.
    """
    prefix = rng.key()
    listener = subscribed(connect, prefix + pattern, verb="psubscribe")
    for name in others:
        client.check(request("PUBLISH", prefix + name, "not for it"), integer(0))
    for name in matching:
        client.check(request("PUBLISH", prefix + name, "text"), integer(1))
        listener.expect(push("pmessage", prefix + pattern, prefix + name, "text"))


@step(3)
@pytest.mark.read("Step 3: publish")
def test_who_is_subscribed_to_a_channel_and_to_a_pattern_hears_it_twice(
    client: Client, connect: Connect, rng: Dice
) -> None:
    """The message of the channel comes first, then that of the pattern, and PUBLISH counts both.
    Alice is subscribed to the pattern and to the channel, in this order, Bob to the pattern only.

    PUBLISH counts what it delivers, not the clients.
    """
    channel = rng.key()
    alice, bob = (subscribed(connect, channel + b"*", verb="psubscribe") for _ in range(2))
    alice.check(request("SUBSCRIBE", channel), push("subscribe", channel, 2))
    client.check(request("PUBLISH", channel, "hello"), integer(3))
    by_pattern = push("pmessage", channel + b"*", channel, "hello")
    alice.expect(message(channel, "hello") + by_pattern)
    bob.expect(by_pattern)


@step(3)
@pytest.mark.read("Step 3: publish")
def test_each_pattern_that_matches_has_its_message(client: Client, connect: Connect, rng: Dice) -> None:
    """A client hears a message once for each of its patterns that matches, in any order.

    Do not stop at the first pattern that matches.
    """
    channel = rng.key()
    patterns = [channel, channel + b"*", b"?" + channel[1:], channel + b"x"]
    listener = subscribed(connect, *patterns, verb="psubscribe")
    client.check(request("PUBLISH", channel, "text"), integer(3))
    got = replies(listener, 3)
    expected = Counter((b"pmessage", each, channel, b"text") for each in patterns[:3])
    assert Counter(tuple(each) for each in got if isinstance(each, list)) == expected, f"received: {got}"


@step(3)
@pytest.mark.read("Step 3: publish")
def test_a_channel_with_the_name_of_a_pattern_is_a_channel(client: Client, connect: Connect, rng: Dice) -> None:
    """`SUBSCRIBE news.*` hears only what is published on the channel whose name is `news.*`; PSUBSCRIBE hears more.

    The kind of a topic says whether its name is a pattern. Only for `b"pattern"` ask the matcher.
    """
    name = rng.key()
    listener = subscribed(connect, name + b"*")
    client.check(request("PUBLISH", name + b"x", "not for it"), integer(0))
    client.check(request("PUBLISH", name + b"*", "for it"), integer(1))
    listener.expect(message(name + b"*", "for it"))


@step(3)
@pytest.mark.read("Step 3: publish")
@pytest.mark.parametrize(
    "text", [b"", b"a\r\nb\0\xff", b"*3\r\n", b"x" * 100_000], ids=["empty", "bytes", "RESP", "long"]
)
def test_a_message_is_any_bytes(client: Client, connect: Connect, rng: Dice, text: bytes) -> None:
    """A message may be empty, have any bytes, or be long; so may the name of a channel.

    A message is a bulk string: `encode` writes bytes as that.
    """
    channel = rng.key() + b"\r\n\0\xff"
    listener = subscribed(connect, channel)
    client.check(request("PUBLISH", channel, text), integer(1))
    listener.expect(message(channel, text))


@step(3)
@pytest.mark.read("Step 3: publish")
def test_messages_come_once_and_in_their_order(client: Client, connect: Connect, rng: Dice) -> None:
    """Of a thousand messages, published in one chunk, each comes once, and in order, also to who subscribed twice.

    Has a client that subscribed twice two messages? It must be in the table once: a dictionary, not a list.
    """
    channel = rng.key()
    listener = subscribed(connect, channel)
    listener.check(request("SUBSCRIBE", channel), push("subscribe", channel, 1))
    client.send(b"".join(request("PUBLISH", channel, each) for each in range(1000)))
    client.expect(integer(1) * 1000)
    listener.expect(b"".join(message(channel, str(each)) for each in range(1000)))


@step(3)
@pytest.mark.read("Step 3: publish")
def test_who_has_unsubscribed_hears_nothing_any_more(client: Client, connect: Connect, rng: Dice) -> None:
    """After UNSUBSCRIBE and PUNSUBSCRIBE nothing comes, and PUBLISH counts the others only.

    PUBLISH reads `subscribers`, the replies count `client.topics`: a subscription must end in both.
    """
    channel = rng.key()
    stays, leaves = subscribed(connect, channel), subscribed(connect, channel)
    leaves.check(request("PSUBSCRIBE", channel), push("psubscribe", channel, 2))
    leaves.check(request("UNSUBSCRIBE", channel), push("unsubscribe", channel, 1))
    client.check(request("PUBLISH", channel, "one"), integer(2))
    leaves.expect(push("pmessage", channel, channel, "one"))
    leaves.check(request("PUNSUBSCRIBE", channel), push("punsubscribe", channel, 0))
    client.check(request("PUBLISH", channel, "two"), integer(1))
    leaves.check(PING, PONG)
    stays.expect(message(channel, "one") + message(channel, "two"))


@step(3)
@pytest.mark.read("Step 3: publish")
def test_in_resp3_a_message_comes_between_replies_and_before_the_answer_of_its_own_publish(
    connect: Connect, rng: Dice
) -> None:
    """A client in RESP3 receives messages with the sign `>`, and its own before the answer of PUBLISH.

    Deliver while the request is executed: the answer is appended after that.
    """
    channel = rng.key()
    client = resp3(connect)
    client.check(request("SUBSCRIBE", channel), push("subscribe", channel, 1, sign=b">"))
    client.check(request("PUBLISH", channel, "to myself"), message(channel, "to myself", b">") + integer(1))
    other = connect()
    other.check(request("PUBLISH", channel, "to you"), integer(1))
    client.expect(message(channel, "to you", b">"))
    client.check(request("APPEND", channel, "abc"), integer(3))


@step(3)
@pytest.mark.read("Step 3: publish")
def test_a_message_that_was_queued_is_delivered_by_exec(client: Client, connect: Connect, rng: Dice) -> None:
    """PUBLISH between MULTI and EXEC is queued: nobody hears it before EXEC, and after DISCARD nobody ever does.

    `Engine.answer` queues what comes after MULTI. PUBLISH is a command like others.
    """
    channel = rng.key()
    listener, other = subscribed(connect, channel), connect()
    client.check(request("MULTI") + request("PUBLISH", channel, "discarded") + request("DISCARD"), OK + QUEUED + OK)
    client.check(request("MULTI") + request("PUBLISH", channel, "queued"), OK + QUEUED)
    other.check(request("PUBLISH", channel, "before EXEC"), integer(1))
    client.check(request("EXEC"), b"*1\r\n" + integer(1))
    listener.expect(message(channel, "before EXEC") + message(channel, "queued"))


@step(3)
@pytest.mark.read("Step 3: publish")
def test_a_client_that_waits_goes_on_waiting_after_a_message(client: Client, connect: Connect, rng: Dice) -> None:
    """In RESP3 a subscribed client may wait with BLPOP: a message reaches it, and then it still waits.

    `deliver` has `data_received` called, which reads no further requests of a client in `waiting`: do not unpark it.
    """
    channel, jobs = rng.key(), rng.key()
    waiter = resp3(connect)
    waiter.check(request("SUBSCRIBE", channel), push("subscribe", channel, 1, sign=b">"))
    waiter.check(request("STRLEN", jobs) + request("BLPOP", jobs, 0) + request("STRLEN", jobs), integer(0))
    time.sleep(0.01)
    client.check(request("PUBLISH", channel, "hello"), integer(1))
    waiter.expect(message(channel, "hello", b">"))
    settle(client)
    waiter.expect_nothing()
    client.check(request("RPUSH", jobs, "job"), integer(1))
    waiter.expect(request(jobs, "job") + integer(0))


@step(3)
@pytest.mark.read("Step 3: publish")
def test_nothing_of_it_is_in_the_log(start: Start, tmp_path: Path, rng: Dice) -> None:
    """SUBSCRIBE, PUBLISH and UNSUBSCRIBE leave nothing in the log: it has the SET before, and the SET behind them.

    Only what changes keys calls `db.changed`. A message that was replayed would reach nobody.
    """
    channel = rng.key()
    server = start(data=tmp_path, appendfsync="no")
    client, listener = server.connect(), subscribed(server.connect, channel)
    client.check(request("SET", channel, "before"), OK)
    client.check(request("PUBLISH", channel, "hello"), integer(1))
    listener.expect(message(channel, "hello"))
    listener.check(request("UNSUBSCRIBE"), push("unsubscribe", channel, 0))
    client.check(request("SET", channel, "behind"), OK)
    settle(client)
    logged(tmp_path)
    written = log_of(tmp_path).read_bytes()
    written = written[written.find(request("SET", channel, "before")) :]
    has_records(written, [[b"SET", channel, b"before"], [b"SET", channel, b"behind"]], "This is in the log.")


# What a subscribed client may send


@step(4)
@pytest.mark.read("Step 4: what a subscribed client may send")
@pytest.mark.parametrize("kind", ["subscribe", "psubscribe"])
def test_in_resp2_a_subscribed_client_may_send_only_a_few_commands(
    client: Client, connect: Connect, rng: Dice, kind: str
) -> None:
    """In RESP2 a subscribed client is answered with an error to all but SUBSCRIBE and its kin, PING and QUIT.

    Ask this in `Engine.answer`, before the command is run: `client.topics`, `client.protocol` and WHILE_SUBSCRIBED.
    Does the connection close? Raise the error inside the `try` that holds `find`.

    Has SET set something? The error must come instead of the command.

    `command.name` is in lower case, however the client wrote it.
    """
    key = rng.key()
    listener = subscribed(connect, key, verb=kind)
    allowed = "(P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET"
    for line in ("GET k", "SET k v", "set k v", "PUBLISH k x", "HELLO 3", "MULTI", "BLPOP k 0", "Echo x"):
        verb, *args = line.encode().replace(b"k", key).split()
        error = f"-ERR Can't execute '{verb.decode().lower()}': only {allowed} are allowed in this context\r\n"
        listener.check(request(verb, *args), error.encode())
    client.check(request("EXISTS", key), integer(0))


@step(4)
@pytest.mark.read("Step 4: what a subscribed client may send")
def test_what_is_no_request_is_answered_with_its_own_error_while_subscribed(connect: Connect, rng: Dice) -> None:
    """An unknown command, and a wrong number of arguments, have their own errors, while subscribed, too.

    First `find` the command; what it raises is the reply. Then ask whether it may be called.
    """
    listener = subscribed(connect, rng.key())
    listener.send(request("NOSUCHCOMMAND"))
    listener.expect_line(b"-ERR unknown command")
    listener.check(request("GET"), b"-ERR wrong number of arguments for 'get' command\r\n")


@step(4)
@pytest.mark.read("Step 4: what a subscribed client may send")
def test_after_the_last_subscription_all_commands_may_be_sent_again(connect: Connect, rng: Dice) -> None:
    """When the last subscription has ended, of whichever kind, GET is answered again; not before.

    Ask `client.topics` each time: a flag that is set by SUBSCRIBE has to be taken back.
    """
    key = rng.key()
    listener = subscribed(connect, key)
    listener.check(request("PSUBSCRIBE", key), push("psubscribe", key, 2))
    listener.check(request("UNSUBSCRIBE"), push("unsubscribe", key, 1))
    listener.send(request("STRLEN", key))
    listener.expect_line(b"-ERR Can't execute 'strlen'")
    listener.check(request("PUNSUBSCRIBE"), push("punsubscribe", key, 0))
    listener.check(request("STRLEN", key), integer(0))


@step(4)
@pytest.mark.read("Step 4: what a subscribed client may send")
def test_in_resp3_a_subscribed_client_may_send_everything(connect: Connect, rng: Dice) -> None:
    """In RESP3 a push cannot be taken for a reply, so nothing is forbidden.

    Ask for `client.protocol == 2`. In RESP3, PING is answered as always.
    """
    client, key = resp3(connect), rng.key()
    client.check(request("SUBSCRIBE", key), push("subscribe", key, 1, sign=b">"))
    client.check(request("APPEND", key, "abc") + request("GET", key), integer(3) + bulk("abc"))
    client.check(PING + request("PING", "hi"), PONG + bulk("hi"))
    client.check(request("MULTI") + request("STRLEN", key) + request("EXEC"), OK + QUEUED + b"*1\r\n" + integer(3))


@step(4)
@pytest.mark.read("Step 4: what a subscribed client may send")
def test_ping_of_a_subscribed_client_is_answered_with_an_array_in_resp2(connect: Connect, rng: Dice) -> None:
    """PING while subscribed is answered in RESP2 with `pong` and the message, or an empty string; then as before.

    So a client can tell the answer from a message: the first item of each array says what it is.

    Without a message the second item is an empty bulk string, no null.
    """
    channel = rng.key()
    listener = subscribed(connect, channel)
    listener.check(PING, push("pong", ""))
    listener.check(request("PING", "hello"), push("pong", "hello"))
    listener.check(request("UNSUBSCRIBE"), push("unsubscribe", channel, 0))
    listener.check(PING + request("PING", "hello"), PONG + bulk("hello"))


@step(4)
@pytest.mark.read("Step 4: what a subscribed client may send")
def test_a_subscribed_client_may_quit(connect: Connect, rng: Dice) -> None:
    """QUIT while subscribed is answered with OK, and the connection is closed.

    `quit` is in WHILE_SUBSCRIBED; `find` says what its name is.
    """
    listener = subscribed(connect, rng.key())
    listener.check(request("QUIT"), OK)
    listener.expect_closed()


# Does anybody listen?


@step(5)
@pytest.mark.read("Step 5: does anybody listen?")
def test_pubsub_numsub_counts_the_subscribers_of_each_channel(client: Client, connect: Connect, rng: Dice) -> None:
    """PUBSUB NUMSUB answers with each channel that is named, and behind it the number of its subscribers.

    Is there a KeyError? A channel without subscribers has 0. Patterns are not counted.

    It is one flat array: channel, number, channel, number. Without channels it is empty.
    """
    one, two, three = (rng.key() for _ in range(3))
    subscribed(connect, one, two), subscribed(connect, one), subscribed(connect, three, verb="psubscribe")
    expected = push(one, 2, two, 1, three, 0, one, 2)
    client.check(request("PUBSUB", "NUMSUB", one, two, three, one), expected)
    client.check(request("pubsub", "numsub"), b"*0\r\n")


@step(5)
@pytest.mark.read("Step 5: does anybody listen?")
def test_pubsub_channels_lists_the_channels_that_have_subscribers(start: Start, rng: Dice) -> None:
    """PUBSUB CHANNELS lists each channel that has subscribers once, with a pattern those that match; no patterns.
    The server is new, so nobody else is subscribed.

    A topic is a pair: list its name if its kind is `b"channel"`.

    The argument is a pattern: `matcher`, as in PUBLISH.

    Is a channel in it that nobody is subscribed to any more? `unsubscribe` takes it out of `subscribers`.
    """
    connect = start().connect
    client, one, two, three = connect(), *(rng.key() for _ in range(3))
    client.check(request("PUBSUB", "CHANNELS"), b"*0\r\n")
    alice, _, _ = (
        subscribed(connect, one, two),
        subscribed(connect, one),
        subscribed(connect, three, verb="psubscribe"),
    )
    got = client.ask("PUBSUB", "CHANNELS")
    assert isinstance(got, list) and sorted(got) == sorted([one, two]), f"received: {got}"
    client.check(request("PUBSUB", "channels", two[:-1] + b"?"), push(two))
    client.check(request("PUBSUB", "CHANNELS", two[:-1]), b"*0\r\n")
    alice.check(request("UNSUBSCRIBE", two), push("unsubscribe", two, 1))
    client.check(request("PUBSUB", "CHANNELS"), push(one))


@step(5)
@pytest.mark.read("Step 5: does anybody listen?")
def test_pubsub_numpat_counts_the_patterns(start: Start, rng: Dice) -> None:
    """PUBSUB NUMPAT is the number of patterns, however many clients are subscribed to each; channels do not count.

    Count the topics, not the clients.
    """
    connect = start().connect
    client, one, two = connect(), rng.key(), rng.key()
    client.check(request("PUBSUB", "NUMPAT"), integer(0))
    subscribed(connect, one, two, verb="psubscribe")
    leaves = subscribed(connect, one, verb="psubscribe")
    subscribed(connect, one)
    client.check(request("PUBSUB", "NUMPAT"), integer(2))
    leaves.check(request("PUNSUBSCRIBE", one), push("punsubscribe", one, 0))
    client.check(request("PUBSUB", "NumPat"), integer(2))


@step(5)
@pytest.mark.read("Step 5: does anybody listen?")
def test_what_pubsub_does_not_know_is_an_error(client: Client) -> None:
    """An unknown subcommand, and too many arguments, are errors, as in CLIENT.

    `case [b"channels" | b"numpat" as name, *_]`, after the cases with the right number of arguments.

    Raise what `wrong_number_of_arguments` and `unknown_subcommand` return.
    """
    client.check(request("PUBSUB", "nobody"), b"-ERR unknown subcommand 'nobody'. Try PUBSUB HELP.\r\n")
    wrong = b"-ERR wrong number of arguments for 'pubsub|numpat' command\r\n"
    client.check(request("PUBSUB", "NUMPAT", "x"), wrong)
    client.send(request("PUBSUB", "CHANNELS", "x", "y"))
    client.expect_line(b"-ERR ")
    client.check(PING, PONG)


# Who has gone, and who does not read


@step(6)
@pytest.mark.read("Step 6: who has gone, and who does not read")
def test_leave_ends_all_subscriptions_of_a_client_and_no_others(modules: Modules) -> None:
    """`PubSub.leave` takes a client out of both tables. Bob leaves; the result is both tables after it, and again.

    It has to know only `client.topics`: call `unsubscribe` with each of them. Is there a RuntimeError, `dictionary
    changed size during iteration`? Iterate over a copy: `list(…)`.
    """
    both = (
        {(b"channel", b"news"): ["alice"], (b"pattern", b"news"): ["alice"]},
        {"alice": [(b"channel", b"news"), (b"pattern", b"news")], "bob": []},
    )
    modules.check(
        TABLES
        + """
for client, topic in ((alice, news), (alice, pattern), (bob, news), (bob, sport), (bob, pattern)):
    pubsub.subscribe(client, topic)
pubsub.leave(bob)
result = [tables()]
pubsub.leave(bob)
result.append(tables())
""",
        [both, both],
    )


@step(6)
@pytest.mark.read("Step 6: who has gone, and who does not read")
@pytest.mark.parametrize("how", ["closed", "reset", "quit"])
def test_who_has_gone_is_subscribed_to_nothing(client: Client, connect: Connect, rng: Dice, how: str) -> None:
    """When a client has gone, PUBLISH counts it no more, and its channels and patterns are forgotten; others stay.

    `connection_lost` calls `Engine.disconnect`: have the client leave there.
    """
    shared, own, pattern = (rng.key() for _ in range(3))
    stays, goes = subscribed(connect, shared), subscribed(connect, shared, own)
    goes.check(
        request("PSUBSCRIBE", pattern, pattern + b"*"),
        push("psubscribe", pattern, 3) + push("psubscribe", pattern + b"*", 4),
    )
    client.check(request("PUBSUB", "NUMSUB", shared, own), push(shared, 2, own, 1))
    if how == "reset":
        goes.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    if how == "quit":
        goes.check(request("QUIT"), OK)
    goes.close()
    nobody_hears(client, pattern, "a client has gone, and is still subscribed to a pattern")
    client.check(request("PUBSUB", "NUMSUB", shared, own), push(shared, 1, own, 0))
    client.check(request("PUBSUB", "CHANNELS", own), b"*0\r\n")
    client.check(request("PUBLISH", shared, "still here"), integer(1))
    stays.expect(message(shared, "still here"))


@step(6)
@pytest.mark.read("Step 6: who has gone, and who does not read")
def test_a_listener_that_does_not_read_is_cut_off_and_nobody_else_notices(
    client: Client, connect: Connect, rng: Dice
) -> None:
    """When more than 32 MiB wait for a listener, its connection ends at once; another one receives all messages.
    Each message has 1 MiB. PUBLISH is answered with 2, and with 1 when the listener has been cut off.

    Has the server kept 64 MiB? What waits is in `self.output` and in the transport: add `get_write_buffer_size()`.

    Is the connection still there? `close()` waits until the client has read everything. `abort()` does not.
    """
    channel, text = rng.key(), b"x" * MIB
    slow, quick = subscribed(connect, channel), subscribed(connect, channel)
    one = message(channel, text)
    published, heard = 0, 2
    while heard == 2 and published < 64:
        heard = number(client, "PUBLISH", channel, text)
        published += 1
        assert skip_bytes(quick, len(one)) == len(one), f"the other listener did not receive message {published}"
    assert published < 64, "64 MiB wait for a listener that does not read, and it is still connected"
    assert published > 30, f"it was cut off after {published} MiB: the limit is 32 MiB, and its socket takes some more"
    received = skip_bytes(slow, 64 * MIB)
    assert received < 31 * MIB, f"it received {received} bytes after it was cut off: what was waiting is thrown away"
    client.check(request("PUBLISH", channel, "the end"), integer(1))
    quick.expect(message(channel, "the end"))


@step(6)
@pytest.mark.read("Step 6: who has gone, and who does not read")
def test_a_burst_within_one_request_is_limited_as_well(client: Client, connect: Connect, rng: Dice) -> None:
    """A transaction of 64 messages with 1 MiB each: all of it is published before anything can be sent.

    Here it is all in `self.output`: the transport has nothing yet. Add both.

    Ask for the limit with each message, in `deliver`: nobody may publish again.
    """
    channel, text = rng.key(), b"x" * MIB
    slow = subscribed(connect, channel)
    client.check(request("MULTI"), OK)
    for _ in range(64):
        client.check(request("PUBLISH", channel, text), QUEUED)
    client.send(request("EXEC"))
    client.read_reply()
    for _ in range(MANY):  # ask and publish nothing: that would be one more message in `deliver`
        count = client.ask("PUBSUB", "NUMSUB", channel)
        if count == [channel, 0]:
            break
        time.sleep(0.005)
    assert count == [channel, 0], "64 MiB were published at once to a listener that does not read: it is still there"
    received = skip_bytes(slow, 64 * MIB)
    assert received < 48 * MIB, f"it received {received} bytes before it was cut off: the limit is 32 MiB"
    client.check(PING, PONG)


@step(6)
@pytest.mark.read("Step 6: who has gone, and who does not read")
def test_a_listener_that_reads_late_is_not_cut_off(client: Client, connect: Connect, rng: Dice) -> None:
    """16 MiB may wait, and a listener that reads them, and 32 MiB more, in time, stays connected.

    Has it been cut off after 32 MiB in all? Count what waits now, not what was ever sent.
    """
    channel, text = rng.key(), b"x" * MIB
    listener = subscribed(connect, channel)
    size = len(message(channel, text))
    for burst in (16, 4, 4, 4, 4, 4, 4, 4, 4):
        for _ in range(burst):
            client.check(request("PUBLISH", channel, text), integer(1))
        assert skip_bytes(listener, burst * size) == burst * size, "not all messages have come"
    client.check(request("PUBLISH", channel, "the end"), integer(1))
    listener.expect(message(channel, "the end"))


@step(6)
@pytest.mark.read("Step 6: who has gone, and who does not read")
def test_a_message_to_oneself_lets_no_later_request_overtake(connect: Connect, rng: Dice) -> None:
    """A client in RESP3 publishes to itself twice, and then sends APPEND, all in one chunk: the answers are in order.

    `deliver` does not call `data_received`, which would execute the next request before this one is answered. It has
    `call_soon` of the event loop call it, later.
    """
    client, channel, key = resp3(connect), rng.key(), rng.key()
    client.check(request("SUBSCRIBE", channel), push("subscribe", channel, 1, sign=b">"))
    sent = [request("PUBLISH", channel, "one"), request("PUBLISH", channel, "two"), request("APPEND", key, "abc")]
    expected = message(channel, "one", b">") + integer(1) + message(channel, "two", b">") + integer(1) + integer(3)
    client.check(b"".join(sent), expected)


@step(6)
@pytest.mark.read("Step 6: who has gone, and who does not read")
def test_nothing_is_kept_for_a_connection_that_is_closing(modules: Modules) -> None:
    """`deliver` does nothing if the transport `is_closing()`. Here a connection has a transport that is told what is
    waiting, and whether it is closing. The result is `output` after a message was delivered; then, if it is closing.

    `transport.is_closing()` says so: ask first. After `abort()`, too, a burst goes on for all messages of an EXEC.
    """
    modules.check(
        """
        import asyncio
        from server import Connection, Server

        class Wire(asyncio.Transport):
            closing = False
            def write(self, data): pass
            def get_write_buffer_size(self): return 0
            def is_closing(self): return self.closing
            def close(self): self.closing = True
            abort = close

        async def main():
            connection, kept = Connection(Server()), []
            connection.connection_made(wire := Wire())
            for wire.closing in (False, True):
                connection.output = bytearray()
                connection.deliver("hello")
                kept.append(bytes(connection.output))
            return kept

        result = asyncio.run(main())
        """,
        [b"+hello\r\n", b""],
    )
