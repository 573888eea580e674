"""Checkpoint 09: what stands between MULTI and EXEC happens at once, whole, or not at all."""

from __future__ import annotations

import shutil
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stages.harness.checkpoint import Dice, Modules, step
from stages.harness.log import has_records, log_of, logged, settle
from stages.harness.server import Server
from stages.harness.target import Target, redis
from stages.harness.wire import Client, Patience, request

Start = Callable[..., Server]
Connect = Callable[[], Client]

OK, QUEUED = b"+OK\r\n", b"+QUEUED\r\n"
MULTI, EXEC, DISCARD = request("MULTI"), request("EXEC"), request("DISCARD")
NULL, NULL_ARRAY, NULL_OF_RESP3 = b"$-1\r\n", b"*-1\r\n", b"_\r\n"
WRONG_TYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
NOT_AN_INTEGER = b"-ERR value is not an integer or out of range\r\n"
EXECABORT = b"-EXECABORT Transaction discarded because of previous errors.\r\n"
NO_MULTI = b"-ERR EXEC without MULTI\r\n"
PAST, FUTURE = 1, 99_999_999_999_000  # milliseconds since 1970: the year 1970, and the year 5138
ENGINE = """
from types import SimpleNamespace
from client import Client
from command import find
from engine import Engine
import commands, expire, keys, strings, transactions  # the commands

now, logged = 1000, []
engine = Engine(clock=lambda: now)
engine.log = SimpleNamespace(append=logged.append)
alice, bob, carol = (Client(id=number) for number in (1, 2, 3))
ask = lambda client, text: [engine.execute(client, line.encode().split()) for line in text.split(";")][-1]
engine.run(alice, find([b"PING"]), [b"PING"])
"""
"""What the checks of the engine begin with: three clients, a clock that is a variable, and a log that is a list."""


def check_engine(modules: Modules, source: str, expected: object, **names: Any) -> None:
    """Run the source after ENGINE, and assert that its `result` is what is expected."""
    modules.check(ENGINE + textwrap.dedent(source), expected, **names)


def bulk(value: bytes | str) -> bytes:
    """Encode a bulk string."""
    return request(value)[4:]


def answers(*replies: bytes) -> bytes:
    """Encode what EXEC answers: an array of these."""
    return b"*%d\r\n" % len(replies) + b"".join(replies)


def lines(text: str) -> list[list[bytes]]:
    """Make requests of lines: `DEL k; INCR k`."""
    return [line.encode().split() for line in text.split(";")]


def queue(client: Client, *requests: bytes) -> None:
    """Send MULTI, then the requests; each has to be answered with QUEUED."""
    client.check(MULTI + b"".join(requests), OK + QUEUED * len(requests))


@pytest.fixture
def server_options(tmp_path: Path) -> dict[str, Any]:
    """The server that the tests share keeps a log, and makes no fsync."""
    return {"data": tmp_path, "appendfsync": "no"}


@pytest.fixture
def other(connect: Connect) -> Client:
    """Another client of the same server."""
    return connect()


@pytest.fixture
def log(server: Server) -> Path:
    """The log of the shared server."""
    assert server.data
    logged(server.data)
    return log_of(server.data)


@pytest.fixture
def has_logged(connect: Connect, log: Path) -> Callable[[list[list[bytes]], bytes], None]:
    """A function that fails if something else was added to the log since the test has begun, or since the last call."""
    client = connect()
    settle(client)
    size = log.stat().st_size

    def has_logged(expected: list[list[bytes]], sent: bytes) -> None:
        nonlocal size
        settle(client)
        data = log.read_bytes()
        added, size = data[size:], len(data)
        has_records(added, expected, "This was added to the log.", sent)

    return has_logged


@pytest.fixture
def redis_server(patience: Patience, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a real Redis, with the log on."""
    servers: list[Server] = []

    def start(data: Path) -> Server:
        servers.append(Server(redis(), patience, tmp_path_factory.mktemp("redis"), data=data))
        servers[-1].await_ready()
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def modules(modules: Modules, target: Target) -> Modules:
    """Look into the target's modules; not into those of `final/`, which have grown out of the form they have here."""
    if target.is_final:
        pytest.skip("final/ has grown out of the form that its modules have here")
    return modules


# The queue


@step(1)
@pytest.mark.read("Step 1: a queue")
def test_multi_is_answered_with_ok_and_what_follows_with_queued(client: Client, rng: Dice) -> None:
    """After MULTI, which is answered with OK, each request of this client is answered with QUEUED, also PING.

    Is the connection closed? The traceback names what is missing: `execute` calls `answer`, `answer` calls `run`.

    MULTI sets `client.queue` to an empty list, and `answer` appends to it.

    Is MULTI itself answered with QUEUED? It gets to `run` before there is a queue. Is it refused? `queue` is None as
    long as there is no transaction, and an empty list is a queue: compare with `is not None`.
    """
    key = rng.key()
    client.check(MULTI, OK)
    for args in (["SET", key, "v"], ["get", key], ["PING"], ["INCR", key], ["UNWATCH"], ["BLPOP", key, "0"]):
        client.check(request(*args), QUEUED)


@step(1)
@pytest.mark.read("Step 1: a queue")
def test_what_is_queued_has_not_happened(
    client: Client, other: Client, has_logged: Callable[..., None], rng: Dice
) -> None:
    """Before EXEC nothing of what was queued has happened: other clients see no change, and nothing is in the log.

    Each client has a queue of its own, and the requests of others are executed.

    `answer` returns "QUEUED" and does not call `run`.
    """
    key = rng.key()
    sent = [request("INCR", key), request("SET", key, "9")]
    queue(client, *sent)
    other.check(request("EXISTS", key), b":0\r\n")
    has_logged([], MULTI + b"".join(sent))
    other.check(request("INCRBY", key, "5") + request("GET", key), b":5\r\n" + bulk("5"))
    client.check(request("GET", key), QUEUED)


@step(1)
@pytest.mark.read("Step 1: a queue")
def test_a_request_that_cannot_be_queued_is_refused_at_once(client: Client, rng: Dice) -> None:
    """Between MULTI and EXEC, an unknown command and a wrong number of arguments are errors, as always.

    `find` raises ReplyError for both. `answer` returns it, and queues nothing.

    What shows only when a command is executed is queued: INCR of a hash, for example.
    """
    key = rng.key()
    client.check(MULTI, OK)
    client.check(request("GET"), b"-ERR wrong number of arguments for 'get' command\r\n")
    client.check(request("HLEN", key, key), b"-ERR wrong number of arguments for 'hlen' command\r\n")
    client.send(request("FOO", key))
    client.expect_line(b"-ERR unknown command 'FOO'")
    client.check(request("HSET", key, "f", "v") + request("INCR", key), QUEUED * 2)
    client.check(request("INCRBY", key, "abc"), QUEUED)


@step(1)
@pytest.mark.read("Step 1: a queue")
def test_multi_in_multi_is_refused_and_the_transaction_goes_on(client: Client, rng: Dice) -> None:
    """A second MULTI is answered with an error, and the first one goes on: the next request is queued.

    `AT_ONCE` names the commands that are not queued. MULTI is one of them, so `multi` finds that there is a queue.
    """
    client.check(MULTI + request("PING"), OK + QUEUED)
    client.check(MULTI, b"-ERR MULTI calls can not be nested\r\n")
    client.check(
        request("PING") + request("multi", "x"), QUEUED + b"-ERR wrong number of arguments for 'multi' command\r\n"
    )
    client.check(request("GET", rng.key()), QUEUED)


@step(1)
@pytest.mark.read("Step 1: a queue")
def test_quit_is_not_queued(client: Client, other: Client, rng: Dice) -> None:
    """QUIT between MULTI and EXEC is answered with OK, and the connection is closed. Nothing has happened.

    QUIT is in AT_ONCE. The names in it are in lower case, as `command.name` is.
    """
    key = rng.key()
    queue(client, request("INCR", key))
    client.check(request("QUIT"), OK)
    client.expect_closed()
    other.check(request("EXISTS", key), b":0\r\n")


# EXEC


@step(2)
@pytest.mark.read("Step 2: EXEC")
def test_exec_executes_the_queue_and_answers_with_all_answers(client: Client, other: Client, rng: Dice) -> None:
    """EXEC executes what was queued, in its order, and answers with an array of the answers. Then all is as before.

    `engine.call(client, *queued)` for each pair in the queue: the answer to EXEC is the list of what it returns.

    Is the next request answered with QUEUED? `end` sets `client.queue` to None.
    """
    key, user = rng.key(), rng.key()
    queue(client, request("SET", key, "41"), request("incr", key), request("GET", key), request("HSET", user, "f", "v"))
    client.check(EXEC, answers(OK, b":42\r\n", bulk("42"), b":1\r\n"))
    client.check(request("APPEND", key, "!"), b":3\r\n")
    other.check(request("GET", key) + request("HGET", user, "f"), bulk("42!") + bulk("v"))
    client.check(MULTI + EXEC, OK + b"*0\r\n")
    queue(client, request("GET", rng.key()), request("LPOP", rng.key(), "2"), request("PING"))
    client.check(request("exec"), answers(NULL, NULL_ARRAY, b"+PONG\r\n"))


@step(2)
@pytest.mark.read("Step 2: EXEC")
def test_an_error_in_exec_stops_nothing_and_takes_nothing_back(client: Client, rng: Dice) -> None:
    """A command that fails in EXEC is answered with its error, among the answers; those before and behind it count.

    `run` returns a ReplyError. It is an answer like others, and the loop goes on.

    There is no rollback: what was executed before the error stays.
    """
    text, key = rng.key(), rng.key()
    queue(
        client,
        *(request("SET", text, "abc"), request("INCR", text), request("RPUSH", text, "x")),
        *(request("INCRBY", key, "soon"), request("INCR", key)),
    )
    client.check(EXEC, answers(OK, NOT_AN_INTEGER, WRONG_TYPE, NOT_AN_INTEGER, b":1\r\n"))
    client.check(request("GET", text) + request("GET", key), bulk("abc") + bulk("1"))


@step(2)
@pytest.mark.read("Step 2: EXEC")
def test_after_an_error_before_it_exec_executes_nothing(client: Client, rng: Dice) -> None:
    """If a request was refused since MULTI, EXEC is answered with EXECABORT, and nothing is executed.

    In `answer`, a ReplyError of `find` sets `client.broken` to True, if the client has a queue. Does EXEC look at
    `broken` before it calls `end`, which sets it to False?

    Does the error disappear with the next request that can be queued? `broken` stays until the transaction ends.

    It ends with EXECABORT, too: the next transaction is a new one, and an error outside of one breaks none.
    """
    key = rng.key()
    for wrong in (request("GET"), request("FOO"), request("INCR", key, key)):
        client.check(MULTI + request("INCR", key), OK + QUEUED)
        client.send(wrong)
        client.expect_line(b"-ERR ")
        client.check(request("INCR", key), QUEUED)
        client.check(EXEC, EXECABORT)
        client.check(request("EXISTS", key) + EXEC, b":0\r\n" + NO_MULTI)
        for _ in range(2):
            queue(client, request("PING"))
            client.check(EXEC, answers(b"+PONG\r\n"))
            client.send(wrong)
            client.expect_line(b"-ERR ")


@step(2)
@pytest.mark.read("Step 2: EXEC")
def test_refusals_that_break_nothing(client: Client, rng: Dice) -> None:
    """A MULTI inside MULTI is refused, and EXEC executes the queue all the same.

    Is the answer EXECABORT? Only what `find` raises breaks the transaction: this error comes from the command itself.
    """
    key = rng.key()
    queue(client, request("INCR", key))
    client.check(MULTI, b"-ERR MULTI calls can not be nested\r\n")
    client.check(request("INCR", key) + EXEC, QUEUED + answers(b":1\r\n", b":2\r\n"))


@step(2)
@pytest.mark.read("Step 2: EXEC")
def test_discard_forgets_the_queue(client: Client, rng: Dice) -> None:
    """DISCARD is answered with OK, and nothing of the queue is executed, then or later; the transaction is over.

    `end` sets `queue` to None and `broken` to False. EXEC and DISCARD without MULTI are errors.
    """
    key = rng.key()
    client.check(EXEC + DISCARD, NO_MULTI + b"-ERR DISCARD without MULTI\r\n")
    queue(client, request("INCR", key))
    client.check(DISCARD + DISCARD, OK + b"-ERR DISCARD without MULTI\r\n")
    client.check(EXEC + request("EXISTS", key), NO_MULTI + b":0\r\n")
    client.check(MULTI + request("GET"), OK + b"-ERR wrong number of arguments for 'get' command\r\n")
    client.check(DISCARD, OK)
    queue(client, request("INCR", key))
    client.check(EXEC, answers(b":1\r\n"))


@step(2)
@pytest.mark.read("Step 2: EXEC")
def test_an_answer_shows_what_was_there_when_its_command_was_executed(client: Client, rng: Dice) -> None:
    """HGETALL and SMEMBERS in EXEC answer with what was there then, not with what later commands have made of it.

    `hgetall` returns the dictionary that is in the store, and nothing is sent before the end of EXEC.

    `call` returns `copy(answer)`.
    """
    user, tags = rng.key(), rng.key()
    queue(
        client,
        *(request("HSET", user, "f", "1"), request("HGETALL", user), request("HSET", user, "f", "2", "g", "3")),
        *(request("SADD", tags, "a"), request("SMEMBERS", tags), request("SADD", tags, "b")),
        request("HGETALL", user),
    )
    client.check(
        EXEC,
        answers(
            *(b":1\r\n", request("f", "1"), b":1\r\n", b":1\r\n", request("a"), b":1\r\n"),
            request("f", "2", "g", "3"),
        ),
    )


@step(2)
@pytest.mark.read("Step 2: EXEC")
def test_nothing_waits_in_a_transaction(client: Client, other: Client, rng: Dice) -> None:
    """BLPOP in EXEC pops if it can, and else is answered with null at once, whatever its timeout is.

    Is there no answer at all, or one that cannot be encoded? `call` returns NULL_ARRAY in place of a Wait.

    Afterwards the client does not wait: what somebody pushes then stays in the list.
    """
    key = rng.key()
    queue(client, request("BLPOP", key, "0"), request("RPUSH", key, "a"), request("BLPOP", key, "0"))
    client.check(EXEC, answers(NULL_ARRAY, b":1\r\n", request(key, "a")))
    other.check(request("RPUSH", key, "b"), b":1\r\n")
    other.check(request("LLEN", key), b":1\r\n")
    client.check(request("PING"), b"+PONG\r\n")


@step(2)
@pytest.mark.read("Step 2: EXEC")
def test_nobody_comes_in_between(client: Client, other: Client, rng: Dice) -> None:
    """A client that waits in BLPOP gets nothing of what was pushed and popped in one EXEC; it gets what is left.

    EXEC is one unit: `serve` comes after the last of its commands. `call` uses `run`, not `execute`.
    """
    key = rng.key()
    other.check(request("PING") + request("BLPOP", key, "0"), b"+PONG\r\n")
    settle(client)
    queue(client, request("RPUSH", key, "a"), request("LLEN", key), request("LPOP", key))
    client.check(EXEC, answers(b":1\r\n", b":1\r\n", bulk("a")))
    settle(client)
    other.expect_nothing()
    queue(client, request("RPUSH", key, "b", "c"), request("LPOP", key), request("RPUSH", key, "d"))
    client.check(EXEC, answers(b":2\r\n", bulk("b"), b":2\r\n"))
    other.expect(request(key, "c"))
    client.check(request("LRANGE", key, "0", "-1"), request("d"))


@step(2)
@pytest.mark.read("Step 2: EXEC")
def test_who_leaves_takes_its_queue_along(client: Client, connect: Connect, rng: Dice) -> None:
    """If a client leaves before EXEC, nothing of its queue is executed.

    The queue is an attribute of the client, and EXEC never comes. Is there a traceback? `disconnect` calls `unwatch`.
    """
    key, leaving = rng.key(), connect()
    queue(leaving, request("INCR", key))
    leaving.close()
    for _ in range(3):
        client.check(request("EXISTS", key), b":0\r\n")
    queue(client, request("GET", key))
    client.check(EXEC, answers(NULL))


@step(2)
@pytest.mark.read("Step 2: EXEC")
def test_unwatch_forgets_all_keys_of_a_client(modules: Modules) -> None:
    """`Watching.unwatch` takes a client out of `watchers`, for each key that it watches, and empties `watched`.
    Alice watches a and b, Bob b. The result is `watchers` with the clients' numbers, and `watched` and `dirty` of both;
    first after Alice was unwatched, and again after Bob has disconnected.

    `dirty` is False after it, because nothing is watched any more.

    A key that nobody watches any more has no entry in `watchers`: otherwise the dictionary grows for ever.
    """
    check_engine(
        modules,
        """
        watching, result = engine.watching, []
        for client, key in ((alice, b"a"), (alice, b"b"), (bob, b"b")):
            client.watched.add(key)
            watching.watchers.setdefault(key, set()).add(client)
        alice.dirty = bob.dirty = True
        for forget, client in ((watching.unwatch, alice), (engine.disconnect, bob), (engine.disconnect, carol)):
            forget(client)
            result.append({key: [each.id for each in clients] for key, clients in watching.watchers.items()})
            result.append([(sorted(each.watched), each.dirty) for each in (alice, bob)])
        """,
        [
            *({b"b": [2]}, [([], False), ([b"b"], True)]),
            *({}, [([], False), ([], False)]),
            *({}, [([], False), ([], False)]),
        ],
    )


# The log


@step(3)
@pytest.mark.read("Step 3: one unit in the log")
def test_several_records_of_a_unit_stand_between_multi_and_exec(
    client: Client, has_logged: Callable[..., None], rng: Dice
) -> None:
    """In the log, what one EXEC has changed stands between MULTI and EXEC, each as the request that it was.

    `settle`: if there are several records, append MULTI before them and EXEC behind them.

    Does the log have `EXEC` in place of each request? A record that is None stands for the request of the unit, and
    that is EXEC. `call` replaces None by the request that was queued.

    What changed nothing, or failed, is not in it.
    """
    one, two = rng.key(), rng.key()
    sent = b"".join(
        [
            *(
                request("SET", one, "5"),
                request("GET", one),
                request("incrby", one, "2"),
                request("HSET", one, "f", "v"),
            ),
            *(request("DEL", two), request("RPUSH", two, "a", "b"), request("FLUSHALL", "now")),
        ]
    )
    client.check(MULTI + sent, OK + QUEUED * 7)
    client.check(EXEC, answers(OK, bulk("5"), b":7\r\n", WRONG_TYPE, b":0\r\n", b":2\r\n", b"-ERR syntax error\r\n"))
    changed = [[b"SET", one, b"5"], [b"incrby", one, b"2"], [b"RPUSH", two, b"a", b"b"]]
    has_logged([[b"MULTI"], *changed, [b"EXEC"]], MULTI + sent + EXEC)


@step(3)
@pytest.mark.read("Step 3: one unit in the log")
def test_a_single_record_stands_alone_and_without_one_there_is_nothing(
    client: Client, has_logged: Callable[..., None], rng: Dice
) -> None:
    """A unit with one record is in the log without MULTI and EXEC, and one that has changed nothing not at all.

    That holds for EXEC as for all others. Is a record missing? Only the frame is left out.
    """
    key = rng.key()
    queue(client, request("GET", key), request("INCR", key), request("DEL", rng.key()))
    client.check(EXEC, answers(NULL, b":1\r\n", b":0\r\n"))
    queue(client, request("GET", key))
    client.check(EXEC + MULTI + EXEC, answers(bulk("1")) + OK + b"*0\r\n")
    client.check(request("INCR", key), b":2\r\n")
    client.check(MULTI + request("INCR", key) + DISCARD, OK + QUEUED + OK)
    has_logged([[b"INCR", key]] * 2, MULTI + request("INCR", key) + EXEC + request("INCR", key))


@step(3)
@pytest.mark.read("Step 3: one unit in the log")
def test_what_goes_to_the_log_is_what_happened(client: Client, has_logged: Callable[..., None], rng: Dice) -> None:
    """In a transaction, too, the log has moments instead of spans: SET with EX is `SET … PXAT`.

    `call` replaces None, and leaves the other records as they are.
    """
    key = rng.key()
    sent = [request("SET", key, "v", "EXAT", FUTURE // 1000), request("EXPIREAT", key, FUTURE // 1000 - 1)]
    queue(client, *sent, request("APPEND", key, "w"))
    client.check(EXEC, answers(OK, b":1\r\n", b":2\r\n"))
    has_logged(
        [
            *([b"MULTI"], [b"SET", key, b"v", b"PXAT", b"%d" % FUTURE]),
            *([b"PEXPIREAT", key, b"%d" % (FUTURE - 1000)], [b"APPEND", key, b"w"], [b"EXEC"]),
        ],
        MULTI + b"".join(sent) + EXEC,
    )


@step(3)
@pytest.mark.read("Step 3: one unit in the log")
def test_who_waited_is_served_behind_the_transaction(
    client: Client, other: Client, has_logged: Callable[..., None], rng: Dice
) -> None:
    """If EXEC pushes to a list that somebody waits for, the log has the transaction, and behind it the LPOP.

    To serve somebody is a unit of its own, after EXEC has been settled. It has one record.
    """
    key = rng.key()
    other.check(request("PING") + request("BLPOP", key, "0"), b"+PONG\r\n")
    settle(client)
    sent = [request("RPUSH", key, "a"), request("RPUSH", key, "b")]
    queue(client, *sent)
    client.check(EXEC, answers(b":1\r\n", b":2\r\n"))
    other.expect(request(key, "a"))
    expected = [[b"MULTI"], [b"RPUSH", key, b"a"], [b"RPUSH", key, b"b"], [b"EXEC"], [b"LPOP", key]]
    has_logged(expected, MULTI + b"".join(sent) + EXEC)


@step(3)
@pytest.mark.read("Step 3: one unit in the log")
def test_settle_frames_the_records_of_any_unit(modules: Modules) -> None:
    """`Engine.settle` appends MULTI before several records of a unit, and EXEC behind them: also without EXEC.
    The result is, for units of no, one, two and three records, what was logged, and `db.records` after it. Then comes
    what was logged by an INCR that found its key expired, and by a round of expiry.

    An INCR that finds its key expired has two records, DEL and INCR. If only the DEL is replayed, the key is gone, and
    the INCR has not happened: that is half a unit.
    """
    args, record = [b"INCR", b"visits"], [b"DEL", b"visits"]
    check_engine(
        modules,
        """
        result = []
        for records in ([], [None], [record, None], [record, record, None]):
            engine.db.records = records
            engine.settle(args)
            result.append((list(logged), list(engine.db.records)))
            logged.clear()
        for key in (b"visits", b"a", b"b"):
            engine.db.put(key, b"41")
            engine.db.expire_at(key, 5000)
        now = 5001
        result.append([ask(alice, "INCR visits"), list(logged)])
        logged.clear()
        engine.expire()
        result.append(sorted(logged))
        """,
        [
            ([], []),
            ([args], []),
            ([[b"MULTI"], record, args, [b"EXEC"]], []),
            ([[b"MULTI"], record, record, args, [b"EXEC"]], []),
            [1, [[b"MULTI"], record, args, [b"EXEC"]]],
            [[b"DEL", b"a"], [b"DEL", b"b"], [b"EXEC"], [b"MULTI"]],
        ],
        args=args,
        record=record,
    )


# Half a transaction

TRANSACTION = lines("MULTI; SET a 2; INCR a; EXEC")


@step(4)
@pytest.mark.read("Step 4: half a transaction")
def test_a_replayed_transaction_happens_at_its_exec(modules: Modules) -> None:
    """`Engine.replay` queues what stands between MULTI and EXEC in the log, as for a client, and executes it at EXEC.
    The result has, for each request that is replayed: the reply, and `a` after it. At the end: `records`, `touched`,
    and what was logged by the replay.

    All that is replayed belongs to one client, `self.loader`: a new client for each request has no queue.

    Call `answer`, as `execute` does, and neither settle nor serve.
    """
    check_engine(
        modules,
        """
        result = []
        for args in requests:
            result.append((engine.replay(args), engine.db.get(b"a", bytes)))
        result += [engine.db.records, list(engine.db.touched), engine.db.now, logged]
        """,
        [
            *(("OK", b"1"), ("OK", b"1"), ("QUEUED", b"1"), ("QUEUED", b"1"), (["OK", 3], b"3"), (4, b"4")),
            *([], [], 0, []),
        ],
        requests=[*lines("SET a 1"), *TRANSACTION, *lines("INCR a")],
    )


@step(4)
@pytest.mark.read("Step 4: half a transaction")
def test_a_log_that_ends_in_a_transaction_is_cut_off_at_its_multi(modules: Modules, tmp_path: Path) -> None:
    """Wherever a log ends between a MULTI and its EXEC, `restore` cuts it off at the MULTI.
    The log has SET, a transaction, one more in lower case, and SET. The result has, for each number of bytes of it that
    is not treated right: the number, the size of the file after `restore`, and the numbers in what was printed.

    The end of the last complete *unit* counts. A request between MULTI and EXEC is complete, and ends no unit.

    Whether a transaction is open is decided by the command's name, in upper or lower case: MULTI opens one, EXEC
    closes it, and between them all others leave it open. A torn request leaves it as it is.
    """
    units = [lines("SET a 1"), TRANSACTION, lines("multi; DEL a; exec"), lines("SET b execute")]
    whole = [b"".join(request(*args) for args in unit) for unit in units]
    ends = [len(b"".join(whole[:count])) for count in range(len(whole) + 1)]
    modules.check(
        """
        import contextlib, io, re
        from pathlib import Path
        from aof import restore

        def replay(args):  # as `Engine.replay` answers
            global queueing
            name, queued = args[0].upper(), queueing
            queueing = name == b"MULTI" or queued and name != b"EXEC"
            return [1] if name == b"EXEC" else "QUEUED" if queued else "OK"

        result = []
        for size in range(len(log) + 1):
            queueing = False
            Path(path).write_bytes(log[:size])
            with contextlib.redirect_stderr(io.StringIO()) as said:
                restore(Path(path), replay)
            end = max(end for end in ends if end <= size)
            numbers = sorted(map(int, re.findall(r"\\b[0-9]+", said.getvalue().replace(path, ""))))
            got = (size, Path(path).stat().st_size, numbers)
            if got != (size, end, sorted([size - end, end]) if size > end else []):
                result.append(got)
        """,
        [],
        log=b"".join(whole),
        ends=ends,
        path=str(tmp_path / "appendonly.aof"),
    )


@step(4)
@pytest.mark.read("Step 4: half a transaction")
def test_an_error_in_a_replayed_transaction_is_damage(modules: Modules, tmp_path: Path) -> None:
    """`restore` raises CorruptLog if one of the answers of a replayed EXEC is an error; the file stays as it is.
    The log has SET, a transaction whose second answer is an error, and half a request. The result is what the message
    says about the offset, whether it has the error's text, and whether the file is as it was.

    The reply to EXEC is a list. Look at each of its items, as you look at a reply that is no list.

    The offset is where the EXEC begins. A list of answers without an error is no damage.
    """
    log = b"".join(request(*args) for args in [*lines("SET a 1"), *TRANSACTION])
    place = len(log) - len(EXEC)
    modules.check(
        """
        from pathlib import Path
        from aof import CorruptLog, restore

        result = []
        for answers in (["OK", ValueError("ERR no number")], ["OK", 1]):
            Path(path).write_bytes(log + log[:5])
            try:
                restore(Path(path), lambda args: answers if args[0] == b"EXEC" else "OK")
                found = ("no error", False)
            except CorruptLog as error:
                found = (str(error).partition(" is damaged ")[2].partition(":")[0], "ERR no number" in str(error))
            result.append((*found, len(Path(path).read_bytes())))
        """,
        [(f"at byte {place}", True, len(log) + 5), ("no error", False, len(log))],
        log=log,
        path=str(tmp_path / "appendonly.aof"),
    )


@step(4)
@pytest.mark.read("Step 4: half a transaction")
def test_what_follows_half_a_transaction_is_not_lost(start: Start, tmp_path: Path, rng: Dice) -> None:
    """A server starts on a log that ends in half a transaction: it has nothing of it, and what comes then is kept.

    A server writes a transaction and is killed. Then half of another one is appended to its log, and it starts, writes
    and is killed a second time.

    Is what was written last gone, or does the last start fail? The MULTI is still in the file, and what was appended
    belongs to its transaction: cut the file off *at* the MULTI.
    """
    key = rng.key()
    for value, half in ((b"1", b"MULTI; INCR %b; APPEND %b x"), (b"123", b"MULTI"), (b"12323", b"")):
        server = start(data=tmp_path, appendfsync="no")
        client = server.connect()
        if value == b"1":
            queue(client, request("INCR", key), request("GET", key))
            client.check(EXEC, answers(b":1\r\n", bulk("1")))
        else:
            client.check(request("GET", key), bulk(value))
        queue(client, request("APPEND", key, "2"), request("APPEND", key, "3"))
        client.check(EXEC, answers(*(b":%d\r\n" % (len(value) + more) for more in (1, 2))))
        settle(client)
        server.kill()
        with log_of(tmp_path).open("ab") as log:
            for args in lines(half.replace(b"%b", key).decode()) if half else []:
                log.write(request(*args))


@step(4)
@pytest.mark.needs("redis-server")
@pytest.mark.read("Step 4: half a transaction")
def test_a_real_redis_takes_over_transactions(
    client: Client, log: Path, server: Server, redis_server: Start, rng: Dice, tmp_path: Path
) -> None:
    """A real `redis-server --appendonly yes`, started on a copy of your folder, has what your transactions have made.

    Redis reads MULTI and EXEC, as requests of their own; nothing else may stand in between but requests.
    """
    key, user = rng.key(), rng.key()
    queue(client, request("SET", key, "41"), request("HSET", user, "f", "v"), request("INCR", key))
    client.check(EXEC, answers(OK, b":1\r\n", b":42\r\n"))
    settle(client)
    assert server.data
    copy = shutil.copytree(server.data, tmp_path / "copy-for-redis")
    redis_server(copy).connect().check(request("GET", key) + request("HGET", user, "f"), bulk("42") + bulk("v"))


# WATCH


@step(5)
@pytest.mark.read("Step 5: compare and set")
def test_exec_does_nothing_if_a_watched_key_has_changed(client: Client, other: Client, rng: Dice) -> None:
    """If another client changes a key between WATCH and EXEC, EXEC is answered with null, and nothing is executed.

    `watch` notes the client under the key, `serve` calls `touch` for each key that was changed, and `touch` sets
    `dirty` of those who watch it.

    Is nothing touched? `execute` calls `serve` if any client waits, or any key is watched.

    The null is that of an array, NULL_ARRAY. The transaction is over then, and the next one has its chance.
    """
    for when in ("before MULTI", "after MULTI"):
        key = rng.key()
        client.check(request("SET", key, "1") + request("watch", key), OK * 2)
        if when == "before MULTI":
            other.check(request("INCR", key), b":2\r\n")
        queue(client, request("SET", key, "mine"))
        if when == "after MULTI":
            other.check(request("INCR", key), b":2\r\n")
        client.check(EXEC, NULL_ARRAY)
        client.check(request("GET", key) + EXEC, bulk("2") + NO_MULTI)
        queue(client, request("INCR", key))
        client.check(EXEC, answers(b":3\r\n"))


@step(5)
@pytest.mark.read("Step 5: compare and set")
def test_exec_works_if_no_watched_key_has_changed(client: Client, other: Client, rng: Dice) -> None:
    """EXEC executes the queue if only other keys have changed, or nothing has: a read, and what fails, is no change.

    `serve` calls `touch` with each key in `db.touched`, and those are what `changed` was called with.
    """
    key = rng.key()
    client.check(request("HSET", key, "f", "v") + request("WATCH", key, rng.key()), b":1\r\n" + OK)
    other.check(request("SET", rng.key(), "w") + request("HGET", key, "f"), OK + bulk("v"))
    other.check(request("INCR", key) + request("SET", key, "w", "NX"), WRONG_TYPE + NULL)
    other.check(request("HDEL", key, "g") + request("PERSIST", key), b":0\r\n" * 2)
    queue(client, request("HSET", key, "f", "w"), request("HGET", key, "f"))
    client.check(EXEC, answers(b":0\r\n", bulk("w")))


CHANGES = {
    "SET s v": "SET to the value that it has",
    "APPEND s x": "APPEND",
    "DEL s": "DEL",
    "EXPIRE s 1000": "a deadline",
    "HSET h f w": "HSET",
    "HDEL h f": "HDEL of the last field",
    "RPUSH l b": "RPUSH",
    "LPOP l": "LPOP of the last element",
    "LMOVE l s2 LEFT LEFT": "LMOVE from it",
    "LMOVE m l LEFT LEFT": "LMOVE to it",
    "SPOP t": "SPOP",
    "ZADD z 2 b": "ZADD",
    "FLUSHALL": "FLUSHALL",
    "MSET other 1 s w": "MSET of two keys",
    "SET missing v": "a key that was not there",
}


@step(5)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.read("Step 5: compare and set")
def test_each_kind_of_change_counts(change: str, client: Client, other: Client) -> None:
    """Whatever changes a watched key, EXEC is answered with null: SET, DEL, EXPIRE, LPOP, FLUSHALL and others.
    SET to the same value counts as well: values are not compared.

    Each of these calls `db.changed` with the key. `touch` is called for all of them, in `serve`.
    """
    client.check(request("FLUSHALL") + request("MSET", "s", "v", "other", "o"), OK * 2)
    client.check(
        request("HSET", "h", "f", "v") + request("RPUSH", "l", "a") + request("RPUSH", "m", "c"), b":1\r\n" * 3
    )
    client.check(request("SADD", "t", "a") + request("ZADD", "z", "1", "a"), b":1\r\n" * 2)
    client.check(request("WATCH", *"shltz", "missing"), OK)
    other.send(request(*change.split()))
    assert not other.read_reply().startswith(b"-"), change
    queue(client, request("PING"))
    client.check(EXEC, NULL_ARRAY)


@step(5)
@pytest.mark.read("Step 5: compare and set")
def test_changed_and_changed_back_is_changed(client: Client, other: Client, rng: Dice) -> None:
    """A watched key that has its old value again, or is gone again, has changed.

    Set `dirty` when the key is changed. Do not compare its value at EXEC.
    """
    key, new = rng.key(), rng.key()
    for watched, there, back, reply in ((key, "INCR", "DECR", b":-1\r\n"), (new, "INCR", "DEL", b":1\r\n")):
        client.check(request("SET", key, "-1") + request("WATCH", watched), OK * 2)
        other.check(request(there, watched), b":0\r\n" if watched == key else b":1\r\n")
        other.check(request(back, watched), reply)
        queue(client, request("PING"))
        client.check(EXEC, NULL_ARRAY)


@step(5)
@pytest.mark.read("Step 5: compare and set")
def test_own_changes_count_before_multi_and_not_in_exec(client: Client, rng: Dice) -> None:
    """A client's own change between WATCH and MULTI counts, too. What its EXEC changes does not matter to the next one.

    Does the second EXEC do nothing? EXEC ends the watching before it executes: call `end` before the first `call`.

    Does the first EXEC execute its queue? `end` sets `dirty` to False: look at it before.
    """
    key = rng.key()
    client.check(request("WATCH", key) + request("INCR", key), OK + b":1\r\n")
    queue(client, request("INCR", key))
    client.check(EXEC, NULL_ARRAY)
    for value in (2, 4):
        client.check(request("WATCH", key), OK)
        queue(client, request("INCR", key), request("INCR", key))
        client.check(EXEC, answers(b":%d\r\n" % value, b":%d\r\n" % (value + 1)))


@step(5)
@pytest.mark.read("Step 5: compare and set")
def test_a_refused_request_comes_before_a_changed_key(client: Client, other: Client, rng: Dice) -> None:
    """If a request was refused, EXEC answers EXECABORT, also if a watched key has changed. The null of RESP3 is `_`.

    Look at `broken` before `dirty`.
    """
    key = rng.key()
    for broken in (True, False):
        client.check(request("WATCH", key), OK)
        other.check(request("INCR", key), b":%d\r\n" % (2 - broken))
        client.check(MULTI, OK)
        if broken:
            client.check(request("GET"), b"-ERR wrong number of arguments for 'get' command\r\n")
        client.check(request("INCR", key), QUEUED)
        client.check(EXEC, EXECABORT if broken else NULL_ARRAY)
    client.send(request("HELLO", "3"))
    client.read_reply()
    client.check(request("WATCH", key), OK)
    other.check(request("INCR", key), b":3\r\n")
    queue(client, request("INCR", key))
    client.check(EXEC, NULL_OF_RESP3)


@step(5)
@pytest.mark.read("Step 5: compare and set")
def test_exec_discard_and_unwatch_end_the_watching(client: Client, other: Client, rng: Dice) -> None:
    """After EXEC, DISCARD or UNWATCH nothing is watched: a change of the key does not matter to the next EXEC.

    `unwatch` also sets `dirty` to False: what had been changed before does not count any more.

    Is it the EXEC that executed nothing, for a key had changed, or a request was refused? It ends the watching, too.
    """
    key = rng.key()
    refused = b"-ERR wrong number of arguments for 'get' command\r\n"
    for ending, replies in (
        (MULTI + EXEC, OK + b"*0\r\n"),
        (MULTI + DISCARD, OK * 2),
        (request("UNWATCH"), OK),
        (MULTI + request("GET") + EXEC, OK + refused + EXECABORT),
    ):
        for changed_before in (True, False):
            client.check(request("WATCH", key), OK)
            if changed_before and ending != MULTI + EXEC:
                other.check(request("SET", key, "v"), OK)
            client.check(ending, replies)
            if not changed_before:
                other.check(request("SET", key, "v"), OK)
            queue(client, request("GET", key))
            client.check(EXEC, answers(client_sees(other, key)))


def client_sees(client: Client, key: bytes) -> bytes:
    """Return the reply to GET."""
    client.send(request("GET", key))
    return client.read_reply()


@step(5)
@pytest.mark.read("Step 5: compare and set")
def test_each_watching_client_is_told_and_nobody_else(client: Client, connect: Connect, rng: Dice) -> None:
    """Of three clients that watch, those two that watch the key which has changed get null. One has left before.

    `watchers` has a set of clients for each key, and a client can watch several keys.
    """
    key, second = rng.key(), rng.key()
    both, one, another, left = (connect() for _ in range(4))
    both.check(request("WATCH", key) + request("WATCH", second), OK * 2)
    one.check(request("WATCH", second, second) + request("WATCH", second), OK * 2)
    another.check(request("WATCH", key), OK)
    left.check(request("WATCH", second), OK)
    left.close()
    settle(client)
    client.check(request("SET", second, "v") + request("SET", second, "w"), OK * 2)
    for each, reply in (
        (both, NULL_ARRAY),
        (one, NULL_ARRAY),
        (another, answers(bulk("w"))),
        (client, answers(bulk("w"))),
    ):
        queue(each, request("GET", second))
        each.check(EXEC, reply)


@step(5)
@pytest.mark.read("Step 5: compare and set")
def test_watch_inside_multi_is_refused_and_unwatch_is_queued(client: Client, other: Client, rng: Dice) -> None:
    """WATCH between MULTI and EXEC is an error, and the transaction goes on; UNWATCH is queued, and comes too late.

    WATCH is in AT_ONCE, so `watch` finds that there is a queue, and raises the error. UNWATCH is not.
    """
    key = rng.key()
    queue(client, request("INCR", key))
    client.check(request("WATCH", key), b"-ERR WATCH inside MULTI is not allowed\r\n")
    other.check(request("INCR", key), b":1\r\n")
    client.check(EXEC, answers(b":2\r\n"))
    client.check(request("WATCH", key), OK)
    other.check(request("INCR", key), b":3\r\n")
    queue(client, request("UNWATCH"))
    client.check(EXEC, NULL_ARRAY)
    queue(client, request("UNWATCH"))
    client.check(EXEC + request("UNWATCH"), answers(OK) + OK)


@step(5)
@pytest.mark.read("Step 5: compare and set")
def test_changes_by_exec_and_by_serving_count(client: Client, other: Client, connect: Connect, rng: Dice) -> None:
    """Another client's EXEC changes the keys that its commands change, and BLPOP changes its list when it is served.

    Does it not count? `call` leaves `db.touched` as it is, and `serve` calls `touch` for what serving touches, too.
    """
    key, source, target = rng.key(), rng.key(), rng.key()
    client.check(request("WATCH", key), OK)
    queue(other, request("PING"), request("INCR", key))
    other.check(EXEC, answers(b"+PONG\r\n", b":1\r\n"))
    queue(client, request("PING"))
    client.check(EXEC, NULL_ARRAY)
    waiting = connect()
    waiting.check(request("PING") + request("BLMOVE", source, target, "LEFT", "LEFT", "0"), b"+PONG\r\n")
    client.check(request("WATCH", target), OK)
    other.check(request("RPUSH", source, "x"), b":1\r\n")
    waiting.expect(bulk("x"))
    queue(client, request("PING"))
    client.check(EXEC, NULL_ARRAY)


@step(5)
@pytest.mark.read("Step 5: compare and set")
def test_no_increment_is_lost(connect: Connect, rng: Dice) -> None:
    """Five clients increment by WATCH, GET, MULTI, SET and EXEC, one step each in turn: each EXEC that works counts.

    In each round all have read the same value, so one EXEC works, and the others are answered with null.
    """
    key, clients = rng.key(), [connect() for _ in range(5)]
    clients[0].check(request("SET", key, "0"), OK)
    for done in range(8):
        rng.shuffle(clients)
        for each in clients:
            each.check(request("WATCH", key) + request("GET", key), OK + bulk(str(done)))
        for each in clients:
            queue(each, request("SET", key, str(done + 1)))
        for place, each in enumerate(clients):
            each.check(EXEC, NULL_ARRAY if place else answers(OK))
    clients[0].check(request("GET", key), bulk("8"))


@step(5)
@pytest.mark.read("Step 5: compare and set")
def test_nothing_stays_touched(modules: Modules) -> None:
    """After each request `db.touched` is empty, whether anybody waits or watches or not.
    Alice writes twice while nobody waits or watches, once while Bob watches a key, and once while Carol waits, too. The
    result is `touched` after each of these.

    `serve` takes the keys out of `touched`. If `execute` does not call it, who does? It would grow for ever.

    `self.db.touched.clear()` at the end of `execute`.
    """
    check_engine(
        modules,
        """
        import lists

        result = []
        for before in (lambda: None, lambda: None, lambda: ask(bob, "WATCH k"), lambda: ask(carol, "BLPOP l 0")):
            before()
            ask(alice, "SET j v; SET k v")
            result.append(list(engine.db.touched))
        """,
        [[], [], [], []],
    )


@step(5)
@pytest.mark.read("Step 5: compare and set")
def test_watching_knows_who_watches_which_key(modules: Modules) -> None:
    """`Watching.watch` notes the client under the key, and the key in `client.watched`; `touch` sets `dirty` of those.
    The result is `watchers` with the clients' numbers, and `watched` of both; then who is dirty after each `touch`.

    `self.watchers.setdefault(key, set())` returns the set of a key, and makes it if there is none.

    To touch a key that nobody watches does nothing, and leaves no empty set.
    """
    check_engine(
        modules,
        """
        watching = engine.watching
        for client, key in ((alice, b"a"), (alice, b"b"), (bob, b"b"), (bob, b"b")):
            watching.watch(client, key)
        result = [{key: sorted(each.id for each in clients) for key, clients in watching.watchers.items()}]
        result += [sorted(each.watched) for each in (alice, bob)]
        for key in (b"c", b"a", b"b"):
            watching.touch(key)
            result.append((alice.dirty, bob.dirty))
        result.append(sorted(watching.watchers))
        """,
        [
            *({b"a": [1], b"b": [1, 2]}, [b"a", b"b"], [b"b"]),
            *((False, False), (True, False), (True, True), [b"a", b"b"]),
        ],
    )


# A key that expires


@step(6)
@pytest.mark.read("Step 6: a key that expires")
def test_a_watched_key_that_expires_has_changed(modules: Modules) -> None:
    """If a watched key expires before EXEC, EXEC does nothing: whoever notices that it has expired, or if nobody does.
    The result has what EXEC answers: if another client has asked for the key; if a round of expiry has removed it; if
    nobody has noticed; and if the deadline is now, and has not passed. `null` is NULL_ARRAY.

    `expired` adds the key that it removes to `touched`; `serve` tells who watches it. `Engine.expire` has to call
    `serve`, too, for no request comes.

    If nobody has noticed, EXEC has to look at each key in `client.watched` with `expired` of the store. Do so before
    `end`, which empties `watched`.
    """
    check_engine(
        modules,
        """
        from writer import NULL_ARRAY

        result = []
        for found_by in (lambda: ask(bob, "GET k"), lambda: engine.expire(), lambda: None, lambda: "not yet"):
            now = 1000
            ask(alice, "FLUSHALL; SET other 1; SET k v PXAT 5000; WATCH other k; MULTI; INCR other")
            now = 5000 if found_by() == "not yet" else 5001
            found_by()
            answer = ask(alice, "EXEC")
            result.append("null" if answer is NULL_ARRAY else answer)
        """,
        ["null", "null", "null", [2]],
    )


@step(6)
@pytest.mark.read("Step 6: a key that expires")
def test_expired_before_watch_is_gone_and_has_not_changed(modules: Modules) -> None:
    """A key that had expired before WATCH is no key then, so EXEC works; who watched it before, when it was there, gets
    null. The result has what EXEC of Alice, who comes too late, and of Bob answers, and what was logged since WATCH.

    Remove the expired keys first, with `expired` of the store; then call `engine.serve()`, so that those who watch
    already are told; then note the client.

    If Alice were noted first, the removal would make her dirty.
    """
    check_engine(
        modules,
        """
        from writer import NULL_ARRAY

        ask(bob, "SET k v PXAT 5000; WATCH k")
        logged.clear()
        now = 5001
        ask(alice, "WATCH j k")
        result = [ask(alice, "MULTI; PING; EXEC"), ask(bob, "MULTI; PING; EXEC") is NULL_ARRAY, logged]
        """,
        [["PONG"], True, [[b"DEL", b"k"]]],
    )


@step(6)
@pytest.mark.read("Step 6: a key that expires")
def test_who_watches_a_key_of_the_past_is_not_disturbed(client: Client, other: Client, rng: Dice) -> None:
    """After WATCH of a key whose deadline has passed, EXEC works; if somebody makes the key again, it does not.

    Here the key gets a deadline in 1970, and WATCH comes in the same chunk.
    """
    for again in (False, True):
        key = rng.key()
        client.check(request("SET", key, "v", "PXAT", PAST) + request("WATCH", key), OK * 2)
        other.check(request("EXISTS", key), b":0\r\n")
        if again:
            other.check(request("SET", key, "w"), OK)
        queue(client, request("GET", key))
        client.check(EXEC, NULL_ARRAY if again else answers(NULL))


@step(6)
@pytest.mark.read("Step 6: a key that expires")
def test_a_key_that_vanishes_while_it_is_watched_has_changed(client: Client, other: Client, rng: Dice) -> None:
    """WATCH a key with 50 milliseconds left, wait until it is gone, then EXEC: null.

    `expired` and the rounds of expiry tell those who watch.
    """
    for milliseconds in (50, 500, 5000):
        key = rng.key()
        client.check(request("SET", key, "v", "PX", milliseconds) + request("WATCH", key), OK * 2)
        if other.ask("EXISTS", key):
            break
        client.check(request("UNWATCH"), OK)  # the machine is busy: it was gone before WATCH, perhaps
    deadline = time.monotonic() + milliseconds / 1000 + client.patience.seconds
    while other.ask("EXISTS", key) and time.monotonic() < deadline:
        time.sleep(0.01)
    queue(client, request("PING"))
    client.check(EXEC, NULL_ARRAY)


@step(6)
@pytest.mark.read("Step 6: a key that expires")
def test_flushall_changes_the_keys_that_it_removes(client: Client, other: Client, rng: Dice) -> None:
    """FLUSHALL, which is given, changes the keys that it removes, and no others. One that has expired was none.

    Is the second EXEC null? The key was never there.
    """
    key, missing, expired = rng.key(), rng.key(), rng.key()
    client.check(request("SET", key, "v") + request("SET", expired, "v", "PXAT", PAST), OK * 2)
    for watched, reply in ((missing, answers(b"+PONG\r\n")), (expired, answers(b"+PONG\r\n")), (key, NULL_ARRAY)):
        other.check(request("SET", key, "v"), OK)
        client.check(request("WATCH", watched), OK)
        other.check(request("FLUSHALL"), OK)
        queue(client, request("PING"))
        client.check(EXEC, reply)
