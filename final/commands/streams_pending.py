"""Commands for the pending entries of consumer groups: acknowledge, list and claim what was delivered."""

from collections.abc import Sequence
from itertools import islice

from ..data.store import Store
from ..data.stream_groups import Group as ConsumerGroup
from ..data.stream_node import show_id
from ..engine.args import OptionCursor, integer
from ..engine.command import COUNTED, FAST, READONLY, WRITE, Group
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError, syntax_error
from ..protocol.numeric import parse_integer
from ..protocol.writer import NULL_ARRAY, Value
from .streams import STREAM, parse_id, parse_start, parse_stop, replies
from .streams_groups import claim_request, group_at, last_id_request, note, text, use_consumer

GROUP = Group("stream", "@stream", "t")

ATTEMPTS = 10  # XAUTOCLAIM looks at that many pending entries for each one that it may claim
TOO_MANY = 2**47  # bytes; Redis asks for 16 for each entry that XAUTOCLAIM may claim, and no process can have more


@command(WRITE, FAST, COUNTED, keys="RW update")
@complexity("O(1) for each entry")
def xack(db: Store, key: bytes, group: bytes, id: bytes, *ids: bytes) -> Value:
    """XACK key group id [id ...]: acknowledge entries, which are pending no more; answer with their number."""
    held = db.get(key, STREAM)
    if held is None or group not in held.groups:
        return 0
    acknowledged = sum(map(held.groups[group].acknowledge, list(map(parse_id, (id, *ids)))))
    if acknowledged:
        note(db, key, None)
    return acknowledged


@command(READONLY, tips="nondeterministic_output")
@complexity("O(N) for N entries in the answer, O(M) for M entries that IDLE looks at; O(1) for the summary")
def xpending(db: Store, key: bytes, group: bytes, *options: bytes) -> Value:
    """XPENDING key group [[IDLE min-idle-time] start end count [consumer]]: answer with how many entries are pending, or with these.

    An entry comes with its consumer, the milliseconds since it was delivered, and how often it was delivered.
    """  # noqa: E501  (the first line is what redis-cli shows)
    if not options:
        return summary(group_at(db, key, group)[1])
    if not 3 <= len(options) <= 6:
        raise syntax_error()
    idle = 0
    if options[0].lower() == b"idle":
        idle = integer(options[1])
        options = options[2:]
        if len(options) < 3:
            raise syntax_error()
    count = max(integer(options[2]), 0)
    start, stop = parse_start(options[0]), parse_stop(options[1])
    found = group_at(db, key, group)[1]
    consumer = found.consumers.get(options[3]) if options[3:] else None
    if options[3:] and consumer is None:
        return []
    now = db.unit.now
    answer: list[Value] = []
    for id in (consumer or found).pending.since(start):
        if id > stop or len(answer) == count:
            break
        each = found.pending.deliveries[id]
        if not idle or now - each.time >= idle:
            answer.append([show_id(id), each.consumer.name, max(now - each.time, 0), each.count])
    return answer


def summary(group: ConsumerGroup) -> Value:
    """Return how many entries are pending: in all, the first, the last, and for each consumer."""
    if not len(group.pending):
        return [0, None, None, NULL_ARRAY]
    consumers = (group.consumers[name] for name in sorted(group.consumers))
    each = [[consumer.name, b"%d" % len(consumer.pending)] for consumer in consumers if len(consumer.pending)]
    return [len(group.pending), show_id(group.pending.first), show_id(group.pending.last), each]


def parse_idle(arg: bytes, name: str) -> int:
    """Parse the shortest time for which an entry must be idle to be claimed."""
    idle = parse_integer(arg)
    if idle is None:
        raise ReplyError(f"ERR Invalid min-idle-time argument for {name}")
    return max(idle, 0)


class Claim:
    """The parsed options of XCLAIM."""

    def __init__(self, args: Sequence[bytes], now: int, replaying: bool) -> None:
        self.time = now  # to be set as that of the last delivery
        self.count = -1  # how often it was delivered; negative: once more
        self.force = self.just_id = False
        self.last_id: int | None = None
        options = OptionCursor(args)
        for option in options:
            if option == b"force":
                self.force = True
            elif option == b"justid":
                self.just_id = True
            elif option in (b"idle", b"time", b"retrycount") and len(options):
                number = parse_integer(options.value())
                if number is None:
                    raise ReplyError(f"ERR Invalid {option.decode().upper()} option argument for XCLAIM")
                if option == b"retrycount":
                    self.count = number
                else:
                    self.time = number if option == b"time" else now - number
            elif option == b"lastid" and len(options):
                self.last_id = parse_id(options.value())
            else:
                raise ReplyError(f"ERR Unrecognized XCLAIM option '{text(args[options.position - 1])}'")
        if self.time < 0 or (self.time > now and not replaying):
            self.time = now


@command(WRITE, FAST, COUNTED, keys="RW update", tips="nondeterministic_output")
@complexity("O(log(N)) for N pending entries of the group")
def xclaim(
    db: Store, key: bytes, group: bytes, consumer: bytes, min_idle_time: bytes, id: bytes, *more: bytes
) -> Value:
    """XCLAIM key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID id]: take over pending entries; answer with them.

    Only entries that were delivered at least `min-idle-time` milliseconds ago are taken. FORCE: also those that are
    not pending. JUSTID: answer with their IDs, and do not count it as a delivery. LASTID: set the group's last ID.
    """  # noqa: E501  (the first line is what redis-cli shows)
    held, found = group_at(db, key, group)
    idle = parse_idle(min_idle_time, "XCLAIM")
    args = (id, *more)
    ids = []
    for arg in args:
        try:
            ids.append(parse_id(arg))
        except ReplyError:
            break
    now = db.unit.now
    asked = Claim(args[len(ids) :], now, db.unit.replaying)
    last = max(found.last_id, asked.last_id or 0)
    advanced = last > found.last_id
    if advanced and db.unit.replaying and ids == [last]:
        held.read_by(found, last)  # as XREADGROUP logs a delivery; Redis 7.0 forgets then how much was read
    found.last_id = last
    restoring = db.unit.replaying and asked.force and asked.last_id is None  # a request of `Group.requests`
    answer: list[Value] = []
    for each, name in zip(ids, args, strict=False):
        delivery = found.pending.get(each)
        entry = held.get(each)
        if entry is None and not restoring:
            if delivery is not None:
                note(db, key, claim_request(key, found, group, name, delivery))
                found.acknowledge(each)
                advanced = False
            continue
        if (delivery is None and not asked.force) or (delivery and idle and now - delivery.time < idle):
            continue
        count = (delivery.count if delivery else 1) + (not asked.just_id) if asked.count < 0 else asked.count
        owner = use_consumer(db, key, found, consumer)
        delivery = found.deliver(each, owner, asked.time, count)
        answer += [show_id(each)] if asked.just_id or entry is None else replies([entry])
        note(db, key, claim_request(key, found, group, name, delivery))
        advanced = False
    if advanced:
        note(db, key, last_id_request(key, found, group))
    return answer


@command(WRITE, FAST, COUNTED, keys="RW delete", tips="nondeterministic_output")
@complexity("O(1) if COUNT is small")
def xautoclaim(
    db: Store, key: bytes, group: bytes, consumer: bytes, min_idle_time: bytes, start: bytes, *options: bytes
) -> Value:
    """XAUTOCLAIM key group consumer min-idle-time start [COUNT count] [JUSTID]: take over the pending entries from an ID on.

    Answers with the ID from which to go on, the entries, and the IDs that are pending no more because they are deleted.
    """  # noqa: E501  (the first line is what redis-cli shows)
    idle = parse_idle(min_idle_time, "XAUTOCLAIM")
    first = parse_start(start)
    count, just_id = 100, False
    cursor = OptionCursor(options)
    for option in cursor:
        if option == b"count" and len(cursor):
            number = parse_integer(cursor.value())
            if number is None or not 0 < number <= (2**63 - 1) // 16:
                raise ReplyError("ERR COUNT must be > 0")
            count = number
        elif option == b"justid":
            just_id = True
        else:
            raise syntax_error()
    held, found = group_at(db, key, group)
    if count * 16 >= TOO_MANY:
        raise ReplyError("ERR Insufficient memory, failed allocating transient memory, COUNT too high.")
    claimed: list[Value] = []
    deleted: list[Value] = []
    now = db.unit.now
    candidates = islice(found.pending.since(first), count * ATTEMPTS + 1)
    following = 0
    for attempt, id in enumerate(list(candidates)):
        if attempt == count * ATTEMPTS or len(claimed) + len(deleted) == count:
            following = id
            break
        delivery = found.pending.deliveries[id]
        entry = held.get(id)
        if entry is None:
            note(db, key, claim_request(key, found, group, show_id(id), delivery))
            found.acknowledge(id)
            deleted.append(show_id(id))
        elif not idle or now - delivery.time >= idle:
            owner = use_consumer(db, key, found, consumer)
            delivery = found.deliver(id, owner, now, delivery.count + (not just_id))
            claimed.append(show_id(id) if just_id else replies([entry])[0])
            note(db, key, claim_request(key, found, group, show_id(id), delivery))
    return [show_id(following), claimed, deleted]
