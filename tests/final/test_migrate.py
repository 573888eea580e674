"""MIGRATE in process: no change of a key is lost, whatever happens between its DUMP and the target's answer.

The target is scripted: it sends what a test says, when the test says it. See `test_migrate_servers.py` for real ones.
"""

from __future__ import annotations

from math import inf

import pytest

from final.protocol.writer import Value, encode
from final.replication import targets
from final.replication.outgoing import TIMED_OUT, Conversation
from tests.support.oracle import InProcess, args_of, shown
from tests.support.talk import read_requests

MOVE = "MIGRATE other 6379 k 0 100"
CHANGED = "-ERR a key was changed meanwhile: it stays here, and the target may have an older value"
UNREADABLE = "-IOERR error or timeout reading to target instance"
TO_ITSELF = "-ERR another MIGRATE moves a key at this moment"


class Connection:
    """A connection to the target, as the server sees it (a `Line`)."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.written = b""
        self.unsent = 0
        self.silence: list[int] = []
        self.steps = 0  # how often the server has asked for a later turn, and not got it
        self.is_closed = False

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self.written += data

    def again(self) -> None:
        self.steps += 1

    def limit_silence(self, milliseconds: int) -> None:
        self.silence.append(milliseconds)

    def close(self) -> None:
        self.is_closed = True

    def step(self) -> None:
        """Let the server go on with what it does in a later iteration."""
        self.steps -= 1
        self.conversation.received(b"")

    def asked(self) -> list[str]:
        """The requests that the target has received since the last time, without the values."""
        requests, self.written = read_requests(self.written), b""
        for args in requests:
            if args[0] == b"RESTORE":
                args[3] = b"..."
        return [b" ".join(args).decode() for args in requests]

    def answer(self, *lines: str) -> None:
        """Send these lines, in one piece."""
        self.conversation.received("".join(line + "\r\n" for line in lines).encode())


class Source(InProcess):
    """A server in process, whose connections to other servers a test plays."""

    def __init__(self, **options: str | int) -> None:
        super().__init__(None, **options)
        self.dialled: list[tuple[str, int, float, Conversation]] = []
        self.engine.targets.dial = self.dial
        self.logged: list[str] = []
        self.heard: list[str] = []
        self.client.deliver = self.hear
        self.engine.log = self  # type: ignore[assignment]

    failure = None

    def append(self, index: int, args: list[bytes], more: list[list[bytes]]) -> None:
        """Be the log."""
        self.logged += [b" ".join(each).decode() for each in (args, *more)]

    def hear(self, value: Value) -> None:
        """Keep what is delivered to the client."""
        self.heard.append(shown(encode(value)))

    def dial(self, host: str, port: int, conversation: Conversation, timeout: float) -> None:
        """Be the network."""
        self.dialled.append((host, port, timeout, conversation))

    def accept(self) -> Connection:
        """Accept the connection that was dialled last."""
        connection = Connection(self.dialled[-1][3])
        connection.conversation.opened(connection)
        return connection

    def begin(self, line: str = MOVE) -> None:
        """Send a request that is not answered now."""
        assert encode(self.engine.execute(self.client, args_of(line))) == b""

    def by_another(self, line: str) -> str:
        """Send a request of another client."""
        client = self.connect()
        reply = shown(encode(self.engine.execute(client, args_of(line))))
        self.engine.disconnect(client)
        return reply

    def moving(self, line: str = MOVE) -> Connection:
        """Begin a MIGRATE, and let the target answer SELECT."""
        self.begin(line)
        connection = self.accept()
        connection.answer("+OK")
        connection.written = b""
        return connection


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server write values in one iteration, however busy the machine is."""
    monkeypatch.setattr(targets, "SLICE", inf)


@pytest.fixture
def source() -> Source:
    peer = Source()
    for line in ("SET k 1 PX 5000", "SET other 2", "XADD stream 1-1 f v", "XGROUP CREATE stream g 0"):
        peer.ask(line)
    peer.logged.clear()
    return peer


def test_a_key_is_deleted_when_the_target_has_accepted_it(source: Source) -> None:
    source.begin("MIGRATE other 6379 k 3 100 REPLACE")
    assert [each[:3] for each in source.dialled] == [("other", 6379, 0.1)]
    connection = source.accept()
    assert connection.asked() == ["SELECT 3"]
    connection.answer("+OK")
    assert connection.asked() == ["RESTORE k 5000 ... REPLACE"]
    assert source.by_another("GET k") == "$1 1" and source.heard == []
    connection.answer("+OK")
    assert source.heard == ["+OK"] and source.logged == ["DEL k"]
    assert source.ask("EXISTS k") == ":0" and not source.engine.watching


def test_a_copy_stays(source: Source) -> None:
    source.moving(MOVE + " COPY").answer("+OK")
    assert (source.heard, source.logged, source.ask("GET k")) == (["+OK"], [], "$1 1")


@pytest.mark.parametrize(
    "change",
    [
        *("SET k 2", "INCR k", "PEXPIRE k 9000", "PERSIST k", "DEL k", "RENAME other k", "RENAME k other", "MOVE k 1"),
        *("FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "GETDEL k", "GETEX k PERSIST", "SUNIONSTORE k none"),
    ],
)
def test_a_key_that_was_changed_stays_and_the_client_is_told(source: Source, change: str) -> None:
    connection = source.moving()
    source.by_another(change)
    after, logged = [*source.engine.stores[0].items()], [*source.logged]
    connection.answer("+OK")
    assert source.heard == [CHANGED]
    assert [*source.engine.stores[0].items()] == after and source.logged == logged


@pytest.mark.parametrize(
    "change", ["XADD stream * f v", "XREADGROUP GROUP g c STREAMS stream >", "XGROUP DESTROY stream g"]
)
def test_a_change_that_watch_does_not_notice_counts_too(source: Source, change: str) -> None:
    connection = source.moving("MIGRATE other 6379 stream 0 100")
    source.by_another(change)
    connection.answer("+OK")
    assert source.heard == [CHANGED] and source.ask("EXISTS stream") == ":1"


def test_an_acknowledgement_is_not_lost(source: Source) -> None:
    source.ask("XREADGROUP GROUP g c STREAMS stream >")
    connection = source.moving("MIGRATE other 6379 stream 0 100")
    assert source.by_another("XACK stream g 1-1") == ":1"
    connection.answer("+OK")
    assert source.heard == [CHANGED] and source.ask("EXISTS stream") == ":1"


@pytest.mark.parametrize("use", ["GET k", "TTL k", "STRLEN k", "DUMP k", "SET other 3", "EXPIRE none 1"])
def test_what_does_not_change_the_key_does_not_count(source: Source, use: str) -> None:
    connection = source.moving()
    source.by_another(use)
    connection.answer("+OK")
    assert source.heard == ["+OK"] and source.ask("EXISTS k") == ":0"


@pytest.mark.parametrize("removed", [False, True])
def test_a_key_that_expires_meanwhile_is_moved_all_the_same(source: Source, removed: bool) -> None:
    connection = source.moving()
    source.now += 6000
    if removed:
        source.engine.expire()
    connection.answer("+OK")
    assert source.heard == ["+OK"] and source.logged == ["DEL k"]


def test_a_key_that_expires_before_it_is_sent_is_not_sent(source: Source) -> None:
    source.begin()
    connection = source.accept()
    source.now += 6000
    connection.answer("+OK")
    assert connection.asked() == ["SELECT 0"] and source.heard == ["+NOKEY"]
    assert source.ask("EXISTS k") == ":0" and source.logged == ["DEL k"]


def test_a_value_is_read_when_the_connection_is_ready(source: Source) -> None:
    source.begin()
    connection = source.accept()
    source.by_another("SET k 22")
    connection.answer("+OK")
    assert b"22" not in connection.written and b"\xc0\x16" in connection.written
    connection.answer("+OK")
    assert source.heard == ["+OK"]


def test_of_several_keys_those_go_that_the_target_has_accepted(source: Source) -> None:
    source.ask("MSET a 1 b 2 c 3")
    source.logged.clear()
    connection = source.moving('MIGRATE other 6379 "" 0 100 KEYS a none b c a')
    source.by_another("SET c 4")
    connection.answer("-BUSYKEY Target key name already exists.", "+OK", "+OK")
    assert source.heard == ["-ERR Target instance replied with error: BUSYKEY Target key name already exists."]
    assert source.logged == ["SET c 4", "DEL b"] and source.ask("MGET a b c") == "*3 $1 1 $-1 $1 4"


def test_if_the_connection_breaks_those_stay_that_have_no_answer(source: Source) -> None:
    source.ask("MSET a 1 b 2 c 3")
    source.logged.clear()
    connection = source.moving('MIGRATE other 6379 "" 0 100 KEYS a b c')
    connection.answer("+OK")
    connection.conversation.closed("the connection was closed")
    assert source.heard == [UNREADABLE] and source.logged == ["DEL a"]
    assert not source.engine.watching


@pytest.mark.parametrize(
    ("reason", "unsent", "answer"),
    [
        (TIMED_OUT, 0, UNREADABLE),
        (TIMED_OUT, 9, "-IOERR error or timeout writing to target instance"),
        ("the connection was closed", 0, UNREADABLE),
    ],
)
def test_a_connection_that_ends_before_the_answer(source: Source, reason: str, unsent: int, answer: str) -> None:
    connection = source.moving()
    assert connection.silence[-1] == 100
    connection.unsent = unsent
    connection.conversation.closed(reason)
    assert source.heard == [answer] and source.ask("GET k") == "$1 1" and source.logged == []


@pytest.mark.parametrize("said", ["$2\r\nOK", ":1", "+QUEUED", "+OK\r\n+OK", "OK", "", "+OK\r\n:1", "x" * (1 << 17)])
def test_a_target_that_says_anything_else_is_not_believed(source: Source, said: str) -> None:
    connection = source.moving()
    connection.answer(said)
    assert connection.is_closed and source.heard == [UNREADABLE] and source.ask("GET k") == "$1 1"


def test_replies_may_come_in_pieces(source: Source) -> None:
    connection = source.moving()
    for byte in b"+OK\r\n":
        assert source.heard == []
        connection.conversation.received(bytes([byte]))
    assert source.heard == ["+OK"]


@pytest.mark.parametrize("answers", [("-WRONGPASS no", "-NOAUTH no"), ("+OK", "-ERR DB index is out of range")])
def test_nothing_is_sent_to_a_target_that_refuses_the_password_or_the_database(
    source: Source, answers: tuple[str, ...]
) -> None:
    source.begin(MOVE + " AUTH2 me secret")
    connection = source.accept()
    assert connection.asked() == ["AUTH me secret", "SELECT 0"]
    connection.answer(*answers)
    first = next(each for each in answers if each != "+OK")
    assert source.heard == [f"-ERR Target instance replied with error: {first[1:]}"]
    assert connection.asked() == [] and connection.is_closed and source.ask("GET k") == "$1 1"


def test_a_connection_is_used_again(source: Source) -> None:
    connection = source.moving()
    connection.answer("+OK")
    assert connection.silence[-1] == targets.KEPT
    source.begin("MIGRATE other 6379 other 0 100")
    assert connection.asked() == ["RESTORE other 0 ..."] and len(source.dialled) == 1
    connection.answer("+OK")
    source.ask("SET other 2")
    source.begin("MIGRATE other 6379 other 9 100")
    assert connection.asked() == ["SELECT 9"] and len(source.dialled) == 1


def test_a_connection_is_used_by_one_task_at_a_time_and_only_with_its_password(source: Source) -> None:
    source.moving().answer("+OK")
    source.begin("MIGRATE other 6379 other 0 100 AUTH secret")
    assert len(source.dialled) == 2
    client = source.connect()
    source.engine.execute(client, args_of("MIGRATE other 6379 stream 0 100"))
    assert len(source.dialled) == 2
    another = source.connect()
    source.engine.execute(another, args_of("MIGRATE other 6379 stream 0 100 COPY"))
    assert len(source.dialled) == 3


@pytest.mark.parametrize("reason", ["the connection was closed", TIMED_OUT])
def test_a_kept_connection_that_turns_out_to_be_closed_is_replaced(source: Source, reason: str) -> None:
    connection = source.moving()
    connection.answer("+OK")
    source.begin("MIGRATE other 6379 other 0 100")
    connection.conversation.closed(reason)
    if reason == TIMED_OUT:
        assert source.heard == ["+OK", UNREADABLE] and len(source.dialled) == 1
    else:
        second = source.accept()
        assert second.asked() == ["SELECT 0"]
        second.answer("+OK")
        second.conversation.closed(reason)
        assert source.heard == ["+OK", UNREADABLE] and len(source.dialled) == 2
    assert not source.engine.watching


def test_a_second_try_does_not_take_the_reply_to_auth_for_one_to_the_first_try(source: Source) -> None:
    with_password = " 0 100 AUTH secret"
    source.begin("MIGRATE other 6379 k" + with_password)
    first = source.accept()
    first.answer("+OK", "+OK")
    first.answer("+OK")
    source.begin("MIGRATE other 6379 other" + with_password)
    first.conversation.closed("the connection was closed")
    second = source.accept()
    assert second.asked() == ["AUTH secret", "SELECT 0"]
    second.answer("+OK")
    second.conversation.closed("the connection was closed")
    assert source.heard == ["+OK", UNREADABLE] and source.ask("GET other") == "$1 2"


def test_there_is_no_second_try_once_the_target_has_accepted_a_key(source: Source) -> None:
    connection = source.moving()
    connection.answer("+OK")
    source.ask("MSET a 1 b 2")
    source.begin('MIGRATE other 6379 "" 0 100 KEYS a b')
    connection.answer("+OK")
    connection.conversation.closed("the connection was closed")
    assert source.heard == ["+OK", UNREADABLE] and len(source.dialled) == 1
    assert source.ask("MGET a b") == "*2 $-1 $1 2"


def test_not_too_many_connections_work_at_once(source: Source) -> None:
    clients = [source.connect() for _ in range(targets.MOST + 2)]
    for number, client in enumerate(clients):
        source.ask(f"SET {number} 1")
        source.engine.execute(client, args_of(f"MIGRATE other 6379 {number} 0 100"))
    assert len(source.dialled) == targets.MOST
    refused, accepted = source.dialled[0][3], source.accept()
    refused.closed(targets.REFUSED)
    assert len(source.dialled) == targets.MOST + 1, "the next one begins when one has failed, …"
    accepted.answer("+OK")
    accepted.answer("+OK")
    assert accepted.asked()[-1] == f"RESTORE {targets.MOST + 1} 0 ...", "… or is done by one that has succeeded"
    accepted.answer("+OK")
    assert source.ask(f"EXISTS 0 {targets.MOST - 1} {targets.MOST} {targets.MOST + 1}") == ":2"
    assert (source.engine.targets.working, len(source.engine.targets.waiting)) == (targets.MOST - 1, 0)


def test_not_too_many_connections_are_kept(source: Source) -> None:
    connections = []
    for port in range(targets.MOST + 1):
        source.ask("SET k 1")
        connections.append(source.moving(f"MIGRATE other {port} k 0 100"))
        connections[-1].answer("+OK")
    assert [each.is_closed for each in connections] == [True, *[False] * targets.MOST]
    connections[-1].conversation.closed(TIMED_OUT)
    assert len(source.engine.targets.idle) == targets.MOST - 1


@pytest.mark.parametrize(
    ("reason", "doing"),
    [
        ("Connection refused", "writing to target instance"),
        (TIMED_OUT, "connecting to the client"),
        ("Name or service not known", "connecting to the client"),
    ],
)
def test_a_target_that_cannot_be_reached(source: Source, reason: str, doing: str) -> None:
    source.begin()
    source.dialled[-1][3].closed(reason)
    assert source.heard == [f"-IOERR error or timeout {doing}"] and source.ask("GET k") == "$1 1"


def test_a_client_that_goes_away_does_not_leave_the_key_on_both_sides(source: Source) -> None:
    connection = source.moving()
    source.engine.disconnect(source.client)
    connection.answer("+OK")
    assert source.heard == [] and source.logged == ["DEL k"]


def test_nobody_else_can_unblock_the_client(source: Source) -> None:
    connection = source.moving()
    for how in ("TIMEOUT", "ERROR"):
        assert source.by_another(f"CLIENT UNBLOCK {source.client.id} {how}") == ":0"
    connection.answer("+OK")
    assert source.heard == ["+OK"]


def test_a_client_that_waits_for_something_else_by_then_is_left_alone(source: Source) -> None:
    connection = source.moving()
    source.engine.waiting.unpark(source.client)
    source.begin("BLPOP list 0")
    connection.answer("+OK")
    assert source.heard == [] and source.client.parked is not None


def test_two_migrates_do_not_move_the_same_key(source: Source) -> None:
    connection = source.moving()
    first, source.client = source.client, source.connect()
    source.client.deliver = source.hear
    second = source.moving("MIGRATE elsewhere 6379 k 0 100")
    assert second.asked() == [] and source.heard == [TO_ITSELF]
    source.begin("MIGRATE elsewhere 6379 k 0 100 COPY")
    assert second.asked() == ["RESTORE k 5000 ..."]
    second.answer("+OK")
    connection.answer("+OK")
    assert source.heard == [TO_ITSELF, "+OK", "+OK"] and first.parked is None and source.logged == ["DEL k"]


def test_a_migrate_may_end_before_the_request_has_returned(source: Source) -> None:
    source.moving("MIGRATE other 6379 other 0 100").answer("+OK")
    connection = source.moving("MIGRATE elsewhere 6379 k 0 100")
    source.client = source.connect()
    source.client.deliver = source.hear
    source.begin()
    assert source.heard == ["+OK", TO_ITSELF] and source.client.parked is None and source.ask("PING") == "+PONG"
    connection.answer("+OK")
    assert source.heard == ["+OK", TO_ITSELF, "+OK"]


@pytest.mark.parametrize("how", ["transaction", "script"])
def test_it_does_not_wait_where_nothing_can_wait(source: Source, how: str) -> None:
    no = "ERR MIGRATE cannot wait for another server in a transaction or a script"
    if how == "transaction":
        assert [source.ask(each) for each in ("MULTI", MOVE, "EXEC")] == ["+OK", "+QUEUED", f"*1 -{no}"]
    else:
        pytest.importorskip("lupa")
        assert no in source.ask("EVAL \"return redis.call('migrate', 'other', 6379, KEYS[1], 0, 100)\" 1 k")
    assert source.dialled == [] and source.ask("GET k") == "$1 1"


def test_during_a_pause_nothing_is_deleted(source: Source) -> None:
    connection = source.moving()
    source.by_another("CLIENT PAUSE 1000 WRITE")
    connection.answer("+OK")
    assert source.heard == ["-ERR clients are paused"] and source.ask("GET k") == "$1 1"


def test_while_the_disk_is_full_nothing_is_deleted(source: Source) -> None:
    connection = source.moving()
    source.failure = "No space left on device"  # type: ignore[assignment]
    connection.answer("+OK")
    assert source.heard == ["-MISCONF Errors writing to the AOF file: No space left on device"]
    assert source.engine.stores[0].held(b"k") == b"1" and source.logged == []


def test_a_server_that_has_become_a_replica_deletes_nothing(source: Source) -> None:
    connection = source.moving()
    assert source.by_another("REPLICAOF 127.0.0.1 1") == "+OK"
    assert len(source.heard) == 1 and source.heard[0].startswith("-UNBLOCKED ")
    connection.answer("+OK")
    assert source.ask("GET k") == "$1 1" and source.logged == [] and len(source.heard) == 1


def test_replicas_are_told_that_a_key_is_gone(source: Source) -> None:
    primary = source.engine.primary
    primary.begin("0" * 40, 0)
    source.moving().answer("+OK")
    stream = read_requests(primary.backlog.since(0) or b"")
    assert stream == [[b"SELECT", b"0"], [b"DEL", b"k"]] and source.client.write_offset == primary.offset


def test_the_event_is_del_and_errors_are_counted() -> None:
    source = Source()
    source.ask("CONFIG SET notify-keyspace-events EA")
    source.ask("MSET a 1 b 2")
    listener = source.connect()
    heard: list[str] = []
    listener.deliver = lambda value: heard.append(shown(encode(value)))
    source.engine.execute(listener, args_of("PSUBSCRIBE *"))
    heard.clear()
    connection = source.moving('MIGRATE other 6379 "" 0 100 KEYS a b')
    connection.answer("+OK", "+OK")
    assert [each.split()[-3:] for each in heard] == [["__keyevent@0__:del", "$1", name] for name in "ab"]
    source.ask("SET a 1")
    errors = source.engine.counters.error_replies
    source.begin('MIGRATE other 6379 "" 0 100 KEYS a b')
    connection.answer("-LOADING Redis is loading the dataset in memory")
    assert source.engine.counters.error_replies == errors + 1
    assert source.heard[-1] == "-ERR Target instance replied with error: LOADING Redis is loading the dataset in memory"


def test_the_reply_comes_after_the_events_and_client_reply_mutes_it(source: Source) -> None:
    for line in ("CONFIG SET notify-keyspace-events EA", "HELLO 3", "SUBSCRIBE __keyevent@0__:del"):
        source.ask(line)
    source.moving().answer("+OK")
    assert [each for each in source.heard if each] == [">3 $7 message $18 __keyevent@0__:del $1 k", "+OK"]
    for line in ("RESET", "SET k 1", "CLIENT REPLY SKIP"):
        source.ask(line)
    source.heard.clear()
    source.moving().answer("+OK")
    assert "".join(source.heard) == "" and source.client.parked is None and source.ask("PING") == "+PONG"


def test_the_slow_log_keeps_it_once_when_it_has_ended() -> None:
    source = Source(slowlog_log_slower_than=0)
    source.ask("SET k 1")
    source.ask("SLOWLOG RESET")
    connection = source.moving()
    assert len(source.engine.slowlog.entries) == 1
    connection.answer("+OK")
    assert [entry.args[0] for entry in source.engine.slowlog.entries] == [b"MIGRATE", b"SLOWLOG"]


def test_passwords_are_not_shown() -> None:
    source = Source(slowlog_log_slower_than=0)
    for line in ("MIGRATE h 1 k 0 9 AUTH a COPY AUTH2 b c KEYS d", "MIGRATE h 1 k 0 9 AUTH2 a"):
        source.ask(line)
    shown_ = [b" ".join(each.args).decode() for each in source.engine.slowlog.entries]
    assert shown_[1] == ("MIGRATE h 1 k 0 9 AUTH (redacted) COPY AUTH2 (redacted) (redacted) KEYS d") and shown_[
        0
    ].endswith("AUTH2 (redacted)")


# Large values


@pytest.fixture
def large(at_once: None, monkeypatch: pytest.MonkeyPatch) -> Source:
    """A server with a list of some 60 KB, of which each piece is written in an iteration of its own."""
    monkeypatch.setattr(targets, "SLICE", 0)
    source = Source()
    source.ask("RPUSH k " + " ".join(f"element:{at}" for at in range(5000)))
    source.logged.clear()
    return source


def run(connection: Connection, steps: int = 1000) -> int:
    """Let the server go on until it waits for the target; return the number of iterations."""
    for count in range(steps):
        if not connection.steps:
            return count
        connection.step()
    return steps


def test_a_large_value_is_written_in_pieces_and_others_are_served_in_between(large: Source) -> None:
    whole = large.ask("DUMP k")
    connection = large.moving()
    connection.step()
    assert connection.written == b"" and large.by_another("PING") == "+PONG"
    assert connection.silence[-1] == 0  # the target has nothing to answer yet
    assert run(connection) > 3
    (request,) = read_requests(connection.written)
    assert shown(encode(request[3])) == whole and connection.silence[-1] == 100
    connection.answer("+OK")
    assert large.heard == ["+OK"] and large.logged == ["DEL k"]


def test_a_large_value_that_changes_while_it_is_written_is_not_sent(large: Source) -> None:
    connection = large.moving()
    connection.step()
    large.by_another("RPUSH k more")
    run(connection)
    assert connection.written == b"" and large.heard == [CHANGED]
    assert large.ask("LLEN k") == ":5001" and large.logged == ["RPUSH k more"] and not large.engine.watching


def test_a_copy_that_changes_while_it_is_written_is_written_again(large: Source) -> None:
    connection = large.moving(MOVE + " COPY")
    connection.step()
    large.by_another("RPUSH k more")
    run(connection)
    (request,) = read_requests(connection.written)
    assert shown(encode(request[3])) == large.by_another("DUMP k")
    large.by_another("DEL k")
    connection.answer("+OK")
    assert large.heard == ["+OK"]


def test_a_large_value_that_expires_while_it_is_written(large: Source) -> None:
    large.ask("PEXPIRE k 1000")
    connection = large.moving()
    connection.step()
    large.now += 2000
    large.engine.expire()
    run(connection)
    assert connection.written == b"" and large.heard == ["+NOKEY"]


def test_a_connection_that_breaks_while_a_value_is_written(large: Source) -> None:
    connection = large.moving()
    connection.step()
    connection.conversation.closed("the connection was closed")
    assert large.heard == [UNREADABLE] and not large.engine.watching
    run(connection)
    assert connection.written == b"" and large.ask("LLEN k") == ":5000"
