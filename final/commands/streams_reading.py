"""XREAD and XREADGROUP: read what is new in streams, or block until there is something."""

from collections.abc import Sequence
from itertools import islice

from ..data.store import Store
from ..data.stream import Stream
from ..data.stream_groups import MOST
from ..data.stream_node import LAST, show_id
from ..engine.args import OptionCursor
from ..engine.client import Client
from ..engine.command import BLOCKING, COUNTED_TWICE, MOVABLEKEYS, READONLY, WRITE, Group
from ..engine.signature import command, complexity
from ..engine.wait import Wait
from ..protocol.errors import NamingError, ReplyError, syntax_error
from ..protocol.numeric import parse_integer
from ..protocol.writer import NULL_ARRAY, Pairs, Value
from .streams import STREAM, parse_id, replies
from .streams_groups import claim_request, last_id_request, note, text, use_consumer

GROUP = Group("stream", "@stream", "t")

NEW = LAST  # the ID `>`: what was not delivered to any consumer. Redis takes the highest ID for it, too
AT_ONCE = 1000  # entries for a client that was blocked, unless COUNT says otherwise (XREAD_BLOCKED_DEFAULT_COUNT)


class Reading:
    """The parsed arguments of XREAD or, if `grouped`, of XREADGROUP."""

    def __init__(self, client: Client, args: Sequence[bytes], grouped: bool) -> None:
        self.timeout: int | None = None  # milliseconds, 0: none; None: do not block
        self.count: int | None = None  # entries of each stream; None: all
        self.names: tuple[bytes, bytes] | None = None  # of the group and the consumer
        self.noack = False
        behind: Sequence[bytes] = ()
        options = OptionCursor(args)
        for option in options:
            if option == b"block" and len(options):
                if client.is_script:
                    raise NamingError("ERR {0} command is not allowed with BLOCK option from scripts")
                self.timeout = parse_milliseconds(options.value())
            elif option == b"count" and len(options):
                self.count = max(options.integer(), 0) or None
            elif option == b"streams" and len(options):
                behind = options.values(len(options))
            elif option == b"group" and len(options) >= 2:
                self.names = options.value(), options.value()
            elif option == b"noack":
                self.noack = True
            else:
                raise syntax_error()
            if not grouped and option in (b"group", b"noack"):
                name = option.decode().upper()
                raise ReplyError(f"ERR The {name} option is only supported by XREADGROUP. You called XREAD instead.")
        if len(behind) % 2:
            raise ReplyError(
                "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified."
            )
        if not behind:
            raise syntax_error()
        if grouped and self.names is None:
            raise ReplyError("ERR Missing GROUP option for XREADGROUP")
        half = len(behind) // 2
        self.keys, self.ids = tuple(behind[:half]), behind[half:]


def parse_milliseconds(arg: bytes) -> int:
    """Parse a timeout in milliseconds."""
    timeout = parse_integer(arg)
    if timeout is None:
        raise ReplyError("ERR timeout is not an integer or out of range")
    if timeout < 0:
        raise ReplyError("ERR timeout is negative")
    return timeout


@command(READONLY, BLOCKING, MOVABLEKEYS, COUNTED_TWICE)
@complexity("O(N) for N entries in the answer, for each stream")
def xread(db: Store, client: Client, streams: bytes, key: bytes, id: bytes, *more: bytes) -> Value:
    """XREAD [COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]: answer with the entries behind the IDs.

    The ID `$` is the last one, so that BLOCK waits for entries that will be added. Without entries, the answer is null.
    """  # noqa: E501  (the first line is what redis-cli shows)
    asked = Reading(client, (streams, key, id, *more), grouped=False)
    behind = [read_behind(db, *pair) for pair in zip(asked.keys, asked.ids, strict=True)]
    found = Pairs()
    for name, last in zip(asked.keys, behind, strict=True):
        held = db.get(name, STREAM)
        if held is not None and held.top > last:
            found.append((name, replies(held.entries(last + 1), asked.count)))
    if found or asked.timeout is None:
        return found or NULL_ARRAY
    # If a key is there twice, its first ID counts.
    waits_behind = dict(zip(reversed(asked.keys), reversed(behind), strict=True))

    def ready(name: bytes) -> bool:
        return db.make(name, STREAM).last_id > waits_behind[name]

    def serve(name: bytes) -> Value:
        entries = db.make(name, STREAM).entries(waits_behind[name] + 1)
        return Pairs([(name, replies(entries, asked.count or AT_ONCE))])

    return Wait(asked.keys, STREAM, asked.timeout, NULL_ARRAY, serve, ready)


def read_behind(db: Store, key: bytes, id: bytes) -> int:
    """Parse the ID behind which XREAD reads a stream."""
    held = db.get(key, STREAM)
    if id == b"$":
        return held.last_id if held else 0
    if id == b">":
        raise ReplyError(
            "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option."
        )
    return parse_id(id)


@command(WRITE, BLOCKING, MOVABLEKEYS, keys="RO access")
@complexity("O(M) for M entries in the answer, for each stream")
def xreadgroup(
    db: Store,
    client: Client,
    option: bytes,
    group: bytes,
    consumer: bytes,
    streams: bytes,
    key: bytes,
    id: bytes,
    *more: bytes,
) -> Value:
    """XREADGROUP GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]: answer with entries for a consumer.

    The ID `>` asks for entries that were not delivered to any consumer of the group. They are pending until XACK, unless
    NOACK is given. Any other ID asks for what is pending for the consumer behind it.
    """  # noqa: E501  (the first line is what redis-cli shows)
    asked = Reading(client, (option, group, consumer, streams, key, id, *more), grouped=True)
    assert asked.names is not None
    name = asked.names[0]
    behind = [delivered_behind(db, each, name, last) for each, last in zip(asked.keys, asked.ids, strict=True)]
    found = Pairs()
    for each, last in zip(asked.keys, behind, strict=True):
        held = db.make(each, STREAM)
        if last != NEW:
            found.append((each, history(db, each, held, asked, last)))
        elif held.top > held.groups[name].last_id:
            found.append((each, deliver(db, each, held, asked, asked.count)))
    if found or asked.timeout is None:
        return found or NULL_ARRAY

    def ready(each: bytes) -> bool:
        held = db.make(each, STREAM)
        return name not in held.groups or held.last_id > held.groups[name].last_id

    def serve(each: bytes) -> Value:
        if db.kind(each) is not STREAM:
            raise ReplyError("UNBLOCKED the stream key no longer exists")
        held = db.make(each, STREAM)
        if name not in held.groups:
            raise ReplyError("NOGROUP the consumer group this client was blocked on no longer exists")
        return Pairs([(each, deliver(db, each, held, asked, asked.count or AT_ONCE))])

    return Wait(asked.keys, STREAM, asked.timeout, NULL_ARRAY, serve, ready, if_gone=True)


def delivered_behind(db: Store, key: bytes, name: bytes, id: bytes) -> int:
    """Parse the ID behind which XREADGROUP reads a stream, of which `name` is a group; NEW for `>`."""
    held = db.get(key, STREAM)
    if held is None or name not in held.groups:
        raise ReplyError(
            f"NOGROUP No such key '{text(key)}' or consumer group '{text(name)}' in XREADGROUP with GROUP option"
        )
    if id == b"$":
        raise ReplyError(
            "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer "
            "by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty "
            "result set."
        )
    return NEW if id == b">" else parse_id(id)


def deliver(db: Store, key: bytes, held: Stream, asked: Reading, count: int | None) -> Value:
    """Deliver new entries to a consumer of a group; return them as in the reply."""
    assert asked.names is not None
    db.unit.changes += 1  # for the save points, however many entries there are
    name, consumer_name = asked.names
    group = held.groups[name]
    making = (b"XGROUP", b"CREATECONSUMER", key, name, consumer_name) if asked.noack else ()
    consumer = use_consumer(db, key, group, consumer_name, log=making)
    answer = []
    for id, pairs in islice(held.entries(group.last_id + 1), count):
        held.read_by(group, id)
        answer.append([show_id(id), pairs])
        if not asked.noack:
            delivery = group.deliver(id, consumer, db.unit.now, 1)
            note(db, key, claim_request(key, group, name, show_id(id), delivery), count=0)
    if answer and asked.noack:
        note(db, key, last_id_request(key, group, name), count=0)
    return answer


def history(db: Store, key: bytes, held: Stream, asked: Reading, behind: int) -> Value:
    """Deliver again what is pending for a consumer; return it as in the reply, with null for deleted entries."""
    assert asked.names is not None
    db.unit.changes += 1
    consumer = use_consumer(db, key, held.groups[asked.names[0]], asked.names[1])
    answer: list[Value] = []
    for id in islice(consumer.pending.since(behind + 1), asked.count):
        entry = held.get(id)
        answer.append([show_id(id), NULL_ARRAY if entry is None else entry[1]])
        if entry is not None:
            delivery = consumer.pending.deliveries[id]
            delivery.time, delivery.count = db.unit.now, min(delivery.count + 1, MOST)
    return answer
