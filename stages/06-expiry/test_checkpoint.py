"""Checkpoint 06: a key is there until its deadline, and not longer, whatever happens to the server in between."""

from __future__ import annotations

import shutil
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stages.harness.checkpoint import Dice, Modules, step
from stages.harness.log import has_records, log_of, logged, records, same, settle
from stages.harness.server import Server
from stages.harness.target import Target, redis
from stages.harness.wire import Client, Patience, request

Start = Callable[..., Server]

OK = b"+OK\r\n"
NULL = b"$-1\r\n"
WRONG_TYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
PAST, FUTURE = 1, 99_999_999_999_000  # milliseconds since 1970: the year 1970, and the year 5138
ENGINE = """
from types import SimpleNamespace
from client import Client
from engine import Engine
import expire, hashes, keys, strings  # the commands

now, logged = 1000, []

def append(record):
    if record not in ([b"MULTI"], [b"EXEC"]):  # from stage 09 on, these are around several records of one unit
        logged.append(record)

engine = Engine(clock=lambda: now)
engine.log = SimpleNamespace(append=append)
ask = lambda line: engine.execute(Client(id=1), line.encode().split())
engine.settle([b"PING"])  # a unit that has changed nothing
"""
"""What the checks of the engine begin with: the clock is a variable, and the log is a list."""


def check_engine(modules: Modules, source: str, expected: object, **names: Any) -> None:
    """Run the source after ENGINE, and assert that its `result` is what is expected."""
    modules.check(ENGINE + textwrap.dedent(source), expected, **names)


def lines(text: str) -> list[list[bytes]]:
    """Make requests of lines: `DEL k; INCR k`."""
    return [line.encode().split() for line in text.split(";")]


def added(log: Path, before: int) -> bytes:
    """Return what was added to the log since it had that size, a line for each record, without MULTI and EXEC.

    Redis puts these two around a DEL and the change behind it. That belongs to stage 09.
    """
    found = records(log.read_bytes()[before:])
    return b"".join(b" ".join(args) + b"\r\n" for args in found if args not in ([b"MULTI"], [b"EXEC"]))


def number(client: Client, *args: bytes | str | int) -> int:
    """Ask for an integer."""
    reply = client.ask(*args)
    assert isinstance(reply, int), f"{args[0]!r} was answered with {reply!r}, not with an integer"
    return reply


@pytest.fixture
def server_options(tmp_path: Path) -> dict[str, Any]:
    """The server that the tests share keeps a log, and makes no fsync."""
    return {"data": tmp_path, "appendfsync": "no"}


@pytest.fixture
def log(server: Server) -> Path:
    """The log of the shared server."""
    assert server.data
    logged(server.data)
    return log_of(server.data)


@pytest.fixture
def started_with(start: Start, tmp_path: Path) -> Callable[[list[list[bytes]]], Client]:
    """Start a server on a log that has these requests, and connect to it."""

    def started(requests: list[list[bytes]]) -> Client:
        (tmp_path / "written").mkdir()
        (tmp_path / "written" / "appendonly.aof").write_bytes(b"".join(request(*args) for args in requests))
        return start(data=tmp_path / "written", appendfsync="no").connect()

    return started


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


# What a unit records


@step(1)
@pytest.mark.read("Step 1: what a unit records")
def test_changed_records_what_goes_to_the_log(modules: Modules) -> None:
    """`Store.changed` adds one record to `records` for each call: the request in `log`, or None.
    The result is `records` after three calls.

    `changed(b"k")` records None: the request that is being executed goes to the log as it came. There may be no key at
    all, as in FLUSHALL, or several: it is one record.

    `self.records.append(log)`, in place of the line that counted.
    """
    check_engine(
        modules,
        """
        engine.db.changed(b"k", b"other")
        engine.db.changed(b"k", log=[b"PEXPIREAT", b"k", b"9000"])
        engine.db.changed()
        result = engine.db.records
        """,
        [None, [b"PEXPIREAT", b"k", b"9000"], None],
    )


@step(1)
@pytest.mark.read("Step 1: what a unit records")
def test_a_hash_that_is_empty_goes_and_takes_its_deadline_along(modules: Modules) -> None:
    """`Store.changed` removes an empty hash, and its deadline: the next hash at that key has none.
    An empty string stays. The result is the keys that are left; then the deadlines of a new hash at the same key, of
    another hash that is not empty, and of the empty string.

    Is the deadline of `user` still there? Where you delete the value, also take the key out of `_deadlines`. It may
    have none: `pop(key, None)`. Do not call `delete`: it works only when step 3 is written.

    A hash that is not empty, an empty string, and a key that does not exist, stay as they are.
    """
    check_engine(
        modules,
        """
        from store import HASH

        db = engine.db
        for key in (b"user", b"other"):
            db.make(key, HASH)[b"name"] = b"Alice"
            db.expire_at(key, 9000)
        db.put(b"string", b"")
        db.expire_at(b"string", 9000)
        del db.make(b"user", HASH)[b"name"]
        db.changed(b"user", b"other", b"string", b"missing")
        result = [sorted(key for key, _ in db.items())]
        db.make(b"user", HASH)[b"name"] = b"Bob"
        result += [db.deadline(b"user"), db.deadline(b"other"), db.deadline(b"string")]
        """,
        [[b"other", b"string"], None, 9000, 9000],
    )


@step(1)
@pytest.mark.read("Step 1: what a unit records")
def test_settle_appends_the_records_to_the_log_and_empties_them(modules: Modules) -> None:
    """`Engine.settle` appends each record to the log, in order, and None as the request; then there are none.
    The result is the log after the unit of an INCR, after a second one without records, and `records` after each; then
    the same after a unit without a log.

    Does `records` have something left, or is something logged twice? Empty it, with a log and without one
    (`self.log` is None).

    Is None in the log? It stands for the request: append `args` instead.
    """
    record, args = [b"DEL", b"expired"], [b"INCR", b"visits"]
    check_engine(
        modules,
        """
        db, result = engine.db, []
        db.records = [record, None]
        for _ in range(2):
            engine.settle(args)
            result.append((list(logged), list(db.records)))
        engine.log = None
        db.records = [None]
        engine.settle(args)
        result.append((list(logged), list(db.records)))
        """,
        [([record, args], []), ([record, args], []), ([record, args], [])],
        record=record,
        args=args,
    )


# One unit, one instant


@step(2)
@pytest.mark.read("Step 2: one unit, one instant")
def test_a_request_is_executed_at_one_instant_and_logged_if_it_has_changed_something(modules: Modules) -> None:
    """`Engine.execute` reads the clock once for each request, and logs those that have changed something.
    The clock goes on by 1000 whenever it is read, and INSTANT answers with `db.now`. The result is, for each request:
    the reply, and `db.now` after it; then what was logged.

    Set `self.db.now` to `self.clock()` before the request is executed, and do not read the clock again.

    `settle(args)` after the request logs it. It is called for each request: a GET can have records, too.
    """
    requests = "INCR visits; INSTANT; GET visits; APPEND a x; HDEL user f; HSET user f v; HGET user f; INSTANT"
    check_engine(
        modules,
        """
        from command import command
        from store import Store

        @command
        def instant(db: Store):
            return db.now

        times = iter(range(1000, 99000, 1000))
        engine.clock = lambda: next(times)
        result = [(ask(line), engine.db.now) for line in lines.split(";")]
        result.append(logged)
        """,
        [
            *zip([1, 2000, b"1", 1, 0, 1, b"v", 8000], range(1000, 9000, 1000), strict=True),
            lines("INCR visits; APPEND a x; HSET user f v"),
        ],
        lines=requests,
    )


@step(2)
@pytest.mark.read("Step 2: one unit, one instant")
def test_a_replayed_request_is_executed_at_0_and_logged_nowhere(modules: Modules) -> None:
    """`Engine.replay` executes a request with `db.now` at 0, and leaves no record of it.
    The result is, for each request: the reply, `db.now` and `db.records`. The last one is the request of a client; then
    comes what was logged.

    Is `db.now` another number than 0? Set it, whatever the clock says. Is something in `db.records`? `replay` has to
    empty it: otherwise the first request of a client logs it a second time.
    """
    check_engine(
        modules,
        """
        engine.db.now = 77
        result = []
        for line in ("INCR visits", "GET visits"):
            result.append((engine.replay(line.encode().split()), engine.db.now, list(engine.db.records)))
        result += [ask("INCR visits"), engine.db.now, logged]
        """,
        [(1, 0, []), (b"1", 0, []), 2, 1000, [[b"INCR", b"visits"]]],
    )


@step(2)
@pytest.mark.read("Step 2: one unit, one instant")
def test_data_received_executes_with_the_engine_until_the_client_leaves(modules: Modules) -> None:
    """`Connection.data_received` has the engine execute each request, and calls `send_soon` at the end.
    After QUIT or a protocol error the client is `leaving`, and no request of it is executed any more: `b` stays 1.
    The result is, for three chunks of three clients: `output`, whether the client is leaving, and how often `send_soon`
    was called; then what was logged.

    Is `b` incremented twice? Ask `client.leaving` before each `self.reader.next()`. Is the client of `*x` not leaving?
    Set `client.leaving` where you catch ProtocolError.

    `self.server.engine.execute` executes. The rest is as in stage 05.
    """
    error = b"-ERR Protocol error: invalid multibulk length\r\n"
    check_engine(
        modules,
        """
        from server import Connection, Server

        server, result = Server(), []
        server.engine = engine
        for chunk in (b"INCR a\\r\\nINCR a\\r\\nINC", b"INCR b\\r\\nQUIT\\r\\nINCR b\\r\\n", b"*x\\r\\nINCR b\\r\\n"):
            connection, calls = Connection(server), []
            server.send_soon = calls.append
            connection.data_received(chunk)
            if connection.client.leaving:
                connection.data_received(b"INCR b\\r\\n")
            result.append((bytes(connection.output), connection.client.leaving, len(calls)))
        result.append(logged)
        """,
        [
            (b":1\r\n:2\r\n", False, 1),
            (b":1\r\n" + OK, True, 2),
            (error, True, 2),
            lines("INCR a; INCR a; INCR b"),
        ],
    )


@step(2)
@pytest.mark.read("Step 2: one unit, one instant")
def test_before_sleep_flushes_the_log_of_the_engine_before_it_sends(modules: Modules) -> None:
    """`Server.before_sleep` flushes the engine's log, then calls `send` of each connection in `unsent`, and empties it.
    If the flush raises OSError, nothing is sent, and `sys.exit` says why. The result is what was called, in its order,
    and how many connections are in `unsent` after it: with two connections; with one, and no log; with one, and a log
    that cannot be written.

    Is `send` called before `flush`? A client may have OK only for what the log has. Is something left in `unsent`? Take
    the list out of `self.unsent`, and put an empty one there: `unsent, self.unsent = self.unsent, []`.

    Is `send` called although the log cannot be written? Let `sys.exit` end `before_sleep`: it raises SystemExit.
    """
    check_engine(
        modules,
        """
        from server import Server

        class Noting:  # as a connection and as a log
            def send(self):
                calls.append("send")

            def flush(self):
                calls.append("flush")

        class Full:
            def flush(self):
                raise OSError("the disk is full")

        server, result = Server(), []
        server.engine = engine
        for engine.log, connections in ((Noting(), 2), (None, 1), (Full(), 1)):
            calls, server.unsent = [], [Noting() for _ in range(connections)]
            try:
                server.before_sleep()
                result.append((calls, len(server.unsent)))
            except SystemExit as end:
                result.append((calls, end.code))
        """,
        [(["flush", "send", "send"], 0), (["send"], 0), ([], "cannot write the log: the disk is full")],
    )


@step(2)
@pytest.mark.read("Step 2: one unit, one instant")
def test_the_server_runs_on_the_engine_and_has_the_commands_that_are_given(
    client: Client, log: Path, rng: Dice
) -> None:
    """The server answers again, its log has what has changed something, and MSET and KEYS are there.

    Is the connection closed? The traceback names the function: `execute` and the log belong to the engine now. Has the
    log a DEL before the MSET? `Store.delete` records nothing: the commands that call it do.

    `data_received` calls `self.server.engine.execute`, and `before_sleep` flushes `self.engine.log`.
    """
    one, two = rng.key(), rng.key()
    before = log.stat().st_size
    client.check(request("INCR", one), b":1\r\n")
    client.check(request("MSET", one, "first", two, "second"), OK)
    client.check(request("APPEND", one, "!"), b":6\r\n")
    client.check(request("KEYS", two[:-1] + b"?"), b"*1\r\n$10\r\n%b\r\n" % two)
    settle(client)
    expected = [[b"INCR", one], [b"MSET", one, b"first", two, b"second"], [b"APPEND", one, b"!"]]
    has_records(log.read_bytes()[before:], expected, "This was added to the log, when the replies are there.")


# Lazy expiry


@step(3)
@pytest.mark.read("Step 3: lazy expiry")
def test_a_key_is_there_until_its_deadline_has_passed(modules: Modules) -> None:
    """Up to its deadline a key is there for every command, and one millisecond later for none.
    The deadline of all keys is 5000. The result has, for 4999, 5000 and 5001, what GET, STRLEN, EXISTS, TYPE, HGET and
    DEL answer, each about a key of its own.

    Is there a RecursionError? `delete` calls `expired`, so `expired` cannot call `delete`: it takes the key out itself.
    Otherwise: at the deadline itself it has not passed. A key expires when `self.now` is greater.

    GET and HGET come to `Store.get`, EXISTS to `in` and TYPE to `kind`, which call `expired`; DEL to `Store.delete`.
    """
    there = [b"v", 1, 1, "string", b"v", 1]
    check_engine(
        modules,
        """
        result = []
        questions = ["GET a", "STRLEN b", "EXISTS c", "TYPE d", "HGET e f", "DEL g"]
        for instant in (4999, 5000, 5001):
            now = 1000
            for question in questions:
                key = question.split()[1]
                ask(f"HSET {key} f v" if question.startswith("H") else f"SET {key} v")
                engine.db.expire_at(key.encode(), 5000)
            now = instant
            result.append([ask(question) for question in questions])
        """,
        [there, there, [None, 0, 0, "none", None, 0]],
    )


@step(3)
@pytest.mark.read("Step 3: lazy expiry")
def test_who_finds_an_expired_key_removes_it_and_logs_a_del_first(modules: Modules) -> None:
    """The first request that finds a key expired removes it, and `DEL key` stands in the log before that request.
    The result is the replies, what was logged after the deadline had passed, and the number of keys that are left.

    Is a DEL missing in the log? Without it a replay would find the old value, and `INCR` would count on from 41. Is
    there a KeyError, or is a new value gone at once? Then the old deadline is still there.

    `expired` takes the key out of `_values` and of `_deadlines`, and appends `[b"DEL", key]` to `self.records`. At
    that moment the request has not changed anything yet, so the DEL comes first.

    When it is called again, the key is gone, and there is nothing to record.
    """
    check_engine(
        modules,
        """
        ask("MSET visits 41 a 1 b 2")
        for key in (b"visits", b"a", b"b"):
            engine.db.expire_at(key, 5000)
        del logged[:]
        now = 5001
        replies = [ask(line) for line in ("INCR visits", "GET visits", "EXISTS a b a", "GET a", "APPEND b x")]
        result = (replies, logged, len(engine.db))
        """,
        ([1, b"1", 0, None, 1], lines("DEL visits; INCR visits; DEL a; DEL b; APPEND b x"), 2),
    )


@step(3)
@pytest.mark.read("Step 3: lazy expiry")
def test_an_expired_key_has_no_type_any_more(modules: Modules) -> None:
    """Where a string has expired, HSET makes a hash, and where a hash has expired, APPEND makes a string.
    The result is the replies, and what was logged after the deadline had passed.

    `Store.get` raises `wrong_type()` for a value of another kind. Ask `expired` before you look at the value.
    """
    check_engine(
        modules,
        """
        ask("SET string v"), ask("HSET hash f v")
        for key in (b"string", b"hash"):
            engine.db.expire_at(key, 5000)
        del logged[:]
        now = 5001
        result = ([ask("HSET string f v"), ask("APPEND hash xyz")], logged)
        """,
        ([1, 3], lines("DEL string; HSET string f v; DEL hash; APPEND hash xyz")),
    )


@step(3)
@pytest.mark.read("Step 3: lazy expiry")
def test_del_takes_the_deadline_along_and_does_not_find_an_expired_key(modules: Modules) -> None:
    """`Store.delete` removes a key with its deadline, and returns False for a key that has expired.
    The result is: whether `delete` removed a key that has time left, the deadline of a new key of that name; what it
    returned for an expired key and for a missing one, and the records of these two calls.

    If the deadline stayed, it would be the next key's: SET k v EX 10, DEL k, SET k v, and k vanishes.

    Ask `expired` first: it removes the key and records the DEL. A second record would be one too many.
    """
    check_engine(
        modules,
        """
        db = engine.db
        for key in (b"k", b"late"):
            db.put(key, b"v")
            db.expire_at(key, 5000)
        result = [db.delete(b"k")]
        db.put(b"k", b"new")
        result.append(db.deadline(b"k"))
        db.records, db.now = [], 5001
        result += [db.delete(b"late"), db.delete(b"missing"), db.records, db.get(b"k", bytes)]
        """,
        [True, None, False, False, [[b"DEL", b"late"]], b"new"],
    )


@step(3)
@pytest.mark.read("Step 3: lazy expiry")
def test_in_a_replay_a_key_expires_by_its_del_alone(modules: Modules) -> None:
    """During a replay a key whose deadline has passed long ago is found; afterwards it is not.
    The clock says 9999, and the deadline is 5000. The result is the replies to two requests `HSET user f v` that are
    replayed, one before and one after the deadline was set; to HSET and HLEN of a client; and what was logged.

    The second HSET answers 0, because the field was there. When it was logged, the key had not expired: otherwise there
    would be a DEL before it.

    `replay` sets `db.now` to 0, and 5000 is not before 0.
    """
    check_engine(
        modules,
        """
        now = 9999
        result = [engine.replay([b"HSET", b"user", b"f", b"v"])]
        engine.db.expire_at(b"user", 5000)
        result += [engine.replay([b"HSET", b"user", b"f", b"v"]), ask("HSET user g w"), ask("HLEN user"), logged]
        """,
        [1, 0, 1, 1, lines("DEL user; HSET user g w")],
    )


# Deadlines


@step(4)
@pytest.mark.read("Step 4: a deadline is a moment")
def test_a_moment_is_in_milliseconds_since_1970(modules: Modules) -> None:
    """`moment` returns what an amount in a unit means, as milliseconds since 1970; `db.now` is 5000.
    The result is the moments of 7 and of -7 in the four units; then the largest and the smallest that fit into 64 bits,
    and the errors for those that are one more and one less.

    Is one of the first eight moments wrong? UNITS has, for each unit, the milliseconds in one of it, and whether it
    counts from now. Is an error missing, or one too many? Compare the moment, with `db.now` in it, with the limits.

    The limits are -(2**63) and 2**63 - 1, both included.
    """
    most = 2**63 - 1
    error = "ERR invalid expire time in 'expire' command"
    check_engine(
        modules,
        """
        from expire import moment

        engine.db.now = 5000
        units = (b"ex", b"px", b"exat", b"pxat")
        result = [[moment(engine.db, unit, amount, "expire") for unit in units] for amount in (7, -7)]
        for unit, amount in limits:
            try:
                result.append(moment(engine.db, unit, amount, "expire"))
            except Exception as error:
                result.append(str(error))
        """,
        [[12000, 5007, 7000, 7], [-2000, 4993, -7000, -7], most, -most - 1, error, error, error, error],
        limits=[
            *((b"pxat", most), (b"pxat", -most - 1)),
            *((b"pxat", most + 1), (b"pxat", -most - 2), (b"px", most), (b"ex", most // 1000)),
        ],
    )


@step(4)
@pytest.mark.read("Step 4: a deadline is a moment")
def test_expire_and_its_family_give_a_key_a_deadline(client: Client, rng: Dice) -> None:
    """EXPIRE, PEXPIRE, EXPIREAT and PEXPIREAT answer 1 and set the deadline; 0 if there is no such key.

    Does EXPIRE answer 1 and the key is gone, or stays for ever? PTTL and PEXPIRETIME show the deadline.

    The deadline is in milliseconds everywhere: `moment` multiplies seconds by 1000. `set_deadline` gives it to
    `db.expire_at`.

    Is it set for a missing key? Ask `key in db` first.
    """
    key = rng.key()
    client.check(request("INCR", key), b":1\r\n")
    for command, amount, expected in (
        ("PEXPIREAT", FUTURE, FUTURE),
        ("EXPIREAT", FUTURE // 1000 - 1, FUTURE - 1000),
        ("expireat", FUTURE // 1000, FUTURE),
    ):
        client.check(request(command, key, amount), b":1\r\n")
        client.check(request("PEXPIRETIME", key), b":%d\r\n" % expected)
    client.check(request("EXPIRETIME", key), b":%d\r\n" % (FUTURE // 1000))
    for command, amount, most in (("EXPIRE", 100, 100_000), ("PEXPIRE", 90_000, 90_000)):
        client.check(request(command, key, amount), b":1\r\n")
        left = number(client, "PTTL", key)
        assert most - 60_000 < left <= most, f"PTTL is {left} after {command} {amount}"
        client.check(request(command, rng.key(), amount), b":0\r\n")
    client.check(request("GET", key), b"$1\r\n1\r\n")


@step(4)
@pytest.mark.read("Step 4: a deadline is a moment")
def test_a_deadline_that_is_not_in_the_future_deletes_the_key(client: Client, log: Path, rng: Dice) -> None:
    """EXPIRE with 0 or less, or a moment in the past, answers 1 and deletes the key at once; the log has a DEL.
    The answer is 1, because there was such a key. For a missing key it is 0, and nothing is logged.

    Is the first answer 1? That key is missing: ask `key in db` before you look at the deadline. Is the other key still
    there, or is there no DEL? A deadline that is not later than `db.now` is not set.

    In `set_deadline` compare the deadline with `db.now`: if it is not later, `db.delete(key)`, and
    `db.changed(key, log=[b"DEL", key])`. EXPIRE with 0 means now, and that is not later.
    """
    for command, amount in (("EXPIRE", 0), ("EXPIRE", -1), ("PEXPIRE", -5), ("EXPIREAT", 1), ("PEXPIREAT", 0)):
        key = rng.key()
        client.check(request("INCR", key), b":1\r\n")
        settle(client)
        before = log.stat().st_size
        sent = request(command, rng.key(), amount) + request(command, key, amount)
        client.check(sent + request("GET", key), b":0\r\n:1\r\n" + NULL)
        settle(client)
        same(added(log, before), b"DEL %b\r\n" % key, f"This was added to the log by {command} {amount}.", sent)


@step(4)
@pytest.mark.read("Step 4: a deadline is a moment")
def test_the_log_has_the_moment_and_not_the_span(client: Client, log: Path, rng: Dice) -> None:
    """EXPIRE and its family are logged as `PEXPIREAT key moment`, and not at all if there was no such key.

    With `EXPIRE key 100` in the log, the hundred seconds would begin again at each start.

    Write down the result: `db.changed(key, log=[b"PEXPIREAT", key, b"%d" % deadline])`.
    """
    key = rng.key()
    client.check(request("INCR", key), b":1\r\n")
    for command, amount in (("EXPIRE", 100), ("PEXPIRE", 100_000), ("EXPIREAT", FUTURE // 1000), ("PEXPIREAT", FUTURE)):
        settle(client)
        before = log.stat().st_size
        sent = request(command, rng.key(), amount) + request(command, key, amount)
        client.check(sent, b":0\r\n:1\r\n")
        moment = number(client, "PEXPIRETIME", key)
        settle(client)
        expected = [[b"PEXPIREAT", key, b"%d" % moment]]
        has_records(log.read_bytes()[before:], expected, "This was added to the log.", sent)


@step(4)
@pytest.mark.read("Step 4: a deadline is a moment")
def test_expire_does_not_wake_an_expired_key(modules: Modules) -> None:
    """EXPIRE of a key that has expired answers 0, and the key is gone; of a key that is there it answers 1.
    The result is what EXPIRE of `there`, EXPIRE of `k` and GET of `k` answer, and what was logged after the deadline of
    `k`, 5000, had passed.

    Is there no `DEL k`, or has `k` a new deadline? Ask `key in db` first: it notices that the key has expired. Is the
    answer True or False? It is an integer, 1 or 0.
    """
    check_engine(
        modules,
        """
        ask("INCR k"), ask("INCR there")
        engine.db.expire_at(b"k", 5000)
        del logged[:]
        now = 5001
        result = [ask("EXPIRE there 10"), ask("EXPIRE k 10"), ask("GET k"), logged]
        """,
        [1, 0, None, lines("PEXPIREAT there 15001; DEL k")],
    )


@step(4)
@pytest.mark.read("Step 4: a deadline is a moment")
def test_a_time_that_cannot_be_is_refused_and_changes_nothing(client: Client, log: Path, rng: Dice) -> None:
    """An amount that is no integer, or whose moment does not fit into 64 bits, is an error, and nothing changes.

    The error names the command, in lower case. It comes also if there is no such key.

    `moment` raises `invalid_expire_time(command)`. Call it before you look at the key.
    """
    key, most = rng.key(), 2**63 - 1
    client.check(request("INCR", key), b":1\r\n")
    settle(client)
    before = log.stat().st_size
    for command, amount in (("EXPIRE", most), ("EXPIRE", -most), ("PEXPIRE", most), ("EXPIREAT", most)):
        error = b"-ERR invalid expire time in '%b' command\r\n" % command.lower().encode()
        client.check(request(command, key, amount), error)
        client.check(request(command, rng.key(), amount), error)
    for text in ("soon", "1.5", "+1", ""):
        client.check(request("EXPIRE", key, text), b"-ERR value is not an integer or out of range\r\n")
    client.check(request("PTTL", key), b":-1\r\n")
    settle(client)
    same(log.read_bytes()[before:], b"", "This was added to the log by requests that were answered with an error.")


@step(4)
@pytest.mark.read("Step 4: a deadline is a moment")
def test_a_change_of_the_value_leaves_the_deadline(client: Client, rng: Dice) -> None:
    """APPEND, INCR and HSET leave the deadline as it is; a hash that loses its last field loses its deadline.

    The value changes, the key stays: so does its deadline. You do not have to change these commands.

    Has a hash a deadline that was made after the last field of the old one had gone? See `Store.changed`.
    """
    string, hash_ = rng.key(), rng.key()
    client.check(request("APPEND", string, "4"), b":1\r\n")
    client.check(request("HSET", hash_, "f", "v"), b":1\r\n")
    for key in (string, hash_):
        client.check(request("PEXPIREAT", key, FUTURE), b":1\r\n")
    client.check(request("APPEND", string, "1"), b":2\r\n")
    client.check(request("INCR", string), b":42\r\n")
    client.check(request("HSET", hash_, "g", "w"), b":1\r\n")
    for key in (string, hash_):
        client.check(request("PEXPIRETIME", key), b":%d\r\n" % FUTURE)
    client.check(request("HDEL", hash_, "f", "g"), b":2\r\n")
    client.check(request("HSET", hash_, "f", "v"), b":1\r\n")
    client.check(request("PTTL", hash_), b":-1\r\n")


@step(4)
@pytest.mark.read("Step 4: a deadline is a moment")
def test_a_key_is_gone_when_its_time_has_come_and_not_before(client: Client, log: Path, rng: Dice) -> None:
    """A key with 50 milliseconds is there before, and is gone after them; the log has one DEL for it.

    Does it stay? `expired` compares the deadline with `db.now`, which `execute` sets for each request.
    """
    key = rng.key()
    client.check(request("INCR", key), b":1\r\n")
    settle(client)
    before, began = log.stat().st_size, time.monotonic()
    client.check(request("PEXPIRE", key, 50), b":1\r\n")
    while client.ask("EXISTS", key) and time.monotonic() < began + 1 + client.patience.seconds:
        time.sleep(0.005)
    seconds = time.monotonic() - began
    client.check(request("GET", key) + request("PTTL", key), NULL + b":-2\r\n")
    assert seconds > 0.045, f"the key is gone after {seconds:.3f} seconds"
    settle(client)
    assert added(log, before).splitlines()[1:] == [b"DEL " + key], "the log after PEXPIRE has one DEL"


@step(4)
@pytest.mark.read("Step 4: a deadline is a moment")
def test_nothing_comes_back_from_the_dead(client: Client, started_with: Callable[..., Client], rng: Dice) -> None:
    """What expired while the server was not running is gone when it starts, and what was deleted stays deleted.

    The log has, for one key: INCRBY 41, and a deadline in 1970. For a second key, the same and DEL, then INCR.

    Is the first key still there? The very first request has to notice that its deadline has passed.

    Does the second one have 42? Then the replay has left out its DEL.
    """
    one, two, three = rng.key(), rng.key(), rng.key()
    client.check(request("PEXPIREAT", one, FUTURE), b":0\r\n")
    again = started_with(
        [
            *([b"INCRBY", key, b"41"] for key in (one, two, three)),
            *([b"PEXPIREAT", key, b"%d" % PAST] for key in (one, two, three)),
            *([b"DEL", two], [b"INCR", two]),
        ]
    )
    again.check(request("GET", one) + request("INCR", three) + request("GET", two), NULL + b":1\r\n$1\r\n1\r\n")


# Asking, and taking away


@step(5)
@pytest.mark.read("Step 5: ask, and take away")
def test_ttl_is_in_rounded_seconds(modules: Modules) -> None:
    """TTL rounds: 499 milliseconds are 0 seconds, 500 are 1, 1499 are 1, 1500 are 2.
    The result is what TTL answers, for each number of milliseconds that is left.

    Is it wrong only where 500 are left over? Python's `round` rounds 0.5 to 0 and 1.5 to 2. Is all too large, by a
    factor of 1000? `pttl`, which is given, answers in milliseconds.

    Add 500, then divide by 1000 without a rest.
    """
    check_engine(
        modules,
        """
        ask("INCR k")
        result = []
        for left in (1, 499, 500, 1000, 1499, 1500, 2499, 2500, 100400, 100900):
            engine.db.expire_at(b"k", now + left)
            result.append((left, ask("TTL k")))
        """,
        [
            (1, 0),
            (499, 0),
            (500, 1),
            (1000, 1),
            (1499, 1),
            (1500, 2),
            (2499, 2),
            (2500, 3),
            (100400, 100),
            (100900, 101),
        ],
    )


@step(5)
@pytest.mark.read("Step 5: ask, and take away")
def test_ttl_says_how_many_seconds_are_left(client: Client, rng: Dice) -> None:
    """TTL answers with the seconds that a key has left, -1 if it has no deadline, and -2 if there is no such key.

    `pttl` is given: it answers in milliseconds, and with -1 and -2 as TTL does.

    Is it -1000 or 0? -1 and -2 are no times, and are not divided by 1000.
    """
    key = rng.key()
    client.check(request("TTL", key), b":-2\r\n")
    client.check(request("HSET", key, "f", "v"), b":1\r\n")
    client.check(request("TTL", key), b":-1\r\n")
    client.check(request("EXPIRE", key, 1000), b":1\r\n")
    left = number(client, "TTL", key)
    assert 940 < left <= 1000, f"TTL is {left} after EXPIRE 1000"


@step(5)
@pytest.mark.read("Step 5: ask, and take away")
def test_persist_takes_the_deadline_away(client: Client, log: Path, rng: Dice) -> None:
    """PERSIST answers 1 if the key had a deadline, else 0, and only the first is in the log.

    `db.persist(key)` takes the deadline away, and returns whether there was one. Call `db.changed(key)` only then.
    """
    key = rng.key()
    client.check(request("INCR", key), b":1\r\n")
    client.check(request("PEXPIREAT", key, FUTURE), b":1\r\n")
    settle(client)
    before = log.stat().st_size
    for reply in (b":1\r\n", b":0\r\n"):
        client.check(request("PERSIST", key), reply)
        client.check(request("PTTL", key), b":-1\r\n")
    client.check(request("PERSIST", rng.key()), b":0\r\n")
    client.check(request("GET", key), b"$1\r\n1\r\n")
    settle(client)
    has_records(log.read_bytes()[before:], [[b"PERSIST", key]], "This was added to the log by three PERSISTs.")


@step(5)
@pytest.mark.read("Step 5: ask, and take away")
def test_persist_does_not_wake_an_expired_key(modules: Modules) -> None:
    """PERSIST of a key that has expired answers 0, and the key is gone.
    The result is what PERSIST and GET answer, and what was logged after the deadline had passed.

    Is there no `DEL k`? Ask `key in db` first, which notices that the key has expired. Is the answer False? It is an
    integer, 0.
    """
    check_engine(
        modules,
        """
        ask("INCR k")
        engine.db.expire_at(b"k", 5000)
        del logged[:]
        now = 5001
        result = [ask("PERSIST k"), ask("GET k"), logged]
        """,
        [0, None, [[b"DEL", b"k"]]],
    )


@step(5)
@pytest.mark.read("Step 5: ask, and take away")
def test_a_key_that_persist_has_saved_is_there_after_a_start(
    client: Client, started_with: Callable[..., Client], rng: Dice
) -> None:
    """PERSIST came before the deadline: then the key is there after a start, whatever the time is now.

    The log has INCRBY 5, a deadline in 1970, PERSIST, INCR. What happened: the key did not expire.

    Does GET answer 1? By today's clock the key is gone when PERSIST comes. `replay` sets `db.now` to 0.
    """
    key = rng.key()
    client.check(request("PERSIST", key), b":0\r\n")
    again = started_with([[b"INCRBY", key, b"5"], [b"PEXPIREAT", key, b"%d" % PAST], [b"PERSIST", key], [b"INCR", key]])
    again.check(request("GET", key) + request("TTL", key), b"$1\r\n6\r\n:-1\r\n")


# SET


@step(6)
@pytest.mark.read("Step 6: SET and its options")
def test_set_takes_a_deadline_in_four_forms(client: Client, rng: Dice) -> None:
    """SET takes EX, PX, EXAT and PXAT with an amount, in upper or lower case, before and after other options.

    `from_option` of `expire.py` returns the deadline for an option and its argument; give it to `db.expire_at`, after
    `db.put`.

    An option of UNITS is followed by its argument: with `rest = iter(options)`, `next(rest, None)` in the loop takes
    it, or None if there is none.
    """
    key = rng.key()
    forms: list[tuple[list[str | int], int]] = [
        (["PXAT", FUTURE], FUTURE),
        (["exat", FUTURE // 1000 - 5], FUTURE - 5000),
        (["XX", "EXAT", FUTURE // 1000], FUTURE),
        (["pxAT", FUTURE - 7, "xx"], FUTURE - 7),
    ]
    for options, expected in forms:
        client.check(request("SET", key, "v", *options), OK)
        client.check(request("PEXPIRETIME", key), b":%d\r\n" % expected)
    client.check(request("SET", key, "w", "GET", "PX", 90_000), b"$1\r\nv\r\n")
    spans: list[tuple[list[str | int], int]] = [(["EX", 100], 100_000), (["XX", "px", 90_000], 90_000)]
    for options, most in spans:
        client.check(request("SET", key, "v", *options), OK)
        left = number(client, "PTTL", key)
        assert most - 60_000 < left <= most, f"PTTL is {left} after SET key v {options}"
    client.check(request("GET", key), b"$1\r\nv\r\n")


@step(6)
@pytest.mark.read("Step 6: SET and its options")
def test_set_without_a_deadline_takes_the_old_one_away(client: Client, rng: Dice) -> None:
    """After SET a key has the deadline that the SET gave it, and otherwise none; with KEEPTTL it has the old one.
    With NX this key is not set: its deadline stays, and the answer is null, or with GET the old value. At the end SET
    without options replaces a hash.

    Is there an old deadline? `db.put` leaves it as it is, so SET calls `db.persist(key)`, unless KEEPTTL is among the
    options. Is it WRONGTYPE? The kind of the old value matters only with GET.

    Is the answer to NX GET not the old value? Look at GET also when the key is not set.
    """
    key = rng.key()
    cases: list[tuple[list[str | int], bytes, int]] = [
        (["PXAT", FUTURE], OK, FUTURE),
        (["KEEPTTL"], OK, FUTURE),
        (["keepttl", "XX"], OK, FUTURE),
        (["NX"], NULL, FUTURE),
        (["NX", "PXAT", FUTURE + 1], NULL, FUTURE),
        (["NX", "GET"], b"$1\r\nv\r\n", FUTURE),
        ([], OK, -1),
        (["KEEPTTL"], OK, -1),
        (["PXAT", FUTURE], OK, FUTURE),
        (["XX", "GET"], b"$1\r\nv\r\n", -1),
    ]
    for options, reply, expected in cases:
        client.check(request("SET", key, "v", *options), reply)
        client.check(request("PEXPIRETIME", key), b":%d\r\n" % expected)
    hash_ = rng.key()
    client.check(request("HSET", hash_, "f", "v") + request("PEXPIREAT", hash_, FUTURE), b":1\r\n" * 2)
    client.check(request("SET", hash_, "v") + request("TYPE", hash_), OK + b"+string\r\n")
    client.check(request("PEXPIRETIME", hash_), b":-1\r\n")


@step(6)
@pytest.mark.read("Step 6: SET and its options")
def test_set_is_logged_with_the_moment(client: Client, log: Path, rng: Dice) -> None:
    """A SET with a deadline is logged as `SET key value PXAT moment`, without other options; others as they came.

    With `EX 100` in the log, the hundred seconds would begin again at each start.

    Pass `log=[b"SET", key, value, b"PXAT", b"%d" % deadline]` to `db.changed`. NX and XX have been decided, so they are
    not in it.
    """
    key, value = rng.key(), rng.key()
    forms: list[list[str | int]] = [["NX", "EX", 100], ["PX", 90_000, "XX", "GET"]]
    forms += [["EXAT", FUTURE // 1000], ["XX", "PXAT", FUTURE]]
    for options in forms:
        settle(client)
        before = log.stat().st_size
        sent = request("SET", key, value, *options)
        client.send(sent)
        client.read_reply()
        moment = b"%d" % number(client, "PEXPIRETIME", key)
        settle(client)
        expected = [[b"SET", key, value, b"PXAT", moment]]
        has_records(log.read_bytes()[before:], expected, "This was added to the log.", sent)
    settle(client)
    before = log.stat().st_size
    client.check(request("SET", key, value, "KEEPTTL") + request("SET", key, value), OK * 2)
    client.check(request("SET", key, "not set", "NX", "EX", 100), NULL)
    settle(client)
    expected = [[b"SET", key, value, b"KEEPTTL"], [b"SET", key, value]]
    has_records(log.read_bytes()[before:], expected, "This was added to the log by SET with KEEPTTL, and SET.")


@step(6)
@pytest.mark.read("Step 6: SET and its options")
def test_options_that_exclude_each_other_are_a_syntax_error(client: Client, log: Path, rng: Dice) -> None:
    """Two of EX, PX, EXAT, PXAT and KEEPTTL, NX with XX, a missing argument and unknown options are syntax errors.

    The syntax is checked first: `EX 0 FOO` is a syntax error, whatever the amount. Nothing is set then.

    Look at all options before you do anything: collect those with an argument in a dictionary, the others in a set.
    """
    key = rng.key()
    client.check(request("SET", key, "old", "PXAT", FUTURE), OK)
    settle(client)
    before = log.stat().st_size
    for options in (
        *("EX", "NX PX", "EX 1 PX 1", "EXAT 1 PXAT 1", "KEEPTTL EX 100", "PX 100 KEEPTTL", "PX 100 EX 100 PX 100"),
        *("FOO", "EX 0 FOO", "EX x NX XX", "NX XX", "EX 100 100", "NX EX 100 XX", "EX 1 EX"),
    ):
        client.check(request("SET", key, "new", *options.split()), b"-ERR syntax error\r\n")
    client.check(request("GET", key) + request("PEXPIRETIME", key), b"$3\r\nold\r\n:%d\r\n" % FUTURE)
    settle(client)
    same(log.read_bytes()[before:], b"", "This was added to the log by requests that were answered with an error.")


@step(6)
@pytest.mark.read("Step 6: SET and its options")
def test_an_option_may_come_twice_and_the_last_argument_counts(client: Client, rng: Dice) -> None:
    """`PXAT 5 PXAT 9000` is `PXAT 9000`, and `XX XX` is `XX`, in upper or lower case.

    Only two *different* ones of EX, PX, EXAT, PXAT and KEEPTTL exclude each other.
    """
    key = rng.key()
    client.check(request("SET", key, "v", "PXAT", 5, "pxat", FUTURE), OK)
    client.check(request("PEXPIRETIME", key), b":%d\r\n" % FUTURE)
    client.check(request("SET", key, "v", "XX", "KEEPTTL", "xx", "keepttl"), OK)
    client.check(request("PEXPIRETIME", key), b":%d\r\n" % FUTURE)


@step(6)
@pytest.mark.read("Step 6: SET and its options")
def test_set_refuses_a_time_that_cannot_be_and_sets_nothing(client: Client, log: Path, rng: Dice) -> None:
    """SET with EX 0, less, too much, or no integer is an error, and nothing is set.

    Is the answer another one? `from_option` raises these errors: give it each amount as it came, also an empty one, and
    before you look at the old value, which with GET is WRONGTYPE if it is no string. Is the value new although the
    answer was an error? Call `from_option` before `db.put`.

    `db.get(key, STRING)` raises WRONGTYPE. Call it only with GET, after `from_option` and before `db.put`.
    """
    key, hash_ = rng.key(), rng.key()
    client.check(request("SET", key, "old", "PXAT", FUTURE), OK)
    client.check(request("HSET", hash_, "f", "v"), b":1\r\n")
    settle(client)
    before = log.stat().st_size
    error = b"-ERR invalid expire time in 'set' command\r\n"
    for option, amount in (("EX", 0), ("PX", -1), ("EXAT", 0), ("PXAT", -5), ("EX", 2**63 - 1), ("PX", 2**63 - 1)):
        client.check(request("SET", key, "new", option, amount), error)
        client.check(request("SET", key, "new", "NX", option, amount), error)
    client.check(request("SET", hash_, "new", "GET", "EX", 0), error)
    client.check(request("SET", hash_, "new", "GET", "EX", 100), WRONG_TYPE)
    for text in ("soon", "1.5", ""):
        client.check(request("SET", key, "new", "EX", text), b"-ERR value is not an integer or out of range\r\n")
    client.check(request("GET", key) + request("PEXPIRETIME", key), b"$3\r\nold\r\n:%d\r\n" % FUTURE)
    client.check(request("HGET", hash_, "f") + request("PTTL", hash_), b"$1\r\nv\r\n:-1\r\n")
    settle(client)
    same(log.read_bytes()[before:], b"", "This was added to the log by requests that were answered with an error.")


@step(6)
@pytest.mark.read("Step 6: SET and its options")
def test_set_finds_an_expired_key_gone(client: Client, log: Path, rng: Dice) -> None:
    """For SET with any options an expired key does not exist, and the log has its DEL before the SET.
    Here a key gets a deadline in 1970, and the next request, which comes in the same chunk, finds it expired.

    Is there no `DEL` before the second `SET` in the log? Or has KEEPTTL kept the deadline that had passed? Ask
    `key in db` before anything is set, whatever the options are.
    """
    for options, reply, then, sets in (
        ("", OK, b"$1\r\n5\r\n", True),
        ("KEEPTTL", OK, b"$1\r\n5\r\n", True),
        ("NX", OK, b"$1\r\n5\r\n", True),
        ("GET", NULL, b"$1\r\n5\r\n", True),
        ("XX", NULL, NULL, False),
        ("XX GET", NULL, NULL, False),
        (f"PXAT {FUTURE}", OK, b"$1\r\n5\r\n", True),
    ):
        key = rng.key()
        settle(client)
        before = log.stat().st_size
        again = [b"SET", key, b"5", *options.encode().split()]
        sent = request("SET", key, 41, "PXAT", PAST) + request(*again) + request("GET", key)
        client.check(sent, OK + reply + then)
        settle(client)
        expected = b"SET %b 41 PXAT %d\r\nDEL %b\r\n" % (key, PAST, key) + sets * (b" ".join(again) + b"\r\n")
        got, expected = (each.replace(b" GET\r\n", b"\r\n") for each in (added(log, before), expected))
        text = "This was added to the log, a line for each record"
        text += ", without the option GET: it may be there or not." if "GET" in options else "."
        same(got, expected, text, sent)


@step(6)
@pytest.mark.read("Step 6: SET and its options")
def test_deadlines_survive_kill_9(start: Start, tmp_path: Path, rng: Dice) -> None:
    """After `kill -9` and a new start each key has the deadline that it had, to the millisecond, or none.

    Has a key more time than before? Then the log has a span. Has one a deadline that it had lost? Then the log has not
    what took it away: SET without KEEPTTL, and PERSIST.
    """
    keys = [rng.key() for _ in range(7)]
    first = start(data=tmp_path, appendfsync="no")
    client = first.connect()
    for args in (
        ["SET", keys[0], "v", "EX", 1000],
        *(["SET", keys[1], "v", "PX", 1_000_000], ["APPEND", keys[1], "x"]),
        *(["SET", keys[2], "v", "EX", 1000], ["SET", keys[2], "w"]),
        *(["SET", keys[3], "v", "EX", 1000], ["SET", keys[3], "w", "KEEPTTL"]),
        *(["SET", keys[4], "v", "EX", 1000], ["PERSIST", keys[4]]),
        *(["HSET", keys[5], "f", "v"], ["EXPIRE", keys[5], 1000]),
        *(["SET", keys[6], "v"], ["GETEX", keys[6], "EX", 1000]),
    ):
        client.ask(*args)
    before = [client.ask("PEXPIRETIME", key) for key in keys]
    settle(client)
    first.kill()
    client = start(data=tmp_path, appendfsync="no").connect()
    after = [client.ask("PEXPIRETIME", key) for key in keys]
    assert after == before, "the deadlines of seven keys, before and after"
    assert [each for each in before if each == -1] == [-1, -1], "SET and PERSIST have taken two deadlines away"


@step(6)
@pytest.mark.needs("redis-server")
@pytest.mark.read("Step 6: SET and its options")
def test_a_real_redis_takes_over_the_deadlines(
    client: Client, log: Path, server: Server, redis_server: Start, rng: Dice, tmp_path: Path
) -> None:
    """A real `redis-server --appendonly yes`, started on a copy of your folder, has your keys and deadlines.

    Redis reads `PXAT` and `PEXPIREAT` with a moment in milliseconds, and stops at what it does not understand.
    """
    key = rng.key()
    client.ask("FLUSHALL")
    client.check(request("SET", key, "v", "EX", 1000), OK)
    client.check(request("HSET", key + b"2", "f", "v") + request("EXPIRE", key + b"2", 500), b":1\r\n" * 2)
    client.check(request("SET", key + b"3", "v", "PXAT", PAST), OK)
    moments = [client.ask("PEXPIRETIME", each) for each in (key, key + b"2", key + b"3")]
    settle(client)
    assert server.data
    copy = shutil.copytree(server.data, tmp_path / "copy-for-redis")
    real = redis_server(copy).connect()
    assert [real.ask("PEXPIRETIME", each) for each in (key, key + b"2", key + b"3")] == moments


# Active expiry


@step(7)
@pytest.mark.read("Step 7: active expiry")
def test_expire_due_removes_the_keys_with_the_earliest_deadlines(modules: Modules) -> None:
    """`Store.expire_due` looks at up to `most` deadlines, the earliest first, and removes the expired keys.
    Six keys, 0 to 5, have the deadlines 100 to 105. The result has, for each call, what it returned, how many keys are
    left, and the records. The calls are: 2 at the time 103, 2 more, 2 again, and then 9 at the time 200, twice.

    At 103 the deadline 103 has not passed.

    It returns True after `most` deadlines, and False as soon as the first one in the queue has not passed, or there is
    none. If it returned True when there is nothing to do, the server would call it again and again.
    """
    deleted = [[b"DEL", b"%d" % each] for each in range(6)]
    check_engine(
        modules,
        """
        db, result = engine.db, []
        for key in (b"3", b"0", b"5", b"1", b"4", b"2"):
            db.put(key, b"v")
            db.expire_at(key, 100 + int(key))
        for db.now, most in ((103, 2), (103, 2), (103, 2), (200, 9), (200, 9)):
            db.records = []
            result.append((db.expire_due(most), len(db), db.records))
        """,
        [
            (True, 4, deleted[:2]),
            (False, 3, deleted[2:3]),
            (False, 3, []),
            (False, 0, deleted[3:]),
            (False, 0, []),
        ],
    )


@step(7)
@pytest.mark.read("Step 7: active expiry")
def test_a_deadline_that_is_outdated_removes_nothing(modules: Modules) -> None:
    """A key with a later deadline, with none, or made again since then stays, though the queue has its old deadline.
    Three keys had the deadline 100, and have it no more; `due` has 101. It is 200 now. The result is, for a call with 2
    and for one with 100: what it returned, how many keys are left, and the records; then the keys.

    Is one of the three keys gone? A heap can only take out its first element, so old deadlines stay in it: ask
    `expired`. Has the first call removed `due`? It may look at 2 deadlines, and the first two are old ones.

    Do not delete the key that comes out of the heap: let `self.expired(key)` decide.
    """
    check_engine(
        modules,
        """
        db, result = engine.db, []
        for key in (b"later", b"none", b"again", b"due"):
            db.put(key, b"v")
            db.expire_at(key, 101 if key == b"due" else 100)
        db.expire_at(b"later", 300)
        db.persist(b"none")
        db.delete(b"again")
        db.put(b"again", b"w")
        db.now = 200
        for most in (2, 100):
            result.append((db.expire_due(most), len(db), list(db.records)))
        result.append(sorted(key for key, _ in db.items()))
        """,
        [(True, 4, []), (False, 3, [[b"DEL", b"due"]]), [b"again", b"later", b"none"]],
    )


@step(7)
@pytest.mark.read("Step 7: active expiry")
def test_a_round_of_expiry_is_a_unit_with_its_own_instant(modules: Modules) -> None:
    """`Engine.expire` reads the clock, looks at up to `most` deadlines, and the DELs go to the log at once.
    No request comes in between. The result has, for each call, what it returned, what it has logged, and `db.now`. The
    calls are: one before the deadline of three keys, then one with 2, and two with the default. Then 201 keys expire
    together: the last item has what `expire` returned, and how many of them are left.

    Is `db.now`, the last item, still 1000? Set it to what the clock says: no request has done it. Is it right, and
    nothing logged? The records have to go to the log now, not with the next request: `settle`.

    What `expire_due` returned is returned.
    """
    check_engine(
        modules,
        """
        ask("MSET a 1 b 2 c 3")
        for place, key in enumerate((b"a", b"b", b"c")):
            engine.db.expire_at(key, 5000 + place)
        result = []
        for now, how in ((5000, ()), (6000, (2,)), (6000, ()), (6000, ())):
            del logged[:]
            result.append((engine.expire(*how), list(logged), engine.db.now))
        for number in range(201):
            engine.db.put(b"%d" % number, b"v")
            engine.db.expire_at(b"%d" % number, 5000)
        result.append((engine.expire(), len(engine.db)))
        """,
        [
            (False, [], 5000),
            (True, lines("DEL a; DEL b"), 6000),
            (False, lines("DEL c"), 6000),
            (False, [], 6000),
            (True, 1),
        ],
    )


@step(7)
@pytest.mark.read("Step 7: active expiry")
def test_keys_vanish_though_nobody_asks_for_them(client: Client, log: Path, rng: Dice) -> None:
    """A thousand keys with 100 milliseconds are removed, and in the log, without any request.

    Is nothing in the log? `expire_often` is given: ten times a second it calls `Engine.expire`.

    Are the DELs there only after the next request? `Engine.expire` calls `settle`.

    Are some missing? It is called again at once as long as it returns True.
    """
    keys = {rng.key() for _ in range(1000)}
    client.check(b"".join(request("SET", key, "v", "PX", 100) for key in keys), OK * len(keys))
    kept = rng.key()
    client.check(request("SET", kept, "v"), OK)
    deadline = time.monotonic() + 5 + client.patience.seconds
    made = 0
    while made < len(keys) and time.monotonic() < deadline:
        time.sleep(0.02)
        data = log.read_bytes()
        made = sum(data.count(b"$3\r\nDEL\r\n$%d\r\n%b" % (len(key), key)) for key in keys)
    assert made == len(keys), f"{made} of {len(keys)} keys were deleted in the log, without a request"
    settle(client)  # before it the log may end in half a record
    deleted = [args[1] for args in records(log.read_bytes()) if args[0] == b"DEL" and args[1] in keys]
    assert sorted(deleted) == sorted(keys), "each key once"
    client.check(request("EXISTS", *keys, kept), b":1\r\n")
